"""The steps that swap, restore, deletion and recovery have in common.

`survey` looks at a recording and our files beside it; `create_marker` and `rewrite_marker` change
what stands there durably; `told` turns what the kernel said into the error that the shift knows.
Every function that changes something expects the directory's lock to be held (SWAP invariant 7).
"""

import errno
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from watcher.clock import Clock, SystemClock
from watcher.errors import Halt, Retryable, WatcherError
from watcher.replace.files import Check, Directory, Handle, Look, Meanwhile, alone, never
from watcher.replace.marker import (
    SIZE_LIMIT_BYTES,
    Foreign,
    Marker,
    Torn,
    marker_name,
    original_name,
    parse,
    serialise,
    temporary_name,
)
from watcher.replace.recovery import (
    Action,
    Found,
    MarkerState,
    Row,
    Standing,
    Temporary,
    Thing,
    classify,
    plan,
    same_inode,
)

Remember = Callable[[str, str, int, int], None]
"""Keep a verdict before it is acted upon: path, reason, size_bytes, mtime_ns."""

EXCHANGE_IS_SAFE = {"xfs", "btrfs", "tmpfs"}
"""Where an exchange was seen to be whole or not at all after a power cut; so was ext4 with a
journal."""

_CLOCK_TICK_NS = 10_000_000
"""How far apart the kernel's stamps of one moment may be: a tick at 100 Hz."""

_NOT_TOLD = (
    "the set was copied or brought back, and its recording is not what it was; what is kept beside"
    " it stays until a person restores or removes it"
)

_CUT = (
    "the recording was changed in place after its swap was cut short; the proven copy beside it"
    " stays until a person restores or removes it"
)

_NO_LEASES = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EACCES, errno.EPERM}

_HALTS = {
    errno.ENOSPC: ("disk_full", "free space there"),
    errno.EDQUOT: ("disk_full", "raise the quota, or free space there"),
    errno.EIO: ("io_error", "look at the kernel's log and at the disk's health"),
    errno.EROFS: ("read_only", "mount it writable, and look at the kernel's log for the cause"),
    errno.EACCES: ("permission", "give Watcher's user the right to read and write there"),
    errno.EPERM: ("permission", "give Watcher's user the right to read and write there"),
}


@dataclass(frozen=True, slots=True)
class Policy:
    """What the owner allows."""

    allow_non_exchange: bool = False


def forget(path: str, reason: str, size_bytes: int, mtime_ns: int) -> None:
    """Remember nothing: for callers without a ledger."""


def exchange_is_safe(directory: Directory) -> bool:
    """Say whether the directory's file system is known to exchange atomically (SWAP, Before)."""
    kind, journal = directory.mount()
    return kind in EXCHANGE_IS_SAFE or (kind == "ext4" and journal is True)


def told(error: OSError, path: str) -> WatcherError:
    """Say what the kernel said as the error that it means for the shift."""
    number = error.errno or 0
    said = error.strerror or type(error).__name__
    if number in _HALTS:
        reason, remedy = _HALTS[number]
        return Halt(reason, f"{path}: {said}; {remedy}", errno=number)
    if isinstance(error, FileNotFoundError):
        return Retryable("vanished", f"{path} is not there any more")
    return Retryable("file_system", f"{path}: {said}", errno=number)


@dataclass(frozen=True, slots=True)
class Site:
    """One recording's name in one directory, and what comes with every act there."""

    directory: Directory
    name: str
    policy: Policy = Policy()
    remember: Remember = forget
    check: Check = never
    meanwhile: Meanwhile = alone
    clock: Clock = field(default_factory=SystemClock)

    @property
    def path(self) -> str:
        """The recording's path, for people."""
        return self.directory.path_of(self.name)

    @property
    def original(self) -> str:
        """The original's name."""
        return original_name(self.name)

    @property
    def marker(self) -> str:
        """The marker's name."""
        return marker_name(self.name)

    @property
    def temporary(self) -> str:
        """The temporary name."""
        return temporary_name(self.name)


@dataclass(frozen=True, slots=True)
class Survey:
    """What stands at a recording's name and beside it, and the looks that say so."""

    found: Found
    marker: Marker | None
    name: Look | None
    original: Look | None
    flaw: str = ""  # what is wrong with the marker
    marker_look: Look | None = None


