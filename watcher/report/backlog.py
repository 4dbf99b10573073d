"""Lines that Loki does not have yet: on disk where that works, in memory where it does not.

Order is kept: what is in memory is always younger than what is on disk, and goes to the disk as
soon as the disk takes it. Two threads use it, one that adds and one that takes; disk input and
output happens under a lock that neither a caller of the log nor a stop ever needs.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence

from watcher.report.spool import Entry, Spool

MEMORY_BYTES = 8 * 1024 * 1024
_APPEND_BYTES = 64 * 1024


class Backlog:
    """What waits for Loki. *dropped* is told (reason, number) of what could not be kept."""

    def __init__(
        self,
        open_spool: Callable[[], Spool | None],
        dropped: Callable[[str, int], None],
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        self._open_spool = open_spool
        self._dropped = dropped
        self._memory_limit = memory_bytes
        self._disk = threading.Lock()
        self._spool: Spool | None = None
        self._memory: deque[Entry] = deque()
        self._memory_bytes = 0
        self._changed = threading.Condition()
        self._waiting = 0
        self._unreadable = 0
        self._finished = False
        self.disk_trouble: str | None = None
        """Why lines are in memory alone just now."""
        self.highest_ns = 0
        """The newest time-stamp that Loki is known to have."""

    @property
    def waiting(self) -> int:
        """How many lines wait, those being sent included."""
        return self._waiting

    @property
    def in_memory(self) -> bool:
        """Say whether what waits is in memory alone, so that a restart would lose it."""
        return self._spool is None or self.disk_trouble is not None

    def open(self) -> None:
        """Find what an earlier run has left."""
        with self._disk:
            self._usable_spool()

    def add(self, entries: Sequence[Entry]) -> None:
        """Keep *entries* behind what is there."""
        with self._disk:
            self._memory.extend(entries)
            self._count(len(entries))
            self._memory_bytes += sum(len(entry.text) for entry in entries)
            lost = self._to_disk()
            too_many = 0
            while self._memory_bytes > self._memory_limit and self._memory:
                self._memory_bytes -= len(self._memory.popleft().text)
                too_many += 1
        self._lose("spool_full", lost)
        self._lose("memory_full", too_many)

    def take(self, most_bytes: int, most_lines: int) -> list[Entry]:
        """Give the oldest lines not taken yet; each is to be settled or put back."""
        with self._disk:
            taken = self._spool.take(most_bytes, most_lines) if self._spool else []
            unreadable = (self._spool.unreadable if self._spool else 0) - self._unreadable
            self._unreadable += unreadable
            while not taken or taken[-1].place is None:
                if not self._memory or most_bytes <= 0 or len(taken) >= most_lines:
                    break
                taken.append(self._memory.popleft())
                most_bytes -= len(taken[-1].text)
                self._memory_bytes -= len(taken[-1].text)
            if not taken:  # a count that a damaged spool has made wrong must spin nobody
                self._count(unreadable - self._waiting)
        self._lose("unreadable", unreadable)
        return taken

    def settle(self, entries: Sequence[Entry], highest_ns: int = 0) -> None:
        """Forget *entries*: Loki has them, or never will."""
        places = [entry.place for entry in entries if entry.place is not None]
        self.highest_ns = max(self.highest_ns, highest_ns)
        with self._disk:
            if self._spool:
                try:
                    self._spool.settle(max(places, default=(0, 0)), self.highest_ns)
                except OSError as error:
                    self.disk_trouble = str(error)
        self._count(-len(entries))

    def wait(self) -> bool:
        """Wait until there is something to take, or no more will come: then False."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting > 0 or self._finished)
            return self._waiting > 0

    def emptied(self, timeout_s: float) -> bool:
        """Wait until nothing waits any more; False at the time-out."""
        with self._changed:
            return self._changed.wait_for(lambda: self._waiting <= 0, timeout_s)

    def finish(self) -> None:
        """No more lines will be added."""
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    def close(self, in_flight: Sequence[Entry]) -> int:
        """Leave on disk what was not sent, *in_flight* included; say how much was lost instead."""
        with self._disk:
            self._memory.extendleft(entry for entry in reversed(in_flight) if entry.place is None)
            lost = self._to_disk()
            left, self._memory = len(self._memory), deque()
            if self._spool:
                self._spool.close()
                self._spool = None
        self._lose("spool_full", lost)
        self._lose("stopped", left)
        return left

    def _to_disk(self) -> int:
        """Move everything in memory to the spool; say how many old lines went for it."""
        spool = self._usable_spool()
        lost = 0
        while spool is not None and self._memory:
            some, size = [], 0
            for entry in self._memory:
                some.append(entry)
                size += len(entry.text)
                if size >= _APPEND_BYTES:
                    break
            try:
                lost += spool.append(some)
            except OSError as error:
                self.disk_trouble = str(error)
                break
            self.disk_trouble = None
            self._memory_bytes -= size
            for _ in some:
                self._memory.popleft()
        return lost

    def _usable_spool(self) -> Spool | None:
        """Open the spool, now or as soon as it can be opened."""
        if self._spool is None:
            try:
                self._spool = self._open_spool()
            except OSError as error:
                self.disk_trouble = str(error)
            if self._spool:
                self.highest_ns = max(self.highest_ns, self._spool.highest_ns)
                self._count(self._spool.unread)
        return self._spool

    def _lose(self, reason: str, number: int) -> None:
        if number:
            self._dropped(reason, number)
            self._count(-number)

    def _count(self, change: int) -> None:
        with self._changed:
            self._waiting += change
            self._changed.notify_all()
