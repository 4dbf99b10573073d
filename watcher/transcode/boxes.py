"""Is the container whole? A bounded walk of its boxes, over nothing but a read function.

Responsible for what no decoder says: a file cut by one byte, two recordings in one file, tables
that point outside the data, an edit list that hides frames, encryption. Promises to read little
(headers and tables, never the media), to end within hard bounds whatever the bytes are, and to
name each problem by a stable word. Leaves to others: what the frames look like (`verify`), and
what to do about a problem (`verify.judge_source`).

What can be judged differs: MP4 and MOV nearly all of it; Matroska that its elements tile the file
and bear their checksums (the media is read where there are any); MPEG-TS only that its packets are
in step. The rest of those two is found by decoding.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from watcher.transcode.cover import cover_problems, fills
from watcher.transcode.findings import (
    HEADER_BYTES,
    Budget,
    Malformed,
    Note,
    Problem,
    Read,
    TooLargeError,
    Walked,
    u32,
    u64,
)
from watcher.transcode.fragments import Fragments
from watcher.transcode.indexes import Told, indexed_end, told_by_index, told_by_table
from watcher.transcode.matroska import walk_matroska
from watcher.transcode.moov import parse_moov
from watcher.transcode.notes import HEAD_BYTES, NOT_CARRIED, foreign_uuid
from watcher.transcode.sound_end import sound_ends
from watcher.transcode.tables import presented_frames, presented_times, tables_problems
from watcher.transcode.timeline import timeline_problems
from watcher.transcode.tracks import Movie

WIDE_HEADER_BYTES = 16
MAX_TOP_LEVEL = 1_000_000
MAX_MOOV_BYTES = 128 << 20  # 24 hours of 60 fps need 90 MB of tables
MAX_MOOF_BYTES = 8 << 20

_MEDIA = frozenset({b"mdat", b"moov", b"moof", b"ftyp", b"styp"})
_OTHERS = b"free skip wide uuid sidx ssix mfra meta pdin prft emsg pnot udta pssh imda".split()
_KNOWN = _MEDIA | frozenset(_OTHERS)
_NOTES = frozenset({b"udta", b"meta", b"emsg", b"prft", b"pnot"})
_FILLING = (b"free", b"skip", b"wide")
_NAME = re.compile(rb"[A-Za-z][ -~]{3}")  # what a box of somebody's own is called
_TS_SIZES = (188, 192, 204)
_TS_SYNC = 0x47
_TS_LOOKS = 256


def walk(read: Read, size: int, check: Callable[[], None] | None = None) -> Walked:
    """Walk the file behind *read* (offset, length → at most so many bytes) of *size* bytes.

    *check* is called between two bites; what it raises ends the walk.
    """
    budget = Budget.for_file(size, check)
    if size == 0:
        return Walked("unknown", (Problem("empty", "the file has no bytes"),))
    head = read(0, 16)
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return walk_matroska(read, size, budget)
    if head[4:8] in _KNOWN:
        return _walk_iso(read, size, budget)
    if packet := _ts_packet(read, size):
        return _walk_ts(read, size, packet)
    detail = "neither MP4/MOV boxes, nor Matroska, nor MPEG-TS packets"
    return Walked("unknown", (Problem("unknown_container", detail),))


@dataclass(frozen=True, slots=True)
class Top:
    """One top-level box: its kind, where it begins, where its payload is, where it ends."""

    kind: bytes
    start: int
    payload: int
    end: int


def top_level(read: Read, size: int) -> Iterator[Top | Problem]:
    """Give each top-level box in order, and last a `Problem` where the walk can't go on."""
    offset = 0
    for _ in range(MAX_TOP_LEVEL):
        if offset == size:
            return
        box = _top_at(read, offset, size)
        yield box
        if isinstance(box, Problem):
            return
        offset = box.end
    yield Problem("too_many_boxes", f"more than {MAX_TOP_LEVEL} top-level boxes")


