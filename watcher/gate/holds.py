"""A night's account: for how long was work held, by what, and what would have let it work.

Pure but for its own sums. Fed with every decision of the gate while the window was open and there
was work to do; asked at its end for `night_summary` and `window_wasted`.
"""

import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass

from watcher.gate.gate import CALM_C, CALM_SHARE, signals
from watcher.gate.readings import Decision, Hold, Limits, Readings, Reason

WASTED = 0.9
"""Held for more of the window than this, by one reason: the window was wasted."""

_LET_IT_WORK = 0.75  # the share of the night's readings that a suggested limit would have let pass
_KEYS = {
    Reason.CPU: ("max_cpu_percent", 5, 95),
    Reason.IO: ("max_io_wait", 5, 50),
    Reason.GPU: ("max_gpu_percent", 5, 95),
    Reason.TEMPERATURE: ("max_temperature_c", 5, 95),
}
_ADVICE = {
    Reason.RECORDER: "mend the camera, or leave out its segment_seconds and health_command",
    Reason.DISK: "free some disk space, or set keep_original_days lower",
    Reason.DISABLED: "`watcher enable`",
    Reason.HALTED: "see the event `halted`, `encoder_broken` or `encoder_unavailable`",
    Reason.WINDOW: "a wider run_schedule",
}
_BUSY = "no sensible limit would do in these hours: choose others in run_schedule"


@dataclass(frozen=True, slots=True)
class Wasted:
    """What `window_wasted` tells."""

    reason: Reason
    held_percent: float
    median: float | None
    limit: float | None
    suggestion: str


class HoldLedger:
    """Adds up; `step_s` is the time since the call before."""

    def __init__(self) -> None:
        self.worked_s = 0.0
        self.stood_s = 0.0
        self.idle_s = 0.0
        self._held_s: dict[Reason, float] = {}
        self._values: dict[Reason, array[float]] = {}
        self._limits: dict[Reason, float] = {}

    @property
    def held_s(self) -> float:
        """Seconds held, for whatever reason."""
        return sum(self._held_s.values())

    @property
    def held_by_reason(self) -> Mapping[str, float]:
        """Seconds held by reason, most first."""
        ordered = sorted(self._held_s.items(), key=lambda one: -one[1])
        return {str(reason): round(held_s, 1) for reason, held_s in ordered}

    def idle(self, step_s: float) -> None:
        """There was nothing to do."""
        self.idle_s += step_s

    def work(self, step_s: float) -> None:
        """There was work that asks nobody, and it went on."""
        self.worked_s += step_s

    def wait(self, reason: Reason, step_s: float) -> None:
        """There was work, and it waited for something that is not in the readings."""
        self._held_s[reason] = self._held_s.get(reason, 0.0) + step_s

    def note(self, decision: Decision, readings: Readings, limits: Limits, step_s: float) -> None:
        """Take one decision, for as long as it was in force."""
        for signal in signals(readings, limits):
            self._values.setdefault(signal.reason, array("f")).append(signal.value)
            self._limits[signal.reason] = signal.limit
        if isinstance(decision, Hold):
            self._held_s[decision.reason] = self._held_s.get(decision.reason, 0.0) + step_s
        elif decision.run:
            self.worked_s += step_s
        else:
            self.stood_s += step_s

    def median(self, reason: Reason) -> float | None:
        """The median of that signal over the whole window; None where it has no figure."""
        return self._quantile(reason, 0.5)

    def wasted(self) -> Wasted | None:
        """Over 90 % of the time in which there was work, held for one reason."""
        wanted_s = self.held_s + self.worked_s + self.stood_s
        if not self._held_s or wanted_s <= 0:
            return None
        reason, held_s = max(self._held_s.items(), key=lambda one: one[1])
        if held_s / wanted_s <= WASTED:
            return None
        median = self.median(reason)
        return Wasted(
            reason,
            round(100 * held_s / wanted_s, 1),
            None if median is None else round(median, 1),
            self._limits.get(reason),
            self._suggest(reason),
        )

    def _suggest(self, reason: Reason) -> str:
        """The limit under which three quarters of the night could have been worked."""
        usual = self._quantile(reason, _LET_IT_WORK)
        if reason not in _KEYS or usual is None:
            return _ADVICE.get(reason, _BUSY)
        key, grain, most = _KEYS[reason]
        lowest = usual + CALM_C if reason is Reason.TEMPERATURE else usual / CALM_SHARE
        limit = math.floor(lowest / grain + 1) * grain
        return f"{key}: {limit}" if limit <= most else _BUSY

    def _quantile(self, reason: Reason, share: float) -> float | None:
        values = self._values.get(reason)
        if not values:
            return None
        ordered = sorted(values)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
