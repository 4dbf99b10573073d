"""The index of an MP4 or MOV file (moov): its tracks, their sample tables and edit lists. Pure.

Promises to take no table's word for another's: sample counts must agree between the tables, every
chunk must lie inside the media data, the header must not claim more time than the samples have,
and no video frame may be hidden by an edit list. An empty edit at the start, a media time within
B-frame delay, and audio priming are ordinary: every segment has them.
"""

from __future__ import annotations  # array[int] is a type for the checker alone before 3.12

import operator
import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate, chain, repeat

from watcher.transcode.findings import (
    Malformed,
    Problem,
    child,
    children,
    is_wide,
    s32,
    s64,
    u32,
    u64,
)

MAX_SAMPLES = 8_000_000  # a day of 60 fps has 5.2 million
MAX_TRACKS = 64
PRIMING_S = 0.2  # what an audio codec may put before the first sound (AAC 0.05, Opus 0.08)
CLAIM_SLACK_S = 2.0  # a header may claim so much more than the samples have, and 5 %
UNREFERENCED_BYTES = 1 << 20  # so much media that no table names is no padding, if also 10 %

_ENCRYPTED = frozenset({b"encv", b"enca", b"enct", b"encs", b"encm", b"drmi", b"drms"})
_VIDEO_ENTRY_BYTES = 78  # of a visual sample entry, before its child boxes

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Edit:
    """One entry of an edit list: *media_time* -1 is a pause; *duration* in movie ticks."""

    duration: int
    media_time: int
    rate: int  # 16.16 fixed point; 0x10000 is as recorded


@dataclass(slots=True)
class Track:
    """One track, as far as its tables tell."""

    track_id: int
    handler: bytes
    timescale: int
    claimed: int  # the header's duration, in ticks
    edits: tuple[Edit, ...]
    problems: list[Problem] = field(default_factory=list)
    times: array[int] = field(default_factory=lambda: array("q"))  # when each sample is shown
    end: int = 0  # decode time behind the last sample
    extents: list[Span] = field(default_factory=list)  # where in the file samples lie
    default_duration: int = 0
    default_size: int = 0

    def problem(self, name: str, detail: str) -> None:
        """Note what is wrong with this track."""
        self.problems.append(Problem(name, f"track {self.track_id}: {detail}"))


@dataclass(slots=True)
class Movie:
    """The index of a file."""

    timescale: int
    tracks: list[Track]
    claimed_fragments: int = 0  # mehd, in movie ticks; 0: not said
    encrypted: bool = False
    video_frames: int | None = None  # presented ones of the only video track


def parse_moov(data: memoryview) -> Movie:
    """Read the payload of moov; `Malformed` where it contradicts itself."""
    header = child(data, b"mvhd")
    if header is None:
        raise Malformed("the index has no header (mvhd)")
    timescale, _ = _timescale_duration(header)
    tracks = [_track(payload) for kind, payload in children(data) if kind == b"trak"]
    if not tracks or len(tracks) > MAX_TRACKS:
        raise Malformed(f"the index has {len(tracks)} tracks")
    movie = Movie(timescale, tracks, encrypted=child(data, b"pssh") is not None)
    extends = child(data, b"mvex")
    if extends is not None:
        _defaults(movie, extends)
    return movie


def tables_problems(movie: Movie, mdats: list[Span]) -> Iterator[Problem]:
    """Give what is wrong, once fragments have been added; *mdats* sorted. Fills video_frames."""
    if movie.encrypted:
        yield Problem("encrypted", "the index carries a key system's header (pssh)")
    for track in movie.tracks:
        yield from track.problems
        yield from _outside(track, mdats)
        yield from _claims(movie, track)
        yield from _edits(movie, track)
    yield from _unreferenced(movie, mdats)
    videos = [track for track in movie.tracks if track.handler == b"vide"]
    if len(videos) == 1:
        movie.video_frames = len(videos[0].times) - _hidden(movie, videos[0])


# ---- reading -----------------------------------------------------------------------------------


