"""Has one bit of a track's clock flipped? Pure.

Recorders count in few clocks: a sound's own rate, a frame rate times a round number, 90 kHz. One
bit away from such a clock stands a number that nobody chooses. Where a file says a second time how
long it lasts, that is the better witness (`tables`).
"""

from typing import Final

_ROUND_PRIME: Final = 13
_ROUND_FACTOR: Final = 31  # ffmpeg doubles the frame rate until it is large: 17, 29 or 31 fps too
_NARROW: Final = 1 << 16  # what a sound's entry has room for

USUAL: Final = frozenset(
    {600, 1_000, 8_000, 10_240, 11_025, 12_000, 12_288, 12_800, 15_360, 16_000, 16_384, 19_200}
    | {22_050, 24_000, 25_000, 30_000, 32_000, 44_100, 48_000, 50_000, 60_000, 64_000, 88_200}
    | {90_000, 96_000, 120_000, 1_000_000, 10_000_000, 27_000_000}
)
"""Clocks that recorders use; those below 8 kHz that stand for an odd frame rate are left out."""


def unbent(clock: int, rate: int = 0) -> frozenset[int]:
    """Give the usual clocks that are one bit from *clock*; a sound's usual one is its *rate*."""
    near = {one for one in USUAL if (clock ^ one).bit_count() == 1}
    if rate and clock < _NARROW and (clock ^ rate).bit_count() == 1:
        near.add(rate)
    return frozenset(near)


def is_strange(clock: int, rate: int = 0) -> bool:
    """Say whether nobody would choose *clock*, beside a sound's *rate* if there is one."""
    return not _is_round(clock) or (clock < _NARROW and rate in unbent(clock, rate))


def _is_round(clock: int) -> bool:
    while clock % 2 == 0:
        clock //= 2
    if clock <= _ROUND_FACTOR:
        return True
    for prime in range(3, _ROUND_PRIME + 1, 2):
        while clock % prime == 0:
            clock //= prime
    return clock == 1
