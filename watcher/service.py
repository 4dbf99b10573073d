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

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.date import DateTrigger

from watcher.answers import Answers, codecs
from watcher.clock import Clock, SystemClock, utc
from watcher.config import Config, changed_keys, resolve_state_dir
from watcher.control import DISABLED, REQUESTS, StateDirectory
from watcher.crew import Crew
from watcher.dumping import Dumping
from watcher.errors import Halt
from watcher.events import Emit, emit
from watcher.foreman import Foreman
from watcher.gate.gauge import GateKeeper, Gauge
from watcher.gate.hosted import HostedCounters
from watcher.gate.load import Counters, LoadMeter
from watcher.gate.readings import Hold, Limits, Reason
from watcher.gate.window import EdgeTrigger, Window
from watcher.ledger.ledger import Ledger, TranscodingStats
from watcher.lookout import Lookout
from watcher.segments.dump import write_dump
from watcher.segments.state_watch import StateWatch
from watcher.segments.worker import Worker
from watcher.settings import Transcoding
from watcher.shift import Shift
from watcher.telling import Telling
from watcher.transcode.leash import Leash
from watcher.transcode.trial import Chooser
from watcher.watch import SETTLE_AGAIN_S, Watch
from watcher.workshop import Workshop, open_workshop

TICK_S = 30
LEDGER = "ledger.sqlite"


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
        tick_s: float = TICK_S,
        settle_again_s: float = SETTLE_AGAIN_S,
        emit: Emit = emit,
    ) -> None:
        self.config = config
        self._tick_s = tick_s
        self._settle_again_s = settle_again_s
        self.clock = clock or SystemClock()
        self._emit = emit
        self._recorders_healthy = recorders_healthy
        self._counters = counters
        self.state = StateDirectory(resolve_state_dir(config, env), self.clock)
        self._chooser = Chooser(clock=self.clock)
        self._stack = contextlib.ExitStack()
        self._held = contextlib.ExitStack()
        self.started_s = 0.0
        self.telling = Telling(self, self._emit)
        self._thread: threading.Thread | None = None
        self._scheduler: BackgroundScheduler | None = None
        self._ticker: Worker | None = None
        self.dumping: Dumping
        self.flags: StateWatch
        self.ledger: Ledger
        self.watch: Watch
        self.shift: Shift
        self.window: Window

    # --- life -----------------------------------------------------------------------------------

    def start(self) -> None:
        """Take the state directory, walk the cameras once, and begin; raises `Halt`."""
        self.state.prepare()
        with contextlib.ExitStack() as stack:
            self._held = stack.enter_context(contextlib.ExitStack())
            self._held.enter_context(self.state.service_lock())
            self.state.sweep()
            self.started_s = self.clock.wall_s()
            self.ledger = stack.enter_context(
                Ledger(str(self.state.path / LEDGER), clock=self.clock, emit=self._emit)
            )
            self.ledger.load()
            self._answers = Answers(self)
            self.flags = StateWatch(
                str(self.state.path),
                (DISABLED, *REQUESTS),
                self._flag_changed,
                clock=self.clock,
                emit=self._emit,
            )
            self.telling.started()
            self._start_watch()
            stack.callback(self._stop_watch)
            self._start_shift()
            self._start_scheduler()
            stack.callback(self._stop_scheduler)
            self.dumping = Dumping(self._dump, self.clock, self._unexpected)
            stack.callback(self.dumping.stop)
            self.flags.start()
            stack.callback(self.flags.stop)
            for name in REQUESTS:  # what was asked before anybody listened
                self._answers.give(name)
            self._stack = stack.pop_all()
        self.publish()

    def stop(self, within_s: float | None = None) -> None:
        """End; a running file may finish where that is expected within *within_s*.

        None: stop_timeout_seconds; 0: it is aborted at once. What is half made is removed.
        """
        self.hurry(self.config.transcoding.stop_timeout_seconds if within_s is None else within_s)
        self._join_shift()
        uptime_s = round(self.clock.wall_s() - self.started_s, 1)
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
            may_read=self._may_read,
            settle_again_s=self._settle_again_s,
            clock=self.clock,
            emit=self._emit,
        )
        self.watch.start()

    def _may_read(self) -> bool:
        """Whether whole files may be read that can wait: in the window, while the gate is open."""
        hold = self.shift.hold if self.running else Hold(Reason.HALTED, "")
        if hold is not None and hold.reason not in {Reason.DISABLED, Reason.DISK}:  # may give room
            return False
        return self.window.state(self.clock.wall_s()).is_open

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
            on_night=self.telling.night,
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
        scheduler.start()
        self._scheduler = scheduler
        self._plan_deletion()
        # Not APScheduler's: it goes by the wall clock, and would sleep for hours after that was
        # set back by as much. The tick is what notices such a step.
        ticker = Worker("watcher-tick", self.clock, self._unexpected)
        ticker.soon(lambda: self._tick_on(ticker), self._tick_s)
        ticker.start()
        self._ticker = ticker

    def _stop_scheduler(self) -> None:
        ticker, self._ticker = self._ticker, None
        if ticker is not None:
            ticker.stop()
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

    def _tick_on(self, ticker: Worker) -> None:
        ticker.soon(lambda: self._tick_on(ticker), self._tick_s)
        self.tick()

    def tick(self) -> None:
        """Notice what no event tells of, and say so; every 30 s."""
        try:
            self._keep_state()
            self.flags.tick()
            self.watch.tick()
            self.telling.age()
            self._plan_deletion()
            self.publish()
        except Exception as error:  # noqa: BLE001 - the next tick is not to suffer
            self._unexpected("tick", error)
        self._wake()

    def _unexpected(self, where: str, error: Exception) -> None:
        self._emit("unexpected", where=where, detail=f"{type(error).__name__}: {error}")

    def _keep_state(self) -> None:
        """Where the state directory has vanished: make it anew, and be its one service again."""
        if self.state.service_lives():
            return
        with contextlib.suppress(Halt):  # its disk is away: said by whatever needs it
            self.state.prepare()
            self._held.enter_context(self.state.service_lock())

    def _flag_changed(self, name: str) -> None:
        if name == DISABLED:
            self._emit(
                "switched", enabled=self.state.enabled(), by="the flag in the state directory"
            )
            self._wake()
            self.publish()
        else:
            self._answers.give(name)

    def enabled(self) -> bool:
        """Say whether both the configuration and the switch want it to work."""
        return self.config.transcoding.enabled and self.state.enabled()

    def publish(self) -> None:
        """Leave what there is to say for commands that read it without asking."""
        self.state.publish(self.telling.says())

    def _dump(self, stopping: Callable[[], bool]) -> str:
        """Write the index dump; give its path. Raises `DumpFailed`."""
        says = self.telling.says()
        return write_dump(
            str(self.state.path),
            self.watch.index,
            service={key: says[key] for key in ("pid", "version", "enabled", "current_file")},
            window=says["window"],
            gate=says["gate"],
            codec_of=codecs(self.ledger.outcome_of, self.config.transcoding.source_codecs),
            stopping=stopping,
            clock=self.clock,
            emit=self._emit,
        ).path


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
