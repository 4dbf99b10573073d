"""The long-running service: its life, its signals' meanings, and what it says of itself.

`Service` puts the parts together and keeps them alive: the watch (segments, recorders, originals),
the shift (the night's loop), APScheduler's wake-ups (the window's edges, the tick, the next
deletion), and the state directory through which commands reach it. It decides nothing about
recordings. `BackgroundTranscoder` is the same inside a host application. Signals are `daemon`'s.
"""

import contextlib
import math
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

from watcher import __version__
from watcher.answers import Answers
from watcher.census import Surroundings, count, foresee
from watcher.clock import Clock, SystemClock, utc
from watcher.config import Config, changed_keys, resolve_state_dir
from watcher.control import ASKED, DISABLED, StateDirectory
from watcher.errors import Halt
from watcher.events import Emit, emit
from watcher.foreman import Foreman
from watcher.gate.gauge import GateKeeper, Gauge
from watcher.gate.hosted import HostedCounters
from watcher.gate.load import Counters, LoadMeter
from watcher.gate.readings import Limits, Space
from watcher.gate.window import EdgeTrigger, Window
from watcher.ledger.forecast import Forecast
from watcher.ledger.forecast import Night as NightLength
from watcher.ledger.ledger import Ledger, TranscodingStats
from watcher.lookout import Lookout
from watcher.night import Night, Standing, tell
from watcher.segments.dump import write_dump
from watcher.segments.state_watch import StateWatch
from watcher.settings import Transcoding
from watcher.shift import Crew, Shift
from watcher.transcode.leash import Leash
from watcher.transcode.trial import Chooser
from watcher.watch import Watch
from watcher.workshop import Workshop, open_workshop

TICK_S = 30
LEDGER = "ledger.sqlite"

_WEEK_DAYS = 7
_DAY_S = 86_400.0
_OVERDUE_S = 3 * _DAY_S


