"""MP4 files put together byte by byte, so that a test can bend any one of them."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

FTYP = struct.pack(">I", 16) + b"ftypisom" + b"\0\0\2\0"


def box(kind: bytes, *parts: bytes) -> bytes:
    """Give a box with 32-bit length."""
    payload = b"".join(parts)
    return struct.pack(">I", 8 + len(payload)) + kind + payload


def full(kind: bytes, *parts: bytes, version: int = 0, flags: int = 0) -> bytes:
    """Give a box with version and flags."""
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def numbers(*values: int) -> bytes:
    """Give 32-bit numbers, signed where below zero."""
    return b"".join(struct.pack(">i" if value < 0 else ">I", value) for value in values)


@dataclass
class Movie:
    """A file of one track; every field is what the file says, true or not."""

    sizes: Sequence[int] = (100, 50, 50, 50)
    delta: int = 40
    last: int | None = None  # how long the last sample lasts; None: as the others
    shifts: Sequence[int] = ()
    timescale: int = 1000
    track_timescale: int | None = None
    claimed: int | None = None
    presented: int = 0
    handler: bytes = b"vide"
    entry: bytes = b"avc1"
    entries: int = 1
    channels: int = 0  # of a sound
    edits: Sequence[tuple[int, int, int]] = ()
    stts_count: int | None = None
    chunk_at: int | None = None
    per_chunk: int | None = None
    per_sample: bool = False
    gap: bytes = b""  # before the last chunk
    chunk_shift: int = 0  # of the last chunk's offset
    dref_flags: int = 1
    wide_edits: bool = False
    wide_times: bool = False  # of the three headers
    wide_offsets: bool = False
    extends: bytes = b""
    behind: Sequence[bytes] = field(default_factory=list)

    def moov(self, data_at: int) -> bytes:
        """Give the index for media that begins at *data_at*."""
        count, duration = len(self.sizes), self.delta * len(self.sizes)
        claimed = duration if self.claimed is None else self.claimed
        wide = int(self.wide_times)
        clock, media_clock = self.timescale, self.track_timescale or self.timescale
        fields = ">QQIQ" if wide else ">IIII"
        times = struct.pack(fields, 0, 0, clock, claimed)
        media_times = struct.pack(fields, 0, 0, media_clock, claimed)
        shown = struct.pack(">QQIIQ" if wide else ">IIIII", 0, 0, 1, 0, self.presented)
        dref = full(b"dref", numbers(1), full(b"url ", flags=self.dref_flags))
        media = box(b"minf", box(b"dinf", dref), self._tables(count, data_at))
        handler = full(b"hdlr", numbers(0), self.handler, bytes(13))
        mdia = box(b"mdia", full(b"mdhd", media_times, numbers(0), version=wide), handler, media)
        trak = box(
            b"trak",
            full(b"tkhd", shown, bytes(64), version=wide),
            self._edts(),
            mdia,
        )
        return box(b"moov", full(b"mvhd", times, bytes(80), version=wide), trak, self.extends)

    def file(self) -> bytes:
        """Give the file: ftyp, mdat, moov, and what stands behind."""
        last = self.sizes[-1] if self.sizes else 0
        media = b"\x11" * (sum(self.sizes) - last) + self.gap + b"\x11" * last
        mdat = box(b"mdat", media)
        data_at = len(FTYP) + 8 if self.chunk_at is None else self.chunk_at
        return b"".join([FTYP, mdat, self.moov(data_at), *self.behind])

    def _edts(self) -> bytes:
        if not self.edits:
            return b""
        if self.wide_edits:
            rows = b"".join(struct.pack(">QqI", *edit) for edit in self.edits)
            return box(b"edts", full(b"elst", numbers(len(self.edits)), rows, version=1))
        rows = b"".join(numbers(*edit) for edit in self.edits)
        return box(b"edts", full(b"elst", numbers(len(self.edits)), rows))

    def _tables(self, count: int, data_at: int) -> bytes:
        is_sound = self.handler == b"soun"
        entry = bytes(16) + self.channels.to_bytes(2, "big") + bytes(10) if is_sound else bytes(78)
        entries = box(self.entry, entry) * self.entries
        stts = numbers(1, count if self.stts_count is None else self.stts_count, self.delta)
        if self.last is not None:
            stts = numbers(2, count - 1, self.delta, 1, self.last)
        tables = [
            full(b"stsd", numbers(self.entries), entries),
            full(b"stts", stts),
            full(b"stsz", numbers(0, count, *self.sizes)),
            self._chunks(count, data_at),
        ]
        if self.shifts:
            rows = [part for shift in self.shifts for part in (1, shift)]
            tables.append(full(b"ctts", numbers(len(self.shifts), *rows)))
        return box(b"stbl", *tables)

    def _chunks(self, count: int, data_at: int) -> bytes:
        per_chunk = count if self.per_chunk is None else self.per_chunk
        if count == 0:
            return full(b"stsc", numbers(0)) + full(b"stco", numbers(0))
        offsets = [data_at]
        if self.per_sample:
            per_chunk = 1
            offsets = [data_at + sum(self.sizes[:i]) for i in range(count)]
            offsets[-1] += len(self.gap) + self.chunk_shift
        stsc = full(b"stsc", numbers(1, 1, per_chunk, 1))
        if self.wide_offsets:
            rows = b"".join(struct.pack(">Q", offset) for offset in offsets)
            return stsc + full(b"co64", numbers(len(offsets)), rows)
        return stsc + full(b"stco", numbers(len(offsets), *offsets))


def fragment(sizes: Sequence[int], *, delta: int = 40, at: int = 0) -> bytes:
    """Give moof and mdat of track 1, its first frame at time *at*."""

    def moof(offset: int) -> bytes:
        rows = b"".join(numbers(delta, size) for size in sizes)
        trun = full(b"trun", numbers(len(sizes), offset), rows, flags=0x301)
        tfdt = full(b"tfdt", numbers(at))
        traf = box(b"traf", full(b"tfhd", numbers(1), flags=0x20000), tfdt, trun)
        return box(b"moof", full(b"mfhd", numbers(1)), traf)

    head = moof(0)
    return moof(len(head) + 8) + box(b"mdat", b"\x22" * sum(sizes))
