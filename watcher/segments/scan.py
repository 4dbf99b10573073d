"""Reading directories: at start, where new ones appear, and where events were lost. Nowhere else.

A directory is watched before it is read, so that whatever changes meanwhile is told as an event;
both sides take `lstat` for the truth, under one lock, so it does not matter which comes first.
"""

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from watcher.segments.entries import Found
from watcher.segments.files import PROBED_AGE_S
from watcher.segments.forest import Forest
from watcher.segments.index import SegmentIndex
from watcher.segments.segment import NS_PER_S
from watcher.segments.tree import Directory

SLICE = 256
"""How many files are looked at before events get their turn."""

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FRESH_NS = 2 * NS_PER_S  # a directory may change again without its ctime moving
_MANY = 50_000
_GONE = (FileNotFoundError, NotADirectoryError)


@dataclass(slots=True)
class _Listing:
    """What one directory holds."""

    files: "list[os.DirEntry[str]]" = field(default_factory=list)
    directories: list[str] = field(default_factory=list)
    sidecars: list[str] = field(default_factory=list)


@contextmanager
def without_collector(index: SegmentIndex) -> Iterator[None]:
    """Keep the garbage collector from looking at a million entries again and again.

    None of what the first walk makes is ever garbage; afterwards it is set aside for good.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if len(index) >= _MANY:
            gc.freeze()
        if was_enabled:
            gc.enable()


def read_pending(forest: Forest, stopping: Callable[[], bool]) -> None:
    """Read every directory that waits for it, and those found in them, until none waits."""
    while not stopping():
        with forest.changes:
            if not forest.pending:
                return
            directory = forest.pending.pop()
        read_directory(forest, directory, stopping)


def read_directory(forest: Forest, directory: Directory, stopping: Callable[[], bool]) -> None:
    """Read one directory and bring the index in line with it."""
    flags = _FLAGS if directory.parent is None else _FLAGS | os.O_NOFOLLOW
    try:
        descriptor = os.open(directory.path, flags)
    except OSError as error:
        _could_not_read(forest, directory, error)
        return
    try:
        found = os.fstat(descriptor)
        if (found.st_dev, found.st_ino) != directory.identity:
            forest.examine(directory)
            return
        listing = _list(forest, directory, descriptor)
        forest.changes.tally["directories_read"] += 1
        _take_sidecars(forest, directory, listing)
        _take_files(forest, directory, listing, stopping)
        _take_directories(forest, directory, listing)
        age_ns = int(forest.clock.wall_s() * NS_PER_S) - found.st_ctime_ns
        directory.ctime_ns = found.st_ctime_ns if age_ns > _FRESH_NS else -1
        directory.listed = True
        if directory.wd is not None:
            directory.lost = ""
    except OSError as error:
        _could_not_read(forest, directory, error)
    finally:
        os.close(descriptor)
        forest.close_descriptors()


def look_again(forest: Forest, directory: Directory, stopping: Callable[[], bool]) -> None:
    """Look at every known file of a directory, without reading the directory."""
    names, pairs = forest.index.names(directory.path)
    names += [sidecar for _, sidecar in pairs]
    for start in range(0, len(names), SLICE):
        if stopping():
            return
        with forest.changes:
            if not forest.tree.holds(directory):
                return
            for name in names[start : start + SLICE]:
                forest.files.look(directory, name)
    forest.close_descriptors()


def _list(forest: Forest, directory: Directory, descriptor: int) -> _Listing:
    listing = _Listing()
    sidecar_of, is_recording = forest.files.sidecar_of, directory.root.is_recording
    quick = _endings_never_ours(directory.root.endings, sidecar_of)
    with os.scandir(descriptor) as entries:
        for entry in entries:
            name = entry.name
            if entry.is_dir(follow_symlinks=False):
                listing.directories.append(name)
            elif quick and name.endswith(quick):
                if name[0] != "." and entry.is_file(follow_symlinks=False):
                    listing.files.append(entry)
            elif sidecar_of(name) is not None:
                listing.sidecars.append(name)
            elif is_recording(name) and entry.is_file(follow_symlinks=False):
                listing.files.append(entry)
    return listing


def _endings_never_ours(
    endings: tuple[str, ...], sidecar_of: Callable[[str], str | None]
) -> tuple[str, ...]:
    """The endings of recordings, unless a file of ours might end like one.

    Ours are told by their ending; the names of a million recordings need not be taken apart.
    """
    names = (f"{start}x{end}" for start in ("", ".") for end in endings)
    return () if any(sidecar_of(name) for name in names) else endings


def _take_sidecars(forest: Forest, directory: Directory, listing: _Listing) -> None:
    """Block what stands beside files of ours, have half-done swaps ended, then look again."""
    if not listing.sidecars:
        return
    with forest.changes:
        for name in listing.sidecars:
            forest.files.look(directory, name)
    sidecars = sorted(listing.sidecars)
    recover = forest.files.hooks.recover
    forest.changes.tell(recover, directory.root.camera, directory.path, sidecars)
    with forest.changes:
        for name in sidecars:
            forest.files.look(directory, name)


def _take_files(
    forest: Forest,
    directory: Directory,
    listing: _Listing,
    stopping: Callable[[], bool],
) -> None:
    root, index = directory.root, forest.index
    before, pairs = index.names(directory.path)
    for start in range(0, len(listing.files), SLICE):
        if stopping():
            return
        with forest.changes:
            if not forest.tree.holds(directory):
                return
            found = _stat_all(forest, directory, listing.files[start : start + SLICE])
            size_before = len(index)
            index.put_many(root.camera, directory.path, found)
            forest.changes.tally["added"] += len(index) - size_before
    here = {entry.name for entry in listing.files}
    missing = [name for name in before if name not in here]
    missing += [sidecar for _, sidecar in pairs if sidecar not in listing.sidecars]
    with forest.changes:
        if forest.tree.holds(directory):
            for name in missing:
                forest.files.look(directory, name)


def _stat_all(
    forest: Forest, directory: Directory, entries: "list[os.DirEntry[str]]"
) -> list[Found]:
    found: list[Found] = []
    recent_s = forest.clock.wall_s() - PROBED_AGE_S
    for entry in entries:
        try:
            status = entry.stat(follow_symlinks=False)
        except OSError:
            continue  # gone since; its event says so
        if status.st_mtime >= recent_s:
            forest.files.take_recent(directory, entry.name, status)
        else:
            found.append((entry.name, status.st_size, status.st_mtime_ns, False))
    return found


def _take_directories(forest: Forest, directory: Directory, listing: _Listing) -> None:
    names = listing.directories + [n for n in directory.children if n not in listing.directories]
    for start in range(0, len(names), SLICE):
        with forest.changes:
            if not forest.tree.holds(directory):
                return
            for name in names[start : start + SLICE]:
                forest.adopt(directory, name)


def _could_not_read(forest: Forest, directory: Directory, error: OSError) -> None:
    if isinstance(error, _GONE):
        forest.examine(directory)
        return
    with forest.changes:
        forest.unreadable(directory, error)
