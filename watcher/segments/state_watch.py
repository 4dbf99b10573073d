"""Flag files in the state directory: `watcher disable` writes one, the service hears of it at once.

The same inotify as the recordings', on one directory. Its events say which name changed; what it
changed to is for the listener to look at. At each tick the named files are compared as well, so a
state directory that was deleted, mounted over or could not be watched is followed all the same,
only later.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable

from watchdog.observers.inotify_c import InotifyEvent, WatchDescriptor

from watcher import events
from watcher.clock import Clock, SystemClock
from watcher.events import Emit
from watcher.segments.changes import remedy_for
from watcher.segments.inotify import Inotify
from watcher.segments.segment import join
from watcher.segments.unreadable import cause_of

_OVERFLOW = "overflow"
_Picture = dict[str, tuple[int, int, int] | None]


class StateWatch:
    """Calls *changed* with the name of a flag file that came, went or was written."""

    def __init__(
        self,
        directory: str,
        names: Iterable[str],
        changed: Callable[[str], None],
        *,
        clock: Clock | None = None,
        emit: Emit = events.emit,
        make_inotify: Callable[..., Inotify] = Inotify,
    ) -> None:
        self._directory = directory
        self._names = frozenset(names)
        self._changed = changed
        self._clock = clock or SystemClock()
        self._emit = emit
        self._make_inotify = make_inotify
        self._inotify: Inotify | None = None
        self._wd: int | None = None
        self._identity: tuple[int, int] | None = None
        self._told: _Picture = {}
        self._said = ""
        self.losses: Counter[str] = Counter()
        """How often it could not be heard of, by cause."""

    def reserve(self) -> None:
        """Take an instance and a watch before others use them up; what comes waits for the start.

        Where it is not called, the start does it.
        """
        self._watch()

    def start(self) -> None:
        """Watch; what is there already is not told."""
        if self._inotify is None:
            self._watch()
        self._told = self._picture()
        self._listen()

    def stop(self) -> None:
        """End the thread."""
        if self._inotify:
            self._inotify.stop()
            if self._inotify.ident is not None:
                self._inotify.join()
            self._inotify = None

    def healthy(self) -> bool:
        """Whether changes are heard of at once."""
        return self._inotify is not None and self._inotify.is_alive() and self._wd is not None

    def is_idle(self) -> bool:
        """Whether everything that happened before this call has been told."""
        return self._inotify is None or self._inotify.is_idle()

    def tick(self) -> None:
        """Compare, and watch again what is not watched (any more)."""
        if not self.healthy() or self._identity != self._identity_now():
            self.stop()
            self._watch()
            self._listen()
        elif self._said == _OVERFLOW:
            self._said = ""
        self._compare()

    # What Inotify calls.

    def on_event(self, event: InotifyEvent) -> None:
        """Tell of a flag file."""
        name = os.fsdecode(event.name)
        if name in self._names:
            self._tell(name)

    def on_watch_deleted(self, _wd: WatchDescriptor) -> None:
        """Wait for the tick: the directory is gone."""
        self._wd = None

    def on_queue_overflow(self) -> None:
        """Count it, and tell of whatever changed; said once until the next tick."""
        if self._said == _OVERFLOW:
            self.losses[_OVERFLOW] += 1
        else:
            self._say(_OVERFLOW, "the kernel's event queue was full; the files are compared")
        self._compare()

    def on_batch_end(self) -> None:
        """Nothing is held back."""

    def on_error(self, event: InotifyEvent, error: Exception) -> None:
        """Log it; the next event comes all the same."""
        where = f"state directory, {os.fsdecode(event.name)!a}"
        self._emit("unexpected", where=where, detail=f"{type(error).__name__}: {error}")

    def on_death(self, error: Exception) -> None:
        """Wait for the tick to start another thread."""
        self._say("thread_died", f"{type(error).__name__}: {error}")

    def _watch(self) -> None:
        self._wd = None
        try:
            self._inotify = self._make_inotify(self, self._clock)
        except OSError as error:
            self._say("instance_limit", str(error.strerror))
            return
        try:
            self._wd = self._inotify.watch(os.fsencode(self._directory))
            self._identity = self._identity_now()
            self._said = ""
        except OSError as error:
            cause = cause_of(error)
            self._say("state_dir" if cause == "unreadable" else cause, str(error.strerror))

    def _listen(self) -> None:
        if self._inotify is not None and self._inotify.ident is None:  # a tick may come first
            self._inotify.start()

    def _say(self, cause: str, detail: str) -> None:
        if self._said != cause:
            self._said = cause
            self.losses[cause] += 1
            remedy = remedy_for(cause)
            self._emit(
                "events_lost",
                root=self._directory,
                cause=cause,
                detail=detail,
                remedy=remedy,
                count=self.losses[cause],
            )

    def _compare(self) -> None:
        now = self._picture()
        for name in sorted(self._names):
            if now.get(name) != self._told.get(name):
                self._tell(name)

    def _tell(self, name: str) -> None:
        self._told[name] = self._look(name)
        self._changed(name)

    def _picture(self) -> _Picture:
        return {name: self._look(name) for name in self._names}

    def _look(self, name: str) -> tuple[int, int, int] | None:
        try:
            found = os.lstat(join(self._directory, name))
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns

    def _identity_now(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._directory)
        except OSError:
            return None
        return found.st_dev, found.st_ino
