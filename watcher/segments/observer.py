"""The observer: what is in the cameras' directories goes into the index, and stays true there.

Promises: one walk at start; from then on the kernel's events alone. Whatever may have been missed
is noticed, logged (`events_lost`), counted and mended (`index_resynced`) by reading no more than
the directories that changed. What each module adds:

`inotify` reads the kernel's queue · `reader` turns events into questions · `forest` answers them
from the file system and `files` tells the index · `scan` reads directories · `mending` and
`reconcile` mend · `roots` waits for what is absent · `polling` is for file systems without events.
Here they are put together and kept alive. A tick, every 30 s, is the caller's to give.
"""

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial, update_wrapper

from watcher import events
from watcher.clock import Clock, SystemClock
from watcher.events import Emit
from watcher.segments.changes import Changes
from watcher.segments.files import Hooks
from watcher.segments.forest import Forest
from watcher.segments.index import SegmentIndex
from watcher.segments.inotify import Inotify, limit
from watcher.segments.mending import Mender
from watcher.segments.polling import POLL_S, Poll
from watcher.segments.reader import EventReader
from watcher.segments.roots import Mounts, check_root, is_hidden, partly_unheard, unheard
from watcher.segments.scan import read_pending, without_collector
from watcher.segments.segment import Segment, State
from watcher.segments.tree import Root, WatchedCamera, root_of
from watcher.segments.worker import Worker

__all__ = ["Hooks", "SegmentObserver", "Statistics", "WatchedCamera"]


@dataclass(frozen=True, slots=True)
class Statistics:
    """What the observer has seen and done."""

    directories: int = 0
    watches: int = 0
    unwatched: int = 0
    max_user_watches: int | None = None
    events: int = 0
    directories_read: int = 0
    directories_read_at_start: int = 0
    resyncs: int = 0
    losses: Mapping[str, int] = field(default_factory=dict)
    """How often what was lost, by cause."""
    roots: Mapping[str, str] = field(default_factory=dict)
    """Each camera's root: present, or what is wrong with it."""
    unheard: Mapping[str, str] = field(default_factory=dict)
    """Why nothing is heard of a camera, in words; those that are heard of are not in it."""
    partly_unheard: Mapping[str, str] = field(default_factory=dict)
    """The same of what is mounted below a camera that is heard of."""


