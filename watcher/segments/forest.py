"""The known directories, and the question which directory has a name now.

A name is looked up in its directory's own descriptor, whose inode was compared first: the path of a
directory that was renamed a moment ago leads elsewhere, and must not be believed. What is told of
meanwhile is kept as *unresolved* until the directory's new path is known.

A directory is recognised by its watch descriptor, which the kernel keeps with the living inode: one
that turns up under another name is taken there with all that is known of it, and not read again. If
it still stands at its old place too, the new one is a bind mount of it, and is left alone.
"""

import errno
import os
import stat
from collections.abc import Callable, Collection
from functools import partial

from watcher.clock import Clock
from watcher.segments import filesystems
from watcher.segments.changes import HIDDEN, LIMITS, Changes
from watcher.segments.descriptors import Descriptors, identity_of
from watcher.segments.files import Files, Hooks
from watcher.segments.index import SegmentIndex
from watcher.segments.inotify import Inotify
from watcher.segments.segment import State, join
from watcher.segments.tree import Directory, Identity, Root, Tree
from watcher.segments.unreadable import Unreadable, cause_of, is_still_at

_PAIRING_S = 0.05  # the second half of a rename follows the first at once
_PAIRING_TRIES = 40  # unless the reader has much to do, or is kept from it
_OPEN_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class Forest:
    """All known directories of all cameras, their watches and their files."""

    def __init__(
        self,
        index: SegmentIndex,
        changes: Changes,
        *,
        sidecar_of: Callable[[str], str | None],
        hooks: Hooks,
        clock: Clock,
        later: Callable[[Callable[[], None], float], None],
        wake: Callable[[], None],
        check_root: Callable[[Root], None],
    ) -> None:
        self.index = index
        self.changes = changes
        self.clock = clock
        self.unreadable = Unreadable(changes)
        self._descriptors = Descriptors(changes, self.unreadable.blocked)
        self.descriptor, self.close_descriptors = self._descriptors.of, self._descriptors.close_all
        self.files = Files(
            index,
            changes,
            sidecar_of=sidecar_of,
            hooks=hooks,
            clock=clock,
            descriptor=self.descriptor,
            unresolved=self.unresolved,
            when_paired=self.when_paired,
        )
        self.tree = Tree()
        self.inotify: Inotify | None = None
        self.pending: list[Directory] = []  # to be read
        self.mount_points: Collection[str] = ()  # below the cameras, at the last look
        self._later = later
        self._wake = wake
        self._check_root = check_root

    # The question. The lock is held.

    def adopt(self, parent: Directory, name: str) -> Directory | None:
        """See which directory is called *name* below *parent*; None if there is none (any more)."""
        if not self.tree.holds(parent):  # let go of a moment ago, by what stood beside *name*
            return None
        above = self.descriptor(parent)
        if above is None:
            self.unresolved(parent, name)
            return None
        try:
            descriptor = os.open(name, _OPEN_FLAGS | os.O_NOFOLLOW, dir_fd=above)
        except OSError as error:
            if error.errno not in _NOT_THERE:
                return self._keep_unreadable(parent, name, above, error)
            if name in parent.children:
                self._displace(parent.children[name], parent.identity[0])
            self.files.look(parent, name)  # a file may have taken its name
            return None
        try:
            return self._take(parent.root, parent, name, descriptor)
        finally:
            os.close(descriptor)

    def adopt_root(self, root: Root, descriptor: int) -> Directory | None:
        """Take in a camera's top directory, opened by the caller."""
        return self._take(root, None, "", descriptor)

    def drop(self, directory: Directory, *, deleted: bool = True) -> None:
        """Forget a directory and all below it; not *deleted*: only the way there is gone."""
        for one in self.tree.remove(directory):
            self._descriptors.close(one)
            if one.wd is not None and self.inotify:
                self.inotify.unwatch(one.wd)
            for entry in self.index.remove_directory(one.path):
                self.changes.tally["removed"] += 1
                if deleted:
                    self.files.tell_gone(entry.segment, ours=entry.state is State.REPLACED)
            if one.wd is not None:
                for alias in self.tree.aliases.pop(one.wd, ()):
                    self._later(partial(self.adopt_path, alias), 0.0)

    def hide(self, directory: Directory, cause: str | None = None) -> None:
        """Forget a directory that a mount hides, or that went with one: nothing is deleted."""
        if cause is None:
            above = directory.parent.identity[0] if directory.parent else directory.identity[0]
            cause = "mounted_over" if directory.identity[0] == above else "unmounted"
        removed = self.changes.tally["removed"]
        self.changes.lost(cause, directory.root, HIDDEN[cause], directory)
        self.drop(directory, deleted=False)
        removed = self.changes.tally["removed"] - removed
        if removed:
            directory.root.hidden.add(directory.path)
            self.changes.resynced(cause, directory.path, removed)
        else:
            directory.root.hidden.discard(directory.path)

    def _displace(self, known: Directory, device: int) -> None:
        """Forget a directory in whose place is another, or none, of *device*."""
        if known.identity[0] != device:
            self.hide(known)
        elif self._is_mount_point(known.path):  # a bind mount of the same device
            self.hide(known, "mounted_over")
        elif known.path in self.mount_points:
            self.hide(known, "unmounted")
        else:
            self.drop(known)

    def _is_mount_point(self, path: str) -> bool:
        if not os.path.isdir(path):
            return False  # nothing is in its place: spares reading the mounts, for a whole tree
        system = filesystems.file_system_of(path)
        return system is not None and system.mount.point == os.path.realpath(path)

    def rewatch(self, directory: Directory) -> bool:
        """Try again to watch a known directory; False if trying the next one is in vain."""
        descriptor = self.descriptor(directory)
        if descriptor is None:
            return True
        wd, cause, detail = self._watch(directory.root, descriptor)
        if wd is not None:
            directory.wd = wd
            self.tree.by_wd[wd] = directory
            if directory.lost in LIMITS:  # anything else is over when it could be read
                directory.lost = ""
        elif cause:
            self.changes.lost(cause, directory.root, detail, directory)
        return cause not in LIMITS

    def to_be_read(self, directory: Directory) -> None:
        """Have a directory read, soon; one without a watch that was read is compared instead."""
        if directory.wd is not None or directory.root.polled or not directory.listed:
            self.pending.append(directory)
            self._wake()

    def unresolved(self, directory: Directory, name: str) -> None:
        """Keep what was told of while the directory's path leads elsewhere, and ask again."""
        if not directory.unresolved:
            self.when_paired(partial(self.resolve, directory))
        directory.unresolved.add(name)

    def when_paired(self, job: Callable[[], None], tries: int = _PAIRING_TRIES) -> None:
        """Do *job* when the other half of a rename must have been handed over."""

        def attempt() -> None:
            if tries and self.inotify and not self.inotify.is_idle():
                self.when_paired(job, tries - 1)
            else:
                job()

        self._later(attempt, _PAIRING_S)

    # The same, for those who do not hold the lock.

    def resolve(self, directory: Directory) -> None:
        """Look up what was told of before, if the directory's path leads to it (again)."""
        with self.changes:
            here = self.tree.holds(directory) and self.descriptor(directory) is not None
            if here and directory.unresolved:
                self._resolve(directory)

    def examine(self, directory: Directory) -> None:
        """Make sure that a known directory is still what its path leads to."""
        with self.changes:
            if self.tree.holds(directory) and directory.parent:
                self.adopt(directory.parent, directory.name)

    def read_elsewhere(self, directory: Directory) -> None:
        """Have a directory read that was not where its path led to a moment ago.

        It was on its way: the events that told of it have been handed over meanwhile, or will be.
        Whichever finds it next, here or there, has it read, because it is not listed.
        """
        directory.listed = False
        if directory.parent is None:
            self._later(partial(self._check_root, directory.root), 0.0)
        else:
            self.examine(directory)

    def watch_anew(self, directory: Directory) -> None:
        """Make sure that a directory's watch lives: where events were lost, so may its end be.

        The kernel gives a living inode the descriptor that it has; another one says that the
        directory was gone for a while, even if a new one has its inode number.
        """
        with self.changes:
            if directory.root.polled or directory.wd is None or not self.tree.holds(directory):
                return
            descriptor = self.descriptor(directory)
            if descriptor is None:
                return  # it is elsewhere: that is found out where it is compared
            wd, _, _ = self._watch(directory.root, descriptor)
            if wd is None or wd == directory.wd or wd in self.tree.by_wd:
                return
            if self.tree.by_wd.get(directory.wd) is directory:
                del self.tree.by_wd[directory.wd]
            directory.wd, directory.listed = wd, False
            self.tree.by_wd[wd] = directory

    def adopt_path(self, path: str) -> None:
        """See which directory is at *path*, if its parent is known."""
        above, _, name = path.rpartition("/")
        with self.changes:
            parent = self.tree.by_path.get(above)
            if parent:
                self.adopt(parent, name)

    def other_path(self, path: str) -> str | None:
        """Under which path a directory is known that is at *path* too."""
        with self.changes:
            wds = [wd for wd, paths in self.tree.aliases.items() if path in paths]
            known = [self.tree.by_wd[wd].path for wd in wds if wd in self.tree.by_wd]
            return known[0] if known else None

    def directories(self) -> list[Directory]:
        """Every known directory."""
        with self.changes:
            return list(self.tree.by_path.values())

    def recheck_open(self, cameras: Collection[str]) -> None:
        """Ask of every open segment of *cameras*, which are this forest's, whether it still is."""
        self.files.recheck_open(cameras, self.tree.by_path.get)
        self.close_descriptors()

    # What the answer may be.

    def _take(
        self, root: Root, parent: Directory | None, name: str, descriptor: int
    ) -> Directory | None:
        found = identity_of(os.fstat(descriptor))
        path = join(parent.path, name) if parent else root.path
        if parent and found[0] != parent.identity[0] and self._is_odd_mount(root, path):
            self._hide_other(path)
            return None
        wd, cause, detail = self._watch(root, descriptor)
        known = self.tree.by_wd.get(wd) if wd is not None else None
        if known and wd is not None:
            if known.path == path:
                if not known.listed:
                    self.to_be_read(known)
                return known
            if is_still_at(known):
                self.tree.aliases.setdefault(wd, set()).add(path)
                self._hide_other(path)
                return None
            if parent and known.parent and known.root is root:
                return self._moved(known, parent, name)
            self.drop(known)  # from another camera, whose patterns may be others
            wd, cause, detail = self._watch(root, descriptor)
        directory = self._unwatched(path, found)
        if directory is None:
            directory = Directory(root, parent, name, path, found)
            self.tree.add(directory)
        if wd is not None:
            directory.wd, directory.lost = wd, ""
            self.tree.by_wd[wd] = directory
        elif cause:
            self.changes.lost(cause, root, detail, directory)
        self.to_be_read(directory)
        return directory

    def _hide_other(self, path: str) -> None:
        """Forget what is known at the path of a mount that is left alone."""
        other = self.tree.by_path.get(path)
        if other and not is_still_at(other):
            self.hide(other)

    def _unwatched(self, path: str, identity: Identity) -> Directory | None:
        """The same directory, known without a watch; any other that is known at *path* goes."""
        known = self.tree.by_path.get(path)
        if known and known.wd is None and known.identity == identity:
            return known
        if known and known.parent and known.root.polled and known.identity[0] == identity[0]:
            known.identity = identity  # another number, or another directory: it is read again
            return known
        if known:
            self._displace(known, identity[0])
        return None

    def _moved(self, directory: Directory, parent: Directory, name: str) -> Directory | None:
        """Take a known directory to where it turned up.

        If that is below itself, as far as is known, both were moved and only the one's event has
        come so far: it is begun anew with what stands at its old place.
        """
        if not self.tree.is_above(directory, parent):
            self._relabel(directory, parent, name)
            return directory
        path = directory.path
        self.drop(directory, deleted=False)
        self._later(partial(self.adopt_path, path), 0.0)
        return None

    def _relabel(self, directory: Directory, parent: Directory, name: str) -> None:
        """Take a directory that was renamed to its new place, with all below it."""
        displaced = parent.children.get(name)
        if displaced:
            self.tree.detach(directory)  # it may have been below what it displaces
            self._displace(displaced, directory.identity[0])
        moved = self.tree.move(directory, parent, name)
        # What goes up to its ancestor's place may take one's place that is to go up itself: the
        # shorter path first.
        for old, one in sorted(moved, key=lambda pair: len(pair[0])):
            self._descriptors.close(one)
            self.index.move_directory(old, one.path)
            self.changes.then(self.files.hooks.moved, one.root.camera, old, one.path)
        for _, one in moved:  # all is in its place by now: what is looked up may let go of some
            if self.tree.holds(one):
                self._resolve(one)
            if self.tree.holds(one) and not one.listed:
                self.to_be_read(one)

    def _resolve(self, directory: Directory) -> None:
        """Look up what was told of while the directory's path led elsewhere."""
        names, directory.unresolved = directory.unresolved, set()
        for name in names:
            if name in directory.children or self._is_directory(directory, name):
                self.adopt(directory, name)
            else:
                self.files.look(directory, name)

    def _is_directory(self, directory: Directory, name: str) -> bool:
        descriptor = self.descriptor(directory)
        try:
            found = os.stat(name, dir_fd=descriptor, follow_symlinks=False) if descriptor else None
        except OSError:
            return False
        return found is not None and stat.S_ISDIR(found.st_mode)

    def _keep_unreadable(
        self, parent: Directory, name: str, above: int, error: OSError
    ) -> Directory | None:
        try:
            found = os.stat(name, dir_fd=above, follow_symlinks=False)
        except OSError:
            return None
        known = parent.children.get(name)
        if known and not known.may_be(identity_of(found)):  # another: what is known is not in it
            self._displace(known, found.st_dev)
            known = None
        if known is None:
            path = join(parent.path, name)
            known = Directory(parent.root, parent, name, path, identity_of(found))
            self.tree.add(known)
        self.unreadable.note(known, error)
        return known

    def _watch(self, root: Root, descriptor: int) -> tuple[int | None, str, str]:
        """Watch the very inode that *descriptor* is open on; else the cause and its detail."""
        if root.polled:
            return None, "", ""
        if self.inotify is None:
            return None, "instance_limit", "there is no inotify instance to be had"
        try:
            return self.inotify.watch(b"/proc/self/fd/%d" % descriptor), "", ""
        except OSError as error:
            return None, cause_of(error), f"{error.strerror}"

    def _is_odd_mount(self, root: Root, path: str) -> bool:
        system = None if root.polled else filesystems.file_system_of(path)
        if system is None or system.problem is None:
            root.refused.pop(path, None)
            return False
        if root.refused.get(path) != system.problem:
            root.refused[path] = system.problem
            self.changes.lost("remote_file_system", root, system.problem, None, system.remedy)
        return True
