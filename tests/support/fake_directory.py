"""A directory in memory, with the signatures of watcher.replace.directory.LinuxDirectory.

It remembers what is on disk and what only seems to be: `power_cut` keeps the first few of the
changes of names since the last fsync of the directory, and of each file what its own last fsync
made durable. `before` is called before every call that others could come between, and may raise:
an OSError is a failed call, a `Crash` the end of the process. `Outside` acts as strangers do.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Self

from watcher.replace.files import Attributes, Check, Handle, Look, never

_PLAIN = Attributes(1000, 1000, 0o640, 0, 0, ())
_TICK_NS = 20_000_000
"""What happens within one tick of the kernel's clock can't be told apart by its stamps."""


class Crash(BaseException):
    """The process ends here: no handler of ours may run on."""


@dataclass
class Inode:
    """One file, and what of it would outlive a power cut."""

    number: int
    birth_ns: int
    mode: int = stat.S_IFREG | 0o600
    contents: bytes = b""
    ctime_ns: int = 0
    attributes: Attributes = _PLAIN
    durable: tuple[bytes, Attributes] | None = None
    locked_by: "FakeHandle | None" = None
    leased_by: "FakeHandle | None" = None
    writers: int = 0
    blocked_writes: list[tuple[bytes, object]] = field(default_factory=list)

    @property
    def is_durable(self) -> bool:
        return self.durable == (self.contents, self.attributes)


@dataclass(frozen=True)
class Change:
    """One change of names that is not yet on disk: what each name points to after it."""

    kind: str
    names: tuple[tuple[str, Inode | None], ...]
    event: object = None  # of the outside's, so that a power cut can take it back


def _nothing(_call: str, _names: tuple[str, ...]) -> None:
    return


class FakeHandle:
    """See watcher.replace.files.Handle."""

    def __init__(self, directory: "FakeDirectory", inode: Inode, *, writable: bool) -> None:
        self._directory = directory
        self.inode = inode
        self._writable = writable
        self.is_open = True
        self._lease_broken = False
        if writable:
            inode.writers += 1

    def look(self) -> Look:
        self._directory.alive()
        return self._directory.look_of(self.inode)

    def path(self) -> str:
        self._directory.alive()
        return f"/proc/1/fd/{self.inode.number}"

    def digest(self, check: Check = never) -> str:
        self._directory.step("digest", ())
        check()
        return hashlib.sha256(self.inode.contents).hexdigest()

    def read(self, limit: int) -> bytes:
        self._directory.step("read", ())
        return self.inode.contents[:limit]

    def write(self, contents: bytes) -> None:
        assert self._writable
        self._directory.step("write", ())
        self._directory.alter(self.inode, self.inode.contents + contents)

    def sync(self) -> None:
        self._directory.step("fsync", ())
        self.inode.durable = (self.inode.contents, self.inode.attributes)

    def start_writeback(self) -> None:
        self._directory.alive()

    def drop_cache(self) -> None:
        self._directory.alive()

    def try_lock(self) -> bool:
        self._directory.alive()
        if self.inode.locked_by not in {None, self}:
            return False
        self.inode.locked_by = self
        return True

    def lease(self) -> bool:
        self._directory.step("lease", ())
        if self.inode.writers:
            return False
        self.inode.leased_by, self._lease_broken = self, False
        return True

    def lease_holds(self) -> bool:
        self._directory.step("lease_holds", ())
        return self.inode.leased_by is self and not self._lease_broken

    def drop_lease(self) -> None:
        self._directory.step("drop_lease", ())
        self._give_lease_back()

    def attributes(self) -> Attributes:
        self._directory.alive()
        return self.inode.attributes

    def set_attributes(self, wanted: Attributes) -> None:
        self._directory.step("set_attributes", ())
        self.inode.attributes = wanted
        self.inode.mode = stat.S_IFREG | wanted.permissions
        self.inode.ctime_ns = self._directory.now_ns()

    def close(self) -> None:
        self._directory.alive()
        self.shut()

    def shut(self) -> None:
        """Close without asking: also what the kernel does when the process ends."""
        if self.is_open:
            self.is_open = False
            if self._writable:
                self.inode.writers -= 1
            if self.inode.locked_by is self:
                self.inode.locked_by = None
            self._give_lease_back()

    def break_lease(self) -> None:
        self._lease_broken = True

    def _give_lease_back(self) -> None:
        if self.inode.leased_by is self:
            self.inode.leased_by = None
            for contents, _event in self.inode.blocked_writes:
                self._directory.alter(self.inode, contents)
                self.inode.durable = (self.inode.contents, self.inode.attributes)
            self.inode.blocked_writes.clear()


class FakeDirectory:
    """See watcher.replace.files.Directory."""

    path = "/fake"
    inode = 2
    kind_of_handle: type[FakeHandle] = FakeHandle

    def __init__(self, *, kind: str = "tmpfs", journal: bool | None = None) -> None:
        self.names: dict[str, Inode] = {}
        self.on_disk: dict[str, Inode] = {}
        self.pending: list[Change] = []
        self.before: Callable[[str, tuple[str, ...]], None] = _nothing
        self.after: Callable[[str, tuple[str, ...]], None] = _nothing
        self.calls: list[tuple[str, tuple[str, ...]]] = []
        self.lock_held = False
        self.dead = False
        self._kind, self._journal = kind, journal
        self._clock_ns = 1_700_000_000_000_000_000
        self._numbers = 100
        self._handles: list[FakeHandle] = []

    # -- the protocol

    def path_of(self, name: str) -> str:
        return f"{self.path}/{name}"

    @contextmanager
    def locked(self) -> Iterator[None]:
        self.step("lock", ())
        assert not self.lock_held, "a process that waits for its own lock waits for ever"
        self.lock_held = True
        try:
            yield
        finally:
            self.lock_held = False

    def look(self, name: str) -> Look | None:
        if name == ".":
            return Look(stat.S_IFDIR | 0o755, self.inode, 1, 0, 0, 0, 2)
        self.step("look", (name,))
        inode = self.names.get(name)
        return None if inode is None else self.look_of(inode)

    def open(self, name: str) -> Handle:
        self.step("open", (name,))
        inode = self._there(name)
        if not stat.S_ISREG(inode.mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), name)
        return self._handle(inode, writable=False)

    def create(self, name: str, *, writable: bool = False) -> Handle:
        self._change("create", name)
        self._free(name)
        inode = self.new_inode(b"")
        self.apply(Change("create", ((name, inode),)))
        self._done("create", name)
        return self._handle(inode, writable=writable)

    def exchange(self, one: str, other: str) -> None:
        self._change("exchange", one, other)
        first, second = self._there(one), self._there(other)
        self.apply(Change("exchange", ((one, second), (other, first))))
        self._done("exchange", one, other)

    def move(self, old: str, new: str) -> None:
        self._change("move", old, new)
        inode = self._there(old)
        self._free(new)
        self.apply(Change("move", ((old, None), (new, inode))))
        self._done("move", old, new)

    def move_over(self, old: str, new: str) -> None:
        self._change("move_over", old, new)
        inode = self._there(old)
        self.apply(Change("move_over", ((old, None), (new, inode))))
        self._done("move_over", old, new)

    def link(self, old: str, new: str) -> None:
        self._change("link", old, new)
        inode = self._there(old)
        self._free(new)
        self.apply(Change("link", ((new, inode),)))
        self._done("link", old, new)

    def unlink(self, name: str) -> None:
        self._change("unlink", name)
        inode = self._there(name)
        if stat.S_ISDIR(inode.mode):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), name)
        self.apply(Change("unlink", ((name, None),)))
        self._done("unlink", name)

    def sync(self) -> None:
        self.step("sync", ())
        self.make_durable()
        self.after("sync", ())

    def mount(self) -> tuple[str, bool | None]:
        return self._kind, self._journal

    def longest_name(self) -> int:
        return 255

    def close(self) -> None:
        self.alive()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        return

    # -- what tests ask of it

    def step(self, call: str, names: tuple[str, ...]) -> None:
        self.alive()
        self.calls.append((call, names))
        try:
            self.before(call, names)
        except Crash:
            self.dead = True
            raise

    def alive(self) -> None:
        if self.dead:
            raise Crash

    def now_ns(self) -> int:
        self._clock_ns += _TICK_NS
        return self._clock_ns

    def new_inode(self, contents: bytes, *, mode: int = stat.S_IFREG | 0o600) -> Inode:
        self._numbers += 1
        now = self.now_ns()
        attributes = Attributes(1000, 1000, stat.S_IMODE(mode), 0, now, ())  # `replace` is slow
        return Inode(self._numbers, now, mode, contents, now, attributes)

    def look_of(self, inode: Inode) -> Look:
        links = len([1 for one in self.names.values() if one is inode])
        return Look(
            mode=inode.mode,
            inode=inode.number,
            birth_ns=inode.birth_ns,
            size=len(inode.contents),
            mtime_ns=inode.attributes.mtime_ns,
            ctime_ns=inode.ctime_ns,
            nlink=links,
        )

    def alter(self, inode: Inode, contents: bytes) -> None:
        now = self.now_ns()
        inode.contents, inode.ctime_ns = contents, now
        inode.attributes = replace(inode.attributes, mtime_ns=now)

    def apply(self, change: Change) -> None:
        now = self.now_ns()
        for name, inode in change.names:
            if inode is None:
                gone = self.names.pop(name, None)
                if gone is not None:
                    gone.ctime_ns = now
            else:
                self.names[name] = inode
                inode.ctime_ns = now
        self.pending.append(change)

    def make_durable(self) -> None:
        self.on_disk = dict(self.names)
        self.pending.clear()

    def kill(self) -> None:
        """End the process: what it had done stands, its locks and leases go."""
        for handle in self._handles:
            handle.shut()
        self._handles.clear()
        self.lock_held = self.dead = False

    def power_cut(self, kept: int) -> list[object]:
        """Cut the power, *kept* pending changes being on disk; gives the outside's lost events."""
        lost = [change.event for change in self.pending[kept:] if change.event is not None]
        names = dict(self.on_disk)
        for change in self.pending[:kept]:
            for name, inode in change.names:
                if inode is None:
                    names.pop(name, None)
                else:
                    names[name] = inode
        self.names = names
        for inode in {id(one): one for one in names.values()}.values():
            inode.contents, inode.attributes = inode.durable or (b"", _PLAIN)
            lost += [event for _contents, event in inode.blocked_writes]
            inode.blocked_writes.clear()
        self.kill()
        self.make_durable()
        return lost

    def put(self, name: str, contents: bytes, *, mode: int = stat.S_IFREG | 0o640) -> Inode:
        """Place a durable file, as if it had always been there."""
        inode = self.new_inode(contents, mode=mode)
        inode.durable = (inode.contents, inode.attributes)
        self.names[name] = inode
        self.make_durable()
        return inode

    def open_handles(self) -> list[FakeHandle]:
        """Give what was opened and not closed: each keeps a descriptor, its locks and leases."""
        return [handle for handle in self._handles if handle.is_open]

    def contents(self, name: str) -> bytes | None:
        inode = self.names.get(name)
        return None if inode is None else inode.contents

    def _change(self, call: str, *names: str) -> None:
        self.step(call, names)
        assert self.lock_held, f"{call} {names} without the directory's lock (SWAP invariant 7)"

    def _done(self, call: str, *names: str) -> None:
        self.after(call, names)

    def _handle(self, inode: Inode, *, writable: bool) -> FakeHandle:
        handle = self.kind_of_handle(self, inode, writable=writable)
        self._handles.append(handle)
        return handle

    def _there(self, name: str) -> Inode:
        if name not in self.names:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return self.names[name]

    def _free(self, name: str) -> None:
        if name in self.names:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)


