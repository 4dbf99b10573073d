"""Descriptors of known directories, held for one batch of questions.

A name is looked up in its directory's own descriptor, whose inode is compared when it is opened: a
path that leads elsewhere by now gives none.
"""

import os
from collections.abc import Callable

from watcher.segments.changes import Changes
from watcher.segments.tree import Directory, Identity

_MOST = 256
_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


class Descriptors:
    """Those that are open now; *blocked* is told of a directory the way to which is barred."""

    def __init__(self, changes: Changes, blocked: Callable[[Directory], None]) -> None:
        self._changes = changes
        self._blocked = blocked
        self._open: dict[Directory, int] = {}

    def of(self, directory: Directory) -> int | None:
        """Give a descriptor of that very directory; None if its path leads elsewhere by now."""
        descriptor = self._open.get(directory)
        if descriptor is not None:
            return descriptor
        try:
            descriptor = os.open(directory.path, _FLAGS)
        except OSError as error:
            if isinstance(error, PermissionError):
                self._blocked(directory)
            return None
        if not directory.may_be(identity_of(os.fstat(descriptor))):
            os.close(descriptor)
            return None
        if len(self._open) >= _MOST:
            self.close_all()
        self._open[directory] = descriptor
        return descriptor

    def close(self, directory: Directory) -> None:
        """Let go of one, if it is held."""
        descriptor = self._open.pop(directory, None)
        if descriptor is not None:
            os.close(descriptor)

    def close_all(self) -> None:
        """Let go of all: an unmount is not to wait for us."""
        with self._changes:
            for descriptor in self._open.values():
                os.close(descriptor)
            self._open.clear()


def identity_of(found: os.stat_result) -> Identity:
    """Which directory that was."""
    return found.st_dev, found.st_ino
