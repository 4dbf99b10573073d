"""One look at a camera's directory, for `check`: what is there, whose it is, what is left over.

Reads only, and follows no symbolic link. This is the one place beside the observer that walks a
tree, and only because a person asked; the service never does. What is wrong with our own files is
said by the recovery table itself, so that `check` and the service judge alike.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from watcher.config import Camera
from watcher.replace.directory import LinuxDirectory
from watcher.replace.files import never
from watcher.replace.marker import (
    State,
    marker_name,
    original_name,
    recording_of,
    temporary_name,
)
from watcher.replace.mend import unproven
from watcher.replace.recovery import Action, Found, MarkerState, Standing, Temporary
from watcher.replace.steps import Site, plan_for, plan_unread, shows_original
from watcher.replace.steps import Survey as Seen
from watcher.replace.steps import survey as look_at
from watcher.segments.segment import matcher

_ORDINARY = {Standing.CLEAN, Standing.HELD, Standing.WORKING}
_OF_OURS = {MarkerState(state) for state in State}
_UNTOLD = "its look does not tell whose it is: the service will compare its contents"


@dataclass(frozen=True, slots=True)
class Leftover:
    """Files under our names that do not stand as they should, by their recording's path.

    *for_a_person*: recovery leaves them alone, because only a person can judge; *file* is the one
    in the way, which `watcher cleanup` removes if it is named.
    """

    path: str
    why: str
    for_a_person: bool = False
    file: str | None = None


@dataclass(slots=True)
class Survey:
    """What a camera's directory holds."""

    directories: int = 0
    recordings: int = 0
    size_bytes: int = 0
    oldest_s: float | None = None
    newest_s: float | None = None
    sample: str | None = None  # the oldest recording: whole for certain
    originals: int = 0
    originals_bytes: int = 0
    owners: dict[int, int] = field(default_factory=dict)  # uid → recordings
    unreadable: list[str] = field(default_factory=list)
    unwritable: list[str] = field(default_factory=list)
    leftovers: list[Leftover] = field(default_factory=list)
    held: list[tuple[float, str]] = field(default_factory=list)
    """Until when each original is to be kept, and the path of its recording."""


def survey(camera: Camera) -> Survey:
    """Walk *camera*'s directory; what can't be read is listed, never raised."""
    found = Survey()
    is_recording = matcher(camera.patterns)
    for directory, names, others in _directories(camera.path, found):
        found.directories += 1
        if not os.access(directory, os.W_OK | os.X_OK):
            found.unwritable.append(directory)
        ours = (recording_of(name) for name in (*names, *others))
        beside = sorted({name for name in ours if name is not None})
        for name, status in names.items():
            if is_recording(name):
                _count(os.path.join(directory, name), status, found)
            elif is_recording(of := recording_of(name) or "") and name == original_name(of):
                found.originals += 1
                found.originals_bytes += status.st_size
        for name in beside:
            _judge(directory, name, found, matched=is_recording(name))
    return found


def _directories(
    top: str, found: Survey
) -> Iterator[tuple[str, dict[str, os.stat_result], list[str]]]:
    """Give every directory below *top* with its regular files, and the names of all else in it."""
    waiting = [top]
    while waiting:
        directory = waiting.pop()
        files: dict[str, os.stat_result] = {}
        others: list[str] = []
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        with contextlib.suppress(FileNotFoundError):  # deleted as we look
                            files[entry.name] = entry.stat(follow_symlinks=False)
                        continue
                    others.append(entry.name)
        except OSError:  # the walk goes on; what was read of it counts
            found.unreadable.append(directory)
        yield directory, files, others


def _count(path: str, status: os.stat_result, found: Survey) -> None:
    found.recordings += 1
    found.size_bytes += status.st_size
    found.owners[status.st_uid] = found.owners.get(status.st_uid, 0) + 1
    if found.oldest_s is None or status.st_mtime < found.oldest_s:
        found.oldest_s, found.sample = status.st_mtime, path
    if found.newest_s is None or status.st_mtime > found.newest_s:
        found.newest_s = status.st_mtime


def _judge(directory: str, name: str, found: Survey, *, matched: bool) -> None:
    """Ask the recovery table; nothing comes of what is none of ours."""
    path = os.path.join(directory, name)
    try:
        with LinuxDirectory(directory) as opened:
            site = Site(opened, name, check=_read_nothing)
            leftover = _judged(path, site, found, matched=matched)
    except OSError as error:
        why = f"can't be looked at: {error.strerror or error}"
        leftover = Leftover(path, why, for_a_person=True)
    if leftover is not None:
        found.leftovers.append(leftover)


def _judged(path: str, site: Site, found: Survey, *, matched: bool) -> Leftover | None:
    try:
        seen = look_at(site)
    except _WouldReadError:
        return _unread(path, site)
    if not matched and seen.found.marker in _OF_OURS:
        why = "no pattern of the camera matches it: the service does not see it"
        return Leftover(path, why, for_a_person=True)
    if not matched:
        return None  # a stranger's name.original is none of our business
    if seen.marker is not None and plan_for(seen).standing is Standing.HELD:
        found.held.append((seen.marker.held.until_s, path))
    return _said(path, seen)


def _unread(path: str, site: Site) -> Leftover | None:
    """Say what recovery would of a set that only its contents tell, reading them where it must.

    Where the name shows the original, and so may what stands beside it, somebody has restored it by
    hand. Recovery reads both, and leaves them to a person if the name does not read back: no later
    start would say anything else, so it is read here too. That is rare; a day that was brought back
    from a backup is not, and is not read.
    """
    row = plan_unread(site)
    if row is not None:
        return Leftover(path, row.report, for_a_person=True, file=original_name(path))
    if not shows_original(site):
        return Leftover(path, _UNTOLD)
    reading = replace(site, check=never)
    seen = look_at(reading)
    flaw = unproven(reading, seen) if plan_for(seen).action is Action.UNLINK_PROVEN else ""
    if flaw:
        return Leftover(path, flaw, for_a_person=True, file=original_name(path))
    return _said(path, seen)


def _said(path: str, seen: Seen) -> Leftover | None:
    row, found = plan_for(seen), seen.found
    if row.standing is Standing.BLOCKED:
        in_the_way = os.path.join(os.path.dirname(path), _in_the_way(os.path.basename(path), found))
        return Leftover(path, row.report or str(found), for_a_person=True, file=in_the_way)
    if row.action is not Action.END:
        return Leftover(path, f"half done ({found}); the service's next start: {row.action}")
    if row.standing in _ORDINARY:
        return None
    return Leftover(path, row.report or f"{row.standing}: {found}")


def _in_the_way(name: str, found: Found) -> str:
    if found.temporary in {Temporary.FOREIGN, Temporary.ORIGINAL}:
        return temporary_name(name)
    return marker_name(name) if found.marker is MarkerState.FOREIGN else original_name(name)


class _WouldReadError(Exception):
    """A look would have read a whole recording."""


def _read_nothing() -> None:
    raise _WouldReadError
