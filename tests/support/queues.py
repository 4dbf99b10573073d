"""Kernel queues that are too small, for as long as it takes to make an inotify instance."""

import ctypes
import fcntl
import os
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from watcher.clock import Clock
from watcher.segments.inotify import Inotify, Reader

_LIMIT = Path("/proc/sys/fs/inotify/max_queued_events")
_ONE_AT_A_TIME = Path(tempfile.gettempdir()) / "watcher-tests-small-queue.lock"
"""Of all processes: two that change the machine's limit at once would leave it small for ever."""
_USUAL = 16_384
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_AT_SYMLINK_NOFOLLOW, _UTIME_OMIT = 0x100, (1 << 30) - 2


def can_shrink() -> bool:
    """Whether this process may set the kernel's limit (root, and /proc/sys writable)."""
    return os.access(_LIMIT, os.W_OK) and os.geteuid() == 0


NEEDS_SMALL_QUEUE = pytest.mark.skipif(
    not can_shrink(),
    reason="NOT SHOWN HERE: only root, with /proc/sys writable, may make the kernel's queue small",
)


class SmallQueue:
    """Makes `Inotify` instances whose queue holds *length* events.

    The kernel reads its limit when an instance is made, so it is lowered for that moment only.
    """

    def __init__(self, length: int) -> None:
        self.length = length

    def __call__(self, reader: Reader, clock: Clock) -> Inotify:
        with _ONE_AT_A_TIME.open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the lock ends with the file
            before = int(_LIMIT.read_text())
            if before <= self.length:
                before = _USUAL  # left behind by one that was killed in here
            try:
                _LIMIT.write_text(str(self.length))
                return Inotify(reader, clock)
            finally:
                with suppress(OSError):
                    _LIMIT.write_text(str(before))


def exchange(one: os.PathLike[str], other: os.PathLike[str]) -> None:
    """renameat2(RENAME_EXCHANGE)."""
    libc = ctypes.CDLL(None, use_errno=True)
    paths = os.fsencode(one), os.fsencode(other)
    if libc.renameat2(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE):
        raise OSError(ctypes.get_errno(), "renameat2")


def touch_mtime(path: Path, mtime_ns: int) -> None:
    """Set the time of the last write alone, as `touch -m` does: inotify calls that modified."""
    times = (ctypes.c_long * 4)(0, _UTIME_OMIT, *divmod(mtime_ns, 10**9))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.utimensat(_AT_FDCWD, os.fsencode(path), times, _AT_SYMLINK_NOFOLLOW) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)