def _timescale_duration(header: memoryview) -> tuple[int, int]:
    """Read the timescale and duration of mvhd or mdhd; a duration of all ones is unknown: 0."""
    if is_wide(header):
        timescale, duration, unknown = u32(header, 20), u64(header, 24), (1 << 64) - 1
    else:
        timescale, duration, unknown = u32(header, 12), u32(header, 16), (1 << 32) - 1
    if timescale == 0:
        raise Malformed("a timescale is zero")
    return timescale, 0 if duration == unknown else duration


def _track(trak: memoryview) -> Track:
    tkhd, mdhd = child(trak, b"tkhd"), child(trak, b"mdia", b"mdhd")
    hdlr, stbl = child(trak, b"mdia", b"hdlr"), child(trak, b"mdia", b"minf", b"stbl")
    if tkhd is None or mdhd is None or hdlr is None or stbl is None:
        raise Malformed("a track lacks its header, its handler or its tables")
    timescale, duration = _timescale_duration(mdhd)
    track = Track(
        track_id=u32(tkhd, 20 if is_wide(tkhd) else 12),
        handler=bytes(hdlr[8:12]),
        timescale=timescale,
        claimed=duration,
        edits=tuple(_edit_list(child(trak, b"edts", b"elst"))),
    )
    _references(track, child(trak, b"mdia", b"minf", b"dinf", b"dref"))
    _descriptions(track, stbl)
    _samples(track, stbl)
    return track


def _edit_list(elst: memoryview | None) -> Iterator[Edit]:
    if elst is None:
        return
    wide = is_wide(elst)
    count, entry = u32(elst, 4), 20 if wide else 12
    if 8 + count * entry > len(elst):
        raise Malformed("an edit list claims more entries than it has")
    for at in range(8, 8 + count * entry, entry):
        if wide:
            yield Edit(u64(elst, at), s64(u64(elst, at + 8)), u32(elst, at + 16))
        else:
            yield Edit(u32(elst, at), s32(u32(elst, at + 4)), u32(elst, at + 8))


def _references(track: Track, dref: memoryview | None) -> None:
    if dref is None:
        return
    for kind, payload in children(dref[8:]):
        if not u32(payload, 0) & 1:
            track.problem("external_data", f"its media is in another file ({kind!r})")


def _descriptions(track: Track, stbl: memoryview) -> None:
    stsd = child(stbl, b"stsd")
    if stsd is None or u32(stsd, 4) == 0:
        raise Malformed("a track does not say what it holds (stsd)")
    kinds = []
    for kind, payload in children(stsd[8:]):
        kinds.append(kind)
        visual = track.handler == b"vide" and len(payload) >= _VIDEO_ENTRY_BYTES
        if kind in _ENCRYPTED or (visual and _has_sinf(payload[_VIDEO_ENTRY_BYTES:])):
            track.problem("encrypted", f"its samples are encrypted ({kind!r})")
    if len(kinds) > 1 and track.handler in {b"vide", b"soun"}:
        track.problem("format_changes", f"it has {len(kinds)} sample descriptions")


def _has_sinf(entry: memoryview) -> bool:
    try:
        return child(entry, b"sinf") is not None
    except Malformed:
        return False  # QuickTime puts other things behind the entry; the kind has been looked at


def _defaults(movie: Movie, mvex: memoryview) -> None:
    by_id = {track.track_id: track for track in movie.tracks}
    for kind, payload in children(mvex):
        if kind == b"mehd":
            wide = is_wide(payload)
            movie.claimed_fragments = u64(payload, 4) if wide else u32(payload, 4)
        elif kind == b"trex" and (track := by_id.get(u32(payload, 4))):
            track.default_duration, track.default_size = u32(payload, 12), u32(payload, 16)


# ---- sample tables -----------------------------------------------------------------------------