class Outside:
    """Everybody else: the owner, the recorder, retention, an NVR that sweeps what it knows not."""

    def __init__(self, directory: FakeDirectory) -> None:
        self._directory = directory
        self.events: list[tuple[str, str, bytes]] = []
        self._slow: list[tuple[Inode, str, bytes, int]] = []
        self._rewritten: dict[str, Inode] = {}  # by the newest event there, if that was one

    def delete(self, name: str) -> None:
        if name in self._directory.names:
            event = ("deleted", name, b"")
            self._rewritten.pop(name, None)
            self._directory.apply(Change("unlink", ((name, None),), self._log(event)))

    def write_new(self, name: str, contents: bytes) -> None:
        """Put another file there, as a rename or as unlink and create would."""
        inode = self._directory.new_inode(contents, mode=stat.S_IFREG | 0o640)
        inode.durable = (inode.contents, inode.attributes)
        event = ("new", name, contents)
        self._rewritten.pop(name, None)
        self._directory.apply(Change("rename", ((name, inode),), self._log(event)))

    def rewrite(self, name: str, contents: bytes) -> None:
        """Open for writing and write: a lease breaks, and the write waits for its holder."""
        inode = self._directory.names.get(name)
        if inode is None:
            return
        event = self._log(("rewritten", name, contents))
        self._rewritten[name] = inode
        if inode.leased_by is not None:
            inode.leased_by.break_lease()
            inode.blocked_writes.append((contents, event))
            return
        self._directory.alter(inode, contents)
        inode.durable = (inode.contents, inode.attributes)

    def open_and_write_later(self, name: str, contents: bytes) -> None:
        """Open for writing now, as `rewrite` does, but write only at `finish`."""
        inode = self._directory.names.get(name)
        if inode is None:
            return
        inode.writers += 1
        if inode.leased_by is not None:
            inode.leased_by.break_lease()
        self._slow.append((inode, name, contents, len(self.events)))

    def about_to_write(self, inode: Inode) -> list[bytes]:
        """Give what will be written to it at `finish`."""
        return [contents for one, _name, contents, _since in self._slow if one is inode]

    def finish(self) -> None:
        """Write what was opened before."""
        for inode, name, contents, since in self._slow:
            inode.writers -= 1
            self._directory.alter(inode, contents)
            inode.durable = (inode.contents, inode.attributes)
            later = [what for what, where, _ in self.events[since:] if where == name]
            same = self._rewritten.get(name) is inode  # two who write to one file: the last wins
            if same or all(what == "rewritten" for what in later):
                self._log(("rewritten", name, contents))
        self._slow.clear()

    def cut_off(self) -> None:
        """The power went: nothing of that was ever written."""
        for inode, *_ in self._slow:
            inode.writers -= 1
        self._slow.clear()

    def write_output(self, path: str, contents: bytes) -> None:
        """Do what ffmpeg does: open by path, truncate, write, close."""
        inode = self._directory.names[path.rpartition("/")[2]]
        self._directory.alter(inode, contents)

    def forget(self, lost: list[object]) -> None:
        """A power cut took these back, and with a new file all that was written to it."""
        kept: list[tuple[str, str, bytes]] = []
        gone: set[str] = set()
        for event in self.events:
            what, name, _contents = event
            if any(event is one for one in lost):
                gone.add(name)
            elif not (what == "rewritten" and name in gone):
                kept.append(event)
        self.events = kept

    def _log(self, event: tuple[str, str, bytes]) -> object:
        self.events.append(event)
        return event
