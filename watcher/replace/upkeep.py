"""What happens to a swap afterwards: its original deleted, or put back in its place.

Each function takes the directory's lock, has a half-done swap brought to its end first, and then
acts only on what it has just seen (SWAP invariants 2 to 7). When an original's time is over is
`originals`' question; only the hour that nothing shortens is held to here as well.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from watcher import events
from watcher.clock import Clock, SystemClock
from watcher.errors import Halt, Refused, Retryable
from watcher.events import Emit
from watcher.replace.files import Check, Directory, Look, Meanwhile, alone, never
from watcher.replace.marker import Marker, State
from watcher.replace.mend import recover_locked
from watcher.replace.reading import (
    Read,
    begins_as_the_original,
    giving_way,
    original_ahead,
    original_digest,
)
from watcher.replace.recovery import MarkerState, Standing, Thing, may_be_put_back
from watcher.replace.steps import (
    Policy,
    Remember,
    Site,
    Survey,
    came_out,
    digest_from_disk,
    exchange_is_safe,
    forget,
    guard,
    move_durably,
    plan_for,
    rewrite_marker,
    stands,
    survey,
    told,
    unlink_durably,
)

SHORTEST_HOLD_S = 3600.0
"""No original goes before it was held this long, whatever the disk needs (DESIGN, promise 1)."""


class Outcome(StrEnum):
    """How deleting an original ended."""

    DELETED = "deleted"
    KEPT = "kept"
    RESTORED = "restored"  # the copy had rotted: the original is back in its place


@dataclass(frozen=True, slots=True)
class Deletion:
    """What deleting an original came to, and why."""

    outcome: Outcome
    reason: str
    detail: str = ""
    size_bytes: int = 0
    held_s: float | None = None  # by the wall clock, for people; never decided upon


@dataclass(frozen=True, slots=True)
class Restored:
    """What restoring came to: *changed* is False where the name already was its original.

    *proven*: what was put back is the original; else nobody can tell what it is.
    """

    changed: bool
    size_bytes: int = 0
    proven: bool = True


def delete_original(
    directory: Directory,
    name: str,
    *,
    reason: str = "safety_period_over",
    evidence_s: float = 0.0,
    policy: Policy = Policy(),  # noqa: B008 - frozen
    remember: Remember = forget,
    check: Check = never,
    meanwhile: Meanwhile = alone,
    clock: Clock | None = None,
    emit: Emit = events.emit,
) -> Deletion:
    """Delete the original if its copy is proven once more (SWAP, Delete the original).

    The caller has decided that its time is over; *evidence_s* is for how long it has watched the
    original, which alone counts where that was made in an earlier boot. What is in the way keeps
    the original and is said in the result. Raises `Halt` where the disk fails in the middle of the
    deletion, so that only the marker may be left for recovery, and `Aborted` from *check*; where
    that waits, *meanwhile* lets it look for writers.
    """
    site = Site(directory, name, policy, remember, check, meanwhile, clock or SystemClock())
    return _under_lock(site, emit, lambda: _delete(site, reason, evidence_s))


def delete_orphan(
    directory: Directory, name: str, *, check: Check = never, emit: Emit = events.emit
) -> Deletion:
    """Let the original follow a recording that its owner deleted (SWAP, Orphan rule).

    The caller has seen it so for a whole safety period. Otherwise as `delete_original`.
    """
    site = Site(directory, name, check=check)
    return _under_lock(site, emit, lambda: _delete_orphan(site))


def restore(
    directory: Directory,
    name: str,
    *,
    policy: Policy = Policy(),  # noqa: B008 - frozen
    remember: Remember = forget,
    check: Check = never,
    emit: Emit = events.emit,
) -> Restored:
    """Put the original back in its place (SWAP, Restore).

    *remember* is called with "restored" before anything is changed. Raises `Refused`
    (original_gone, copy_changed, newer_recording, not_restorable, original_damaged,
    exchange_unsafe), `Retryable` and `Halt` where the file system says no.
    """
    site = Site(directory, name, policy, remember, check)
    try:
        ahead = original_ahead(site)
        with directory.locked():
            ended = recover_locked(site)
            if ended.standing is Standing.UNKNOWN:
                raise Retryable("unreadable", ended.detail)
            restored = _restore(site, ahead)
    except OSError as error:
        raise told(error, site.path) from error
    if restored.changed:
        emit("original_restored", path=site.path, reason="restored", size_bytes=restored.size_bytes)
    return restored


@dataclass(frozen=True, slots=True)
class _Set:
    """A marker and what stands with it; *copy* is None where the name is free."""

    marker: Marker
    copy: Look | None
    original: Look
    marker_look: Look | None


class _GoneError(Exception):
    """The original is deleted, and what has to follow that failed."""

    def __init__(self, deletion: Deletion, error: OSError) -> None:
        super().__init__(str(error))
        self.deletion = deletion


def _under_lock(site: Site, emit: Emit, act: Callable[[], Deletion]) -> Deletion:
    try:
        with site.directory.locked():
            recover_locked(site)
            deletion = act()
    except _GoneError as gone:
        _tell(emit, site.path, gone.deletion)
        raise Halt(
            "unfinished", f"{site.path}: its original is deleted, its marker not yet: {gone}"
        ) from gone
    except OSError as error:
        deletion = _kept("unreadable", told(error, site.path).message)
    except Retryable as busy:
        deletion = _kept(busy.reason, busy.message)
    _tell(emit, site.path, deletion)
    return deletion


def _kept(reason: str, detail: str) -> Deletion:
    return Deletion(Outcome.KEPT, reason, detail)


def _set_of(seen: Survey) -> _Set | None:
    if seen.marker is None or seen.original is None:
        return None
    return _Set(seen.marker, seen.name, seen.original, seen.marker_look)


def _delete(site: Site, reason: str, evidence_s: float) -> Deletion:
    seen = survey(site)
    things = _set_of(seen)
    as_left = (MarkerState.DONE, Thing.N, Thing.O)
    if things is None or (seen.found.marker, seen.found.name, seen.found.original) != as_left:
        return _kept("not_as_left", str(seen.found))
    if things.copy is None or _too_young(things.marker, site.clock, evidence_s):
        return _kept("too_young", "an original is held for an hour at least")
    handle = site.directory.open(site.name)
    try:
        nobody_came = guard(handle)
        if nobody_came is None:
            return _kept("open_for_writing", "somebody writes to the copy")
        with giving_way(site, nobody_came) as check:
            return _delete_proven(site, things, things.copy, reason, check)
    finally:
        handle.close()  # and with it the lease: whoever wanted to write goes on


def _delete_proven(site: Site, things: _Set, copy: Look, reason: str, check: Check) -> Deletion:
    site.directory.sync()
    digest = digest_from_disk(site.directory, site.name, copy, check)
    if digest is not None and digest != things.marker.copy.sha256:
        return _rotted(site, things, check)
    if not (
        digest
        and things.original.unchanged(site.directory.look(site.original))
        and copy.unchanged(site.directory.look(site.name))  # last: the unlink can't ask for it
    ):
        return _kept("not_as_left", "it changed while it was read")
    return _take_away(site, things, reason)


def _rotted(site: Site, things: _Set, check: Check) -> Deletion:
    """The copy's bytes are not those that were proven, though nobody wrote them."""
    digest = digest_from_disk(site.directory, site.original, things.original, check)
    if digest != things.marker.original.sha256:
        return _kept("both_damaged", "neither the copy nor the original reads as it did")
    try:
        _put_back(site, things, "copy_damaged")
    except Refused as refusal:
        return _kept("copy_damaged", refusal.message)
    return Deletion(Outcome.RESTORED, "copy_damaged", size_bytes=things.original.size)


