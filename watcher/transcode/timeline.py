"""Do the fragments of a file stand where their times say? Pure.

A fragment says its time once, so one flipped bit moves it, and a recorder that lost its camera
leaves gaps that look alike. What tells them apart is a witness: the sound of the same fragment, the
fragments around it, an index. Without one a fragment is believed. Ordinary recordings drift, begin
their sound late, lose it and find it again; no check here may take that for damage.
"""

from __future__ import annotations  # array[int] is a type for the checker alone before 3.12

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

from watcher.transcode.findings import Problem
from watcher.transcode.indexes import Told
from watcher.transcode.tracks import Movie, Pieces, Track

APART_S: Final = 0.25  # by which the sound of a fragment moves against its picture
TOLD_S: Final = 1.0  # by which an index may be wrong: it names times of display, or rounds
DRIFT_S: Final = 2.0  # by which sound and picture may part: packets get lost, clocks are bad
DRIFT: Final = 0.2  # and this share of the time

_OTHER_PACE: Final = 8  # one eighth: less is a recorder that measures
_CONSTANT: Final = 10  # samples at one pace that make a constant frame rate

Pair = tuple[int, int]


def timeline_problems(movie: Movie, told: Iterable[Told]) -> Iterator[Problem]:
    """Give what contradicts the fragments' times; *told* is what indexes say of them."""
    tracks = [track for track in movie.tracks if track.handler in {b"vide", b"soun"}]
    for track in tracks:
        yield from _paces(track)
    yield from _against_indexes({track.track_id: track for track in tracks}, told)
    videos = [track for track in tracks if track.handler == b"vide"]
    for sound in tracks:
        if sound.handler == b"soun" and len(videos) == 1:
            yield from _against_sound(videos[0], sound)


def _problem(track: Track, detail: str) -> Problem:
    return Problem("times_disagree", f"track {track.track_id}: {detail}")


# ---- the fragments around it -------------------------------------------------------------------


def _paces(track: Track) -> Iterator[Problem]:
    """One bit in what all samples of a fragment last: its neighbours have the other pace."""
    odd = _odd_pace(track.pieces)
    if odd is not None:
        detail = f"the samples of one fragment last {track.pieces.paces[odd]} ticks each"
        yield _problem(track, f"{detail}, those around it one bit more or less")
    lasts = _odd_sample(track.pieces)
    if lasts is not None:
        yield _problem(track, f"one sample lasts {lasts} ticks, all others one bit more or less")


def _odd_pace(pieces: Pieces) -> int | None:
    """Give the number of the piece whose pace has one bit flipped; None where there is none."""
    known = (at for at, pace in enumerate(pieces.paces) if pace and pieces.counts[at] > 1)
    before: list[int] = []  # each pace once, but the first twice, if it was met twice
    for at, following in pairwise(known):
        one, other = pieces.paces[at], pieces.paces[following]
        if one not in before or before == [one]:
            before.append(one)
        if not _is_flipped(one, other):
            continue
        # Whoever of the two is wrong misses its follower by just what the bit makes of it.
        if _would_fit(pieces, at, other):
            return at
        is_last = following == len(pieces.paces) - 1
        if _would_fit(pieces, following, one) or (is_last and before == [one, one]):
            return following
    return None


def _odd_sample(pieces: Pieces) -> int | None:
    """Give how long the one sample lasts that is a bit off; the last of all may last as it will.

    So may the first, where ffmpeg keeps how late a track begins. Where frames were dropped before
    the next, a sample lasts a multiple of what the others do.
    """
    inner = pieces.lasting - Counter((pieces.first, pieces.last))
    if len(inner) != 2:  # noqa: PLR2004 - a usual one, and an odd one
        return None
    (usual, many), (odd, once) = inner.most_common()
    bent = usual and odd % usual and _is_flipped(usual, odd)
    is_odd = bent and once == 1 and many >= _CONSTANT
    return odd if is_odd and not _is_confirmed(pieces, usual, odd) else None


