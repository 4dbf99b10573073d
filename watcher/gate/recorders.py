"""Is every camera still producing? Told from the same events that keep the index.

An unhealthy recorder holds all work at once; one that stays so for longer than max_pause_minutes is
`absent` and holds no more: a camera taken down for the winter must not stop the box. Each change is
told once. What makes a recorder unhealthy is `recorder.py`'s to say.

Growth of an open segment is one stat a camera and ten seconds, not an event. All durations are
monotonic: a clock that is set, or a suspend, makes nobody unhealthy. Events come from the
observer's thread, `tick` from the scheduler's and the shift's; all may come at any time, and none
waits for a file system or a command of another's for more than a moment. A camera whose open
segment can't even be looked at, because its disk hangs, is unhealthy.
"""

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from watcher import events
from watcher.clock import Clock, SystemClock
from watcher.gate.asking import ASKER, Asker, NoAnswer
from watcher.gate.health import HealthCheck, HealthVerdict
from watcher.gate.host import LIMIT_S, HostsWord
from watcher.gate.readings import Trouble
from watcher.gate.recorder import Health, Recorder, RecorderSettings

__all__ = ["HOST", "Health", "RecorderSettings", "RecorderState", "RecorderWatch"]

_LOOK_EVERY_S = 10.0  # one stat a camera
_SILENT_S = 5.0  # so long a file system may take for that: a share's under load takes seconds
_LATE_S = 60.0  # a late answer tells of growth all the same: two idle ticks
_HANGS = HealthVerdict(healthy=False, reason="its disk does not answer: it hangs")
_FRESH_S = 300.0  # a segment older than this when it was closed was brought here, not recorded
HOST = "recorders_healthy"
"""The name under which a host application's own opinion is told."""


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


