"""When work is allowed: "02:00-06:00, Sat-Sun 00:00-08:00" as a pure function of an instant.

Every range of every day becomes one half-open interval of UTC; where they touch or overlap they are
one. A local time stands for the *first* instant at which the wall clock on the wall reaches it: in
the autumn hour that is its first pass (so nothing opens twice), in the spring gap the minute after
it (so nothing is left out). Nothing is remembered between calls: a start in the middle of a window,
a suspend and a clock step all give the right answer, because every call starts anew.

APScheduler wakes the service by `EdgeTrigger`; what is open is always asked of `Window.state`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

from apscheduler.triggers.base import BaseTrigger
from tzlocal import get_localzone

from watcher.clock import utc
from watcher.gate.readings import WindowState
from watcher.schedule import Range, parse_schedule

_DAY_S = 86_400.0
_LOOK_BACK = 2  # a range lasts a day at most; one more for zones that shift around midnight
_HORIZONS = (3, 17)  # days; a weekly range that falls into the spring gap is two weeks apart

Interval = tuple[float, float]
"""Opening and closing, seconds since the epoch; the opening belongs to it, the closing does not."""


@dataclass(frozen=True, slots=True)
class Window:
    """The schedule in its time zone. No ranges at all: always open."""

    ranges: tuple[Range, ...]
    zone: tzinfo
    text: str

    @classmethod
    def parse(cls, text: str, tz: str | tzinfo | None = None) -> "Window":
        """Read a schedule; *tz* None is the system's. ValueError says what would be right."""
        zone = system_zone() if tz is None else named_zone(tz) if isinstance(tz, str) else tz
        return cls(parse_schedule(text), zone, text)

    def state(self, now_s: float) -> WindowState:
        """Whether the window is open at *now_s*, since when, and when that changes."""
        if not self.ranges:
            return WindowState(is_open=True)
        for days in _HORIZONS:
            merged, known_until_s = self._around(now_s, days)
            state = _locate(merged, now_s, now_s - _DAY_S)
            if state.next_edge_s is not None and state.next_edge_s < known_until_s:
                return state
        return WindowState(is_open=state.is_open, since_s=None)

    def openings(self, from_s: float, to_s: float) -> Iterator[Interval]:
        """Give every interval open between two instants, cut to them, in order."""
        at_s = from_s
        while at_s < to_s:
            state = self.state(at_s)
            edge_s = to_s if state.next_edge_s is None else min(state.next_edge_s, to_s)
            if state.is_open:
                yield (at_s, edge_s)
            at_s = edge_s

    def open_s(self, from_s: float, to_s: float) -> float:
        """How many seconds between two instants are open."""
        return sum(closes - opens for opens, closes in self.openings(from_s, to_s))

    def hours_open(self, now_s: float, days: int) -> tuple[float, ...]:
        """Give the hours open in each of the coming *days* times 24 hours, for the forecast."""
        starts = [now_s + day * _DAY_S for day in range(days)]
        return tuple(self.open_s(at_s, at_s + _DAY_S) / 3600.0 for at_s in starts)

    def _around(self, now_s: float, days_ahead: int) -> tuple[list[Interval], float]:
        """Merge what is open around *now_s*; edges before the second value are all there."""
        today = utc(now_s).astimezone(self.zone).date()
        spans = [
            span
            for offset in range(-_LOOK_BACK, days_ahead + 1)
            for span in self._spans_of(today + timedelta(days=offset))
        ]
        last = first_instant(today + timedelta(days=days_ahead), 0, self.zone)
        return _merge(spans), last

    def _spans_of(self, day: date) -> Iterator[Interval]:
        for each in self.ranges:
            if day.weekday() in each.days:
                opens_s = first_instant(day, each.start_min, self.zone)
                closes_s = first_instant(day, each.end_min, self.zone)
                if opens_s < closes_s:  # a range inside the spring gap has no instant at all
                    yield (opens_s, closes_s)


class EdgeTrigger(BaseTrigger):  # type: ignore[misc] # APScheduler publishes no types
    """APScheduler's wake-up at each edge of the window, always strictly after now.

    What fired before is not looked at: after a clock was set back, an edge is to be met again.
    """

    def __init__(self, window: Window) -> None:
        self._window = window

    def get_next_fire_time(
        self,
        previous_fire_time: datetime | None,  # noqa: ARG002 - APScheduler's signature
        now: datetime,
    ) -> datetime | None:
        """See APScheduler: the next edge after *now*; None where none will ever come."""
        edge_s = self._window.state(now.timestamp()).next_edge_s
        return None if edge_s is None else utc(edge_s)

    def __str__(self) -> str:
        return f"edges of {self._window.text}"


def system_zone(read: Callable[[], tzinfo] = get_localzone) -> tzinfo:
    """The time zone that the machine is set to; UTC where its set-up contradicts itself."""
    try:
        return read()
    except (LookupError, ValueError, OSError):
        return UTC


def named_zone(name: str) -> ZoneInfo:
    """The time zone of that name; ValueError says what would be right."""
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        raise ValueError(
            f'there is no time zone "{name}": write for example "Europe/Berlin", or null for the'
            " machine's own"
        ) from None


def first_instant(day: date, minute: int, zone: tzinfo) -> float:
    """Give the first instant at which the wall clock shows *minute* of *day*, or is past it."""
    naive = datetime.combine(day, time()) + timedelta(minutes=minute)
    early = naive.replace(tzinfo=zone, fold=0)
    instant = early.astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) == naive:
        return instant.timestamp()
    return _gap_ends(early, zone)


def _gap_ends(skipped: datetime, zone: tzinfo) -> float:
    """Find the instant at which the wall clock jumped over *skipped*."""
    low = int(skipped.replace(fold=1).astimezone(UTC).timestamp())  # before the jump
    high = int(skipped.astimezone(UTC).timestamp())  # at the jump or after it
    after = utc(high).astimezone(zone).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        if utc(middle).astimezone(zone).utcoffset() == after:
            high = middle
        else:
            low = middle
    return float(high)


def _merge(spans: list[Interval]) -> list[Interval]:
    merged: list[Interval] = []
    for opens_s, closes_s in sorted(spans):
        if merged and opens_s <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], closes_s))
        else:
            merged.append((opens_s, closes_s))
    return merged


def _locate(merged: list[Interval], now_s: float, known_s: float) -> WindowState:
    """Find *now_s*; an opening before *known_s* may have merged with one not looked at."""
    closed_since_s: float | None = None
    for opens_s, closes_s in merged:
        if now_s < opens_s:
            return WindowState(is_open=False, since_s=closed_since_s, next_edge_s=opens_s)
        if now_s < closes_s:
            since_s = opens_s if opens_s >= known_s else None
            return WindowState(is_open=True, since_s=since_s, next_edge_s=closes_s)
        closed_since_s = closes_s
    return WindowState(is_open=False, since_s=closed_since_s)
