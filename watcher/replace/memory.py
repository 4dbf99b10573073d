"""What of the safety period outlives the process: the last tick, evidence, orphans first seen.

`originals` decides by it; the ledger keeps it. Lost, everything counts anew: nothing goes early.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from watcher.replace.marker import Held


@dataclass(frozen=True, slots=True)
class Tick:
    """All clocks at one moment, and whether the wall clock is in doubt; kept in the ledger."""

    wall_s: float
    boot_s: float
    boot_id: str
    in_doubt: bool = False
    run_s: float = 0.0
    """How long Watcher has run since the doubt arose."""


@dataclass(frozen=True, slots=True)
class Watched:
    """How long an original has been watched, whatever the boots; kept in the ledger.

    *place*, *wall_s* and *boot_id* say of which holding this is told: in which directory, and since
    when. *trusted*: the wall clock was synchronised when it was noted, in the boot it began in, and
    has not been set since it began.
    """

    place: str
    wall_s: float
    boot_id: str
    watched_s: float = 0.0
    trusted: bool = False

    def same_holding(self, other: "Watched") -> bool:
        """Whether both tell of one holding."""
        return (self.place, self.wall_s, self.boot_id) == (
            other.place,
            other.wall_s,
            other.boot_id,
        )


NEVER_WATCHED = Watched("", 0.0, "")


class Memory(Protocol):
    """What has to outlive the process; the ledger implements it. Lost, everything counts anew."""

    def last_tick(self) -> Tick | None:
        """Give the tick that was remembered last."""

    def remember_tick(self, tick: Tick) -> None:
        """Remember a tick."""

    def orphan_first_seen(self, path: str, place: str) -> Held | None:
        """Say since when the original of *path*, in that directory, has been seen orphaned."""

    def remember_orphan(self, path: str, place: str, held: Held) -> None:
        """Remember since when."""

    def forget_orphan(self, path: str) -> None:
        """Forget it: the recording is back, or the original has gone."""

    def watched(self, path: str) -> Watched | None:
        """Say how long the original of *path* has been watched."""

    def remember_watched(self, watched: Mapping[str, Watched]) -> None:
        """Remember it, by path; less than is known of the same holding is not taken."""

    def forget_watched(self, path: str) -> None:
        """Forget it: the original has gone."""


class VolatileMemory:
    """A memory for a process that has no ledger: nothing outlives it, so nothing goes early."""

    def __init__(self) -> None:
        self._tick: Tick | None = None
        self._orphans: dict[str, tuple[str, Held]] = {}
        self._watched: dict[str, Watched] = {}

    def last_tick(self) -> Tick | None:
        """See `Memory`."""
        return self._tick

    def remember_tick(self, tick: Tick) -> None:
        """See `Memory`."""
        self._tick = tick

    def orphan_first_seen(self, path: str, place: str) -> Held | None:
        """See `Memory`."""
        where, held = self._orphans.get(path, (place, None))
        return held if where == place else None

    def remember_orphan(self, path: str, place: str, held: Held) -> None:
        """See `Memory`."""
        self._orphans[path] = (place, held)

    def forget_orphan(self, path: str) -> None:
        """See `Memory`."""
        self._orphans.pop(path, None)

    def watched(self, path: str) -> Watched | None:
        """See `Memory`."""
        return self._watched.get(path)

    def remember_watched(self, watched: Mapping[str, Watched]) -> None:
        """See `Memory`."""
        for path, new in watched.items():
            known = self._watched.get(path)
            if known and known.same_holding(new) and known.watched_s > new.watched_s:
                continue
            self._watched[path] = new

    def forget_watched(self, path: str) -> None:
        """See `Memory`."""
        self._watched.pop(path, None)
