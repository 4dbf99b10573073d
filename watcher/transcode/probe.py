"""Ask the probe worker what a file is, and never believe or suffer more than its answer.

One lasting worker process (`probe_worker.py`) does the parsing, so that a file that crashes a
parser, fills memory or never ends costs one worker and no service. It is started at the first
probe, replaced after a crash, a limit or a time-out, and ended by `close()`.
"""

import contextlib
import json
import signal
import sys
import threading
from collections.abc import Collection, Mapping
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self

from watcher.clock import Clock, SystemClock
from watcher.errors import Aborted, Halt, Refused, Retryable
from watcher.transcode.child import PATIENCE_S, Child, Limits, spawn
from watcher.transcode.leash import Leash
from watcher.transcode.media import MediaInfo, PacketFacts, StreamInfo, UserData, VideoInfo

WORKER: Final = str(Path(__file__).with_name("probe_worker.py"))
_MEMORY_BYTES = 1_500_000_000
_MOST_ANSWER_BYTES = 256 * 1024 * 1024
_MOST_PROBES = 500  # then a fresh worker: what libraries leak is given back
_SLICE_S = 0.25
_REMEDY = "install Watcher's dependencies again (PyAV among them) for this Python"
_CPU_BYTES_PER_S = 20_000_000
_TIMES = ("timestamps", "hidden_timestamps", "ends")


class _WorkerLostError(Exception):
    """The worker ended, or was ended: *reason* and what is known of why."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Prober:
    """Probes one file at a time; calls from several threads wait for one another."""

    def __init__(
        self,
        *,
        timeout_s: float = 60.0,
        cpu_s: float = 20.0,
        memory_bytes: int = _MEMORY_BYTES,
        worker: str = WORKER,
        patience_s: float = PATIENCE_S,
        clock: Clock | None = None,
    ) -> None:
        self._timeout_s = timeout_s
        self._cpu_s = cpu_s
        self._limits = Limits(memory_bytes=memory_bytes, file_bytes=0, open_files=64)
        self._worker_script = worker
        self._patience_s = patience_s
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._unread = b""
        self._probes = 0
        self._ready = False

    def probe(
        self,
        path: str,
        leash: Leash | None = None,
        *,
        packets: bool = True,
        codecs: Collection[str] = (),
    ) -> MediaInfo:
        """Say what *path* is; with *packets*, every packet is read and counted.

        *codecs*: only where the video is one of them, so that a gigabyte that is HEVC already is
        not read to its end.

        Raises `Refused` (not_a_recording, damaged_source, no longer to be parsed), `Retryable`
        (gone, unreadable, probe_crashed, probe_limit, probe_timeout), `Aborted`, and `Halt`
        (probe_broken) where the worker itself can't be started, (child_stuck) where it can't be
        ended.
        """
        leash = leash or Leash(self._clock)
        with self._lock:
            leash.check()
            try:
                answer = self._ask(path, leash, packets=packets, codecs=codecs)
            except _WorkerLostError as lost:
                was_ready = self._ready
                self._drop()
                if leash.aborted_reason is not None:
                    raise Aborted(leash.aborted_reason, "told to stop while probing") from lost
                if lost.reason == "probe_crashed" and not was_ready:
                    raise Halt("probe_broken", str(lost), remedy=_REMEDY) from lost
                raise Retryable(lost.reason, str(lost)) from lost
            except BaseException:
                self._drop()  # what it still has to say belongs to no later question
                raise
        return _judged(path, answer)

    def close(self) -> None:
        """End the worker; the next probe starts another, or says that this one is stuck."""
        with self._lock, contextlib.suppress(Halt):
            self._drop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _ask(
        self, path: str, leash: Leash, *, packets: bool, codecs: Collection[str]
    ) -> Mapping[str, Any]:
        if self._probes >= _MOST_PROBES:
            self._drop()
        child = self._child or self._start()
        cpu_s = self._cpu_s
        with contextlib.suppress(OSError):
            cpu_s += Path(path).stat().st_size / _CPU_BYTES_PER_S if packets else 0
        wanted = {"packets": packets, "codecs": sorted(codecs)}
        request = {"path": path, "cpu_s": cpu_s, **wanted}
        with leash.hold(child):
            self._probes += 1
            _send(child, json.dumps(request).encode("ascii") + b"\n")
            return self._answer(child, leash)

    def _start(self) -> Child:
        self._unread, self._probes, self._ready = b"", 0, False
        self._child = spawn(
            [sys.executable, "-I", self._worker_script],
            stdin=True,
            stdout=True,
            limits=self._limits,
            patience_s=self._patience_s,
        )
        return self._child

    def _drop(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            with child:
                pass

    def _answer(self, child: Child, leash: Leash) -> Mapping[str, Any]:
        """Read lines until one is an answer; each sign of life starts the time-out anew."""
        while True:
            try:
                said = json.loads(self._line(child, leash))
            except ValueError as error:
                raise _WorkerLostError("probe_crashed", f"the probe answered {error}") from error
            if isinstance(said, dict) and "ready" in said:
                self._ready = True
            elif isinstance(said, dict) and "alive" not in said:
                return said

    def _line(self, child: Child, leash: Leash) -> bytes:
        since_s, paused_s = self._clock.monotonic_s(), leash.paused_s()
        chunks = [self._unread]
        length = len(self._unread)
        while b"\n" not in chunks[-1]:
            chunk = child.read(_SLICE_S)
            if chunk == b"":
                raise _lost(child)
            if chunk:
                chunks.append(chunk)
                length += len(chunk)
            waited_s = self._clock.monotonic_s() - since_s - (leash.paused_s() - paused_s)
            if waited_s > self._timeout_s or length > _MOST_ANSWER_BYTES:
                raise _WorkerLostError(
                    "probe_timeout", f"the probe did not answer within {self._timeout_s:g} s"
                )
        line, _, self._unread = b"".join(chunks).partition(b"\n")
        return line


def _send(child: Child, request: bytes) -> None:
    if child.stdin is None:  # pragma: no cover - spawn gave it one
        raise _lost(child)
    try:
        child.stdin.write(request)
        child.stdin.flush()
    except OSError as error:
        raise _lost(child) from error


def _lost(child: Child) -> _WorkerLostError:
    child.kill()
    code = child.wait(10)
    if code == -signal.SIGXCPU:
        return _WorkerLostError("probe_limit", "reading it took more CPU time than a recording may")
    tail = child.stderr_tail().strip()[-300:]
    return _WorkerLostError("probe_crashed", f"the probe ended (exit {code}) {tail}")


def _judged(path: str, answer: Mapping[str, Any]) -> MediaInfo:
    message = str(answer.get("message", ""))[:1000]
    if "refused" in answer:
        raise Refused(str(answer["refused"]), message)
    if "limit" in answer:
        raise Retryable("probe_limit", message)
    if "failed" in answer:
        reason = "gone" if answer["failed"] == "ENOENT" else "unreadable"
        raise Retryable(reason, message, errno=str(answer["failed"]))
    try:
        return media_from(path, answer["info"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError, IndexError) as error:
        raise Retryable("probe_crashed", f"the probe's answer makes no sense: {error!r}") from error


def media_from(path: str, raw: Mapping[str, Any]) -> MediaInfo:
    """Turn the worker's answer into a `MediaInfo`."""
    streams = tuple(_stream(one) for one in raw["streams"])
    return MediaInfo(
        path=path,
        container=str(raw["container"]),
        size_bytes=int(raw["size_bytes"]),
        mtime_ns=int(raw["mtime_ns"]),
        duration_s=raw["duration_s"],
        start_s=raw["start_s"],
        streams=streams,
        video=_video(raw["video"], streams) if raw["video"] else None,
        moov_first=raw["moov_first"],
        fragmented=bool(raw["fragmented"]),
        chapters=tuple((float(a), float(b), str(title)) for a, b, title in raw["chapters"]),
        metadata=MappingProxyType(dict(raw["metadata"])),
        complaints=tuple(str(line) for line in raw["complaints"]),
    )


