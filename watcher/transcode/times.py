"""By how much the times of a source and its copy are off, each in its own clock. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from operator import sub
from typing import Final

ALWAYS_S: Final = Fraction(1, 1000)  # a container whose clock ticks in milliseconds rounds so much


@dataclass(frozen=True, slots=True)
class TimeError:
    """By how much timestamps are off, and the first one that is off by too much."""

    max_s: float = 0.0
    mean_s: float = 0.0
    worst: int | None = None


def time_error(
    source: Sequence[int], source_base: Fraction, copy: Sequence[int], copy_base: Fraction
) -> TimeError:
    """Compare two lists of timestamps of the same length, each within half a frame interval."""
    if len(source) != len(copy):
        raise ValueError("lists of different length have no errors to compare")
    if not source or (source_base == copy_base and source == copy):
        return TimeError()
    # Everything in ticks of a clock that both divide: integers are exact and quick.
    base = Fraction(1, _common_rate(source_base, copy_base))
    scale_a, scale_b = int(source_base / base), int(copy_base / base)
    ours, theirs = [t * scale_a for t in source], [t * scale_b for t in copy]
    errors = list(map(abs, map(sub, ours, theirs)))
    steps = list(map(sub, ours[1:], ours))
    around = list(map(min, [*steps, *steps[-1:]], [*steps[:1], *steps])) or [0]
    least = math.ceil(2 * ALWAYS_S / base)
    twice = [2 * error > max(step, least) for error, step in zip(errors, around, strict=False)]
    worst = twice.index(True) if True in twice else None
    return TimeError(float(max(errors) * base), float(sum(errors) * base / len(errors)), worst)


def _common_rate(a: Fraction, b: Fraction) -> int:
    """Give a rate of which one tick divides a tick of both clocks."""
    return int(a.denominator * b.denominator)