def _top_at(read: Read, offset: int, size: int) -> Top | Problem:
    header = read(offset, WIDE_HEADER_BYTES)
    if len(header) < HEADER_BYTES:
        return Problem("unknown_tail", f"{size - offset} bytes after the last box are no box")
    length, kind, payload = u32(header, 0), header[4:8], offset + 8
    if kind not in _KNOWN and not _NAME.fullmatch(kind):
        return Problem("unknown_tail", f"at byte {offset} no known box begins, but {kind!r}")
    if length == 1:
        if len(header) < WIDE_HEADER_BYTES:
            return Problem("truncated", f"the file ends inside the header of {kind.decode()}")
        length, payload = u64(header, 8), offset + 16
    elif length == 0:  # "to the end of the file"
        length = size - offset
    end = offset + length
    if end < payload:
        return Problem("bad_box", f"{kind.decode()} at byte {offset} is smaller than its header")
    if end > size:
        missing = end - size
        return Problem("truncated", f"{kind.decode()} ends {missing} bytes after the end of file")
    return Top(kind, offset, payload, end)


@dataclass(slots=True)
class _Iso:
    """What a walk of an MP4 or MOV has come across so far."""

    problems: list[Problem] = field(default_factory=list)
    mdats: list[tuple[int, int]] = field(default_factory=list)
    boxes: dict[bytes, list[Top]] = field(default_factory=dict)

    def note(self, item: Top | Problem) -> None:
        if isinstance(item, Problem):
            self.problems.append(item)
        elif item.kind == b"mdat":
            self.mdats.append((item.payload, item.end))
        elif item.kind in _NOTES:  # events, wall clock times, previews: ffmpeg reads none of them
            self.problem(NOT_CARRIED, f"{item.kind!r} at byte {item.start} would be lost")
        elif item.kind in _KNOWN:
            self.boxes.setdefault(item.kind, []).append(item)
        else:
            detail = f"{item.kind!r} at byte {item.start} is of no kind that a copy would keep"
            self.problem("unknown_box", detail)

    def of(self, *kinds: bytes) -> list[Top]:
        """Give the boxes of these kinds, each kind in order."""
        return [box for kind in kinds for box in self.boxes.get(kind, [])]

    def problem(self, name: str, detail: str) -> None:
        self.problems.append(Problem(name, detail))


def _walk_iso(read: Read, size: int, budget: Budget) -> Walked:
    seen = _Iso()
    for item in top_level(read, size):
        budget.check()
        seen.note(item)
    moovs, ftyps = seen.of(b"moov"), len(seen.of(b"ftyp"))
    if ftyps > 1:
        seen.problem("several_ftyp", f"{ftyps} files stand one behind the other")
    if len(moovs) > 1:
        seen.problem("several_moov", f"{len(moovs)} indexes in one file")
    if not moovs:
        seen.problem("no_moov", "the index (moov) is missing: the recorder never closed the file")
    if not seen.mdats:
        seen.problem("no_mdat", "the file holds no media data")
    seen.problems.extend(_foreign(read, seen.of(b"uuid", *_FILLING), budget))
    if seen.of(b"pssh"):
        seen.problem("encrypted", "the file carries a key system's header (pssh)")
    movie: Movie | None = None
    if moovs:
        try:
            _indexed(read, seen, size)
            movie = _movie(read, seen, budget)
        except Malformed as why:
            seen.problem("too_large" if isinstance(why, TooLargeError) else "bad_box", str(why))
    moov_first = bool(moovs and seen.mdats and moovs[0].start < seen.mdats[0][0])
    return Walked(
        "iso",
        tuple(seen.problems),
        moov_first=moov_first,
        fragmented=bool(seen.of(b"moof")),
        video_frames=presented_frames(movie, budget) if movie else None,
        video_times=presented_times(movie) if movie else (),
        tracks=len(movie.tracks) if movie else None,
        silent=sum(t.handler == b"soun" and not t.times for t in movie.tracks) if movie else None,
        sounds=sound_ends(movie) if movie else None,
        notes=tuple(one for one in movie.found if isinstance(one, Note)) if movie else (),
    )


