"""Go or hold: one pure state machine over readings, limits and the time.

What must not wait holds at once: a switch, the window, a full disk, a silent recorder, figures
that can't be read any more. A recorder's hold is released after `CALM_S` of health; where it is
given up as absent instead, the job that stood still for it is ended. What is noisy (CPU, GPU,
temperature, I/O) has a latch each: a second
above the limit closes it, and `CALM_S` of unbroken calm, clearly below the limit, opens it again.
After a release a signal that is merely *around* its limit waits until `CHANGE_S` have passed, so
that no oscillation makes more than one change in ten seconds; a real spike never waits.

I/O wait can't be told apart by process, and our own reading raises it. So before it counts, the
child stands still (`Go(run=False)`, no hold, told to nobody): still above the limit after
`PROBE_S`, it is others' and becomes a hold; gone, it was ours, and the child goes on with a lower
share of the time (`Go.duty`), which rises again step by step while nothing happens.

`step` wants a *monotonic* time and is meant to be called every 500 ms while a child lives or waits
in an open window. A longer pause between calls proves no calm. It does prove a load: each figure
is the mean since the call before, and looks are rare where the machine leaves us no CPU to look.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from watcher.gate.readings import GB, Abort, Decision, Go, Hold, Limits, Readings, Reason, Trouble

REACT_S = 0.9  # two readings of half a second each, less what a timer may be late
CALM_S = 10.0
CHANGE_S = 10.0
PROBE_S = 3.0
CALM_SHARE = 0.8  # of the limit: calm is clearly below it, or noise would release
CALM_C = 3.0  # degrees below the limit, for the same reason
DUTIES = (1.0, 0.5, 0.25)
"""The child's share of the time; by steps of one: stand for one, or for three of four."""

UNREAD = 4
"""So many samples running that could not be read, and nobody knows whom work would disturb."""

GAP_S = 5.0  # a longer pause between two steps proves no unbroken calm
_FORGET_S = 60.0  # a hold of a night ago says nothing about tonight
_EASE_S = 60.0  # so long without a doubt about the I/O, and the child's share rises a step
_DISK_BACK = 1.2  # times critical: what was full must have a little room before it counts as mended
_NOISY = (Reason.TEMPERATURE, Reason.CPU, Reason.GPU, Reason.IO)


@dataclass(frozen=True, slots=True)
class Signal:
    """A noisy figure: calm up to *calm*, too much above *limit*, a spike above *spike*."""

    reason: Reason
    name: str
    unit: str
    value: float
    limit: float
    calm: float
    spike: float

    def detail(self) -> str:
        """Tell a person."""
        return f"{self.name}: {self.value:.0f}{self.unit}, limit {self.limit:g}{self.unit}"


@dataclass(frozen=True, slots=True)
class Latch:
    """One signal's memory: when it was last seen in order, last below a spike, calm since when."""

    held: bool = False
    fine_s: float | None = None
    mild_s: float | None = None
    calm_s: float | None = None


@dataclass(frozen=True, slots=True)
class GateState:
    """All that `step` remembers. A fresh one goes."""

    stepped_s: float | None = None
    latches: MappingProxyType[Reason, Latch] = field(default_factory=lambda: MappingProxyType({}))
    reason: Reason | None = None
    hold_since_s: float | None = None
    frozen_since_s: float | None = None
    released_s: float | None = None
    disk_low: bool = False
    standing_since_s: float | None = None
    probing: bool = False
    duty: int = 0
    doubted_s: float = 0.0
    beat: int = 0
    trouble: Trouble | None = None
    trouble_s: float = 0.0
    absent: frozenset[str] = frozenset()


def step(
    state: GateState, readings: Readings, limits: Limits, now_s: float
) -> tuple[GateState, Decision]:
    """Take one look: the new state, and whether work may go on."""
    given_up = readings.absent - state.absent
    state = _begin(state, readings, limits, now_s)
    if given_up and state.reason is Reason.RECORDER and readings.child:
        names = ", ".join(sorted(given_up))
        since_s = _since(state.hold_since_s, now_s)
        gone = Hold(Reason.RECORDER, f"{names}: absent, and waited for no longer", since_s=since_s)
        return state, _abort(gone, gone.detail)
    firm = _firm(state, readings, limits)
    state = _latch_all(state, readings, limits, now_s)
    hold = firm or _noisy_hold(state, readings, limits)
    if hold is None:
        return _go(state, readings, now_s)
    return _hold(state, hold, readings, limits, now_s)


def _begin(state: GateState, readings: Readings, limits: Limits, now_s: float) -> GateState:
    """Bring the memory up to this step: what a pause between steps or a gone child makes void."""
    gap_s = 0.0 if state.stepped_s is None else now_s - state.stepped_s
    latches = state.latches
    if gap_s > _FORGET_S or gap_s < 0:
        latches, state = MappingProxyType({}), replace(state, duty=0, released_s=None)
    elif gap_s > GAP_S:
        latches = MappingProxyType({key: after_gap(key, one) for key, one in latches.items()})
    if not readings.child:
        state = replace(state, frozen_since_s=None, probing=False)
    state = _troubled(state, readings, now_s)
    return replace(
        state, stepped_s=now_s, latches=latches, disk_low=_disk_low(state, readings, limits)
    )


