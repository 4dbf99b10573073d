"""What the bytes of a container say that libavformat does not. A part of the probe worker.

Top-level boxes, track headers, the marks of Dolby Vision and of 360 degree pictures. Whether they
are whole is judged elsewhere (`boxes`), in the service itself: here nothing is refused.
"""

import os
import re
import struct
from collections.abc import Iterator
from typing import Any

MOST_BOXES = 2_000_000
DOLBY_BOXES = (b"dvcC", b"dvvC", b"dvwC")
SPATIAL_BOXES = (b"sv3d", b"st3d", b"vexu")
SPHERICAL_V1 = bytes.fromhex("ffcc8263f8554a938814587a02521fdd")
DOLBY_MAPPING = re.compile(rb"\x41\xe7(?:\x84|\x88\0{4})dv[cvw]C")  # BlockAddIDType
SPATIAL_ELEMENTS = re.compile(  # StereoMode, Projection: any but none
    rb"\x53\xb8\x81[^\0]|\x76\x71\x81[^\0]"
)
MATROSKA_CLUSTER = b"\x1f\x43\xb6\x75"
MATROSKA_HEAD = 1 << 20


def top_boxes(fd: int, size: int) -> dict[str, Any]:
    """Say what the top-level boxes and the track headers tell that libavformat does not."""
    order = [(kind, at, end) for kind, at, end in _children(fd, 0, size)]
    kinds = [kind for kind, _, _ in order]
    moov = next(((at, end) for kind, at, end in order if kind == b"moov"), None)
    found: dict[str, Any] = {"tags": [], "dolby_vision": False, "spatial": False}
    found["moov_first"] = b"moov" in kinds and (
        b"mdat" not in kinds or kinds.index(b"moov") < kinds.index(b"mdat")
    )
    inside = list(_children(fd, *moov)) if moov else []
    found["fragmented"] = b"moof" in kinds or any(kind == b"mvex" for kind, _, _ in inside)
    for kind, at, end in inside:
        if kind == b"trak":
            entry = _sample_description(fd, at, end)
            found["tags"].append(entry[12:16].decode("latin-1"))
            found["dolby_vision"] |= any(box in entry for box in DOLBY_BOXES)
            found["spatial"] |= any(box in entry for box in SPATIAL_BOXES)
            found["spatial"] |= any(
                kind == b"uuid" and os.pread(fd, 16, inner) == SPHERICAL_V1
                for kind, inner, _ in _children(fd, at, end)
            )
    return found


def matroska_marks(head: bytes) -> dict[str, bool]:
    """Say what stands in the list of tracks that libavformat gives to nobody here."""
    head = head.partition(MATROSKA_CLUSTER)[0]
    return {
        "dolby_vision": bool(DOLBY_MAPPING.search(head)),
        "spatial": bool(SPATIAL_ELEMENTS.search(head)),
    }


def _sample_description(fd: int, at: int, end: int) -> bytes:
    for wanted in (b"mdia", b"minf", b"stbl", b"stsd"):
        spot = next(((a, e) for kind, a, e in _children(fd, at, end) if kind == wanted), None)
        if spot is None:
            return b""
        at, end = spot
    return os.pread(fd, min(end - at, 65536), at)


def _children(fd: int, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Walk the boxes between two offsets: kind, where its content begins and ends."""
    for _ in range(MOST_BOXES):
        head = os.pread(fd, 16, at) if at + 8 <= end else b""
        if len(head) < 8:  # noqa: PLR2004 - size and kind, four bytes each
            return
        length, kind = struct.unpack(">I4s", head[:8])
        content = at + 8
        if length == 1 and len(head) == 16:  # noqa: PLR2004 - a 64-bit length follows
            length, content = struct.unpack(">Q", head[8:])[0], at + 16
        elif length == 0:
            length = end - at
        if length < content - at:
            return
        yield kind, content, min(at + length, end)
        at += length
