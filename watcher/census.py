"""The index counted once, camera by camera: what the forecast and the recorders' health need.

One pass over the index in memory, slice by slice so that events go on meanwhile; no directory is
read. Asked for at a window's end and by `stats`, never in between.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from watcher.ledger.forecast import CameraFigures, Forecast, Night, forecast
from watcher.ledger.ledger import Ledger
from watcher.segments.index import SegmentIndex
from watcher.segments.segment import S_PER_DAY, Entry, State

_INFLOW_DAYS = 3.0
"""Over so many days the inflow is averaged: young segments, which nobody has made smaller yet."""

_NEWEST = 33
_AGES_A_DAY = 4  # the forecast's model goes by nights: a quarter of a day tells ages apart


@dataclass(slots=True)
class CameraCount:
    """One camera, counted."""

    files: int = 0
    size_bytes: int = 0
    oldest_s: float | None = None
    young_bytes: int = 0
    young_since_s: float | None = None
    backlog_files: int = 0
    backlog: dict[float, int] = field(default_factory=dict)  # age in days → bytes
    newest_s: deque[float] = field(default_factory=lambda: deque(maxlen=_NEWEST))


def count(index: SegmentIndex, now_s: float) -> dict[str, CameraCount]:
    """Count every camera's segments as they are at *now_s*."""
    counts: dict[str, CameraCount] = {}
    due_before_s = now_s - index.min_age_s
    for items in index.slices():
        for item in items:
            entry = index.entry(item)
            one = counts.setdefault(entry.segment.camera, CameraCount())
            _add(one, entry, now_s, due_before_s)
    return counts


def _add(one: CameraCount, entry: Entry, now_s: float, due_before_s: float) -> None:
    segment = entry.segment
    one.files += 1
    one.size_bytes += segment.size_bytes
    one.oldest_s = min(one.oldest_s or segment.mtime_s, segment.mtime_s)
    age_s = now_s - segment.mtime_s
    if entry.state is not State.OPEN:
        one.newest_s.append(segment.mtime_s)
    if 0 <= age_s <= _INFLOW_DAYS * S_PER_DAY:
        one.young_bytes += segment.size_bytes
        one.young_since_s = min(one.young_since_s or segment.mtime_s, segment.mtime_s)
    if entry.state is State.CANDIDATE and segment.mtime_s <= due_before_s:
        age_days = int(age_s / S_PER_DAY * _AGES_A_DAY) / _AGES_A_DAY
        one.backlog_files += 1
        one.backlog[age_days] = one.backlog.get(age_days, 0) + segment.size_bytes


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the forecast needs beside the index."""

    now_s: float
    night: Night
    encoder: str | None
    retention_days: Mapping[str, float | None]
    min_age_days: float
    keep_original_days: float


def foresee(counts: Mapping[str, CameraCount], ledger: Ledger, around: Surroundings) -> Forecast:
    """Make the forecast of *counts*, from the speeds and savings that the ledger has measured."""
    cameras = [_figures(name, one, ledger, around) for name, one in counts.items()]
    return forecast(
        cameras,
        around.night,
        min_age_days=around.min_age_days,
        keep_original_days=around.keep_original_days,
    )


def _figures(name: str, one: CameraCount, ledger: Ledger, around: Surroundings) -> CameraFigures:
    speed = ledger.speed(name, around.encoder) if around.encoder else None
    oldest_s = one.oldest_s
    return CameraFigures(
        camera=name,
        inflow_bytes_per_day=_inflow(one, around.now_s),
        bytes_on_disk=one.size_bytes,
        oldest_age_days=None if oldest_s is None else (around.now_s - oldest_s) / S_PER_DAY,
        backlog=tuple(one.backlog.items()),
        backlog_files=one.backlog_files,
        retention_days=around.retention_days.get(name),
        kept_share=ledger.kept_share(name),
        bytes_per_s=speed.bytes_per_s if speed else None,
    )


def _inflow(one: CameraCount, now_s: float) -> float:
    """What a day brings, from what the last days have left; a camera of today counts by hours."""
    if one.young_since_s is None:
        return 0.0
    days = max((now_s - one.young_since_s) / S_PER_DAY, 1 / 24)
    return one.young_bytes / days


def newest(counts: Mapping[str, CameraCount]) -> Iterable[tuple[str, list[float]]]:
    """Give each camera's newest closing times, oldest first: what segment lengths show in."""
    return ((name, list(one.newest_s)) for name, one in counts.items())
