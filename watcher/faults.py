"""When failures running are no longer the files' fault: an encoder that is broken, or we are."""

from typing import Final

from watcher.errors import Halt
from watcher.job import Outcome, Result

BROKEN_AFTER: Final = 3
"""So many files running, failed by the encoder, close the shift: a hung GPU is not hammered."""

_ENCODERS_FAULT: Final = frozenset({"copy_damaged", "device_failed", "encoder_failed", "stalled"})
_ENCODED: Final = frozenset({"no_saving", "projected", "quality_too_low", "savings_too_small"})
"""Refusals that only a copy could bring about: the encoder has worked."""


class Faults:
    """Counts; an outcome in which the encoder had no part says nothing about it."""

    def __init__(self) -> None:
        self.broken = self._unknown = 0

    def forget(self) -> None:
        """A window opens: the encoder has another chance."""
        self.broken = 0

    def note(self, outcome: Outcome) -> Halt | None:
        """Take an outcome; give what closes the shift, once. Raises `Halt` where all has to stop.

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
            self.broken = 0
        if not failed or outcome.reason not in _ENCODERS_FAULT:
            return None
        self.broken += 1
        return Halt("encoder_broken", outcome.message) if self.broken >= BROKEN_AFTER else None
