"""What an H.264 parameter set says of how pictures are shown, and which one a slice names. Pure.

Only as much of the syntax (ITU-T H.264, 7.3 and E.1) as decides what a viewer sees, or what a
picture's SEI means. How pictures are coded is none of its business: a copy codes them anew.
"""

from dataclasses import dataclass, fields
from typing import Final

from watcher.transcode.nalunits import Buffer, plain

SLICE, IDR_SLICE, SEI, SPS, PPS = 1, 5, 6, 7, 8
SLICES: Final = frozenset({1, 2, 5})
OTHER_LAYERS: Final = frozenset({19, 20, 21})
"""Pictures beside the picture: auxiliary (alpha), of another layer or view, depth."""

NO_CLOCK: Final = "time_scale/num_units_in_tick invalid"
"""libavcodec says so where a camera has left a clock at 0. When, is the container's to say."""

_CHROMA_PROFILES: Final = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
_EXTENDED_ASPECT = 255
_FAR = 1 << 16  # no parameter set is longer: a hostile one ends here
_SLICE_BYTES = 24
_MOST_SEQUENCES, _MOST_PICTURES = 32, 256
_ASPECTS: Final = (
    (0, 1), (1, 1), (12, 11), (10, 11), (16, 11), (40, 33), (24, 11), (20, 11), (32, 11),
    (80, 33), (18, 11), (15, 11), (64, 33), (160, 99), (4, 3), (3, 2), (2, 1),
)  # fmt: skip
_PICTURES_OF_STRUCT: Final = (1, 1, 1, 2, 2, 3, 3, 2, 3)  # clock timestamps by pic_struct


@dataclass(frozen=True, slots=True)
class Shown:
    """What of a sequence parameter set a viewer sees. Unset is None, not zero.

    Not its clock: a camera that records fewer frames at night says so there, and when each is shown
    is the container's to say, frame by frame.
    """

    size: tuple[int, int]
    chroma: int
    depth: tuple[int, int]
    aspect: tuple[int, int] | None = None
    overscan: int | None = None
    full_range: bool | None = None
    colors: tuple[int, int, int] | None = None
    chroma_place: tuple[int, int] | None = None

    def difference(self, other: "Shown") -> str:
        """Say what differs; "" where nothing does."""
        names = [f.name for f in fields(self) if getattr(self, f.name) != getattr(other, f.name)]
        return ", ".join(
            f"{name.replace('_', ' ')} from {getattr(self, name)} to {getattr(other, name)}"
            for name in names
        )


@dataclass(frozen=True, slots=True)
class Timing:
    """How a picture's timing message is laid out, as its parameter set says."""

    delay_bits: int = 0
    has_struct: bool = False


@dataclass(frozen=True, slots=True)
class ParameterSet:
    """One sequence parameter set. *fields*: its pictures may be coded in fields."""

    ident: int
    shown: Shown
    fields: bool
    timing: Timing


class _Bits:
    """Reads bits; behind the end there are zeros, and `ValueError` once far beyond it."""

    def __init__(self, data: bytes) -> None:
        self._data = int.from_bytes(data, "big")
        self._left = self._size = len(data) * 8

    def u(self, count: int) -> int:
        """Read an unsigned number of *count* bits."""
        self._left -= count
        if self._left < 0:
            raise ValueError("a parameter set ends inside a field")
        return self._data >> self._left & (1 << count) - 1

    def flag(self) -> bool:
        """Read one bit."""
        return self.u(1) == 1

    def ue(self) -> int:
        """Read an unsigned number of Golomb's code."""
        zeros = 0
        while not self.u(1):
            zeros += 1
            if zeros > 32:  # noqa: PLR2004 - no number of the standard is longer
                raise ValueError("a number is too long")
        return (1 << zeros) - 1 + self.u(zeros)

    def se(self) -> int:
        """Read a signed number of Golomb's code."""
        value = self.ue()
        return (value + 1) // 2 if value % 2 else -(value // 2)


def parameter_set(unit: Buffer) -> ParameterSet:
    """Read a sequence parameter set; `ValueError` where it can't be read."""
    bits = _Bits(plain(unit[:_FAR])[1:])
    profile = bits.u(8)
    bits.u(16)  # constraints, level
    ident = _numbered(bits.ue(), _MOST_SEQUENCES)
    chroma, depth = 1, (8, 8)
    if profile in _CHROMA_PROFILES:
        chroma, depth = _chroma(bits)
    _ordering(bits)
    bits.ue()  # reference frames
    bits.u(1)
    width, height = (bits.ue() + 1) * 16, (bits.ue() + 1) * 16
    frames_only = bits.flag()
    if not frames_only:
        height *= 2
        bits.u(1)
    bits.u(1)
    if bits.flag():
        across, down = (2 if chroma in (1, 2) else 1), (2 if chroma == 1 else 1)
        left, right, top, bottom = (bits.ue() for _ in range(4))
        width -= (left + right) * across
        height -= (top + bottom) * down * (1 if frames_only else 2)
    shown = Shown(size=(width, height), chroma=chroma, depth=depth)
    timing = Timing()
    if bits.flag():
        shown, timing = _usability(bits, shown)
    return ParameterSet(ident, shown, not frames_only, timing)


