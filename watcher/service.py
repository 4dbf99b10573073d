"""The long-running service: its life, its signals' meanings, and what it says of itself.

`Service` puts the parts together and keeps them alive: the watch (segments, recorders, originals),
the shift (the night's loop), what wakes it by the clock (the window's edges, the tick, the next
deletion), and the state directory through which commands reach it. It decides nothing about
recordings. Inside a host application it is `background`'s; signals are `daemon`'s.
"""

import contextlib
import math
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from watcher.answers import Answers
from watcher.clock import Clock, SystemClock
from watcher.config import Config, changed_keys, resolve_state_dir
from watcher.control import DISABLED, REQUESTS, StateDirectory
from watcher.crew import Crew
from watcher.dumping import Dumping, write_index
from watcher.errors import Halt
from watcher.events import Emit, emit
from watcher.foreman import Foreman
from watcher.gate.asking import patient
from watcher.gate.gauge import GateKeeper, Gauge
from watcher.gate.load import Counters, LoadMeter
from watcher.gate.readings import Limits
from watcher.gate.window import Window
from watcher.ledger.ledger import Ledger
from watcher.lookout import Lookout
from watcher.parting import PARTS_WITHIN_S, Parting
from watcher.pending import Pending
from watcher.reloading import changes, taken_at_once, waits
from watcher.segments.state_watch import StateWatch
from watcher.settling import SETTLE_AGAIN_S
from watcher.shift import Shift
from watcher.telling import Telling
from watcher.transcode.leash import Leash
from watcher.transcode.trial import Chooser
from watcher.wakeups import TICK_S, WakeUps
from watcher.watch import Watch
from watcher.workshop import Workshop, open_workshop