class SegmentObserver:
    """Keeps the index true."""

    def __init__(
        self,
        cameras: Iterable[WatchedCamera],
        index: SegmentIndex,
        *,
        sidecar_of: Callable[[str], str | None],
        hooks: Hooks | None = None,
        clock: Clock | None = None,
        emit: Emit = events.emit,
        make_inotify: Callable[..., Inotify] = Inotify,
        poll_interval_s: float = POLL_S,
    ) -> None:
        self._clock = clock or SystemClock()
        self._emit = emit
        self._make_inotify = make_inotify
        self._poll_interval_s = poll_interval_s
        self._roots = [root_of(camera) for camera in cameras]
        self._polls: dict[Root, Poll] = {}
        self._worker = self._new_worker()
        self._changes = Changes(emit)
        self.forest = Forest(
            index,
            self._changes,
            sidecar_of=sidecar_of,
            hooks=hooks or Hooks(),
            clock=self._clock,
            later=self._later,
            wake=self._wake,
            check_root=self._check_root,
        )
        self._mounts = Mounts(self.forest, self._roots)
        self._mender = Mender(self.forest, self._roots, later=self._later, stopping=self._stopping)
        self._lock = threading.Lock()
        self._reading = False  # a job that reads what is pending waits its turn
        self._ticking = False
        self._deaf = False
        self._refused = False  # no instance was to be had, and that has been said
        self._read_at_start = 0
        self._ready = threading.Event()
        self._stopped = False

    # Life.

    def start(self, *, wait: bool = True) -> None:
        """Watch, then walk; with *wait* return when the index is whole."""
        self._start_inotify()
        self._worker.start()
        self._worker.soon(self._first_walk)
        if wait:
            self._ready.wait()

    def wait_ready(self, timeout_s: float | None = None) -> bool:
        """Wait for the end of the first walk."""
        return self._ready.wait(timeout_s)

    def stop(self) -> None:
        """End every thread; the index stays as it is."""
        with self._lock:
            self._stopped = True  # from here on the worker has no successor
        self._worker.stop()
        for poll in self._polls.values():
            poll.stop()
        if self.forest.inotify:
            self.forest.inotify.stop()
            if self.forest.inotify.ident is not None:
                self.forest.inotify.join()
        self._ready.set()

    def tick(self) -> None:
        """Compare what no event tells of; to be called every 30 s, returns at once."""
        if self._works_anew():
            self._mender.lost("thread_died", "the worker's thread ended")
            self._wake()
            self._mender.begin_anew()  # its jobs have died with it
        with self._lock:
            if self._ticking:
                return  # the last one is not over: something large is being read
            self._ticking = True
        self._worker.soon(self._tick)

    def _works_anew(self) -> bool:
        """Give the worker a successor where it has died; any thread may tick."""
        with self._lock:
            if self._worker.is_alive() or self._stopped:
                return False
            self._worker = self._new_worker()
            self._reading = self._ticking = False
            self._worker.start()
        return True

    def healthy(self) -> bool:
        """Whether every thread lives and every camera is heard of."""
        inotify = self.forest.inotify
        reading = inotify is not None and inotify.is_alive() and not self._deaf
        return (
            self._worker.is_alive()
            and (reading or not self._is_needed())
            and all(p.healthy() for p in self._polls.values() if p.root.state == "present")
        )

    def is_idle(self) -> bool:
        """Whether everything that happened before this call is in the index."""
        inotify = self.forest.inotify
        heard = inotify is None or inotify.is_idle()
        return heard and self._worker.is_idle() and (inotify is None or inotify.is_idle())

    def is_gone(self, path: str) -> bool:
        """Whether a recording that the index does not hold has certainly been deleted.

        Not where its camera is absent or a directory on the way to it was not read; nor where the
        last one that is known is empty, as the place of a disk is that is not mounted; nor where a
        mount came or went.
        """
        with self._changes:
            directory = self.forest.tree.nearest(path)
            if directory is None or not directory.listed or directory.root.state != "present":
                return False
            if is_hidden(directory.root, path):
                return False
            beside, _ = self.forest.index.names(directory.path)
            if not (beside or directory.children):
                return False
        try:
            os.lstat(path)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return False

    def confirm(self, segment: Segment) -> bool:
        """Whether a segment is as the index has it; if not, the index is corrected first.

        `truncate(2)`, and a time set by itself, raise no event that is asked for. True also where
        looking again has changed nothing: whoever claims the file looks for himself.
        """
        try:
            found = os.lstat(segment.path)
        except OSError:
            found = None
        if found and (found.st_size, found.st_mtime_ns) == (segment.size_bytes, segment.mtime_ns):
            return True
        with self._changes:
            directory = self.forest.tree.by_path.get(segment.directory)
            if directory:
                self.forest.files.look(directory, segment.name)
        self.forest.close_descriptors()
        known = self.forest.index.get(segment.path)
        return known is not None and known.segment == segment

    def statistics(self) -> Statistics:
        """What was seen and done so far."""
        forest = self.forest
        with self._changes:
            known = forest.tree.by_path.values()
            unwatched = sum(d.wd is None and not d.root.polled for d in known)
            return Statistics(
                directories=len(known),
                watches=len(forest.tree.by_wd),
                unwatched=unwatched,
                max_user_watches=limit("max_user_watches"),
                events=self._changes.tally["events"],
                directories_read=self._changes.tally["directories_read"],
                directories_read_at_start=self._read_at_start,
                resyncs=self._changes.tally["resyncs"],
                losses=dict(self._changes.losses),
                roots={root.camera: root.state for root in self._roots},
                unheard={root.camera: why for root in self._roots if (why := unheard(root))},
                partly_unheard={r.camera: why for r in self._roots if (why := partly_unheard(r))},
            )

    def statistics_within(self, within_s: float) -> Statistics | None:
        """Give the same, or None where a file system that hangs keeps the lock for so long."""
        with self._changes.within(within_s) as ours:
            return self.statistics() if ours else None

    # Jobs of the worker.

    def _first_walk(self) -> None:
        try:
            self._mounts.note()
            self._walk()
        finally:
            self._ready.set()

    def _walk(self) -> None:
        started_s = self._clock.monotonic_s()
        # Not while a share is read, which may never come back.
        paused = without_collector(self.forest.index) if self._is_needed() else nullcontext()
        with paused:
            for root in self._roots:
                self._check_root(root, quietly=True)
            read_pending(self.forest, self._stopping)
            self.forest.index.next_due_s()  # puts them in order now
        self._read_at_start = self._changes.tally["directories_read"]
        self.forest.files.live = True
        if not self._roots or self._stopped:
            return
        counts = self.forest.index.counts()
        self._emit(
            "index_ready",
            cameras=[root.camera for root in self._roots],
            segments=counts.segments,
            candidates=counts.by_state[State.CANDIDATE],
            directories=self._read_at_start,
            duration_s=round(self._clock.monotonic_s() - started_s, 3),
        )

    def _read_pending(self) -> None:
        self._reading = False
        read_pending(self.forest, self._stopping)

    def _tick(self) -> None:
        try:
            self._hear_again()
            if self._mounts.check():
                self._mender.read_mounted()
            for root in self._roots:
                self._check_root(root)
            self._mender.compare_unheard()
            self._mender.resolve()
            self.forest.recheck_open({root.camera for root in self._roots})
        finally:
            self._ticking = False

    def _check_root(self, root: Root, *, quietly: bool = False) -> None:
        cause = check_root(self.forest, root)
        if cause and root.polled:
            self._start_poll(root)
        elif root.polled and root.state == "present" and not self._is_polling(root):
            self._mender.lost("thread_died", "the polling thread ended", root)
            self._start_poll(root)
            cause = "thread_died"
        if cause and not quietly:
            self._mender.read_root(root, cause)

    def _hear_again(self) -> None:
        """Begin anew with another instance, after the last one died or there was none."""
        old = self.forest.inotify
        if not self._is_needed() or (old and old.is_alive() and not self._deaf):
            return
        read_up_to_s = old.read_up_to_s() if old else None
        with self._changes:
            for directory in self.forest.tree.by_path.values():
                directory.wd = None
            self.forest.tree.by_wd.clear()
            self.forest.inotify = None
        if old:
            old.stop()
        if self._start_inotify():
            self._mender.watch_again("thread_died" if old else "instance_limit", read_up_to_s)
        else:
            self._mender.none_is_heard()

    def _died(self, error: Exception) -> None:
        self._deaf = True
        self._mender.lost("thread_died", f"{type(error).__name__}: {error}")
        self._later(self._hear_again, 0.0)

    def _worker_failed(self, job: str, error: Exception) -> None:
        self._emit(
            "unexpected", where=f"segments, {job}", detail=f"{type(error).__name__}: {error}"
        )

    # Helpers.

    def _start_inotify(self) -> bool:
        if not self._is_needed():
            return False
        reader = EventReader(
            self.forest,
            later=self._later,
            check_root=self._check_root,
            overflown=self._mender.overflown,
            failed=self._mender.handler_failed,
            died=self._died,
        )
        try:
            inotify = self._make_inotify(reader, self._clock)
        except OSError as error:
            if not self._refused:
                self._refused = True
                detail = f"no inotify instance to be had: {error.strerror}"
                self._mender.lost("instance_limit", detail)
            return False
        self._deaf = self._refused = False
        with self._changes:
            self.forest.inotify = inotify
        inotify.start()
        return True

    def _start_poll(self, root: Root) -> None:
        old = self._polls.pop(root, None)
        if old:
            old.stop()
        failed = partial(self._mender.handler_failed, root.directory)
        poll = self._polls[root] = Poll(self.forest, root, failed, self._poll_interval_s)
        poll.start()

    def _is_polling(self, root: Root) -> bool:
        return root in self._polls and self._polls[root].healthy()

    def _is_needed(self) -> bool:
        return not all(root.polled for root in self._roots)

    def _later(self, job: Callable[[], None], delay_s: float) -> None:
        self._worker.soon(update_wrapper(partial(self._ask, job), job), delay_s)  # for its name

    def _ask(self, job: Callable[[], None]) -> None:
        """Do *job*, and hold no directory open for longer: its disk may be about to go."""
        try:
            job()
        finally:
            self.forest.close_descriptors()

    def _wake(self) -> None:
        if not self._reading:
            self._reading = True
            self._worker.soon(self._read_pending)

    def _stopping(self) -> bool:
        return self._stopped

    def _new_worker(self) -> Worker:
        return Worker("segments", self._clock, self._worker_failed)
