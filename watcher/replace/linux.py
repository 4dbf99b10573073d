"""The few Linux calls that Python lacks, as functions that raise OSError with the right errno.

Nothing here decides anything. Every call takes descriptors and bare names, so that a caller can
stay relative to one open directory. What the running C library does not offer raises ENOSYS.
"""

import ctypes
import errno
import fcntl
import os
import platform
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

AT_EMPTY_PATH = 0x1000
_AT_SYMLINK_NOFOLLOW = 0x100
_RENAME_NOREPLACE, _RENAME_EXCHANGE = 1, 2
_SYNC_FILE_RANGE_WRITE = 2
_STATX_WANTED = 0x7FF | 0x800  # the basic fields and the birth time
_STATX_BTIME = 0x800
_NS = 1_000_000_000
_THIS_THREAD = 1  # IOPRIO_WHO_PROCESS with 0: the priority is a thread's, not a process's
_IO_IDLE = 3 << 13
_IO_PRIORITY_CALLS = {"x86_64": (251, 252), "aarch64": (30, 31)}  # ioprio_set, ioprio_get

ATTRIBUTE_IMMUTABLE = 0x10
ATTRIBUTE_APPEND = 0x20
ATTRIBUTE_MOUNT_ROOT = 0x2000
ATTRIBUTE_VERITY = 0x100000

_libc = ctypes.CDLL(None, use_errno=True)


class _Timestamp(ctypes.Structure):
    _fields_ = (
        ("seconds", ctypes.c_int64),
        ("nanoseconds", ctypes.c_uint32),
        ("reserved", ctypes.c_int32),
    )

    def ns(self) -> int:
        return int(self.seconds) * _NS + int(self.nanoseconds)


class _Statx(ctypes.Structure):
    _fields_ = (
        ("mask", ctypes.c_uint32),
        ("block_size", ctypes.c_uint32),
        ("attributes", ctypes.c_uint64),
        ("nlink", ctypes.c_uint32),
        ("uid", ctypes.c_uint32),
        ("gid", ctypes.c_uint32),
        ("mode", ctypes.c_uint16),
        ("reserved", ctypes.c_uint16),
        ("inode", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
        ("blocks", ctypes.c_uint64),
        ("attributes_mask", ctypes.c_uint64),
        ("atime", _Timestamp),
        ("btime", _Timestamp),
        ("ctime", _Timestamp),
        ("mtime", _Timestamp),
        ("rdev_major", ctypes.c_uint32),
        ("rdev_minor", ctypes.c_uint32),
        ("dev_major", ctypes.c_uint32),
        ("dev_minor", ctypes.c_uint32),
        ("rest", ctypes.c_uint64 * 14),
    )


@dataclass(frozen=True, slots=True)
class Statx:
    """What statx(2) says; *birth_ns* is None where the file system keeps no birth time."""

    mode: int
    inode: int
    birth_ns: int | None
    size: int
    atime_ns: int
    mtime_ns: int
    ctime_ns: int
    nlink: int
    uid: int
    gid: int
    device: int
    attributes: int


def statx(fd: int, name: str) -> Statx:
    """Look at *name* in the directory *fd* without following a link; "" is *fd* itself."""
    answer = _Statx()
    flags = _AT_SYMLINK_NOFOLLOW | (0 if name else AT_EMPTY_PATH)
    _call("statx", fd, os.fsencode(name), flags, _STATX_WANTED, ctypes.byref(answer))
    return Statx(
        mode=answer.mode,
        inode=answer.inode,
        birth_ns=(answer.btime.ns() or None) if answer.mask & _STATX_BTIME else None,
        size=answer.size,
        atime_ns=answer.atime.ns(),
        mtime_ns=answer.mtime.ns(),
        ctime_ns=answer.ctime.ns(),
        nlink=answer.nlink,
        uid=answer.uid,
        gid=answer.gid,
        device=os.makedev(answer.dev_major, answer.dev_minor),
        attributes=answer.attributes,
    )


def rename_noreplace(directory_fd: int, old: str, new: str) -> None:
    """Rename, failing with EEXIST where *new* is taken."""
    _rename(directory_fd, old, new, _RENAME_NOREPLACE)


def rename_exchange(directory_fd: int, one: str, other: str) -> None:
    """Let two names change places in one step; ENOENT where either is absent."""
    _rename(directory_fd, one, other, _RENAME_EXCHANGE)


def start_writeback(fd: int) -> None:
    """Begin to write dirty pages, waiting for none, so that a later fsync has little to do."""
    _call("sync_file_range", fd, ctypes.c_int64(0), ctypes.c_int64(0), _SYNC_FILE_RANGE_WRITE)


def take_read_lease(fd: int) -> None:
    """Take a read lease: EAGAIN while anybody has the file open for writing.

    A lease that is broken raises a signal whose default is to kill. SIGURG's default is to be
    ignored, and asking for it needs no handler: those can be set in the main thread only.
    """
    fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)


def has_read_lease(fd: int) -> bool:
    """Say whether the lease still stands; False from the moment a writer asks for the file."""
    return fcntl.fcntl(fd, fcntl.F_GETLEASE) == fcntl.F_RDLCK


def drop_lease(fd: int) -> None:
    """Give the lease back; a writer that waited goes on."""
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)


@contextmanager
def idle_io() -> Iterator[None]:
    """Let this thread's reads give way to everybody's; where that can't be had they do not."""
    calls = _IO_PRIORITY_CALLS.get(platform.machine())
    if calls is None:
        yield
        return
    set_it, get_it = calls
    before = _libc.syscall(get_it, _THIS_THREAD, 0)
    _libc.syscall(set_it, _THIS_THREAD, 0, _IO_IDLE)
    try:
        yield
    finally:
        if before >= 0:
            _libc.syscall(set_it, _THIS_THREAD, 0, before)


@dataclass(frozen=True, slots=True)
class Mount:
    """The mounted file system that holds a directory."""

    kind: str
    read_only: bool
    journal: bool | None
    """For ext4 whether it has a journal; None where that can't be told, or is no question."""


def mount_of(fd: int) -> Mount:
    """Say which file system the open directory *fd* is on; kind "" where /proc does not tell."""
    mount_id = _line_of(Path(f"/proc/self/fdinfo/{fd}"), "mnt_id:")
    for line in _text(Path("/proc/self/mountinfo")).splitlines():
        before, _, after = line.partition(" - ")
        fields, kinds = before.split(), after.split()
        if fields and fields[0] == mount_id and kinds:
            options = {*fields[5].split(","), *kinds[-1].split(",")}
            journal = _has_journal(fields[2]) if kinds[0] == "ext4" else None
            return Mount(kind=kinds[0], read_only="ro" in options, journal=journal)
    return Mount(kind="", read_only=False, journal=None)


def _has_journal(device: str) -> bool | None:
    block = Path("/sys/dev/block", device).resolve().name
    task = _text(Path("/sys/fs/ext4", block, "journal_task")).strip()
    return None if not task else task != "<none>"


def _line_of(path: Path, key: str) -> str:
    for line in _text(path).splitlines():
        if line.startswith(key):
            return line.removeprefix(key).strip()
    return ""


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


def _rename(directory_fd: int, old: str, new: str, flags: int) -> None:
    _call("renameat2", directory_fd, os.fsencode(old), directory_fd, os.fsencode(new), flags)


def _call(function: str, *arguments: object) -> None:
    entry = getattr(_libc, function, None)
    if entry is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), function)
    while entry(*arguments) < 0:
        number = ctypes.get_errno()
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number), function)
