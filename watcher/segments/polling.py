"""Cameras on file systems that raise no events, through Watchdog's polling observer.

Its cost, every interval: one listing of each directory and one stat of each file, and a second
picture of the tree in memory. No file is known to be closed here but by having been left alone.
"""

import os
from collections.abc import Callable

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers.polling import PollingObserver

from watcher.segments.forest import Forest
from watcher.segments.tree import Directory, Root

POLL_S = 60.0


class Poll(FileSystemEventHandler):
    """One polled camera."""

    def __init__(
        self,
        forest: Forest,
        root: Root,
        failed: Callable[[Exception], None],
        interval_s: float = POLL_S,
    ) -> None:
        self.root = root
        self._forest = forest
        self._failed = failed
        self._observer = PollingObserver(timeout=interval_s)

    def start(self) -> None:
        """Take the first picture, and compare from then on."""
        self._observer.schedule(self, self.root.path, recursive=True)
        self._observer.start()

    def stop(self) -> None:
        """End, and wait for that."""
        self._observer.stop()
        if self._observer.ident is not None:
            self._observer.join()

    def healthy(self) -> bool:
        """Whether it still compares; Watchdog gives up when the root is gone."""
        emitters = self._observer.emitters
        return self._observer.is_alive() and bool(emitters) and all(e.is_alive() for e in emitters)

    def dispatch(self, event: FileSystemEvent) -> None:
        """Look at what changed; Watchdog's thread must not see an exception."""
        try:
            for path in (event.src_path, event.dest_path):
                if path:
                    self._look(os.fsdecode(path), is_directory=event.is_directory)
        except Exception as error:  # noqa: BLE001
            self._failed(error)

    def _look(self, path: str, *, is_directory: bool) -> None:
        above, _, name = path.rpartition("/")
        with self._forest.changes:
            self._forest.changes.tally["events"] += 1
            parent = self._forest.tree.by_path.get(above)
            if parent is None:
                return  # the root itself: the tick compares it
            if not is_directory:
                self._forest.files.look(parent, name)
            elif not _is_as_known(parent.children.get(name), path):
                self._forest.adopt(parent, name)
        self._forest.close_descriptors()


def _is_as_known(known: Directory | None, path: str) -> bool:
    """Whether the very directory that is known is at *path*; by another of its name it is read."""
    try:
        found = os.stat(path, follow_symlinks=False)
    except OSError:
        return False
    return known is not None and known.identity == (found.st_dev, found.st_ino)