def _take_away(site: Site, things: _Set, reason: str) -> Deletion:
    """Original first, then its marker, each on disk before the next (invariants 6 and 7).

    The proof is its callers' last act: the copy's digest read from the disk, then a look at both
    names; or, for an orphan, the period over, and a look at the original.
    """
    site.directory.unlink(site.original)
    held_s = round(site.clock.wall_s() - things.marker.held.wall_s, 1)
    deletion = Deletion(Outcome.DELETED, reason, size_bytes=things.original.size, held_s=held_s)
    try:
        unlink_durably(site.directory, site.marker, things.marker_look)
    except OSError as error:
        raise _GoneError(deletion, error) from error
    return deletion


def _delete_orphan(site: Site) -> Deletion:
    seen = survey(site)
    if (
        plan_for(seen).standing is not Standing.ORPHAN
        or seen.original is None
        or seen.marker is None
    ):
        return _kept("not_as_left", str(seen.found))
    if begins_as_the_original(site, seen.name):
        return _kept(
            "not_as_left",
            "what stands at its name begins as the original does: it may be a part of it",
        )
    site.directory.sync()
    there, back = site.directory.look(site.original), site.directory.look(site.name)
    if not seen.original.unchanged(there) or back != seen.name:  # its owner may have put it back
        return _kept("not_as_left", "it changed while it was looked at")
    things = _Set(seen.marker, seen.name, seen.original, seen.marker_look)
    return _take_away(site, things, "owner_deleted")


