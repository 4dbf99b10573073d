"""The only place that renames, links, unlinks and fsyncs recordings: one open directory.

With `swap`, `preflight`, `steps`, `mend`, `upkeep` and `leftovers`, which alone call it, this is
"the one module" of the design; a test holds every other module of Watcher to that. It decides
nothing. Every call is relative to the descriptor, so that a directory that is moved or replaced
meanwhile never sends a change to another one.
"""

import errno
import fcntl
import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Self

from watcher.clock import Clock, SystemClock
from watcher.errors import Retryable
from watcher.replace import linux
from watcher.replace.files import Attributes, Check, Handle, Look, never

_CHUNK_BYTES = 1 << 20
_DROP_EVERY_BYTES = 32 << 20
LOCK_PATIENCE_S = 60.0
_LOCK_RETRY_S = 0.1
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_MODE = 0o600
_TAKEN = {errno.EAGAIN, errno.EACCES}  # what flock and leases say while another has it


class LinuxHandle:
    """One open file; see `files.Handle`."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def look(self) -> Look:
        """See `files.Handle`."""
        return _look(linux.statx(self._fd, ""))

    def path(self) -> str:
        """See `files.Handle`. Who follows it opens the inode anew, and looks no name up."""
        return f"/proc/{os.getpid()}/fd/{self._fd}"

    def digest(self, check: Check = never) -> str:
        """See `files.Handle`."""
        with linux.idle_io():  # a whole recording is read: the recorder's writes come first
            digest = self._digested(check)
        self.drop_cache()
        return digest.hexdigest()

    def read(self, limit: int) -> bytes:
        """See `files.Handle`."""
        contents = b""
        while len(contents) < limit:
            chunk = os.pread(self._fd, limit - len(contents), len(contents))
            if not chunk:
                break
            contents += chunk
        return contents

    def write(self, contents: bytes) -> None:
        """See `files.Handle`."""
        rest = memoryview(contents)
        while rest:
            rest = rest[os.write(self._fd, rest) :]

    def sync(self) -> None:
        """See `files.Handle`."""
        os.fsync(self._fd)

    def start_writeback(self) -> None:
        """See `files.Handle`."""
        linux.start_writeback(self._fd)

    def drop_cache(self) -> None:
        """See `files.Handle`."""
        os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def try_lock(self) -> bool:
        """See `files.Handle`."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def lease(self) -> bool:
        """See `files.Handle`."""
        try:
            linux.take_read_lease(self._fd)
        except BlockingIOError:
            return False
        return True

    def lease_holds(self) -> bool:
        """See `files.Handle`."""
        return linux.has_read_lease(self._fd)

    def drop_lease(self) -> None:
        """See `files.Handle`."""
        with suppress(BlockingIOError):  # there is none
            linux.drop_lease(self._fd)

    def attributes(self) -> Attributes:
        """See `files.Handle`."""
        seen = linux.statx(self._fd, "")
        return Attributes(
            uid=seen.uid,
            gid=seen.gid,
            permissions=seen.mode & 0o7777,
            atime_ns=seen.atime_ns,
            mtime_ns=seen.mtime_ns,
            extended=self._extended(),
        )

    def set_attributes(self, wanted: Attributes) -> None:
        """See `files.Handle`.

        Extended ones first, while the file is still ours to write; the mode after the owner,
        whose change clears bits of it; the times last.
        """
        present = dict(self._extended())
        target = dict(wanted.extended)
        for name in present.keys() - target.keys():
            os.removexattr(self._fd, name)
        for name, value in target.items():
            if present.get(name) != value:
                os.setxattr(self._fd, name, value)
        os.fchown(self._fd, wanted.uid, wanted.gid)
        os.fchmod(self._fd, wanted.permissions)
        os.utime(self._fd, ns=(wanted.atime_ns, wanted.mtime_ns))

    def close(self) -> None:
        """See `files.Handle`."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with suppress(OSError):  # it is closed all the same; write-backs are asked for by sync
                os.close(fd)

    def _digested(self, check: Check) -> "hashlib._Hash":
        digest, offset, dropped = hashlib.sha256(), 0, 0
        check()  # who may not read reads nothing: not a chunk of each file either
        while chunk := os.pread(self._fd, _CHUNK_BYTES, offset):
            digest.update(chunk)
            offset += len(chunk)
            if offset - dropped >= _DROP_EVERY_BYTES:
                os.posix_fadvise(self._fd, dropped, offset - dropped, os.POSIX_FADV_DONTNEED)
                dropped = offset
            check()
        return digest

    def _extended(self) -> tuple[tuple[str, bytes], ...]:
        try:
            names = os.listxattr(self._fd)
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP:
                return ()
            raise
        return tuple(sorted((name, os.getxattr(self._fd, name)) for name in names))


class LinuxDirectory:
    """One open directory; see `files.Directory`.

    *patience_s* is how long its lock is waited for: a whole original is read under it.
    """

    def __init__(
        self, path: str, *, clock: Clock | None = None, patience_s: float = LOCK_PATIENCE_S
    ) -> None:
        self.path = path
        self._patience_s = patience_s
        self._clock = clock or SystemClock()
        self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def path_of(self, name: str) -> str:
        """See `files.Directory`."""
        return os.path.join(self.path, name)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """See `files.Directory`."""
        self._lock()
        try:
            yield
        finally:
            with suppress(OSError):  # closing, or the process's end, gives it back as well
                fcntl.flock(self._fd, fcntl.LOCK_UN)

    def look(self, name: str) -> Look | None:
        """See `files.Directory`."""
        try:
            return _look(linux.statx(self._fd, name))
        except FileNotFoundError:
            return None

    def open(self, name: str) -> Handle:
        """See `files.Directory`."""
        return LinuxHandle(os.open(name, _READ, dir_fd=self._fd))

    def create(self, name: str, *, writable: bool = False) -> Handle:
        """See `files.Directory`.

        A handle that can't write has no share in the file's count of writers, so that a lease on
        it tells of everybody else's.
        """
        access = os.O_WRONLY if writable else os.O_RDONLY
        return LinuxHandle(os.open(name, access | _NEW, _NEW_MODE, dir_fd=self._fd))

    def exchange(self, one: str, other: str) -> None:
        """See `files.Directory`."""
        linux.rename_exchange(self._fd, one, other)

    def move(self, old: str, new: str) -> None:
        """See `files.Directory`."""
        linux.rename_noreplace(self._fd, old, new)

    def move_over(self, old: str, new: str) -> None:
        """See `files.Directory`."""
        os.rename(old, new, src_dir_fd=self._fd, dst_dir_fd=self._fd)

    def link(self, old: str, new: str) -> None:
        """See `files.Directory`."""
        os.link(old, new, src_dir_fd=self._fd, dst_dir_fd=self._fd, follow_symlinks=False)

    def unlink(self, name: str) -> None:
        """See `files.Directory`."""
        os.unlink(name, dir_fd=self._fd)

    def sync(self) -> None:
        """See `files.Directory`."""
        os.fsync(self._fd)

    def mount(self) -> tuple[str, bool | None]:
        """See `files.Directory`."""
        mount = linux.mount_of(self._fd)
        return mount.kind, mount.journal

    def longest_name(self) -> int:
        """See `files.Directory`."""
        return os.fpathconf(self._fd, "PC_NAME_MAX")

    def close(self) -> None:
        """See `files.Directory`."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        """Give the open directory."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close it."""
        self.close()

    def _lock(self) -> None:
        give_up_at = self._clock.monotonic_s() + self._patience_s
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if self._clock.monotonic_s() >= give_up_at:
                    raise Retryable(
                        "directory_locked", f"another process keeps {self.path} locked"
                    ) from None
                self._clock.wait(threading.Event(), _LOCK_RETRY_S)
            else:
                return


def _look(seen: linux.Statx) -> Look:
    return Look(
        mode=seen.mode,
        inode=seen.inode,
        birth_ns=seen.birth_ns,
        size=seen.size,
        mtime_ns=seen.mtime_ns,
        ctime_ns=seen.ctime_ns,
        nlink=seen.nlink,
        immutable=bool(seen.attributes & (linux.ATTRIBUTE_IMMUTABLE | linux.ATTRIBUTE_APPEND)),
        mount_root=bool(seen.attributes & linux.ATTRIBUTE_MOUNT_ROOT),
    )
