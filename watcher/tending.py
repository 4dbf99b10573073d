"""Tending what stands beside recordings: half-done swaps ended, due originals deleted.

Every directory with files of ours in it is brought to rest before its recordings are candidates,
and each one again when something of ours there changes. Deleting is decided here (whose time is
over, what the disk needs) and proven and carried out by `replace`, on the running job's leash,
because it reads a whole file.
"""

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from watcher.clock import Clock, SystemClock
from watcher.errors import Aborted, Halt, Retryable, WatcherError
from watcher.events import Emit, emit
from watcher.gate.asking import NoAnswer, patient
from watcher.gate.disk import DiskRules, Room, pressure, read_space, room_for
from watcher.gate.readings import Space
from watcher.replace.files import Check, Meanwhile, alone, never
from watcher.replace.marker import original_name, recording_of
from watcher.replace.mend import place_of
from watcher.replace.originals import Originals, Waiting
from watcher.replace.steps import told
from watcher.replace.swap import (
    Deletion,
    LinuxDirectory,
    Outcome,
    Policy,
    Recovered,
    Remember,
    Standing,
    delete_original,
    delete_orphan,
    recover,
)
from watcher.segments.segment import Segment

_ANSWERS_WITHIN_S = 1.0
"""Nothing of ours runs while the shift asks: a busy disk may take a little longer."""

_stat = patient(os.stat, _ANSWERS_WITHIN_S)
_room_at = patient(read_space, _ANSWERS_WITHIN_S)


def disk_of(directory: str) -> int | None:
    """Number the file system that holds *directory*; None where it is gone, or hangs."""
    try:
        return _stat(directory).st_dev
    except OSError:
        return None


def answers(directory: str) -> bool:
    """Say whether the file system that holds *directory* answers, be it that it is gone."""
    try:
        _stat(directory)
    except NoAnswer:
        return False
    except OSError:
        return True
    return True


_PATIENCE_S = 2.0
"""A deletion holds the directory's lock while it reads a whole copy: whoever looks comes back."""

_LOOK_S = 0.5
_GIVE_WAY_S = 0.25
"""Longer than who waits for a directory's lock lets pass between two tries."""

_FOR_ANOTHER_TIME = {Standing.WORKING, Standing.UNKNOWN}


@dataclass(frozen=True, slots=True)
class KeepRules:
    """What the owner allows: how a swap may be made, and what the disk may ask for."""

    policy: Policy = field(default_factory=Policy)
    disk: DiskRules = field(default_factory=DiskRules)
    release_early: bool = True


