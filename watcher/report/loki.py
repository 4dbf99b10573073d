"""The push to Loki: every line arrives, in order, whatever happens to Loki meanwhile.

A line goes through a bounded queue to one thread that keeps it on disk (`backlog.py`), and from
there to one thread that sends it (`push.py`). It is forgotten only when Loki has answered for it.
While Loki is away the sender waits, from half a second to half a minute, and a stop ends that wait
at once. What could not be delivered, for whatever reason, is counted and said (`log_dropped`).
"""

import os
import random
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import takewhile

from watcher import events
from watcher.clock import Clock, SystemClock
from watcher.config import Loki
from watcher.report.backlog import Backlog
from watcher.report.push import (
    BEHIND_NS,
    Answer,
    Client,
    LokiSettings,
    Meaning,
    body,
    expired,
    labels_of,
    stamps,
)
from watcher.report.sinks import Drops, Line, LineQueue
from watcher.report.spool import Entry, Spool, open_spool

__all__ = ["LokiSettings", "LokiSink", "reach", "remedy_for", "settings_of"]

_S = 1_000_000_000
_BATCH_BYTES = 512 * 1024
_BATCH_LINES = 1000
_LINGER_S = 1.0
_PAUSE_S, _PAUSE_MOST_S = 0.5, 30.0
_SAY_AFTER_S = 60.0
_STOP_S = 4.0  # of the five that a stop may take: the rest is for the spool and the stream
_TRIES_ALONE = 3
"""How often a single line is sent to somebody who calls it too large."""
_DROPPED = '"event":"log_dropped"'
"""Lines that tell of drops are not counted when dropped: that would go round for ever."""
_REMEDY = "nothing, if Loki is known to be away: the lines are sent when it is back"
_REMEDIES = {
    "status_401": "check logging.loki.username, password_file or token_file",
    "status_403": "check what the user or token of logging.loki may do, and logging.loki.tenant",
    "status_404": "check logging.loki.url: this server has no /loki/api/v1/push",
    "settings": "check that the files named under logging.loki exist and can be read",
}


def settings_of(loki: Loki, url: str, state_dir: str) -> LokiSettings:
    """Give what the configuration says of the Loki at *url*; the spool is in *state_dir*."""
    same = loki.model_dump(exclude={"url"})
    return LokiSettings(url=url, spool_directory=os.path.join(state_dir, "loki-spool"), **same)


def reach(settings: LokiSettings) -> Answer:
    """Ask Loki with a push of nothing whether it is there and takes ours; never raises."""
    client = Client(settings)
    try:
        answer = client.post(body(labels_of(settings), []), settings.timeout_seconds)
    finally:
        client.close()
    # That there is nothing to store is no fault; a Loki that says so has let us in.
    return replace(answer, meaning=Meaning.TAKEN) if answer.meaning is Meaning.REFUSED else answer


def remedy_for(answer: Answer) -> str:
    """Say what a person can do about *answer*."""
    return _REMEDIES.get(answer.reason, _REMEDY)