SHIFT_AFTER_S = 20.0
"""How much longer than it was given the shift may take to end, before it is left behind."""
LEDGER = "ledger.sqlite"
_HURRIED_S = 0.5
_HANGS = "look at the kernel's log, and for the disk or network share that hangs"


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
        shift_after_s: float = SHIFT_AFTER_S,
        parts_within_s: float = PARTS_WITHIN_S,
        emit: Emit = emit,
    ) -> None:
        self.config = config
        self._shift_after_s = shift_after_s
        self._parts_within_s = parts_within_s
        self._tick_s = tick_s
        self._settle_again_s = settle_again_s
        self.clock = clock or SystemClock()
        self._emit = emit
        self._recorders_healthy = recorders_healthy
        self._counters = counters
        self.state = StateDirectory(
            resolve_state_dir(config, env), self.clock, exists=patient(os.path.exists)
        )
        self._chooser = Chooser(clock=self.clock)
        self._parting = Parting(parts_within_s, self.clock)
        self.pending = Pending()
        self._stack = contextlib.ExitStack()
        self._held = contextlib.ExitStack()
        self._foremen: tuple[Foreman, ...] = ()  # outlive reloads: the kernel may keep one's job
        self._ended: Shift | None = None  # what it knows of disks that hang outlives it
        self.left_behind: tuple[str, ...] = ()
        """Which parts did not end at the last stop, because something hangs."""
        self.started_s = 0.0
        self.telling = Telling(self, self._emit)
        self._thread: threading.Thread | None = None
        self._wake_ups: WakeUps | None = None
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
        self._parting = Parting(self._parts_within_s, self.clock)

        def at_end(name: str, act: Callable[[], object]) -> None:
            stack.callback(self._parting.end, name, act)

        with contextlib.ExitStack() as stack:
            self._held = contextlib.ExitStack()
            at_end("state directory", self._held.close)
            self._held.enter_context(self.state.service_lock())
            self.state.sweep()
            self.started_s = self.clock.wall_s()
            self.ledger = Ledger(str(self.state.path / LEDGER), clock=self.clock, emit=self._emit)
            at_end("ledger", self.ledger.close)
            self.ledger.load()
            self._answers = Answers(self)
            self.telling.started()
            before = self._foremen or (None, None)
            self._foremen = tuple(Foreman(self.clock, self._emit, before=one) for one in before)
            self.flags = self._reserve_flags()
            at_end("switch", self.flags.stop)
            self._start_watch()
            at_end("watch", self._stop_watch)
            self._start_shift(self._ended)
            self._ended = None  # and with it its whole index
            at_end("shift", lambda: self._end_shift(0.0))  # where the start fails
            self._start_wake_ups()
            at_end("wake-ups", self._stop_wake_ups)
            self.dumping = Dumping(
                partial(write_index, self, self._emit), self.clock, self._unexpected
            )
            at_end("dump", self.dumping.stop)
            self.flags.start()
            at_end("switch", self.flags.stop)
            for name in REQUESTS:  # what was asked before anybody listened
                self._answers.give(name)
            self._stack = stack.pop_all()
        self.publish()

    def _reserve_flags(self) -> StateWatch:
        """Have the switch and questions heard of before the cameras use up inotify's limits."""
        names = (DISABLED, *REQUESTS)
        flags = StateWatch(
            str(self.state.path), names, self._flag_changed, clock=self.clock, emit=self._emit
        )
        flags.reserve()
        return flags

    def stop(self, within_s: float | None = None) -> None:
        """End; a running file may finish where that is expected within *within_s*.

        None: stop_timeout_seconds; 0: it is aborted at once. What is half made is removed. What
        does not end, because a disk hangs, is told and left behind.
        """
        patience_s = self.config.transcoding.stop_timeout_seconds
        ended = self._end_shift(patience_s if within_s is None else within_s)
        uptime_s = round(self.clock.wall_s() - self.started_s, 1)
        self._stack.close()
        self.left_behind = (*(() if ended else ("shift",)), *self._parting.left)
        if self.left_behind:
            self._emit("stop_incomplete", parts=list(self.left_behind), remedy=_HANGS)
        self._emit("service_stopped", reason="asked to", uptime_s=uptime_s)

    def hurry(self, within_s: float) -> None:
        """Give a stop that is under way (or to come) no more than *within_s*; any thread."""
        if self._thread is not None:
            self.shift.stop(within_s)

    @property
    def running(self) -> bool:
        """Say whether it was started and not stopped."""
        return self._thread is not None and self._thread.is_alive()

    def reload(self, config: Config, at_once: Callable[[], None] = lambda: None) -> None:
        """Put another configuration in force; raises `Halt` if it can't, and the old one holds.

        Limits, window and switch at once, and *at_once* is called; the rest after the running file.
        """
        before, changed = self.config, changes(self.config, config)
        if not changed:
            self._emit("config_reloaded", changed=[])
            return
        self.pending.put(config, lambda: self._take_at_once(config, changed))
        at_once()
        self.shift.stop(math.inf)
        ended = self._join_shift()
        config = self.pending.take() or config
        if not ended:
            raise Halt("job_stuck", "the running job does not end; the old values hold")
        changed = changed_keys(before, config)
        self._stop_wake_ups()
        self.config = config
        if any(not key.startswith(("transcoding.", "logging.")) for key in changed):
            known = self.watch.recorders.known()
            parting = Parting(self._parts_within_s, self.clock)
            parting.end("watch", self._stop_watch)
            if parting.left:
                self._emit("stop_incomplete", parts=parting.left, remedy=_HANGS)
            self._start_watch()
            self.watch.recorders.take_over(known)
        else:
            self.watch.follow(config.transcoding)
        self._start_shift(self.shift)
        self._start_wake_ups()
        self._emit("config_reloaded", changed=list(changed))
        self.publish()

    def amend(self, config: Config) -> bool:
        """Let a reload that waits go on with *config*, and take of it what can be at once.

        False where none waits (any more); raises `Halt` as `reload` does. For another thread.
        """
        changed = changes(self.config, config)
        return self.pending.replace(config, lambda: self._take_at_once(config, changed))

    def _take_at_once(self, config: Config, changed: Sequence[str]) -> None:
        """Let the running job, if any, feel what may change under it; say what waits for it."""
        settings = taken_at_once(self.config.transcoding, config.transcoding)
        self.config = self.config.model_copy(update={"transcoding": settings})
        self.watch.limit_by(settings)
        self.window = Window.parse(settings.run_schedule, settings.timezone)
        self._crew.lookout.follow(Limits.of(settings), self.window)
        self.shift.follow(settings, self.window)
        job, waiting, left_s = self.shift.current, waits(changed), self.shift.expected_left_s()
        if job is not None and waiting:
            self._emit(
                "config_waits",
                path=job.segment.path,
                changed=[key for key in changed if key not in waiting],
                waiting=waiting,
                expected_s=None if left_s is None else round(left_s),
            )

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

    def _stop_watch(self) -> None:
        self.watch.stop()

    def _may_read(self) -> bool:
        """Whether whole files may be read that can wait: in the window, while the gate is open."""
        if not self.running:
            return False  # the watch begins before the shift
        if self.shift.wants_its_directory():  # which is locked while a whole file is read
            return False
        return self.window.state(self.clock.wall_s()).is_open and self.shift.lets_read()

    def _start_shift(self, before: Shift | None = None) -> None:
        settings = self.config.transcoding
        self.window = Window.parse(settings.run_schedule, settings.timezone)
        limits = Limits.of(settings)
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
        foreman, errands = self._foremen
        crew = Crew(
            index=self.watch.index,
            tender=self.watch.tender,
            lookout=Lookout(keeper, limits, self.enabled, clock=self.clock, emit=self._emit),
            recorders=self.watch.recorders,
            ledger=self.ledger,
            foreman=foreman,
            errands=errands,
            open_workshop=self._open_workshop,
            job_lock=lambda path: self.state.job_lock(path, wait=False),
            enabled=self.enabled,
            on_night=self.telling.night,
            confirm=self.watch.confirm,
        )
        self._crew = crew
        self.shift = Shift(
            settings, self.window, crew, before=before, clock=self.clock, emit=self._emit
        )
        self._thread = threading.Thread(target=self.shift.run, name="watcher-shift", daemon=True)
        self._thread.start()

    def _end_shift(self, within_s: float) -> bool:
        if self._thread is None:
            return True
        self.hurry(within_s)
        ended, self._thread, self._ended = self._join_shift(), None, self.shift
        for foreman in self._foremen if ended else ():
            foreman.close()
        return ended

    def _join_shift(self) -> bool:
        """Wait for its end; False where it is left behind, because something keeps it."""
        thread = self._thread
        if thread is None:
            return True
        late = False
        while thread.is_alive() and not late:
            thread.join(_HURRIED_S)  # told to hurry meanwhile, it has to end sooner
            late = self.clock.monotonic_s() > self.shift.ends_at_s + self._shift_after_s
        if thread.is_alive():
            return False
        self._thread = None
        return True

    def _open_workshop(self, leash: Leash) -> Workshop:
        self._chooser.forget()
        settings = self.config.transcoding
        workshop = open_workshop(
            settings, self.ledger, self._chooser, leash=leash, clock=self.clock, emit=self._emit
        )
        self.watch.judge_by(workshop.fingerprint)
        return workshop

    def _start_wake_ups(self) -> None:
        wake_ups = self._wake_ups = WakeUps(
            self.window,
            wake=self._wake,
            tick=self.tick,
            on_error=self._unexpected,
            clock=self.clock,
            tick_s=self._tick_s,
        )
        wake_ups.start()
        self._plan_deletion()

    def _stop_wake_ups(self) -> None:
        wake_ups, self._wake_ups = self._wake_ups, None
        if wake_ups is not None:
            wake_ups.stop()

    def _plan_deletion(self) -> None:
        if self._wake_ups is not None:
            self._wake_ups.plan_deletion(self.watch.tender.originals.next_due_s())

    # --- what wakes it ----------------------------------------------------------------------------

    def _wake(self) -> None:
        if self._thread is not None:
            self.shift.wake()

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