def _restore(site: Site, ahead: Read | None) -> Restored:
    seen = survey(site)
    found, path = seen.found, site.path
    if found.original is Thing.NOTHING:
        if found.name is Thing.NOTHING:
            raise Refused("original_gone", f"{path}: there is neither a recording nor an original")
        return Restored(changed=False)
    if may_be_put_back(found):
        return _restore_unproven(site, seen.original)
    things = _set_of(seen)
    if things is None or found.original is not Thing.O:
        without = may_be_put_back(replace(found, name=Thing.NOTHING))
        away = "" if found.name is Thing.NOTHING else f"move {site.name} away first"
        by_hand = "" if without else f"move it to {site.name} by hand"
        how = ", then ".join(filter(None, (away, by_hand)))
        raise Refused(
            "not_restorable",
            f"{path}: the original can't be told for sure ({found}); look at it: where"
            f" {site.original} is what you want, {how}",
        )
    if found.name is Thing.C:
        raise Refused("copy_changed", f"{path}: the copy was changed in place; move it away first")
    if found.name is Thing.X:
        raise Refused("newer_recording", f"{path}: a newer file has this name; move it away first")
    if original_digest(site, things.original, ahead) != things.marker.original.sha256:
        raise Refused("original_damaged", f"{path}: the original does not read back as it was")
    _put_back(site, things, "restored")
    return Restored(changed=True, size_bytes=things.original.size)


def _restore_unproven(site: Site, original: Look | None) -> Restored:
    """No marker tells that it is O, but its owner names it and the name is free: nothing is lost.

    The marker may have been swept away; or what our exchange took from the name was never put back.
    """
    if original is None or not original.is_regular:
        raise Refused("not_restorable", f"{site.path}: what has the original's name is no file")
    site.remember(site.path, "restored", original.size, original.mtime_ns)
    if not move_durably(site.directory, site.original, site.name, original):
        raise _not_as_left(site)
    recover_locked(replace(site, remember=forget))  # a marker that has nothing left to tell of
    return Restored(changed=True, size_bytes=original.size, proven=False)


def _put_back(site: Site, things: _Set, verdict: str) -> None:
    """Verdict, marker, exchange, copy, marker: in this order (SWAP, Restore)."""
    directory = site.directory
    safe = exchange_is_safe(directory)
    if not (safe or site.policy.allow_non_exchange or things.copy is None):
        raise Refused(
            "exchange_unsafe",
            f"{site.path}: restoring on this file system needs allow_non_exchange: true",
        )
    site.remember(site.path, verdict, things.original.size, things.original.mtime_ns)
    # A name that is free after a crash was deleted since, but where it was free, or an exchange
    # can't be had and the name may have been lost in the rename.
    state = State.RESTORE if safe and things.copy is not None else State.RETURN
    rewrite_marker(directory, things.marker.with_state(state), things.marker_look)
    if things.copy is not None and safe:
        _exchange_for_original(site, things)
    elif not stands(directory, site.original, things.original):
        raise _not_as_left(site)
    elif things.copy is None:
        directory.move(site.original, site.name)
    else:
        directory.move_over(site.original, site.name)
    directory.sync()
    done = replace(site, remember=forget)  # the verdict is there already
    ended = recover_locked(done, live=True)
    if ended.standing is not Standing.CLEAN:
        raise Halt("unfinished", f"{site.path}: restoring could not be ended: {ended.detail}")


def _exchange_for_original(site: Site, things: _Set) -> None:
    """Exchange back; a writer who opened the copy, or another file there, has it undone."""
    directory = site.directory
    handle = directory.open(site.name)
    try:
        nobody_came = guard(handle)
        if nobody_came is None:
            raise Retryable("open_for_writing", f"{site.path}: somebody writes to it")
        before = directory.look(site.original)
        if not things.original.same_contents(before):
            raise _not_as_left(site)
        directory.exchange(site.name, site.original)
        back = directory.look(site.name)
        is_back, untouched = things.original.same_inode(back), nobody_came()
        out = directory.look(site.original)
        if is_back and untouched and things.copy is not None and things.copy.same_contents(out):
            return  # what happens at the name from now on happens to the restored original
        if is_back and came_out(back, out, before):
            directory.exchange(site.name, site.original)
        raise Retryable("newer_recording", f"{site.path} changed at this very moment")
    finally:
        handle.close()


def _not_as_left(site: Site) -> Retryable:
    return Retryable("original_changed", f"{site.path}: its original was replaced at this moment")


def _too_young(marker: Marker, clock: Clock, evidence_s: float) -> bool:
    """Whether its first hour is not over, by evidence alone: no wall clock shortens that."""
    held = marker.held
    if held.boot_id and held.boot_id == clock.boot_id():
        evidence_s = max(evidence_s, clock.boot_s() - held.boot_s)
    return evidence_s < SHORTEST_HOLD_S


def _tell(emit: Emit, path: str, deletion: Deletion) -> None:
    reason, size_bytes = deletion.reason, deletion.size_bytes
    if deletion.outcome is Outcome.DELETED:
        emit(
            "original_deleted",
            path=path,
            reason=reason,
            size_bytes=size_bytes,
            held_s=deletion.held_s,
        )
    elif deletion.outcome is Outcome.RESTORED:
        emit("original_restored", path=path, reason=reason, size_bytes=size_bytes)
    else:
        emit("original_kept", path=path, reason=reason, detail=deletion.detail)
