"""When events were lost: say so, wait for the right moment, and have no more read than must be.

Each way of losing ends in `resync` (see `reconcile`), in the worker's thread; what is called by the
event reader only notes what happened and leaves the rest for later.
"""

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from watcher.segments.changes import LIMITS, remedy_for
from watcher.segments.forest import Forest
from watcher.segments.reconcile import compare, read_all, reconcile, resync
from watcher.segments.scan import look_again, read_pending
from watcher.segments.tree import Directory, Root

_DEBOUNCE_S = 0.2
_LONGEST_DEBOUNCE_S = 2.0


class Mender:
    """Mends one forest."""

    def __init__(
        self,
        forest: Forest,
        roots: Sequence[Root],
        *,
        later: Callable[[Callable[[], None], float], None],
        stopping: Callable[[], bool],
    ) -> None:
        self._forest = forest
        self._roots = roots
        self._later = later
        self._stopping = stopping
        self._lock = threading.Lock()
        self._overflown_s: tuple[float, float] | None = None  # the first and the last one
        self._read_up_to_s: float | None = None

    # Told by the event reader, in its thread.

    def overflown(self) -> None:
        """Note that the kernel dropped events."""
        now_s = self._forest.clock.monotonic_s()
        inotify = self._forest.inotify
        with self._lock:
            is_first = self._overflown_s is None
            first_s = self._overflown_s[0] if self._overflown_s else now_s
            self._overflown_s = (first_s, now_s)
            if is_first:
                self._read_up_to_s = inotify.read_up_to_s() if inotify else None
        if is_first:
            self.lost("overflow", "the kernel's event queue was full; the watches are kept")
            self._later(self._after_overflow, _DEBOUNCE_S)
        else:
            self._forest.changes.losses["overflow"] += 1

    def handler_failed(self, directory: Directory | None, error: Exception) -> None:
        """Have the directory read again, one of whose events could not be dealt with."""
        root = directory.root if directory else None
        self.lost("handler_error", f"{type(error).__name__}: {error}", root)
        if directory:
            self._later(partial(self._reread, directory), 0.0)

    def begin_anew(self) -> None:
        """Compare everything: what the worker had still to do has died with it."""
        with self._lock:
            self._overflown_s = self._read_up_to_s = None
        self._later(partial(self._reconcile, "thread_died", None), 0.0)

    def lost(self, cause: str, detail: str, root: Root | None = None) -> None:
        """Count and log what concerns more than one directory."""
        changes = self._forest.changes
        changes.losses[cause] += 1
        if cause in LIMITS:
            changes.limited.add(cause)
        changes.emit(
            "events_lost",
            root=root.path if root else self._all_roots(),
            cause=cause,
            detail=detail,
            remedy=remedy_for(cause),
            count=changes.losses[cause],
        )

    # Done by the worker.

    def read_root(self, root: Root, cause: str) -> None:
        """Read a camera that has appeared, or is another."""
        resync(self._forest, cause, root.path, partial(self._read_root, root))

    def read_mounted(self) -> None:
        """Read what was found to be mounted below a camera, or was below a mount."""
        mend = partial(self._read_changed, [], 0)
        resync(self._forest, "mounted", self._all_roots(), mend, say_nothing_of_nothing=True)

    def watch_again(self, cause: str, read_up_to_s: float | None) -> None:
        """Put every watch up with a new instance, and compare everything."""
        for directory in self._forest.directories():
            with self._forest.changes:
                if not directory.root.polled and self._forest.tree.holds(directory):
                    self._forest.rewatch(directory)
        self._forest.close_descriptors()
        self._reconcile(cause, read_up_to_s)

    def none_is_heard(self) -> None:
        """Note of each directory that it is known and not heard of: no instance is to be had."""
        changes = self._forest.changes
        with changes:
            for directory in self._forest.tree.by_path.values():
                if not directory.root.polled:
                    changes.lost("instance_limit", directory.root, "no inotify instance", directory)

    def compare_unheard(self) -> None:
        """Try to watch what could not be watched; until then, compare it at every tick."""
        unheard = [one for one in self._forest.directories() if _is_unheard(one)]
        if not any(one.lost in LIMITS for one in unheard):
            self._forest.changes.limited.clear()
        if not unheard:
            return
        for directory in unheard if self._forest.inotify else ():
            with self._forest.changes:
                if self._forest.tree.holds(directory) and not self._forest.rewatch(directory):
                    break  # still no watches to be had
        self._forest.close_descriptors()
        changed = compare(self._forest, unheard, None)
        mend = partial(self._read_changed, changed, len(unheard))
        resync(self._forest, "unwatched", _paths(unheard), mend, say_nothing_of_nothing=True)
        for directory in unheard:
            if directory.wd is not None:
                look_again(self._forest, directory, self._stopping)

    def resolve(self) -> None:
        """Ask again for what was told of while its directory's path led elsewhere."""
        for directory in self._forest.directories():
            if directory.unresolved:
                self._forest.resolve(directory)

    def _after_overflow(self) -> None:
        """Mend once it has been quiet for a moment (but do not wait for that for ever)."""
        with self._lock:
            if self._overflown_s is None:
                return
            first_s, last_s = self._overflown_s
            until_s = min(last_s + _DEBOUNCE_S, first_s + _LONGEST_DEBOUNCE_S)
            wait_s = until_s - self._forest.clock.monotonic_s()
            if wait_s > 0:
                self._later(self._after_overflow, wait_s)
                return
            self._overflown_s = None
            read_up_to_s = self._read_up_to_s
        self._reconcile("overflow", read_up_to_s)

    def _reconcile(self, cause: str, read_up_to_s: float | None) -> None:
        mend = partial(reconcile, self._forest, read_up_to_s, self._stopping)
        resync(self._forest, cause, self._all_roots(), mend)

    def _reread(self, directory: Directory) -> None:
        mend = partial(self._read_changed, [directory], 1)
        resync(self._forest, "handler_error", directory.root.path, mend)

    def _read_changed(self, changed: list[Directory], compared: int) -> int:
        read_all(self._forest, changed, self._stopping)
        return compared

    def _read_root(self, root: Root) -> int:
        tally = self._forest.changes.tally
        before = tally["directories_read"]
        if root.directory and not self._forest.pending:
            self._forest.to_be_read(root.directory)
        read_pending(self._forest, self._stopping)
        return tally["directories_read"] - before

    def _all_roots(self) -> str:
        return os.pathsep.join(root.path for root in self._roots)


def _is_unheard(directory: Directory) -> bool:
    return (directory.wd is None or directory.lost != "") and not directory.root.polled


def _paths(directories: Iterable[Directory]) -> str:
    return os.pathsep.join(sorted({directory.root.path for directory in directories}))
