"""How the shift holds a running job: freeze it, let it go on, or end it, from any thread.

A `Leash` belongs to one job. Children are put on it for as long as they run: a pause stops their
whole process group within milliseconds, an abort kills them: nothing that they made is used, and
one that was asked to finish would write an index to the disk that the recorder needs. Work inside
this process asks `check()` between two bites. A child that is put on a paused leash stands still at
once, so there is no moment between two children in which a pause is forgotten.

It decides nothing: when to pause is the gate's business, what an abort means is the job's.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Protocol

from watcher.clock import Clock, SystemClock
from watcher.errors import Aborted


class Held(Protocol):
    """What a leash can hold: a child process group, or a test's stand-in for one."""

    def freeze(self) -> None:
        """Stop at once (SIGSTOP)."""

    def thaw(self) -> None:
        """Go on (SIGCONT)."""

    def kill(self) -> None:
        """End at once, whether stopped or not; return without waiting for it."""


LOOK_EVERY_S = 0.25


def _nothing() -> None:
    """Look at nothing."""


class Leash:
    """Pause, resume and abort for one job. Every method may be called from any thread."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._changed = threading.Condition()
        self._held: list[Held] = []
        self._paused_reason: str | None = None
        self._aborted_reason: str | None = None
        self._paused_since_s = 0.0
        self._paused_before_s = 0.0
        self._heard_s = self._clock.monotonic_s()
        self._meanwhile: Callable[[], None] = _nothing
        self._look_every_s: float | None = None

    @property
    def paused_reason(self) -> str | None:
        """Why everything stands still; None while it may run."""
        return self._paused_reason

    @property
    def aborted_reason(self) -> str | None:
        """Why the job was told to stop; None while it was not."""
        return self._aborted_reason

    def paused_s(self) -> float:
        """Say for how long in all the job has stood still, the running pause included."""
        with self._changed:
            return self._paused_before_s + self._running_pause_s()

    def standing_s(self) -> float:
        """Say for how long it has been standing still by now; 0 while it runs."""
        with self._changed:
            return self._running_pause_s()

    def silent_s(self) -> float:
        """Say for how long it has not asked `check`; 0 while it stands still."""
        with self._changed:
            paused = self._paused_reason is not None
            return 0.0 if paused else self._clock.monotonic_s() - self._heard_s

    def pause(self, reason: str) -> None:
        """Freeze what is held now and what is held later; a second pause renames the first."""
        with self._changed:
            if self._aborted_reason is not None:
                return
            if self._paused_reason is None:
                self._paused_since_s = self._clock.monotonic_s()
            self._paused_reason = reason
            for child in self._held:
                child.freeze()

    def resume(self) -> None:
        """Let everything go on; nothing happens where nothing is paused."""
        with self._changed:
            self._paused_before_s += self._running_pause_s()
            if self._paused_reason is not None:
                self._heard_s = self._clock.monotonic_s()
            self._paused_reason = None
            for child in self._held:
                child.thaw()
            self._changed.notify_all()

    def abort(self, reason: str) -> None:
        """End what is held, and refuse everything later; the first reason stays."""
        with self._changed:
            if self._aborted_reason is not None:
                return
            self._paused_before_s += self._running_pause_s()
            self._paused_reason = None
            self._aborted_reason = reason
            for child in self._held:
                child.kill()
            self._changed.notify_all()

    def check(self) -> None:
        """Wait while paused; raise `Aborted` where the job was told to stop."""
        while not self._may_go_on():
            self._meanwhile()
        with self._changed:
            self._heard_s = self._clock.monotonic_s()
            if self._aborted_reason is not None:
                raise Aborted(self._aborted_reason, f"told to stop: {self._aborted_reason}")

    @contextlib.contextmanager
    def meanwhile(self, look: Callable[[], None]) -> Iterator[None]:
        """While the block runs, let its `check` call *look* as long as it waits; that may raise."""
        self._meanwhile, self._look_every_s = look, LOOK_EVERY_S
        try:
            yield
        finally:
            self._meanwhile, self._look_every_s = _nothing, None

    def attach(self, child: Held) -> None:
        """Hold *child* from now on: frozen at once where paused, ended where aborted."""
        with self._changed:
            self._held.append(child)
            if self._aborted_reason is not None:
                child.kill()
            elif self._paused_reason is not None:
                child.freeze()

    def release(self, child: Held) -> None:
        """Hold *child* no longer; nothing happens where it was not held."""
        with self._changed, contextlib.suppress(ValueError):
            self._held.remove(child)

    @contextlib.contextmanager
    def hold(self, child: Held) -> Iterator[None]:
        """Hold *child* while the block runs; raise `Aborted` at its end where told to stop.

        An error of the block counts as the abort's consequence where there was one. A lasting
        child (the probe worker) is thawed when it is let go: it must not stay frozen with nobody
        left to wake it.
        """
        self.attach(child)
        try:
            yield
        except Exception:
            if self._aborted_reason is None:
                raise
        finally:
            self.release(child)
            child.thaw()
        self.check()

    def _may_go_on(self) -> bool:
        """Wait for it, but no longer than until the next look that `meanwhile` asks for."""
        with self._changed:
            return self._changed.wait_for(lambda: self._paused_reason is None, self._look_every_s)

    def _running_pause_s(self) -> float:
        if self._paused_reason is None:
            return 0.0
        return self._clock.monotonic_s() - self._paused_since_s
