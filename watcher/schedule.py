"""The grammar of `run_schedule`: "02:00-06:00, Sat-Sun 00:00-08:00" or "always".

Pure: text in, ranges out, or a `ValueError` that says what is wrong and what would be right.
It knows local wall-clock minutes and weekdays only; which instants they are, summer time included,
is `gate.window`'s business.
"""

import re
from dataclasses import dataclass

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
EVERY_DAY = frozenset(range(7))
MINUTES_A_DAY = 24 * 60
EXAMPLES = '"02:00-06:00", "22:00-04:00", "02:00-06:00, Sat-Sun 00:00-08:00" or "always"'

_LONGEST = 500  # a schedule is a line that a person reads
_SHORTEST_DAY = 2  # "Mo" is understood, "M" is not
_HOURS_A_DAY = 24
_MINUTES_AN_HOUR = 60
_DASH = re.compile(r"\s*[-\u2013\u2014]\s*")
_TIMES = re.compile(r"([0-9]{1,2}):([0-9]{2})-([0-9]{1,2}):([0-9]{2})")
_FULL_NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True, slots=True)
class Range:
    """Open from *start_min* of each of *days* (0 is Monday) until *end_min*, exclusive.

    Minutes count from that day's local midnight. An end that is not after its start is the next
    day's, so *end_min* goes up to 2 * 1440; "02:00-02:00" is a whole day and night.
    """

    days: frozenset[int]
    start_min: int
    end_min: int


def parse_schedule(text: str) -> tuple[Range, ...]:
    """Read *text*; no ranges at all is "always". ValueError says what would be right.

    Ranges are separated by commas. Days before a range belong to that range alone; a range
    without days is every day's. Days may be listed: "Mon, Wed-Fri 22:00-04:00".
    """
    if len(text) > _LONGEST:
        raise ValueError(f"a schedule of more than {_LONGEST} characters: {EXAMPLES} are right")
    if text.strip().lower() == "always":
        return ()
    ranges: list[Range] = []
    days: set[int] = set()
    for token in re.split(r"[,\s]+", _DASH.sub("-", text.strip())):
        if token[:1].isdecimal():
            ranges.append(_range(token, frozenset(days) or EVERY_DAY))
            days = set()
        else:
            days |= _days(token)
    if days or not ranges:
        raise ValueError(f"{text!r} ends with days that have no hours: {EXAMPLES} are right")
    return tuple(ranges)


def _range(token: str, days: frozenset[int]) -> Range:
    match = _TIMES.fullmatch(token)
    if match is None:
        raise ValueError(f"{token!r} is no range of hours: {EXAMPLES} are right")
    start_hour, start, end_hour, end = (int(group) for group in match.groups())
    start_min = _minute(start_hour, start, token)
    end_min = _minute(end_hour, end, token)
    if start_min == MINUTES_A_DAY:
        raise ValueError(f"{token!r} begins at 24:00; write 00:00 and the next day")
    if end_min <= start_min:
        end_min += MINUTES_A_DAY
    return Range(days, start_min, end_min)


def _minute(hour: int, minute: int, token: str) -> int:
    total = hour * _MINUTES_AN_HOUR + minute
    if hour > _HOURS_A_DAY or minute >= _MINUTES_AN_HOUR or total > MINUTES_A_DAY:
        raise ValueError(
            f"{hour:02}:{minute:02} in {token!r} is no time of day; 00:00 to 24:00 are"
        )
    return total


def _days(token: str) -> set[int]:
    if not token:
        raise ValueError(f"hours are missing: {EXAMPLES} are right")
    first, dash, last = token.partition("-")
    start = _day(first, token)
    if not dash:
        return {start}
    count = (_day(last, token) - start) % len(DAYS) + 1
    return {(start + step) % len(DAYS) for step in range(count)}


def _day(word: str, token: str) -> int:
    lower = word.lower()
    if len(lower) >= _SHORTEST_DAY:
        for day, name in enumerate(_FULL_NAMES):
            if name.startswith(lower):
                return day
    raise ValueError(
        f"{token!r} is neither hours nor days ({' '.join(DAYS)}): {EXAMPLES} are right"
    )
