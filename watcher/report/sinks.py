"""Where log lines go, each behind a bounded queue and a thread of its own.

Promises: `put` never raises and never waits for a consumer, so a full disk, a closed pipe or a
reader that has stopped reading costs the work nothing. What does not fit into a queue is dropped,
counted, and said (`log_dropped`) as soon as lines flow again. Lines keep their order, and a line is
never torn: after a short write it goes on where it stopped. The locks are re-entrant, so a signal
handler may log in the middle of a log call.
"""

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from watcher import events
from watcher.clock import Clock, SystemClock
from watcher.report.outlets import Outlet

QUEUE_BYTES = 8 * 1024 * 1024
_CHUNK_BYTES = 64 * 1024
_SAY_EVERY_S = 60.0
_RETRY_S, _RETRY_MOST_S = 0.05, 5.0
_COMPLAIN_S = 1.0  # a pause of this length: it is more than a pipe that was full for a moment


@dataclass(frozen=True, slots=True)
class Line:
    """One event, ready to be written: *data* is its JSON, without the line break."""

    ts_ns: int
    level: str
    event: str
    data: bytes
    camera: str | None = None
    job: str | None = None


class Sink(Protocol):
    """Somewhere for lines to go."""

    def put(self, line: Line) -> None:
        """Take *line*, or count it as dropped; never raise, never wait for a consumer."""

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything taken so far is delivered; False if the time was too short."""

    def finish(self) -> None:
        """Take nothing more, and hurry; return at once."""

    def close(self, timeout_s: float) -> bool:
        """Deliver what can be delivered in that time, and stop; False if something is left."""


class LineQueue:
    """Lines on their way to one thread, bounded by their bytes."""

    def __init__(self, limit_bytes: int = QUEUE_BYTES) -> None:
        self._limit = limit_bytes
        self._lines: deque[Line] = deque()
        self._bytes = 0
        self._closed = self._busy = False
        self._changed = threading.Condition(threading.RLock())

    def put(self, line: Line) -> bool:
        """Take *line* at the end; False where it does not fit any more."""
        with self._changed:
            if self._closed or self._bytes + len(line.data) > self._limit:
                return False
            self._lines.append(line)
            self._bytes += len(line.data)
            self._changed.notify_all()
            return True

    def take(self, at_most_bytes: int = _CHUNK_BYTES) -> list[Line]:
        """Wait for lines and take the oldest; nothing once the queue is closed and empty."""
        taken: list[Line] = []
        with self._changed:
            self._busy = False
            self._changed.notify_all()
            while not self._lines and not self._closed:
                self._changed.wait()
            while self._lines and at_most_bytes > 0:
                taken.append(self._lines.popleft())
                at_most_bytes -= len(taken[-1].data)
                self._bytes -= len(taken[-1].data)
            self._busy = bool(taken)
        return taken

    def drained(self, timeout_s: float) -> bool:
        """Wait until every line was taken and the taker has come back; False at the time-out."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._lines and not self._busy, timeout_s)

    def close(self) -> None:
        """Take nothing more; what is in it can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class Drops:
    """Lines that one sink could not deliver, until it is said how many they were."""

    def __init__(self, where: str, clock: Clock, emit: events.Emit) -> None:
        self._where = where
        self._clock = clock
        self._emit = emit
        self._lock = threading.RLock()
        self._counts: dict[str, int] = {}
        self._details: dict[str, str] = {}
        self._said_s = float("-inf")
        self.total = 0

    def count(self, line: Line | None, reason: str, number: int = 1, detail: str = "") -> None:
        """Remember *number* lines dropped; a dropped `log_dropped` starts no circle."""
        if number == 0 or (line is not None and line.event == "log_dropped"):
            return
        with self._lock:
            self._details[reason] = detail
            self._counts[reason] = self._counts.get(reason, 0) + number
            self.total += number

    def say(self, *, now: bool = False) -> None:
        """Tell what was dropped since the last time, once a minute at most."""
        with self._lock:
            soon = self._clock.monotonic_s() - self._said_s < _SAY_EVERY_S
            if not self._counts or (soon and not now):
                return
            counts, self._counts = self._counts, {}
            self._said_s = self._clock.monotonic_s()
        for reason, number in counts.items():
            detail = {"detail": self._details[reason]} if self._details[reason] else {}
            self._emit("log_dropped", where=self._where, reason=reason, count=number, **detail)


def _to_standard_error(words: str) -> None:
    """Say what no log line can say, where a service manager will find it."""
    with contextlib.suppress(OSError):
        os.write(2, words.encode("utf-8", "backslashreplace") + b"\n")


class WriterSink:
    """Lines to one stream or file, by a thread that alone may have to wait for it."""

    def __init__(
        self,
        name: str,
        outlet: Outlet,
        render: Callable[[Line], bytes],
        *,
        queue_bytes: int = QUEUE_BYTES,
        clock: Clock | None = None,
        emit: events.Emit = events.emit,
        complain: Callable[[str], None] = _to_standard_error,
    ) -> None:
        self._name = name
        self._complain = complain
        self._clock = clock or SystemClock()
        self._outlet = outlet
        self._render = render
        self._queue = LineQueue(queue_bytes)
        self._gone, self._stopping = threading.Event(), threading.Event()
        self.drops = Drops(name, self._clock, emit)
        self._thread = threading.Thread(target=self._run, name=f"watcher-log-{name}", daemon=True)
        self._thread.start()

    def put(self, line: Line) -> None:
        """See `Sink`."""
        if self._gone.is_set():
            self.drops.count(line, "closed")
        elif not self._queue.put(line):
            self.drops.count(line, "queue_full")

    def flush(self, timeout_s: float) -> bool:
        """See `Sink`."""
        return self._queue.drained(timeout_s)

    def finish(self) -> None:
        """See `Sink`."""
        self.drops.say(now=True)
        self._queue.close()

    def close(self, timeout_s: float) -> bool:
        """See `Sink`; a thread that is stuck in a write is left behind (it is a daemon)."""
        self.finish()
        drained = self._queue.drained(timeout_s)
        self._stopping.set()
        self._thread.join(timeout_s if drained else 0.1)
        if self._thread.is_alive():
            return False
        self._outlet.close()  # may be done again: it is given back once
        return drained

    def _run(self) -> None:
        while lines := self._queue.take():
            if self._gone.is_set() or not self._deliver(self._rendered(lines)):
                for line in lines:
                    self.drops.count(line, "closed")
            else:
                self.drops.say()

    def _rendered(self, lines: list[Line]) -> bytes:
        try:
            return b"".join([self._render(line) for line in lines])
        except Exception:  # noqa: BLE001 - a renderer that fails must not end the log
            return b"".join([line.data + b"\n" for line in lines])

    def _deliver(self, data: bytes) -> bool:
        """Write *data* whole, waiting out a full disk; False if the outlet is gone."""
        rest = memoryview(data)
        pause_s = _RETRY_S
        while rest:
            try:
                rest = rest[self._outlet.write(rest) :]
                pause_s = _RETRY_S
            except (OSError, ValueError) as error:  # ValueError: a closed Python stream
                if getattr(error, "errno", None) in self._outlet.gone_for_good or isinstance(
                    error, ValueError
                ):
                    self._gone.set()
                    return False
                if pause_s <= _COMPLAIN_S < 2 * pause_s:
                    self._complain(f"watcher: log {self._name}: {error}; lines wait, then are lost")
                if self._clock.wait(self._stopping, pause_s):
                    return False
                pause_s = min(2 * pause_s, _RETRY_MOST_S)
        return True
