"""The directories that are known, by path and by watch. Pure bookkeeping.

A directory is known to be the same one by its watch descriptor: the kernel gives the same
descriptor for the same living inode, whatever its path is now. Inode numbers alone are reused.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from watcher.segments.segment import endings, join, matcher

Identity = tuple[int, int]
"""Device and inode."""

UNKNOWN = "unknown"
"""The state of a camera's root that has not been looked at yet, or does not answer."""


class WatchedCamera(Protocol):
    """What the observer needs of a camera's configuration."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def path(self) -> str:
        """Its directory, absolute."""

    @property
    def patterns(self) -> "list[str] | tuple[str, ...]":
        """What its recordings are called."""

    @property
    def watch(self) -> str:
        """How it is watched: `inotify` or `poll`."""


@dataclass(slots=True, eq=False)
class Root:
    """A camera's top directory."""

    camera: str
    path: str
    polled: bool
    leases: bool  # whether the file system can say that somebody has a file open for writing
    is_recording: Callable[[str], bool]
    endings: tuple[str, ...] = ()  # where these are all that makes a recording's name
    directory: "Directory | None" = None
    state: str = UNKNOWN  # unknown | present | absent | refused
    detail: str = ""
    refused: dict[str, str] = field(default_factory=dict)  # mounts below it without events: why
    hidden: set[str] = field(default_factory=set)  # held recordings before a mount came or went


@dataclass(slots=True, eq=False)
class Directory:
    """One known directory."""

    root: Root
    parent: "Directory | None"
    name: str
    path: str
    identity: Identity
    wd: int | None = None
    listed: bool = False
    ctime_ns: int = -1  # as it was before its last listing; -1: too fresh to compare with
    lost: str = ""  # why nothing is heard from it: watch_limit, permission, …
    children: "dict[str, Directory]" = field(default_factory=dict)
    unresolved: set[str] = field(default_factory=set)  # told of while the path led elsewhere

    def may_be(self, found: Identity) -> bool:
        """Whether what was found at its path is to be taken for it.

        A share's inode numbers may change while nothing else does: there the place is what counts,
        and what is in it is compared anyway.
        """
        if self.root.polled and self.parent:
            return found[0] == self.identity[0]
        return found == self.identity


def root_of(camera: WatchedCamera) -> Root:
    """Take over a camera from the configuration."""
    path = camera.path.rstrip("/") or "/"
    polled = camera.watch == "poll"
    patterns = camera.patterns
    return Root(camera.name, path, polled, not polled, matcher(patterns), endings(patterns))


class Tree:
    """All known directories."""

    def __init__(self) -> None:
        self.by_path: dict[str, Directory] = {}
        self.by_wd: dict[int, Directory] = {}
        self.aliases: dict[
            int, set[str]
        ] = {}  # other paths of a directory that is known (bind mounts)

    def add(self, directory: Directory) -> None:
        """Take in a directory whose path is free."""
        self.by_path[directory.path] = directory
        if directory.wd is not None:
            self.by_wd[directory.wd] = directory
        if directory.parent is None:
            directory.root.directory = directory
        else:
            directory.parent.children[directory.name] = directory

    def remove(self, directory: Directory) -> list[Directory]:
        """Forget a directory and all below it; these, from the top down."""
        gone = list(self.walk(directory))
        for one in gone:
            self.by_path.pop(one.path, None)
            if one.wd is not None and self.by_wd.get(one.wd) is one:
                del self.by_wd[one.wd]
        self.detach(directory)
        return gone

    def move(
        self, directory: Directory, parent: Directory, name: str
    ) -> list[tuple[str, Directory]]:
        """Hang a directory, with all below it, somewhere else; pairs of old path and directory."""
        moved = [(one.path, one) for one in self.walk(directory)]
        for old, _ in moved:
            self.by_path.pop(old, None)
        self.detach(directory)
        directory.parent, directory.name = parent, name
        parent.children[name] = directory
        for _, one in moved:  # from the top down, so that the parent's path is right before
            one.path = join(one.parent.path, one.name) if one.parent else one.path
            self.by_path[one.path] = one
        return moved

    def nearest(self, path: str) -> Directory | None:
        """The known directory that *path* lies in, or the nearest one above that."""
        above = path
        while above.strip("/"):
            above = above.rpartition("/")[0]
            if (known := self.by_path.get(above or "/")) is not None:
                return known
        return None

    def holds(self, directory: Directory) -> bool:
        """Whether *directory* is still known under its path."""
        return self.by_path.get(directory.path) is directory

    def walk(self, directory: Directory) -> Iterator[Directory]:
        """The directory and all below it, from the top down."""
        stack = [directory]
        while stack:
            one = stack.pop()
            yield one
            stack.extend(one.children.values())

    @staticmethod
    def is_above(directory: Directory, other: Directory) -> bool:
        """Whether *directory* is *other*, or hangs somewhere above it."""
        above: Directory | None = other
        while above is not None and above is not directory:
            above = above.parent
        return above is directory

    @staticmethod
    def detach(directory: Directory) -> None:
        """Take a directory, with all below it, from where it hangs."""
        parent = directory.parent
        if parent is None:
            if directory.root.directory is directory:
                directory.root.directory = None
        elif parent.children.get(directory.name) is directory:
            del parent.children[directory.name]
