"""What a log is written to: a stream by its descriptor, or a file that is rotated.

An outlet writes what it can and says how much; waiting, trying again and giving up is the business
of the sink before it.
"""

import contextlib
import errno
import fcntl
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Outlet(Protocol):
    """What a `WriterSink` writes to."""

    @property
    def gone_for_good(self) -> frozenset[int]:
        """The error numbers after which writing again is of no use."""

    def write(self, data: memoryview) -> int:
        """Write some of *data* and say how much; raise OSError."""

    def close(self) -> None:
        """Give back what is held."""


class DescriptorOutlet:
    """A stream by its file descriptor: standard output, a pipe, a terminal."""

    gone_for_good = frozenset({errno.EPIPE, errno.EBADF, errno.EIO, errno.ENXIO})
    """Nobody reads the pipe, the terminal hung up."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = os.dup(descriptor)  # whoever closes theirs does not pull ours away

    def is_terminal(self) -> bool:
        """Say whether a person is likely to read this."""
        return os.isatty(self._descriptor)

    def write(self, data: memoryview) -> int:
        """See `Outlet`."""
        return os.write(self._descriptor, data)

    def is_journal(self, environment: Mapping[str, str]) -> bool:
        """Say whether systemd's journal reads this: it then tells so by device and inode."""
        try:
            there = os.fstat(self._descriptor)
        except OSError:
            return False
        return environment.get("JOURNAL_STREAM") == f"{there.st_dev}:{there.st_ino}"

    def close(self) -> None:
        """See `Outlet`."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class FileOutlet:
    """A file that is rotated by size: `log`, `log.1`, … `log.<backups>`.

    It is opened again when somebody (logrotate, another Watcher) moved it away, and only one
    process rotates it: that is done under a lock on the file.
    """

    gone_for_good: frozenset[int] = frozenset()
    """A disk that is full, broken or away is waited for."""

    def __init__(self, path: str, limit_bytes: int, backups: int) -> None:
        self._path = path
        self._limit = limit_bytes
        self._backups = backups
        self._descriptor = -1
        self._at_line_start = True

    def write(self, data: memoryview) -> int:
        """See `Outlet`; the file changes only between lines."""
        if self._at_line_start or self._descriptor < 0:
            self._open()
            if os.fstat(self._descriptor).st_size + len(data) > self._limit:
                self._rotate()
        try:
            written = os.write(self._descriptor, data)
        except OSError as error:
            if error.errno not in _FULL:
                self.close()  # a disk that was away may be back under another descriptor
            raise
        self._at_line_start = written > 0 and data[written - 1] == ord("\n")
        return written

    def close(self) -> None:
        """See `Outlet`."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> None:
        if self._descriptor >= 0 and self._is_current():
            return
        self.close()
        Path(self._path).parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._descriptor = os.open(self._path, flags, 0o640)

    def _is_current(self) -> bool:
        try:
            there = Path(self._path).stat()
        except FileNotFoundError:
            return False
        return os.path.samestat(there, os.fstat(self._descriptor))

    def _rotate(self) -> None:
        if os.fstat(self._descriptor).st_size == 0:
            return
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        # A rotation that fails (a directory that may not be written) leaves a longer file, no gap.
        with contextlib.suppress(OSError):
            self._move_on()
        self._open()

    def _move_on(self) -> None:
        if self._is_current():
            for number in range(self._backups - 1, 0, -1):
                older = Path(f"{self._path}.{number}")
                if older.exists():
                    older.replace(f"{self._path}.{number + 1}")
            Path(self._path).replace(f"{self._path}.1")
