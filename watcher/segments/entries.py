"""What the index is made of: the raw entry, a directory's share of them, and the figures. Pure.

An entry is a bare tuple that sorts by itself, oldest first, with the directory's string shared by
all its files; its last member is a small integer for the state, so that the garbage collector need
not look at it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple

from sortedcontainers import SortedList

from watcher.segments.segment import State

Item = tuple[int, int, str, str, int]
"""mtime in ns, size in bytes, directory, name, and the state's code."""

_name_of = itemgetter(3)

CANDIDATE, OPEN, REPLACED, FIRST_REASON = 0, 1, 2, 3
"""Codes of the states; from FIRST_REASON on each stands for a verdict's reason."""

STATES = {CANDIDATE: State.CANDIDATE, OPEN: State.OPEN, REPLACED: State.REPLACED}


@dataclass(frozen=True, slots=True)
class Counts:
    """How many segments there are, and in which state."""

    segments: int
    size_bytes: int
    by_state: Mapping[State, int]
    bytes_by_state: Mapping[State, int]
    by_reason: Mapping[str, int]
    due: int
    """Candidates that are old enough at the time asked for; 0 where no time was given."""


class Known(NamedTuple):
    """What the observer needs of a known file."""

    size_bytes: int
    mtime_ns: int
    is_open: bool
    is_replaced: bool


class Home:
    """A directory's files, and our own files in it by the recording they stand beside."""

    __slots__ = ("camera", "items", "sidecars")

    def __init__(self, camera: str) -> None:
        self.camera = camera
        self.items: dict[str, Item] = {}
        self.sidecars: dict[str, set[str]] = {}

    def knows_none_of(self, found: Iterable[Item]) -> bool:
        """Say whether none of their names is known."""
        return not self.items or self.items.keys().isdisjoint(map(_name_of, found))

    def news(self, found: Iterable[Item]) -> list[Item]:
        """Those of *found* that are not known as they are."""
        known = self.items.get
        news: list[Item] = []
        for one in found:
            item = known(one[3])
            if (
                item is None
                or item[0] != one[0]
                or item[1] != one[1]
                or ((one[4] == OPEN) != (item[4] == OPEN) and item[4] != REPLACED)
            ):
                news.append(one)
        return news

    def names(self) -> tuple[list[str], list[tuple[str, str]]]:
        """The recordings, and the pairs of recording and file of ours beside it."""
        sidecars = self.sidecars.items()
        return list(self.items), [(name, sidecar) for name, ours in sidecars for sidecar in ours]

    def items_at(self, directory: str) -> list[Item]:
        """Its files as they are found at another path: nothing is judged yet."""
        return [
            (mtime_ns, size_bytes, directory, name, OPEN if code == OPEN else CANDIDATE)
            for mtime_ns, size_bytes, _, name, code in self.items.values()
        ]

    def add_sidecars(self, sidecars: Mapping[str, set[str]]) -> None:
        """Note files of ours, by the recording they stand beside."""
        for recording_name, names in sidecars.items():
            self.sidecars.setdefault(recording_name, set()).update(names)

    def takes_last_sidecar(self, recording_name: str, sidecar_name: str) -> bool:
        """Forget a file of ours; whether it was the last one beside its recording."""
        names = self.sidecars.get(recording_name)
        if names is None:
            return False
        names.discard(sidecar_name)
        if not names:
            del self.sidecars[recording_name]
        return not names


class Line:
    """Entries in their order; what comes in bulk is sorted in only when the order is asked for."""

    def __init__(self) -> None:
        self._sorted: SortedList = SortedList()
        self._waiting: list[Item] = []

    def add(self, item: Item, *, in_bulk: bool) -> None:
        """Take in an entry."""
        if in_bulk:
            self._waiting.append(item)
        else:
            self._sorted.add(item)

    def add_all(self, items: list[Item]) -> None:
        """Take in many: sorted among themselves, they are soon sorted in."""
        self._waiting += sorted(items)

    def remove(self, item: Item) -> None:
        """Give up an entry that is in it."""
        self._in_order().remove(item)

    def first(self) -> Item | None:
        """The oldest."""
        items = self._in_order()
        return items[0] if items else None

    def after(self, last: tuple[object, ...] | None) -> Iterator[Item]:
        """Everything behind *last*, or all, in order."""
        items = self._in_order()
        if last is None:
            return iter(items)
        return iter(items.irange(minimum=last, inclusive=(False, True)))

    def number_before(self, item: tuple[object, ...]) -> int:
        """How many come before *item*."""
        return int(self._in_order().bisect_left(item))

    def __len__(self) -> int:
        return len(self._sorted) + len(self._waiting)

    def _in_order(self) -> SortedList:
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            self._sorted.update(waiting)
        return self._sorted


class Tally:
    """Numbers and bytes by state, and a code for each verdict's reason."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self._code_of: dict[str, int] = {}
        self._count = [0] * FIRST_REASON
        self._bytes = [0] * FIRST_REASON

    def code_of(self, reason: str) -> int:
        """Give the code of a verdict's reason."""
        code = self._code_of.get(reason)
        if code is None:
            code = self._code_of[reason] = FIRST_REASON + len(self.reasons)
            self.reasons.append(reason)
            self._count.append(0)
            self._bytes.append(0)
        return code

    def add(self, item: Item) -> None:
        """Count an entry."""
        self._count[item[4]] += 1
        self._bytes[item[4]] += item[1]

    def add_all(self, items: list[Item], code: int) -> None:
        """Count many of one state."""
        self._count[code] += len(items)
        self._bytes[code] += sum(map(itemgetter(1), items))

    def take(self, item: Item) -> None:
        """Count it no more."""
        self._count[item[4]] -= 1
        self._bytes[item[4]] -= item[1]

    def counts(self, due: int) -> Counts:
        """Everything at once."""
        number = {state: self._count[code] for code, state in STATES.items()}
        size = {state: self._bytes[code] for code, state in STATES.items()}
        number[State.SETTLED] = sum(self._count[FIRST_REASON:])
        size[State.SETTLED] = sum(self._bytes[FIRST_REASON:])
        numbered = zip(self.reasons, self._count[FIRST_REASON:], strict=True)
        reasons = {reason: count for reason, count in numbered if count}
        return Counts(sum(self._count), sum(self._bytes), number, size, reasons, due)
