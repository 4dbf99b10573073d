"""All cameras' observers: one for those that the kernel tells of, and one for each that is polled.

A network share that hangs keeps whoever asks it, and with him the lock under which one observer
asks everything. So each polled camera has an observer of its own, with its own lock and threads:
while its share hangs nothing of another camera waits for it. They have the index in common, which
holds no lock while anybody asks a file system.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from watcher import events
from watcher.clock import Clock, SystemClock
from watcher.events import Emit
from watcher.segments.files import Hooks
from watcher.segments.filesystems import is_below
from watcher.segments.index import SegmentIndex
from watcher.segments.mount_watch import MountWatch
from watcher.segments.observer import SegmentObserver, Statistics
from watcher.segments.polling import POLL_S
from watcher.segments.segment import Segment
from watcher.segments.tree import UNKNOWN, WatchedCamera
from watcher.segments.worker import each_by_itself

SHARES_WITHIN_S: Final = 5.0
"""So long a start waits for the shares' first walks; one that takes longer is walked meanwhile."""

_STATISTICS_WITHIN_S: Final = 0.25
HANGS: Final = "its share does not answer: it hangs, or is very slow"
BUSY: Final = "no answer just now: a disk hangs, or a great deal is changing there"


class Observers:
    """Keeps the index true for all cameras; see `SegmentObserver` for what each call means."""

    def __init__(
        self,
        cameras: Iterable[WatchedCamera],
        index: SegmentIndex,
        *,
        sidecar_of: Callable[[str], str | None],
        hooks: Hooks | None = None,
        clock: Clock | None = None,
        emit: Emit = events.emit,
        poll_interval_s: float = POLL_S,
        shares_within_s: float = SHARES_WITHIN_S,
        watch_mounts: Callable[[Callable[[], None], Clock], MountWatch] = MountWatch,
    ) -> None:
        cameras = list(cameras)
        self._clock = clock or SystemClock()
        self._shares_within_s = shares_within_s

        def observer(those: list[WatchedCamera]) -> SegmentObserver:
            return SegmentObserver(
                those,
                index,
                sidecar_of=sidecar_of,
                hooks=hooks,
                clock=self._clock,
                emit=emit,
                poll_interval_s=poll_interval_s,
            )

        self._watch_mounts = watch_mounts
        self._mounts: MountWatch | None = None
        told = [one for one in cameras if one.watch != "poll"]
        shares = {one.path: one for one in cameras if one.watch == "poll"}
        self.parts: dict[str | None, SegmentObserver] = {None: observer(told)}
        """Who observes each polled camera, by its path; None: all others."""
        self.cameras: dict[str | None, list[str]] = {None: [one.name for one in told]}
        for path, one in shares.items():
            self.parts[path] = observer([one])
            self.cameras[path] = [one.name]
        self._shares = list(shares)
        self._known = {
            path: Statistics(roots=dict.fromkeys(names, UNKNOWN))
            for path, names in self.cameras.items()
        }

    def shares(self) -> list[str]:
        """Give the polled cameras, by path."""
        return self._shares

    def share_of(self, path: str) -> str | None:
        """Give the polled camera that *path* belongs to, by its path; None: to no such one."""
        return next((top for top in self._shares if is_below(path, top)), None)

    def of(self, path: str) -> SegmentObserver:
        """Give the one that *path* is, or would be, known to."""
        return self.parts[self.share_of(path)]

    def start(self) -> None:
        """Watch and walk; return when the index is whole, but for shares that take long."""
        shares = [self.parts[path] for path in self._shares]
        for share in shares:
            share.start(wait=False)
        self.parts[None].start()
        until_s = self._clock.monotonic_s() + self._shares_within_s
        for share in shares:
            share.wait_ready(max(0.0, until_s - self._clock.monotonic_s()))
        with contextlib.suppress(OSError):  # no descriptor to be had: the tick has to do
            self._mounts = self._watch_mounts(self.tick, self._clock)
            self._mounts.start()

    def wait_ready(self, timeout_s: float | None = None) -> bool:
        """Wait for the end of every first walk, for so long each."""
        return all(observer.wait_ready(timeout_s) for observer in self._all())

    def walked(self) -> set[str | None]:
        """Say whose first walk is over: which polled cameras', by path, and (None) the others'."""
        return {share for share, part in self.parts.items() if part.wait_ready(0)}

    def stop(self) -> None:
        """End every thread; whatever one share keeps, those of no other are left behind."""
        mounts, self._mounts = self._mounts, None
        if mounts is not None:
            mounts.stop()
        each_by_itself(part.stop for part in self._all())

    def tick(self) -> None:
        """Compare what no event tells of; returns at once."""
        for observer in self._all():
            observer.tick()

    def healthy(self) -> bool:
        """Whether every thread lives and every camera is heard of."""
        return all(observer.healthy() for observer in self._all())

    def is_idle(self) -> bool:
        """Whether everything that happened before this call is in the index."""
        return all(observer.is_idle() for observer in self._all())

    def is_gone(self, path: str) -> bool:
        """Whether a recording that the index does not hold has certainly been deleted."""
        return self.of(path).is_gone(path)

    def confirm(self, segment: Segment) -> bool:
        """Whether a segment is as the index has it; if not, the index is corrected first."""
        return self.of(segment.path).confirm(segment)

    def statistics(self) -> Statistics:
        """What was seen and done so far; of a share or disk that hangs, what is known."""
        return _sum([self._of_part(path) for path in self.parts])

    def _of_part(self, path: str | None) -> Statistics:
        seen = self.parts[path].statistics_within(_STATISTICS_WITHIN_S)
        if seen is not None:
            self._known[path] = seen
            return seen
        known = self._known[path]
        return replace(known, unheard=dict.fromkeys(known.roots, HANGS if path else BUSY))

    def _all(self) -> list[SegmentObserver]:
        return list(self.parts.values())


def _sum(parts: list[Statistics]) -> Statistics:
    losses: Counter[str] = Counter()
    for part in parts:
        losses.update(part.losses)
    return Statistics(
        directories=sum(part.directories for part in parts),
        watches=sum(part.watches for part in parts),
        unwatched=sum(part.unwatched for part in parts),
        max_user_watches=parts[0].max_user_watches,  # the same for all
        events=sum(part.events for part in parts),
        directories_read=sum(part.directories_read for part in parts),
        directories_read_at_start=sum(part.directories_read_at_start for part in parts),
        resyncs=sum(part.resyncs for part in parts),
        losses=dict(losses),
        roots={camera: state for part in parts for camera, state in part.roots.items()},
        unheard={camera: why for part in parts for camera, why in part.unheard.items()},
        partly_unheard={c: why for part in parts for c, why in part.partly_unheard.items()},
    )
