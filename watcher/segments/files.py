"""The question what the file of a name is now; the answer goes into the index.

Whatever was told or found (an event, a listing, a comparison) ends here in the same question, asked
of the file system at that moment. Events only say where to look: their order, their pairing and
their age do not matter, so that a walk and the event stream can run side by side.

A file that was seen created is open until its close is known: told by an event, or found out with
a lease where it may have been missed.
"""

import os
import stat
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import Enum, auto

from watcher.clock import Clock
from watcher.segments.changes import Changes
from watcher.segments.entries import Known
from watcher.segments.index import SegmentIndex
from watcher.segments.lease import is_open_for_writing
from watcher.segments.segment import S_PER_DAY, Segment
from watcher.segments.tree import Directory, Root
from watcher.segments.unreadable import cause_of

PROBED_AGE_S = 3_600  # an older file is not asked whether it is open: the swap's lease asks again
_FRESH_S = 2.0  # a file that was created, but perhaps not yet opened
_QUIET_S = 600.0  # where no lease can tell: closed, if nothing was written for so long


class Why(Enum):
    """What made us look at a name."""

    CREATED = auto()
    CLOSED = auto()
    MOVED_FROM = auto()
    MOVED_TO = auto()
    OTHER = auto()


@dataclass(frozen=True, slots=True)
class Hooks:
    """Who else wants to know; each is called without a lock held, and may raise."""

    recover: Callable[[str, str, list[str]], None] = lambda _camera, _directory, _sidecars: None
    """Camera, directory and the names of our own files in it, before its files are candidates."""
    sidecar_changed: Callable[[str, str, str], None] = lambda _camera, _directory, _name: None
    """Camera, directory, and the recording that changed beside a file of ours, or one of these."""
    moved: Callable[[str, str, str], None] = lambda _camera, _old, _new: None
    """Camera, and a directory's old and new path; for one with others below it, each of them."""
    opened: Callable[[str, str], None] = lambda _camera, _path: None
    closed: Callable[[Segment], None] = lambda _segment: None
    gone: Callable[[str, str, int, int, bool], None] = lambda _c, _p, _size, _mtime, _ours: None
    """Camera, path, size, mtime in ns, and whether a file of ours stood beside it."""


@dataclass(frozen=True, slots=True)
class _Move:
    """A file that was renamed away; where to is not known yet."""

    root: Root
    segment: Segment
    known: Known


