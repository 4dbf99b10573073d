"""Which recording is next: the oldest that is expected to end in time, and whose saving will count.

Expectations come from the ledger's own measured speed, camera by camera; before the first file is
measured nothing is expected, and the oldest is begun.
"""

from collections.abc import Callable
from typing import Final

from watcher.clock import Clock, SystemClock
from watcher.gate.readings import WindowState
from watcher.gate.recorders import RecorderWatch
from watcher.ledger.ledger import Ledger
from watcher.ledger.stats import expected_s, retention_comes_first
from watcher.segments.index import SegmentIndex
from watcher.segments.segment import S_PER_DAY, Segment
from watcher.settings import Transcoding

LOOK_THROUGH: Final = 1000
"""So many candidates are looked at that do not fit into what is left of the window, at most."""

LOOK_PAST: Final = 20_000
"""And so many more in whose place nothing can be done just now."""


class Choice:
    """Picks; *encoder* is the one that was chosen, set as soon as one was.

    Until then the last one's speed counts, of an earlier life: a restart forgets no measure.
    """

    def __init__(
        self,
        settings: Transcoding,
        index: SegmentIndex,
        recorders: RecorderWatch,
        ledger: Ledger,
        *,
        clock: Clock | None = None,
    ) -> None:
        self._settings = settings
        self._index = index
        self._recorders = recorders
        self._ledger = ledger
        self._clock = clock or SystemClock()
        self.encoder: str | None = None
        self._last_encoder = ledger.last_encoder()

    def pick(self, state: WindowState, admits: Callable[[Segment], bool]) -> Segment | None:
        """Give the next recording that *admits* lets begin; None where none of age fits.

        What its recorder will delete before its saving counts is passed over until tomorrow, with
        that reason.
        """
        now_s = self._clock.wall_s()
        left_s = float("inf")
        if state.closes_s is not None:
            left_s = state.closes_s - now_s + self._settings.overrun_minutes * 60
        too_long = elsewhere = 0
        for segment in self._index.due(now_s):
            work_s = self.expected_work_s(segment)
            if not self._pays(segment, work_s, now_s):
                self._index.settle(segment.path, "retention_first", now_s + S_PER_DAY)
            elif work_s is not None and work_s > left_s:
                too_long += 1
            elif admits(segment):
                return segment
            else:
                elsewhere += 1
            if too_long >= LOOK_THROUGH or elsewhere >= LOOK_PAST:
                break
        return None

    def expected_work_s(self, segment: Segment) -> float | None:
        """How long this file will take, by what was measured; None before the first one."""
        encoder = self.encoder or self._last_encoder
        if encoder is None:
            return None
        return expected_s(self._ledger.speed(segment.camera, encoder), segment.size_bytes)

    def _pays(self, segment: Segment, work_s: float | None, now_s: float) -> bool:
        """Say whether its recorder will keep it long enough for the saving to count."""
        return not retention_comes_first(
            (now_s - segment.mtime_s) / S_PER_DAY,
            self._recorders.retention_days(segment.camera),
            self._settings.keep_original_s / S_PER_DAY,
            work_s,
        )
