"""The index of an MP4 or MOV file (moov): its tracks, their sample tables and edit lists. Pure.

Reading only; whether it is true is judged in `tables`. Promises to allocate nothing for a claim
that the bytes do not bear out, and to say `Malformed` where tables contradict one another.
"""

from __future__ import annotations  # array[int] is a type for the checker alone before 3.12

import struct
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, islice, repeat
from operator import add, mul

from watcher.transcode.findings import (
    MAX_SAMPLES,
    Budget,
    Malformed,
    TooLargeError,
    child,
    children,
    is_wide,
    s32,
    s64,
    u32,
    u64,
)
from watcher.transcode.names import VIDEO_ENTRY, cut_out, ends_in_boxes, entry_strangers, strangers
from watcher.transcode.sound_entry import sound_entry
from watcher.transcode.tracks import Edit, Movie, Span, Track

MAX_TRACKS = 64
MAX_EDITS = 1_000
MAX_FOUND = 100_000

_ENCRYPTED = frozenset({b"encv", b"enca", b"enct", b"encs", b"encm", b"drmi", b"drms"})
_VIDEO_ENTRY_BYTES = 78  # of a visual sample entry, before its child boxes


def parse_moov(data: memoryview, budget: Budget | None = None) -> Movie:
    """Read the payload of moov; `Malformed` where it contradicts itself."""
    header = child(data, b"mvhd")
    if header is None:
        raise Malformed("the index has no header (mvhd)")
    timescale, claimed = _timescale_duration(header)
    traks = [payload for kind, payload in children(data) if kind == b"trak"]
    if not traks or len(traks) > MAX_TRACKS:
        raise Malformed(f"the index has {len(traks)} tracks")
    budget = budget or Budget()
    extends = child(data, b"mvex")
    tracks = [_track(payload, budget, extended=extends is not None) for payload in traks]
    movie = Movie(timescale, tracks, claimed, encrypted=child(data, b"pssh") is not None)
    movie.found.extend(islice(strangers(b"moov", data), MAX_FOUND + 1))
    if len(movie.found) > MAX_FOUND:
        raise TooLargeError(f"an index with more than {MAX_FOUND} notes can't be judged")
    if extends is not None:
        movie.extended = True
        _defaults(movie, extends)
    return movie


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


def _track(trak: memoryview, budget: Budget, *, extended: bool) -> Track:
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
        presented=_presented(tkhd),
        edits=tuple(_edit_list(child(trak, b"edts", b"elst"))),
    )
    _references(track, child(trak, b"mdia", b"minf", b"dinf", b"dref"))
    _descriptions(track, stbl)
    if not (extended and _is_bare(stbl)):
        _samples(track, stbl, budget)
    return track


def _presented(tkhd: memoryview) -> int:
    wide = is_wide(tkhd)
    duration, unknown = (u64(tkhd, 28), 1 << 64) if wide else (u32(tkhd, 20), 1 << 32)
    return 0 if duration == unknown - 1 else duration


def _edit_list(elst: memoryview | None) -> Iterator[Edit]:
    if elst is None:
        return
    wide = is_wide(elst)
    count, entry = u32(elst, 4), 20 if wide else 12
    if 8 + count * entry > len(elst):
        raise Malformed("an edit list claims more entries than it has")
    if count > MAX_EDITS:
        raise TooLargeError(f"an edit list of {count} entries can't be judged")
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
        if visual and ends_in_boxes(kind):
            rest = payload[_VIDEO_ENTRY_BYTES:]
            track.problems.extend(entry_strangers(kind, VIDEO_ENTRY, rest))
            track.problems.extend(cut_out(kind, payload, rest))
        elif track.handler == b"soun":
            entry = sound_entry(kind, payload)
            track.packet, track.rate = entry.packet, entry.rate
            track.problems.extend(entry.problems)
    track.entries = len(kinds)
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
            track.defaults = u32(payload, 8), u32(payload, 12), u32(payload, 16)


# ---- sample tables -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Sizes:
    """The bytes of each sample; PCM has millions, all of one size, that need no table."""

    count: int
    uniform: int
    table: array[int]
    packet: Span  # of those of one size

    def before(self) -> Callable[[int], int]:
        """Give how many bytes stand before sample *n*, as a function of it."""
        if self.uniform:
            samples, size = self.packet
            return lambda number: number // samples * size
        return array("Q", accumulate(self.table, initial=0)).__getitem__


def _is_bare(stbl: memoryview) -> bool:
    """Say whether a track has no samples before its fragments, whatever is said of their times.

    ffmpeg writes there how long the sound of the first fragment lasts, where its samples are PCM.
    """
    counts = ((b"stsz", 8), (b"stsc", 4), (b"stco", 4))
    tables = [(child(stbl, kind), at) for kind, at in counts]
    return all(table is not None and u32(table, at) == 0 for table, at in tables)


