"""When a window is open, found without any of the window's own arithmetic.

Somebody looks at the wall clock every minute and writes down the latest local time that it has
ever shown; the clock being turned back writes nothing. A range is open while what is written down
lies in it. That is the whole rule: the autumn hour's second pass and the spring gap need no word.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from watcher.schedule import Range

MINUTE_S = 60
_HOUR_S = 3600
_WEEK_MIN = 7 * 1440
_THURSDAY_MIN = 3 * 1440  # the epoch was one


def open_by_minute(ranges: Sequence[Range]) -> list[bool]:
    """Say for each minute of a local week whether one of *ranges* holds it."""
    week = [not ranges] * _WEEK_MIN
    for one in ranges:
        for day in one.days:
            for minute in range(one.start_min, one.end_min):
                week[(day * 1440 + minute) % _WEEK_MIN] = True
    return week


def written_down(zone: ZoneInfo, from_s: int, to_s: int) -> Iterator[tuple[int, int]]:
    """Give every UTC minute and the minute of the local week that stands written down at it."""
    latest = 0
    for hour_s in range(from_s, to_s, _HOUR_S):
        steady = _offset_s(zone, hour_s) == _offset_s(zone, hour_s + _HOUR_S)
        offset_s = _offset_s(zone, hour_s)
        for at_s in range(hour_s, min(hour_s + _HOUR_S, to_s), MINUTE_S):
            shown = (at_s + (offset_s if steady else _offset_s(zone, at_s))) // MINUTE_S
            latest = max(latest, shown)
            yield at_s, (latest + _THURSDAY_MIN) % _WEEK_MIN


def _offset_s(zone: ZoneInfo, at_s: int) -> int:
    offset = datetime.fromtimestamp(at_s, zone).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())


def edges(
    zone: ZoneInfo, ranges: Sequence[Range], from_s: int, to_s: int
) -> list[tuple[int, bool]]:
    """List every change between two instants, and what it changes to."""
    week = open_by_minute(ranges)
    changes: list[tuple[int, bool]] = []
    before: bool | None = None
    for at_s, minute in written_down(zone, from_s, to_s):
        if before is not None and week[minute] is not before:
            changes.append((at_s, week[minute]))
        before = week[minute]
    return changes
