"""What stands in the clusters of a Matroska file, and until when it lasts. Pure.

One flipped bit in a block's id or its track's number and every reader skips it. So each element of
a cluster must be of a known kind and each block of a known track; where the recorder has left a
checksum, it is computed again. A tail that is missing shows where the header claims more time.
"""

from __future__ import annotations  # array[int] is a type for the checker alone before 3.12

import struct
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from watcher.transcode.coding_order import behind_end, order_problems
from watcher.transcode.cues import Cues
from watcher.transcode.ebml import Element, element_at, number_at
from watcher.transcode.findings import (
    Budget,
    Malformed,
    Note,
    Problem,
    Read,
    TooLargeError,
)
from watcher.transcode.mkv_notes import notes
from watcher.transcode.notes import NOT_CARRIED

CLAIM_SLACK_S: Final = 0.5  # beyond the last frame and as much again as lies before it

_CRC, _VOID = 0xBF, 0xEC
_TIMESTAMP, _SIMPLE_BLOCK, _GROUP, _BLOCK, _LASTS = 0xE7, 0xA3, 0xA0, 0xA1, 0x9B
IN_CLUSTER: Final = frozenset(
    {_TIMESTAMP, 0x5854, 0xA7, 0xAB, _SIMPLE_BLOCK, _GROUP, 0xAF, _VOID, _CRC}
)
_IN_GROUP: Final = frozenset(
    {_BLOCK, _LASTS, 0xFB, 0xFA, 0xFD, 0xA2, 0xA4, 0x75A1, 0x75A2, 0x8E, 0xC8, _VOID, _CRC}
)
_ENCRYPTED_BLOCK = 0xAF
_LOST_OF_GROUP: Final = frozenset({0x75A1, 0xA2, 0xA4})  # what is added to a frame; codec states
_TRACK, _TRACK_NUMBER, _TRACK_TYPE = 0xAE, 0xD7, 0x83
_SCALE, _DURATION = 0x2AD7B1, 0x4489
_SCALES: Final = (1_000_000_000, 1_000_000, 100_000, 10_000, 1_000)
_DOC_TYPE = 0x4282
_CUE, _CUE_TIME, _CUE_PLACES, _CUE_TRACK, _CUE_CLUSTER = 0xBB, 0xB3, 0xB7, 0xF7, 0xF1
_VIDEO = 1
_LACING = 0x06  # in a block's flags: it holds several frames
_CRC_BYTES = 4
_PIECE: Final = 1 << 20
_BITE: Final = 1 << 10


@dataclass(slots=True)
class _Lasts:
    """Until when one track lasts, in ticks: its last time, the one before, the end that is said."""

    last: int
    before: int | None = None
    end: int = 0
    frames: int = 0

    def at(self, time: int) -> None:
        if time > self.last:
            self.last, self.before = time, self.last
        elif time < self.last and (self.before is None or time > self.before):
            self.before = time

    def until(self) -> int:
        step = 0 if self.before is None else self.last - self.before
        return max(self.end, self.last + step)


