"""What a host application says of its recorders: asked twice a second, and waited for but a moment.

A callback may take its time, hang, or raise. Until it has answered, its last word counts; after
`LIMIT_S` without an answer its recorders are taken to be unwell. So they are where the answer took
as long: one that always does would be well and unwell by turns.
"""

from collections.abc import Callable
from typing import Final

from watcher.clock import Clock, SystemClock
from watcher.gate.asking import ASKER, Asker, NoAnswer
from watcher.gate.health import HealthVerdict

LIMIT_S: Final = 2.0


class HostsWord:
    """One callback and its last answer. *says*: what a no of it means."""

    def __init__(
        self,
        healthy: Callable[[], bool],
        says: str,
        *,
        limit_s: float = LIMIT_S,
        asker: Asker = ASKER,
        clock: Clock | None = None,
    ) -> None:
        self._healthy = healthy
        self._says = says
        self._limit_s = limit_s
        self._asker = asker
        self._clock = clock or SystemClock()
        self._last: HealthVerdict | None = None

    def verdict(self) -> HealthVerdict | None:
        """Give its word; None before the first."""
        try:
            return self._asker.ask(self, self._ask)
        except NoAnswer as silence:
            if not silence.hangs(self._limit_s):
                return self._last
            return HealthVerdict(healthy=False, reason="recorders_healthy has not answered yet")

    def _ask(self) -> HealthVerdict:
        asked_s = self._clock.monotonic_s()
        try:
            verdict = HealthVerdict(bool(self._healthy()), self._says)
        except Exception as error:  # noqa: BLE001 - a host's callback may raise anything
            verdict = HealthVerdict(healthy=False, reason=f"recorders_healthy raised {error!r}")
        took_s = self._clock.monotonic_s() - asked_s
        if verdict.healthy and took_s >= self._limit_s:
            late = f"recorders_healthy took {took_s:.1f} s to answer, more than {self._limit_s:g}"
            verdict = HealthVerdict(healthy=False, reason=late)
        self._last = verdict  # however late: it is asked anew only now
        return verdict
