"""Does every byte of the media belong to one sample, and to one only? Pure.

A flipped bit in a chunk's offset points at somebody else's samples, and a track that the index has
lost leaves its samples behind: both decode cleanly, and both show here. What may stand between
samples is padding: a few bytes, zeros, filling boxes, and the headers of fragments that a recorder
has left inside the data when it closed the file.
"""

import heapq
from collections.abc import Iterator, Sequence
from itertools import pairwise
from operator import gt
from typing import Final

from watcher.transcode.findings import Budget, Problem, Read, u32, u64
from watcher.transcode.notes import FILL, is_filling
from watcher.transcode.tracks import Span, Track

PADDING_BYTES: Final = 8  # to the next multiple: less than any frame
MAX_PADDING_BYTES: Final = 1 << 20  # in all; more is no padding, if it is also 10 %

_REMAINS: Final = b"moov hoov moof sidx styp ftyp mfra".split()
_HEAD: Final = 1 << 12
_BLOCK: Final = 1 << 20
_BITE: Final = 1 << 16


def cover_problems(
    read: Read, tracks: Sequence[Track], mdats: list[Span], budget: Budget, *, runs: bool = False
) -> Iterator[Problem]:
    """Give what overlaps and what is left over; *mdats* sorted.

    *runs*: fragments say where their samples lie. Nobody aligns these, so what stands between two
    is blank, or a sample's last bytes: a bit that was cleared in its size leaves no more.
    """
    for track in tracks:
        if any(gt(a, b) for a, b in pairwise(track.starts)):
            detail = f"track {track.track_id}: its chunks are not in the order of the file"
            yield Problem("out_of_order", detail)
            return
    spans = heapq.merge(*(zip(track.starts, track.ends, strict=True) for track in tracks))
    empty, most = 0, max(MAX_PADDING_BYTES, sum(end - start for start, end in mdats) // 10)
    for start, end, is_gap in _seams((span for span in spans if span[0] < span[1]), mdats, budget):
        if not is_gap:
            yield Problem("samples_overlap", f"the byte at {start} belongs to several samples")
            return
        empty += end - start
        padded = not runs and end - start <= PADDING_BYTES
        if empty > most or not (padded or _is_padding(read, start, end, budget)):
            yield Problem("unreferenced_data", f"{end - start} bytes at {start} belong to no track")
            return


def _seams(
    spans: Iterator[Span], mdats: list[Span], budget: Budget
) -> Iterator[tuple[int, int, bool]]:
    """Give each gap inside *mdats* (True) and each overlap (False) of *spans*, in order."""
    span, count = next(spans, None), 0
    for begin, stop in mdats:
        at = begin
        while span is not None and span[0] < stop:
            count += 1
            if count % _BITE == 0:
                budget.check()
            start, end = span
            if start > at:
                yield at, start, True
            elif start < at and start >= begin:
                yield start, at, False
            at = max(at, end)
            span = next(spans, None)
        if at < stop:
            yield at, stop, True


def _is_padding(read: Read, start: int, end: int, budget: Budget) -> bool:
    return _is_blank(read, _behind_boxes(read, start, end, budget), end, budget)


def fills(read: Read, start: int, end: int, budget: Budget) -> bool:
    """Say whether nothing stands in free space from *start* to *end*, but a writer's remains."""
    head = read(start, min(_HEAD, end - start))
    is_blank = end - start > _HEAD and head.count(head[0]) == _HEAD
    return _is_blank(read, start, end, budget) if is_blank else is_filling(head)


def _is_blank(read: Read, start: int, end: int, budget: Budget) -> bool:
    while start < end:
        budget.check()
        block = read(start, min(_BLOCK, end - start))
        if not block or block[0] not in {0, 0xFF} or block.count(block[0]) != len(block):
            return False
        start += len(block)
    return True


def _behind_boxes(read: Read, start: int, end: int, budget: Budget) -> int:
    """Give where the boxes end that begin at *start*: those that fill, and headers of media."""
    while end - start >= 8:  # noqa: PLR2004 - a box's header
        head = read(start, 16)
        length, kind, header = u32(head, 0), head[4:8], 8
        if length == 1 and len(head) == 16:  # noqa: PLR2004 - one with a 64-bit length
            length, header = u64(head, 8), 16
        if kind == b"mdat" and start + header <= end:
            start += header
        elif kind in _REMAINS and header <= length <= end - start:
            start += length
        elif kind in FILL and header <= length <= end - start:
            if not fills(read, start + header, start + length, budget):
                break
            start += length
        else:
            break
    return start
