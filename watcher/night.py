"""A window's account: what was done in it, what held it, and what is said at its end.

`Night` is opened with the window and closed with it (every 24 hours where the window is always
open); closing gives `night_summary` and, where it was wasted, `window_wasted`.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from watcher.events import Emit
from watcher.gate.holds import HoldLedger
from watcher.job import Outcome, Result
from watcher.ledger.forecast import Forecast
from watcher.ledger.ledger import Night as LedgerNight

TELLING_S: Final = 300.0
"""So long work has to have waited before a window is called wasted: a restart ends a night too."""


@dataclass(slots=True)
class Night:
    """What one window has brought so far."""

    opened_at_s: float
    holds: HoldLedger = field(default_factory=HoldLedger)
    results: Counter[Result] = field(default_factory=Counter)
    bytes_before: int = 0
    bytes_after: int = 0

    def note(self, outcome: Outcome) -> None:
        """Take what came of one recording."""
        self.results[outcome.result] += 1
        if outcome.marker is not None:
            self.bytes_before += outcome.marker.original.size
            self.bytes_after += outcome.marker.copy.size

    def row(self, closed_at_s: float) -> LedgerNight:
        """Give it as the ledger keeps it; a child's lowered share is time that work did not get."""
        return LedgerNight(
            opened_at_s=self.opened_at_s,
            closed_at_s=closed_at_s,
            work_s=self.holds.worked_s,
            held_s=self.holds.held_s + self.holds.stood_s,
            idle_s=self.holds.idle_s,
            files=self.results[Result.CONVERTED],
            bytes_before=self.bytes_before,
            bytes_after=self.bytes_after,
        )


@dataclass(frozen=True, slots=True)
class Standing:
    """How things stand at a window's end."""

    forecast: Forecast | None
    originals_waiting: int
    originals_bytes: int
    originals_overdue: int
    free_bytes: int | None
    floor_bytes: int | None


def tell(night: Night, standing: Callable[[], Standing], emit: Emit) -> None:
    """Say what *night* brought, and whether it was wasted."""
    now, holds = standing(), night.holds
    foreseen = now.forecast
    emit(
        "night_summary",
        files=night.results[Result.CONVERTED],
        failed=night.results[Result.FAILED],
        rejected=night.results[Result.REFUSED],
        bytes_before=night.bytes_before,
        bytes_after=night.bytes_after,
        savings_bytes=night.bytes_before - night.bytes_after,
        work_s=round(holds.worked_s, 1),
        held_s=round(holds.held_s, 1),
        held_by_reason=dict(holds.held_by_reason),
        idle_s=round(holds.idle_s, 1),
        backlog_files=foreseen.backlog_files if foreseen else None,
        backlog_bytes=foreseen.backlog_bytes if foreseen else None,
        nights_to_clear=foreseen.nights_to_clear if foreseen else None,
        inflow_bytes_per_day=round(foreseen.inflow_bytes_per_day) if foreseen else None,
        can_do_bytes_per_night=_rounded(foreseen.can_do_bytes_per_night) if foreseen else None,
        originals_waiting=now.originals_waiting,
        originals_bytes=now.originals_bytes,
        originals_overdue=now.originals_overdue,
        free_bytes=now.free_bytes,
        floor_bytes=now.floor_bytes,
    )
    wasted = holds.wasted()
    if wasted is not None and holds.wanted_s >= TELLING_S:
        emit(
            "window_wasted",
            reason=wasted.reason.value,
            held_percent=wasted.held_percent,
            median=wasted.median,
            limit=wasted.limit,
            suggestion=wasted.suggestion,
        )


def _rounded(value: float | None) -> int | None:
    return None if value is None else round(value)
