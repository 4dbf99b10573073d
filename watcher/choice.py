"""Which recording is next: the oldest that is expected to end in time, and whose saving will count.

Before the first file is measured nothing is expected, and the oldest is begun.
"""

from collections.abc import Callable
from typing import Final

from watcher.clock import Clock, SystemClock
from watcher.gate.readings import WindowState
from watcher.gate.recorders import RecorderWatch
from watcher.ledger.stats import retention_comes_first
from watcher.reach import Reach
from watcher.segments.index import SegmentIndex
from watcher.segments.segment import S_PER_DAY, Segment
from watcher.settings import Transcoding

LOOK_THROUGH: Final = 1000
"""So many candidates are looked at that do not fit into what is left of the window, at most."""

LOOK_PAST: Final = 20_000
"""And so many more in whose place nothing can be done just now."""


class Choice:
    """Picks; what a recording takes is `reach`'s to say."""

    def __init__(
        self,
        settings: Transcoding,
        index: SegmentIndex,
        recorders: RecorderWatch,
        reach: Reach,
        *,
        clock: Clock | None = None,
    ) -> None:
        self._settings = settings
        self._index = index
        self._recorders = recorders
        self._reach = reach
        self._clock = clock or SystemClock()

    def pick(self, state: WindowState, admits: Callable[[Segment], bool]) -> Segment | None:
        """Give the next recording that *admits* lets begin; None where none of age fits.

        What its recorder will delete before its saving counts is passed over until tomorrow, and
        what no window is long enough for until that changes, each with that reason. What was cut
        short before has its turn where nothing else does.
        """
        now_s = self._clock.wall_s()
        left_s = float("inf")
        if state.closes_s is not None:
            left_s = state.closes_s - now_s + self._settings.overrun_minutes * 60
        behind: Segment | None = None
        too_long = elsewhere = 0
        for segment in self._index.due(now_s):
            work_s = self._reach.expected_work_s(segment)
            if not self._pays(segment, work_s, now_s):
                self._index.settle(segment.path, "retention_first", now_s + S_PER_DAY)
            elif self._reach.is_out(segment):
                continue
            elif work_s is not None and work_s > left_s:
                too_long += 1
            elif not admits(segment):
                elsewhere += 1
            elif not self._reach.goes_behind(segment):
                return segment
            else:
                behind = behind or segment
            if too_long >= LOOK_THROUGH or elsewhere >= LOOK_PAST:
                break
        return behind

    def _pays(self, segment: Segment, work_s: float | None, now_s: float) -> bool:
        """Say whether its recorder will keep it long enough for the saving to count."""
        return not retention_comes_first(
            (now_s - segment.mtime_s) / S_PER_DAY,
            self._recorders.retention_days(segment.camera),
            self._settings.keep_original_s / S_PER_DAY,
            work_s,
        )
