"""What runs now: a job, a deletion or a trial of encoders; how far it is, and when it has to end.

One thing runs at a time, on a leash of its own, under the foreman's eye. Whether it is still
expected to end in time is reckoned at each look, by what it has shown itself, and by the share of
the time that the gate lets it have. What begins, and what comes of it, is the shift's business.
"""

import math
from collections.abc import Callable
from typing import TypeVar

from watcher.clock import Clock, SystemClock
from watcher.crew import Crew
from watcher.foreman import LONGEST_STAND_S, STUCK_AFTER_S, Foreman
from watcher.gate.readings import Decision
from watcher.gate.window import Window
from watcher.job import OnStep, Outcome, Result, Stage, Step
from watcher.pace import Current, begun, left_s, needed_s, stepped
from watcher.reach import Reach
from watcher.segments.segment import Segment
from watcher.settings import Transcoding
from watcher.transcode.leash import Leash

_T = TypeVar("_T")
Look = Callable[[], Decision]
MustEnd = Callable[[], str | None]


class Running:
    """Runs one thing at a time; what is public but `oversee` and `job` any thread may call."""

    def __init__(
        self,
        settings: Transcoding,
        window: Window,
        crew: Crew,
        *,
        reach: Reach,
        urgent: Callable[[], object | None],
        clock: Clock | None = None,
        stalled_after_s: float = STUCK_AFTER_S,
    ) -> None:
        """*reach*: how long a recording may take; *urgent*: a deletion that can't wait, if any."""
        self._settings = settings
        self._window = window
        self._crew = crew
        self._reach = reach
        self._urgent = urgent
        self._clock = clock or SystemClock()
        self._stalled_after_s = stalled_after_s
        self._stop_at_s: float | None = None
        self._leash: Leash | None = None
        self.current: Current | None = None

    @property
    def ends_at_s(self) -> float:
        """The (monotonic) time after which nothing runs but what does not let itself be ended."""
        return math.inf if self._stop_at_s is None else self._stop_at_s

    @property
    def stopping(self) -> bool:
        """Say whether it was told to stop: then nothing more begins."""
        return self._stop_at_s is not None

    def follow(self, settings: Transcoding, window: Window) -> None:
        """Reckon with another window from now on."""
        self._settings, self._window = settings, window

    def stop(self, within_s: float) -> None:
        """Let what runs end by itself where that is expected within *within_s*; 0: not at all."""
        at_s = self._clock.monotonic_s() + within_s
        self._stop_at_s = at_s if self._stop_at_s is None else min(at_s, self._stop_at_s)
        leash = self._leash
        if within_s <= 0 and leash is not None:
            leash.abort("shutdown")

    def expected_left_s(self) -> float | None:
        """How long the running job still takes at its present share; None: none, or not known."""
        if (job := self.current) is None:
            return None
        left = left_s(job, self._worked_s(), self._reach.expected_work_s(job.segment))
        return None if left is None else left / self._crew.lookout.duty

    # --- under the foreman's eye ----------------------------------------------------------------

    def oversee(
        self,
        work: Callable[[Leash], _T],
        look: Look,
        must_end: MustEnd,
        about: dict[str, object] | None = None,
    ) -> _T:
        """Do *work* on a leash; see `Foreman.oversee`."""
        return self._oversee(self._crew.foreman, work, look, must_end, about)

    def delete(
        self, work: Callable[[Leash], _T], look: Look, about: dict[str, object] | None = None
    ) -> _T:
        """Do the same with a deletion, in the thread for what is done beside jobs.

        It has no child: what the kernel keeps of one holds no job, and of a job no deletion.
        """
        crew = self._crew
        foreman = crew.foreman if crew.errands.is_stuck else crew.errands
        return self._oversee(foreman, work, look, self.deletion_ends, about)

    def _oversee(
        self,
        foreman: Foreman,
        work: Callable[[Leash], _T],
        look: Look,
        must_end: MustEnd,
        about: dict[str, object] | None,
    ) -> _T:
        leash = self._leash = Leash(self._clock)
        try:
            return foreman.oversee(lambda: work(leash), leash, look, must_end=must_end, about=about)
        finally:
            self._leash = None

    def job(
        self, segment: Segment, travel: Callable[[Leash, OnStep], Outcome], look: Look
    ) -> Outcome:
        """Let *segment* go its road. Raises `Halt`."""
        self.current = begun(segment, self._worked_s())
        about: dict[str, object] = {"camera": segment.camera, "path": segment.path}
        try:
            outcome, job, at_s = self.oversee(
                lambda leash: (travel(leash, self._stepped), self.current, self._worked_s()),
                look,
                self.job_must_end,
                about,
            )
        finally:
            self.current = None
        if outcome.result is not Result.ABORTED:
            self._reach.ended(segment)
        elif job is not None:  # what it has shown counts for the next choice
            shown_s, worked_s = needed_s(job, at_s), at_s - job.begun_s
            self._reach.cut_short(segment, outcome.reason, shown_s, worked_s)
        return outcome

    def may_stand(self) -> bool:
        """Say whether the job is where it stands still at once and holds no directory's lock."""
        step = self.current.step if self.current else None
        return step is not None and step.stage in {Stage.ENCODE, Stage.VERIFY}

    def aside(
        self, work: Callable[[Leash], _T], look: Look, about: dict[str, object] | None = None
    ) -> _T:
        """Do *work* on a leash of its own while the job stands still; it ends where that has to.

        For who looks at the gate for the job: what that is told next lets it go on.
        """
        job, leash = self._leash, Leash(self._clock)
        if job is not None:
            job.pause("disk_pressure")
        return self._crew.errands.oversee(
            lambda: work(leash),
            leash,
            look,
            must_end=lambda: self.job_must_end() or self._held_up(leash),
            about=about,
        )

    def _stepped(self, step: Step) -> None:
        if self.current is not None:
            self.current = stepped(self.current, step, self._worked_s())

    def _worked_s(self) -> float:
        """The running job's own clock: it stands while the job does."""
        leash = self._leash
        return self._clock.monotonic_s() - (leash.paused_s() if leash else 0.0)

    # --- when it has to end ---------------------------------------------------------------------

    def job_must_end(self) -> str | None:
        """Give the reason why the running job has to be aborted now, or None."""
        if not self._crew.enabled():
            return "disabled"
        left, now_s = self.expected_left_s(), self._clock.monotonic_s()
        stop_at_s = self.ends_at_s
        if stop_at_s < math.inf and (left is None or now_s + left > stop_at_s):
            return "shutdown"
        if self._crew.lookout.hold is not None and self._urgent() is not None:
            return "disk"  # another one's, below critical: that comes before a job that waits
        job = self.current
        if job and self._worked_s() - job.begun_s > self._reach.limit_s(job.segment):
            return "too_slow"
        state = self._window.state(self._clock.wall_s())
        if not state.is_open and state.since_s is not None and left is not None:
            ends_s = state.since_s + self._settings.overrun_minutes * 60
            if self._clock.wall_s() + left > ends_s:
                return "window"
        return None

    def trial_ends(self) -> str | None:
        """The same of a trial of encoders: it does not wait, frozen, with its locks held."""
        return self._errand_ends() if self._crew.enabled() else "disabled"

    def deletion_ends(self) -> str | None:
        """The same of a deletion, which holds its directory's lock and keeps writers off a copy.

        Held up for long it lets go of both, and begins anew when the gate is open. The switch
        does not stop it.
        """
        leash = self._leash
        return (leash and self._held_up(leash)) or self._errand_ends()

    def _errand_ends(self) -> str | None:
        return "shutdown" if self.stopping else None

    def _held_up(self, leash: Leash) -> str | None:
        """A deletion that stands for long, or that the kernel keeps: nobody is to wait for it."""
        if leash.standing_s() > LONGEST_STAND_S:
            return "held"
        return "stalled" if leash.silent_s() > self._stalled_after_s else None
