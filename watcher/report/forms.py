"""How figures read: bytes, percent, durations, times, names. Pure.

GB is 10⁹ bytes everywhere. Times are local for a person and say their zone nowhere but in JSON.
"""

import math
from datetime import UTC, datetime, tzinfo
from typing import Final

_UNITS: Final = (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3))
_MINUTE_S: Final = 60
_HOUR_S: Final = 3600
_DAY_S: Final = 86_400
_FINE_UP_TO: Final = 9.95
_ROUGH_FROM: Final = 99.95


def gigabytes(size_bytes: float) -> str:
    """Give *size_bytes* in GB with one decimal, as on the statistics page: "68.5 GB"."""
    return f"{_no_minus_zero(size_bytes / 1e9):.1f} GB"


def size(size_bytes: float) -> str:
    """Give *size_bytes* in the unit that reads best: "512 bytes", "1.4 MB", "12 GB"."""
    for unit, factor in _UNITS:
        # 999,950 bytes would be "1000.0 kB" after rounding: they are 1.0 MB.
        if abs(size_bytes) >= factor * 0.99995:
            value = size_bytes / factor
            return f"{value:.1f} {unit}"
    whole = round(size_bytes)
    return f"{whole} byte" if abs(whole) == 1 else f"{whole} bytes"


def amount(size_bytes: float) -> str:
    """Give GB as in a sentence: "12 GB", "4.2 GB"."""
    value = _no_minus_zero(size_bytes / 1e9)
    return f"{value:.1f}".removesuffix(".0") + " GB" if value < _ROUGH_FROM else f"{value:.0f} GB"


def percent(value: float) -> str:
    """Give a percentage with one decimal: "42.3%"."""
    return f"{_no_minus_zero(value):.1f}%"


def duration(seconds: float) -> str:
    """Give a duration in its two largest units: "45 s", "3 min 20 s", "4 h 05 min", "3.5 days"."""
    if not math.isfinite(seconds):
        return "for ever"
    whole = round(abs(seconds))
    if abs(seconds) < _FINE_UP_TO:
        text = f"{abs(seconds):.1f} s"
    elif whole < _MINUTE_S:
        text = f"{whole} s"
    elif whole < _HOUR_S:
        text = f"{whole // _MINUTE_S} min {whole % _MINUTE_S:02d} s"
    elif whole < _DAY_S:
        text = f"{whole // _HOUR_S} h {whole % _HOUR_S // _MINUTE_S:02d} min"
    else:
        text = days(abs(seconds) / _DAY_S)
    return f"-{text}" if seconds < 0 else text


def days(value: float) -> str:
    """Give days with one decimal, none where it would be 0: "1 day", "7 days", "4.2 days"."""
    text = f"{value:.1f}".removesuffix(".0")
    return f"{text} day" if text == "1" else f"{text} days"


def time(wall_s: float | None, zone: tzinfo | None = None, *, seconds: bool = True) -> str:
    """Give a local time as a person reads it: "2024-11-12 04:23:15"; "never" for None."""
    if wall_s is None:
        return "never"
    when = _datetime(wall_s, zone)
    if when is None:
        return f"{wall_s:.0f} s after 1970"
    said = moment(when)
    return said if seconds else said[: -len(":00")]


def moment(when: datetime | None) -> str:
    """Give an aware or local time as a person reads it."""
    return "never" if when is None else when.replace(microsecond=0, tzinfo=None).isoformat(" ")


def utc(wall_s: float | None) -> str | None:
    """Give a time for a machine: RFC 3339, UTC; None also for one beyond the calendar."""
    when = None if wall_s is None else _datetime(wall_s, UTC)
    return None if when is None else when.isoformat()


def _datetime(wall_s: float, zone: tzinfo | None) -> datetime | None:
    """Turn seconds into a date; None for an mtime beyond the calendar, which file systems allow."""
    try:
        return datetime.fromtimestamp(wall_s, zone)
    except (ValueError, OverflowError, OSError):
        return None


def files(number: int) -> str:
    """Give a number of files: "1 file", "1,204 files"."""
    return f"{number:,} file" if number == 1 else f"{number:,} files"


def name(path: str) -> str:
    """Make a path fit to print: what a terminal would act upon, or can't show, is escaped."""
    return "".join(map(_shown, path))


def text(message: str) -> str:
    """Make a message fit to print: the same, but lines stay lines."""
    return "\n".join(map(name, message.split("\n")))


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")


def _no_minus_zero(value: float) -> float:
    return value if round(value, 1) else 0.0
