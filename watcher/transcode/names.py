"""Which boxes may stand in which box of an MP4 or MOV file's index. Pure.

One flipped bit in a name turns a track, an edit list or a pixel's shape into a box that every
reader skips, and a copy would lose it without a word. So a name that is on no list is a problem,
and so is a box that stands twice where only one can be meant (`stss` is one bit from `stsc`). What
stands in `udta` and `meta` is collected by `notes`, to be looked for in what was read; what else a
copy would not have, a region that is cut out or a box of a maker's own, is refused by name.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from watcher.transcode.findings import (
    Malformed,
    Note,
    Problem,
    TooLargeError,
    child,
    children,
    u32,
)
from watcher.transcode.notes import (
    FILL,
    NOT_CARRIED,
    foreign_uuid,
    is_filling,
    meta_notes,
    user_notes,
)

_FILL: Final = FILL | {b"uuid"}
_GROUPS: Final = frozenset({b"sbgp", b"sgpd", b"csgp", b"subs", b"saiz", b"saio"})
_MANY: Final = _FILL | _GROUPS | {b"trak", b"traf", b"trun", b"trex", b"pssh", b"meta"}


def _named(words: str) -> frozenset[bytes]:
    return frozenset(words.encode().split()) | _FILL


_MAY_HOLD: Final[Mapping[bytes, frozenset[bytes]]] = {
    b"moov": _named("mvhd trak udta meta mvex pssh iods ctab clip prfl"),
    b"trak": _named("tkhd edts mdia tref udta meta tapt load txas clip matt imap trgr"),
    b"edts": _named("elst"),
    b"tref": _named(
        "chap tmcd cdsc sync scpt ssrc hint mpod dpnd ipir hind vdep vplx subt font thmb auxl cdep"
    ),
    b"mdia": _named("mdhd hdlr minf elng udta"),
    b"minf": _named("vmhd smhd hmhd nmhd sthd gmhd hdlr dinf stbl"),
    b"dinf": _named("dref"),
    b"stbl": _named("stsd stts ctts cslg stsc stsz stco co64 stss stps stsh padb stdp sdtp")
    | _GROUPS,
    b"mvex": _named("mehd trex leva trep"),
    b"moof": _named("mfhd traf pssh meta"),
    b"traf": _named("tfhd tfdt trun sdtp senc meta") | _GROUPS,
}
_CHANGES_WHAT_IS_SEEN: Final = frozenset({b"clip", b"matt", b"imap", b"trgr"})
_NO_LANGUAGE: Final = frozenset({b"", b"und"})
VIDEO_ENTRY: Final = _named(
    "avcC hvcC lhvC mvcC svcC av1C vpcC dvcC dvvC dvwC esds d263 btrt colr pasp clap fiel gama chrm"
    " mdcv clli cclv amve ccst auxi st3d sv3d vexu hfov glbl sinf avcE hvcE"
)
AUDIO_ENTRY: Final = _named(
    "esds wave chan chnl srat dOps dac3 dec3 dac4 dfLa ddts dmlp alac damr mhaC pcmC btrt SA3D sinf"
)
_ISO_VIDEO: Final = frozenset(
    {b"avc1", b"avc2", b"avc3", b"avc4", b"hvc1", b"hev1", b"encv", b"dvh1", b"dvhe", b"dvav"}
)


def strangers(parent: bytes, data: memoryview) -> Iterator[Problem | Note]:
    """Give what does not belong into the box *parent* of payload *data*, nor further inside.

    And what a maker has noted there.
    """
    known = _MAY_HOLD.get(parent)
    if known is None:
        return
    seen: set[bytes] = set()
    for kind, payload in children(data):
        if kind not in known:
            yield _stranger(kind, parent)
        elif kind in seen and kind not in _MANY:
            yield Problem("bad_box", f"{kind!r} stands twice in {parent!r}")
        seen.add(kind)
        yield from _noted(kind, payload, parent.decode("latin-1"))
        yield from strangers(kind, payload)


def _noted(kind: bytes, payload: memoryview, where: str) -> Iterator[Problem | Note]:
    if kind == b"udta":
        yield from _boxes(user_notes(payload, where), "user data", where)
    elif kind == b"meta":
        yield from _boxes(meta_notes(payload, where), "metadata", where)
    elif kind == b"uuid":
        if problem := foreign_uuid(payload, where):
            yield problem
    elif kind in FILL and not is_filling(payload):
        yield Problem(NOT_CARRIED, f"data in free space ({where})")
    elif kind in _CHANGES_WHAT_IS_SEEN:
        yield Problem(NOT_CARRIED, f"{kind!r} in {where} changes what is seen")
    elif kind == b"elng" and bytes(payload[4:]).rstrip(b"\0") not in _NO_LANGUAGE:
        yield Problem(NOT_CARRIED, f"the extended language of a track ({where})")


def _boxes(found: Iterator[Problem | Note], what: str, where: str) -> Iterator[Problem | Note]:
    """Give what was *found*, up to where there are no boxes: some put a bare text there."""
    try:
        yield from found
    except TooLargeError:
        raise
    except Malformed:
        yield Problem(NOT_CARRIED, f"what stands in the {what} of {where} is no list of boxes")


def entry_strangers(kind: bytes, known: frozenset[bytes], data: memoryview) -> Iterator[Problem]:
    """Give what does not belong among the boxes *data* at the end of the sample entry *kind*."""
    for inner, payload in children(data):
        if inner not in known:
            yield _stranger(inner, kind)
        elif inner == b"uuid" and (problem := foreign_uuid(payload, kind.decode("latin-1"))):
            yield problem
        elif inner == b"hfov":
            yield Problem(NOT_CARRIED, f"the field of view in {kind!r}")


def cut_out(kind: bytes, entry: memoryview, boxes: memoryview) -> Iterator[Problem]:
    """Give what shows a part of the picture alone: decoders cut it out, and a copy is smaller."""
    clap = child(boxes, b"clap")
    if clap is None:
        return
    size = u32(entry, 24)
    wide, high = (u32(clap, at) for at in (0, 8))
    shown = wide == (size >> 16) * u32(clap, 4) and high == (size & 0xFFFF) * u32(clap, 12)
    if not (wide and high and shown) or u32(clap, 16) or u32(clap, 24):
        yield Problem(NOT_CARRIED, f"a part that is cut out of the picture (clap in {kind!r})")


def ends_in_boxes(kind: bytes) -> bool:
    """Say whether a video's sample entry of *kind* ends in boxes and nothing else."""
    return kind in _ISO_VIDEO


def _stranger(kind: bytes, parent: bytes) -> Problem:
    return Problem("unknown_box", f"{kind!r} in {parent!r} is of no kind that is known")
