"""The originals that wait for the end of their safety period, and whether a clock may end it.

Counts how long an original has demonstrably been held: within one boot by the boot clock, which
nobody sets; across boots by the boot-clock time for which a Watcher process has watched it, summed
up in the ledger (the evidence). The wall clock may end a period across boots as well, but only
where it was synchronised at both ends, and never the hour that nothing shortens (SWAP, The clock).
Decides when; `upkeep` proves the copy and deletes.
"""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from watcher import events
from watcher.clock import Clock, SystemClock
from watcher.events import Emit
from watcher.replace.marker import Held, Marker
from watcher.replace.memory import NEVER_WATCHED, Memory, Tick, VolatileMemory, Watched
from watcher.replace.mend import Recovered
from watcher.replace.recovery import Standing
from watcher.replace.upkeep import SHORTEST_HOLD_S

STEP_TOLERANCE_S = 60.0
"""A wall clock that gains less between two ticks was slewed, not set."""

_POSTPONED_S = 86_400.0
_EVIDENCE_EVERY_S = 600.0
"""How often all evidence is remembered; in an original's first hour it is at each tick."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """One original that waits; *path* is its recording's."""

    path: str
    size_bytes: int
    held: Held
    orphan: bool
    noted_boot_s: float  # when this process first saw it
    not_before_boot_s: float = 0.0
    before: Watched = NEVER_WATCHED  # what was known of it then


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
        self._evidence_due_s = self._tick.boot_s + _EVIDENCE_EVERY_S

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
        self._remember_evidence(tick)
        if step_s > 0:
            self._emit("clock_stepped", step_s=step_s)

    def note(self, path: str, recovered: Recovered) -> None:
        """Take what recovery found beside the recording *path*."""
        marker = recovered.marker
        if marker is not None and recovered.standing is Standing.HELD:
            self.add(path, marker, recovered.place)
        elif marker is not None and recovered.standing is Standing.ORPHAN:
            self.add_orphan(path, marker, recovered.place)
        elif recovered.standing not in {Standing.UNKNOWN, Standing.WORKING}:
            self.discard(path)

    def add(self, path: str, marker: Marker, place: str = "") -> None:
        """Let the original of *path* wait for the end of its safety period.

        *place* names the directory that it is in, whatever its path: what is known of another that
        stood there counts for nothing. Who does not know it says so with "", and unsays nothing.
        """
        self._memory.forget_orphan(path)
        self._add(path, marker, marker.held, place, orphan=False)

    def add_orphan(self, path: str, marker: Marker, place: str = "") -> None:
        """Let an orphaned original wait for a whole further safety period from now on."""
        held = self._memory.orphan_first_seen(path, place)
        if held is None:
            clock, keep_s = self._clock, max(marker.held.keep_s, SHORTEST_HOLD_S)
            held = Held(clock.wall_s(), clock.boot_s(), clock.boot_id(), keep_s)
            self._memory.remember_orphan(path, place, held)
        self._add(path, marker, held, place, orphan=True)

    def discard(self, path: str) -> None:
        """Forget an original: it went, or is back in its place."""
        with self._lock:
            self._waiting.pop(path, None)
        self._memory.forget_orphan(path)
        self._memory.forget_watched(path)

    def moved(self, old_directory: str, new_directory: str) -> None:
        """Take those in a directory that was renamed along, with all that is known of each.

        It is the same directory, so no period begins anew. The evidence is remembered at once: a
        process that dies before its next tick would have lost it.
        """
        now, carried = self._now(), dict[str, Waiting]()
        with self._lock:
            there = [one for one in self._waiting if one.rpartition("/")[0] == old_directory]
            for path in there:
                new = f"{new_directory}{path.removeprefix(old_directory)}"
                carried[path] = self._waiting[new] = replace(self._waiting.pop(path), path=new)
        self._memory.remember_watched({one.path: _watched(one, now) for one in carried.values()})
        for path, one in carried.items():
            if one.orphan:
                self._memory.remember_orphan(one.path, one.before.place, one.held)
            self._memory.forget_orphan(path)
            self._memory.forget_watched(path)

    def postpone(self, path: str, by_s: float = _POSTPONED_S) -> None:
        """Do not give this one again for a while: its copy could not be proven."""
        with self._lock:
            waiting = self._waiting.get(path)
            if waiting is not None:
                later = self._clock.boot_s() + by_s
                self._waiting[path] = replace(waiting, not_before_boot_s=later)

    def due(self) -> list[Waiting]:
        """Give those whose safety period is over, oldest first."""
        return self._those(lambda one, held_s: held_s >= _keep_s(one))

    def releasable(self) -> list[Waiting]:
        """Give those that may go early where the disk needs it, oldest first."""
        return self._those(lambda one, held_s: not one.orphan and held_s >= SHORTEST_HOLD_S)

    def evidence_s(self, path: str) -> float:
        """Say for how long the original of *path* has demonstrably been held, by no wall clock."""
        with self._lock:
            one = self._waiting.get(path)
        return _evidence_s(one, self._now()) if one is not None else 0.0

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

    def _add(self, path: str, marker: Marker, held: Held, place: str, *, orphan: bool) -> None:
        now = self._now()
        with self._lock:
            known = self._waiting.get(path)
        same = known is not None and (known.held, known.orphan) == (held, orphan)
        if known is not None and same and place in {"", known.before.place}:
            return
        trusted = self._clock.synchronised() and _was_right(held, now)
        before = Watched(place, held.wall_s, held.boot_id, trusted=trusted)
        remembered = self._memory.watched(path)
        if remembered is not None and remembered.same_holding(before):
            before = remembered
        else:
            self._memory.remember_watched({path: before})
        waiting = Waiting(path, marker.original.size, held, orphan, now.boot_s, before=before)
        with self._lock:
            self._waiting[path] = waiting

    def _remember_evidence(self, now: Tick) -> None:
        """Let the evidence outlive this boot: nothing else may count then."""
        everything = now.boot_s >= self._evidence_due_s
        if everything:
            self._evidence_due_s = now.boot_s + _EVIDENCE_EVERY_S
        with self._lock:
            everyone = list(self._waiting.values())
        watched = {
            one.path: _watched(one, now)
            for one in everyone
            if everything or _evidence_s(one, now) < SHORTEST_HOLD_S
        }
        if watched:
            self._memory.remember_watched(watched)

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
        """Now, and whether anything may be decided by the wall clock: only if that is set."""
        now = self._judged(self._tick, self._now())
        return replace(now, in_doubt=now.in_doubt or not self._clock.synchronised())

    def _now(self) -> Tick:
        return Tick(self._clock.wall_s(), self._clock.boot_s(), self._boot_id)


