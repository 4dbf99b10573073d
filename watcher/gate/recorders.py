"""Is every camera still producing? Told from the same events that keep the index.

A camera with `segment_seconds` is healthy while its segments keep closing within one and a half
times that, or while its newest open segment keeps growing (one stat a camera and look, not an
event). A camera with a `health_command` is healthy while that says so. With neither, it records on
motion: silence is ordinary, and it is never taken for dead.

An unhealthy recorder holds all work at once. One that stays so for longer than max_pause_minutes is
`absent`: warned of once a day, and holds no more: a camera taken down for the winter must not stop
the box. Each change is told once.

All durations are monotonic: a clock that is set, or a suspend, makes nobody unhealthy. Events come
from the observer's thread, `tick` from the scheduler's; both may come at any time.
"""

import itertools
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from watcher import events
from watcher.clock import Clock, SystemClock
from watcher.gate.health import HealthCheck, HealthVerdict
from watcher.gate.readings import Trouble
from watcher.settings import Camera

LATE = 1.5
"""Times segment_seconds: so long a healthy recorder may take for a segment."""

_SLACK_S = 5.0  # very short segments are late by writing and moving alone
_LOOK_EVERY_S = 10.0  # one stat a camera
_GROWTH_S = 60.0  # so long after it last grew an open segment counts as growing: two idle ticks
_WARN_AGAIN_S = 86_400.0
_INTERVALS, _INTERVALS_ENOUGH = 32, 4
_AGES, _AGES_ENOUGH = 64, 8
_AGREE = 1.5  # ages at deletion agree if the upper quartile is at most so many times the lower
_DAY_S = 86_400.0
HOST = "host"
"""The name under which a host application's own opinion (recorders_healthy) is told."""


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


@dataclass(frozen=True, slots=True)
class RecorderState:
    """One camera's recorder, as `stats` shows it."""

    camera: str
    health: Health
    silent_s: float
    expected_s: float | None
    segment_seconds: float | None
    retention_days: float | None
    reason: str | None


@dataclass(slots=True)
class _Recorder:
    """What is remembered of one camera."""

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