class Files:
    """The question, and what follows from its answer."""

    def __init__(
        self,
        index: SegmentIndex,
        changes: Changes,
        *,
        sidecar_of: Callable[[str], str | None],
        hooks: Hooks,
        clock: Clock,
        descriptor: Callable[[Directory], int | None],
        unresolved: Callable[[Directory, str], None],
        when_paired: Callable[[Callable[[], None]], None],
    ) -> None:
        self.index = index
        self.sidecar_of = sidecar_of
        self.hooks = hooks
        self.live = False  # after the first walk: what is new now was written just now
        self._changes = changes
        self.clock = clock
        self._descriptor = descriptor
        self._unresolved = unresolved
        self._when_paired = when_paired
        self._moves: dict[int, _Move] = {}

    def look(self, directory: Directory, name: str, why: Why = Why.OTHER, cookie: int = 0) -> None:
        """See what the file called *name* is now. The lock is held."""
        beside = self.sidecar_of(name)
        if beside is None and not directory.root.is_recording(name):
            return
        descriptor = self._descriptor(directory)
        if descriptor is None:
            self._unresolved(directory, name)
            return
        try:
            found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
        except FileNotFoundError:
            found = None
        except OSError as error:
            self._changes.lost(cause_of(error), directory.root, f"{error.strerror}", directory)
            return
        if beside is not None:
            self._take_sidecar(directory, name, beside, is_there=found is not None)
        elif found and stat.S_ISREG(found.st_mode):
            self._put(directory, name, found, why, cookie)
        else:
            self._remove(directory, name, why, cookie)

    def take_recent(self, directory: Directory, name: str, found: os.stat_result) -> None:
        """Take in a file that a listing found, written so lately that it may still be open."""
        self._put(directory, name, found, Why.OTHER, 0)

    def recheck_open(
        self, cameras: Collection[str], directory_of: Callable[[str], Directory | None]
    ) -> None:
        """Ask of every open segment of *cameras* whether it still is: its close may never be told.

        The index holds others' too: their directories are known to another forest.
        """
        for segment in self.index.open_segments():
            if segment.camera not in cameras:
                continue
            with self._changes:
                directory = directory_of(segment.directory)
                if directory is None:
                    self.index.remove(segment.path)
                elif abs(self.clock.wall_s() - segment.mtime_s) > _FRESH_S:
                    self._recheck(directory, segment.name)

    def tell_gone(self, segment: Segment, *, ours: bool) -> None:
        """Say that a segment is gone. The lock is held."""
        self._changes.then(
            self.hooks.gone,
            segment.camera,
            segment.path,
            segment.size_bytes,
            segment.mtime_ns,
            ours,
        )
        self._changes.say(
            "segment_gone",
            camera=segment.camera,
            path=segment.path,
            size_bytes=segment.size_bytes,
            age_days=round((self.clock.wall_s() - segment.mtime_s) / S_PER_DAY, 2),
        )

    def _put(
        self, directory: Directory, name: str, found: os.stat_result, why: Why, cookie: int
    ) -> None:
        known = self.index.known(directory.path, name)
        move = self._moves.get(cookie) if why is Why.MOVED_TO else None
        is_open = self._is_open(directory, name, found, why, known=move.known if move else known)
        segment = _segment(directory, name, found)
        changed = self.index.put(segment, is_open=is_open)
        self._changes.tally["added"] += known is None
        if changed and self.index.sidecars(segment.path):  # our swap, or somebody's newer file
            self._changes.then(self.hooks.sidecar_changed, segment.camera, directory.path, name)
        if move and move.root is directory.root:
            del self._moves[cookie]  # renamed within its camera: neither gone nor new
        elif why is Why.CREATED and is_open:
            self._changes.then(self.hooks.opened, segment.camera, segment.path)
        elif changed and not is_open and (why is not Why.OTHER or self._is_news(segment, known)):
            self._tell_closed(segment)

    def _is_open(
        self,
        directory: Directory,
        name: str,
        found: os.stat_result,
        why: Why,
        known: Known | None,
    ) -> bool:
        if why is Why.CLOSED:
            return False
        # A further link is not opened by creating it, and a listing may have seen the file before.
        if why is Why.CREATED and found.st_nlink == 1 and not _is_the_same(known, found):
            return True
        if known and why is not Why.CREATED and not directory.root.polled:
            return known.is_open
        return self._is_being_written(directory, name, found)

    def _is_being_written(self, directory: Directory, name: str, found: os.stat_result) -> bool:
        """Whether a file that nobody was seen closing is open; if that can't be known, it is."""
        age_s = self.clock.wall_s() - found.st_mtime
        if not directory.root.leases:
            return age_s < _QUIET_S
        if age_s > PROBED_AGE_S:
            return False
        if found.st_size == 0 and abs(age_s) < _FRESH_S:
            return True  # created this instant: perhaps its writer is just about to be counted
        is_open = is_open_for_writing(name, self._descriptor(directory))
        return age_s < _QUIET_S if is_open is None else is_open

    def _is_news(self, segment: Segment, known: Known | None) -> bool:
        """Whether a closed file that was merely found was closed by a recorder just now."""
        recent = self.clock.wall_s() - segment.mtime_s < PROBED_AGE_S
        return self.live and recent and (known is None or known.is_open)

    def _tell_closed(self, segment: Segment) -> None:
        if not self.index.sidecars(segment.path):  # else we had a hand in it
            self._changes.then(self.hooks.closed, segment)
            self._changes.say(
                "segment_closed",
                camera=segment.camera,
                path=segment.path,
                size_bytes=segment.size_bytes,
            )

    def _remove(self, directory: Directory, name: str, why: Why, cookie: int) -> None:
        known = self.index.known(directory.path, name)
        segment = self.index.remove_name(directory.path, name)
        if segment is None or known is None:
            return
        self._changes.tally["removed"] += 1
        if why is Why.MOVED_FROM and cookie:
            self._moves[cookie] = _Move(directory.root, segment, known)
            self._when_paired(lambda: self._settle_move(cookie))
        else:
            self.tell_gone(segment, ours=known.is_replaced)

    def _settle_move(self, cookie: int) -> None:
        """Conclude that a renamed file has left its camera."""
        with self._changes:
            move = self._moves.pop(cookie, None)
            if move:
                self.tell_gone(move.segment, ours=move.known.is_replaced)

    def _take_sidecar(
        self, directory: Directory, name: str, beside: str, *, is_there: bool
    ) -> None:
        if is_there:
            self.index.put_sidecar(directory.path, beside, name)
        else:
            self.index.remove_sidecar(directory.path, beside, name)
        camera = directory.root.camera
        self._changes.then(self.hooks.sidecar_changed, camera, directory.path, beside)

    def _recheck(self, directory: Directory, name: str) -> None:
        descriptor = self._descriptor(directory)
        if descriptor is None:
            return
        try:
            found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
        except OSError:
            self.look(directory, name)
            return
        is_open = self._is_being_written(directory, name, found)
        segment = _segment(directory, name, found)
        self.index.put(segment, is_open=is_open)
        if not is_open:
            self._tell_closed(segment)


def _is_the_same(known: Known | None, found: os.stat_result) -> bool:
    return known is not None and known[:2] == (found.st_size, found.st_mtime_ns)


def _segment(directory: Directory, name: str, found: os.stat_result) -> Segment:
    camera = directory.root.camera
    return Segment(camera, directory.path, name, found.st_size, found.st_mtime_ns)
