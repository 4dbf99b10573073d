"""Why a path is, or is not, next: as far as the file system and the index can tell.

Pure but for looks at the path and the directories on its way (`lstat`, a parameter).

The caller adds what the ledger knows (which verdict, how many attempts) and the window (which
night); `report.page` puts it into words for a person.
"""

import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from watcher.segments.index import SegmentIndex
from watcher.segments.segment import State, matcher
from watcher.segments.tree import WatchedCamera


class Standing(StrEnum):
    """Where a path stands, in the order in which it is found out."""

    NOT_UNDER_A_CAMERA = "not_under_a_camera"
    ABSENT = "absent"
    UNREADABLE = "unreadable"
    OUR_OWN_FILE = "our_own_file"
    NO_MATCH = "no_match"
    SYMBOLIC_LINK = "symbolic_link"
    BEHIND_A_LINK = "behind_a_link"  # a directory on the way, below the camera's own
    NOT_A_FILE = "not_a_file"
    NOT_INDEXED = "not_indexed"  # not seen yet, or its directory can't be read
    OPEN = "open"
    REPLACED = "replaced"
    SETTLED = "settled"
    TOO_YOUNG = "too_young"
    IN_LINE = "in_line"


@dataclass(frozen=True, slots=True)
class Why:
    """The answer."""

    path: str
    standing: Standing
    detail: str
    camera: str | None = None
    reason: str | None = None
    """The verdict's word, where there is one."""
    eligible_at_s: float | None = None
    """When it comes of age, or its back-off ends."""
    position: int | None = None
    """Which place in the line: 1 is next."""
    beside: tuple[str, ...] = ()
    """Our own files beside it."""


def why(
    path: str,
    cameras: Iterable[WatchedCamera],
    index: SegmentIndex,
    *,
    now_s: float,
    sidecar_of: Callable[[str], str | None],
    lstat: Callable[[str], os.stat_result] = os.lstat,
    realpath: Callable[[str], str] = os.path.realpath,
) -> Why:
    """Say why the file at *path* (absolute) is, or is not, next."""
    known = list(cameras)
    top = next((c for c in known if c.path.rstrip("/") == path.rstrip("/")), None)
    if top is not None:
        return Why(path, Standing.NOT_A_FILE, "it is the camera's directory", top.name)
    camera, path = _camera_of(path, known, realpath)
    if camera is None:
        there = ", ".join(f"{c.name}: {c.path}" for c in known) or "there is none"
        return Why(path, Standing.NOT_UNDER_A_CAMERA, f"it lies under no camera ({there})")
    link = _link_on_the_way(path, camera, lstat)
    if link:
        detail = f"{link} is a symbolic link: the way there is not followed, name the file itself"
        return Why(path, Standing.BEHIND_A_LINK, detail, camera.name)
    standing, detail = _look(path, camera, sidecar_of, lstat)
    if standing:
        return Why(path, standing, detail, camera.name)
    return _by_index(path, camera.name, index, now_s)


def _camera_of(
    path: str, cameras: list[WatchedCamera], realpath: Callable[[str], str]
) -> tuple[WatchedCamera | None, str]:
    """The camera, and the path as the index spells it: links on the way there are seen through."""
    for camera in cameras:
        if path.startswith(camera.path.rstrip("/") + "/"):
            return camera, path
    above, _, name = path.rpartition("/")
    resolved = f"{realpath(above or '/').rstrip('/')}/{name}"
    for camera in cameras:
        top = realpath(camera.path).rstrip("/") + "/"
        if resolved.startswith(top):
            return camera, f"{camera.path.rstrip('/')}/{resolved.removeprefix(top)}"
    return None, path


def _link_on_the_way(
    path: str, camera: WatchedCamera, lstat: Callable[[str], os.stat_result]
) -> str | None:
    """The first directory below the camera's own that is a link: nothing behind it is indexed."""
    top = camera.path.rstrip("/")
    names = path.removeprefix(top + "/").split("/")[:-1]
    for number in range(1, len(names) + 1):
        directory = f"{top}/{'/'.join(names[:number])}"
        try:
            if stat.S_ISLNK(lstat(directory).st_mode):
                return directory
        except OSError:
            return None  # said of the file itself
    return None


def _look(
    path: str,
    camera: WatchedCamera,
    sidecar_of: Callable[[str], str | None],
    lstat: Callable[[str], os.stat_result],
) -> tuple[Standing | None, str]:
    try:
        found = lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return Standing.ABSENT, "there is no such file"
    except OSError as error:
        return Standing.UNREADABLE, f"it can't be looked at: {error.strerror}"
    name = path.rpartition("/")[2]
    recording = sidecar_of(name)
    if recording is not None:
        return Standing.OUR_OWN_FILE, f"it is Watcher's own, beside {recording}"
    return _by_kind(name, found.st_mode, camera)


def _by_kind(name: str, mode: int, camera: WatchedCamera) -> tuple[Standing | None, str]:
    if stat.S_ISLNK(mode):
        return Standing.SYMBOLIC_LINK, "it is a symbolic link: only the file itself is converted"
    if not stat.S_ISREG(mode):
        return Standing.NOT_A_FILE, "it is no regular file"
    if not matcher(camera.patterns)(name):
        patterns = ", ".join(camera.patterns)
        return Standing.NO_MATCH, f"its name matches none of {camera.name}'s patterns ({patterns})"
    return None, ""


def _by_index(path: str, camera: str, index: SegmentIndex, now_s: float) -> Why:
    index.counts(now_s)  # whose back-off is over by now stands in line again
    entry = index.get(path)
    if entry is None:
        return Why(path, Standing.NOT_INDEXED, "the index does not know it (yet)", camera)
    eligible_at_s = max(entry.segment.mtime_s + index.min_age_s, entry.until_s or 0.0)
    if entry.state is State.OPEN:
        detail = "it is being written, or its close is not known yet"
        return Why(path, Standing.OPEN, detail, camera, eligible_at_s=eligible_at_s)
    if entry.state is State.REPLACED:
        beside = tuple(sorted(index.sidecars(path)))
        detail = f"beside it stands {', '.join(beside)}"
        return Why(path, Standing.REPLACED, detail, camera, beside=beside)
    if entry.state is State.SETTLED:
        until_s = eligible_at_s if entry.until_s is not None else None
        detail = f"there is a verdict: {entry.reason}"
        return Why(path, Standing.SETTLED, detail, camera, entry.reason, until_s)
    if eligible_at_s > now_s:
        detail = "it is not old enough"
        return Why(path, Standing.TOO_YOUNG, detail, camera, eligible_at_s=eligible_at_s)
    position = index.position(path)
    detail = f"it is number {position} in line"
    return Why(path, Standing.IN_LINE, detail, camera, None, eligible_at_s, position)
