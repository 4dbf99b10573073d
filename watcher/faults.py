"""Whose fault it is that nothing goes: files failing one after another, and what stops all work."""

from typing import Final

from watcher.clock import Clock
from watcher.errors import Halt
from watcher.events import Emit
from watcher.job import Outcome, Result

BROKEN_AFTER: Final = 3
"""So many files running, failed by the encoder, close the shift: a hung GPU is not hammered."""

HALT_RETRY_S: Final = 60.0
"""What failed without anybody to say when it will be better is tried again so much later."""

_ENCODERS_FAULT: Final = frozenset({"copy_damaged", "device_failed", "encoder_failed", "stalled"})
_ENCODED: Final = frozenset({"no_saving", "projected", "quality_too_low", "savings_too_small"})
"""Refusals that only a copy could bring about: the encoder has worked."""


class Faults:
    """Counts; an outcome in which the encoder had no part says nothing about it."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._broken = self._unknown = 0

    def forget(self) -> None:
        """A window opens: the encoder has another chance."""
        self._broken = 0

    def note(self, outcome: Outcome, encoder: str | None) -> Halt | None:
        """Take an outcome; give what closes the shift, told. Raises `Halt` where all has to stop.

        A file that was refused or failed before it met the encoder, in between, exonerates nobody.
        """
        if outcome.result is Result.ABORTED:
            return None
        failed = outcome.result is Result.FAILED
        self._unknown = self._unknown + 1 if failed and outcome.reason == "unexpected" else 0
        if self._unknown >= BROKEN_AFTER:
            raise Halt(
                "unexpected", f"three files running failed in a way not known: {outcome.message}"
            )
        if outcome.result is Result.CONVERTED or outcome.reason in _ENCODED:
            self._broken = 0
        if not failed or outcome.reason not in _ENCODERS_FAULT:
            return None
        self._broken += 1
        if self._broken < BROKEN_AFTER:
            return None
        self._emit(
            "encoder_broken",
            encoder=encoder,
            failures=self._broken,
            detail=f"{outcome.message}; tried again when the window opens next",
        )
        return Halt("encoder_broken", outcome.message)


class Halts:
    """What stops all work, told once, and told to be over once it is mended."""

    def __init__(self, clock: Clock, emit: Emit) -> None:
        self._clock = clock
        self._emit = emit
        self._since_s = 0.0
        self.now: Halt | None = None
        self.told: Halt | None = None

    def tell(self, halt: Halt) -> None:
        """Nothing can be done."""
        if self.told is None or self.told.reason != halt.reason:
            self._since_s = self._clock.monotonic_s()
            self._emit(
                "halted",
                reason=halt.reason,
                detail=halt.message,
                remedy=halt.figures.get("remedy"),
            )
        self.now = self.told = halt

    def of(self, reasons: frozenset[str]) -> bool:
        """Say whether one of these was told and is not over."""
        return self.told is not None and self.told.reason in reasons

    def over(self, still: Halt | None) -> None:
        """Something could be done; *still*: what goes on to stand in the way of other work."""
        told, self.now = self.told, None
        if told is None or (still is not None and still.reason == told.reason):
            return
        self.told = None
        halted_s = self._clock.monotonic_s() - self._since_s
        self._emit("halt_over", reason=told.reason, duration_s=round(halted_s, 1))
