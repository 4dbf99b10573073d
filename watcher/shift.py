"""The night's loop: while open and calm, the oldest candidate becomes a job.

One thread makes every decision, here: what is next, whether it may begin, when it has to end. It
sleeps until somebody wakes it (an edge of the window, the tick, a segment, a switch), and looks
twice a second only while there is work in an open window. Originals whose time is over go before
new work: they free space. It halts only where nothing can be done anywhere.

What it leaves to others: which recording is next (`choice`) and where none can be (`barred`), which
original goes (`releases`) and how it is let go (`deletions`), whose fault failures are (`faults`),
the gate and what it says (`lookout`), obeying it during a job (`foreman`), how far what runs is and
when it has to end (`running`), the job itself (`job`), what stands beside recordings (`tending`),
who reads meanwhile (`beside`).
"""

import threading
from typing import Final

from watcher.barred import Places
from watcher.beside import Beside
from watcher.choice import Choice
from watcher.clock import Clock, SystemClock
from watcher.crew import BUSY_RETRY_S, Crew
from watcher.deletions import Deletions
from watcher.errors import Aborted, Halt, Retryable
from watcher.events import Emit, emit
from watcher.faults import HALT_RETRY_S, Faults, Halts
from watcher.foreman import LOOK_EVERY_S
from watcher.gate.readings import Hold, Reason, WindowState
from watcher.gate.window import Window
from watcher.job import Outcome, Result
from watcher.ledger.ledger import Subject
from watcher.night import Night
from watcher.pace import Current
from watcher.reach import Reach
from watcher.releases import Releases
from watcher.replace.marker import Marker, marker_name
from watcher.running import Running
from watcher.segments.segment import S_PER_DAY, Segment
from watcher.settings import Transcoding
from watcher.workshop import Workshop

ROOM_RETRY_S: Final = 30.0
_STUCK: Final = frozenset({"child_stuck", "job_stuck"})
_NO_ROOM: Final = frozenset({"no_room", "disk_full"})


