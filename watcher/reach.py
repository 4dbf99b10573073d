"""What is within a night's reach: how long a recording may take, and what an aborted job has shown.

Nothing is begun that is not expected to end, and what could not be finished has shown how long it
takes: that counts for this very file from then on, over restarts, until it or what works on it
changes. What takes longer than any window is open is left alone, with that reason. What was cut
short, for whatever reason, goes behind the others for the rest of that window, and again and again
is tried ever more rarely: one recording must not cost all others their nights.
"""

import math
from typing import Final

from watcher.clock import Clock, SystemClock
from watcher.events import Emit, emit
from watcher.gate.window import Window
from watcher.job import subject
from watcher.ledger.ledger import Fingerprint, Ledger, Need, fingerprint
from watcher.ledger.needs import CUT_SHORT
from watcher.ledger.stats import expected_s
from watcher.segments.index import SegmentIndex
from watcher.segments.segment import S_PER_DAY, Segment
from watcher.settings import Transcoding

LONGEST_S: Final = S_PER_DAY
"""No job works for longer, but where twice what is expected of it is more: one that gets on for
ever has to end in a window that never closes, too."""

COSTLY_S: Final = 600.0
"""An attempt that was worked on for less cost others little, and is not held against the file."""

_AHEAD_S: Final = 15 * S_PER_DAY  # a week's schedule, in full, wherever in the week it is now
_OUT_OF_REACH: Final = "too_slow"


class Reach:
    """Knows what a recording takes; the shift's thread uses it."""

    def __init__(
        self,
        settings: Transcoding,
        window: Window,
        index: SegmentIndex,
        ledger: Ledger,
        *,
        clock: Clock | None = None,
        emit: Emit = emit,
    ) -> None:
        self._settings = settings
        self._window = window
        self._index = index
        self._ledger = ledger
        self._clock = clock or SystemClock()
        self._emit = emit
        self._behind: dict[str, float] = {}
        self._decides = fingerprint(settings)
        self._last_encoder = ledger.last_encoder()
        self.encoder: str | None = None

    def takes(self, encoder: str, decides: Fingerprint) -> None:
        """Measure by the encoder that was chosen.

        Until then the last one's speed counts, of an earlier life: a restart forgets no measure.
        """
        self.encoder, self._decides = encoder, decides

    def expected_work_s(self, segment: Segment) -> float | None:
        """How long this file takes, by what was measured of others and of itself; None: unknown."""
        need = self._need(segment)
        known = [self._measured_s(segment), need.work_s if need else None]
        return max((one for one in known if one is not None), default=None)

    def limit_s(self, segment: Segment) -> float:
        """After so much work a job on *segment* is given up, whatever the window."""
        return max(LONGEST_S, 2 * (self._measured_s(segment) or 0.0))

    def is_out(self, segment: Segment) -> bool:
        """Say whether no window is long enough for what it has shown; then it is settled so."""
        need = self._need(segment)
        if need is None or need.work_s <= self._longest_s(segment):
            return False
        self._leave(
            segment,
            _OUT_OF_REACH,
            f"takes about {_hours(need.work_s)} of work, as far as its last attempt has shown;"
            f" no attempt has more than {_hours(self._longest_s(segment))}",
        )
        return True

    def goes_behind(self, segment: Segment) -> bool:
        """Say whether others are to go first: it was cut short in this very window."""
        return self._clock.wall_s() < self._behind.get(segment.path, 0.0)

    def cut_short(self, segment: Segment, reason: str, needed_s: float, worked_s: float) -> None:
        """Take what a job has shown that was aborted for *reason*."""
        before = self._need(segment)
        attempts = before.attempts if before else 0
        costly = worked_s >= COSTLY_S
        need = Need(max(needed_s, before.work_s if before else 0.0), attempts + costly)
        self._ledger.remember_need(subject(segment), need, self._decides)
        if self.is_out(segment) or not costly:
            return
        self._wait_behind(segment)
        if reason == "window" or need.attempts > 1:
            self._leave(
                segment,
                CUT_SHORT,
                f"was aborted ({reason}) after {_hours(worked_s)} of about"
                f" {_hours(need.work_s)} of work",
            )

    def ended(self, segment: Segment) -> None:
        """Its job came to an end of its own: what an aborted one has shown is past."""
        self._behind.pop(segment.path, None)
        if self._need(segment) is not None:
            self._ledger.forget_need(segment.path)

    def _wait_behind(self, segment: Segment) -> None:
        """Let others go first until the window closes; where it never does, for a day."""
        now_s = self._clock.wall_s()
        state = self._window.state(now_s)
        until_s = now_s + S_PER_DAY if state.closes_s is None else state.closes_s
        self._behind = {at: end_s for at, end_s in self._behind.items() if now_s < end_s}
        if state.is_open:
            self._behind[segment.path] = until_s

    def _measured_s(self, segment: Segment) -> float | None:
        encoder = self.encoder or self._last_encoder
        if encoder is None:
            return None
        return expected_s(self._ledger.speed(segment.camera, encoder), segment.size_bytes)

    def _need(self, segment: Segment) -> Need | None:
        key = segment.path, segment.size_bytes, segment.mtime_ns
        return self._ledger.need(*key, self._decides)

    def _longest_s(self, segment: Segment) -> float:
        """How long the longest window is in which a job could work, its overrun included."""
        now_s = self._clock.wall_s()
        openings = self._window.openings(now_s, now_s + _AHEAD_S)
        longest_s = max((closes - opens for opens, closes in openings), default=0.0)
        if longest_s >= _AHEAD_S:
            longest_s = math.inf
        return min(longest_s + self._settings.overrun_minutes * 60, self.limit_s(segment))

    def _leave(self, segment: Segment, reason: str, detail: str) -> None:
        verdict = self._ledger.remember_refusal(subject(segment), reason, detail, self._decides)
        self._index.settle(segment.path, reason, verdict.retry_at_s)
        self._emit(
            "transcode_rejected",
            camera=segment.camera,
            path=segment.path,
            reason=reason,
            detail=detail,
        )


def _hours(seconds: float) -> str:
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min"
