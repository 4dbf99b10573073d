"""Mending what was lost: compare every directory, read those that changed, look at the rest.

A directory that was created in, deleted from or renamed in has another ctime than before its last
listing. Nothing else sets it, so an old ctime proves that nothing was lost there: either it is the
one that was recorded, or it lies before the moment up to which all events were handed over. Files
that were written to without any of that leave no trace in their directory: after the directories,
each known file is looked at once, in short slices.
"""

import os
from collections.abc import Callable, Iterable

from watcher.segments.forest import Forest
from watcher.segments.scan import look_again, read_pending
from watcher.segments.segment import NS_PER_S
from watcher.segments.tree import Directory

_MARGIN_S = 3.0  # kernel timestamps are coarse; FAT's are of 2 s
Stopping = Callable[[], bool]


def resync(
    forest: Forest,
    cause: str,
    root: str,
    mend: Callable[[], int],
    *,
    say_nothing_of_nothing: bool = False,
) -> None:
    """Run *mend* (which says how many directories it compared), and log what it brought."""
    keys = ("directories_read", "added", "removed")
    before = [forest.changes.tally[key] for key in keys]
    started_s = forest.clock.monotonic_s()
    compared = mend()
    read, added, removed = (forest.changes.tally[k] - b for k, b in zip(keys, before, strict=True))
    duration_s = round(forest.clock.monotonic_s() - started_s, 3)
    if say_nothing_of_nothing and not (read or added or removed):
        return
    forest.changes.tally["resyncs"] += 1
    forest.changes.emit(
        "index_resynced",
        root=root,
        cause=cause,
        directories_compared=compared,
        directories_read=read,
        added=added,
        removed=removed,
        duration_s=duration_s,
    )


def reconcile(forest: Forest, read_up_to_s: float | None, stopping: Stopping) -> int:
    """Bring the whole index in line after events were lost; how many directories were compared."""
    directories = forest.directories()
    for directory in directories:
        forest.watch_anew(directory)
    forest.close_descriptors()
    changed = compare(forest, directories, read_up_to_s)
    read_all(forest, changed, stopping)
    read = set(changed)
    for directory in directories:
        if directory not in read and not directory.root.polled:
            look_again(forest, directory, stopping)
    return len(directories)


def compare(
    forest: Forest, directories: Iterable[Directory], read_up_to_s: float | None
) -> list[Directory]:
    """Those of *directories* that have to be read; what is gone or another is dealt with."""
    changed: list[Directory] = []
    for directory in directories:
        try:
            found = os.stat(directory.path, follow_symlinks=directory.parent is None)
        except PermissionError:
            forest.unreadable.blocked(directory)
            continue
        except OSError:
            forest.read_elsewhere(directory)
            continue
        if not directory.may_be((found.st_dev, found.st_ino)):
            forest.read_elsewhere(directory)
        elif not is_unchanged(directory, found.st_ctime_ns, read_up_to_s):
            changed.append(directory)
    return changed


def read_all(forest: Forest, directories: Iterable[Directory], stopping: Stopping) -> None:
    """Read these, and what is found in them."""
    for directory in directories:
        if stopping():
            return
        forest.pending.append(directory)
    read_pending(forest, stopping)


def is_unchanged(directory: Directory, ctime_ns: int, read_up_to_s: float | None) -> bool:
    """Whether a directory's ctime proves that nothing was lost in it."""
    if not directory.listed or directory.lost:
        return directory.listed and ctime_ns == directory.ctime_ns
    if ctime_ns == directory.ctime_ns:
        return True
    return read_up_to_s is not None and ctime_ns / NS_PER_S < read_up_to_s - _MARGIN_S
