"""Whether one recording can be replaced without anything of it being lost beside its contents.

Refuses by name of the reason: names, links, flags and attributes that a new file could not take
over. `dress` gives a copy what its original has, and reads it back.
"""

import os
from dataclasses import dataclass

from watcher.errors import Refused, Retryable
from watcher.replace.files import Attributes, Directory, Handle, Look
from watcher.replace.marker import LONGEST_ADDITION, marker_name, original_name
from watcher.replace.mend import recover_locked
from watcher.replace.recovery import Standing
from watcher.replace.steps import Site

_NEVER_COPIED = ("security.ima", "security.evm", "security.capability")


@dataclass(frozen=True, slots=True)
class Noted:
    """What was noted of a recording when it was claimed (SWAP, step 1)."""

    look: Look
    attributes: Attributes


def open_recording(directory: Directory, name: str) -> Handle:
    """Open the recording; whatever is no regular file is refused without being opened."""
    look = directory.look(name)
    if look is None:
        raise Retryable("vanished", f"{directory.path_of(name)} is not there any more")
    if not look.is_regular:
        raise Refused("no_file", f"{directory.path_of(name)} is no regular file")
    try:
        return directory.open(name)
    except PermissionError as error:  # its own: its directory could be looked into
        raise Retryable(
            "not_owner",
            f"{directory.path_of(name)} may not be read by this user; Watcher has to run as the"
            " one who owns it",
        ) from error


def note(directory: Directory, name: str, handle: Handle) -> Noted:
    """Note what the recording is, or refuse it."""
    look = handle.look()
    if not look.unchanged(directory.look(name)):
        raise Retryable("original_changed", f"{directory.path_of(name)} is being changed")
    _refuse_by_look(directory, name, look)
    refuse_neighbours(directory, name)
    attributes = handle.attributes()
    kept_out = [key for key, _ in attributes.extended if key in _NEVER_COPIED]
    if kept_out:
        raise Refused(
            "attributes",
            f"{directory.path_of(name)} has {', '.join(kept_out)}, which no copy can have",
        )
    return Noted(look, attributes)


def refuse_neighbours(directory: Directory, name: str) -> None:
    """Refuse a recording that an original or a marker already stands beside (invariant 9)."""
    for beside in (original_name(name), marker_name(name)):
        if directory.look(beside) is not None:
            raise Refused("original_exists", f"{directory.path_of(beside)} stands beside it")


def dress(handle: Handle, wanted: Attributes, path: str) -> None:
    """Set owner, mode, extended attributes and times, and read them back (step 3)."""
    try:
        handle.set_attributes(wanted)
    except PermissionError as error:
        raise Refused(
            "attributes", f"{path}: its owner, mode or attributes can't be kept: {error}"
        ) from error
    missing = wanted.differences(handle.attributes())
    if missing:
        raise Refused("attributes", f"{path}: {', '.join(missing)} can't be kept")


def _refuse_by_look(directory: Directory, name: str, look: Look) -> None:
    path = directory.path_of(name)
    if look.nlink != 1:
        raise Refused("hard_link", f"{path} has {look.nlink} names; replacing one would part them")
    if look.mount_root:
        raise Refused("mounted", f"{path}: something is mounted on this very file")
    here = directory.look(".")
    if look.immutable or (here is not None and here.immutable):
        raise Refused("immutable", f"{path}: it or its directory is immutable or append-only")
    if len(os.fsencode(name)) + LONGEST_ADDITION > directory.longest_name():
        raise Refused("name_too_long", f"{path}: no room for a longer name beside it")


def make_room(site: Site) -> None:
    """End what an earlier swap left there, or raise where more than the recording stays."""
    ended = recover_locked(site, raising=True)
    if ended.standing is Standing.UNKNOWN:
        raise Retryable("open_for_writing", ended.detail)
    if ended.standing is Standing.WORKING:
        raise Retryable("in_progress", f"{site.path} is being transcoded by somebody else")
    if ended.standing is not Standing.CLEAN:
        raise Refused("original_exists", f"{site.path}: {ended.found} {ended.detail}".strip())
