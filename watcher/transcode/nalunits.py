"""The units of an H.264 or HEVC stream: where each begins, and what its SEI messages hold. Pure.

Responsible for taking one packet apart, no further than its headers and its SEI. Promises never to
fail over a packet that is damaged: what can't be read is left out here, and found by whoever
decodes it. Leaves to `probe_inside` what the parts mean.
"""

import re
from collections.abc import Iterator
from typing import Final

Buffer = bytes | memoryview

SEI_HEADER: Final = {"h264": 1, "hevc": 2}
"""How many bytes stand before the payload of a unit, by codec."""

_START = re.compile(rb"\x00\x00\x01")
_ESCAPE = b"\0\0\3"
_IS_RECORD = 1  # the first byte of avcC and hvcC; a stream of start codes begins with zeros
_AVC_RECORD_BYTES = 7
_HEVC_RECORD_BYTES = 23
_MOST_EMPTY = 16  # a page of zeros is no list of units
_MORE = 0xFF
_STOP = 0x80


def unit_kind(unit: Buffer, codec: str) -> int:
    """Give the type of a unit of at least one byte."""
    return unit[0] & 0x1F if codec == "h264" else unit[0] >> 1 & 0x3F


def length_bytes(extradata: bytes, codec: str) -> int:
    """Give how many bytes a unit's length takes; 0 where units stand behind start codes."""
    if extradata[:1] != bytes([_IS_RECORD]):
        return 0
    if codec == "h264":
        return (extradata[4] & 3) + 1 if len(extradata) >= _AVC_RECORD_BYTES else 0
    return (extradata[21] & 3) + 1 if len(extradata) >= _HEVC_RECORD_BYTES else 0


def units(data: Buffer, prefix: int) -> Iterator[Buffer]:
    """Give each unit of a packet; *prefix* is what `length_bytes` gives."""
    if not prefix:
        yield from _behind_start_codes(bytes(data))
        return
    at, end, empty = 0, len(data), 0
    while at + prefix < end and empty < _MOST_EMPTY:
        length = int.from_bytes(data[at : at + prefix], "big")
        at += prefix
        if length:
            yield data[at : at + length]
        else:
            empty += 1
        at += length


def header_units(extradata: bytes, codec: str) -> list[bytes]:
    """Give the parameter sets of H.264 that stand in the header; nothing of HEVC's."""
    if not length_bytes(extradata, codec):
        return [bytes(unit) for unit in units(extradata, 0)]
    if codec != "h264":
        return []
    found, at = [], 5
    for mask in (0x1F, 0xFF):  # sequence parameter sets, then picture parameter sets
        count = extradata[at] & mask if at < len(extradata) else 0
        at += 1
        for _ in range(count):
            length = int.from_bytes(extradata[at : at + 2], "big")
            found.append(extradata[at + 2 : at + 2 + length])
            at += 2 + length
    return [unit for unit in found if unit]


def plain(unit: Buffer) -> bytes:
    """Give a unit without the bytes that only keep start codes out of it."""
    return bytes(unit).replace(_ESCAPE, b"\0\0")


def messages(unit: Buffer, codec: str) -> Iterator[tuple[int, bytes]]:
    """Give (type, payload) of each message of an SEI unit."""
    data = plain(unit)
    at = SEI_HEADER[codec]
    while at + 2 <= len(data) and not (data[at] == _STOP and not any(data[at + 1 :])):
        kind, at = _number(data, at)
        size, at = _number(data, at)
        yield kind, data[at : at + size]
        at += size


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Read a number that is the sum of its bytes, up to the first that is not 255."""
    value = 0
    while at < len(data) and data[at] == _MORE:
        value, at = value + _MORE, at + 1
    return value + (data[at] if at < len(data) else 0), at + 1


def _behind_start_codes(data: bytes) -> Iterator[bytes]:
    starts = [found.end() for found in _START.finditer(data)]
    ends = [start - 3 for start in starts[1:]] + [len(data)]
    for start, end in zip(starts, ends, strict=False):  # no start code: no unit
        unit = data[start:end].rstrip(b"\0")
        if unit:
            yield unit
