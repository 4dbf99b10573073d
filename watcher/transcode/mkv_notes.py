"""What a maker has noted in a Matroska file beside the media, and what no copy would have. Pure.

Each element of the header, the tracks, tags, chapters and attachments is of a kind that is known:
one that libavformat reads, one that is structure, or one that it drops, which is a problem. Texts
are collected, to be looked for among those that were read (`source`).
"""

from collections.abc import Iterator, Mapping
from typing import Final

from watcher.transcode.ebml import Element, element_at
from watcher.transcode.findings import Budget, Malformed, Note, Problem, Read
from watcher.transcode.notes import MAX_TEXT_BYTES, NOT_CARRIED

_VOID, _CRC, _EDITION, _ATOM = 0xEC, 0xBF, 0x45B9, 0xB6
_TEXT, _LOST, _LOST_IF_SET, _SKIP, _LANGUAGE = "text", "lost", "lost if set", "skip", "language"
_PART: Final = "part"  # an element that has elements of its own, by the next table


def _table(**kinds: str) -> dict[int, str]:
    """Give what becomes of each id, from ids by what becomes of them."""
    ways = {"texts": _TEXT, "lost": _LOST, "lost_if_set": _LOST_IF_SET, "parts": _PART}
    ways |= {"skipped": _SKIP, "languages": _LANGUAGE}
    return {int(word, 16): ways[way] for way, words in kinds.items() for word in words.split()}


_KNOWN: Final[Mapping[int, Mapping[int, str]]] = {
    0x1549A966: _table(  # the segment's header; whom it follows belongs to another file
        texts="7BA9",
        lost="7384 3CB923 3C83AB 3EB923 3E83BB 6924",
        skipped="73A4 4444 2AD7B1 4489 4461 4D80 5741",
    ),
    0x1654AE6B: _table(parts="AE"),
    0xAE: _table(
        texts="536E",
        languages="22B59C 22B59D",
        lost="41E4 6FAB 6624 E2 C0 C1 C4 C6 C7",
        lost_if_set="537F",
        parts="E0 E1",
        skipped="D7 73C5 83 B9 88 55AA 55AB 55AC 55AD 55AE 55AF 9C 6DE7 6DF8 23E383 234E7A 23314F"
        " 55EE 86 63A2 258688 7446 3A9697 3B4040 26B240 AA 56AA 56BB 6D80",
    ),
    0xE0: _table(
        lost="2FB523",
        lost_if_set="53C0 54AA 54BB 54CC 54DD",  # transparency; what is cut off at each side
        skipped="9A 9D 53B8 53B9 B0 BA 54B0 54BA 54B2 54B3 2EB524 2383E3 55B0 7670",
    ),
    0xE1: _table(lost="7D7B", lost_if_set="52F1", skipped="B5 78B5 9F 6264"),
    0x1254C367: _table(parts="7373"),
    0x7373: _table(parts="63C0 67C8"),
    0x63C0: _table(lost="63C9", skipped="68CA 63CA 63C5 63C4 63C6"),
    0x67C8: _table(texts="4487", lost="4485", parts="67C8", skipped="45A3 447A 447B 4484 44B4"),
    0x1043A770: _table(parts="45B9"),
    _EDITION: _table(lost="4520", lost_if_set="45BD 45DD", parts="B6", skipped="45BC 45DB"),
    _ATOM: _table(
        lost="6E67 6EBC 63C3 8F 6944 B6",
        lost_if_set="98",
        parts="80",
        skipped="73C4 5654 91 92 4598",
    ),
    0x80: _table(texts="85", skipped="437C 437D 437E"),
    0x1941A469: _table(parts="61A7"),
    0x61A7: _table(texts="467E 466E 4660", lost="4675 4661 4662", skipped="465C 46AE"),
}
NOTED: Final = frozenset({0x1549A966, 0x1654AE6B, 0x1254C367, 0x1043A770, 0x1941A469})
"""The elements of a segment that are looked at."""


def notes(read: Read, parent: Element, budget: Budget) -> Iterator[Note | Problem]:
    """Give what stands in *parent*, one of `NOTED`; `Malformed` where it is not whole."""
    levels, editions = [(parent, parent.payload)], 0
    while levels:
        around, at = levels.pop()
        if around.end is None or at >= around.end:
            continue
        budget.check()
        budget.take_parts(1)
        element = element_at(read, at)
        if element is None or element.end is None or element.end > around.end:
            raise Malformed(f"at byte {at} no element begins that fits into its parent")
        levels.append((around, element.end))
        way = _KNOWN[around.ident].get(element.ident)
        editions += element.ident == _EDITION
        if way == _PART and editions <= 1:
            levels.append((element, element.payload))
        elif element.ident not in {_VOID, _CRC}:
            yield from _noted(read, element, element.end, way)


def _noted(read: Read, element: Element, end: int, way: str | None) -> Iterator[Note | Problem]:
    name = f"the element {element.ident:X}"
    if way is None:
        yield Problem("unknown_box", f"{name} before byte {element.payload} is of no known kind")
    elif way in {_LOST, _PART}:  # a part: a second edition of the chapters
        yield Problem(NOT_CARRIED, f"{name} before byte {element.payload} would be lost")
    elif way != _SKIP:
        if end - element.payload > MAX_TEXT_BYTES:
            yield Problem(NOT_CARRIED, f"{name} before byte {element.payload} is too long a text")
            return
        raw = read(element.payload, end - element.payload).rstrip(b"\0")
        if way == _LOST_IF_SET and any(raw):
            yield Problem(NOT_CARRIED, f"{name} before byte {element.payload} would be lost")
        # A language without a region is said a second time, in words of three letters.
        is_known = way == _LANGUAGE and (raw == b"und" or (len(raw) == 2))  # noqa: PLR2004
        if way in {_TEXT, _LANGUAGE} and raw and not is_known:
            yield Note(name, (raw.decode("utf-8", "replace"),))
