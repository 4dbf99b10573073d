"""The originals that wait for the end of their safety period, and whether a clock may end it.

Counts how long an original has demonstrably been held: within one boot by the boot clock, which
nobody sets; across boots by the wall clock, unless that made a step which no boot time explains.
Then only the time counts for which this process has watched the original itself, until the clock
is said to be synchronised. Decides when; `upkeep` proves the copy and deletes.
"""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from watcher import events
from watcher.clock import Clock, SystemClock
from watcher.events import Emit
from watcher.replace.marker import Held, Marker
from watcher.replace.mend import Recovered
from watcher.replace.recovery import Standing
from watcher.replace.upkeep import SHORTEST_HOLD_S

STEP_TOLERANCE_S = 60.0
"""A wall clock that gains less between two ticks was slewed, not set."""

_POSTPONED_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Tick:
    """All clocks at one moment, and whether the wall clock is in doubt; kept in the ledger."""

    wall_s: float
    boot_s: float
    boot_id: str
    in_doubt: bool = False
    run_s: float = 0.0
    """How long Watcher has run since the doubt arose."""


class Memory(Protocol):
    """What has to outlive the process; the ledger implements it. Lost, everything counts anew."""

    def last_tick(self) -> Tick | None:
        """Give the tick that was remembered last."""

    def remember_tick(self, tick: Tick) -> None:
        """Remember a tick."""

    def orphan_first_seen(self, path: str) -> Held | None:
        """Say since when the original of *path* has been seen orphaned."""

    def remember_orphan(self, path: str, held: Held) -> None:
        """Remember since when."""

    def forget_orphan(self, path: str) -> None:
        """Forget it: the recording is back, or the original has gone."""


class VolatileMemory:
    """A memory for a process that has no ledger: nothing outlives it, so nothing goes early."""

    def __init__(self) -> None:
        self._tick: Tick | None = None
        self._orphans: dict[str, Held] = {}

    def last_tick(self) -> Tick | None:
        """See `Memory`."""
        return self._tick

    def remember_tick(self, tick: Tick) -> None:
        """See `Memory`."""
        self._tick = tick

    def orphan_first_seen(self, path: str) -> Held | None:
        """See `Memory`."""
        return self._orphans.get(path)

    def remember_orphan(self, path: str, held: Held) -> None:
        """See `Memory`."""
        self._orphans[path] = held

    def forget_orphan(self, path: str) -> None:
        """See `Memory`."""
        self._orphans.pop(path, None)


@dataclass(frozen=True, slots=True)
class Waiting:
    """One original that waits; *path* is its recording's."""

    path: str
    size_bytes: int
    held: Held
    orphan: bool
    noted_boot_s: float  # when this process first saw it
    not_before_boot_s: float = 0.0


def next_tick(last: Tick | None, now: Tick, *, keep_s: float, synchronised: bool) -> Tick:
    """Judge the wall clock (SWAP, The clock). Pure; `in_doubt` of the result is the judgement."""
    same_boot = last is not None and bool(now.boot_id) and last.boot_id == now.boot_id
    passed_s = now.boot_s - last.boot_s if last is not None and same_boot else 0.0
    if _unexplained_s(last, now, keep_s) > 0:
        return Tick(now.wall_s, now.boot_s, now.boot_id, in_doubt=True)
    if last is None or not last.in_doubt:
        return Tick(now.wall_s, now.boot_s, now.boot_id)
    run_s = last.run_s + passed_s
    enough_s = min(SHORTEST_HOLD_S, keep_s) if synchronised else keep_s
    return Tick(now.wall_s, now.boot_s, now.boot_id, in_doubt=run_s < enough_s, run_s=run_s)


def _unexplained_s(last: Tick | None, now: Tick, keep_s: float) -> float:
    """How far the wall clock went forward with nothing to explain it; 0 where all is explained."""
    if last is None:
        return float("inf")  # nothing is known of the clock yet
    gained_s = now.wall_s - last.wall_s
    if now.boot_id and last.boot_id == now.boot_id:
        step_s = gained_s - (now.boot_s - last.boot_s)
        return step_s if step_s > STEP_TOLERANCE_S else 0.0
    return gained_s if gained_s > keep_s else 0.0