def _is_confirmed(pieces: Pieces, usual: int, odd: int) -> bool:
    """Say whether the next fragment begins where that sample has its own end, as it says."""
    if not pieces.timed or len(pieces.begins) == 1:
        return False
    off = odd - usual
    rest = pieces.ends[-1] - pieces.begins[-1] - pieces.last  # of the last fragment: none follows
    stands_last = rest - (pieces.counts[-1] - 1) * usual == off
    gaps = [end - begin for end, begin in zip(pieces.ends, pieces.begins[1:], strict=False)]
    usual_gap = sorted(gaps)[len(gaps) // 2]  # muxers round, and some count by another clock
    return not stands_last and not any(
        2 * abs(gap - other - off) < abs(off) for gap in gaps for other in (0, usual_gap)
    )


def _is_flipped(one: int, other: int) -> bool:
    return (one ^ other).bit_count() == 1 and abs(one - other) * _OTHER_PACE >= max(one, other)


def _would_fit(pieces: Pieces, at: int, pace: int) -> bool:
    """Say whether piece *at* would end where its follower begins if its samples had *pace*."""
    if at + 1 >= len(pieces.begins):
        return False
    end = pieces.begins[at] + pieces.counts[at] * pace
    return end == pieces.begins[at + 1] != pieces.ends[at]


# ---- the sound of the same fragment ------------------------------------------------------------


def _against_sound(video: Track, sound: Track) -> Iterator[Problem]:
    second: Pair | None = None  # the first may be off: see `_is_one_bit`
    before: Pair | None = None
    for now in _shared(video.pieces.moofs, sound.pieces.moofs):
        moved = _moved(video, sound, before, now) if before else None
        if moved is not None:
            where = f"at byte {video.pieces.moofs[now[0]]}"
            yield _problem(moved, f"in the fragment {where} it lies apart from the other track")
            return
        second, before = second or (now if before else None), now
    if second and before:
        yield from _drift(video, sound, second, before)


def _shared(ours: Sequence[int], theirs: Sequence[int]) -> Iterator[Pair]:
    """Give which pieces of two tracks stand first in one fragment; both in the file's order."""
    other = 0
    for at, moof in enumerate(ours):
        while other < len(theirs) and theirs[other] < moof:
            other += 1
        if other == len(theirs):
            return
        if theirs[other] == moof and (at == 0 or ours[at - 1] != moof):
            yield at, other


def _moved(video: Track, sound: Track, before: Pair, now: Pair) -> Track | None:
    """Give the track that has jumped away from the other by one bit of its time."""
    if abs(_parted(video, sound, before, now)) <= APART_S:
        return None
    for track, at in ((video, now[0]), (sound, now[1])):
        if at and _is_one_bit(track.pieces, at, least=int(APART_S * track.timescale)):
            return track
    return None


def _parted(video: Track, sound: Track, since: Pair, now: Pair) -> float:
    """Give by how many seconds two tracks have moved apart between two fragments that they share.

    By their begins or their ends, whichever is less: sound that is lost and found again begins
    late in its fragment, and ends in step.
    """
    begins, ends = (
        _skew(video, sound, now, ends=ends) - _skew(video, sound, since, ends=ends)
        for ends in (False, True)
    )
    return min(begins, ends, key=abs) if (begins < 0) == (ends < 0) else 0.0


def _skew(video: Track, sound: Track, pair: Pair, *, ends: bool) -> float:
    ours, theirs = video.pieces, sound.pieces
    seen = (ours.ends if ends else ours.begins)[pair[0]] / video.timescale
    heard = (theirs.ends if ends else theirs.begins)[pair[1]] / sound.timescale
    return seen - heard


def _is_one_bit(pieces: Pieces, at: int, *, least: int) -> bool:
    """Say whether piece *at* misses the end of the one before by a power of two, *least* or more.

    To the tick: muxers that count what they write leave no other gap, and ffmpeg begins late sound
    at 0 and puts it right a fragment later.
    """
    gap = abs(pieces.begins[at] - pieces.ends[at - 1])
    return gap >= least and any(
        abs(gap - (1 << gap.bit_length() >> shift)) <= 1 for shift in (0, 1)
    )


def _drift(video: Track, sound: Track, second: Pair, last: Pair) -> Iterator[Problem]:
    """One bit in a clock: sound and picture part, the further the longer."""
    ours, theirs = (
        (track.pieces.begins[to] - track.pieces.begins[since]) / track.timescale
        for track, since, to in zip((video, sound), second, last, strict=True)
    )
    if abs(_parted(video, sound, second, last)) > DRIFT_S + DRIFT * max(ours, theirs):
        yield _problem(video, f"its fragments span {ours:.1f} s, those of its sound {theirs:.1f} s")


# ---- an index ----------------------------------------------------------------------------------


def _against_indexes(tracks: Mapping[int, Track], told: Iterable[Told]) -> Iterator[Problem]:
    """Hold when fragments begin and end against what an index says, wherever that begins.

    One bit moves one fragment: an index that is wrong in several places is no witness.
    """
    offsets: dict[Pair, tuple[array[float], array[int]]] = {}
    for one in told:
        track = tracks.get(one.track_id)
        if track is None or (one.until is not None and track.handler != b"vide"):
            continue  # ffmpeg's segment index of sound that begins late is wrong
        for piece, offset in _offsets(track, one):
            key = (one.track_id, one.clock)
            values, pieces = offsets.setdefault(key, (array("d"), array("q")))
            values.append(offset)
            pieces.append(piece)
    for (track_id, _), (values, pieces) in offsets.items():
        usual = sorted(values)[len(values) // 2]
        off = {piece for value, piece in zip(values, pieces, strict=True) if _is_off(value, usual)}
        if len(off) == 1:
            where = f"at byte {tracks[track_id].pieces.moofs[off.pop()]}"
            yield _problem(tracks[track_id], f"the fragment {where} is not when an index says")


def _is_off(value: float, usual: float) -> bool:
    return abs(value - usual) > TOLD_S


def _offsets(track: Track, told: Told) -> Iterator[tuple[int, float]]:
    """Give which piece is told of, and by how much the index is ahead of it."""
    pieces, clock = track.pieces, told.clock or track.timescale
    first = bisect_left(pieces.moofs, told.start)
    behind = bisect_left(pieces.moofs, told.stop)
    if first < behind:
        yield first, told.since / clock - pieces.begins[first] / track.timescale
        if told.until is not None:
            yield behind - 1, told.until / clock - pieces.ends[behind - 1] / track.timescale
