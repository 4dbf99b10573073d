"""What if the limit had been another? Each limit that could be set is played along with the night.

Replaying a night needs its readings, and a night has tens of thousands; so nothing is kept but one
latch for each limit, the gate's own, and the seconds that it would have let work go on. Pure but
for its own sums.
"""

from dataclasses import dataclass

from watcher.gate.gate import CHANGE_S, GAP_S, Latch, Signal, after_gap, latched, with_limit
from watcher.gate.readings import Reason

LET_IT_WORK = 0.5
"""The share of the night that a limit must have let pass to be suggested."""

_GRAIN = 5
_MOST = {Reason.CPU: 95, Reason.IO: 50, Reason.GPU: 95, Reason.TEMPERATURE: 95}


@dataclass(slots=True)
class _Take:
    """One limit's night; it begins as the gate does."""

    latch: Latch = Latch()  # noqa: RUF009 - frozen
    released_s: float | None = None
    worked_s: float = 0.0

    def play(
        self, quiet: Latch | None, signal: Signal, now_s: float, step_s: float, *, gap_s: float
    ) -> None:
        """Take one reading; *quiet*: what the latch has become while nobody played it."""
        before = quiet or self.latch
        if gap_s > GAP_S:
            before = after_gap(signal.reason, before)
        mild_ok = self.released_s is None or now_s - self.released_s >= CHANGE_S
        self.latch = latched(before, signal, now_s, mild_ok=mild_ok)
        if before.held and not self.latch.held:
            self.released_s = now_s
        if not self.latch.held:
            self.worked_s += step_s


class Rehearsal:
    """One signal's night under every limit above the one in force."""

    def __init__(self) -> None:
        self._takes: dict[float, _Take] = {}
        self._limit: float | None = None
        self._lowest_calm = 0.0
        self._played_s = 0.0
        self._whole_s = self._quiet_s = 0.0
        self._all_go = False

    def play(self, signal: Signal, now_s: float, step_s: float) -> None:
        """Take one reading, in force for the *step_s* before *now_s*."""
        if self._limit != signal.limit:
            self._limit, self._takes, self._whole_s = signal.limit, _takes(signal), 0.0
            lowest = with_limit(signal, min(self._takes, default=signal.limit))
            self._lowest_calm, self._quiet_s, self._all_go = lowest.calm, 0.0, False
        before_s, self._played_s = self._played_s, now_s
        self._whole_s += step_s
        if self._all_go and signal.value <= self._lowest_calm:
            self._quiet_s += step_s  # calm under every limit: the usual case costs nothing
            return
        quiet = Latch(False, before_s, before_s, before_s) if self._quiet_s else None
        for limit, take in self._takes.items():
            take.worked_s += self._quiet_s
            take.play(quiet, with_limit(signal, limit), now_s, step_s, gap_s=now_s - before_s)
        self._quiet_s = 0.0
        self._all_go = not any(take.latch.held for take in self._takes.values())

    def enough(self) -> int | None:
        """Give the smallest limit that would have let it work; None: none would have."""
        for limit, take in self._takes.items():
            if take.worked_s + self._quiet_s >= LET_IT_WORK * self._whole_s:
                return round(limit)
        return None


def _takes(signal: Signal) -> dict[float, _Take]:
    """Give the limits above the one in force that a person could set, lowest first."""
    above = range(_GRAIN, _MOST[signal.reason] + 1, _GRAIN)
    return {float(limit): _Take() for limit in above if limit > signal.limit}