def survey(site: Site) -> Survey:
    """Look at everything; raises OSError for any look that fails other than by ENOENT."""
    directory, name, check = site.directory, site.name, site.check
    state, marker, flaw, marker_look = read_marker(directory, name)
    look, original_look = directory.look(name), directory.look(original_name(name))
    temporary = _temporary(directory, name)
    if temporary is Temporary.LOCKED:  # its owner decides; nothing is read for it
        thing = Thing.NOTHING if look is None else Thing.X
        other = Thing.NOTHING if original_look is None else Thing.X
        found = Found(state, thing, other, temporary)
        return Survey(found, marker, look, original_look, flaw, marker_look)
    thing = _thing(directory, name, look, marker, check)
    other = _thing(directory, original_name(name), original_look, marker, check)
    if temporary is Temporary.SPARE and marker is not None and Thing.O not in {thing, other}:
        temporary = _spare_or_original(directory, name, marker, check)
    found = Found(state, thing, other, temporary)
    return Survey(found, marker, look, original_look, flaw, marker_look)


def plan_for(seen: Survey, *, live: bool = False) -> Row:
    """Give the table's row for what was seen, or that it can't be told; *live*: no crash before it.

    A set that was copied, or brought back from a backup, has no inode by which what was cut before
    that, copy or original, is told from a newer recording: what stands beside it is no orphan of
    that, and no copy that our swap has left there. Nor is a copy beside itself changed in place.
    After a crash an original that was changed in place may have been cut by whatever came with it.
    """
    row, found, marker = plan(seen.found), seen.found, seen.marker
    if marker is None or found.name is Thing.O or found.original not in {Thing.O, Thing.N}:
        return row
    goes = row.action is Action.UNLINK_COPY
    follows = row.standing is Standing.ORPHAN and found.name is not Thing.NOTHING
    known = marker.original if found.original is Thing.O else marker.copy
    if not (goes or follows):
        return row
    if not same_inode(seen.original, known):
        return Row(Action.END, Standing.BLOCKED, _NOT_TOLD)
    changed = found.name is Thing.X and same_inode(seen.name, marker.original)
    if changed and found.original is Thing.N and not live:
        return Row(Action.KEEP_COPY) if goes else Row(Action.END, Standing.BLOCKED, _CUT)
    return row


def plan_unread(site: Site) -> Row | None:
    """Give what a person has to judge, whatever reading whole files would tell; else None."""
    state, marker, _, marker_look = read_marker(site.directory, site.name)
    look, original = site.directory.look(site.name), site.directory.look(site.original)
    if _temporary(site.directory, site.name) is not Temporary.NOTHING or marker is None:
        return None
    rows = [
        plan_for(Survey(Found(state, thing, other), marker, look, original, "", marker_look))
        for thing in _may_be(look, marker)
        for other in _may_be(original, marker)
    ]
    return rows[0] if all(row.standing is Standing.BLOCKED for row in rows) else None


def shows_original(site: Site) -> bool:
    """Say whether a look alone tells that the recording's name holds its original."""
    _, marker, _, _ = read_marker(site.directory, site.name)
    return classify(site.directory.look(site.name), "", marker) is Thing.O


def create_marker(directory: Directory, marker: Marker) -> Look:
    """Write the marker at its own name, where nothing may stand, and make it durable."""
    handle = directory.create(marker_name(marker.name), writable=True)
    try:
        handle.write(serialise(marker))
        handle.sync()
        look = handle.look()
    finally:
        handle.close()
    directory.sync()
    return look


def rewrite_marker(directory: Directory, marker: Marker, seen: Look | None) -> None:
    """Replace the marker that was *seen*, or one that is gone, in one step.

    It takes the segment's mtime, so that retention by age takes all three files together. Raises
    FileExistsError where a stranger's file stands at its name by now (invariant 4).
    """
    temporary, name = temporary_name(marker.name), marker_name(marker.name)
    handle = directory.create(temporary, writable=True)
    try:
        handle.write(serialise(marker))
        _dress(directory, handle, marker)
        handle.sync()
        written = handle.look()
    finally:
        handle.close()
    ours = stands(directory, temporary, written)
    there = directory.look(name)
    if not ours or not (there is None or there.same_contents(seen)):
        if ours:
            directory.unlink(temporary)
        raise FileExistsError(errno.EEXIST, "somebody else's file took its place", name)
    directory.move_over(temporary, name)
    directory.sync()


def unlink_durably(directory: Directory, name: str, seen: Look | None) -> bool:
    """Unlink what was seen there, with the directory on disk before and after (SWAP invariant 6).

    What came to that name since is a stranger's: it stays (invariant 4).
    """
    directory.sync()
    if not stands(directory, name, seen):
        return False
    directory.unlink(name)
    directory.sync()
    return True


