"""Directory trees to watch, and waiting until the observer has seen all that was done to them."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from support.emitted import Emitted
from watcher.clock import Clock
from watcher.segments.files import Hooks
from watcher.segments.index import SegmentIndex
from watcher.segments.inotify import Inotify
from watcher.segments.observer import SegmentObserver
from watcher.segments.segment import Segment

WEEK_S = 7 * 86_400.0
SUFFIXES = (".original", ".transcoded")


def recording_of(name: str) -> str | None:
    """Stands in for `replace.marker.recording_of`: the same three names."""
    for suffix in SUFFIXES:
        if name.endswith(suffix) and len(name) > len(suffix):
            return name.removesuffix(suffix)
    if name.startswith(".") and name.endswith(".transcoding"):
        return name[1:].removesuffix(".transcoding")
    return None


@dataclass(frozen=True)
class CameraOf:
    """What the observer needs of a camera's configuration."""

    name: str
    path: str
    patterns: tuple[str, ...] = ("*.mp4",)
    watch: str = "inotify"


@dataclass
class Heard:
    """Hooks that keep what they were told."""

    recovered: list[tuple[str, str, list[str]]] = field(default_factory=list)
    sidecars: list[tuple[str, str, str]] = field(default_factory=list)
    moved: list[tuple[str, str, str]] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    gone: list[tuple[str, bool]] = field(default_factory=list)

    def hooks(self) -> Hooks:
        return Hooks(
            recover=lambda *told: self.recovered.append(told),
            sidecar_changed=lambda *told: self.sidecars.append(told),
            moved=lambda *told: self.moved.append(told),
            opened=lambda _camera, path: self.opened.append(path),
            closed=lambda segment: self.closed.append(segment.path),
            gone=lambda _camera, path, _size, _mtime, ours: self.gone.append((path, ours)),
        )


@dataclass
class Watched:
    """An observer at work, with everything it told."""

    observer: SegmentObserver
    index: SegmentIndex
    emitted: Emitted
    heard: Heard

    def quiet(self, timeout_s: float = 60.0) -> None:
        """Wait until all that happened before this call is in the index."""
        wait_for(self.observer.is_idle, timeout_s)

    def tick(self) -> None:
        self.quiet()
        self.observer.tick()
        self.quiet()

    def paths(self) -> list[str]:
        return sorted(entry.segment.path for entry in self.index.snapshot())

    def state(self, path: Path | str) -> str | None:
        entry = self.index.get(os.fspath(path))
        return None if entry is None else str(entry.state)

    def losses(self) -> list[object]:
        return [fields["cause"] for fields in self.emitted.named("events_lost")]

    def mended(self) -> list[object]:
        return [fields["cause"] for fields in self.emitted.named("index_resynced")]


def wait_for(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Wait until *condition* holds; fails after a time-out that no test should ever reach."""
    pause = threading.Event()
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "still not so after a generous time-out"
        pause.wait(0.002)


@contextmanager
def watching(
    *cameras: CameraOf | Path,
    clock: Clock | None = None,
    min_age_s: float = WEEK_S,
    index: SegmentIndex | None = None,
    start: bool = True,
    hooks: Hooks | None = None,
    make_inotify: Callable[..., Inotify] = Inotify,
    poll_interval_s: float = 0.05,
) -> Iterator[Watched]:
    """Watch these cameras (or directories) for as long as the block lasts."""
    known = [c if isinstance(c, CameraOf) else CameraOf(c.name, os.fspath(c)) for c in cameras]
    index = SegmentIndex(min_age_s) if index is None else index
    emitted, heard = Emitted(), Heard()
    observer = SegmentObserver(
        known,
        index,
        sidecar_of=recording_of,
        hooks=hooks or heard.hooks(),
        clock=clock,
        emit=emitted,
        make_inotify=make_inotify,
        poll_interval_s=poll_interval_s,
    )
    try:
        if start:
            observer.start()
        yield Watched(observer, index, emitted, heard)
    finally:
        observer.stop()


def record(path: Path, size: int = 4, *, age_s: float | None = None) -> Path:
    """Write a closed recording, made directories included; with an age, of that age."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    if age_s is not None:
        then_s = time.time() - age_s
        os.utime(path, (then_s, then_s))
    return path


def walked(directory: Path, patterns: tuple[str, ...] = (".mp4",)) -> set[tuple[str, int, int]]:
    """Path, size and mtime of every recording below *directory*, as a fresh walk finds them."""
    found = set()
    for above, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(above, name)
            if name.endswith(patterns) and not name.startswith(".") and _is_plain(path):
                status = os.lstat(path)
                found.add((path, status.st_size, status.st_mtime_ns))
    return found


def indexed(index: SegmentIndex) -> set[tuple[str, int, int]]:
    """The same of the index."""
    segments = (entry.segment for entry in index.snapshot())
    return {(s.path, s.size_bytes, s.mtime_ns) for s in segments}


def segment(name: str = "a.mp4", mtime_s: float = 0.0, size: int = 1, at: str = "/c") -> Segment:
    """A segment of the camera `cam`."""
    return Segment("cam", at, name, size, int(mtime_s * 1e9))


def _is_plain(path: str) -> bool:
    return os.path.isfile(path) and not os.path.islink(path)
