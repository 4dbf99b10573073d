"""Fragments of an MP4 file (moof): the samples that they add to the tracks of the index. Pure.

Each fragment's run table says where its samples lie and when they are shown. What is collected
here is judged in `moov` together with the rest: a file cut inside a fragment has runs that end
behind its data.
"""

from __future__ import annotations  # array[int] is a type for the checker alone before 3.12

from array import array
from dataclasses import dataclass
from itertools import chain

from watcher.transcode.findings import (
    Budget,
    Malformed,
    child,
    children,
    is_wide,
    s32,
    u32,
    u64,
)
from watcher.transcode.names import strangers
from watcher.transcode.tracks import Movie, Track

_BASE_OFFSET, _DESCRIPTION, _DURATION, _SIZE = 0x1, 0x2, 0x8, 0x10
_BASE_IS_MOOF = 0x20000
_LATEST = 1 << 61
_MOOF_PARTS, _TRAF_PARTS = 4, 5  # by the time that they take
_RUN_OFFSET, _RUN_FIRST_FLAGS = 0x1, 0x4
_RUN_DURATION, _RUN_SIZE, _RUN_FLAGS, _RUN_SHIFT = 0x100, 0x200, 0x400, 0x800


@dataclass(slots=True)
class _Defaults:
    """What the samples of one track fragment have in common."""

    duration: int
    size: int


class Fragments:
    """Adds each moof's samples to the tracks of *movie*."""

    def __init__(self, movie: Movie, budget: Budget | None = None) -> None:
        self._movie = movie
        self._budget = budget or Budget()
        self._tracks = {track.track_id: track for track in movie.tracks}
        self._times = {track.track_id: array("q") for track in movie.tracks}

    def add(self, moof: memoryview, start: int) -> None:
        """Add the payload of the moof whose box begins at *start*."""
        self._budget.take_parts(_MOOF_PARTS)
        self._movie.found.extend(strangers(b"moof", moof))
        behind = start  # where data of a track fragment without an offset of its own begins
        for kind, traf in children(moof):
            if kind == b"traf":
                behind = self._traf(traf, start, behind)
            elif kind == b"pssh":
                self._movie.encrypted = True

    def close(self) -> None:
        """Give the tracks what was collected: behind the samples of the index, if it has any."""
        for track in self._movie.tracks:
            added = self._times[track.track_id]
            if added:
                track.times = array("q", chain(track.times, added)) if track.times else added

    def _traf(self, traf: memoryview, moof: int, behind: int) -> int:
        self._budget.take_parts(_TRAF_PARTS)
        tfhd = child(traf, b"tfhd")
        if tfhd is None or (track := self._tracks.get(u32(tfhd, 4))) is None:
            raise Malformed(f"the fragment at byte {moof} belongs to no track")
        base, defaults = _header(tfhd, track, moof, behind)
        tfdt = child(traf, b"tfdt")
        if tfdt is not None:
            track.end = u64(tfdt, 4) if is_wide(tfdt) else u32(tfdt, 4)
            if track.end >= _LATEST:
                raise Malformed(f"the fragment at byte {moof} begins at the end of time")
        else:
            track.pieces.timed = False
        position, begin, count, at_one_pace = base, track.end, 0, True
        for kind, payload in children(traf):
            if kind == b"trun":
                position = self._run(payload, track, base, position, defaults)
                count += u32(payload, 4)
                at_one_pace &= not u32(payload, 0) & _RUN_DURATION
            elif kind == b"senc":
                track.problem("encrypted", "its fragments are encrypted (senc)")
        if count:
            pace = defaults.duration if at_one_pace else 0
            track.pieces.add(moof, begin, track.end, count, pace)
        return position

    def _run(
        self, trun: memoryview, track: Track, base: int, position: int, defaults: _Defaults
    ) -> int:
        flags, count = u32(trun, 0) & 0xFFFFFF, u32(trun, 4)
        self._budget.take_samples(count)
        self._budget.take_chunks(1)
        at = 8
        if flags & _RUN_OFFSET:
            position, at = base + s32(u32(trun, at)), at + 4
        at += 4 if flags & _RUN_FIRST_FLAGS else 0
        start, times, pieces = position, self._times[track.track_id], track.pieces
        if count and not flags & _RUN_DURATION:
            pieces.note(defaults.duration, count)
        for _ in range(count):
            duration, size, shift = defaults.duration, defaults.size, 0
            if flags & _RUN_DURATION:
                duration, at = u32(trun, at), at + 4
                pieces.note(duration)
            if flags & _RUN_SIZE:
                size, at = u32(trun, at), at + 4
            at += 4 if flags & _RUN_FLAGS else 0
            if flags & _RUN_SHIFT:
                shift, at = s32(u32(trun, at)), at + 4
            times.append(track.end + shift)
            track.end += duration
            position += size
        track.lies(start, position)
        return position


def _header(tfhd: memoryview, track: Track, moof: int, behind: int) -> tuple[int, _Defaults]:
    """Read where the data of a track fragment begins, and its defaults."""
    flags, at = u32(tfhd, 0) & 0xFFFFFF, 8
    base = moof if flags & _BASE_IS_MOOF else behind
    if flags & _BASE_OFFSET:
        base, at = u64(tfhd, at), at + 8
    entry, duration, size = track.defaults
    if flags & _DESCRIPTION:
        entry, at = u32(tfhd, at), at + 4
    if not 1 <= entry <= track.entries:  # readers skip such samples without a word
        raise Malformed(f"the fragment at byte {moof} is of a description that is not there")
    defaults = _Defaults(duration, size)
    if flags & _DURATION:
        defaults.duration, at = u32(tfhd, at), at + 4
    if flags & _SIZE:
        defaults.size = u32(tfhd, at)
    return base, defaults
