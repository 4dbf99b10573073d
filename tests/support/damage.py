"""A few bytes of Python that turn a good recording into a bad one."""

import random
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from watcher.transcode.ebml import element_at

Bend = Callable[[bytearray], None]


def bent(source: Path, target: Path, bend: Bend) -> Path:
    """Write *source* to *target* as *bend* leaves it."""
    data = bytearray(source.read_bytes())
    bend(data)
    target.write_bytes(data)
    return target


def media(data: bytes | bytearray) -> tuple[int, int]:
    """Give where the media data of an MP4 begins and ends."""
    at = data.index(b"mdat")
    length = struct.unpack(">I", data[at - 4 : at])[0]
    return at + 4, at - 4 + length


def flip(bits: int, *, seed: int = 1) -> Bend:
    """Flip so many bits of the media, well behind the first frames."""

    def bend(data: bytearray) -> None:
        start, end = media(data)
        chance = random.Random(seed)
        for _ in range(bits):
            at = chance.randrange(start + (end - start) // 4, end)
            data[at] ^= 1 << chance.randrange(8)

    return bend


def zero(share_from: float, share_to: float) -> Bend:
    """Zero a part of the media."""

    def bend(data: bytearray) -> None:
        start, end = media(data)
        a, b = (start + int((end - start) * share) for share in (share_from, share_to))
        data[a:b] = bytes(b - a)

    return bend


def cut(bytes_off: int) -> Bend:
    """Take so many bytes off the end."""

    def bend(data: bytearray) -> None:
        del data[len(data) - bytes_off :]

    return bend


def without(kind: bytes) -> Bend:
    """Take the first top-level box of *kind* away; the file must end with it."""

    def bend(data: bytearray) -> None:
        del data[data.index(kind) - 4 :]

    return bend


def poke(mark: bytes, offset: int, value: bytes) -> Bend:
    """Write *value* so many bytes behind the first *mark*."""

    def bend(data: bytearray) -> None:
        at = data.index(mark) + len(mark) + offset
        data[at : at + len(value)] = value

    return bend


def swap(old: bytes, new: bytes) -> Bend:
    """Put *new* in the place of the first *old*, of the same length."""
    assert len(old) == len(new)

    def bend(data: bytearray) -> None:
        at = data.index(old)
        data[at : at + len(old)] = new

    return bend


def misname(kind: bytes, number: int = 0, *, behind: bytes = b"moov") -> Bend:
    """Flip one bit in the name of box *number* of *kind*, counted from the last box *behind*."""

    def bend(data: bytearray) -> None:
        at = data.rindex(behind)
        for _ in range(number + 1):
            at = data.index(kind, at + 1)
        data[at + 1] ^= 1

    return bend


def misplace(track: int, chunk: int, bit: int) -> Bend:
    """Flip *bit* in the offset of a chunk of the track-th trak."""

    def bend(data: bytearray) -> None:
        at = data.rindex(b"moov")
        for _ in range(track + 1):
            at = data.index(b"stco", at + 1)
        at += 12 + 4 * chunk
        offset = struct.unpack(">I", data[at : at + 4])[0]
        data[at : at + 4] = struct.pack(">I", offset ^ bit)

    return bend


def _elements(data: bytes | bytearray, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Give (id, where it begins, where its payload begins, where it ends) of each element."""
    while at < end:
        found = element_at(lambda offset, length: bytes(data[offset : offset + length]), at)
        assert found is not None
        assert found.end is not None
        yield found.ident, at, found.payload, found.end
        at = found.end


def _clusters(data: bytes | bytearray) -> list[tuple[int, int, int]]:
    header, segment = list(_elements(data, 0, len(data)))
    assert header[3] == segment[1]
    inside = _elements(data, segment[2], segment[3])
    return [each[1:] for each in inside if each[0] == 0x1F43B675]


def unmark_sound(data: bytearray) -> None:
    """Take the marks of key frames from the second track's simple blocks, as GStreamer has none."""
    for _, payload, end in _clusters(data):
        for ident, _, at, _ in _elements(data, payload, end):
            if ident == 0xA3 and data[at] == 0x82:
                data[at + 3] &= 0x7F


def misname_block(number: int, *, track: bool = False) -> Bend:
    """Flip one bit in the id, or in the track's number, of a simple block of the first cluster."""

    def bend(data: bytearray) -> None:
        _, payload, end = _clusters(data)[0]
        blocks = [each for each in _elements(data, payload, end) if each[0] == 0xA3]
        _, start, inside, _ = blocks[number]
        data[inside if track else start] ^= 4 if track else 1

    return bend


def element_bit(ident: int, number: int, bit: int) -> Bend:
    """Flip *bit* of the number that is Matroska element *number* of its kind; -1: the last one.

    Of a simple block: of its time.
    """

    def found(data: bytearray, at: int, end: int) -> Iterator[tuple[int, int]]:
        for kind, _, payload, stop in _elements(data, at, end):
            if kind == ident:
                yield payload, stop
            elif kind in {0x18538067, 0x1F43B675, 0x1C53BB6B, 0xBB}:
                yield from found(data, payload, stop)

    def bend(data: bytearray) -> None:
        payload, stop = list(found(data, 0, len(data)))[number]
        start, end = (payload + 1, payload + 3) if ident == 0xA3 else (payload, stop)
        value = int.from_bytes(data[start:end], "big") ^ 1 << bit
        data[start:end] = value.to_bytes(end - start, "big")

    return bend


def without_last_clusters(data: bytearray) -> None:
    """Leave half of the clusters, and a segment of unknown size, as a live recorder would."""
    clusters = _clusters(data)
    segment = data.index(b"\x18\x53\x80\x67") + 4
    data[segment : segment + 8] = b"\x01" + b"\xff" * 7
    del data[clusters[len(clusters) // 2][0] :]


def slow_a_frame(run: int, bit: int) -> Bend:
    """Flip *bit* in how long the frames of a run of the first track last."""

    def bend(data: bytearray) -> None:
        at = data.index(b"stts", data.rindex(b"moov")) + 12 + 8 * run + 4
        delta = struct.unpack(">I", data[at : at + 4])[0]
        data[at : at + 4] = struct.pack(">I", delta ^ bit)

    return bend


def without_last_fragments(data: bytearray) -> None:
    """Cut a fragmented file exactly where its last quarter of fragments begins."""
    starts = [found.start() - 4 for found in re.finditer(b"moof", data)]
    del data[starts[len(starts) * 3 // 4] :]


def more_frames(count: int) -> Bend:
    """Let the video's tables claim *count* frames more than there are, all in the last chunk."""

    def bend(data: bytearray) -> None:
        at = data.index(b"stsz") + 12
        frames = struct.unpack(">I", data[at : at + 4])[0]
        data[at : at + 4] = struct.pack(">I", frames + count)

    return bend


def sample(data: bytes | bytearray, number: int, track: int = 0) -> tuple[int, int]:
    """Give where sample *number* of the track lies; for files with one sample a chunk or one chunk.

    Reads stsz, stsc and stco of the track-th trak, as plainly as can be.
    """
    at = -1
    for _ in range(track + 1):
        at = data.index(b"stsz", at + 1)
    uniform, count = struct.unpack(">II", data[at + 8 : at + 16])
    sizes = [uniform] * count
    if not uniform:
        sizes = list(struct.unpack(f">{count}I", data[at + 16 : at + 16 + 4 * count]))
    runs = _table(data, data.rindex(b"stsc", 0, data.index(b"stco", at)), 3)
    offsets = [row[0] for row in _table(data, data.index(b"stco", at), 1)]
    first = 0
    for chunk, offset in enumerate(offsets):
        held = [row[1] for row in runs if row[0] <= chunk + 1][-1]
        if number < first + held:
            return offset + sum(sizes[first:number]), sizes[number]
        first += held
    raise IndexError(number)


def _table(data: bytes | bytearray, at: int, width: int) -> list[tuple[int, ...]]:
    count = struct.unpack(">I", data[at + 8 : at + 12])[0]
    flat = struct.unpack(f">{count * width}I", data[at + 12 : at + 12 + 4 * count * width])
    return [tuple(flat[i : i + width]) for i in range(0, len(flat), width)]


def spoil_sample(number: int, track: int = 0) -> Bend:
    """Invert the middle third of one sample."""

    def bend(data: bytearray) -> None:
        start, size = sample(data, number, track)
        for at in range(start + size // 3, start + 2 * size // 3):
            data[at] ^= 0xFF

    return bend


def insert(data: bytearray, at: int, more: bytes, parents: Sequence[bytes]) -> None:
    """Put *more* at *at* and make the boxes around it, named inmost first, as much longer."""
    data[at:at] = more
    for parent in parents:
        head = data.rindex(parent, 0, at) - 4
        longer = int.from_bytes(data[head : head + 4], "big") + len(more)
        data[head : head + 4] = longer.to_bytes(4, "big")
