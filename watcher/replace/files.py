"""What the swap needs of a file system, as two protocols and the values that pass through them.

`directory.LinuxDirectory` is the real one; the tests' FakeDirectory runs the same code with
crashes, power cuts and strangers between any two calls, and passes the same contract tests. Every
call is one step that may be the last one: none hides a second change behind the first.
"""

import stat
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol, Self

Check = Callable[[], None]
"""Called between chunks of long reads: waits while paused, raises `Aborted` when told to stop."""

Meanwhile = Callable[[Check], AbstractContextManager[None]]
"""While what it gives is entered, a `Check` that waits calls another one now and then."""


def never() -> None:
    """Check nothing."""


def alone(_look: Check) -> AbstractContextManager[None]:
    """Belong to a `Check` that never waits."""
    return nullcontext()


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a name or a descriptor shows; no link is followed."""

    mode: int
    inode: int
    birth_ns: int | None
    size: int
    mtime_ns: int
    ctime_ns: int
    nlink: int
    immutable: bool = False  # or append-only: it can't be renamed or unlinked
    mount_root: bool = False  # something is mounted on it: renaming fails with EBUSY

    @property
    def is_regular(self) -> bool:
        """Whether this is a regular file."""
        return stat.S_ISREG(self.mode)

    @property
    def is_directory(self) -> bool:
        """Whether this is a directory."""
        return stat.S_ISDIR(self.mode)

    def same_inode(self, other: "Look | None") -> bool:
        """Whether both looks show one inode, of one birth."""
        return (
            other is not None
            and (self.inode, self.birth_ns) == (other.inode, other.birth_ns)
            and stat.S_IFMT(self.mode) == stat.S_IFMT(other.mode)
        )

    def same_contents(self, other: "Look | None") -> bool:
        """Whether both show one inode that nobody wrote to in between. Renaming alters ctime."""
        return (
            other is not None
            and self.same_inode(other)
            and (self.size, self.mtime_ns) == (other.size, other.mtime_ns)
        )

    def unchanged(self, other: "Look | None") -> bool:
        """Whether nothing at all was done to the inode in between, not even a link or a chmod."""
        return (
            other is not None
            and self.same_contents(other)
            and (self.ctime_ns, self.nlink, self.mode) == (other.ctime_ns, other.nlink, other.mode)
        )


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a copy takes over from its original beside the contents."""

    uid: int
    gid: int
    permissions: int
    atime_ns: int
    mtime_ns: int
    extended: tuple[tuple[str, bytes], ...]  # sorted; POSIX ACLs are among them

    def differences(self, other: "Attributes") -> list[str]:
        """Name what differs; the time of last access does not count."""
        names = ("uid", "gid", "permissions", "mtime_ns", "extended")
        return [name for name in names if getattr(self, name) != getattr(other, name)]


class Handle(Protocol):
    """One open file. Only `Directory.create(writable=True)` gives one that can be written."""

    def look(self) -> Look:
        """Look at the open file."""

    def digest(self, check: Check = never) -> str:
        """Give the SHA-256 of the whole file in hexadecimal, leaving nothing in the page cache."""

    def path(self) -> str:
        """Give a path to this very file, for our children: no rename and no link leads it astray.

        It leads there for as long as the handle is open, and may be opened for writing.
        """

    def read(self, limit: int) -> bytes:
        """Read at most *limit* bytes from the beginning."""

    def write(self, contents: bytes) -> None:
        """Write all of *contents* at the end."""

    def sync(self) -> None:
        """Make the contents durable; an error also tells of earlier write-backs that failed."""

    def start_writeback(self) -> None:
        """Begin to write back, waiting for nothing."""

    def drop_cache(self) -> None:
        """Forget clean pages, so that the next read comes from the disk."""

    def try_lock(self) -> bool:
        """Lock the file if nobody has it locked; the lock goes with the handle."""

    def lease(self) -> bool:
        """Take a read lease; False while anybody has the file open for writing."""

    def lease_holds(self) -> bool:
        """Whether no writer has asked for the file since."""

    def drop_lease(self) -> None:
        """Give the lease back."""

    def attributes(self) -> Attributes:
        """Read what `Attributes` holds."""

    def set_attributes(self, wanted: Attributes) -> None:
        """Set all of it, the times last."""

    def close(self) -> None:
        """Close it, with its lock and lease; a second time does nothing."""


class Directory(Protocol):
    """One open directory; every name is bare and every call relative to it."""

    path: str

    def path_of(self, name: str) -> str:
        """Give the path of *name*, for others to open."""

    def locked(self) -> AbstractContextManager[None]:
        """Hold the lock under which every change is made; `Retryable` if others keep it."""

    def look(self, name: str) -> Look | None:
        """Look at a name; None where there is nothing. Any other error is raised."""

    def open(self, name: str) -> Handle:
        """Open a regular file for reading; never a link, never waiting."""

    def create(self, name: str, *, writable: bool = False) -> Handle:
        """Create a file that was not there."""

    def exchange(self, one: str, other: str) -> None:
        """Let two names change places in one step."""

    def move(self, old: str, new: str) -> None:
        """Rename to a name that is free."""

    def move_over(self, old: str, new: str) -> None:
        """Rename, replacing what is there."""

    def link(self, old: str, new: str) -> None:
        """Give a file a second name that is free."""

    def unlink(self, name: str) -> None:
        """Remove a name."""

    def sync(self) -> None:
        """Make every change of names so far durable."""

    def mount(self) -> tuple[str, bool | None]:
        """Give the file system's kind, and whether it has a journal where that is a question."""

    def longest_name(self) -> int:
        """Give how many bytes a name may have here."""

    def close(self) -> None:
        """Close it."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...