def _samples(track: Track, stbl: memoryview, budget: Budget) -> None:
    sizes = _sizes(track, stbl)
    if track.handler == b"vide" and 0 in sizes.table:
        track.problem("empty_samples", "the header names frames that have no data")
    deltas = _pairs(child(stbl, b"stts"))
    if sum(deltas.counts) != sizes.count:
        track.problem("tables_disagree", "the tables name different numbers of samples")
        return
    track.end = sum(map(mul, deltas.counts, deltas.values))
    track.last = deltas.values[-1] if deltas.values else 0
    track.pace = next(filter(None, reversed(deltas.values)), 0)
    shifts = _pairs(child(stbl, b"ctts"))
    if shifts.counts and sum(shifts.counts) != sizes.count:
        track.problem("tables_disagree", "not every frame has its time (ctts)")
        return
    paced = len(deltas.counts) == 1 and not shifts.counts and track.handler != b"vide"
    if not paced:
        budget.take_samples(sizes.count)
    track.times = _times(deltas, shifts, sizes.count)
    _chunks(track, stbl, sizes, budget)


def _times(deltas: _Pairs, shifts: _Pairs, count: int) -> Sequence[int]:
    """Give when each sample is shown; samples at one pace need no table."""
    if len(deltas.counts) == 1 and not shifts.counts:
        delta = max(1, deltas.values[0])
        return range(0, count * delta, delta)
    decode = accumulate(deltas.expanded(), initial=0)
    shifted = map(s32, shifts.expanded()) if shifts.counts else repeat(0, count)
    return array("q", map(add, decode, shifted))


def _sizes(track: Track, stbl: memoryview) -> _Sizes:
    stsz = child(stbl, b"stsz")
    if stsz is None:
        raise Malformed("a track has no table of sample sizes that can be judged (stsz)")
    size, count = u32(stsz, 4), u32(stsz, 8)
    samples, packed = track.packet
    packet = (samples, packed) if packed else (1, size)
    if size:
        return _Sizes(count, size, array("I"), packet)
    table = _numbers(stsz, 12, count)
    if count > MAX_SAMPLES:
        raise TooLargeError(f"a track of {count} samples can't be judged")
    return _Sizes(count, 0, table, packet)


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


@dataclass(frozen=True, slots=True)
class _Pairs:
    """A table of runs: so many samples, each of this value."""

    counts: array[int]
    values: array[int]

    def expanded(self) -> Iterator[int]:
        """Give the value of each sample."""
        return chain.from_iterable(map(repeat, self.values, self.counts))


def _pairs(table: memoryview | None) -> _Pairs:
    flat = array("I") if table is None else _numbers(table, 8, 2 * u32(table, 4))
    return _Pairs(flat[::2], flat[1::2])


def _chunks(track: Track, stbl: memoryview, sizes: _Sizes, budget: Budget) -> None:
    """Note where each chunk lies; the runs of stsc must name exactly the samples there are."""
    offsets = _chunk_offsets(stbl)
    budget.take_chunks(len(offsets))
    before = sizes.before()
    sample = 0
    for first, last, samples in _runs(stbl, len(offsets), track.entries):
        for chunk in range(first, last):
            following = sample + samples
            if following > sizes.count:
                track.problem("tables_disagree", "the chunks name more samples than there are")
                return
            start = offsets[chunk]
            track.lies(start, start + before(following) - before(sample))
            sample = following
    if sample != sizes.count:
        track.problem("tables_disagree", "the header names samples that no chunk holds")


def _chunk_offsets(stbl: memoryview) -> array[int]:
    narrow, wide = child(stbl, b"stco"), child(stbl, b"co64")
    if narrow is not None:
        return _numbers(narrow, 8, u32(narrow, 4))
    if wide is None:
        raise Malformed("a track does not say where its samples are (stco, co64)")
    halves = _numbers(wide, 8, 2 * u32(wide, 4))
    pairs = zip(halves[::2], halves[1::2], strict=True)
    return array("Q", (high << 32 | low for high, low in pairs))


def _runs(stbl: memoryview, chunks: int, entries: int) -> Iterator[tuple[int, int, int]]:
    """Give (first chunk, chunk behind the last, samples in each), counted from zero."""
    stsc = child(stbl, b"stsc")
    if stsc is None:
        raise Malformed("a track does not say what its chunks hold (stsc)")
    flat = _numbers(stsc, 8, 3 * u32(stsc, 4))
    if any(not 1 <= entry <= entries for entry in flat[2::3]):  # readers skip them without a word
        raise Malformed("chunks are of a description that is not there (stsc)")
    firsts = flat[::3] + array("I", [chunks + 1])
    for number, samples in enumerate(flat[1::3]):
        first, last = firsts[number] - 1, firsts[number + 1] - 1
        if not 0 <= first < last <= chunks:
            raise Malformed("the runs of chunks (stsc) are out of order")
        yield first, last, samples
