"""The cameras' top directories: absent, present, replaced, mounted over, on an odd file system.

None of that raises an event that could be relied on, so every tick compares. A root that is not
there is waited for: its disk may be mounted later.
"""

import os

from watcher.segments import filesystems
from watcher.segments.filesystems import Mount
from watcher.segments.forest import Forest
from watcher.segments.tree import Root

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def check_root(forest: Forest, root: Root) -> str | None:
    """Bring the tree in line with what the root's path leads to now.

    The cause, where it has (again) become something that is to be read; None otherwise.
    """
    try:
        descriptor = os.open(root.path, _FLAGS)
    except OSError as error:
        _is_away(forest, root, error)
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


def check_mounts(forest: Forest, before: tuple[Mount, ...]) -> tuple[Mount, ...]:
    """See whether something was mounted or unmounted below a camera; what is mounted now."""
    now = filesystems.read_mounts()
    if now == before:
        return now
    points = {mount.point for mount in set(now) ^ set(before)}
    for point in sorted(points):
        with forest.changes:
            directory = forest.tree.by_path.get(point)
            if directory and directory.parent:
                forest.adopt(directory.parent, directory.name)
            elif directory is None:
                forest.adopt_path(point)
    forest.close_descriptors()
    return now


def _is_new(forest: Forest, root: Root, descriptor: int) -> str | None:
    before, known = root.state, root.directory
    if known:
        before = "replaced"
        forest.drop(known, deleted=False)
        forest.changes.lost("root_replaced", root, "another directory is in its place")
    if not root.polled and _is_refused(forest, root):
        return None
    forest.adopt_root(root, descriptor)
    root.state, root.detail = "present", ""
    return {"unknown": "start", "replaced": "root_replaced"}.get(before, "root_appeared")


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
        if root.directory:
            forest.drop(root.directory, deleted=False)
        cause = "permission" if isinstance(error, PermissionError) else "root_absent"
        if root.state != cause:
            root.state, root.detail = cause, str(error.strerror)
            forest.changes.lost(cause, root, str(error.strerror))
