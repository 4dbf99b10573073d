"""The elements of which Matroska and WebM are made: an id, a size, a payload. Pure."""

from dataclasses import dataclass

from watcher.transcode.findings import Malformed, Read


@dataclass(frozen=True, slots=True)
class Element:
    """One element: its id, where its payload is, where it ends (None: unknown size)."""

    ident: int
    payload: int
    end: int | None


def element_at(read: Read, offset: int) -> Element | None:
    """Read the element that begins at *offset*; None where none does."""
    header = read(offset, 12)
    if not header or not (width := _width(header[0], 4)) or len(header) <= width:
        return None
    ident = int.from_bytes(header[:width], "big")
    length_width = _width(header[width], 8)
    raw = header[width : width + length_width]
    if not length_width or len(raw) != length_width:
        return None
    length = int.from_bytes(raw, "big") & ((1 << 7 * length_width) - 1)
    payload = offset + width + length_width
    unknown = length == (1 << 7 * length_width) - 1
    return Element(ident, payload, None if unknown else payload + length)


def _width(first: int, most: int) -> int:
    """Give how many bytes a number has by its first one; 0 where that is none."""
    width = 9 - first.bit_length() if first else 0
    return width if width <= most else 0


def number_at(data: bytes, offset: int) -> tuple[int, int]:
    """Read a number of variable width, and give its width too; `Malformed` where there is none."""
    width = _width(data[offset], 8) if offset < len(data) else 0
    raw = data[offset : offset + width]
    if not width or len(raw) != width:
        raise Malformed("a number ends before its last byte")
    return int.from_bytes(raw, "big") & ((1 << 7 * width) - 1), width
