"""When a sound is over, by the index of an MP4 or MOV file; and saying it again in a copy. Pure.

ffmpeg's demuxer forgets the pause before a sound that begins after the picture when it tells how
long the last packet lasts, and its muxer ends the copy's edit list by what it is told: up to a
packet too soon, or a codec's padding too late. Players that heed edit lists would not play that.
"""

import struct
from bisect import bisect_left
from collections.abc import Sequence
from fractions import Fraction

from watcher.transcode.findings import SoundEnd, child, children, is_wide, u32, u64
from watcher.transcode.moov import parse_moov
from watcher.transcode.tracks import Movie, Track


def sound_ends(movie: Movie) -> tuple[SoundEnd | None, ...]:
    """Say when each sound of *movie* is over, in the order of its tracks; None without a sample."""
    sounds = [track for track in movie.tracks if track.handler == b"soun"]
    return tuple(_end(movie, track) if track.times else None for track in sounds)


def say_ends(moov: bytearray, wanted: Sequence[SoundEnd | None]) -> bool:
    """Put right in the payload *moov* when each sound is over; say whether anything was wrong.

    No sample is hidden by it, and none promised that is not there. Raises `Malformed` as
    `parse_moov` does.
    """
    data = memoryview(moov)
    movie = parse_moov(data)
    traks = [payload for kind, payload in children(data) if kind == b"trak"]
    sounds = [pair for pair in zip(movie.tracks, traks, strict=True) if pair[0].handler == b"soun"]
    kept = [end for end in wanted if end is not None]  # no muxer keeps a track without a sample
    if len(kept) != len(sounds):
        return False
    wrong = [
        (trak, track, last)
        for (track, trak), end in zip(sounds, kept, strict=True)
        if (last := _other_last(movie, track, end)) is not None
    ]
    for trak, track, last in wrong:
        _say_end(trak, track, last)
    if wrong:
        _say_length(data, traks)
    return bool(wrong)


def _end(movie: Movie, track: Track) -> SoundEnd:
    until_s, tick_s = _until_s(movie, track), Fraction(1, movie.timescale)
    return SoundEnd(until_s, tick_s, Fraction(_last_shown(movie, track), track.timescale))


def _last_shown(movie: Movie, track: Track) -> int:
    """Give how long the last sample lasts that the edit list does not hide."""
    plays = [edit for edit in track.edits if edit.media_time >= 0]
    if not plays or not plays[-1].duration:
        return _last(track)
    shown = Fraction(plays[-1].duration * track.timescale, movie.timescale)
    behind = bisect_left(track.times, plays[-1].media_time + shown)
    if not 0 < behind < len(track.times):
        return _last(track)
    return track.times[behind] - track.times[behind - 1]


def _last(track: Track) -> int:
    """Give how long the last sample lasts: as the one before, where that is not said (Android)."""
    said = track.last if track.pieces.last < 0 else track.pieces.last
    if said or track.pieces.last < 0:
        return said or track.pace
    return next((lasts for lasts, _ in track.pieces.lasting.most_common(2) if lasts), 0)


def _begins_last(track: Track) -> int:
    """Give when the last sample begins, in ticks of its own clock."""
    return track.end - (track.last if track.pieces.last < 0 else track.pieces.last)


def _until_s(movie: Movie, track: Track) -> Fraction:
    plays = [edit for edit in track.edits if edit.media_time >= 0]
    end = _begins_last(track) + _last(track)
    if not plays:
        return _before_s(movie, track) + Fraction(end, track.timescale)
    has_s = Fraction(end - plays[-1].media_time, track.timescale)
    shown_s = Fraction(plays[-1].duration, movie.timescale) if plays[-1].duration else has_s
    return _before_s(movie, track) + min(shown_s, has_s)


def _before_s(movie: Movie, track: Track) -> Fraction:
    """Give how long after the movie's begin the last part of *track* begins."""
    plays = [edit.duration for edit in track.edits if edit.media_time >= 0]
    pauses = [edit.duration for edit in track.edits if edit.media_time < 0]
    return Fraction(sum(pauses) + sum(plays[:-1]), movie.timescale)


def _other_last(movie: Movie, track: Track, end: SoundEnd) -> int | None:
    """Give how many ticks the last part of *track* should be shown; None where nothing is wrong."""
    ours = _end(movie, track)
    slack_s = end.tick_s + ours.tick_s
    if abs(ours.until_s - end.until_s) <= slack_s:
        return None
    if not track.edits or track.edits[-1].media_time < 0:
        return None
    begins, since = _begins_last(track), track.edits[-1].media_time
    begins_s, has_s = (
        Fraction(ticks - since, track.timescale) for ticks in (begins, begins + _last(track))
    )
    shown_s = end.until_s - _before_s(movie, track)
    if not begins_s < shown_s <= has_s + slack_s:
        return None  # not said: no packet is hidden, and none promised that is not there
    return round(shown_s * movie.timescale)


def _say_end(trak: memoryview, track: Track, last: int) -> None:
    elst, tkhd = child(trak, b"edts", b"elst"), child(trak, b"tkhd")
    if elst is None or tkhd is None:  # pragma: no cover - both were read a moment ago
        return
    at = len(track.edits) - 1
    _put(elst, 8 + 20 * at, 8 + 12 * at, last)
    _put(tkhd, *_TKHD, sum(edit.duration for edit in track.edits[:-1]) + last)


def _say_length(moov: memoryview, traks: Sequence[memoryview]) -> None:
    """A movie lasts as long as its longest track."""
    mvhd = child(moov, b"mvhd")
    headers = [child(trak, b"tkhd") for trak in traks]
    lengths = [_get(header, *_TKHD) for header in headers if header is not None]
    if mvhd is not None:
        _put(mvhd, *_MVHD, max(lengths))


_TKHD, _MVHD = (28, 20), (24, 16)  # where a duration stands, in boxes of version 1 and 0


def _get(box: memoryview, wide_at: int, at: int) -> int:
    return u64(box, wide_at) if is_wide(box) else u32(box, at)


def _put(box: memoryview, wide_at: int, at: int, value: int) -> None:
    if is_wide(box):
        struct.pack_into(">Q", box, wide_at, value)
    elif value < 1 << 32:
        struct.pack_into(">I", box, at, value)