class LokiSink:
    """A `Sink` that pushes lines to Loki until it is closed.

    *beside* says to use a spool of our own where another process has the first; otherwise lines
    wait in memory until that one is given back.
    """

    def __init__(
        self,
        settings: LokiSettings,
        *,
        clock: Clock | None = None,
        emit: events.Emit = events.emit,
        jitter: Callable[[float, float], float] = random.uniform,
        beside: bool = True,
    ) -> None:
        self._open = open_spool if beside else Spool
        self._clock = clock or SystemClock()
        self._settings = replace(settings, host=settings.host or socket.gethostname())
        self._labels = labels_of(self._settings)
        self._emit = emit
        self._jitter = jitter
        self.drops = Drops("loki", self._clock, emit)
        self._queue = LineQueue()
        self._backlog = Backlog(
            self._spool, lambda reason, number: self.drops.count(None, reason, number)
        )
        self._client = Client(self._settings)
        self._stop = threading.Event()
        self._stop_at_s = float("inf")
        self._last_ns = 0
        self._most_lines = _BATCH_LINES
        self._refused_alone = self._lost_at_stop = 0
        self._trouble = _Trouble(self._clock, emit, self._backlog)
        self._threads = [
            threading.Thread(target=run, name=name, daemon=True)
            for name, run in (
                ("watcher-loki-spool", self._keep_all),
                ("watcher-loki-push", self._push_all),
            )
        ]
        for thread in self._threads:
            thread.start()

    def put(self, line: Line) -> None:
        """See `Sink`."""
        if not self._queue.put(line):
            self.drops.count(line, "queue_full")

    def flush(self, timeout_s: float) -> bool:
        """See `Sink`; a Loki that is away makes this False, and loses nothing."""
        return self._queue.drained(timeout_s) and self._backlog.emptied(timeout_s)

    def finish(self) -> None:
        """See `Sink`."""
        self._stop_at_s = min(self._stop_at_s, self._clock.monotonic_s() + _STOP_S)
        self.drops.say(now=True)  # while Loki can still be told of it
        self._queue.close()
        self._stop.set()

    def close(self, timeout_s: float) -> bool:
        """See `Sink`; what is not sent by then is in the spool."""
        self.finish()
        end_s = self._clock.monotonic_s() + timeout_s
        for thread in self._threads:
            thread.join(max(0.1, end_s - self._clock.monotonic_s()))
        self.drops.say(now=True)
        ended = not any(thread.is_alive() for thread in self._threads)
        return ended and self._backlog.waiting == 0 and self._lost_at_stop == 0

    @property
    def waiting(self) -> int:
        """How many lines Loki does not have yet."""
        return self._backlog.waiting

    def _spool(self) -> Spool | None:
        directory = self._settings.spool_directory
        return None if directory is None else self._open(directory, self._settings.spool_bytes)

    def _keep_all(self) -> None:
        """Bring lines from the queue to the backlog, until the queue is closed and empty."""
        try:
            while lines := self._queue.take():
                self._backlog.add([self._entry(line) for line in lines])
        finally:
            self._backlog.finish()

    def _entry(self, line: Line) -> Entry:
        """Give *line* a time-stamp of its own, behind the one before: Loki drops what is the same.

        Threads that log at once, and a clock that is set back a little, change no order; a clock
        set back further than Loki's out-of-order window is believed.
        """
        behind = 0 <= self._last_ns - line.ts_ns <= BEHIND_NS
        self._last_ns = self._last_ns + 1 if behind else line.ts_ns
        metadata = {"level": line.level}
        if line.camera:
            metadata["camera"] = line.camera
        if line.job:
            metadata["job"] = line.job
        return Entry(self._last_ns, line.data.decode("utf-8", "replace"), metadata)

    def _push_all(self) -> None:
        left: list[Entry] = []
        try:
            self._backlog.open()
            while not left and self._backlog.wait():
                if self._backlog.waiting < self._most_lines:  # let a batch come together
                    self._clock.wait(self._stop, _LINGER_S)
                left = self._deliver(self._backlog.take(_BATCH_BYTES, _BATCH_LINES))
                self.drops.say()
        except Exception as error:  # noqa: BLE001 - lines go on to the spool, for the next start
            self._emit("unexpected", where="loki", detail=str(error), exc_info=error)
            self._stop.wait()
        self._threads[0].join(max(0.1, self._remaining_s()))
        self._lost_at_stop = self._backlog.close(left)
        self._client.close()

    def _deliver(self, entries: list[Entry]) -> list[Entry]:
        """Send *entries*, however long it takes; give back what a stop has left unsent."""
        pause_s = _PAUSE_S
        while entries:
            now_ns = round(self._clock.wall_s() * _S)
            old = _expired_first(entries, now_ns)
            if old:
                self.drops.count(None, "too_old", old)
                entries = self._settled(entries, old)
                continue
            stamped = self._next(entries, now_ns)
            if self._remaining_s() <= 0:
                return entries
            answer = self._client.post(body(self._labels, stamped), self._remaining_s())
            done = self._taken(answer, stamped)
            if done:
                newest_ns = stamped[-1][0] if answer.meaning is Meaning.TAKEN else 0
                entries = self._settled(entries, done, newest_ns)
                pause_s = _PAUSE_S
            elif answer.meaning is not Meaning.TOO_LARGE or len(stamped) == 1:
                self._trouble.grows(answer)
                wait_s = max(self._jitter(pause_s / 2, pause_s), answer.retry_after_s)
                if self._clock.wait(self._stop, wait_s):
                    return entries
                pause_s = min(2 * pause_s, _PAUSE_MOST_S)
        return []

    def _next(self, entries: list[Entry], now_ns: int) -> list[tuple[int, Entry]]:
        """Give what the next request holds."""
        most = entries[: self._most_lines]
        return list(zip(stamps(most, now_ns, self._backlog.highest_ns), most, strict=False))

    def _taken(self, answer: Answer, stamped: Sequence[tuple[int, Entry]]) -> int:
        """Say how many lines are done with after *answer*; none means that they are sent again."""
        number = len(stamped)
        if answer.meaning is Meaning.TAKEN:
            self._most_lines = min(2 * self._most_lines, _BATCH_LINES)
            return number
        if answer.meaning is Meaning.TOO_LARGE:
            self._most_lines = max(1, number // 2)
            self._refused_alone += number == 1
            if self._refused_alone < _TRIES_ALONE:
                return 0
        elif answer.meaning is not Meaning.REFUSED:
            return 0
        counted = sum(1 for _, entry in stamped if _DROPPED not in entry.text)
        if answer.ignored is not None:
            counted = min(counted, answer.ignored)
        self.drops.count(None, answer.reason, counted, answer.detail)
        return number

    def _settled(self, entries: list[Entry], number: int, highest_ns: int = 0) -> list[Entry]:
        """Forget the first *number* of *entries*; give the others."""
        self._refused_alone = 0
        self._backlog.settle(entries[:number], highest_ns)
        self._trouble.eases(number)
        return entries[number:]

    def _remaining_s(self) -> float:
        """How long requests may still take: for ever, until a stop."""
        return self._stop_at_s - self._clock.monotonic_s()


def _expired_first(entries: Sequence[Entry], now_ns: int) -> int:
    """Count the entries at the beginning that Loki would refuse for their age."""
    return sum(1 for _ in takewhile(lambda entry: expired(entry, now_ns), entries))


class _Trouble:
    """Whether Loki is away, and since when; said once, and once more when it is over."""

    def __init__(self, clock: Clock, emit: events.Emit, backlog: Backlog) -> None:
        self._clock = clock
        self._emit = emit
        self._backlog = backlog
        self._since_s: float | None = None
        self._said = False
        self._lines = 0

    def grows(self, answer: Answer) -> None:
        """Note a failure; a person is told when it lasts, or when only a person can mend it."""
        now_s = self._clock.monotonic_s()
        if self._since_s is None:
            self._since_s = now_s
        lasting = now_s - self._since_s >= _SAY_AFTER_S
        if self._said or not (lasting or answer.meaning is Meaning.MISCONFIGURED):
            return
        self._said = True
        self._emit(
            "log_delayed",
            where="loki",
            reason=answer.reason,
            detail=answer.detail,
            remedy=remedy_for(answer),
            waiting_lines=self._backlog.waiting,
            kept="memory" if self._backlog.in_memory else "disk",
        )

    def eases(self, lines: int) -> None:
        """Note that Loki has answered for some lines."""
        if self._since_s is None:
            return
        self._lines += lines
        if self._said and self._backlog.waiting > 0:
            return
        since_s, self._since_s = self._since_s, None
        if self._said:
            self._said = False
            duration_s = round(self._clock.monotonic_s() - since_s, 1)
            self._emit("log_caught_up", where="loki", duration_s=duration_s, lines=self._lines)
        self._lines = 0
