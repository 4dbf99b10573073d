"""A file under our names that no rule covers, removed because a person named it.

Recovery leaves alone whatever only a person can judge: an original without a marker, a foreign file
at a marker's name, a held original that somebody changed. `check` lists them, and nothing removes
them but this, one file at a time, and never the last that there is of a recording (SWAP, Remove
what is named).
"""

from dataclasses import dataclass

from watcher import events
from watcher.errors import Refused, Retryable
from watcher.events import Emit
from watcher.replace.files import Check, Directory, Look, never
from watcher.replace.marker import recording_of
from watcher.replace.mend import Recovered, recover_locked
from watcher.replace.recovery import Found, MarkerState, Standing, Thing, may_be_put_back
from watcher.replace.steps import Remember, Site, forget, guard, survey, told


@dataclass(frozen=True, slots=True)
class Removed:
    """What was removed; *by_recovery*: it was half done, and ending that has removed it."""

    size_bytes: int = 0
    by_recovery: bool = False


def remove_leftover(
    directory: Directory,
    ours: str,
    *,
    force: bool = False,
    remember: Remember = forget,
    check: Check = never,
    emit: Emit = events.emit,
) -> Removed:
    """Remove the file *ours*, the bare name of one that stands beside a recording.

    *force* removes an orphaned original before its time, and what may be all that is left of a
    recording. Raises `Refused` (not_ours, held, orphan, copy_changed, only_copy,
    not_removable), `Retryable` (vanished, in_progress, unreadable, open_for_writing, changed) and
    `Halt` where the disk fails.
    """
    name = recording_of(ours)
    if name is None:
        raise Refused("not_ours", f"{directory.path_of(ours)}: is none of Watcher's own names")
    site = Site(directory, name, remember=remember, check=check)
    path = directory.path_of(ours)
    try:
        with directory.locked():
            ended, look = recover_locked(site), directory.look(ours)
            if look is None:
                if ended.actions:
                    return Removed(by_recovery=True)
                raise Retryable("vanished", f"{path}: there is no such file")
            _ensure_left_over(site, ours, ended, force=force)
            _remove(site, ours, look, path)
            recover_locked(site)  # a marker that has nothing left to tell of goes with it
    except OSError as error:
        raise told(error, path) from error
    emit("leftover_removed", path=path, found=ended.found, size_bytes=look.size)
    return Removed(look.size)


def _ensure_left_over(site: Site, ours: str, ended: Recovered, *, force: bool) -> None:
    """Raise unless recovery has left it to a person, and a recording stands beside it."""
    path = site.directory.path_of(ours)
    if ended.standing is Standing.WORKING:
        raise Retryable("in_progress", f"{path}: somebody is at work there; try again later")
    if ended.standing is Standing.UNKNOWN:
        raise Retryable("unreadable", f"{path}: {ended.detail}")
    if ended.standing is Standing.CLEAN:
        raise Retryable("changed", f"{path}: it was put there at this very moment")
    found = survey(site).found
    if ended.standing is Standing.HELD and found.original is Thing.O:
        raise Refused(
            "held",
            f"{path}: belongs to an original in its safety period; it goes by itself when that is"
            " over, and `watcher restore` brings it back",
        )
    if ended.standing is Standing.ORPHAN and not force:
        raise Refused(
            "orphan",
            f"{path}: its recording was deleted or made anew; it goes by itself after another"
            " safety period, `watcher restore` brings it back, --force removes it now",
        )
    changed = found.name in {Thing.C, Thing.X} and found.original in {Thing.O, Thing.N}
    if ended.standing is Standing.BLOCKED and changed and not force:
        raise Refused(
            "copy_changed",
            f"{path}: {site.path} was changed in place after it was proven, so this keeps what it"
            " was; look at both, then --force removes it",
        )
    twice = found.name is found.original is Thing.O and ours != site.temporary
    if ended.standing is Standing.BLOCKED and twice and not force:
        raise Refused(
            "only_copy",
            f"{path}: {site.path} is not proven to hold the same, so this may be the only whole"
            " one; look at both, then --force removes it",
        )
    in_flight = found.marker is MarkerState.INTENT and found.original in {Thing.X, Thing.C}
    if in_flight and ours != site.temporary and not force:
        raise Refused(
            "only_copy",
            f"{path}: {site.original} may be a stranger's, or what our exchange took from"
            f" {site.name}, and then the only copy of a recording; look at both, then --force"
            " removes it",
        )
    name = site.directory.look(site.name)
    if not force and (name is None or not name.is_regular or not name.size):
        raise Refused(
            "only_copy",
            f"{path}: {site.path} is not there, so this may be all that is left of it;"
            f" {_way_back(site, found)}, --force removes it",
        )


def _way_back(site: Site, found: Found) -> str:
    if found.name is Thing.NOTHING and not may_be_put_back(found):
        return f"move it to {site.name} by hand to have it back"
    return "`watcher restore` brings it back"


def _remove(site: Site, ours: str, look: Look, path: str) -> None:
    if look.is_directory:
        raise Refused("not_removable", f"{path}: is a directory; look into it and remove it")
    directory = site.directory
    handle = directory.open(ours) if look.is_regular else None
    try:
        if handle is not None and guard(handle) is None:
            raise Retryable("open_for_writing", f"{path}: somebody writes to it")
        directory.sync()
        if not look.unchanged(directory.look(ours)):
            raise Retryable("changed", f"{path}: it changed while it was looked at")
        directory.unlink(ours)  # named by its owner, beside a recording or by force; never held
    finally:
        if handle is not None:
            handle.close()
    directory.sync()