@dataclass(slots=True)
class Clusters:
    """Collects what the elements of one segment say; each method raises `Malformed`."""

    read: Read
    budget: Budget
    tracks: dict[int, int] = field(default_factory=dict)  # the type of each, by its number
    scale: int = 1_000_000  # nanoseconds in a tick
    duration: float = 0.0  # in ticks; 0: not said
    now: int = 0  # the running cluster's time
    lasts: dict[int, _Lasts] = field(default_factory=dict)
    times: dict[int, array[int]] = field(default_factory=dict)  # of each video's blocks, as coded
    cues: Cues = field(default_factory=Cues)
    found: list[Problem | Note] = field(default_factory=list)  # that which can be gone on from
    lost: set[int] = field(default_factory=set)  # kinds of elements that no copy would have

    def noted(self, element: Element) -> None:
        """Read what a maker has noted in an element of the segment."""
        self.found.extend(notes(self.read, element, self.budget))

    def checked(self, element: Element) -> Problem | None:
        """Compute the checksum of *element* again, where it begins with one."""
        first = element_at(self.read, element.payload)
        if element.end is None or first is None or first.ident != _CRC:
            return None
        if first.end is None or first.end - first.payload != _CRC_BYTES or first.end > element.end:
            raise Malformed(f"the checksum at byte {element.payload} is none")
        computed, at = 0, first.end
        while at < element.end:
            self.budget.check()
            piece = self.read(at, min(_PIECE, element.end - at))
            if not piece:
                raise Malformed("the file became shorter")
            computed, at = zlib.crc32(piece, computed), at + len(piece)
        if computed == int.from_bytes(self.read(first.payload, _CRC_BYTES), "little"):
            return None
        return Problem("checksum", f"the element at byte {element.payload} has another checksum")

    def kind(self, head: Element) -> Problem | None:
        """Read what the file says that it is: where it says neither name, readers complain."""
        named = (one for one in self._inside(head) if one.ident == _DOC_TYPE)
        try:
            raw = [self.read(one.payload, min(16, _end(one) - one.payload)) for one in named]
        except Malformed:
            raw = []
        if raw and raw[-1].rstrip(b"\0") in {b"matroska", b"webm"}:
            return None
        return Problem("bad_box", "its header names neither Matroska nor WebM")

    def header(self, info: Element) -> None:
        """Read the segment's header: how long a tick is, and how long it claims to last."""
        for element in self._inside(info):
            if element.ident == _SCALE:
                self.scale = self._number(element) or self.scale
                if any((self.scale ^ one).bit_count() == 1 for one in _SCALES):
                    detail = f"its ticks last {self.scale} ns, one bit from what is usual"
                    self.found.append(Problem("times_disagree", detail))
            elif element.ident == _DURATION:
                raw = self.read(element.payload, min(8, _end(element) - element.payload))
                if len(raw) in {4, 8}:
                    self.duration = struct.unpack(">f" if len(raw) == 4 else ">d", raw)[0]  # noqa: PLR2004

    def track_list(self, tracks: Element) -> None:
        """Read which tracks there are."""
        for entry in self._inside(tracks):
            if entry.ident == _TRACK:
                said = {_TRACK_NUMBER: 0, _TRACK_TYPE: 0}
                for element in self._inside(entry):
                    if element.ident in said:
                        said[element.ident] = self._number(element)
                if said[_TRACK_NUMBER] in self.tracks:
                    raise Malformed("two tracks bear the same number")
                self.tracks[said[_TRACK_NUMBER]] = said[_TRACK_TYPE]

    def cue_list(self, cues: Element) -> None:
        """Read what cues say of clusters; nothing where they can't be read: a copy has its own."""
        try:
            for cue in self._inside(cues):
                if cue.ident == _CUE:
                    self._cue(cue)
        except TooLargeError:
            raise
        except Malformed:
            self.cues.told.clear()

    def cluster(self, cluster: Element, offset: int) -> None:
        """Read a cluster of known size that begins at *offset*."""
        self.cues.cluster(offset, sum(map(len, self.times.values())))
        self.budget.take_parts(1)  # beside the one that it is: it costs as much as two
        for element in self._inside(cluster):
            self.part(element)

    def part(self, element: Element) -> None:
        """Read one element of a cluster."""
        if element.ident not in IN_CLUSTER:
            raise Malformed(f"in a cluster, before byte {element.payload}, stands no known element")
        if element.ident == _TIMESTAMP:
            self.now = self._number(element)
        elif element.ident == _SIMPLE_BLOCK:
            self._block(element)
        elif element.ident == _GROUP:
            self._group(element)
        elif element.ident == _ENCRYPTED_BLOCK:
            self._loses("encrypted", element)

    def claims_more(self) -> Problem | None:
        """Say where the header claims more time than there are frames."""
        have = max((track.until() for track in self.lasts.values()), default=0)
        missing_s = (self.duration - have) * self.scale / 1e9
        if missing_s > CLAIM_SLACK_S:
            detail = f"the header claims {missing_s:.1f} s more than there are frames"
            return Problem("claims_more", detail)
        return None

    def out_of_order(self) -> Iterator[Problem]:
        """Give what is wrong with the order in which frames are shown."""
        for number, times in self.times.items():
            yield from order_problems(number, times)
            yield from behind_end(number, times, self.duration)
            if len(self.times) == 1:
                yield from self.cues.problems(number, times)

    def video_frames(self) -> int | None:
        """Give how many frames the only video has; None where there is not one."""
        videos = [number for number, kind in self.tracks.items() if kind == _VIDEO]
        if len(videos) != 1 or videos[0] not in self.lasts:
            return None
        return self.lasts[videos[0]].frames

    def _group(self, group: Element) -> None:
        track, lasts = None, 0
        for element in self._inside(group):
            if element.ident not in _IN_GROUP:
                detail = f"in a group, before byte {element.payload}, stands no known element"
                raise Malformed(detail)
            if element.ident in _LOST_OF_GROUP:
                self._loses(NOT_CARRIED, element)
            if element.ident == _BLOCK:
                track = self._block(element)
            elif element.ident == _LASTS:
                lasts = self._number(element)
        if track is None:
            raise Malformed(f"the group at byte {group.payload} holds no block")
        track.end = max(track.end, track.last + lasts)

    def _loses(self, name: str, element: Element) -> None:
        """Note once for each kind that a copy would be without it."""
        if element.ident not in self.lost:
            self.lost.add(element.ident)
            detail = f"the element {element.ident:X} before byte {element.payload} would be lost"
            self.found.append(Problem(name, detail))

    def _block(self, block: Element) -> _Lasts:
        head = self.read(block.payload, 12)
        number, width = number_at(head, 0)
        if number not in self.tracks:
            raise Malformed(f"the block at byte {block.payload} belongs to no track")
        if len(head) < width + 3 or _end(block) < block.payload + width + 3:
            raise Malformed(f"the block at byte {block.payload} has no header")
        time = self.now + int.from_bytes(head[width : width + 2], "big", signed=True)
        track = self.lasts.setdefault(number, _Lasts(time))
        track.at(time)
        if self.tracks[number] == _VIDEO:
            self.times.setdefault(number, array("q")).append(time)
        is_laced = head[width + 2] & _LACING
        track.frames += head[width + 3] + 1 if is_laced and len(head) > width + 3 else 1
        return track

    def _cue(self, cue: Element) -> None:
        time = 0
        for element in self._inside(cue):
            if element.ident == _CUE_TIME:
                time = self._number(element)
            elif element.ident == _CUE_PLACES:
                said = {one.ident: self._number(one) for one in self._inside(element)}
                self.cues.told.append((said.get(_CUE_CLUSTER, -1), said.get(_CUE_TRACK, 0), time))

    def _number(self, element: Element) -> int:
        raw = self.read(element.payload, min(8, _end(element) - element.payload))
        return int.from_bytes(raw, "big")

    def _inside(self, parent: Element) -> Iterator[Element]:
        at, end, count = parent.payload, _end(parent), 0
        while at < end:
            if count % _BITE == 0:
                self.budget.check()
            element = element_at(self.read, at)
            if element is None or element.end is None or element.end > end:
                raise Malformed(f"at byte {at} no element begins that fits into its parent")
            yield element
            at, count = element.end, count + 1
            self.budget.take_parts(1)


def _end(element: Element) -> int:
    if element.end is None:
        raise Malformed(f"the element at byte {element.payload} has no end")
    return element.end