class Service:
    """One configuration at work. `start`, `stop` and `reload` are for one thread at a time."""

    def __init__(
        self,
        config: Config,
        *,
        env: Mapping[str, str] = os.environ,
        recorders_healthy: Callable[[], bool] | None = None,
        counters: Counters | None = None,
        clock: Clock | None = None,
        emit: Emit = emit,
    ) -> None:
        self.config = config
        self.clock = clock or SystemClock()
        self._emit = emit
        self._recorders_healthy = recorders_healthy
        self._counters = counters
        self.state = StateDirectory(resolve_state_dir(config, env), self.clock)
        self._chooser = Chooser(clock=self.clock)
        self._stack = contextlib.ExitStack()
        self._lock = threading.RLock()
        self._started_s = 0.0
        self._warned_of_age_s: float | None = None
        self._target_told: set[str] = set()
        self._thread: threading.Thread | None = None
        self._scheduler: BackgroundScheduler | None = None
        self.ledger: Ledger
        self.watch: Watch
        self.shift: Shift
        self.window: Window

    # --- life -----------------------------------------------------------------------------------

    def start(self) -> None:
        """Take the state directory, walk the cameras once, and begin; raises `Halt`."""
        self.state.prepare()
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.state.service_lock())
            self.state.sweep()
            self._started_s = self.clock.wall_s()
            self.ledger = stack.enter_context(
                Ledger(str(self.state.path / LEDGER), clock=self.clock, emit=self._emit)
            )
            self.ledger.load()
            self._answers = Answers(self)
            self._flags = StateWatch(
                str(self.state.path),
                (DISABLED, ASKED),
                self._flag_changed,
                clock=self.clock,
                emit=self._emit,
            )
            self._flags.start()
            stack.callback(self._flags.stop)
            self._tell_started()
            self._start_watch()
            stack.callback(self._stop_watch)
            self._start_shift()
            self._start_scheduler()
            stack.callback(self._stop_scheduler)
            self._stack = stack.pop_all()
        self.publish()

    def stop(self, within_s: float | None = None) -> None:
        """End; a running file may finish where that is expected within *within_s*.

        None: stop_timeout_seconds; 0: it is aborted at once. What is half made is removed.
        """
        self.hurry(self.config.transcoding.stop_timeout_seconds if within_s is None else within_s)
        self._join_shift()
        uptime_s = round(self.clock.wall_s() - self._started_s, 1)
        self._stack.close()
        self._emit("service_stopped", reason="asked to", uptime_s=uptime_s)

    def hurry(self, within_s: float) -> None:
        """Give a stop that is under way (or to come) no more than *within_s*; any thread."""
        if self._thread is not None:
            self.shift.stop(within_s)

    @property
    def running(self) -> bool:
        """Say whether it was started and not stopped."""
        return self._thread is not None and self._thread.is_alive()

    def reload(self, config: Config) -> None:
        """Put another configuration in force, after the running file; raises `Halt` if it can't."""
        changed = changed_keys(self.config, config)
        if any(key == "state_dir" for key in changed):
            raise Halt("state_dir", "another state_dir needs a restart; the old values hold")
        if not changed:
            self._emit("config_reloaded", changed=[])
            return
        self.shift.stop(math.inf)
        self._join_shift()
        self._stop_scheduler()
        self.config = config
        if any(not key.startswith(("transcoding.", "logging.")) for key in changed):
            known = self.watch.recorders.known()
            self._stop_watch()
            self._start_watch()
            self.watch.recorders.take_over(known)
        else:
            self.watch.follow(config.transcoding)
        self._start_shift()
        self._start_scheduler()
        self._emit("config_reloaded", changed=list(changed))
        self.publish()

    # --- parts ----------------------------------------------------------------------------------

    def _start_watch(self) -> None:
        self.watch = Watch(
            self.config,
            self.ledger,
            wake=self._wake,
            recorders_healthy=self._recorders_healthy,
            clock=self.clock,
            emit=self._emit,
        )
        self.watch.start()

    def _stop_watch(self) -> None:
        self.watch.stop()

    def _start_shift(self) -> None:
        settings = self.config.transcoding
        self.window = Window.parse(settings.run_schedule, settings.timezone)
        limits = limits_of(settings)
        gauge = Gauge(
            meter=LoadMeter(
                counters=self._counters,
                temperature=settings.max_temperature_c is not None,
                clock=self.clock,
            ),
            recorders=self.watch.recorders,
            window=self.window,
            clock=self.clock,
        )
        keeper = GateKeeper(gauge, limits, clock=self.clock)
        crew = Crew(
            index=self.watch.index,
            tender=self.watch.tender,
            lookout=Lookout(keeper, limits, self.enabled, clock=self.clock, emit=self._emit),
            recorders=self.watch.recorders,
            ledger=self.ledger,
            foreman=Foreman(self.clock, self._emit),
            open_workshop=self._open_workshop,
            job_lock=lambda path: self.state.job_lock(path, wait=False),
            enabled=self.enabled,
            on_night=self._tell_night,
        )
        self._crew = crew
        self.shift = Shift(settings, self.window, crew, clock=self.clock, emit=self._emit)
        self._thread = threading.Thread(target=self.shift.run, name="watcher-shift", daemon=True)
        self._thread.start()

    def _join_shift(self) -> None:
        if self._thread is not None:
            self._thread.join()
            self._crew.foreman.close()
            self._thread = None

    def _open_workshop(self, leash: Leash) -> Workshop:
        self._chooser.forget()
        workshop = open_workshop(
            self.config.transcoding,
            self.ledger,
            self._chooser,
            leash=leash,
            clock=self.clock,
            emit=self._emit,
        )
        self.watch.judge_by(workshop.fingerprint)
        return workshop

    def _start_scheduler(self) -> None:
        """Wake-ups, in UTC; each calls what may be called at any time, any number of times."""
        scheduler = BackgroundScheduler(
            timezone="UTC", job_defaults={"misfire_grace_time": None, "coalesce": True}
        )
        scheduler.add_job(self._wake, EdgeTrigger(self.window), id="window")
        scheduler.add_job(self.tick, IntervalTrigger(seconds=TICK_S), id="tick")
        scheduler.start()
        self._scheduler = scheduler
        self._plan_deletion()

    def _stop_scheduler(self) -> None:
        scheduler, self._scheduler = self._scheduler, None
        if scheduler is not None:
            scheduler.shutdown(wait=True)

    def _plan_deletion(self) -> None:
        """Wake the shift when the next safety period is over."""
        due_s = self.watch.tender.originals.next_due_s()
        if self._scheduler is None or due_s is None:
            return
        self._scheduler.add_job(
            self._wake, DateTrigger(utc(due_s)), id="deletion", replace_existing=True
        )

    # --- what wakes it ----------------------------------------------------------------------------

    def _wake(self) -> None:
        if self._thread is not None:
            self.shift.wake()

    def tick(self) -> None:
        """Notice what no event tells of, and say so; every 30 s."""
        try:
            self._flags.tick()
            self.watch.tick()
            self._answers.give()
            self._warn_of_age()
            self._plan_deletion()
            self.publish()
        except Exception as error:  # noqa: BLE001 - the next tick is not to suffer
            self._emit("unexpected", where="tick", detail=f"{type(error).__name__}: {error}")
        self._wake()

    def _flag_changed(self, name: str) -> None:
        if name == DISABLED:
            self._emit(
                "switched", enabled=self.state.enabled(), by="the flag in the state directory"
            )
            self._wake()
            self.publish()
        elif name == ASKED:
            self._answers.give()

    def enabled(self) -> bool:
        """Say whether both the configuration and the switch want it to work."""
        return self.config.transcoding.enabled and self.state.enabled()

    # --- what it says -----------------------------------------------------------------------------

    def publish(self) -> None:
        """Leave what there is to say for commands that read it without asking."""
        self.state.publish(self.says())

    def says(self) -> dict[str, Any]:
        """Give the state of things, as plain values."""
        state = self.window.state(self.clock.wall_s())
        job, hold, shift = self.shift.current, self.shift.hold, self.shift
        return {
            "pid": os.getpid(),
            "version": __version__,
            "started_at_s": self._started_s,
            "heartbeat_s": self.clock.wall_s(),
            "enabled": self.enabled(),
            "window": {"open": state.is_open, "changes_at_s": state.next_edge_s},
            "gate": {"held_by": hold.reason.value, "detail": hold.detail} if hold else None,
            "halted": shift.halt.message if shift.halt else None,
            "closed_by": shift.closed_by.message if shift.closed_by else None,
            "current_file": os.fsencode(job.segment.path).hex() if job else None,
            "encoder": shift.encoder,
            "recorders": {
                one.camera: {"health": one.health.value, "reason": one.reason}
                for one in self.watch.recorders.states()
            },
        }

    def dump(self) -> str:
        """Write the index dump; give its path. Raises `DumpFailed`."""
        says = self.says()
        return write_dump(
            str(self.state.path),
            self.watch.index,
            service={key: says[key] for key in ("pid", "version", "enabled", "current_file")},
            window=says["window"],
            gate=says["gate"],
            clock=self.clock,
            emit=self._emit,
        ).path

    def forecast(self) -> Forecast:
        """Count the index and foretell from the measured speeds."""
        now_s = self.clock.wall_s()
        around = Surroundings(
            now_s=now_s,
            night=self._night_length(now_s),
            encoder=self.shift.encoder or self.ledger.last_encoder(),
            retention_days=self.retention_days(),
            min_age_days=self.config.transcoding.min_age_days,
        )
        return foresee(count(self.watch.index, now_s), self.ledger, around)

    def retention_days(self) -> dict[str, float | None]:
        """How long each camera's recordings live, as configured or seen."""
        recorders = self.watch.recorders
        return {name: recorders.retention_days(name) for name in self.config.recordings}

    def space(self) -> tuple[Space, int] | None:
        """Give the room on the first camera's disk, and its floor; None where it is not there."""
        path = self.config.cameras[0].path
        try:
            return self.watch.tender.space(path), self.watch.tender.floor_bytes(path)
        except Halt:
            return None

    def _night_length(self, now_s: float) -> NightLength:
        open_s = self.window.open_s(now_s, now_s + _WEEK_DAYS * _DAY_S) / _WEEK_DAYS
        nights = self.ledger.recent_nights()
        wanted_s = sum(night.work_s + night.held_s for night in nights)
        share = sum(night.work_s for night in nights) / wanted_s if wanted_s else 1.0
        space = self.space()
        above = max(0, space[0].free_bytes - space[1]) if space else 0
        return NightLength(open_s, share or 1.0, above)

    def _tell_started(self) -> None:
        self._emit(
            "service_started",
            version=__version__,
            pid=os.getpid(),
            state_dir=str(self.state.path),
            cameras=list(self.config.recordings),
            ffmpeg=self.config.transcoding.ffmpeg,
        )

    def _tell_night(self, night: Night) -> None:
        def standing() -> Standing:
            originals, space = self.watch.tender.originals, self.space()
            now_s = self.clock.wall_s()
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
        self._tell_targets()

    def _tell_targets(self) -> None:
        """Say once of each camera that it saves less than hoped for; that is no rejection."""
        target = self.config.transcoding.target_space_savings
        for camera, files in self.ledger.transcoded_per_camera().items():
            kept = self.ledger.kept_share(camera)
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

    def _warn_of_age(self) -> None:
        """Say at start and daily where retention deletes before anything is old enough."""
        now_s = self.clock.monotonic_s()
        if self._warned_of_age_s is not None and now_s - self._warned_of_age_s < _DAY_S:
            return
        self._warned_of_age_s = now_s
        wanted = self.config.transcoding.min_age_days
        for camera, days in self.retention_days().items():
            if days is not None and days <= wanted:
                self._emit(
                    "nothing_comes_of_age",
                    camera=camera,
                    recordings_live_days=round(days, 1),
                    min_age_days=wanted,
                )