class Originals:
    """Every held original known to this process; safe to use from several threads."""

    def __init__(
        self,
        memory: Memory | None = None,
        *,
        keep_original_s: float = 86_400.0,
        clock: Clock | None = None,
        emit: Emit = events.emit,
    ) -> None:
        self._memory = memory or VolatileMemory()
        self._keep_s = keep_original_s
        self._clock = clock or SystemClock()
        self._emit = emit
        self._boot_id = self._clock.boot_id()
        self._lock = threading.Lock()
        self._waiting: dict[str, Waiting] = {}
        self._tick = self._first_tick()

    @property
    def clock_in_doubt(self) -> bool:
        """Whether deletions that only the wall clock could justify are waiting."""
        return self._tick.in_doubt

    def tick(self) -> None:
        """Compare the clocks; to be called every half a minute or so."""
        now, before = self._now(), self._tick
        step_s = _unexplained_s(before, now, self._keep_s)
        tick = self._judged(before, now)
        with self._lock:
            self._tick = tick
        self._memory.remember_tick(tick)
        if step_s > 0:
            self._emit("clock_stepped", step_s=step_s)

    def note(self, path: str, recovered: Recovered) -> None:
        """Take what recovery found beside the recording *path*."""
        marker = recovered.marker
        if marker is not None and recovered.standing is Standing.HELD:
            self.add(path, marker)
        elif marker is not None and recovered.standing is Standing.ORPHAN:
            self.add_orphan(path, marker)
        elif recovered.standing not in {Standing.UNKNOWN, Standing.WORKING}:
            self.discard(path)

    def add(self, path: str, marker: Marker) -> None:
        """Let the original of *path* wait for the end of its safety period."""
        self._memory.forget_orphan(path)
        self._add(path, marker, marker.held, orphan=False)

    def add_orphan(self, path: str, marker: Marker) -> None:
        """Let an orphaned original wait for a whole further safety period from now on."""
        held = self._memory.orphan_first_seen(path)
        if held is None:
            clock, keep_s = self._clock, max(marker.held.keep_s, SHORTEST_HOLD_S)
            held = Held(clock.wall_s(), clock.boot_s(), clock.boot_id(), keep_s)
            self._memory.remember_orphan(path, held)
        self._add(path, marker, held, orphan=True)

    def discard(self, path: str) -> None:
        """Forget an original: it went, or is back in its place."""
        with self._lock:
            self._waiting.pop(path, None)
        self._memory.forget_orphan(path)

    def moved(self, old_directory: str, new_directory: str) -> None:
        """Take those in a directory that was renamed along; an orphan's period begins anew."""
        with self._lock:
            there = [one for one in self._waiting if one.rpartition("/")[0] == old_directory]
            for path in there:
                new = f"{new_directory}{path.removeprefix(old_directory)}"
                self._waiting[new] = replace(self._waiting.pop(path), path=new)
        for path in there:
            self._memory.forget_orphan(path)

    def postpone(self, path: str, by_s: float = _POSTPONED_S) -> None:
        """Do not give this one again for a while: its copy could not be proven."""
        with self._lock:
            waiting = self._waiting.get(path)
            if waiting is not None:
                later = self._clock.boot_s() + by_s
                self._waiting[path] = _postponed(waiting, later)

    def due(self) -> list[Waiting]:
        """Give those whose safety period is over, oldest first."""
        return self._those(lambda one, held_s: held_s >= _keep_s(one))

    def releasable(self) -> list[Waiting]:
        """Give those that may go early where the disk needs it, oldest first."""
        return self._those(lambda one, held_s: not one.orphan and held_s >= SHORTEST_HOLD_S)

    def next_due_s(self) -> float | None:
        """Say at which wall time the next one's period will be over, as far as can be told."""
        with self._lock:
            everyone = list(self._waiting.values())
        if not everyone:
            return None
        now = self._moment()
        return now.wall_s + min(_remaining_s(one, now) for one in everyone)

    def all(self) -> list[Waiting]:
        """Give all that wait, oldest first."""
        with self._lock:
            return _oldest_first(self._waiting.values())

    def held_bytes(self) -> int:
        """Give how much space they take."""
        with self._lock:
            return sum(one.size_bytes for one in self._waiting.values())

    def __len__(self) -> int:
        """Give how many wait."""
        with self._lock:
            return len(self._waiting)

    def _add(self, path: str, marker: Marker, held: Held, *, orphan: bool) -> None:
        with self._lock:
            known = self._waiting.get(path)
            same = known is not None and (known.held, known.orphan) == (held, orphan)
            if known is None or not same:
                self._waiting[path] = Waiting(
                    path, marker.original.size, held, orphan, self._clock.boot_s()
                )

    def _those(self, wanted: Callable[[Waiting, float], bool]) -> list[Waiting]:
        now = self._moment()
        with self._lock:
            everyone = list(self._waiting.values())
        return _oldest_first(
            one
            for one in everyone
            if one.not_before_boot_s <= now.boot_s and wanted(one, _held_s(one, now))
        )

    def _first_tick(self) -> Tick:
        tick = self._judged(self._memory.last_tick(), self._now())
        self._memory.remember_tick(tick)
        return tick

    def _judged(self, last: Tick | None, now: Tick) -> Tick:
        synchronised = self._clock.synchronised()
        return next_tick(last, now, keep_s=self._keep_s, synchronised=synchronised)

    def _moment(self) -> Tick:
        """Now, and whether the wall clock is in doubt by now."""
        return self._judged(self._tick, self._now())

    def _now(self) -> Tick:
        return Tick(self._clock.wall_s(), self._clock.boot_s(), self._boot_id)


def _keep_s(one: Waiting) -> float:
    return max(one.held.keep_s, SHORTEST_HOLD_S)


def _held_s(one: Waiting, now: Tick) -> float:
    """How long it has demonstrably been held."""
    if one.held.boot_id and one.held.boot_id == now.boot_id:
        return now.boot_s - one.held.boot_s
    watched_s = now.boot_s - one.noted_boot_s
    return watched_s if now.in_doubt else max(watched_s, now.wall_s - one.held.wall_s)


def _remaining_s(one: Waiting, now: Tick) -> float:
    return max(0.0, _keep_s(one) - _held_s(one, now), one.not_before_boot_s - now.boot_s)


def _oldest_first(those: Iterable[Waiting]) -> list[Waiting]:
    return sorted(those, key=lambda one: (one.held.wall_s, one.path))


def _postponed(one: Waiting, until_boot_s: float) -> Waiting:
    return Waiting(one.path, one.size_bytes, one.held, one.orphan, one.noted_boot_s, until_boot_s)