def _samples(track: Track, stbl: memoryview) -> None:
    sizes = _sizes(stbl)
    if track.handler == b"vide" and 0 in sizes:
        track.problem("empty_samples", "the header names frames that have no data")
    deltas = _pairs(child(stbl, b"stts"), "stts")
    if sum(count for count, _ in deltas) != len(sizes):
        track.problem("tables_disagree", "the tables name different numbers of samples")
        return
    decode = list(accumulate(_expanded(deltas), initial=0))
    track.end = decode.pop()
    offsets = _pairs(child(stbl, b"ctts"), "ctts")
    if offsets and sum(count for count, _ in offsets) != len(sizes):
        track.problem("tables_disagree", "not every frame has its time (ctts)")
        return
    shifts: Iterable[int] = repeat(0)
    if offsets:
        shifts = _expanded([(count, s32(shift)) for count, shift in offsets])
    track.times = array("q", map(operator.add, decode, shifts))
    _chunks(track, stbl, sizes)


def _sizes(stbl: memoryview) -> array[int]:
    stsz = child(stbl, b"stsz")
    if stsz is None:
        raise Malformed("a track has no table of sample sizes that can be judged (stsz)")
    size, count = u32(stsz, 4), u32(stsz, 8)
    if count > MAX_SAMPLES:
        raise Malformed(f"a track claims {count} samples")
    if size:
        return array("I", [size]) * count
    return _numbers(stsz, 12, count)


def _numbers(data: memoryview, offset: int, count: int) -> array[int]:
    """Read *count* 32-bit numbers, quickly: tables have hundreds of thousands."""
    raw = data[offset : offset + 4 * count]
    if len(raw) != 4 * count:
        raise Malformed(f"a table claims {count} entries and has {len(raw) // 4}")
    numbers = array("I")
    numbers.frombytes(raw)
    if struct.pack("=I", 1) != struct.pack(">I", 1):
        numbers.byteswap()
    return numbers


def _pairs(table: memoryview | None, name: str) -> list[tuple[int, int]]:
    if table is None:
        return []
    count = u32(table, 4)
    if count > MAX_SAMPLES:
        raise Malformed(f"{name} claims {count} entries")
    flat = _numbers(table, 8, 2 * count)
    if sum(flat[::2]) > MAX_SAMPLES:
        raise Malformed(f"{name} claims {sum(flat[::2])} samples")
    return list(zip(flat[::2], flat[1::2], strict=True))


def _expanded(pairs: Iterable[tuple[int, int]]) -> Iterator[int]:
    return chain.from_iterable(repeat(value, count) for count, value in pairs)


def _chunks(track: Track, stbl: memoryview, sizes: array[int]) -> None:
    """Note where each chunk lies; the runs of stsc must name exactly the samples there are."""
    offsets = _chunk_offsets(stbl)
    behind = list(accumulate(sizes, initial=0))  # bytes before each sample
    sample = 0
    for first, last, samples in _runs(stbl, len(offsets)):
        for chunk in range(first, last):
            following = sample + samples
            if following > len(sizes):
                track.problem("tables_disagree", "the chunks name more samples than there are")
                return
            start = offsets[chunk]
            track.extents.append((start, start + behind[following] - behind[sample]))
            sample = following
    if sample != len(sizes):
        track.problem("tables_disagree", "the header names samples that no chunk holds")


def _chunk_offsets(stbl: memoryview) -> array[int]:
    narrow, wide = child(stbl, b"stco"), child(stbl, b"co64")
    if narrow is not None:
        return _numbers(narrow, 8, u32(narrow, 4))
    if wide is None:
        raise Malformed("a track does not say where its samples are (stco, co64)")
    halves = _numbers(wide, 8, 2 * u32(wide, 4))
    pairs = zip(halves[::2], halves[1::2], strict=True)
    return array("Q", [high << 32 | low for high, low in pairs])


def _runs(stbl: memoryview, chunks: int) -> Iterator[tuple[int, int, int]]:
    """Give (first chunk, chunk behind the last, samples in each), counted from zero."""
    stsc = child(stbl, b"stsc")
    if stsc is None:
        raise Malformed("a track does not say what its chunks hold (stsc)")
    flat = _numbers(stsc, 8, 3 * u32(stsc, 4))
    firsts = [first - 1 for first in flat[::3]] + [chunks]
    for number, samples in enumerate(flat[1::3]):
        first, last = firsts[number], firsts[number + 1]
        if not 0 <= first < last <= chunks:
            raise Malformed("the runs of chunks (stsc) are out of order")
        yield first, last, samples


