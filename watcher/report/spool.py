"""Log lines on disk until Loki has them: bounded, in order, and still there after a restart.

A directory of numbered segments, each one record a line, and a cursor that says how far Loki has
taken them. Whole segments go once they are sent, or, oldest first, when the bound is reached.
Nothing is fsynced: a killed process loses no record, a power cut the last seconds' (as journald
does). A record that a power cut has torn is skipped and counted. One process at a time: the cursor
is locked, and a second one gets `BlockingIOError`. Not thread-safe; `backlog.py` holds the lock.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

Place = tuple[int, int]
"""(number of a segment, offset in it): where a record ends."""

_CHUNK_BYTES = 1024 * 1024
_SHARE = 16  # a segment is at most this part of the bound, so little goes when one has to go
_CURSOR = "{:016d} {:016d} {:020d}\n"
_SUFFIX = ".spool"
_BESIDE = "-2"


@dataclass(frozen=True, slots=True)
class Entry:
    """One log line for Loki."""

    ts_ns: int
    text: str
    metadata: dict[str, str]
    place: Place | None = None
    """Where it ends in the spool; None while it is in memory alone."""


@dataclass(slots=True)
class _Segment:
    number: int
    path: Path
    size: int
    unread: int


def open_spool(directory: str, limit_bytes: int) -> "Spool":
    """Open the spool in *directory*, or the one beside it where another process has that.

    A command works beside the service for a while; what it leaves beside, the next one to open
    *directory* itself takes over. Raises OSError.
    """
    try:
        spool = Spool(directory, limit_bytes)
    except BlockingIOError:
        return Spool(directory + _BESIDE, limit_bytes)
    with contextlib.suppress(OSError):  # it stays where it is, for another time
        if os.path.isdir(directory + _BESIDE):
            _take_over(spool, Spool(directory + _BESIDE, limit_bytes))
    return spool


def _take_over(spool: "Spool", other: "Spool") -> None:
    try:
        while entries := other.take(_CHUNK_BYTES, _CHUNK_BYTES):
            spool.append(entries)
            other.settle(entries[-1].place or (0, 0), 0)
    finally:
        other.close()


class Spool:
    """The records between the cursor and the last one appended."""

    def __init__(self, directory: str, limit_bytes: int) -> None:
        self._directory = Path(directory)
        self._limit = limit_bytes
        self._segment_limit = max(limit_bytes // _SHARE, 1024)
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._cursor = os.open(
            self._directory / "cursor", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(self._cursor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            number, offset, self.highest_ns = self._read_cursor()
            self._settled: Place = (number, offset)
            self._write_cursor()  # what is there once can be written again on a full disk
            self._segments = list(self._found(number, offset))
        except OSError:
            os.close(self._cursor)
            raise
        self._next = max([number, *(segment.number for segment in self._segments)]) + 1
        self._read: Place = self._settled
        self._active = -1
        self.unreadable = 0
        """Records that could not be read again, so far."""

    @property
    def unread(self) -> int:
        """How many records have not been taken yet."""
        return sum(segment.unread for segment in self._segments)

    def append(self, entries: Sequence[Entry]) -> int:
        """Keep *entries*, all or none; say how many old records had to go. Raises OSError."""
        data = b"".join(
            orjson.dumps([entry.ts_ns, entry.metadata, entry.text]) + b"\n" for entry in entries
        )
        segment = self._begin_segment() if self._is_full() else self._segments[-1]
        try:
            _write_whole(self._active, data)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._active, segment.size)
            self._close_active()  # what a failed write left is never written on to
            raise
        segment.size += len(data)
        segment.unread += len(entries)
        return self._evict()

    def take(self, most_bytes: int, most_lines: int) -> list[Entry]:
        """Give the oldest records that were not taken yet; they stay until they are settled."""
        taken: list[Entry] = []
        while most_bytes > 0 and len(taken) < most_lines:
            segment = self._to_read()
            if segment is None:
                break
            for end, record in self._records(segment):
                self._read = (segment.number, end)
                segment.unread = max(0, segment.unread - 1)
                entry = _parsed(record, self._read)
                if entry is None:
                    self.unreadable += 1
                    continue
                taken.append(entry)
                most_bytes -= len(record)
                if most_bytes <= 0 or len(taken) >= most_lines:
                    break
        return taken

    def settle(self, place: Place, highest_ns: int) -> None:
        """Forget everything up to *place*. Raises OSError."""
        self.highest_ns = max(self.highest_ns, highest_ns)
        self._settled = max(self._settled, place)
        self._write_cursor()
        while self._segments and self._segments[0].number < self._settled[0]:
            self._remove(self._segments.pop(0))

    def close(self) -> None:
        """Give back descriptors and the lock; the records stay."""
        self._close_active()
        for segment in self._segments:
            if self._settled >= (segment.number, segment.size):
                self._remove(segment)
        os.close(self._cursor)

    def _write_cursor(self) -> None:
        text = _CURSOR.format(*self._settled, self.highest_ns)
        os.pwrite(self._cursor, text.encode("ascii"), 0)

    def _read_cursor(self) -> tuple[int, int, int]:
        try:
            number, offset, highest = map(int, os.pread(self._cursor, 100, 0).split())
        except ValueError:
            return 0, 0, 0  # new, or torn by a power cut: send again rather than lose
        return number, offset, highest

    def _found(self, number: int, offset: int) -> Iterator[_Segment]:
        """Give the segments with something unsent, oldest first; remove the others."""
        for path in sorted(self._directory.glob(f"*{_SUFFIX}")):
            if not path.stem.isdecimal():
                continue
            segment = _Segment(int(path.stem), path, path.stat().st_size, 0)
            start = min(offset, segment.size) if segment.number == number else 0
            if segment.number < number or start >= segment.size:
                self._remove(segment)
                continue
            data = path.read_bytes()[start:]
            segment.unread = data.count(b"\n") + (not data.endswith(b"\n"))
            yield segment

    def _is_full(self) -> bool:
        return self._active < 0 or self._segments[-1].size >= self._segment_limit

    def _begin_segment(self) -> _Segment:
        self._close_active()
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._directory / f"{self._next:016d}{_SUFFIX}"
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._active = os.open(path, flags, 0o600)
        segment = _Segment(self._next, path, 0, 0)
        self._next += 1
        self._segments.append(segment)
        return segment

    def _close_active(self) -> None:
        if self._active >= 0:
            os.close(self._active)
            self._active = -1

    def _evict(self) -> int:
        lost = 0
        while len(self._segments) > 1 and sum(one.size for one in self._segments) > self._limit:
            oldest = self._segments.pop(0)
            lost += oldest.unread
            self._remove(oldest)
        return lost

    def _remove(self, segment: _Segment) -> None:
        with contextlib.suppress(OSError):  # tried again at the next start
            segment.path.unlink()

    def _to_read(self) -> _Segment | None:
        """Give the segment that the next record is in; the reading place is moved to it."""
        for segment in self._segments:
            if segment.number < self._read[0]:
                continue
            if segment.number > self._read[0]:
                self._read = (segment.number, 0)
            if self._read[1] < segment.size:
                return segment
        return None

    def _records(self, segment: _Segment) -> Iterator[tuple[int, bytes]]:
        """Give (its end, the record) from the reading place on, as far as one read reaches."""
        start = self._read[1]
        data = self._data(segment, start)
        if not data or (b"\n" not in data and len(data) == _CHUNK_BYTES):
            # Gone, or no log of ours: nothing of this segment can be told.
            self.unreadable += max(0, segment.unread - 1)
            segment.unread = 0
            yield segment.size, b""
            return
        *whole, rest = data.split(b"\n")
        for record in whole:
            start += len(record) + 1
            yield start, record
        if rest and start + len(rest) == segment.size:  # torn at its end
            yield segment.size, rest

    def _data(self, segment: _Segment, start: int) -> bytes:
        length = min(_CHUNK_BYTES, segment.size - start)
        try:
            if segment is self._segments[-1] and self._active >= 0:
                return os.pread(self._active, length, start)
            with segment.path.open("rb") as file:
                file.seek(start)
                return file.read(length)
        except OSError:
            return b""


def _write_whole(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _parsed(record: bytes, place: Place) -> Entry | None:
    try:
        ts_ns, metadata, text = orjson.loads(record)
        plain = {str(name): str(value) for name, value in metadata.items()}
        return Entry(int(ts_ns), str(text), plain, place)
    except (ValueError, TypeError, AttributeError):
        return None
