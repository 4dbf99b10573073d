"""Everything that the gate looks at, read in one call.

The one place in this room that touches meter, recorders, window and disk together, so that the
shift is left with:

    gate = GateKeeper(gauge, limits)
    decision = gate.look(child=True, directory="/srv/recordings/cam1/2026-11-23")

`GateKeeper` only keeps the pure state machine's state between calls. It is not thread-safe: one
thread looks (the shift's).
"""

from collections.abc import Callable
from math import inf
from typing import Protocol

from watcher.clock import Clock, SystemClock
from watcher.gate.asking import NoAnswer, patient
from watcher.gate.disk import read_space
from watcher.gate.gate import CALM_S, GateState, step
from watcher.gate.readings import Decision, Limits, Load, Readings, Space, WindowState
from watcher.gate.recorders import RecorderWatch
from watcher.gate.window import Window

_SILENT_S = 1.0  # so long a disk may take to say how full it is; meanwhile its last word counts


_read_space = patient(read_space)


class Meter(Protocol):
    """What `load.LoadMeter` gives."""

    def sample(self) -> Load:
        """Give what was used since the sample before."""


class Gauge:
    """Collects `Readings`. Never raises: what can't be read is left out."""

    def __init__(
        self,
        *,
        meter: Meter,
        recorders: RecorderWatch,
        window: Window,
        space: Callable[[str], Space] = _read_space,
        clock: Clock | None = None,
    ) -> None:
        self._meter = meter
        self._recorders = recorders
        self._window = window
        self._space = space
        self._clock = clock or SystemClock()
        self._known: tuple[float, Window, WindowState] | None = None
        self._room: tuple[str | None, Space | None] = None, None
        self._hung: tuple[str | None, float] = None, 0.0

    def read(
        self,
        *,
        child: bool = False,
        directory: str | None = None,
        enabled: bool = True,
        halted: str | None = None,
        by_hand: bool = False,
    ) -> Readings:
        """Read everything now.

        *child*: a job of ours is under way. *directory*: where it writes (None: the disk is not
        looked at). *halted*: what stops all work, as a sentence. *by_hand*: no window applies, nor
        does the switch.
        """
        self._recorders.tick()
        now_s = self._clock.wall_s()
        window = None if by_hand else self._state(now_s)
        closed_for_s = 0.0
        if window is not None and not window.is_open:
            closed_for_s = inf if window.since_s is None else now_s - window.since_s
        space, unanswered = self._asked(directory)
        return Readings(
            load=self._meter.sample(),
            child=child,
            enabled=enabled or by_hand,
            halted=halted,
            window=window,
            closed_for_s=closed_for_s,
            recorder=self._recorders.trouble(),
            absent=self._recorders.absent(),
            space=space,
            unanswered=unanswered,
        )

    def follow(self, window: Window) -> None:
        """Go by another window from the next look on; any thread."""
        self._window = window

    def _state(self, now_s: float) -> WindowState:
        """Ask the window anew only outside the span for which it has answered."""
        window = self._window
        if self._known is not None and self._known[1] is window:
            asked_s, _, state = self._known
            if asked_s <= now_s < (inf if state.next_edge_s is None else state.next_edge_s):
                return state
        state = window.state(now_s)
        self._known = (now_s, window, state)
        return state

    def _asked(self, directory: str | None) -> tuple[Space | None, str | None]:
        """Give the room there, or who does not answer; neither where it can't be told."""
        if directory is None:
            return None, None
        known = self._room[1] if self._room[0] == directory else None
        now_s = self._clock.monotonic_s()
        try:
            known = self._space(directory)
        except NoAnswer as silence:
            if silence.hangs(_SILENT_S):
                self._hung = directory, now_s
                return None, f"the disk of {directory} does not answer: it hangs"
        except OSError:  # deleted or unmounted under us: the job itself will find out
            return None, None
        self._room = directory, known
        if self._hung[0] == directory and now_s - self._hung[1] < CALM_S:
            return known, f"the disk of {directory} did not answer a moment ago"
        return known, None


class GateKeeper:
    """A gauge, the limits, and what the gate remembers."""

    def __init__(self, gauge: Gauge, limits: Limits, *, clock: Clock | None = None) -> None:
        self._gauge = gauge
        self._limits = limits
        self._clock = clock or SystemClock()
        self._state = GateState()

    def follow(self, limits: Limits, window: Window) -> None:
        """Judge by other limits and another window from the next look on; any thread."""
        self._limits = limits
        self._gauge.follow(window)

    def look(
        self,
        *,
        child: bool = False,
        directory: str | None = None,
        enabled: bool = True,
        halted: str | None = None,
        by_hand: bool = False,
    ) -> tuple[Decision, Readings]:
        """Read once (see `Gauge.read`) and step; the readings are for the record."""
        readings = self._gauge.read(
            child=child, directory=directory, enabled=enabled, halted=halted, by_hand=by_hand
        )
        self._state, decision = step(self._state, readings, self._limits, self._clock.monotonic_s())
        return decision, readings