def _foreign(read: Read, others: list[Top], budget: Budget) -> Iterator[Problem]:
    """Give what stands in boxes that every reader skips, and is more than filling."""
    for box in others:
        budget.check()
        if box.kind == b"uuid":
            length = box.end - box.payload
            head = read(box.payload, length if length <= HEAD_BYTES else 16)
            problem = foreign_uuid(memoryview(head), "the file")
            if problem:
                yield problem
        elif not fills(read, box.payload, box.end, budget):
            yield Problem(NOT_CARRIED, f"data in free space at byte {box.start}")


def _movie(read: Read, seen: _Iso, budget: Budget) -> Movie | None:
    moov = seen.of(b"moov")[0]
    if moov.end - moov.payload > MAX_MOOV_BYTES:
        seen.problem("too_large", f"an index of {moov.end - moov.payload} bytes can't be judged")
        return None
    movie = parse_moov(_whole(read, moov), budget)
    if seen.of(b"moof"):
        fragments = Fragments(movie, budget)
        for moof in seen.of(b"moof"):
            if moof.end - moof.payload > MAX_MOOF_BYTES:
                seen.problem("too_large", f"a fragment's index at byte {moof.start} is too large")
                return None
            fragments.add(_whole(read, moof), moof.start)
        fragments.close()
    mdats = sorted(seen.mdats)
    found = list(tables_problems(movie, mdats, budget))
    found.extend(timeline_problems(movie, _told(read, seen, budget)))
    found.extend(cover_problems(read, movie.tracks, mdats, budget, runs=movie.extended))
    seen.problems.extend(found)
    return movie


def _indexed(read: Read, seen: _Iso, size: int) -> None:
    """Hold each segment index against the file's end: a cut between two fragments shows here."""
    for index in seen.of(b"sidx"):
        if index.end - index.payload > MAX_MOOF_BYTES:
            raise TooLargeError(f"a segment index at byte {index.start} is too large")
        missing = indexed_end(_whole(read, index), index.end) - size
        if missing > 0:
            seen.problem("truncated", f"{missing} bytes that a segment index names are missing")


def _told(read: Read, seen: _Iso, budget: Budget) -> Iterator[Told]:
    """Give what the file says of its fragments' times outside them."""
    for index in seen.of(b"sidx"):
        yield from told_by_index(_whole(read, index), index.end, budget)
    for table in seen.of(b"mfra"):
        if table.end - table.payload <= MAX_MOOF_BYTES:
            yield from told_by_table(_whole(read, table), budget)


def _whole(read: Read, box: Top) -> memoryview:
    data = read(box.payload, box.end - box.payload)
    if len(data) != box.end - box.payload:
        raise Malformed(f"{box.kind.decode()} could not be read whole: the file became shorter")
    return memoryview(data)


def _ts_packet(read: Read, size: int) -> int | None:
    """Find the packet length by which sync bytes repeat; None if this is no transport stream."""
    for packet in _TS_SIZES:
        lead = 4 if packet == 192 else 0  # noqa: PLR2004 - M2TS puts a time stamp before each
        looks = min(8, size // packet)
        if looks and all(_synced(read, lead + i * packet) for i in range(looks)):
            return packet
    return None


def _synced(read: Read, offset: int) -> bool:
    return read(offset, 1) == bytes((_TS_SYNC,))


def _walk_ts(read: Read, size: int, packet: int) -> Walked:
    problems: list[Problem] = []
    if size % packet:
        problems.append(Problem("truncated", f"the last packet has {size % packet} bytes only"))
    lead = 4 if packet == 192 else 0  # noqa: PLR2004 - as above
    count = size // packet
    step = max(1, count // _TS_LOOKS)
    lost = [i for i in range(0, count, step) if not _synced(read, lead + i * packet)]
    if lost:
        problems.append(Problem("out_of_step", f"packet {lost[0]} has no sync byte"))
    return Walked("mpegts", tuple(problems))