def named_by_picture_set(unit: Buffer) -> tuple[int, int]:
    """Give a picture parameter set's own number, and that of the sequence's it names."""
    bits = _Bits(plain(unit[:_SLICE_BYTES])[1:])
    return _numbered(bits.ue(), _MOST_PICTURES), _numbered(bits.ue(), _MOST_SEQUENCES)


def named_by_slice(unit: Buffer) -> int:
    """Give the number of the picture parameter set that a slice names."""
    bits = _Bits(plain(unit[:_SLICE_BYTES])[1:])
    bits.ue()  # first macroblock
    bits.ue()  # type
    return bits.ue()


def has_clock(payload: bytes, timing: Timing) -> bool:
    """Say whether a picture's timing message holds the time of day."""
    if not timing.has_struct:
        return False
    bits = _Bits(payload)
    bits.u(timing.delay_bits)
    struct = bits.u(4)
    if struct >= len(_PICTURES_OF_STRUCT):
        return False
    return any(bits.flag() for _ in range(_PICTURES_OF_STRUCT[struct]))


def _numbered(ident: int, most: int) -> int:
    if ident >= most:
        raise ValueError("a parameter set's number is too large")
    return ident


def _chroma(bits: _Bits) -> tuple[int, tuple[int, int]]:
    chroma = bits.ue()
    if chroma == 3:  # noqa: PLR2004 - 4:4:4
        bits.u(1)
    depth = (8 + bits.ue(), 8 + bits.ue())
    bits.u(1)
    if bits.flag():
        for number in range(12 if chroma == 3 else 8):  # noqa: PLR2004
            if bits.flag():
                _scaling_list(bits, 16 if number < 6 else 64)  # noqa: PLR2004
    return chroma, depth


def _scaling_list(bits: _Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.se()) % 256
        last = following or last


def _ordering(bits: _Bits) -> None:
    bits.ue()  # frame number's bits
    kind = bits.ue()
    if kind == 0:
        bits.ue()
    elif kind == 1:
        bits.u(1)
        bits.se()
        bits.se()
        for _ in range(min(bits.ue(), 256)):
            bits.se()


def _usability(bits: _Bits, shown: Shown) -> tuple[Shown, Timing]:
    """Read the video usability information, E.1.1."""
    aspect = _aspect(bits) if bits.flag() else None
    overscan = bits.u(1) if bits.flag() else None
    full_range, colors = None, None
    if bits.flag():
        bits.u(3)
        full_range = bits.flag()
        colors = (bits.u(8), bits.u(8), bits.u(8)) if bits.flag() else None
    place = (bits.ue(), bits.ue()) if bits.flag() else None
    if bits.flag():
        bits.u(32 + 32 + 1)  # its clock
    timing = _timing(bits)
    told = Shown(
        size=shown.size,
        chroma=shown.chroma,
        depth=shown.depth,
        aspect=aspect,
        overscan=overscan,
        full_range=full_range or None,  # not said is limited
        colors=None if colors == (2, 2, 2) else colors,  # said to be unspecified
        chroma_place=place,
    )
    return told, timing


def _aspect(bits: _Bits) -> tuple[int, int] | None:
    number = bits.u(8)
    if number == _EXTENDED_ASPECT:
        return bits.u(16), bits.u(16)
    if 0 < number < len(_ASPECTS):
        return _ASPECTS[number]
    return None


def _timing(bits: _Bits) -> Timing:
    delay_bits, present = 0, False
    for _ in range(2):  # of the NAL units, then of the slices alone
        if bits.flag():
            present, delay_bits = True, _buffering(bits)
    if present:
        bits.u(1)
    return Timing(delay_bits=delay_bits, has_struct=bits.flag())


def _buffering(bits: _Bits) -> int:
    """Read a decoder's buffer model; give the bits of both delays in a picture's timing."""
    count = min(bits.ue() + 1, 32)
    bits.u(8)
    for _ in range(count):
        bits.ue()
        bits.ue()
        bits.u(1)
    bits.u(5)
    removal, output = bits.u(5) + 1, bits.u(5) + 1
    bits.u(5)
    return removal + output
