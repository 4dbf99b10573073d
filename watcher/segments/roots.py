"""The cameras' top directories: absent, present, replaced, mounted over, on an odd file system.

None of that raises an event that could be relied on, so every tick compares. A root that is not
there is waited for: its disk may be mounted later.
"""

import errno
import os
from collections.abc import Sequence

from watcher.segments import filesystems
from watcher.segments.filesystems import Mount
from watcher.segments.forest import Forest
from watcher.segments.segment import join
from watcher.segments.tree import UNKNOWN, Directory, Identity, Root
from watcher.segments.unreadable import MORE_FILES

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_OURS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # says nothing of the directory


def check_root(forest: Forest, root: Root) -> str | None:
    """Bring the tree in line with what the root's path leads to now.

    The cause, where it has (again) become something that is to be read; None otherwise.
    """
    try:
        descriptor = os.open(root.path, _FLAGS)
    except OSError as error:
        if error.errno not in _OURS:
            _is_away(forest, root, error)
        elif root.state == UNKNOWN:  # else its watches tell until the next tick looks
            _is_unread(forest, root, error)
        return None
    try:
        found = os.fstat(descriptor)
        with forest.changes:
            known = root.directory
            identity = (found.st_dev, found.st_ino)
            heard = known and (known.wd is not None or known.lost or root.polled)
            if known and heard and known.identity == identity:
                if not known.listed:  # it was away just when it was to be read
                    forest.to_be_read(known)
                return None
            return _is_new(forest, root, descriptor)
    finally:
        os.close(descriptor)


def unheard(root: Root) -> str:
    """Why nothing is heard of a camera; empty where it is (but see `partly_unheard`)."""
    if root.state == UNKNOWN:
        return root.detail or "it is not read yet: its file system has not answered so far"
    return "" if root.state == "present" else root.detail or root.state


def partly_unheard(root: Root) -> str:
    """Why nothing is heard of what is mounted below a camera, of which all else is heard."""
    return "; ".join(root.refused.values()) if root.state == "present" else ""


def is_hidden(root: Root, path: str) -> bool:
    """Whether *path* may be hidden by a mount, or be away with one. The lock is held."""
    return any(filesystems.is_below(path, top) for top in (*root.hidden, *root.refused))


class Mounts:
    """What is mounted below the cameras, compared at every tick with what is known there.

    Each mount point is looked at, because a disk that was unmounted and mounted again since the
    last tick stands in the list of mounts as before. That list has resolved paths, the index those
    of the configuration. A share that is not polled is not looked at: its server may not answer.
    """

    def __init__(self, forest: Forest, roots: Sequence[Root]) -> None:
        self._forest = forest
        self._roots = roots
        self._seen: dict[str, Identity | Mount | None] = {}

    def note(self) -> None:
        """Take what is mounted now for known: the first walk finds it."""
        self._seen = self._look()

    def check(self) -> bool:
        """Bring the tree in line with what was mounted and unmounted; whether there was any."""
        before, self._seen = self._seen, self._look()
        paths = sorted(before.keys() | self._seen.keys())
        changed = [path for path in paths if self._has_changed(path, before.get(path))]
        for path in changed:
            with self._forest.changes:
                known = self._forest.tree.by_path.get(path)
                if known:
                    is_mount = path in self._seen
                    self._forest.hide(known, "mounted_over" if is_mount else "unmounted")
                self._forest.adopt_path(path)
        self._forest.close_descriptors()
        for root in self._roots:
            root.refused = {path: why for path, why in root.refused.items() if path in self._seen}
        return bool(changed)

    def _look(self) -> dict[str, Identity | Mount | None]:
        mounts = filesystems.read_mounts()
        seen: dict[str, Identity | Mount | None] = {}
        for root in self._roots:
            top = os.path.realpath(root.path)
            for mount in filesystems.mounts_below(top, mounts):
                path = join(root.path, mount.point[len(top) :].lstrip("/"))
                is_odd = not root.polled and filesystems.problem_of(mount)
                seen[path] = mount if is_odd else _identity_at(path)
        self._forest.mount_points = seen.keys()
        return seen

    def _has_changed(self, path: str, before: Identity | Mount | None) -> bool:
        with self._forest.changes:
            known = self._forest.tree.by_path.get(path)
            identity = known.identity if known else None
        if known is None or identity is None:
            return self._seen.get(path) != before
        found = self._seen[path] if path in self._seen else _identity_at(path)
        if known.root.polled and isinstance(found, tuple):
            return found[0] != identity[0]  # see `Directory.may_be`
        return found != identity


def _identity_at(path: str) -> Identity | None:
    try:
        found = os.stat(path, follow_symlinks=False)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _is_new(forest: Forest, root: Root, descriptor: int) -> str | None:
    before, known = root.state, root.directory
    if known:
        before = "replaced"
        forest.changes.lost("root_replaced", root, "another directory is in its place")
        _give_up(forest, known, "root_replaced")
    if not root.polled and _is_refused(forest, root):
        return None
    if forest.adopt_root(root, descriptor) is None:
        _is_another_camera(forest, root)
        return None
    root.state, root.detail = "present", ""
    return {UNKNOWN: "start", "replaced": "root_replaced"}.get(before, "root_appeared")


def _is_another_camera(forest: Forest, root: Root) -> None:
    """Say, once, that a camera is a directory that is known already."""
    detail = f"{root.path} is the same directory as {forest.other_path(root.path)} (a bind mount?)"
    if (root.state, root.detail) != ("refused", detail):
        root.state, root.detail = "refused", detail
        remedy = "configure this directory for one camera alone: it is converted by the other path"
        forest.changes.lost("same_directory", root, detail, None, remedy)


def _is_refused(forest: Forest, root: Root) -> bool:
    system = filesystems.file_system_of(root.path)
    if system is None or system.problem is None:
        return False
    if root.state != "refused":
        root.state, root.detail = "refused", system.problem
        forest.changes.lost("remote_file_system", root, system.problem, None, system.remedy)
    return True


def _is_away(forest: Forest, root: Root, error: OSError) -> None:
    with forest.changes:
        cause = "permission" if isinstance(error, PermissionError) else "root_absent"
        if root.state != cause:
            root.state, root.detail = cause, str(error.strerror)
            forest.changes.lost(cause, root, str(error.strerror))
        if root.directory:
            _give_up(forest, root.directory, cause)


def _is_unread(forest: Forest, root: Root, error: OSError) -> None:
    """Say, once, what of ours is used up: until the next tick nothing tells of this camera."""
    with forest.changes:
        if root.detail != (detail := str(error.strerror)):
            root.detail = detail
            remedy = MORE_FILES if error.errno in (errno.EMFILE, errno.ENFILE) else None
            forest.changes.lost("unreadable", root, detail, None, remedy)


def _give_up(forest: Forest, top: Directory, cause: str) -> None:
    """Forget all that is known of a camera, and say how many recordings that was."""
    removed = forest.changes.tally["removed"]
    forest.drop(top, deleted=False)
    removed = forest.changes.tally["removed"] - removed
    if removed:
        forest.changes.resynced(cause, top.path, removed)
