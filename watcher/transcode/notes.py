"""What a maker has noted in an MP4 or MOV file beside the media (`udta`, `meta`). Pure.

A copy gets what libavformat reads as words, and nothing else: it drops a camera's own boxes in
silence. So every word that stands here is collected, to be looked for among those that were read
(`source`), and what is no word, or not of a form that is read, is a problem.
"""

import re
import struct
from collections.abc import Iterator
from typing import Final

from watcher.transcode.findings import Note, Problem, children, u32

MAX_TEXT_BYTES: Final = 1 << 16
FILL: Final = frozenset({b"free", b"skip", b"wide"})
NOT_CARRIED: Final = "metadata_not_carried"

_OF_THE_WRITER: Final = frozenset({b"\xa9too", b"\xa9swr", b"\xa9enc"})
_ROLES: Final = frozenset(
    f"urn:mpeg:dash:role:2011\0{role}\0".encode()
    for role in ("caption", "commentary", "description", "dub", "forced-subtitle")
)
"""What ffmpeg makes a disposition of, and of a disposition (libavformat/isom.c)."""

_NEEDED: Final = {
    b"mtxi": "by which MediaMTX's playback finds and joins its segments",
}
"""A recorder's own bookkeeping, without which it does not know its file again."""

_META_PARTS: Final = FILL | {b"hdlr", b"mhdr", b"keys", b"ilst"}
_SIGNED: Final = frozenset({1, 2, 3, 4, 8})  # how many bytes an integer has
_WORDS, _INTEGER, _UNSIGNED, _FLOAT = 1, 21, 22, 23
_SIGNATURES: Final = (b"IsoMedia File Produced with GPAC",)
_REMAINS: Final = frozenset(b"mvhd trak moov moof mdat mfhd traf trun free skip udta".split())
_STRUCTURE: Final = frozenset(
    map(
        bytes.fromhex,
        (
            "6d1d9b0542d544e680e2141daff757b2",  # the time of a fragment (smooth streaming)
            "d4807ef2ca3946958e5426cb9e46a79f",  # the times of those that follow
            "50524f4621d24fcebb88695cfac9c740",  # the codecs that are in the file (Sony)
        ),
    )
)

_XMP: Final = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_XPACKET: Final = (
    rb"""<\?xpacket( begin=["'](\xef\xbb\xbf)?["']| id=["']\w*["']| end=["'][rw]["'])*\s*\?>"""
)
_NOTHING_IN_XMP: Final = re.compile(  # GStreamer writes one where it was told of nothing that fits
    rb"\s*(%s\s*)?<x:xmpmeta( xmlns:x=\"[^\"<>]*\"| x:xmptk=\"[^\"<>]*\")*>\s*"
    % _XPACKET
    + rb'<rdf:RDF( xmlns:\w+="[^"<>]*")*>\s*'
    rb'<rdf:Description rdf:about="">\s*</rdf:Description>\s*</rdf:RDF>\s*</x:xmpmeta>\s*'
    rb"(%s)?[\s\0]*" % _XPACKET
)
HEAD_BYTES: Final = 1 << 12
"""A box of somebody's own that is no longer is looked at whole."""


def foreign_uuid(payload: memoryview, where: str) -> Problem | None:
    """Give the problem that a box of somebody's own is, unless it is structure alone."""
    name = bytes(payload[:16])
    if name in _STRUCTURE or (name == _XMP and _NOTHING_IN_XMP.fullmatch(payload[16:])):
        return None
    what = "XMP metadata" if name == _XMP else f"a box of a maker's own ({name.hex()})"
    return Problem(NOT_CARRIED, f"{what} in {where}")


def is_filling(content: bytes | memoryview) -> bool:
    """Say whether what stands in free space is nothing: one byte repeated, or a writer's remains.

    Free space may hold anything, by the standard; dashboard cameras keep their GPS track there.
    """
    raw = bytes(content)
    if not raw or raw.count(raw[0]) == len(raw):
        return True
    return raw[4:8] in _REMAINS or raw.startswith(_SIGNATURES)


