"""How much may we hold on the recorder's disk? One rule, pure but for one statvfs.

At or above the floor a job starts if its output fits above it. Below it, proven originals go first,
oldest first, until it is reached again; with none left to release, jobs run one by one as long as
the output stays above what is critical, and each original goes as soon as its hour is over. At or
under critical nothing runs. What we hold altogether (originals and output) is bounded: a recorder
at its own floor deletes a real recording for every gigabyte that we keep.

This module says how many bytes should be released; which originals those are, and whether one may
go at all, is `replace.originals`' to say.
"""

import os
from dataclasses import dataclass

from watcher.gate.readings import GB, Space

_USUAL_FLOOR = 100 * GB
_USUAL_SHARE = 10  # percent of the disk, where that is less


@dataclass(frozen=True, slots=True)
class DiskRules:
    """The configuration's figures, in bytes; None: the default that depends on the disk."""

    floor_bytes: int | None = None
    critical_bytes: int = 5 * GB
    max_held_bytes: int | None = None

    @classmethod
    def of_gb(cls, min_free: float | None, critical: float, max_held: float | None) -> "DiskRules":
        """Take min_free_space_gb, critical_free_space_gb and max_held_gb as configured."""
        floor = None if min_free is None else round(min_free * GB)
        held = None if max_held is None else round(max_held * GB)
        return cls(floor, round(critical * GB), held)

    def floor(self, total_bytes: int) -> int:
        """The free space below which originals are released; never below critical."""
        usual = min(_USUAL_FLOOR, total_bytes * _USUAL_SHARE // 100)
        floor = usual if self.floor_bytes is None else self.floor_bytes
        return max(floor, self.critical_bytes)

    def max_held(self, space: Space) -> int:
        """What we may hold: by default half of what is free above the floor.

        Not of what would be free without us: a recorder with a floor of its own deletes until that
        is reached again, and what we hold would count twice.
        """
        if self.max_held_bytes is not None:
            return self.max_held_bytes
        return max(0, space.free_bytes - self.floor(space.total_bytes)) // 2

    def too_much(self, space: Space, held_bytes: int, output_bytes: int = 0) -> int:
        """So many bytes of what we hold (and are going to) have to go for that to be right."""
        whole = held_bytes + output_bytes
        if self.max_held_bytes is not None:
            return whole - self.max_held_bytes
        # Each byte that goes is a byte free, and half a byte more that may be held.
        above = space.free_bytes - self.floor(space.total_bytes)
        return -((above - 2 * whole) // 3)


@dataclass(frozen=True, slots=True)
class Room:
    """The verdict on one job: may it start, and what has to go.

    *release_bytes*: proven originals of so many bytes should go now, oldest first, and then the
    question be asked again. *one_by_one*: the job runs below the floor, so its original goes as
    soon as its hour is over. *reason* is None where the job may start: `critical`, `releasing`,
    `held` (wait until the oldest original's hour is over) or `output_too_large`.
    """

    may_start: bool
    release_bytes: int = 0
    one_by_one: bool = False
    reason: str | None = None
    detail: str = ""


def room_for(
    output_bytes: int,
    space: Space,
    rules: DiskRules,
    *,
    held_bytes: int = 0,
    releasable_bytes: int = 0,
) -> Room:
    """Judge a job whose output may become *output_bytes* (its source's size, to be safe).

    *held_bytes*: originals that we keep now. *releasable_bytes*: those of them that are proven and
    older than an hour; 0 where release_originals_early is off.
    """
    floor = rules.floor(space.total_bytes)
    limit = rules.max_held(space)
    too_little = floor + output_bytes - space.free_bytes
    too_much = rules.too_much(space, held_bytes, output_bytes)
    release = min(max(0, too_little, too_much), releasable_bytes)
    if space.free_bytes < rules.critical_bytes:
        detail = f"{_gb(space.free_bytes)} free, critical is {_gb(rules.critical_bytes)}"
        return Room(False, release, reason="critical", detail=detail)
    if release > 0:
        return Room(False, release, reason="releasing", detail=f"{_gb(release)} of originals")
    if too_much > 0 and held_bytes > 0:
        detail = f"{_gb(held_bytes)} of originals are held, max_held_gb allows {_gb(limit)}"
        return Room(False, reason="held", detail=detail)
    left = space.free_bytes - output_bytes
    if left < rules.critical_bytes:
        detail = f"{_gb(output_bytes)} of output would leave {_gb(max(0, left))} free"
        return Room(False, reason="output_too_large", detail=detail)
    return Room(True, one_by_one=left < floor)


def pressure(
    space: Space, rules: DiskRules, *, held_bytes: int = 0, releasable_bytes: int = 0
) -> int:
    """How many bytes of proven originals should go now, with no job in sight."""
    too_little = rules.floor(space.total_bytes) - space.free_bytes
    too_much = rules.too_much(space, held_bytes)
    return min(max(0, too_little, too_much), releasable_bytes)


def read_space(path: str) -> Space:
    """Ask the file system that holds *path*; OSError where there is none."""
    answer = os.statvfs(os.fsencode(path))
    return Space(answer.f_bavail * answer.f_frsize, answer.f_blocks * answer.f_frsize)


def _gb(count: int) -> str:
    return f"{count / GB:.1f} GB"