def _keep_s(one: Waiting) -> float:
    return max(one.held.keep_s, SHORTEST_HOLD_S)


def _held_s(one: Waiting, now: Tick) -> float:
    """How long it has been held; nothing but evidence ends the hour that nothing shortens."""
    evidence_s = _evidence_s(one, now)
    if evidence_s < SHORTEST_HOLD_S:
        return evidence_s
    return max(evidence_s, _told_by_wall_s(one, now))


def _evidence_s(one: Waiting, now: Tick) -> float:
    """How long it has demonstrably been held: by boot clocks alone."""
    watched_s = one.before.watched_s + now.boot_s - one.noted_boot_s
    if _same_boot(one.held, now):
        return max(watched_s, now.boot_s - one.held.boot_s)
    return watched_s


def _watched(one: Waiting, now: Tick) -> Watched:
    return replace(one.before, watched_s=_evidence_s(one, now))


def _told_by_wall_s(one: Waiting, now: Tick) -> float:
    """How long it has been held as the wall clock has it, where that may be believed."""
    if now.in_doubt or not one.before.trusted or _same_boot(one.held, now):
        return 0.0
    return now.wall_s - one.held.wall_s


def _same_boot(held: Held, now: Tick) -> bool:
    return bool(held.boot_id) and held.boot_id == now.boot_id


def _was_right(held: Held, now: Tick) -> bool:
    """Whether the wall clock, which is right now, was so in this boot when *held* began."""
    passed_s = now.boot_s - held.boot_s
    return _same_boot(held, now) and abs(now.wall_s - held.wall_s - passed_s) <= STEP_TOLERANCE_S


def _remaining_s(one: Waiting, now: Tick) -> float:
    evidence_s = _evidence_s(one, now)
    return max(
        0.0,
        SHORTEST_HOLD_S - evidence_s,
        _keep_s(one) - max(evidence_s, _told_by_wall_s(one, now)),
        one.not_before_boot_s - now.boot_s,
    )


def _oldest_first(those: Iterable[Waiting]) -> list[Waiting]:
    return sorted(those, key=lambda one: (one.held.wall_s, one.path))
