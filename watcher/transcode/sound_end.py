"""When a sound is over, by the index of an MP4 or MOV file; and saying it again in a copy. Pure.

ffmpeg's demuxer forgets the pause before a sound that begins after the picture when it tells how
long the last packet lasts, and its muxer ends the copy's edit list by what it is told: up to a
packet too soon, or a codec's padding too late. Players that heed edit lists would not play that.
"""

import struct
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

    Nothing is promised that the samples do not bear out. Raises `Malformed` as `parse_moov` does.
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
    tick_s = Fraction(1, movie.timescale)
    last = track.pieces.last if track.pieces.last >= 0 else track.last
    return SoundEnd(_until_s(movie, track), tick_s, Fraction(last, track.timescale))


def _until_s(movie: Movie, track: Track) -> Fraction:
    plays = [edit for edit in track.edits if edit.media_time >= 0]
    if not plays:
        return _before_s(movie, track) + Fraction(track.end, track.timescale)
    has_s = Fraction(track.end - plays[-1].media_time, track.timescale)
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
    has_s = Fraction(track.end - track.edits[-1].media_time, track.timescale)
    shown_s = end.until_s - _before_s(movie, track)
    return round(shown_s * movie.timescale) if 0 < shown_s <= has_s + slack_s else None


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