class RecorderWatch:
    """Every camera's recorder; thread-safe."""

    def __init__(
        self,
        cameras: Mapping[str, RecorderSettings],
        *,
        max_pause_s: float = 3600.0,
        host_healthy: Callable[[], bool] | None = None,
        checks: Mapping[str, HealthCheck] | None = None,
        stat: Callable[[str], os.stat_result] = os.stat,
        clock: Clock | None = None,
        emit: events.Emit = events.emit,
    ) -> None:
        """*host_healthy*: a host application's own answer; *checks*: to replace real commands."""
        self._clock = clock or SystemClock()
        self._emit = emit
        self._stat = stat
        self._max_pause_s = max_pause_s
        self._host_healthy = host_healthy
        self._lock = threading.Lock()
        now_s = self._clock.monotonic_s()
        self._recorders = {name: _Recorder(one, now_s) for name, one in cameras.items()}
        if host_healthy is not None:
            self._recorders[HOST] = _Recorder(RecorderSettings(), now_s)
        self._checks = dict(
            checks
            if checks is not None
            else {
                name: HealthCheck(one.health_command, clock=self._clock)
                for name, one in cameras.items()
                if one.health_command is not None
            }
        )

    # -- what the observer tells ---------------------------------------------------------------

    def began(self, camera: str, closed_at_s: Iterable[float]) -> None:
        """Take the (wall) times at which the newest segments found at start had been closed.

        The length of segments is learned from them at once; that a recorder is late is concluded
        from this start alone, for the service may have been away.
        """
        with self._lock:
            recorder = self._recorders.get(camera)
            if recorder is not None:
                times = sorted(closed_at_s)[-_INTERVALS - 1 :]
                recorder.intervals.extend(b - a for a, b in itertools.pairwise(times))

    def opened(self, camera: str, path: str) -> None:
        """A recorder began a segment."""
        with self._lock:
            recorder = self._recorders.get(camera)
            if recorder is not None:
                recorder.open_path, recorder.open_seen = path, None
                recorder.looked_s = float("-inf")

    def closed(self, camera: str, path: str) -> None:
        """A recorder closed a segment."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            recorder = self._recorders.get(camera)
            if recorder is None:
                return
            if recorder.closed_s is not None:
                recorder.intervals.append(now_s - recorder.closed_s)
            recorder.closed_s = now_s
            if recorder.open_path == path:
                recorder.open_path = recorder.open_seen = None

    def gone(
        self, camera: str, path: str, size_bytes: int, mtime_ns: int, *, ours: bool = False
    ) -> None:
        """Somebody deleted or moved a segment away; how old they let it become is retention."""
        del size_bytes
        age_s = self._clock.wall_s() - mtime_ns / 1e9
        with self._lock:
            recorder = self._recorders.get(camera)
            if recorder is None:
                return
            if recorder.open_path == path:
                recorder.open_path = recorder.open_seen = None
            if not ours and age_s > 0:
                recorder.ages_days.append(age_s / _DAY_S)

    # -- what the service asks -----------------------------------------------------------------

    def tick(self) -> None:
        """Look at every camera and tell what changed; cheap enough for twice a second."""
        now_s = self._clock.monotonic_s()
        for camera, recorder in self._recorders.items():
            verdict = self._host() if camera == HOST and self._host_healthy else None
            check = self._checks.get(camera)
            if check is not None:
                verdict = check.verdict()
            with self._lock:
                self._look(recorder, now_s)
                told = _judge(recorder, verdict, now_s, self._max_pause_s)
                silent_s, expected_s = _silent_s(recorder, now_s), _allowed_s(recorder)
            if told == "recorder_recovered":
                self._emit(told, camera=camera, silent_s=round(silent_s, 1))
            elif told is not None:
                self._emit(
                    told,
                    camera=camera,
                    reason=recorder.reason,
                    silent_s=round(silent_s, 1),
                    expected_s=expected_s,
                    state=str(recorder.health),
                )

    def trouble(self) -> Trouble | None:
        """The first camera for which all work is held; None: no recorder stands in the way."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            for camera, one in self._recorders.items():
                if one.health is Health.UNHEALTHY:
                    return Trouble(
                        camera,
                        one.reason or "unhealthy",
                        round(_silent_s(one, now_s), 1),
                        _allowed_s(one),
                    )
        return None

    def health(self, camera: str) -> Health:
        """What was last found of one camera."""
        with self._lock:
            recorder = self._recorders.get(camera)
            return Health.UNKNOWN if recorder is None else recorder.health

    def states(self) -> tuple[RecorderState, ...]:
        """Every camera, for `stats` and `check`."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            return tuple(
                RecorderState(
                    camera,
                    one.health,
                    _silent_s(one, now_s),
                    _allowed_s(one),
                    _segment_s(one),
                    _retention_days(one),
                    one.reason,
                )
                for camera, one in self._recorders.items()
            )

    def segment_seconds(self, camera: str) -> float | None:
        """How long this camera's segments are: configured, else learned, else None."""
        with self._lock:
            recorder = self._recorders.get(camera)
            return None if recorder is None else _segment_s(recorder) or _learned_s(recorder)

    def retention_days(self, camera: str) -> float | None:
        """How old this camera's recordings become: configured, else learned, else None."""
        with self._lock:
            recorder = self._recorders.get(camera)
            return None if recorder is None else _retention_days(recorder)

    def close(self) -> None:
        """End the health commands that still run."""
        for check in self._checks.values():
            check.close()

    # -- how ------------------------------------------------------------------------------------

    def _look(self, recorder: _Recorder, now_s: float) -> None:
        """Find out by one stat, at most every ten seconds, whether the open segment has grown."""
        if recorder.open_path is None or now_s - recorder.looked_s < _LOOK_EVERY_S:
            return
        recorder.looked_s = now_s
        try:
            found = self._stat(recorder.open_path)
        except OSError:
            recorder.open_path = recorder.open_seen = None
            return
        seen = (found.st_size, found.st_mtime_ns)
        if recorder.open_seen is not None and seen != recorder.open_seen:
            recorder.grown_s = now_s
        recorder.open_seen = seen

    def _host(self) -> HealthVerdict:
        try:
            healthy = self._host_healthy is None or bool(self._host_healthy())
        except Exception as error:  # noqa: BLE001 - a host's callback may raise anything
            return HealthVerdict(healthy=False, reason=f"recorders_healthy raised {error!r}")
        return HealthVerdict(healthy, "the host application says so")