def user_notes(udta: memoryview, where: str) -> Iterator[Note | Problem]:
    """Give what stands in the user data of *where*."""
    for kind, payload in children(udta):
        if kind == b"meta":
            yield from meta_notes(payload, where)
        elif kind in FILL:
            if not is_filling(payload):
                yield Problem(NOT_CARRIED, f"data in free space ({where})")
        elif kind == b"uuid":
            if problem := foreign_uuid(payload, where):
                yield problem
        elif kind in _NEEDED:
            yield Problem(NOT_CARRIED, f"{kind!r} of {where}, {_NEEDED[kind]}")
        elif len(payload) > MAX_TEXT_BYTES:
            yield Problem(NOT_CARRIED, f"{kind!r} of {where} is too long for a text")
        elif kind not in _OF_THE_WRITER | {b"chpl"} and not _is_no_text(kind, payload):
            # chapters are compared by themselves
            texts = _place(payload) if kind == b"loci" else _plain(payload)
            yield from _noted(kind, texts, where)


def _is_no_text(kind: bytes, payload: memoryview) -> bool:
    """Say whether a box is read as a disposition, and compared as one, or holds nothing."""
    if kind == b"kind":
        return bytes(payload[4:]) in _ROLES
    return kind == b"XMP_" and bool(_NOTHING_IN_XMP.fullmatch(payload))


def meta_notes(meta: memoryview, where: str) -> Iterator[Note | Problem]:
    """Give what stands in the metadata of *where*, as iTunes or as QuickTime writes it."""
    full = bytes(meta[4:8]) != b"hdlr"  # QuickTime's has neither version nor flags
    for kind, payload in children(meta[4:] if full else meta):
        if kind not in _META_PARTS:
            yield Problem(NOT_CARRIED, f"{kind!r} in the metadata of {where}")
        elif kind == b"ilst":
            for item, content in children(payload):
                yield from _item(item, content, where)
        elif kind in FILL and not is_filling(payload):
            yield Problem(NOT_CARRIED, f"data in free space ({where})")


def _item(kind: bytes, item: memoryview, where: str) -> Iterator[Note | Problem]:
    for inner, payload in children(item):
        if inner == b"data" and kind not in _OF_THE_WRITER:
            yield from _noted(kind, [_typed(u32(payload, 0), bytes(payload[8:]))], where)


def _noted(
    kind: bytes, texts: list[tuple[str, ...]] | None, where: str
) -> Iterator[Note | Problem]:
    for text in texts or [()]:
        if not text:
            yield Problem(NOT_CARRIED, f"{kind!r} of {where} is of a form that is not read")
        elif text[0]:
            yield Note(f"{kind!r} of {where}", text)


def _typed(kind: int, value: bytes) -> tuple[str, ...]:
    """Give how a value of the metadata may be read; nothing where it is not."""
    if kind in {_INTEGER, _UNSIGNED} and len(value) in _SIGNED:
        return (str(int.from_bytes(value, "big", signed=kind == _INTEGER)),)
    if kind == _FLOAT and len(value) == struct.calcsize(">f"):
        return (f"{struct.unpack('>f', value)[0]:f}",)
    return _words(value) if kind in {0, _WORDS} else ()


def _plain(payload: memoryview) -> list[tuple[str, ...]] | None:
    """Read QuickTime's strings, each behind its length and language, or one without these."""
    raw = bytes(payload)
    texts, at = [], 0
    while len(raw) - at >= 4:  # noqa: PLR2004 - a length and a language
        length = int.from_bytes(raw[at : at + 2], "big")
        if at + 4 + length > len(raw):
            return [_words(raw)]
        texts.append(_words(raw[at + 4 : at + 4 + length]))
        at += 4 + length
    return texts if texts and not any(raw[at:]) else [_words(raw)]


def _words(raw: bytes) -> tuple[str, ...]:
    """Give how *raw* may be read as a text; nothing where more stands behind its end."""
    text = raw.rstrip(b"\0")
    if b"\0" in text:
        return ()
    return (text.decode("utf-8", "replace"), text.decode("mac_roman"))


def _place(loci: memoryview) -> list[tuple[str, ...]]:
    """Read where on Earth it was, if it says nothing more: libavformat drops role and notes."""
    raw = bytes(loci)
    name, _, rest = raw[6:].partition(b"\0")
    if name or len(rest) < 13 or rest[0] or rest[13:].rstrip(b"\0") not in {b"", b"earth"}:  # noqa: PLR2004
        return [()]
    longitude, latitude, altitude = (value / 65536 for value in struct.unpack_from(">3i", rest, 1))
    return [(f"{latitude:+08.4f}{longitude:+09.4f}/",)] if not altitude else [()]
