"""Directories that are known and can't be read now: noted, said once, and tried again by the tick.

What is known of such a directory stays known; nothing of it is taken for deleted.
"""

import errno
import os

from watcher.segments.changes import Changes
from watcher.segments.descriptors import identity_of
from watcher.segments.tree import Directory

MORE_FILES = "it has as many files open as it may: raise LimitNOFILE= in its unit (ulimit -n)"


def is_still_at(directory: Directory) -> bool:
    """Say whether a directory's path leads to it."""
    try:
        found = os.stat(directory.path, follow_symlinks=directory.parent is None)
    except OSError:
        return False
    return directory.may_be(identity_of(found))


class Unreadable:
    """Notes what keeps directories from being read."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def note(self, directory: Directory, error: OSError) -> None:
        """Note that a directory can't be read. The lock is held."""
        if isinstance(error, PermissionError) and not is_still_at(directory):
            self.blocked(directory)
            return
        remedy = MORE_FILES if error.errno in (errno.EMFILE, errno.ENFILE) else None
        self._changes.lost(cause_of(error), directory.root, f"{error.strerror}", directory, remedy)

    def blocked(self, directory: Directory) -> None:
        """Note that the way to a directory can't be searched; said of where it ends, for all below.

        Until it can be again, every tick tries; then each of them is read.
        """
        with self._changes:
            if directory.lost == "permission":
                return
            above = directory.parent
            while above and not is_still_at(above):
                above = above.parent
            if above:
                self._changes.lost("permission", above.root, os.strerror(errno.EACCES), above)
                above.listed = False
            if not directory.root.polled:
                directory.lost, directory.listed = "permission", False

    def failed(self, directory: Directory, error: Exception) -> None:
        """Note that a fault of our own kept a directory from being read."""
        with self._changes:
            directory.listed = False
            self._changes.lost(
                "handler_error", directory.root, f"{type(error).__name__}: {error}", directory
            )


def cause_of(error: OSError) -> str:
    """Say which cause of a loss *error* is."""
    if error.errno == errno.ENOSPC:
        return "watch_limit"
    return "permission" if error.errno in (errno.EACCES, errno.EPERM) else "unreadable"