def _judge(
    recorder: _Recorder, verdict: HealthVerdict | None, now_s: float, max_pause_s: float
) -> str | None:
    """Change the recorder's health; the event to tell, if any."""
    bad = _complaint(recorder, verdict, now_s)
    before = recorder.health
    if bad is None:
        known = verdict is not None or recorder.closed_s is not None or recorder.grown_s is not None
        recorder.health = Health.HEALTHY if known else Health.UNKNOWN
        recorder.reason = None
        return "recorder_recovered" if before in (Health.UNHEALTHY, Health.ABSENT) else None
    recorder.reason = bad
    if before in (Health.UNKNOWN, Health.HEALTHY):
        recorder.health, recorder.since_s, recorder.warned_s = Health.UNHEALTHY, now_s, now_s
        return "recorder_unhealthy"
    became_absent = before is Health.UNHEALTHY and now_s - recorder.since_s > max_pause_s
    if became_absent:
        recorder.health = Health.ABSENT
    if became_absent or now_s - recorder.warned_s >= _WARN_AGAIN_S:
        recorder.warned_s = now_s
        return "recorder_unhealthy"
    return None


def _complaint(recorder: _Recorder, verdict: HealthVerdict | None, now_s: float) -> str | None:
    if verdict is not None and not verdict.healthy:
        return verdict.reason
    allowed_s = _allowed_s(recorder)
    if allowed_s is None:
        return None
    if recorder.grown_s is not None and now_s - recorder.grown_s <= _GROWTH_S:
        return None
    silent_s = _silent_s(recorder, now_s)
    if silent_s <= allowed_s:
        return None
    return "no segment was closed in time, and none is growing"


def _silent_s(recorder: _Recorder, now_s: float) -> float:
    """Since the last close; before the first, since the start: we don't know what was before it."""
    return now_s - (recorder.begun_s if recorder.closed_s is None else recorder.closed_s)


def _allowed_s(recorder: _Recorder) -> float | None:
    segment_s = _segment_s(recorder)
    return None if segment_s is None else max(segment_s * LATE, segment_s + _SLACK_S)


def _segment_s(recorder: _Recorder) -> float | None:
    """The length to hold a recorder to; None where it is to be held to none."""
    configured = recorder.settings.segment_seconds
    return _learned_s(recorder) if configured == "auto" else configured


def _learned_s(recorder: _Recorder) -> float | None:
    """The longest of the ordinary intervals: several streams in one directory close in bursts."""
    if len(recorder.intervals) < _INTERVALS_ENOUGH:
        return None
    ordered = sorted(recorder.intervals)
    return max(1.0, ordered[(len(ordered) - 1) * 9 // 10])


def _retention_days(recorder: _Recorder) -> float | None:
    """Learned only where deletions agree: somebody clearing a directory is no retention."""
    if recorder.settings.retention_days is not None:
        return recorder.settings.retention_days
    if len(recorder.ages_days) < _AGES_ENOUGH:
        return None
    ages = sorted(recorder.ages_days)
    quarter = len(ages) // 4
    return ages[len(ages) // 2] if ages[-1 - quarter] <= ages[quarter] * _AGREE else None