def _stream(raw: Mapping[str, Any]) -> StreamInfo:
    plain = ("index", "kind", "codec", "codec_tag", "start", "duration_s", "sample_rate")
    return StreamInfo(
        **{name: raw[name] for name in plain},
        channels=raw["channels"],
        extradata=raw["extradata"],
        time_base=Fraction(*raw["time_base"]),
        disposition=tuple(raw["disposition"]),
        metadata=MappingProxyType(dict(raw["metadata"])),
        packets=_packets(raw["packets"]) if raw["packets"] else None,
    )


def _packets(raw: Mapping[str, Any]) -> PacketFacts:
    times = {name: tuple(map(int, raw[name])) for name in _TIMES}
    runs = tuple((int(before), int(time)) for before, time in raw["runs"])
    return PacketFacts(**{**raw, **times, "runs": runs})


def _user_data(raw: Mapping[str, Any] | None) -> Mapping[str, UserData] | None:
    if raw is None:
        return None
    return MappingProxyType(
        {str(kind): UserData(int(one["messages"]), str(one["digest"])) for kind, one in raw.items()}
    )


def _video(raw: Mapping[str, Any], streams: tuple[StreamInfo, ...]) -> VideoInfo:
    stream = streams[int(raw["index"])]
    shaped = {
        "sar": Fraction(*raw["sar"]) if raw["sar"] else None,
        "frame_color": tuple(raw["frame_color"]),
        "display_matrix": tuple(raw["display_matrix"]) if raw["display_matrix"] else None,
        "user_data": _user_data(raw["user_data"]),
        "parameter_changes": tuple(str(one) for one in raw["parameter_changes"]),
    }
    return VideoInfo(
        **{**raw, **shaped},
        codec=stream.codec,
        time_base=stream.time_base,
        start=stream.start,
        duration_s=stream.duration_s,
        packets=stream.packets,
    )
