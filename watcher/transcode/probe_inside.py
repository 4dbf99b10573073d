"""What stands inside a video's packets beside its pictures. A part of the probe worker.

User data (captions, a camera's own notes), messages that say how a picture is to be shown,
parameter sets that say something new on the way, pictures of a second layer: all that an encoder
which is only given pictures would lose. Nothing is decoded, and nothing is judged.
"""

import hashlib
import re
from bisect import bisect_left
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from watcher.transcode import h264
from watcher.transcode.nalunits import (
    Buffer,
    header_units,
    length_bytes,
    messages,
    unit_kind,
    units,
)

MOST_CHANGES = 5
LOOKED_INTO = frozenset({"h264", "hevc", "mpeg2video", "mpeg4"})

_REGISTERED, _UNREGISTERED = 4, 5
_PICTURE_TIMING = 1
_HEVC_SEI = frozenset({39, 40})
_OF_CODING = frozenset({0, 1, 3, *range(6, 13), 16, 17, 18, *range(24, 45), 56, 200, 201})
"""Messages of H.264 that speak of coding alone, which a copy does anew."""

_ENCODERS = tuple(
    bytes.fromhex(ident)
    for ident in (
        "dc45e9bde6d948b7962cd820d923eeef",  # x264
        "2ca2de09b51747dbbb55a4fe7fc2fc4e",  # x265
        "59948b2811ec45af967519d41feaa94d",  # ffmpeg's VAAPI encoder
    )
)
"""Under these an encoder says its own name and version, and nothing of the recording."""

_CAPTIONS = bytes.fromhex("b5003147413934") + b"\x03"  # USA, ATSC, "GA94", closed captions
_CAPTIONS_MPEG = b"GA94\x03"
_PROCESSED = 0x40
_MPEG_USER_DATA = re.compile(rb"\x00\x00\x01\xb2(.*?)(?=\x00\x00\x01|\Z)", re.DOTALL)
_MPEG_ENCODERS = re.compile(rb"Lavc|XviD|DivX|FFmpe?g|ffmpeg|Mplayer", re.IGNORECASE)


class Inside:
    """Reads one video stream's packets as they pass."""

    def __init__(self, codec: str, extradata: bytes) -> None:
        self._codec = codec
        self._prefix = length_bytes(extradata, codec)
        self._sets = _ParameterSets()
        self._found: dict[str, list[tuple[int, bytes]]] = {}
        self._layers = 0
        if codec == "h264":
            for unit in header_units(extradata, codec):
                self._sets.keep(unit, unit_kind(unit, codec))
            self._sets.end_of_header()

    def add(self, packet: Any) -> None:  # noqa: ANN401
        """Read one packet; what is not shown, or at no known time, is judged by others."""
        if packet.pts is None or packet.is_discard:
            return
        if self._codec == "h264":
            self._add_h264(packet)
        elif self._codec == "hevc":
            for unit in units(memoryview(packet), self._prefix):
                if unit_kind(unit, "hevc") in _HEVC_SEI:
                    self._add_messages(unit, packet.pts)
        elif self._codec in ("mpeg2video", "mpeg4"):
            for found in _MPEG_USER_DATA.finditer(memoryview(packet)):
                self._add_mpeg(found[1], packet.pts)

    def facts(self, timestamps: Sequence[int]) -> dict[str, Any]:
        """Give what was found; *timestamps* are those of the presented frames, in order."""
        return {
            "user_data": {
                kind: {"messages": len(found), "digest": _digest(found, timestamps)}
                for kind, found in sorted(self._found.items())
            },
            "parameter_changes": self._sets.changes,
            "maybe_interlaced": self._sets.fields,
            "other_layers": self._layers,
        }

    def _add_h264(self, packet: Any) -> None:  # noqa: ANN401
        look = bool(packet.is_keyframe)
        for unit in units(memoryview(packet), self._prefix):
            kind = unit[0] & 0x1F
            if kind in h264.SLICES:
                if look:
                    self._sets.shown_by(unit)
                    look = False
            elif kind == h264.SEI:
                self._add_messages(unit, packet.pts)
            elif kind in (h264.SPS, h264.PPS):
                look = self._sets.keep(unit, kind) or look
            elif kind in h264.OTHER_LAYERS:
                self._layers += 1

    def _add_messages(self, unit: Buffer, pts: int) -> None:
        for kind, payload in messages(unit, self._codec):
            if kind == _UNREGISTERED:
                if not payload.startswith(_ENCODERS):
                    self._note("unregistered", pts, payload)
            elif kind == _REGISTERED:
                self._add_registered(payload, pts)
            elif self._codec == "h264" and kind == _PICTURE_TIMING:
                if self._sets.has_clock(payload):
                    self._note("timecode", pts, payload)
            elif self._codec == "h264" and kind not in _OF_CODING:
                self._note(f"type {kind}", pts, payload)

    def _add_registered(self, payload: bytes, pts: int) -> None:
        if payload.startswith(_CAPTIONS):
            self._add_captions(payload, payload[len(_CAPTIONS) :], pts)
        else:
            self._note("registered", pts, payload)

    def _add_mpeg(self, data: bytes, pts: int) -> None:
        if data.startswith(_CAPTIONS_MPEG):
            self._add_captions(data, data[len(_CAPTIONS_MPEG) :], pts)
        elif not _MPEG_ENCODERS.match(data):
            self._note("registered", pts, data)

    def _add_captions(self, whole: bytes, content: bytes, pts: int) -> None:
        """Take captions out of what they come in: a copy may pack them otherwise."""
        end = 2 + 3 * (content[0] & 0x1F) if content else 0
        if not content or not content[0] & _PROCESSED or len(content) < end:
            self._note("registered", pts, whole)
        elif end > 2:  # noqa: PLR2004 - flags, and a byte that says nothing
            self._note("captions", pts, content[2:end])

    def _note(self, kind: str, pts: int, payload: bytes) -> None:
        short = payload if kind == "captions" else hashlib.blake2b(payload, digest_size=16).digest()
        self._found.setdefault(kind, []).append((pts, short))