def move_durably(directory: Directory, old: str, new: str, seen: Look | None) -> bool:
    """Rename what was seen there to a name that is free, as `unlink_durably` unlinks."""
    directory.sync()
    if not stands(directory, old, seen):
        return False
    directory.move(old, new)
    directory.sync()
    return True


def stands(directory: Directory, name: str, seen: Look | None) -> bool:
    """Say whether what was seen still stands there: the last look before an act on a name."""
    return seen is not None and seen.same_contents(directory.look(name))


def came_out(back: Look | None, out: Look | None, before: Look | None) -> bool:
    """Say whether one exchange brought *back* to the recording's name and *out* from it, just now.

    It stamps both with one ctime. What a stranger put there since has a later one, and so has what
    was touched since: then it can't be told, and this says no. Where an exchange stamps nothing, as
    on xfs, *back* looks as it did *before*, and it is taken for so. Only for who looks at once:
    within a tick of the kernel's clock no stamp tells two acts apart.
    """
    if back is None or out is None or before is None:
        return False
    unstamped = before.ctime_ns == back.ctime_ns
    return unstamped or abs(out.ctime_ns - back.ctime_ns) <= _CLOCK_TICK_NS


def guard(handle: Handle) -> Callable[[], bool] | None:
    """Let writers wait from now on, where that can be had; None if somebody already writes.

    What is given says whether no writer has come since, as far as can be told.
    """
    try:
        return handle.lease_holds if handle.lease() else None
    except OSError as error:
        if error.errno not in _NO_LEASES:
            raise
        return lambda: True  # none here, or not ours to take: looks before and after have to do


def digest_from_disk(directory: Directory, name: str, look: Look, check: Check) -> str | None:
    """Read the file that *look* showed from the disk, not the cache; None if it is another one."""
    handle = directory.open(name)
    try:
        if not look.same_contents(handle.look()):
            return None
        handle.sync()
        handle.drop_cache()
        digest = handle.digest(check)
        return digest if look.same_contents(handle.look()) else None
    finally:
        handle.close()


def _dress(directory: Directory, handle: Handle, marker: Marker) -> None:
    beside = directory.look(marker.name)
    present = handle.attributes()
    readable = 0o600 | (beside.mode & 0o644 if beside else 0)
    handle.set_attributes(replace(present, permissions=readable, mtime_ns=marker.original.mtime_ns))


def read_marker(
    directory: Directory, name: str
) -> tuple[MarkerState, Marker | None, str, Look | None]:
    """Read what stands at the marker's name: its state, itself, what is wrong with it, its look."""
    look = directory.look(marker_name(name))
    if look is None:
        return MarkerState.NONE, None, "", None
    if not look.is_regular:
        return MarkerState.FOREIGN, None, "no regular file", look
    if look.size > SIZE_LIMIT_BYTES:
        return MarkerState.FOREIGN, None, "larger than any marker", look
    handle = directory.open(marker_name(name))
    try:
        look, contents = handle.look(), handle.read(SIZE_LIMIT_BYTES)
    finally:
        handle.close()
    try:
        marker = parse(contents, name)
    except Foreign as flaw:
        return MarkerState.FOREIGN, None, str(flaw), look
    except Torn as flaw:
        return MarkerState.TORN, None, str(flaw), look
    return MarkerState(marker.state), marker, "", look


def _temporary(directory: Directory, name: str) -> Temporary:
    look = directory.look(temporary_name(name))
    if look is None:
        return Temporary.NOTHING
    if not look.is_regular:
        return Temporary.FOREIGN
    handle = directory.open(temporary_name(name))
    try:
        return Temporary.SPARE if handle.try_lock() else Temporary.LOCKED
    finally:
        handle.close()


def _spare_or_original(directory: Directory, name: str, marker: Marker, check: Check) -> Temporary:
    temporary = temporary_name(name)
    thing = _thing(directory, temporary, directory.look(temporary), marker, check)
    return Temporary.ORIGINAL if thing is Thing.O else Temporary.SPARE


def _may_be(look: Look | None, marker: Marker) -> list[Thing]:
    """Give all that may show there, by a look alone."""
    known = classify(look, None, marker)
    if known is not None or look is None:
        return [known or Thing.NOTHING]
    both = (marker.original, marker.copy)
    digests = [*(one.sha256 for one in both if one.size == look.size), ""]
    return [classify(look, digest, marker) or Thing.X for digest in digests]


def _thing(
    directory: Directory, name: str, look: Look | None, marker: Marker | None, check: Check
) -> Thing:
    thing = classify(look, None, marker)
    if thing is None and look is not None:
        thing = classify(look, digest_from_disk(directory, name, look, check) or "", marker)
    return thing or Thing.X
