"""Reading directories: at start, where new ones appear, and where events were lost. Nowhere else.

A directory is watched before it is read, so that whatever changes meanwhile is told as an event;
both sides take `lstat` for the truth, under one lock, so it does not matter which comes first.
"""

import gc
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter

from watcher.segments.changes import LIMITS
from watcher.segments.entries import CANDIDATE, Item
from watcher.segments.files import PROBED_AGE_S
from watcher.segments.forest import Forest
from watcher.segments.index import SegmentIndex
from watcher.segments.segment import NS_PER_S, all_end_with
from watcher.segments.tree import Directory

SLICE = 256
"""How many files are looked at before events get their turn."""

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FRESH_NS = 2 * NS_PER_S  # a directory may change again without its ctime moving
_mtime_of = itemgetter(0)
_KIND = 0o170_000  # of a mode, what it is: `stat.S_IFMT` without a call a million times
_MANY = 50_000
_GONE = (FileNotFoundError, NotADirectoryError)


@dataclass(slots=True)
class _Listing:
    """What one directory holds, by name; *descriptor* is open on it."""

    descriptor: int
    files: list[str] = field(default_factory=list)
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
        try:
            read_directory(forest, directory, stopping)
        except Exception as error:  # noqa: BLE001 - told, counted, and tried again at the tick
            forest.unreadable.failed(directory, error)


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
        if not directory.may_be((found.st_dev, found.st_ino)):
            forest.read_elsewhere(directory)
            return
        os.stat(".", dir_fd=descriptor)  # raises where names may be listed, but not looked up
        listing = _list(forest, directory, descriptor)
        forest.changes.tally["directories_read"] += 1
        _take_sidecars(forest, directory, listing)
        _take_files(forest, directory, listing, stopping)
        _take_directories(forest, directory, listing)
        age_ns = int(forest.clock.wall_s() * NS_PER_S) - found.st_ctime_ns
        directory.ctime_ns = found.st_ctime_ns if age_ns > _FRESH_NS else -1
        directory.listed = True
        if directory.wd is not None or directory.lost not in LIMITS:
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
    """List names; of nearly every directory of recordings they say all there is to say.

    A name alone is cheaper than an entry. What else has a recording's name is found out when it is
    looked at.
    """
    root = directory.root
    endings = _endings_never_ours(root.endings, forest.files.sidecar_of)
    if endings and all_end_with(names := os.listdir(descriptor), endings):
        return _Listing(descriptor, names)
    with os.scandir(descriptor) as scanned:
        return _sort_out(list(scanned), directory, forest.files.sidecar_of, descriptor)


def _sort_out(
    entries: "list[os.DirEntry[str]]",
    directory: Directory,
    sidecar_of: Callable[[str], str | None],
    descriptor: int,
) -> _Listing:
    listing, is_recording = _Listing(descriptor), directory.root.is_recording
    for entry in entries:
        name = entry.name
        if entry.is_dir(follow_symlinks=False):
            listing.directories.append(name)
        elif sidecar_of(name) is not None:
            listing.sidecars.append(name)
        elif is_recording(name) and entry.is_file(follow_symlinks=False):
            listing.files.append(name)
    return listing


@lru_cache
def _endings_never_ours(
    endings: tuple[str, ...], sidecar_of: Callable[[str], str | None]
) -> tuple[str, ...]:
    """The endings of recordings, unless a file of ours might end like one.

    Ours are told by their last dot and what follows: the names of a million recordings need not be
    taken apart.
    """
    names = (f"{start}x{end}" for start in ("", ".") for end in endings)
    has_dots = all("." in end for end in endings)
    return endings if has_dots and not any(sidecar_of(name) for name in names) else ()


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
    known = set(before)
    for start in range(0, len(listing.files), SLICE):
        if stopping():
            return
        with forest.changes:
            if not forest.tree.holds(directory):
                return
            names = listing.files[start : start + SLICE]
            found = _stat_all(forest, directory, listing, names)
            index.put_many(root.camera, directory.path, found)
            new = sum(item[3] not in known for item in found) if known else len(found)
            forest.changes.tally["added"] += new  # not what the index grew by: others add to it
    if not (before or pairs):
        return
    here, ours = set(listing.files), set(listing.sidecars)
    missing = [name for name in before if name not in here]
    missing += [sidecar for _, sidecar in pairs if sidecar not in ours]
    with forest.changes:
        if forest.tree.holds(directory):
            for name in missing:
                forest.files.look(directory, name)


def _stat_all(
    forest: Forest, directory: Directory, listing: _Listing, names: list[str]
) -> list[Item]:
    recent_ns = int((forest.clock.wall_s() - PROBED_AGE_S) * NS_PER_S)
    # `lstat` of a name in a descriptor: an eighth faster than an entry's own `stat`
    look, descriptor, path = os.lstat, listing.descriptor, directory.path
    kind, file = _KIND, stat.S_IFREG
    try:
        found = [
            (status.st_mtime_ns, status.st_size, path, name, CANDIDATE)
            for name in names
            for status in (look(name, dir_fd=descriptor),)
            if status.st_mode & kind == file
        ]
    except OSError:
        found = []  # one of them is gone since: its event says so
    found.sort(key=_mtime_of)
    if len(found) == len(names) and found[-1][0] < recent_ns:
        return found
    return _stat_each(forest, directory, listing, names, recent_ns)


def _stat_each(
    forest: Forest, directory: Directory, listing: _Listing, names: list[str], recent_ns: int
) -> list[Item]:
    """Do the same where one is gone, is no file, or so new that it may be open still."""
    found: list[Item] = []
    for name in names:
        try:
            status = os.lstat(name, dir_fd=listing.descriptor)
        except OSError:
            continue
        if not stat.S_ISREG(status.st_mode):
            forest.files.look(directory, name)  # something else may have had its name
            if stat.S_ISDIR(status.st_mode):
                listing.directories.append(name)
        elif status.st_mtime_ns < recent_ns:
            item = (status.st_mtime_ns, status.st_size, directory.path, name, CANDIDATE)
            found.append(item)
        else:
            forest.files.take_recent(directory, name, status)
    return found


def _take_directories(forest: Forest, directory: Directory, listing: _Listing) -> None:
    here = set(listing.directories)
    names = [*here, *(name for name in directory.children if name not in here)]
    for start in range(0, len(names), SLICE):
        with forest.changes:
            if not forest.tree.holds(directory):
                return
            for name in names[start : start + SLICE]:
                forest.adopt(directory, name)


def _could_not_read(forest: Forest, directory: Directory, error: OSError) -> None:
    if isinstance(error, _GONE):
        forest.read_elsewhere(directory)
        return
    with forest.changes:
        forest.unreadable.note(directory, error)
