"""What a host application says of its recorders: asked twice a second, and waited for but a moment.

A callback may take its time, hang, or raise. Until it has answered, its last word counts; after
`LIMIT_S` without an answer its recorders are taken to be unwell.
"""

from collections.abc import Callable
from typing import Final

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
    ) -> None:
        self._healthy = healthy
        self._says = says
        self._limit_s = limit_s
        self._asker = asker
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
        try:
            verdict = HealthVerdict(bool(self._healthy()), self._says)
        except Exception as error:  # noqa: BLE001 - a host's callback may raise anything
            verdict = HealthVerdict(healthy=False, reason=f"recorders_healthy raised {error!r}")
        self._last = verdict  # however late: it is asked anew only now
        return verdict