def limits_of(settings: Transcoding) -> Limits:
    """Translate what the configuration allows others to suffer."""
    return Limits(
        cpu_percent=settings.max_cpu_percent,
        io_percent=settings.max_io_wait,
        gpu_percent=settings.max_gpu_percent,
        temperature_c=settings.max_temperature_c,
        critical_bytes=round(settings.critical_free_space_gb * 1e9),
        max_pause_s=settings.max_pause_minutes * 60.0,
        overrun_s=settings.overrun_minutes * 60.0,
    )


class BackgroundTranscoder:
    """The service inside a host application: no signals taken, no log set up.

    *recorders_healthy* is the host's own answer to whether its recorders are well; while it says
    no, nothing is transcoded. It is called twice a second while there is work.
    """

    def __init__(self, config: Config, recorders_healthy: Callable[[], bool] | None = None) -> None:
        self._service = Service(
            config, recorders_healthy=recorders_healthy, counters=HostedCounters()
        )

    def start(self) -> None:
        """Begin; returns when the cameras' directories have been walked. Raises `Halt`."""
        if not self._service.running:
            self._service.start()

    def stop(self) -> None:
        """End; a running file may finish where that takes no more than stop_timeout_seconds."""
        if self._service.running:
            self._service.stop()

    @property
    def stats(self) -> TranscodingStats:
        """What has been transcoded so far."""
        if self._service.running:
            return self._service.ledger.totals()
        with Ledger(str(self._service.state.path / LEDGER)) as ledger:
            return ledger.totals()

    @property
    def current_file(self) -> str | None:
        """The recording that is being transcoded; None while none is."""
        job = self._service.shift.current if self._service.running else None
        return job.segment.path if job else None

    @property
    def running(self) -> bool:
        """Say whether it was started and not stopped."""
        return self._service.running
