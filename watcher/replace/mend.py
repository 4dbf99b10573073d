"""Recovery carried out: a half-done swap brought to its end, step by step, as `recovery` plans it.

Repeated or interrupted, it changes nothing more (SWAP invariant 8). A look that fails ends it with
nothing done: unknown is never taken for absent.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from watcher import events
from watcher.errors import Retryable
from watcher.events import Emit
from watcher.replace.files import Check, Directory, Look, never
from watcher.replace.marker import Identity, Marker, State
from watcher.replace.recovery import (
    Action,
    Standing,
    Temporary,
    Thing,
    identity_of,
    same_file,
)
from watcher.replace.steps import (
    Remember,
    Site,
    Survey,
    digest_from_disk,
    forget,
    guard,
    move_durably,
    plan_for,
    rewrite_marker,
    survey,
    told,
    unlink_durably,
)

_MOST_STEPS = 16


@dataclass(frozen=True, slots=True)
class Recovered:
    """What recovery found beside one recording, what it did, and how the set stands now."""

    name: str
    found: str
    actions: tuple[str, ...]
    standing: Standing
    detail: str = ""
    marker: Marker | None = None
    place: str = ""
    """Which directory it was, by inode and birth: a path may come to name another one."""


def recover(
    directory: Directory,
    name: str,
    *,
    remember: Remember = forget,
    check: Check = never,
    emit: Emit = events.emit,
) -> Recovered:
    """Bring whatever stands beside *name* to its end (SWAP, Recovery).

    Raises `Aborted` alone, from *check*. *remember* is called with "restored" before the marker
    of a recording that its owner restored is taken away.
    """
    site = Site(directory, name, remember=remember, check=check)
    try:
        with directory.locked():
            place = place_of(directory)
            recovered = replace(recover_locked(site), place=place)
    except Retryable as busy:
        recovered = Recovered(name, "", (), Standing.WORKING, detail=busy.message)
    except OSError as error:
        recovered = Recovered(name, "", (), Standing.UNKNOWN, told(error, site.path).message)
    if recovered.actions or recovered.detail:
        emit(
            "swap_recovered",
            path=site.path,
            found=recovered.found,
            action="; ".join(recovered.actions) or str(Action.LEAVE),
            detail=recovered.detail,
        )
    return recovered


def place_of(directory: Directory) -> str:
    """Name the directory that is open here, by its inode and birth: see `Recovered.place`."""
    here = directory.look(".")
    return f"{here.inode}.{here.birth_ns}" if here is not None else ""


def recover_locked(site: Site, *, raising: bool = False, live: bool = False) -> Recovered:
    """Do the same under a lock that is already held, telling nobody.

    *raising*: give an OSError to the caller, for whom it is not one set that is unknown.
    *live*: it ends the caller's own swap, which no crash has cut short.
    """
    course = _Course(site, live=live)
    try:
        course.run()
    except _UnprovenError as flaw:
        course.end(Standing.BLOCKED, str(flaw))
    except _BusyError as busy:
        course.end(Standing.UNKNOWN, str(busy))
    except OSError as error:
        if raising:
            raise
        course.end(Standing.UNKNOWN, told(error, site.path).message)
    return course.recovered()


class _UnprovenError(Exception):
    """What a row relies on does not hold."""


class _BusyError(Exception):
    """Somebody is at work on what a row would remove: another time."""


class _Course:
    """One recovery as it goes along."""

    def __init__(self, site: Site, *, live: bool) -> None:
        self._site = site
        self._live = live
        self._found = ""
        self._actions: list[str] = []
        self._reports: list[str] = []
        self._standing = Standing.UNKNOWN
        self._marker: Marker | None = None

    def run(self) -> None:
        """Look, do what the table says, and look again, until a row says that this is the end."""
        for _ in range(_MOST_STEPS):
            if not self._step(survey(self._site)):
                return
        self.end(Standing.BLOCKED, "it changes as often as it is looked at")

    def end(self, standing: Standing, report: str) -> None:
        """End it before the table does."""
        self._standing = standing
        self._reports.append(report)

    def recovered(self) -> Recovered:
        """Say what became of it."""
        return Recovered(
            self._site.name,
            self._found,
            tuple(self._actions),
            self._standing,
            "; ".join(dict.fromkeys(self._reports)),
            self._marker,
        )

    def _renew(self, seen: Survey) -> bool:
        """Note what digests have proven, or whole files are read again at every start.

        The directory was brought back from a backup, or moved to another disk. Where that can't
        be written nothing is worse than before.
        """
        renewed = _as_they_are_now(seen)
        if renewed is None:
            return False
        try:
            self._site.directory.sync()
            rewrite_marker(self._site.directory, renewed, seen.marker_look)
        except OSError:
            return False  # what may be left at the temporary name is swept up the next time
        self._actions.append("identities renewed in the marker")
        return True

    def _step(self, seen: Survey) -> bool:
        row = plan_for(seen, live=self._live)
        self._found = self._found or str(seen.found)
        self._marker, self._standing = seen.marker, row.standing
        if row.report:
            self._reports.append(row.report)
        if row.action in {Action.END, Action.LEAVE}:
            if seen.flaw:
                self._reports.append(seen.flaw)
            return self._renew(seen)
        if row.restored and seen.name is not None:
            self._site.remember(self._site.path, "restored", seen.name.size, seen.name.mtime_ns)
        try:
            if _ACTIONS[row.action](self._site, seen):
                self._actions.append(str(row.action))
        except (FileNotFoundError, FileExistsError):
            pass  # a name came or went meanwhile: the next look will show it
        return True


def _as_they_are_now(seen: Survey) -> Marker | None:
    """Give the marker for files that only their digests could tell; None where it is right."""
    marker, found = seen.marker, seen.found
    whole = (found.name, found.original) == (Thing.N, Thing.O)
    if marker is None or found.temporary is not Temporary.NOTHING or not whole:
        return None  # the original would be known, and a cut copy that comes later a newer file
    original = _renewed(marker.original, seen.original)
    renewed = replace(marker, original=original, copy=_renewed(marker.copy, seen.name))
    return renewed if renewed != marker else None


def _renewed(identity: Identity, look: Look | None) -> Identity:
    if look is None or same_file(look, identity):
        return identity
    return identity_of(look, identity.sha256)


def _unlink_temporary(site: Site, _seen: Survey) -> bool:
    return unlink_durably(site.directory, site.temporary, site.directory.look(site.temporary))


def _temporary_to_original(site: Site, _seen: Survey) -> bool:
    look = site.directory.look(site.temporary)
    return move_durably(site.directory, site.temporary, site.original, look)


def _unlink_marker(site: Site, seen: Survey) -> bool:
    return unlink_durably(site.directory, site.marker, seen.marker_look)


def _unlink_copy(site: Site, seen: Survey) -> bool:
    """Unlink what stands at the original's name, unless somebody is about to write to it.

    The proof is the caller's: the table's row has it for the copy N, by identity or digest, or
    `unproven` has just found the name to hold the same bytes (invariant 3).
    """
    directory = site.directory
    directory.sync()
    handle = directory.open(site.original)
    try:
        if guard(handle) is None:
            raise _BusyError(f"{directory.path_of(site.original)}: somebody writes to it")
        if seen.name is not None and not seen.name.same_contents(directory.look(site.name)):
            return False  # the disk was waited for: what the row relied on stands there no more
        if seen.original is None or not seen.original.unchanged(directory.look(site.original)):
            return False
        directory.unlink(site.original)
    finally:
        handle.close()
    directory.sync()
    return True


def unproven(site: Site, seen: Survey) -> str:
    """Say why a second original may not go: the name has to hold the same bytes (invariant 3).

    Both have to show O; one and the same inode needs no reading. Nothing where it may go.
    """
    if seen.name is None or seen.original is None or seen.marker is None:
        return "one of the two is not there"
    if not seen.name.same_inode(seen.original):
        digest = digest_from_disk(site.directory, site.name, seen.name, site.check)
        if digest != seen.marker.original.sha256:
            return "the recording does not read back as its original"
    return ""


def _unlink_proven(site: Site, seen: Survey) -> bool:
    if flaw := unproven(site, seen):
        raise _UnprovenError(flaw)
    return _unlink_copy(site, seen)


def _move_back(site: Site, seen: Survey) -> bool:
    return move_durably(site.directory, site.original, site.name, seen.original)


def _mark_done(site: Site, seen: Survey) -> bool:
    if seen.marker is None:
        return False
    site.directory.sync()
    rewrite_marker(site.directory, seen.marker.with_state(State.DONE), seen.marker_look)
    return True


_ACTIONS: Mapping[Action, Callable[[Site, Survey], bool]] = {
    Action.UNLINK_TEMPORARY: _unlink_temporary,
    Action.TEMPORARY_TO_ORIGINAL: _temporary_to_original,
    Action.UNLINK_MARKER: _unlink_marker,
    Action.UNLINK_COPY: _unlink_copy,
    Action.UNLINK_PROVEN: _unlink_proven,
    Action.MOVE_BACK: _move_back,
    Action.MARK_DONE: _mark_done,
    Action.KEEP_COPY: _mark_done,  # or it would go with the name that it is kept for
}
