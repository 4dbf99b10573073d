"""Where no recording can be worked on for a while: what one place lacks must not stop another.

A disk without room, a file system that is read-only, a directory without the right to write: each
bars what lies there (or only what is as large), and candidates elsewhere go on. What was found by a
question that costs nothing is asked anew at every turn; what a job or a deletion ran into bars its
place for a minute, and for longer each time, up to an hour; a deletion that the kernel keeps bars
its disk until it lets go.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from watcher.clock import Clock, SystemClock
from watcher.errors import Halt, Retryable, WatcherError
from watcher.gate.asking import NoAnswer
from watcher.segments.segment import Segment
from watcher.tending import Tender, disk_of

BARRED_S: Final = 60.0
_LONGEST_S: Final = 3600.0
_GATE_S: Final = 30.0
_OF_A_DISK: Final = frozenset({"disk_full", "io_error", "read_only", "write_error"})
_OF_A_DIRECTORY: Final = frozenset({"permission"})
_ROOM: Final = (
    "free space on that disk; originals go by themselves when their safety"
    " period (or, where the disk needs it, their first hour) is over"
)

_Place = int | str


@dataclass(frozen=True, slots=True)
class Bar:
    """Why a place is barred: a fault (*halt*), or an ordinary wait; for files of *from_bytes*."""

    detail: str
    halt: Halt | None = None
    from_bytes: int = 0
    until_s: float = 0.0
    lifts: Callable[[], bool] = lambda: False


class Places:
    """What is barred, and what stood in the way since `anew`. One thread uses it, the shift's."""

    def __init__(
        self,
        tender: Tender,
        *,
        kept: Mapping[_Place, Bar] = MappingProxyType({}),
        disk_of: Callable[[str], int | None] = disk_of,
        clock: Clock | None = None,
    ) -> None:
        """*kept*: what `kept` gave of the one before a reload."""
        self._tender = tender
        self._disk_of = disk_of
        self._clock = clock or SystemClock()
        self._lasting: dict[_Place, Bar] = dict(kept)
        self._strikes: dict[_Place, int] = {}
        self._tight: dict[_Place, Bar] = {}
        self._disks: dict[str, _Place] = {}
        self._met: list[Bar] = []

    def anew(self) -> None:
        """A turn begins: forget what stood in the way in the one before."""
        now_s = self._clock.monotonic_s()
        self._lasting = {
            at: bar for at, bar in self._lasting.items() if bar.until_s > now_s and not bar.lifts()
        }
        self._tight, self._disks, self._met = {}, {}, []

    def admits(self, segment: Segment) -> bool:
        """Say whether its place lets a job on *segment* begin."""
        bar = self._known(segment.directory, segment.size_bytes) or self._found(segment)
        return self._noted(bar)

    def opens(self, directory: str) -> bool:
        """Say whether an original may be deleted in *directory*."""
        return self._noted(self._lasting_at(directory))

    def bar(self, directory: str, halt: Halt, wants_bytes: int = 1) -> bool:
        """Bar the place of *halt* for a while; False where it concerns more than one place.

        A full disk is tried again as soon as *wants_bytes* more are free.
        """
        if halt.reason not in _OF_A_DISK | _OF_A_DIRECTORY:
            return False
        place = directory if halt.reason in _OF_A_DIRECTORY else self._disk(directory)
        self._strikes[place] = strikes = self._strikes.get(place, 0) + 1
        for_s = min(_LONGEST_S, BARRED_S * 2 ** min(strikes - 1, 16))
        until_s = self._clock.monotonic_s() + for_s
        bar = Bar(halt.message, halt, until_s=until_s)
        if halt.reason == "disk_full":
            enough = self._free_bytes(directory) + wants_bytes
            bar = replace(bar, lifts=lambda: self._free_bytes(directory) >= enough)
        self._lasting[place] = bar
        return True

    def bar_while(self, directory: str, halt: Halt, lasts: Callable[[], bool]) -> None:
        """Bar *directory*'s disk, which keeps somebody, for as long as it does."""
        self._lasting[self._disk(directory)] = Bar(
            halt.message, halt, until_s=math.inf, lifts=lambda: not lasts()
        )

    def kept(self) -> Mapping[_Place, Bar]:
        """Give what is barred for as long as the kernel keeps somebody there."""
        return {at: bar for at, bar in self._lasting.items() if bar.until_s == math.inf}

    def wait(self, directory: str, detail: str) -> None:
        """Nothing begins on *directory*'s disk: look elsewhere for half a minute."""
        until_s = self._clock.monotonic_s() + _GATE_S
        self._lasting[self._disk(directory)] = Bar(detail, until_s=until_s)

    def confirms(self, segment: Segment, confirm: Callable[[Segment], bool]) -> bool:
        """Say what *confirm* says of *segment*; where its disk does not answer, look elsewhere."""
        try:
            return confirm(segment)
        except NoAnswer as silence:
            self.wait(segment.directory, f"{segment.directory}: {silence.strerror}")
            return False

    def worked(self, directory: str) -> None:
        """A job in *directory* ended as jobs do: whatever was wrong there is mended."""
        for place in (directory, self._disk(directory)):
            self._strikes.pop(place, None)

    def suspect(self, directory: str) -> bool:
        """Say whether a job there is a trial of a place that was at fault before."""
        return not self._strikes.keys().isdisjoint((directory, self._disk(directory)))

    def waits_for(self) -> str | None:
        """What a candidate waits for that will come by itself; None: none does."""
        return next((bar.detail for bar in self._met if bar.halt is None), None)

    def stops(self, told: Halt | None) -> Halt | None:
        """The fault that stood in the way; the one *told* before, while it is among them."""
        halts = [bar.halt for bar in self._met if bar.halt is not None]
        same = (halt for halt in halts if told is not None and halt.reason == told.reason)
        return next(same, halts[0] if halts else None)

    def _free_bytes(self, directory: str) -> int:
        try:
            return self._tender.space(directory).free_bytes
        except WatcherError:
            return 0

    def _noted(self, bar: Bar | None) -> bool:
        if bar is not None and bar not in self._met:
            self._met.append(bar)
        return bar is None

    def _known(self, directory: str, size_bytes: int) -> Bar | None:
        tight = self._tight.get(self._disk(directory))
        if tight is not None and size_bytes >= tight.from_bytes:
            return tight
        return self._lasting_at(directory)

    def _lasting_at(self, directory: str) -> Bar | None:
        if not self._lasting:
            return None
        return self._lasting.get(self._disk(directory)) or self._lasting.get(directory)

    def _found(self, segment: Segment) -> Bar | None:
        """Ask the disk; what lacks there holds for whatever on it is as large."""
        try:
            bar = self._asked(segment)
        except Retryable:
            return None  # its directory has just gone: whoever begins there finds out
        except Halt as halt:
            bar = Bar(halt.message, halt)
        if bar is not None:
            self._tight[self._disk(segment.directory)] = bar
        return bar

    def _asked(self, segment: Segment) -> Bar | None:
        waits_for = self._tender.waits_for(segment)
        if waits_for is not None:
            return Bar(waits_for, from_bytes=segment.size_bytes)
        room = self._tender.room(segment.directory, segment.size_bytes)
        if room.reason == "critical":
            return Bar(room.detail, _no_room("disk_full", segment, room.detail))
        if room.may_start or room.release_bytes:
            return None
        halt = _no_room("no_room", segment, room.detail)
        return Bar(room.detail, halt, from_bytes=segment.size_bytes)

    def _disk(self, directory: str) -> _Place:
        """The file system's number; a directory that is gone stands for itself."""
        if directory not in self._disks:
            disk = self._disk_of(directory)
            self._disks[directory] = directory if disk is None else disk
        return self._disks[directory]


def _no_room(reason: str, segment: Segment, detail: str) -> Halt:
    return Halt(reason, f"no room to transcode {segment.path}: {detail}", remedy=_ROOM)
