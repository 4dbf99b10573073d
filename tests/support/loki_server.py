"""A Loki that misbehaves on purpose: a real HTTP server on loopback, with Loki's own limits.

`behave` decides for each push what happens; what is stored, refused and answered is kept for the
test to look at. The limits are those that a real Loki 3.7 was seen to apply.
"""

import contextlib
import gzip
import itertools
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

CERTIFICATE = Path(__file__).with_name("loopback.pem")
"""For 127.0.0.1, signed by itself, with its key: it guards nothing."""

LOST_ANSWERS = {"die_after", "stall_after"}
"""Behaviours after which the client can't know that its lines were stored."""
KEEPS = {"204", "400"} | LOST_ANSWERS
_STATUSES = {"204", "400", "401", "404", "413", "429", "500", "503"}
WEEK_NS = 7 * 86_400 * 10**9


@dataclass(frozen=True)
class Stored:
    """One entry as it arrived."""

    ts_ns: int
    line: str
    metadata: tuple[tuple[str, str], ...]
    answer_lost: bool


@dataclass
class Limits:
    """What Loki refuses, entry by entry; now_ns is what the server takes for the time."""

    now_ns: Callable[[], int] = time.time_ns
    highest_ns: int = 0

    def problem(self, labels: dict[str, str], ts_ns: int, line: str) -> str | None:
        """Say what a real Loki would say against an entry, or None and take note of it."""
        now = self.now_ns()
        sizes = [(len(name.encode()), len(value.encode())) for name, value in labels.items()]
        found = {
            "max_label_names": len(labels) > 15,
            "label too long": any(name > 1024 or value > 2048 for name, value in sizes),
            "line too long": len(line.encode()) > 256 * 1024,
            "greater_than_max_sample_age": ts_ns < now - WEEK_NS,
            "too_far_in_future": ts_ns > now + 10 * 60 * 10**9,
            "too_far_behind": ts_ns < self.highest_ns - 60 * 60 * 10**9,
        }
        for problem, is_so in found.items():
            if is_so:
                return problem
        self.highest_ns = max(self.highest_ns, ts_ns)
        return None


@dataclass
class LokiServer:
    """Serves on loopback from `start` to `stop`; may be started again on its port."""

    behave: Callable[[int, int], str] = lambda _request, _lines: "204"
    """(number of the request, lines in it) -> what to do."""
    says: str = "loki says {status}"
    limits: Limits = field(default_factory=Limits)
    tls: bool = False
    port: int = 0
    stored: list[Stored] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    requests: list[tuple[str, int]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    labels: list[dict[str, str]] = field(default_factory=list)

    def start(self) -> Self:
        self._lock = threading.Lock()
        self._released = threading.Event()
        self._http = _Http(("127.0.0.1", self.port), _handler(self))
        self._http.connections = set()
        self.port = self._http.server_address[1]
        if self.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(CERTIFICATE)
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def stop(self) -> None:
        self._released.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()
        self._http.hang_up()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def lines(self) -> list[str]:
        return [one.line for one in self.stored]

    def wait_released(self) -> None:
        """Stall until the server is stopped (the client gives up long before)."""
        self._released.wait(60)

    def decide(self, lines: int) -> str:
        with self._lock:
            behaviour = self.behave(len(self.requests), lines)
            self.requests.append((behaviour, lines))
            return behaviour

    def store(self, payload: dict[str, list[dict[str, object]]], behaviour: str) -> None:
        with self._lock:
            for stream in payload["streams"]:
                labels = stream["stream"]
                assert isinstance(labels, dict)
                self.labels.append(labels)
                values = stream["values"]
                assert isinstance(values, list)
                stamps = [int(value[0]) for value in values]
                if any(b <= a for a, b in itertools.pairwise(stamps)):
                    self.problems.append("not in order within a request")
                for ts, line, metadata in values:
                    problem = self.limits.problem(labels, int(ts), line)
                    if problem:
                        self.problems.append(problem)
                        continue
                    told = tuple(sorted(metadata.items()))
                    lost = behaviour in LOST_ANSWERS
                    self.stored.append(Stored(int(ts), line, told, lost))


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    connections: set[socket.socket]

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def hang_up(self) -> None:
        """End the connections that clients keep: a Loki that is stopped answers nobody."""
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, *_: object) -> None:
        """A client that has given up is what these tests are about."""


def _handler(server: LokiServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            server.headers.append(dict(self.headers.items()))
            server.paths.append(self.path)
            data = self.rfile.read(length)
            payload = json.loads(gzip.decompress(data))
            lines = sum(len(stream["values"]) for stream in payload["streams"])
            behaviour = server.decide(lines)
            if behaviour in KEEPS:
                server.store(payload, behaviour)
            if behaviour.startswith("stall"):
                server.wait_released()
            if behaviour not in _STATUSES:
                self.die(reset=behaviour != "die_after")
                return
            self.answer(int(behaviour))

        def die(self, *, reset: bool) -> None:
            if reset:
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.close_connection = True
            self.connection.close()

        def answer(self, status: int) -> None:
            said = b"" if status == 204 else server.says.format(status=status).encode()
            self.send_response(status)
            if said:
                self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

    return Handler


def script(behaviours: Sequence[str], then: str = "204") -> Callable[[int, int], str]:
    """Behave as listed, one a request, and as *then* afterwards."""
    return lambda request, _lines: behaviours[request] if request < len(behaviours) else then
