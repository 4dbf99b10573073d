"""One job under the gate's eye: frozen while others need the machine, let go on, or ended.

The job runs in one lasting worker thread (a child dies with the thread that started it, so the
thread has to outlive every job); the thread that calls `oversee` looks at the gate twice a second.
What the gate says is obeyed here and nowhere else; when a job has to end for another reason
(shutdown, a switch) is the caller's business. A job that was told to end and does not, because the
kernel keeps it (a disk that hangs), is waited for no longer than `STUCK_AFTER_S`.
"""

import math
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from watcher.clock import Clock, SystemClock
from watcher.errors import Halt
from watcher.events import Emit, emit
from watcher.gate.readings import Abort, Decision, Go, Hold
from watcher.transcode.leash import Leash

LOOK_EVERY_S = 0.5
STUCK_AFTER_S = 120.0
"""Longer than a child that does not end is waited for, and than an fsync at its end may take."""
LONGEST_STAND_S = 12.0
"""So long a job that holds locks may stand still: a little more than the gate takes to be calm
again, and than any pause for a trial."""

_T = TypeVar("_T")
_Halt = TypeVar("_Halt", bound=Halt)


class Kept(Halt):
    """Whoever was told to end does not; `lasts` says whether that is so still."""

    lasts: Callable[[], bool]


class Foreman:
    """Runs jobs, one at a time; `close` ends the worker thread."""

    def __init__(
        self,
        clock: Clock | None = None,
        emit: Emit = emit,
        *,
        stuck_after_s: float = STUCK_AFTER_S,
        before: "Foreman | None" = None,
    ) -> None:
        """*before*: the one whose place it takes; what the kernel keeps of its stays kept."""
        self._clock = clock or SystemClock()
        self._emit = emit
        self._stuck_after_s = stuck_after_s
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        # A daemon, and no executor's: a process that ends waits for no job that the kernel keeps.
        self._worker = threading.Thread(target=self._serve, name="watcher-job", daemon=True)
        self._last: Future[Any] | None = None
        if before is not None:
            self._last = before._last  # noqa: SLF001 - its own kind

    @property
    def is_stuck(self) -> bool:
        """Say whether the last job was told to end, or is left behind, and has not ended."""
        return self._last is not None and not self._last.done()

    def close(self) -> None:
        """End the worker thread, once its job has ended; one that is stuck is not waited for."""
        self._jobs.put(None)
        if self._worker.is_alive() and (self._last is None or self._last.done()):
            self._worker.join()

    def oversee(
        self,
        job: Callable[[], _T],
        leash: Leash,
        look: Callable[[], Decision],
        *,
        must_end: Callable[[], str | None] = lambda: None,
        about: dict[str, object] | None = None,
    ) -> _T:
        """Run *job* to its end and return what it returns, or raise what it raises.

        *look* is asked every `LOOK_EVERY_S`; *must_end* gives a reason to abort, or None. *about*
        goes into the events: the camera and the path. Raises `Kept` where an aborted job does not
        end, and `Halt` with the same reason where an earlier one has not ended yet.
        """
        if self.is_stuck:
            raise _stuck(Halt)
        done = threading.Event()
        future = self._submit(job)
        future.add_done_callback(lambda _: done.set())
        rein = _Rein(leash, self._clock, self._emit, about or {})
        end_s = math.inf
        try:
            while not done.is_set() and self._clock.monotonic_s() < end_s:
                reason = must_end()
                if reason is not None:
                    rein.abort(reason)
                else:
                    rein.obey(look())
                if leash.aborted_reason is not None:
                    end_s = min(end_s, self._clock.monotonic_s() + self._stuck_after_s)
                self._clock.wait(done, LOOK_EVERY_S)
        except BaseException:
            rein.abort("interrupted")
            end_s = self._clock.monotonic_s() + self._stuck_after_s
            while not done.is_set() and self._clock.monotonic_s() < end_s:
                self._clock.wait(done, LOOK_EVERY_S)
            raise
        finally:
            rein.let_go()
        if not future.done():
            kept = _stuck(Kept)
            kept.lasts = lambda: not future.done()
            raise kept
        self._last = None  # what it raised keeps all that it worked with, a whole index
        return future.result()

    def _submit(self, job: Callable[[], _T]) -> Future[_T]:
        future: Future[_T] = Future()
        self._last = future

        def run() -> None:
            try:
                came = job()
            except BaseException as error:  # noqa: BLE001 - it is raised again by `oversee`
                future.set_exception(error)
            else:
                future.set_result(came)

        if self._worker.ident is None:
            self._worker.start()
        self._jobs.put(run)
        return future

    def _serve(self) -> None:
        while (run := self._jobs.get()) is not None:
            run()


def _stuck(kind: type[_Halt]) -> _Halt:
    return kind(
        "job_stuck",
        "a job that was told to end does not: the kernel keeps it, probably for a disk",
        remedy="look at the kernel's log, and for what its disk waits for; where nothing else"
        " helps, a reboot",
    )


class _Rein:
    """Turns the gate's decisions into pauses of one leash, each told once."""

    def __init__(self, leash: Leash, clock: Clock, emit: Emit, about: dict[str, object]) -> None:
        self._leash = leash
        self._clock = clock
        self._emit = emit
        self._about = about
        self._held: Hold | None = None
        self._since_s = 0.0

    def obey(self, decision: Decision) -> None:
        if self._leash.aborted_reason is not None:
            return  # it is ending, and neither stands still nor goes on
        if isinstance(decision, Abort):
            self.abort(decision.reason.value)
        elif isinstance(decision, Hold):
            self._hold(decision)
        else:
            self._go(decision)

    def abort(self, reason: str) -> None:
        """End it; one that stood still does not go on first, and nobody is told that it did."""
        self._held = None
        self._leash.abort(reason)

    def let_go(self) -> None:
        self._tell_resumed()
        self._leash.resume()

    def _hold(self, hold: Hold) -> None:
        self._leash.pause(hold.reason.value)
        if self._held is None or self._held.reason is not hold.reason:
            self._tell_resumed()
            self._held = hold
            self._since_s = self._clock.monotonic_s()
            self._emit(
                "transcode_paused",
                reason=hold.reason.value,
                detail=hold.detail,
                value=hold.value,
                limit=hold.limit,
                **self._about,
            )

    def _go(self, go: Go) -> None:
        self._tell_resumed()
        if go.run:
            self._leash.resume()
        else:
            self._leash.pause("io_trial")

    def _tell_resumed(self) -> None:
        if self._held is None:
            return
        held_s = round(self._clock.monotonic_s() - self._since_s, 3)
        self._emit(
            "transcode_resumed",
            reason=self._held.reason.value,
            duration_s=held_s,
            **self._about,
        )
        self._held = None
