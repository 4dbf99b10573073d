"""From the kernel's events to questions: which name is to be looked at, or which directory.

Runs in the reading thread, so nothing here reads a directory or waits.
"""

import os
from collections.abc import Callable

from watchdog.observers.inotify_c import InotifyEvent, WatchDescriptor

from watcher.segments.files import Why
from watcher.segments.forest import Forest
from watcher.segments.inotify import (
    IN_CLOSE_WRITE,
    IN_CREATE,
    IN_DELETE,
    IN_ISDIR,
    IN_MOVED_FROM,
    IN_MOVED_TO,
    IN_SELF_GONE,
)
from watcher.segments.tree import Directory, Root

_WHY = (
    (IN_CLOSE_WRITE, Why.CLOSED),
    (IN_CREATE, Why.CREATED),
    (IN_MOVED_TO, Why.MOVED_TO),
    (IN_MOVED_FROM, Why.MOVED_FROM),
)


class EventReader:
    """What `Inotify` calls; see its `Reader`."""

    def __init__(
        self,
        forest: Forest,
        *,
        later: Callable[[Callable[[], None], float], None],
        check_root: Callable[[Root], None],
        overflown: Callable[[], None],
        failed: Callable[[Directory | None, Exception], None],
        died: Callable[[Exception], None],
    ) -> None:
        self._forest = forest
        self._later = later
        self._check_root = check_root
        self._failed = failed
        self.on_queue_overflow = overflown
        self.on_death = died

    def on_event(self, event: InotifyEvent) -> None:
        """Look at what the event names."""
        forest = self._forest
        forest.changes.tally["events"] += 1
        with forest.changes:
            directory = forest.tree.by_wd.get(event.wd)
            if directory is None:
                return  # an echo of a directory that was given up
            if not event.name:
                self._about_itself(directory, event.mask)
            elif event.mask & IN_ISDIR:
                self._about_directory(directory, os.fsdecode(event.name), event.mask)
            else:
                why = next((why for bit, why in _WHY if event.mask & bit), Why.OTHER)
                forest.files.look(directory, os.fsdecode(event.name), why, event.cookie)

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        """Find out what became of a directory whose watch the kernel took away."""
        forest = self._forest
        with forest.changes:
            directory = forest.tree.by_wd.pop(wd, None)
            if directory is not None:
                directory.wd = None
                self._look_into(directory)

    def on_batch_end(self) -> None:
        """Let go of the directories that were held for this batch."""
        self._forest.close_descriptors()

    def on_error(self, event: InotifyEvent, error: Exception) -> None:
        """Have the directory read again, whose event could not be dealt with."""
        with self._forest.changes:
            directory = self._forest.tree.by_wd.get(event.wd)
        self._failed(directory, error)

    def _about_itself(self, directory: Directory, mask: int) -> None:
        if mask & IN_SELF_GONE and directory.parent is None:
            self._look_into(directory)  # of all others the parent tells, or the end of the watch

    def _about_directory(self, parent: Directory, name: str, mask: int) -> None:
        if mask & IN_MOVED_FROM:
            known = parent.children.get(name)
            if known:  # gone only if it does not turn up somewhere else at once
                self._forest.when_paired(lambda: self._forest.examine(known))
        elif mask & IN_DELETE or name not in parent.children or mask & (IN_CREATE | IN_MOVED_TO):
            self._forest.adopt(parent, name)

    def _look_into(self, directory: Directory) -> None:
        if directory.parent is None:
            self._later(lambda: self._check_root(directory.root), 0.0)
        else:
            self._later(lambda: self._forest.examine(directory), 0.0)
