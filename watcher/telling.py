"""What the service says of itself: its state, its forecast, and what a person should be told.

For `status.json`, `stats` and the log. Nothing here decides or changes anything.
"""

import os
from typing import TYPE_CHECKING, Any

from watcher import __version__
from watcher.census import Surroundings, count, foresee
from watcher.errors import WatcherError
from watcher.events import Emit
from watcher.gate.readings import Space
from watcher.ledger.forecast import Forecast
from watcher.ledger.forecast import Night as NightLength
from watcher.ledger.stats import nothing_comes_of_age
from watcher.night import Night, Standing, tell

if TYPE_CHECKING:
    from watcher.service import Service

_WEEK_DAYS = 7
_DAY_S = 86_400.0
_OVERDUE_S = 3 * _DAY_S


class Telling:
    """Speaks for one service."""

    def __init__(self, service: "Service", emit: Emit) -> None:
        self._service = service
        self._emit = emit
        self._warned_of_age_s: float | None = None
        self._target_told: set[str] = set()

    def says(self) -> dict[str, Any]:
        """Give the state of things, as plain values."""
        service, shift = self._service, self._service.shift
        state = service.window.state(service.clock.wall_s())
        job, hold = shift.current, shift.hold
        return {
            "pid": os.getpid(),
            "version": __version__,
            "started_at_s": self._service.started_s,
            "heartbeat_s": self._service.clock.wall_s(),
            "enabled": self._service.enabled(),
            "window": {"open": state.is_open, "changes_at_s": state.next_edge_s},
            "gate": {"held_by": hold.reason.value, "detail": hold.detail} if hold else None,
            "halted": shift.halt.message if shift.halt else None,
            "closed_by": shift.closed_by.message if shift.closed_by else None,
            "current_file": os.fsencode(job.segment.path).hex() if job else None,
            "encoder": shift.encoder,
            "recorders": {
                one.camera: {"health": one.health.value, "reason": one.reason}
                for one in self._service.watch.recorders.states()
            },
        }

    def forecast(self) -> Forecast:
        """Count the index and foretell from the measured speeds."""
        now_s = self._service.clock.wall_s()
        around = Surroundings(
            now_s=now_s,
            night=self._night_length(now_s),
            encoder=self._service.shift.encoder or self._service.ledger.last_encoder(),
            retention_days=self.retention_days(),
            min_age_days=self._service.config.transcoding.min_age_days,
            keep_original_days=self._service.config.transcoding.keep_original_s / _DAY_S,
        )
        return foresee(count(self._service.watch.index, now_s), self._service.ledger, around)

    def retention_days(self) -> dict[str, float | None]:
        """How long each camera's recordings live, as configured or seen."""
        recorders = self._service.watch.recorders
        return {name: recorders.retention_days(name) for name in self._service.config.recordings}

    def space(self) -> tuple[Space, int] | None:
        """Give the room on the first camera's disk, and its floor; None where it is not there."""
        path = self._service.config.cameras[0].path
        try:
            return self._service.watch.tender.space(path), self._service.watch.tender.floor_bytes(
                path
            )
        except WatcherError:
            return None

    def _night_length(self, now_s: float) -> NightLength:
        open_s = self._service.window.open_s(now_s, now_s + _WEEK_DAYS * _DAY_S) / _WEEK_DAYS
        nights = self._service.ledger.recent_nights()
        wanted_s = sum(night.work_s + night.held_s for night in nights)
        worked_s = sum(night.work_s for night in nights)
        share = worked_s / wanted_s if wanted_s else 1.0  # no work was wanted yet: nothing held it
        space = self.space()
        above = max(0, space[0].free_bytes - space[1]) if space else 0
        return NightLength(open_s, share, above)

    def started(self) -> None:
        """Say that the service is up."""
        self._emit(
            "service_started",
            version=__version__,
            pid=os.getpid(),
            state_dir=str(self._service.state.path),
            cameras=list(self._service.config.recordings),
            ffmpeg=self._service.config.transcoding.ffmpeg,
        )

    def night(self, night: Night) -> None:
        """Say what a window has brought."""

        def standing() -> Standing:
            originals, space = self._service.watch.tender.originals, self.space()
            now_s = self._service.clock.wall_s()
            overdue = [one for one in originals.all() if one.held.until_s + _OVERDUE_S < now_s]
            return Standing(
                forecast=self.forecast(),
                originals_waiting=len(originals),
                originals_bytes=originals.held_bytes(),
                originals_overdue=len(overdue),
                free_bytes=space[0].free_bytes if space else None,
                floor_bytes=space[1] if space else None,
            )

        tell(night, standing, self._emit)
        self._targets()

    def _targets(self) -> None:
        """Say once of each camera that it saves less than hoped for; that is no rejection."""
        target = self._service.config.transcoding.target_space_savings
        for camera, files in self._service.ledger.transcoded_per_camera().items():
            kept = self._service.ledger.kept_share(camera)
            if kept is None or camera in self._target_told or 100 * (1 - kept) >= target:
                continue
            self._target_told.add(camera)
            self._emit(
                "savings_below_target",
                camera=camera,
                savings_percent=round(100 * (1 - kept), 1),
                target_percent=target,
                files=files,
            )

    def age(self) -> None:
        """Say at start and daily where retention deletes before anything is old enough."""
        now_s = self._service.clock.monotonic_s()
        if self._warned_of_age_s is not None and now_s - self._warned_of_age_s < _DAY_S:
            return
        self._warned_of_age_s = now_s
        wanted = self._service.config.transcoding.min_age_days
        keep = self._service.config.transcoding.keep_original_s / _DAY_S
        for camera, days in self.retention_days().items():
            if days is not None and nothing_comes_of_age(days, wanted, keep):
                self._emit(
                    "nothing_comes_of_age",
                    camera=camera,
                    recordings_live_days=round(days, 1),
                    min_age_days=wanted,
                    keep_original_days=round(keep, 3),
                )