class Shift:
    """The loop; `run` is the body of its thread, what is public may be called from any."""

    def __init__(
        self,
        settings: Transcoding,
        window: Window,
        crew: Crew,
        *,
        before: "Shift | None" = None,
        clock: Clock | None = None,
        emit: Emit = emit,
    ) -> None:
        """*before*: the one that has ended for a reload; what the kernel keeps of it stays kept."""
        self._settings = settings
        self._window = window
        self._crew = crew
        self._clock = clock or SystemClock()
        self._emit = emit
        self._wake = threading.Event()
        self._beside = Beside(crew.lookout, self._wake, self._clock)
        self._workshop: Workshop | None = None
        self._faults = Faults(emit)
        kept = before.places.kept() if before is not None else {}
        self.places: Places = Places(crew.tender, kept=kept, clock=self._clock)
        self._releases = Releases(crew.tender, self.places)
        self._stood = False
        self._halts = Halts(self._clock, emit)
        self._reach = Reach(settings, window, crew.index, crew.ledger, clock=self._clock, emit=emit)
        self._choice = Choice(settings, crew.index, crew.recorders, self._reach, clock=self._clock)
        self._running = Running(
            settings,
            window,
            crew,
            reach=self._reach,
            urgent=lambda: self._releases.next(is_open=False),
            clock=self._clock,
        )
        self._deletions = Deletions(crew, self._releases, self._running, self._clock)
        self.closed_by: Halt | None = None
        """Why no job begins until the window opens again; deletions go on."""

    # --- from other threads -------------------------------------------------------------------

    def wake(self) -> None:
        """Look again now."""
        self._wake.set()

    def follow(self, settings: Transcoding, window: Window) -> None:
        """Let what runs end by another window from the next look on."""
        self._running.follow(settings, window)

    def stop(self, within_s: float) -> None:
        """End: a running file may finish where that is expected within *within_s*; 0: at once."""
        self._running.stop(within_s)
        self._wake.set()

    @property
    def ends_at_s(self) -> float:
        """The (monotonic) time by which it was told to have ended; for ever, while it was not."""
        return self._running.ends_at_s

    @property
    def current(self) -> Current | None:
        """The job that runs; None while none does."""
        return self._running.current

    def wants_its_directory(self) -> bool:
        """Say whether a job runs that may want its directory's lock at any moment."""
        return self._running.current is not None and not self._running.may_stand()

    def lets_read(self) -> bool:
        """Say whether whole files may be read beside it now; see `Beside.may_read`."""
        return self._beside.may_read()

    @property
    def encoder(self) -> str | None:
        """The encoder that was chosen last; None before the first window."""
        return self._reach.encoder

    def expected_work_s(self, segment: Segment) -> float | None:
        """How long this file takes, by all that was measured; None before the first one."""
        return self._reach.expected_work_s(segment)

    @property
    def halt(self) -> Halt | None:
        """Why nothing at all can be done now."""
        return self._halts.now

    @property
    def hold(self) -> Hold | None:
        """What holds work now."""
        return self._crew.lookout.hold

    def expected_left_s(self) -> float | None:
        """How long the running job still takes; None: none runs, or not known."""
        return self._running.expected_left_s()

    # --- the loop -----------------------------------------------------------------------------

    def run(self) -> None:
        """Work until `stop`; never raises."""
        try:
            while not self._running.stopping:
                self._wake.clear()
                wait_s = self._turn_safely()
                if wait_s != 0:
                    self._beside.rest(wait_s, self._is_open)
        finally:
            self._beside.end()
            self._end_night()

    def _is_open(self) -> bool:
        return self._window.state(self._clock.wall_s()).is_open

    def _turn_safely(self) -> float | None:
        try:
            return self._turn()
        except Halt as halt:
            return self._halted(halt)
        except (Aborted, Retryable):  # or a directory went a moment before its events are told
            return LOOK_EVERY_S
        except Exception as error:  # noqa: BLE001 - the service outlives a fault of its own
            self._emit("unexpected", where="shift", detail=f"{type(error).__name__}: {error}")
            self.closed_by = Halt("unexpected", f"a fault of Watcher's own: {error}")
            return HALT_RETRY_S

    def _turn(self) -> float | None:
        """Take one step; say after how many seconds to look again (None: when woken)."""
        state = self._window.state(self._clock.wall_s())
        self._keep_night(state)
        self.places.anew()
        release = self._releases.next(is_open=state.is_open)
        if release is not None:
            return self._deletions.let_go(release)
        if not state.is_open or not self._crew.enabled():
            self._crew.lookout.rest()
            return None
        if self._stood:  # the wait since was the fault's
            self._stood = False
            self._crew.lookout.halted()
        segment = None if self.closed_by else self._choice.pick(state, self.places.admits)
        if segment is None:
            return self._nothing_begins()
        if not self.places.confirms(segment, self._crew.confirm):
            return 0  # its disk is silent, or it was of another size or age: choose again
        decision = self._crew.lookout.look(child=False, directory=segment.directory)
        if isinstance(decision, Hold) and decision.reason is Reason.DISK:
            self.places.wait(segment.directory, decision.detail)
            return 0  # that disk alone: there may be another
        return LOOK_EVERY_S if isinstance(decision, Hold) else self._begin(segment)

    def _nothing_begins(self) -> float | None:
        """Say why nothing can be done: it waits, a fault stands in the way, or that was all."""
        waits_for = self.places.waits_for()
        if waits_for is not None:
            self._crew.lookout.wait(Hold(Reason.DISK, waits_for))
            return ROOM_RETRY_S
        halt = self.places.stops(self._halts.told)
        if halt is not None:
            raise halt
        if self.closed_by is None:
            self._crew.lookout.idle()
        else:
            self._crew.lookout.halted()
        self._over_halt()
        return None

    def _begin(self, segment: Segment) -> float | None:
        later_s = self._deletions.make_room(segment)
        if later_s is not None:
            return later_s
        with self._crew.job_lock(segment.path) as ours:
            if not ours:
                return BUSY_RETRY_S
            expected_s = self._reach.expected_work_s(segment)
            workshop = self._ensure_workshop()
            if self._reach.expected_work_s(segment) != expected_s:
                return 0  # it may be slower than the last one: pick again, by its own measure
            if self._halts.of(_NO_ROOM) and not self.places.suspect(segment.directory):
                self._over_halt()
            if workshop is not None and self._convert(segment, workshop):
                self._over_halt()
        return 0

    def _convert(self, segment: Segment, workshop: Workshop) -> bool:
        """Go its road; False where its place turned out to be barred."""
        try:
            outcome = self._running.job(
                segment,
                lambda leash, on_step: self._crew.travel(segment, workshop, leash, on_step),
                lambda: self._deletions.look_at_job(segment.directory),
            )
        except Halt as halt:
            if not self.places.bar(segment.directory, halt, segment.size_bytes):
                raise
            return False
        self.places.worked(segment.directory)
        self._came_of(outcome, workshop)
        return True

    # --- what came of it ------------------------------------------------------------------------

    def _came_of(self, outcome: Outcome, workshop: Workshop) -> None:
        night = self._crew.lookout.night
        if night is not None:
            night.note(outcome)
        segment, index = outcome.segment, self._crew.index
        if outcome.marker is not None:
            index.put_sidecar(segment.directory, segment.name, marker_name(segment.name))
            self._crew.tender.originals.add(segment.path, outcome.marker)
            self._remember_copy(segment, outcome.marker, workshop)
        elif outcome.result is not Result.ABORTED:
            verdict = outcome.verdict
            until_s = verdict.retry_at_s if verdict else self._clock.wall_s() + HALT_RETRY_S
            index.settle(segment.path, outcome.reason, until_s)
        self.closed_by = self._faults.note(outcome, self.encoder) or self.closed_by

    def _remember_copy(self, segment: Segment, marker: Marker, workshop: Workshop) -> None:
        """Spare the probe of a later life: the copy is ours, and HEVC."""
        self._crew.ledger.remember_refusal(
            Subject(segment.path, marker.copy.size, marker.copy.mtime_ns, segment.camera),
            "made_by_watcher",
            "is a copy that Watcher itself has made",
            workshop.fingerprint,
        )

    # --- windows, workshops, halts --------------------------------------------------------------

    def _keep_night(self, state: WindowState) -> None:
        """Open and close the account with the window; a window that never closes has days."""
        now_s, night = self._clock.wall_s(), self._crew.lookout.night
        over = night is not None and (
            not state.is_open or (state.closes_s is None and now_s - night.opened_at_s >= S_PER_DAY)
        )
        if over:
            self._end_night()
            self._emit("window_closed", opens_at=state.opens_s)
        if state.is_open and self._crew.lookout.night is None:
            self._crew.lookout.night = Night(now_s)
            self.closed_by = None
            self._faults.forget()
            self._emit("window_opened", closes_at=state.closes_s)

    def _end_night(self) -> None:
        night, self._crew.lookout.night = self._crew.lookout.night, None
        if night is None:
            return
        self._crew.lookout.rest()
        self._close_workshop()
        self._crew.ledger.record_night(night.row(self._clock.wall_s()))
        self._crew.ledger.checkpoint()
        self._crew.on_night(night)

    def _ensure_workshop(self) -> Workshop | None:
        """Try encoders once a window, under the gate like every other work."""
        if self._workshop is None:
            try:
                self._workshop = self._running.oversee(
                    self._crew.open_workshop,
                    lambda: self._crew.lookout.look(child=True, directory=None),
                    self._running.trial_ends,
                )
                self._reach.takes(self._workshop.encoder, self._workshop.fingerprint)
            except (Halt, Retryable) as why:  # tried again at the next opening, not twice a second
                if why.reason in _STUCK:  # says nothing of an encoder; a starved one ends yet
                    raise
                halt = Halt("encoder_unavailable", why.message, **why.figures)
                self.closed_by = why if isinstance(why, Halt) else halt
                self._emit(
                    "encoder_unavailable",
                    encoder=self._settings.codec,
                    detail=why.message,
                    remedy=why.figures.get("remedy"),
                )
        return self._workshop

    def _close_workshop(self) -> None:
        if self._workshop is not None:
            self._workshop.close()
            self._workshop = None

    def _halted(self, halt: Halt) -> float:
        self._halts.tell(halt)
        self._stood = True
        self._crew.lookout.halted()
        return ROOM_RETRY_S if halt.reason in _NO_ROOM else HALT_RETRY_S

    def _over_halt(self) -> None:
        self._halts.over(self.places.stops(self._halts.told))
