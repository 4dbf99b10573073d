"""What a walk of a container finds, and how it reads: shared by `boxes`, `moov` and `ebml`."""

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

Read = Callable[[int, int], bytes]
"""(offset, length) → at most so many bytes; fewer only at the end of the file."""

Buffer = bytes | memoryview

_U32 = struct.Struct(">I")
_U64 = struct.Struct(">Q")
HEADER_BYTES = 8  # length and kind of a box
MAX_CHILDREN = 10_000


MAX_SAMPLES = 8_000_000  # that differ from one another; a day of 60 fps has 5.2 million
MAX_CHUNKS = 8_000_000
MAX_PARTS = 12_000_000
FREE_PARTS = 2_000_000  # some ten seconds; more are granted to a file that is large
BYTES_A_PART = 256  # a packet of sound has as many


_FINELY_S = Fraction(1, 1000)


class Malformed(Exception):  # noqa: N818 - a finding, told by its message
    """A box that contradicts itself; the walk of its parent ends here."""


class TooLargeError(Malformed):
    """More than can be judged within bounds: no damage, but no proof either."""


def _go_on() -> None:
    """Ask nobody whether the walk may go on."""


@dataclass(slots=True)
class Budget:
    """What one walk may still use up, over all tracks; *check* may wait, or raise to end it."""

    check: Callable[[], None] = _go_on
    samples: int = MAX_SAMPLES
    chunks: int = MAX_CHUNKS
    parts: int = MAX_PARTS

    @classmethod
    def for_file(cls, size: int, check: Callable[[], None] | None = None) -> "Budget":
        """Give what a file of *size* bytes may cost: a small one of a million parts is no film."""
        return cls(check or _go_on, parts=min(MAX_PARTS, FREE_PARTS + size // BYTES_A_PART))

    def take_samples(self, count: int) -> None:
        """Use up *count* samples that need a table; `TooLargeError` where there are too many."""
        self.check()
        self.samples -= count
        if self.samples < 0:
            raise TooLargeError(f"more than {MAX_SAMPLES} samples can't be judged")

    def take_chunks(self, count: int) -> None:
        """Use up *count* chunks."""
        self.check()
        self.chunks -= count
        if self.chunks < 0:
            raise TooLargeError(f"more than {MAX_CHUNKS} chunks can't be judged")

    def take_parts(self, count: int) -> None:
        """Use up *count* parts: an element of a Matroska file is one, a fragment several."""
        self.parts -= count
        if self.parts < 0:
            raise TooLargeError("more parts than a recording of its size has can't be judged")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, by a stable name, and where."""

    name: str
    detail: str


@dataclass(frozen=True, slots=True)
class Note:
    """A text that a maker has put into the file, and how it may be read: one of *texts*."""

    where: str
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SoundEnd:
    """When a sound is over: its edit list's word, or its samples' end.

    *until_s* counts from the movie's begin. *tick_s* is how finely the movie's clock can tell.
    *last_s* is how long the last sample lasts that is heard.
    """

    until_s: Fraction
    tick_s: Fraction
    last_s: Fraction

    def is_at(self, other: "SoundEnd") -> bool:
        """Say whether both are over at one time, as far as their movies' clocks can tell."""
        return abs(self.until_s - other.until_s) <= _FINELY_S + self.tick_s + other.tick_s


@dataclass(frozen=True, slots=True)
class Walked:
    """What the walk of one file found. None: this container does not say."""

    container: str  # iso, matroska, mpegts, unknown
    problems: tuple[Problem, ...]
    moov_first: bool | None = None
    fragmented: bool | None = None
    video_frames: int | None = None
    video_times: Sequence[int] = ()  # in order; of one video that is shown in one part
    tracks: int | None = None
    silent: int | None = None  # sounds that have no sample
    sounds: tuple[SoundEnd | None, ...] | None = None  # None among them: without a sample
    notes: tuple[Note, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """The problems' names alone."""
        return frozenset(problem.name for problem in self.problems)


def u32(data: Buffer, offset: int) -> int:
    """Read a big-endian 32-bit number; `Malformed` where the data ends before it."""
    try:
        return int(_U32.unpack_from(data, offset)[0])
    except struct.error:
        raise Malformed(f"a box ends {offset + 4 - len(data)} bytes inside a field") from None


def u64(data: Buffer, offset: int) -> int:
    """Read a big-endian 64-bit number; `Malformed` where the data ends before it."""
    try:
        return int(_U64.unpack_from(data, offset)[0])
    except struct.error:
        raise Malformed(f"a box ends {offset + 8 - len(data)} bytes inside a field") from None


def is_wide(data: memoryview) -> bool:
    """Say whether a full box is of version 1, whose times have 64 bits."""
    return u32(data, 0) >> 24 == 1


def s32(value: int) -> int:
    """Read an unsigned 32-bit number as a signed one."""
    return value - (1 << 32) if value >= 1 << 31 else value


def s64(value: int) -> int:
    """Read an unsigned 64-bit number as a signed one."""
    return value - (1 << 64) if value >= 1 << 63 else value


def children(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Give (kind, payload) of each box inside *data*; `Malformed` where they do not tile it."""
    offset = 0
    for _ in range(MAX_CHILDREN):
        if len(data) - offset < HEADER_BYTES:  # QuickTime ends some lists with four zero bytes
            if any(data[offset:]):
                raise Malformed("a box has bytes behind its last child")
            return
        length, header = u32(data, offset), 8
        if length == 1:
            length, header = u64(data, offset + 8), 16
        elif length == 0:
            length = len(data) - offset
        if length < header or offset + length > len(data):
            kind = bytes(data[offset + 4 : offset + 8])
            raise Malformed(f"{kind!r} does not fit into the box around it")
        yield bytes(data[offset + 4 : offset + 8]), data[offset + header : offset + length]
        offset += length
    raise Malformed(f"more than {MAX_CHILDREN} boxes in one box")


def child(data: memoryview, *path: bytes) -> memoryview | None:
    """Give the payload of the first box down *path*; None where one is missing."""
    for wanted in path:
        found = next((payload for kind, payload in children(data) if kind == wanted), None)
        if found is None:
            return None
        data = found
    return data
