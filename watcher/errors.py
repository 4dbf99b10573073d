"""The two tiers of error, and the reasons that are remembered.

What concerns one file is `Refused` (kept for ever: the file has to change, or what decided it) or
`Retryable` (tried again after a back-off). What stops the shift is `Halt`. `Aborted` is no error:
somebody asked the running job to stop, and the file stays a candidate.
"""

from collections.abc import Mapping
from types import MappingProxyType


class WatcherError(Exception):
    """A problem that is told to a person in one sentence, never as a traceback.

    *reason* is a stable snake_case word for logs and the ledger; *message* says what happened, to
    which file, and what to do; *figures* are numbers with their unit in the name.
    """

    def __init__(self, reason: str, message: str, **figures: object) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.figures: Mapping[str, object] = MappingProxyType(figures)

    def __reduce__(self) -> tuple[object, ...]:
        """Keep reason and figures across a process boundary."""
        return (_rebuild, (type(self), self.reason, self.message, dict(self.figures)))


def _rebuild(
    kind: type[WatcherError], reason: str, message: str, figures: dict[str, object]
) -> WatcherError:
    return kind(reason, message, **figures)


class Refused(WatcherError):  # noqa: N818 - a verdict, not a fault
    """This file stays as it is until it, or what decided it, changes."""


class Retryable(WatcherError):  # noqa: N818 - a verdict, not a fault
    """This file failed for a reason that may pass; it is tried again after a back-off."""


class Halt(WatcherError):  # noqa: N818 - an instruction, not a fault
    """No file there, or none at all, can be worked on until this is mended: disk full, permission.

    What concerns one place bars that place (`barred`); the shift halts where nothing is left to do.
    """


class Aborted(WatcherError):  # noqa: N818 - an instruction, not a fault
    """The job was told to stop; the file stays a candidate."""
