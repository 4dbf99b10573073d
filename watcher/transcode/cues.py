"""What a Matroska file's cues say of when frames are shown: a witness beside the blocks. Pure.

A cue names a cluster, a track, and the time of a frame that is in there. Where all cues of a file
but those of one cluster are true, and that one is off by one bit, its time has been flipped.
"""

from __future__ import annotations  # array[int] is a type for the checker alone before 3.12

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from watcher.transcode.findings import Problem

_NEAR: Final = 8  # ticks: less is how muxers round
_BITS: Final = 64
_FEWEST: Final = 2  # cues that are true beside the one that is not


@dataclass(slots=True)
class Cues:
    """What was read of cues and clusters; places count from the segment's first byte."""

    origin: int = 0
    told: list[tuple[int, int, int]] = field(default_factory=list)  # place, track, time
    clusters: array[int] = field(default_factory=lambda: array("q"))  # where each begins
    frames: array[int] = field(default_factory=lambda: array("q"))  # frames before it

    def cluster(self, offset: int, frames: int) -> None:
        """Note a cluster at *offset* of the file, before which there are so many *frames*."""
        self.clusters.append(offset - self.origin)
        self.frames.append(frames)

    def problems(self, track: int, times: Sequence[int]) -> Iterator[Problem]:
        """Give what cues contradict of the only video, whose frames are coded at *times*."""
        true, off = 0, dict[int, bool]()
        shown: dict[int, list[int]] = {}  # in each cluster: a hostile file names one many times
        for place, named, time in self.told:
            at = bisect_right(self.clusters, place) - 1
            if named != track or at < 0 or self.clusters[at] != place:
                continue
            if at not in shown:
                behind = (*self.frames[at + 1 : at + 2], len(times))[0]
                shown[at] = sorted(times[self.frames[at] : behind])
            if _nearest(shown[at], time) < _NEAR:
                true += 1
            else:
                off[at] = any(_holds(shown[at], time, 1 << bit) for bit in range(_BITS))
                if len(off) > 1:
                    return
        if true >= _FEWEST and [*off.values()] == [True]:
            where = f"in the cluster at byte {self.clusters[next(iter(off))] + self.origin}"
            detail = f"track {track}: {where} a frame is one bit from when a cue says"
            yield Problem("times_disagree", detail)


def _nearest(shown: Sequence[int], time: int) -> int:
    at = bisect_left(shown, time)
    return min((abs(time - other) for other in shown[max(0, at - 1) : at + 1]), default=_NEAR)


def _holds(shown: Sequence[int], time: int, apart: int) -> bool:
    """Say whether a frame is just so far *apart* from *time*."""
    return _nearest(shown, time - apart) == 0 or _nearest(shown, time + apart) == 0