class _ParameterSets:
    """The parameter sets of H.264 that are in force, and what they show."""

    def __init__(self) -> None:
        self.changes: list[str] = []
        self.fields = False
        self._units: dict[tuple[int, int], bytes] = {}
        self._sequences: dict[int, h264.ParameterSet] = {}
        self._pictures: dict[int, int] = {}
        self._header: dict[int, h264.ParameterSet] = {}
        self._shown: h264.ParameterSet | None = None

    def keep(self, unit: Buffer, kind: int) -> bool:
        """Keep a parameter set; say whether it is another than the one of its number so far."""
        content = bytes(unit)
        if content in self._units.values():
            return False
        try:
            if kind == h264.SPS:
                told = h264.parameter_set(content)
                ident, self._sequences[told.ident] = told.ident, told
            else:
                ident, sequence = h264.named_by_picture_set(content)
                self._pictures[ident] = sequence
        except ValueError:
            return False  # what decodes it will say so
        self._units[kind, ident] = content
        return True

    def end_of_header(self) -> None:
        """Remember what the file's header says: readers that go by it must see the same."""
        self._header = dict(self._sequences)

    def shown_by(self, unit: Buffer) -> None:
        """Look at what the parameter set that a slice names says is shown."""
        try:
            sequence = self._pictures.get(h264.named_by_slice(unit))
        except ValueError:
            return
        now = self._sequences.get(sequence) if sequence is not None else None
        if now is None:
            return
        before = self._shown or self._header.get(now.ident, now)
        self._shown = now
        self.fields |= now.fields
        changed = before.shown.difference(now.shown)
        if changed and len(self.changes) < MOST_CHANGES:
            self.changes.append(changed)

    def has_clock(self, payload: bytes) -> bool:
        """Say whether a picture's timing holds the time of day, as the set in force reads it."""
        idents = [self._shown.ident] if self._shown else list(self._sequences)
        try:
            return any(h264.has_clock(payload, self._sequences[one].timing) for one in idents)
        except ValueError:
            return False


def _digest(found: list[tuple[int, bytes]], timestamps: Sequence[int]) -> str:
    """Sum up which frame carries what, in the order in which frames are shown."""
    whole = hashlib.blake2b(digest_size=16)
    for pts, parts in groupby(sorted(found, key=itemgetter(0)), key=itemgetter(0)):
        content = b"".join(part for _, part in parts)
        whole.update(bisect_left(timestamps, pts).to_bytes(8, "big"))
        whole.update(len(content).to_bytes(8, "big") + content)
    return whole.hexdigest()
