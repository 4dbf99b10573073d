"""One camera's recorder: what is remembered of it, and what follows from that. Pure.

One for which somebody speaks (a health command, a host application) is well while they say so, and
however long it is silent: they know more than its files tell. One with `segment_seconds` alone is
well while its segments keep closing within one and a half times that, or while its newest open
segment keeps growing. One with neither records on motion: silence is ordinary. One that is unwell
for longer than allowed becomes `absent`, and is warned of once a day.

Learned from the same events: how long segments are (`auto`), and how old recordings become before
they are deleted.
"""

import itertools
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from watcher.gate.health import HealthVerdict
from watcher.settings import Camera

LATE = 1.5
"""Times segment_seconds: so long a healthy recorder may take for a segment."""

_SLACK_S = 5.0  # very short segments are late by writing and moving alone
_GROWTH_S = 60.0  # so long after it last grew an open segment counts as growing: two idle ticks
_WARN_AGAIN_S = 86_400.0
_INTERVALS, _INTERVALS_ENOUGH = 32, 4
_BURST_S = 0.5  # two streams of one camera close together: that is no interval
_AGES, _AGES_ENOUGH = 64, 8
_AGREE = 1.5  # ages at deletion agree if the upper quartile is at most so many times the lower
_DAY_S = 86_400.0
_SILENT = "no segment was closed in time, and none is growing"


class Health(StrEnum):
    """What is known of a camera's recorder."""

    UNKNOWN = "unknown"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class RecorderSettings:
    """What the configuration says of one camera's recorder."""

    segment_seconds: float | Literal["auto"] | None = None
    health_command: str | None = None
    retention_days: float | None = None

    @classmethod
    def of(cls, configured: Camera) -> "RecorderSettings":
        """Take them from the configuration."""
        return cls(configured.segment_seconds, configured.health_command, configured.retention_days)


@dataclass(slots=True)
class Recorder:
    """One camera's; every time is monotonic."""

    settings: RecorderSettings
    begun_s: float
    closed_s: float | None = None
    open_path: str | None = None
    open_seen: tuple[int, int] | None = None
    grown_s: float | None = None
    looked_s: float = float("-inf")
    intervals: deque[float] = field(default_factory=lambda: deque(maxlen=_INTERVALS))
    ages_days: deque[float] = field(default_factory=lambda: deque(maxlen=_AGES))
    health: Health = Health.UNKNOWN
    reason: str | None = None
    since_s: float = 0.0
    warned_s: float = 0.0

    # -- what happened -------------------------------------------------------------------------

    def found(self, closed_at_s: Iterable[float]) -> None:
        """Segments were closed at these times before we began."""
        times = sorted(closed_at_s)[-_INTERVALS - 1 :]
        self.intervals.extend(b - a for a, b in itertools.pairwise(times) if b - a >= _BURST_S)

    def opened(self, path: str) -> None:
        """A segment was begun."""
        self.open_path, self.open_seen, self.looked_s = path, None, float("-inf")

    def closed(self, path: str, now_s: float) -> None:
        """A segment was closed."""
        if self.closed_s is not None and now_s - self.closed_s >= _BURST_S:
            self.intervals.append(now_s - self.closed_s)
        self.closed_s = now_s
        self.left(path)

    def left(self, path: str) -> None:
        """That path is open no more."""
        if self.open_path == path:
            self.open_path = self.open_seen = None

    def deleted(self, age_s: float) -> None:
        """A segment of that age was deleted by somebody else."""
        if age_s > 0:
            self.ages_days.append(age_s / _DAY_S)

    def seen(self, size_and_mtime: tuple[int, int], now_s: float) -> None:
        """The open segment was looked at."""
        if self.open_seen is not None and size_and_mtime != self.open_seen:
            self.grown_s = now_s
        self.open_seen = size_and_mtime

    # -- what follows --------------------------------------------------------------------------

    def judge(self, verdict: HealthVerdict | None, now_s: float, max_pause_s: float) -> str | None:
        """Change the health; the event to tell, if any."""
        before, self.reason = self.health, self._complaint(verdict, now_s)
        if self.reason is None:
            known = verdict is not None or self.closed_s is not None or self.grown_s is not None
            self.health = Health.HEALTHY if known else Health.UNKNOWN
            return "recorder_recovered" if before in (Health.UNHEALTHY, Health.ABSENT) else None
        if before in (Health.UNKNOWN, Health.HEALTHY):
            self.health, self.since_s, self.warned_s = Health.UNHEALTHY, now_s, now_s
            return "recorder_unhealthy"
        became_absent = before is Health.UNHEALTHY and now_s - self.since_s > max_pause_s
        if became_absent:
            self.health = Health.ABSENT
        if became_absent or now_s - self.warned_s >= _WARN_AGAIN_S:
            self.warned_s = now_s
            return "recorder_unhealthy"
        return None

    def _complaint(self, verdict: HealthVerdict | None, now_s: float) -> str | None:
        if verdict is not None:
            return None if verdict.healthy else verdict.reason
        if self.settings.health_command is not None:
            return None  # it has not answered yet
        allowed_s = self.allowed_s()
        growing = self.grown_s is not None and now_s - self.grown_s <= _GROWTH_S
        if allowed_s is None or growing or self.silent_s(now_s) <= allowed_s:
            return None
        return _SILENT

    def silent_s(self, now_s: float) -> float:
        """Since the last close; before the first, since the start: what was before is not known."""
        return now_s - (self.begun_s if self.closed_s is None else self.closed_s)

    def allowed_s(self) -> float | None:
        """How long it may be silent; None: for ever."""
        segment_s = self.settings.segment_seconds
        if segment_s == "auto":
            segment_s = self.learned_s()
        return None if segment_s is None else max(segment_s * LATE, segment_s + _SLACK_S)

    def segment_s(self) -> float | None:
        """How long its segments are: configured, else learned, else not known."""
        configured = self.settings.segment_seconds
        return configured if isinstance(configured, int | float) else self.learned_s()

    def learned_s(self) -> float | None:
        """The longest of the ordinary intervals: an outage must not stretch it, nor a burst."""
        if len(self.intervals) < _INTERVALS_ENOUGH:
            return None
        ordered = sorted(self.intervals)
        return max(1.0, ordered[(len(ordered) - 1) * 9 // 10])

    def retention_days(self) -> float | None:
        """How old its recordings become: configured, else learned, else not known.

        Learned only where deletions agree: somebody clearing a directory is no retention.
        """
        if self.settings.retention_days is not None:
            return self.settings.retention_days
        if len(self.ages_days) < _AGES_ENOUGH:
            return None
        ages = sorted(self.ages_days)
        quarter = len(ages) // 4
        return ages[len(ages) // 2] if ages[-1 - quarter] <= ages[quarter] * _AGREE else None
