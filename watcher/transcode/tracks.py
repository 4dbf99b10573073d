"""A movie and its tracks, as an index and fragments have told of them: see `moov`, `fragments`."""

from __future__ import annotations  # array[int] is a type for the checker alone before 3.12

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from watcher.transcode.findings import Malformed, Note, Problem

MOST_KINDS = 64  # of how long samples last, that are counted: more is no constant frame rate
_FARTHEST = 1 << 62

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Edit:
    """One entry of an edit list: *media_time* -1 is a pause; *duration* in movie ticks."""

    duration: int
    media_time: int
    rate: int  # 16.16 fixed point; 0x10000 is as recorded


@dataclass(slots=True)
class Pieces:
    """What fragments have added to one track, in the order of the file."""

    moofs: array[int] = field(default_factory=lambda: array("q"))  # where each begins
    begins: array[int] = field(default_factory=lambda: array("q"))  # decode time, in ticks
    ends: array[int] = field(default_factory=lambda: array("q"))
    counts: array[int] = field(default_factory=lambda: array("q"))  # samples
    paces: array[int] = field(default_factory=lambda: array("q"))  # each sample's ticks; 0: differ
    lasting: Counter[int] = field(default_factory=Counter)  # samples by how long each lasts
    first: int = -1  # how long the first sample of all lasts
    last: int = -1
    timed: bool = True  # each says when it begins

    def add(self, moof: int, begin: int, end: int, count: int, pace: int) -> None:
        """Note what one fragment has added."""
        for column, value in zip(
            (self.moofs, self.begins, self.ends, self.counts, self.paces),
            (moof, begin, end, count, pace),
            strict=True,
        ):
            column.append(value)

    def note(self, lasts: int, samples: int = 1) -> None:
        """Note how long so many samples last."""
        if len(self.lasting) <= MOST_KINDS:
            self.lasting[lasts] += samples
            self.first = lasts if self.first < 0 else self.first
        self.last = lasts


@dataclass(slots=True)
class Track:
    """One track, as far as its tables tell."""

    track_id: int
    handler: bytes
    timescale: int
    claimed: int  # the header's duration, in ticks
    presented: int  # how long it is shown as tkhd says, in movie ticks; 0: not said
    edits: tuple[Edit, ...]
    problems: list[Problem] = field(default_factory=list)
    times: Sequence[int] = ()  # when each sample is shown, in the order of decoding
    end: int = 0  # decode time behind the last sample
    last: int = 0  # how long the last sample of the index lasts; of fragments see `pieces`
    pace: int = 0  # the same of the last one of which it is said
    starts: array[int] = field(default_factory=lambda: array("q"))  # where in the file chunks lie
    ends: array[int] = field(default_factory=lambda: array("q"))
    packet: Span = (1, 0)  # so many uniform samples have so many bytes, whatever stsz says; 0: no
    rate: int = 0  # of a sound, as its entry says; 0: not said
    entries: int = 1  # sample descriptions
    defaults: tuple[int, int, int] = (1, 0, 0)  # of fragments: sample description, duration, size
    pieces: Pieces = field(default_factory=Pieces)

    def lies(self, start: int, end: int) -> None:
        """Note where in the file some of its samples lie."""
        if not 0 <= start <= end < _FARTHEST:
            raise Malformed(f"track {self.track_id} has samples where no file reaches")
        self.starts.append(start)
        self.ends.append(end)

    @property
    def first_time(self) -> int:
        """When its first sample is shown; of a range without looking at each."""
        return self.times[0] if isinstance(self.times, range) else min(self.times)

    @property
    def last_time(self) -> int:
        """When its last sample is shown."""
        return self.times[-1] if isinstance(self.times, range) else max(self.times)

    def problem(self, name: str, detail: str) -> None:
        """Note what is wrong with this track."""
        self.problems.append(Problem(name, f"track {self.track_id}: {detail}"))


@dataclass(slots=True)
class Movie:
    """The index of a file."""

    timescale: int
    tracks: list[Track]
    claimed: int  # the header's duration, in movie ticks; 0: not said
    extended: bool = False  # fragments may follow: what the header claims is not in the index alone
    claimed_fragments: int = 0  # mehd, in movie ticks; 0: not said
    encrypted: bool = False
    found: list[Problem | Note] = field(default_factory=list)  # wrong, or noted by its maker