# ---- judging -----------------------------------------------------------------------------------


def _outside(track: Track, mdats: list[Span]) -> Iterator[Problem]:
    starts = [start for start, _ in mdats]
    lost = 0
    for start, end in track.extents:
        at = bisect_right(starts, start) - 1
        if end > start and (at < 0 or end > mdats[at][1]):
            lost += 1
    if lost:
        detail = (
            f"track {track.track_id}: {lost} of {len(track.extents)} chunks are not in the data"
        )
        yield Problem("samples_outside", detail)


def _claims(movie: Movie, track: Track) -> Iterator[Problem]:
    have_s = track.end / track.timescale
    claims_s = track.claimed / track.timescale
    if movie.claimed_fragments and track.handler == b"vide":
        claims_s = max(claims_s, movie.claimed_fragments / movie.timescale)
    if claims_s > have_s * 1.05 + CLAIM_SLACK_S:
        detail = (
            f"track {track.track_id}: the header claims {claims_s:.1f} s, it has {have_s:.1f} s"
        )
        yield Problem("claims_more", detail)


def _edits(movie: Movie, track: Track) -> Iterator[Problem]:
    shown = _shown(movie, track)
    name = f"track {track.track_id}"
    plays = [number for number, edit in enumerate(track.edits) if edit.media_time >= 0]
    pauses = [number for number, edit in enumerate(track.edits) if edit.media_time < 0]
    if any(track.edits[number].rate != 1 << 16 for number in plays):
        yield Problem("edit_list", f"{name}: plays at another speed than recorded")
    if plays and pauses and max(pauses) > min(plays):
        yield Problem("edit_list", f"{name}: a pause between two parts can't be judged")
    if any(start < end for (start, _), (_, end) in zip(shown[1:], shown, strict=False)):
        yield Problem("edit_list", f"{name}: parts are shown twice or out of order")
    if track.handler == b"vide" and (hidden := _hidden(movie, track)):
        yield Problem("hidden_frames", f"{name}: the edit list hides {hidden} frames")
    if track.handler == b"soun" and (seconds := _unheard_s(shown, track)) > PRIMING_S:
        yield Problem("hidden_frames", f"{name}: the edit list hides {seconds:.2f} s of sound")


def _shown(movie: Movie, track: Track) -> list[Span]:
    """Give the spans of media time that the edit list shows; everything where there is none."""
    spans = []
    for edit in track.edits:
        if edit.media_time >= 0:
            # One tick of the movie clock is rounding; 0 means "to the end" (fragmented files).
            ticks = (edit.duration + 1) * track.timescale // movie.timescale + 1
            spans.append((edit.media_time, edit.media_time + ticks if edit.duration else 1 << 62))
    return spans or [(-(1 << 62), 1 << 62)]


def _hidden(movie: Movie, track: Track) -> int:
    shown, times = _shown(movie, track), track.times
    if not times or (len(shown) == 1 and shown[0][0] <= min(times) and max(times) < shown[0][1]):
        return 0
    return sum(not any(start <= time < end for start, end in shown) for time in times)


def _unheard_s(shown: list[Span], track: Track) -> float:
    if not track.times:
        return 0.0
    first, last = min(track.times), track.end
    heard = sum(max(0, min(end, last) - max(start, first)) for start, end in shown)
    return (last - first - heard) / track.timescale


def _unreferenced(movie: Movie, mdats: list[Span]) -> Iterator[Problem]:
    stored = sum(end - start for start, end in mdats)
    named = sum(end - start for track in movie.tracks for start, end in track.extents)
    if stored - named > max(UNREFERENCED_BYTES, stored // 10):
        yield Problem("unreferenced_data", f"{stored - named} bytes of media belong to no track")