def after_gap(reason: Reason, latch: Latch) -> Latch:
    """Void what a pause between looks does not prove; of heat only the moment is known."""
    if reason is Reason.TEMPERATURE:
        return Latch(held=latch.held)
    return replace(latch, calm_s=None)


def _troubled(state: GateState, readings: Readings, now_s: float) -> GateState:
    """Remember a recorder's trouble until it has been well for a while, or is given up."""
    trouble, trouble_s = state.trouble, state.trouble_s
    if readings.recorder is not None:
        trouble, trouble_s = readings.recorder, now_s
    elif readings.absent - state.absent or not 0 <= now_s - trouble_s < CALM_S:
        trouble = None
    return replace(state, trouble=trouble, trouble_s=trouble_s, absent=readings.absent)


def _disk_low(state: GateState, readings: Readings, limits: Limits) -> bool:
    if readings.space is None:
        return False
    mark = limits.critical_bytes * (_DISK_BACK if state.disk_low else 1.0)
    return readings.space.free_bytes < mark


# -- what holds at once -------------------------------------------------------------------------


def _firm(state: GateState, readings: Readings, limits: Limits) -> Hold | None:
    """Find the first reason that needs no second look."""
    if readings.halted is not None:
        return Hold(Reason.HALTED, readings.halted)
    if not readings.enabled:
        return Hold(Reason.DISABLED, "transcoding is switched off")
    if _window_over(readings, limits):
        return Hold(Reason.WINDOW, "outside the schedule window")
    if state.disk_low and readings.space is not None:
        return _disk_hold(readings.space.free_bytes, limits)
    if state.trouble is not None:
        trouble = state.trouble
        return Hold(
            Reason.RECORDER,
            f"{trouble.camera}: {trouble.reason}",
            trouble.silent_s,
            trouble.expected_s,
        )
    return _blind(readings)


def _blind(readings: Readings) -> Hold | None:
    if readings.unanswered is not None:
        return Hold(Reason.DISK, readings.unanswered)
    if readings.load.unread < UNREAD:
        return None
    return Hold(Reason.CPU, "how busy the machine is can't be read: is a descriptor left?")


def _window_over(readings: Readings, limits: Limits) -> bool:
    """Closed for whoever would begin; for who is at work, after the overrun."""
    if readings.window is None or readings.window.is_open:
        return False
    return not readings.child or readings.closed_for_s >= limits.overrun_s


def _disk_hold(free_bytes: int, limits: Limits) -> Hold:
    free, critical = free_bytes / GB, limits.critical_bytes / GB
    return Hold(
        Reason.DISK,
        f"only {free:.1f} GB are free, critical_free_space_gb is {critical:g}",
        round(free, 3),
        critical,
    )


# -- what is noisy ------------------------------------------------------------------------------


def signals(readings: Readings, limits: Limits) -> Iterator[Signal]:
    """Pair every noisy figure that this machine gives with its limit."""
    load = readings.load
    yield _percent(Reason.CPU, "CPU used by others", load.others_cpu_percent, limits.cpu_percent)
    if load.gpu_others_percent is not None and limits.gpu_percent is not None:
        engine = f" ({load.gpu_engine})" if load.gpu_engine else ""
        name = f"GPU used by others{engine}"
        yield _percent(Reason.GPU, name, load.gpu_others_percent, limits.gpu_percent)
    if load.temperature_c is not None and limits.temperature_c is not None:
        top = limits.temperature_c
        yield Signal(
            Reason.TEMPERATURE, "temperature", " °C", load.temperature_c, top, top - CALM_C, top
        )
    name, percent = load.io_worst
    yield _percent(Reason.IO, f"{name} by others", percent, limits.io_percent)


def _percent(reason: Reason, name: str, value: float, limit: float) -> Signal:
    """A spike is twice the limit; where that is too near to 100, half the way there."""
    spike = min(2 * limit, (limit + 100.0) / 2)
    return Signal(reason, name, " %", value, limit, limit * CALM_SHARE, spike)


def with_limit(signal: Signal, limit: float) -> Signal:
    """Give the same figure under another limit."""
    if signal.reason is Reason.TEMPERATURE:
        return replace(signal, limit=limit, calm=limit - CALM_C, spike=limit)
    return _percent(signal.reason, signal.name, signal.value, limit)


