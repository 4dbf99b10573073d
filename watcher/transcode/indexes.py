"""What a fragmented file says of its fragments in places of their own: `sidx` and `mfra`. Pure.

A segment index names how many bytes follow and how long each subsegment lasts, a random access
table where each fragment begins and at what time. Neither is needed to play the file, so both are
witnesses: what a fragment says of itself is held against them (`timeline`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from watcher.transcode.findings import (
    Budget,
    Malformed,
    children,
    is_wide,
    u32,
    u64,
)

_SIZE: Final = 0x7FFFFFFF
_OF_MEDIA: Final = 0x80000000  # not set: a reference to media, not to another index


@dataclass(frozen=True, slots=True)
class Told:
    """When the first fragment of a track begins that stands between two bytes, and its end.

    In ticks of *clock*, or of the track where that is 0; *until* None: not said.
    """

    track_id: int
    start: int
    stop: int
    clock: int
    since: int
    until: int | None = None


def indexed_end(sidx: memoryview, end: int) -> int:
    """Give where the data ends that a segment index names whose box ends at *end*."""
    return end + _first_offset(sidx) + sum(size & _SIZE for size, _ in _references(sidx))


def told_by_index(sidx: memoryview, end: int, budget: Budget) -> Iterator[Told]:
    """Give what a segment index says of times; its box ends at *end*."""
    track_id, clock = u32(sidx, 4), u32(sidx, 8)
    since = u64(sidx, 12) if is_wide(sidx) else u32(sidx, 12)
    start = end + _first_offset(sidx)
    for size, lasts in _references(sidx):
        budget.take_parts(1)
        stop, until = start + (size & _SIZE), since + lasts
        if not size & _OF_MEDIA and clock:
            yield Told(track_id, start, stop, clock, since, until)
        start, since = stop, until


def told_by_table(mfra: memoryview, budget: Budget) -> list[Told]:
    """Give what the random access tables say of times; nothing where they can't be read."""
    told: list[Told] = []
    try:
        for kind, payload in children(mfra):
            if kind == b"tfra":
                told.extend(_entries(payload, budget))
    except Malformed:
        return []  # it is no part of the recording: a copy has one of its own, or none
    return told


def _first_offset(sidx: memoryview) -> int:
    return u64(sidx, 20) if is_wide(sidx) else u32(sidx, 16)


def _references(sidx: memoryview) -> Iterator[tuple[int, int]]:
    at = 28 if is_wide(sidx) else 20
    for number in range(u32(sidx, at) & 0xFFFF):
        entry = at + 4 + 12 * number
        yield u32(sidx, entry), u32(sidx, entry + 4)


def _entries(tfra: memoryview, budget: Budget) -> Iterator[Told]:
    track_id, lengths, wide = u32(tfra, 4), u32(tfra, 8), is_wide(tfra)
    numbers = [(lengths >> shift & 3) + 1 for shift in (4, 2, 0)]  # of traf, trun and sample
    at, times = 16, 16 if wide else 8
    for _ in range(u32(tfra, 12)):
        budget.take_parts(1)
        time, moof = (
            (u64(tfra, at), u64(tfra, at + 8)) if wide else (u32(tfra, at), u32(tfra, at + 4))
        )
        place = bytes(tfra[at + times : at + times + sum(numbers)])
        at += times + sum(numbers)
        run, sample = place[numbers[0] : -numbers[2]], place[-numbers[2] :]
        if int.from_bytes(run, "big") == int.from_bytes(sample, "big") == 1:
            yield Told(track_id, moof, moof + 1, 0, time)