class RecorderWatch:
    """Every camera's recorder; thread-safe."""

    def __init__(
        self,
        cameras: Mapping[str, RecorderSettings],
        *,
        max_pause_s: float = 3600.0,
        host_healthy: Callable[[], bool] | None = None,
        host_says: str = "the host application says that a recorder is not well",
        host_limit_s: float = LIMIT_S,
        checks: Mapping[str, HealthCheck] | None = None,
        stat: Callable[[str], os.stat_result] = os.stat,
        asker: Asker = ASKER,
        clock: Clock | None = None,
        emit: events.Emit = events.emit,
    ) -> None:
        """Begin with every camera unknown.

        *host_healthy*: somebody else's own answer, *host_says* what a no of it means, and
        *host_limit_s* how long it may take.
        *checks*: stands in for the real health commands.
        """
        self._clock = clock or SystemClock()
        self._emit = emit
        self._stat = stat
        self.max_pause_s = max_pause_s
        """After so long an unhealthy recorder is absent; may be set at any time."""
        self._host: HostsWord | None = None
        self._asker = asker
        self._hanging: set[str] = set()
        self._lock = threading.Lock()
        now_s = self._clock.monotonic_s()
        self._recorders = {name: Recorder(one, now_s) for name, one in cameras.items()}
        if host_healthy is not None:
            self._recorders[HOST] = Recorder(RecorderSettings(), now_s)
            self._host = HostsWord(
                host_healthy, host_says, limit_s=host_limit_s, asker=asker, clock=self._clock
            )
        self._checks = _checks(cameras, self._clock) if checks is None else dict(checks)

    def known(self) -> dict[str, Recorder]:
        """Give what is known of each camera, for `take_over`."""
        with self._lock:
            return {camera: replace(one) for camera, one in self._recorders.items()}

    def take_over(self, known: Mapping[str, Recorder]) -> None:
        """Go on with what another watch knew of the same cameras: for a configuration read anew."""
        with self._lock:
            for camera in known.keys() & self._recorders.keys():
                settings = self._recorders[camera].settings
                self._recorders[camera] = replace(known[camera], settings=settings)

    # -- what the observer tells ---------------------------------------------------------------

    def began(self, camera: str, closed_at_s: Iterable[float]) -> None:
        """Take the (wall) times at which the newest segments found at start had been closed.

        The length of segments is learned from them at once; that a recorder is late is concluded
        from this start alone, for the service may have been away.
        """
        with self._lock:
            if camera in self._recorders:
                self._recorders[camera].found(closed_at_s)

    def remembered(self, camera: str, ages_s: Iterable[float]) -> None:
        """Take the ages at which recordings were deleted before this start, the latest last."""
        with self._lock:
            if camera in self._recorders:
                for age_s in ages_s:
                    self._recorders[camera].deleted(age_s)

    def opened(self, camera: str, path: str) -> None:
        """A recorder began a segment."""
        with self._lock:
            if camera in self._recorders:
                self._recorders[camera].opened(path)

    def closed(self, camera: str, path: str, mtime_ns: int | None = None) -> None:
        """A recorder closed a segment; one with an old mtime was brought here by somebody else."""
        now_s = self._clock.monotonic_s()
        if mtime_ns is not None and self._clock.wall_s() - mtime_ns / 1e9 > _FRESH_S:
            return
        with self._lock:
            if camera in self._recorders:
                self._recorders[camera].closed(path, now_s)

    def gone(
        self, camera: str, path: str, size_bytes: int, mtime_ns: int, *, ours: bool = False
    ) -> None:
        """Somebody deleted or moved a segment away; how old they let it become is retention."""
        del size_bytes
        age_s = self._clock.wall_s() - mtime_ns / 1e9
        with self._lock:
            if camera in self._recorders:
                self._recorders[camera].left(path)
                if not ours:
                    self._recorders[camera].deleted(age_s)

    # -- what the service asks -----------------------------------------------------------------

    def tick(self) -> None:
        """Look at every camera and tell what changed; cheap enough for twice a second."""
        now_s = self._clock.monotonic_s()
        for camera in tuple(self._recorders):
            self._look(camera, now_s)
            verdict = self._verdict(camera)
            with self._lock:
                recorder = self._recorders[camera]
                told = recorder.judge(verdict, now_s, self.max_pause_s)
                state = _state(camera, recorder, now_s)
            if told is not None:
                self._tell(told, state)

    def trouble(self) -> Trouble | None:
        """The first camera for which all work is held; None: no recorder stands in the way."""
        for state in self.states():
            if state.health is Health.UNHEALTHY:
                return Trouble(
                    state.camera,
                    state.reason or "unhealthy",
                    round(state.silent_s, 1),
                    state.expected_s,
                )
        return None

    def absent(self) -> frozenset[str]:
        """The cameras that have been unhealthy for so long that they hold no more."""
        with self._lock:
            return frozenset(
                name for name, one in self._recorders.items() if one.health is Health.ABSENT
            )

    def health(self, camera: str) -> Health:
        """What was last found of one camera."""
        with self._lock:
            recorder = self._recorders.get(camera)
            return Health.UNKNOWN if recorder is None else recorder.health

    def states(self) -> tuple[RecorderState, ...]:
        """Every camera, for `stats` and `check`."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            return tuple(_state(camera, one, now_s) for camera, one in self._recorders.items())

    def segment_seconds(self, camera: str) -> float | None:
        """How long this camera's segments are: configured, else learned, else None."""
        with self._lock:
            recorder = self._recorders.get(camera)
            return None if recorder is None else recorder.segment_s()

    def retention_days(self, camera: str) -> float | None:
        """How old this camera's recordings become: configured, else learned, else None."""
        with self._lock:
            recorder = self._recorders.get(camera)
            return None if recorder is None else recorder.retention_days()

    def close(self) -> None:
        """End the health commands that still run."""
        for check in self._checks.values():
            check.close()

    # -- how ------------------------------------------------------------------------------------

    def _look(self, camera: str, now_s: float) -> None:
        """Find out by one stat, at most every ten seconds, whether the open segment has grown."""
        with self._lock:
            recorder = self._recorders[camera]
            path = recorder.open_path
            if path is None:
                self._hanging.discard(camera)  # it was closed, or went: its disk answers
            if path is None or now_s - recorder.looked_s < _LOOK_EVERY_S:
                return
            recorder.looked_s = now_s
        try:
            found = self._asker.ask(  # not under the lock
                (self, path), lambda: self._stat(path), path=path, late_s=_LATE_S
            )
        except NoAnswer as silence:
            if silence.hangs(_SILENT_S):
                self._hanging.add(camera)
            recorder.looked_s = float("-inf")  # the answer is looked for at each tick
            return
        except OSError:
            found = None
        self._hanging.discard(camera)
        with self._lock:
            if recorder.open_path != path:
                return
            if found is None:
                recorder.left(path)
            else:
                recorder.seen((found.st_size, found.st_mtime_ns), now_s)

    def _verdict(self, camera: str) -> HealthVerdict | None:
        if camera in self._hanging:
            return _HANGS
        check = self._checks.get(camera)
        if check is not None:
            return check.verdict()
        return self._host.verdict() if camera == HOST and self._host is not None else None

    def _tell(self, event: str, state: RecorderState) -> None:
        silent_s = round(state.silent_s, 1)
        if event == "recorder_recovered":
            self._emit(event, camera=state.camera, silent_s=silent_s)
            return
        self._emit(
            event,
            camera=state.camera,
            reason=state.reason,
            silent_s=silent_s,
            expected_s=state.expected_s,
            state=str(state.health),
        )


def _checks(cameras: Mapping[str, RecorderSettings], clock: Clock) -> dict[str, HealthCheck]:
    return {
        name: HealthCheck(one.health_command, clock=clock)
        for name, one in cameras.items()
        if one.health_command is not None
    }


def _state(camera: str, recorder: Recorder, now_s: float) -> RecorderState:
    return RecorderState(
        camera,
        recorder.health,
        recorder.silent_s(now_s),
        recorder.allowed_s(),
        recorder.segment_s(),
        recorder.retention_days(),
        recorder.reason,
    )
