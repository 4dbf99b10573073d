"""ffmpeg's `-progress` lines as values, by a parser that never raises.

The stream is key=value lines, cut anywhere; a `progress=` line ends each report. What is not
understood is left out: ffmpeg writes N/A where it does not know, and a broken or hostile line
must not end an encode.
"""

import math
from dataclasses import dataclass

_MOST_LINE_BYTES = 4096
_MOST_VALUE = 2**62


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is. *time_s* stands still under `-copyts`: count frames instead.

    *fraction* and *speed* (seconds of recording in a second of work) are filled in by `encode`,
    which knows how many frames there are.
    """

    frame: int | None = None
    fps: float | None = None
    size_bytes: int | None = None
    time_s: float | None = None
    done: bool = False
    fraction: float | None = None
    speed: float | None = None


class ProgressParser:
    """Takes bytes as they come, gives a `Progress` for each whole report."""

    def __init__(self) -> None:
        self._rest = b""
        self._values: dict[bytes, bytes] = {}

    def feed(self, chunk: bytes) -> list[Progress]:
        """Take *chunk*; give the reports that it completes."""
        reports = []
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > _MOST_LINE_BYTES:
            self._rest = b""
        for line in lines:
            key, found, value = line.strip().partition(b"=")
            if not found:
                continue
            if key == b"progress":
                reports.append(_report(self._values, done=value.strip() == b"end"))
                self._values = {}
            elif key in _KEYS:
                self._values[key] = value.strip()
        return reports


_KEYS = frozenset({b"frame", b"fps", b"total_size", b"out_time_us"})


def _report(values: dict[bytes, bytes], *, done: bool) -> Progress:
    time_us = _whole(values.get(b"out_time_us"))
    return Progress(
        frame=_natural(values.get(b"frame")),
        fps=_real(values.get(b"fps")),
        size_bytes=_natural(values.get(b"total_size")),
        time_s=None if time_us is None else time_us / 1e6,
        done=done,
    )


def _whole(text: bytes | None) -> int | None:
    try:
        value = int(text or b"")
    except ValueError:
        return None
    return value if abs(value) < _MOST_VALUE else None


def _natural(text: bytes | None) -> int | None:
    value = _whole(text)
    return value if value is not None and value >= 0 else None


def _real(text: bytes | None) -> float | None:
    try:
        value = float(text or b"")
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
