"""Are frames shown in an order that their coding allows? Pure.

A codec holds back a few frames at most, so each is shown near where it stands in the order of
coding. One flipped bit in a frame's own time (a Matroska block's, a composition offset) takes it
away from there: no encoder takes such frames as they are, or a copy shows them out of order.
"""

from __future__ import annotations  # array[int] is a type for the checker alone before 3.12

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise
from operator import le
from typing import Final

from watcher.transcode.findings import Problem

REORDERED: Final = 16  # frames that any codec may hold back

_MANY: Final = 1 << 20  # frames, nine hours: to sort more would hold up the service
_CANDIDATES: Final = 2  # two that have changed places: more are a pattern, of B-frames
_SLACK_TICKS: Final = 2  # clocks are rounded
_SLACK: Final = 32  # and recorders measure: one part in so many of a gap
_AROUND: Final = 64  # gaps between frames that say how far they stand apart
_MOST: Final = 0.75  # of these, that are alike where there is a pace
_BEHIND: Final = 4  # frames behind the end that a header says: fewer is how recorders count
_BITS: Final = 32


def order_problems(track_id: int, times: Sequence[int]) -> Iterator[Problem]:
    """Give what is wrong with *times*, when each frame is shown, in the order of coding."""
    if isinstance(times, range) or len(times) > _MANY or all(map(le, times, times[1:])):
        return
    moved = _moved(times)
    most = max(moved, key=abs)
    if abs(most) > REORDERED:
        detail = f"a frame is shown {abs(most)} frames from where it stands among the others"
        yield Problem("times_disagree", f"track {track_id}: {detail}")
        return
    for at in _outliers(moved, abs(most)):
        if _is_one_bit(times, at):
            detail = f"the time of frame {at} is one bit from where there is room for it"
            yield Problem("times_disagree", f"track {track_id}: {detail}")
            return


def behind_end(track_id: int, times: Sequence[int], until: float) -> Iterator[Problem]:
    """Give what is wrong with the last frame, where a header says that all is over at *until*."""
    if not 1 < len(times) <= _MANY or not until or max(times) <= until:
        return
    *shown, last = sorted(times)
    pace = _pace(shown, len(shown))
    if shown[-1] >= until or last - until < _BEHIND * pace:
        return
    places = (last - (1 << bit) for bit in range(_BITS))
    if any(place < until and _has_room(shown, place) for place in places):
        detail = "the time of its last frame is one bit from where the header says it ends"
        yield Problem("times_disagree", f"track {track_id}: {detail}")


def _moved(times: Sequence[int]) -> list[int]:
    """Give by how many frames each is shown later than it is coded."""
    moved = [0] * len(times)
    for rank, at in enumerate(sorted(range(len(times)), key=times.__getitem__)):
        moved[at] = rank - at
    return moved


def _outliers(moved: Sequence[int], most: int) -> list[int]:
    found = [at for at, by in enumerate(moved) if abs(by) == most]
    return found if len(found) <= _CANDIDATES else []


def _is_one_bit(times: Sequence[int], at: int) -> bool:
    """Say whether frame *at*, and no other, is away from its place, by one bit of its time.

    Its place is where a frame is missing, as far into the order of coding as the others stand.
    """
    others = [*times[:at], *times[at + 1 :]]
    reordered = max(map(abs, _moved(others)), default=0)
    shown = sorted(others)
    if abs(bisect_left(shown, times[at]) - at) <= reordered:
        return False
    if reordered and _is_in_place(shown, times[at]):  # B-frames for once, and all as they should
        return False
    if not reordered and _is_between(shown, times[at]) and _has_room(shown, times[at]):
        return False  # a single one
    return any(
        abs(bisect_left(shown, place) - at) <= reordered and _has_room(shown, place)
        for bit in range(_BITS)
        for place in (times[at] - (1 << bit), times[at] + (1 << bit))
        # There always is room at both ends, for B-frames that a recorder has cut off too.
        if not reordered or _is_between(shown, place)
    )


def _is_between(shown: Sequence[int], place: int) -> bool:
    return shown[0] < place < shown[-1]


def _has_room(shown: Sequence[int], place: int) -> bool:
    """Say whether just one frame is missing from *shown*, at *place*."""
    at = bisect_left(shown, place)
    pace = _pace(shown, at)
    if not pace:
        return False
    slack = _slack(pace)
    before = place - shown[at - 1] if at else pace
    behind = shown[at] - place if at < len(shown) else pace
    return abs(before - pace) <= slack and abs(behind - pace) <= slack


def _is_in_place(shown: Sequence[int], time: int) -> bool:
    """Say whether *time* is as far from the frames *shown* as these are from one another."""
    at = bisect_left(shown, time)
    beside = min(abs(time - other) for other in shown[max(0, at - 1) : at + 1])
    pace = _pace(shown, at)
    return 4 * beside >= 3 * pace and (at < len(shown) or beside <= 2 * pace)


def _pace(shown: Sequence[int], at: int) -> int:
    """Give how far frames around *at* stand apart; 0 where most of them keep no pace.

    One gap is none: a frame that was taken out may be missing there.
    """
    near = shown[max(0, at - _AROUND) : at + _AROUND]
    steps = sorted(after - before for before, after in pairwise(near))
    pace = steps[len(steps) // 2] if len(steps) > 1 else 0
    even = sum(abs(step - pace) <= _slack(pace) for step in steps)
    return pace if even >= _MOST * len(steps) else 0


def _slack(pace: int) -> int:
    return _SLACK_TICKS + pace // _SLACK