class Tender:
    """Ends what is half done, and deletes what is due; safe to use from several threads."""

    def __init__(
        self,
        originals: Originals,
        *,
        remember: Remember,
        rules: KeepRules,
        space: Callable[[str], Space] = _room_at,
        disk_of: Callable[[str], int | None] = disk_of,
        answers: Callable[[str], bool] = answers,
        clock: Clock | None = None,
        emit: Emit = emit,
    ) -> None:
        self.originals = originals
        self._remember = remember
        self.rules = rules
        self._read_space = space
        self._disk_of = disk_of
        self.answers = answers
        self._clock = clock or SystemClock()
        self._emit = emit
        self._lock = threading.Lock()
        self._at_work: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()

    def settle_directory(
        self, directory: str, sidecars: Iterable[str], check: Check = never
    ) -> list[str]:
        """Bring every swap in *directory* to its end; *sidecars* are the names of our files."""
        names = sorted({name for one in sidecars if (name := recording_of(one)) is not None})
        return self.settle(directory, names, check)

    def settle(
        self, directory: str, names: Sequence[str], check: Check = never, *, again: bool = False
    ) -> list[str]:
        """Bring whatever stands beside the recordings *names* to its end, and note it.

        Gives the names that have to be looked at again, because somebody is at work there, they
        could not be looked at, or *check* raised `Aborted`. *again*: what is as it was is not
        told once more. That a directory is locked is no news at all.
        """
        try:
            opened = LinuxDirectory(directory, clock=self._clock, patience_s=_PATIENCE_S)
        except OSError:
            return []  # gone or unreadable: whoever lists it again will tell
        left = []
        read = _Read(check)
        with opened:
            for number, name in enumerate(names):
                if read.anything:  # who waits for the lock is not to wait for all of them
                    self._clock.wait(threading.Event(), _GIVE_WAY_S)
                read.anything = False
                try:
                    ended = self._settle(opened, name, read, again=again)
                except Aborted:
                    left.append(name)
                    continue
                if _directory_was_locked(ended):  # waited for once, not for each recording
                    return [*left, *names[number:]]
                if ended.standing in _FOR_ANOTHER_TIME:
                    left.append(name)
        return left

    def _settle(self, opened: LinuxDirectory, name: str, check: Check, *, again: bool) -> Recovered:
        said: list[dict[str, object]] = []

        def tell(_event: str, /, **fields: object) -> None:
            said.append(fields)

        lock = self._lock_of(opened.path)
        while not lock.acquire(timeout=_LOOK_S):  # another thread may read a whole recording
            check()
        try:
            ended = recover(opened, name, remember=self._remember, check=check, emit=tell)
            self.originals.note(opened.path_of(name), ended)
        finally:
            lock.release()
        old_news = again and not ended.actions
        for fields in () if old_news or _directory_was_locked(ended) else said:
            self._emit("swap_recovered", **fields)
        return ended

    def _lock_of(self, directory: str) -> threading.Lock:
        """Give each directory its own: one that hangs keeps no other's from being settled."""
        with self._lock:
            return self._at_work.setdefault(directory, threading.Lock())

    def room(self, directory: str, output_bytes: int) -> Room:
        """Judge whether a job may write *output_bytes* into *directory*, by the disk's one rule."""
        return room_for(
            output_bytes,
            self.space(directory),
            self.rules.disk,
            held_bytes=_bytes(self._beside(directory, self.originals.all())),
            releasable_bytes=_bytes(self._releasable(directory)),
        )

    def is_critical(self, directory: str) -> bool:
        """Say whether *directory*'s disk is so full that a recorder is about to lose some."""
        try:
            free_bytes = self.space(directory).free_bytes
        except WatcherError:
            return False  # whoever works there is told
        return free_bytes < self.rules.disk.critical_bytes

    def pressed(self) -> Waiting | None:
        """The oldest original whose own disk wants room back, with no job in sight."""
        asked: dict[int | None, bool] = {}
        for one in self.originals.releasable() if self.rules.release_early else ():
            directory = _directory_of(one)
            disk = self._disk_of(directory)
            if disk not in asked:
                asked[disk] = disk is not None and self._wanted(directory) > 0
            if asked[disk]:
                return one
        return None

    def _wanted(self, directory: str) -> int:
        try:
            space = self.space(directory)
        except WatcherError:
            return 0  # whoever works there is told
        return pressure(
            space,
            self.rules.disk,
            held_bytes=_bytes(self._beside(directory, self.originals.all())),
            releasable_bytes=_bytes(self._releasable(directory)),
        )

    def waits_for(self, segment: Segment) -> str | None:
        """Say what a job waits for where we keep as much as we may, and none may go yet.

        That is ordinary, and no fault: an original's first hour will be over. A directory that has
        just gone waits for nothing: whoever begins there finds out.
        """
        try:
            room = self.room(segment.directory, segment.size_bytes)
        except Retryable:
            return None
        if room.reason != "held" or room.release_bytes:
            return None
        return f"waiting for originals to go: {room.detail}"

    def floor_bytes(self, directory: str) -> int:
        """The free space that is to stay free on *directory*'s disk."""
        return self.rules.disk.floor(self.space(directory).total_bytes)

    def space(self, directory: str) -> Space:
        """Ask the disk; `Halt` where it does not answer."""
        try:
            return self._read_space(directory)
        except OSError as error:
            raise told(error, directory) from error

    def next_release(self, directory: str) -> Waiting | None:
        """The original that may go next where *directory*'s disk needs its room."""
        return next(iter(self._releasable(directory)), None)

    def _releasable(self, directory: str) -> list[Waiting]:
        if not self.rules.release_early:
            return []
        return self._beside(directory, self.originals.releasable())

    def _beside(self, directory: str, originals: Iterable[Waiting]) -> list[Waiting]:
        """Keep those on the same disk: what goes elsewhere makes no room here."""
        disk, known = self._disk_of(directory), dict[str, int | None]()
        found = []
        for one in originals:
            where = _directory_of(one)
            if where not in known:
                known[where] = self._disk_of(where)
            if known[where] is not None and known[where] == disk:
                found.append(one)
        return found

    def delete(
        self, waiting: Waiting, reason: str, check: Check, meanwhile: Meanwhile = alone
    ) -> Deletion:
        """Delete one original that is due (or, by *reason*, released early), if it is proven.

        Raises `Halt` and `Aborted`. What could not be proven is kept, told, and asked again
        tomorrow.
        """
        directory, _, name = waiting.path.rpartition("/")
        try:
            opened = LinuxDirectory(directory or "/", clock=self._clock)
        except FileNotFoundError:
            self.originals.discard(waiting.path)
            return Deletion(Outcome.KEPT, "directory_gone")
        except OSError as error:
            wrong = told(error, directory)
            if isinstance(wrong, Halt):
                raise wrong from error
            self.originals.postpone(waiting.path)
            return Deletion(Outcome.KEPT, wrong.reason, wrong.message)
        with opened:
            try:
                deletion = self._delete(opened, waiting, reason, check, meanwhile)
            except Halt:
                if _is_gone(opened, name):
                    self.originals.discard(waiting.path)
                raise
            if deletion.outcome is Outcome.KEPT and not _is_gone(opened, name):
                self.originals.postpone(waiting.path)
                self.settle(directory or "/", [name], check, again=True)  # another's by now?
            else:
                self.originals.discard(waiting.path)
        return deletion

    def _delete(
        self,
        opened: LinuxDirectory,
        waiting: Waiting,
        reason: str,
        check: Check,
        meanwhile: Meanwhile,
    ) -> Deletion:
        name = waiting.path.rpartition("/")[2]
        if not _is_where_it_was(opened, waiting):  # brought back, say: its time has just begun
            detail = "another directory stands at that path by now"
            self._emit("original_kept", path=waiting.path, reason="not_as_left", detail=detail)
            return Deletion(Outcome.KEPT, "not_as_left", detail)
        if waiting.orphan:
            return delete_orphan(opened, name, check=check, emit=self._emit)
        return delete_original(
            opened,
            name,
            reason=reason,
            evidence_s=self.originals.evidence_s(waiting.path),
            policy=self.rules.policy,
            remember=self._remember,
            check=check,
            meanwhile=meanwhile,
            clock=self._clock,
            emit=self._emit,
        )


class _Read:
    """The check of one settling, which notes whether it let anything be read."""

    def __init__(self, check: Check) -> None:
        self._check = check
        self.anything = False

    def __call__(self) -> None:
        self._check()
        self.anything = True


def _directory_was_locked(ended: Recovered) -> bool:
    return ended.standing is Standing.WORKING and not ended.found


def _is_where_it_was(opened: LinuxDirectory, waiting: Waiting) -> bool:
    """Say whether the directory is the one in which it was watched, as far as that is known."""
    try:
        return waiting.before.place in {"", place_of(opened)}
    except OSError:
        return False


def _is_gone(opened: LinuxDirectory, name: str) -> bool:
    try:
        return opened.look(original_name(name)) is None
    except OSError:
        return False


def _bytes(originals: Iterable[Waiting]) -> int:
    return sum(one.size_bytes for one in originals)


def _directory_of(one: Waiting) -> str:
    return one.path.rpartition("/")[0] or "/"