def _latch_all(state: GateState, readings: Readings, limits: Limits, now_s: float) -> GateState:
    found = {one.reason: one for one in signals(readings, limits)}
    mild_ok = state.released_s is None or now_s - state.released_s >= CHANGE_S
    latches: dict[Reason, Latch] = {}
    for reason, signal in found.items():
        before = state.latches.get(reason, Latch())
        latches[reason] = latched(before, signal, now_s, mild_ok=mild_ok)
    if Reason.IO in latches:
        state, latches[Reason.IO] = _whose_io(state, latches[Reason.IO], now_s)
    return replace(state, latches=MappingProxyType(latches))


def latched(before: Latch, signal: Signal, now_s: float, *, mild_ok: bool) -> Latch:
    """Close after a second above the limit, open after ten seconds of calm."""
    value = signal.value
    fine_s = now_s if value <= signal.limit or before.fine_s is None else before.fine_s
    mild_s = now_s if value <= signal.spike or before.mild_s is None else before.mild_s
    calm_s = None if value > signal.calm else now_s if before.calm_s is None else before.calm_s
    held = before.held
    if held:
        held = calm_s is None or now_s - calm_s < CALM_S
    else:
        held = (mild_ok and now_s - fine_s >= REACT_S) or now_s - mild_s >= REACT_S
    return Latch(held, fine_s, mild_s, calm_s)


def _noisy_hold(state: GateState, readings: Readings, limits: Limits) -> Hold | None:
    """Tell the reason told before while it holds; else the first that does."""
    held = [one for one in _NOISY if one in state.latches and state.latches[one].held]
    if not held:
        return None
    reason = state.reason if state.reason in held else held[0]
    signal = next(one for one in signals(readings, limits) if one.reason == reason)
    return Hold(signal.reason, signal.detail(), round(signal.value, 1), signal.limit)


# -- whose I/O is it? ---------------------------------------------------------------------------


def _whose_io(state: GateState, latch: Latch, now_s: float) -> tuple[GateState, Latch]:
    """Let I/O count only where nothing of ours has run for a while, and so can't be its cause."""
    doubtful = latch.held and not state.latches.get(Reason.IO, Latch()).held
    stood_s = 0.0 if state.standing_since_s is None else now_s - state.standing_since_s
    if doubtful and stood_s >= PROBE_S:
        return replace(state, probing=False), latch
    if doubtful:
        return replace(state, probing=True, doubted_s=now_s), replace(latch, held=False)
    if state.probing:
        was_ours = latch.fine_s == now_s and (stood_s >= PROBE_S or _fine_for(latch, now_s))
        if was_ours:
            lower = min(state.duty + 1, len(DUTIES) - 1)
            state = replace(state, probing=False, duty=lower, doubted_s=now_s)
    elif state.duty and now_s - state.doubted_s >= _EASE_S:
        state = replace(state, duty=state.duty - 1, doubted_s=now_s)
    return state, latch


def _fine_for(latch: Latch, now_s: float) -> bool:
    return latch.calm_s is not None and now_s - latch.calm_s >= REACT_S


# -- what is said -------------------------------------------------------------------------------


def _go(state: GateState, readings: Readings, now_s: float) -> tuple[GateState, Go]:
    released_s = now_s if state.reason in _NOISY else state.released_s
    beat = state.beat + 1
    duty = DUTIES[state.duty]
    run = not state.probing and beat % round(1 / duty) == 0
    standing_s = None if readings.child and run else _since(state.standing_since_s, now_s)
    state = replace(
        state,
        reason=None,
        hold_since_s=None,
        frozen_since_s=None,
        released_s=released_s,
        standing_since_s=standing_s,
        beat=beat,
    )
    note = "finding out whose the I/O wait is" if state.probing else None
    if note is None and state.duty:
        note = f"running {duty:.0%} of the time: the I/O wait is our own"
    return state, Go(run=run, duty=duty, note=note)


def _hold(
    state: GateState, hold: Hold, readings: Readings, limits: Limits, now_s: float
) -> tuple[GateState, Hold]:
    """Tell the hold; abort what has been frozen for too long, or must not even be frozen."""
    since_s = _since(state.hold_since_s, now_s)
    frozen_s = _since(state.frozen_since_s, now_s)
    state = replace(
        state,
        reason=hold.reason,
        hold_since_s=since_s,
        frozen_since_s=frozen_s if readings.child else None,
        standing_since_s=_since(state.standing_since_s, now_s),
    )
    hold = replace(hold, since_s=since_s)
    if not readings.child:
        return state, hold
    if state.disk_low or _window_over(readings, limits):
        return state, _abort(hold, hold.detail)
    if now_s - frozen_s >= limits.max_pause_s:
        return state, _abort(hold, f"{hold.detail}; frozen for {(now_s - frozen_s) / 60:.0f} min")
    return state, hold


def _abort(hold: Hold, detail: str) -> Abort:
    return Abort(hold.reason, detail, hold.value, hold.limit, hold.since_s)


def _since(before_s: float | None, now_s: float) -> float:
    return now_s if before_s is None else before_s
