"""A night's account: for how long was work held, by what, and what would have let it work.

Pure but for its own sums. Fed with every decision of the gate while the window was open and there
was work to do; asked at its end for `night_summary` and `window_wasted`.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from watcher.gate.gate import signals
from watcher.gate.readings import Decision, Hold, Limits, Readings, Reason
from watcher.gate.rehearsal import Rehearsal

WASTED = 0.9
"""Held for more of the window than this, by one reason: the window was wasted."""

_KEYS = {
    Reason.CPU: "max_cpu_percent",
    Reason.IO: "max_io_wait",
    Reason.GPU: "max_gpu_percent",
    Reason.TEMPERATURE: "max_temperature_c",
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
        self._now_s = 0.0
        self._values: dict[Reason, Counter[float]] = {}
        self._rehearsals: dict[Reason, Rehearsal] = {}
        self._limits: dict[Reason, float] = {}

    @property
    def held_s(self) -> float:
        """Seconds held, for whatever reason."""
        return sum(self._held_s.values())

    @property
    def wanted_s(self) -> float:
        """Seconds in which there was work."""
        return self.held_s + self.worked_s + self.stood_s

    @property
    def held_by_reason(self) -> Mapping[str, float]:
        """Seconds held by reason, most first."""
        ordered = sorted(self._held_s.items(), key=lambda one: -one[1])
        return {str(reason): round(held_s, 1) for reason, held_s in ordered}

    def idle(self, step_s: float) -> None:
        """There was nothing to do."""
        self._now_s += step_s
        self.idle_s += step_s

    def work(self, step_s: float) -> None:
        """There was work that asks nobody, and it went on."""
        self._now_s += step_s
        self.worked_s += step_s

    def wait(self, reason: Reason, step_s: float) -> None:
        """There was work, and it waited for something that is not in the readings."""
        self._now_s += step_s
        self._held_s[reason] = self._held_s.get(reason, 0.0) + step_s

    def note(self, decision: Decision, readings: Readings, limits: Limits, step_s: float) -> None:
        """Take one decision, for as long as it was in force."""
        self._now_s += step_s
        for signal in signals(readings, limits):
            self._values.setdefault(signal.reason, Counter())[round(signal.value, 1)] += 1
            rehearsal = self._rehearsals.setdefault(signal.reason, Rehearsal())
            rehearsal.play(signal, self._now_s, step_s)
            self._limits[signal.reason] = signal.limit
        if isinstance(decision, Hold):
            self._held_s[decision.reason] = self._held_s.get(decision.reason, 0.0) + step_s
        elif decision.run:
            self.worked_s += step_s
        else:
            self.stood_s += step_s

    def median(self, reason: Reason) -> float | None:
        """The median of that signal over the whole window; None where it has no figure."""
        values = self._values.get(reason, Counter())
        before, half = 0, values.total() // 2
        for value in sorted(values):
            before += values[value]
            if before > half:
                return value
        return None

    def wasted(self) -> Wasted | None:
        """Over 90 % of the time in which there was work, held for one reason."""
        if not self._held_s or self.wanted_s <= 0:
            return None
        reason, held_s = max(self._held_s.items(), key=lambda one: one[1])
        if held_s / self.wanted_s <= WASTED:
            return None
        median = self.median(reason)
        return Wasted(
            reason,
            round(100 * held_s / self.wanted_s, 1),
            median,
            self._limits.get(reason),
            self._suggest(reason),
        )

    def _suggest(self, reason: Reason) -> str:
        """The smallest limit under which half of the night could have been worked."""
        rehearsal = self._rehearsals.get(reason)
        if reason not in _KEYS or rehearsal is None:
            return _ADVICE.get(reason, _BUSY)
        limit = rehearsal.enough()
        return _BUSY if limit is None else f"{_KEYS[reason]}: {limit}"
