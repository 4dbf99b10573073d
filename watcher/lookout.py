"""Who looks at the gate for the shift: each look accounted to the night, each hold told once."""

from collections.abc import Callable

from watcher.clock import Clock, SystemClock
from watcher.events import Emit, emit
from watcher.gate.gauge import GateKeeper
from watcher.gate.readings import Decision, Go, Hold, Limits, Reason
from watcher.gate.window import Window
from watcher.night import Night

_LONGEST_STEP_S = 5.0  # a longer pause between two looks was no part of either


class Lookout:
    """Looks, accounts, tells. One thread uses it, the shift's; `hold` and `duty` any may read."""

    def __init__(
        self,
        keeper: GateKeeper,
        limits: Limits,
        enabled: Callable[[], bool],
        *,
        clock: Clock | None = None,
        emit: Emit = emit,
    ) -> None:
        self._keeper = keeper
        self._limits = limits
        self._enabled = enabled
        self._clock = clock or SystemClock()
        self._emit = emit
        self._looked_s: float | None = None
        self._held_since_s = 0.0
        self.hold: Hold | None = None
        self.duty = 1.0
        """The share of the time that the gate let work have when it last let it."""
        self.night: Night | None = None
        self._last: tuple[float, Decision] | None = None

    def look(self, *, child: bool, directory: str | None, switch: bool = True) -> Decision:
        """Look once: *child* says whether a job is under way, *directory* where it writes.

        *switch* False: it is work that being switched off does not stop.
        """
        decision, readings = self._keeper.look(
            child=child, directory=directory, enabled=not switch or self._enabled()
        )
        if self.night is not None:
            self.night.holds.note(decision, readings, self._limits, self._step_s())
        if isinstance(decision, Go):
            self.duty = decision.duty
        self._last = self._clock.monotonic_s(), decision
        self._tell(decision)
        return decision

    def peek(self) -> None:
        """Look for who reads whole files beside the shift: part of no night, and told to nobody."""
        decision, _ = self._keeper.look(child=True, enabled=True)
        self._last = self._clock.monotonic_s(), decision

    def looked_within(self, within_s: float) -> bool:
        """Say whether it has looked in the last *within_s*; any thread."""
        last = self._last
        return last is not None and self._clock.monotonic_s() - last[0] <= within_s

    @property
    def lets_read(self) -> bool:
        """Say whether the last look lets whole files be read; any thread.

        What reads gives room, so neither a full disk nor the switch stops it: `peek` asks of
        neither. A look that does, and is held by them, tells nothing of the load behind.
        """
        decision = self._last[1] if self._last else None
        return isinstance(decision, Go) and decision.run

    def follow(self, limits: Limits, window: Window) -> None:
        """Look by other limits, and another window, from the next look on; any thread."""
        self._limits = limits
        self._keeper.follow(limits, window)

    def idle(self) -> None:
        """There is nothing to do in an open window."""
        if self.night is not None:
            self.night.holds.idle(self._step_s(longest_s=60.0))
        self._tell(Go())

    def urge(self) -> Decision:
        """Work is under way that can't wait, whatever holds the rest: nobody is asked or told."""
        if self.night is not None:
            self.night.holds.work(self._step_s())
        return Go()

    def halted(self) -> None:
        """There is work, and a fault stops it, which is told elsewhere."""
        if self.night is not None:
            self.night.holds.wait(Reason.HALTED, self._step_s(longest_s=60.0))
        self._tell(Go())

    def wait(self, hold: Hold) -> None:
        """Work waits for a reason that is not the gate's to see; no load is looked at meanwhile."""
        if self.night is not None:
            self.night.holds.wait(hold.reason, self._step_s(longest_s=60.0))
        self._tell(hold)

    def rest(self) -> None:
        """Nobody looks until further notice: the time until the next look is no one's."""
        self._looked_s = None
        self._tell(Go())

    def _step_s(self, longest_s: float = _LONGEST_STEP_S) -> float:
        now_s, before_s = self._clock.monotonic_s(), self._looked_s
        self._looked_s = now_s
        return 0.0 if before_s is None else min(longest_s, now_s - before_s)

    def _tell(self, decision: Decision) -> None:
        before = self.hold
        self.hold = decision if isinstance(decision, Hold) else None
        now_s = self._clock.monotonic_s()
        changed = before is None or self.hold is None or before.reason is not self.hold.reason
        if before is not None and changed:
            held_s = round(now_s - self._held_since_s, 1)
            self._emit("gate_released", reason=before.reason.value, duration_s=held_s)
        if self.hold is not None and changed:
            self._held_since_s = now_s
            self._emit(
                "gate_held",
                reason=self.hold.reason.value,
                detail=self.hold.detail,
                value=self.hold.value,
                limit=self.hold.limit,
            )
