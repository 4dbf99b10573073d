"""What a verdict is, and how one follows from what happened. Pure.

Refused: for ever, until the file or its ground changes; only a condition outside the file (somebody
has it open, an original stands beside it) is looked at again the next night. Failed: tried again
the next night; failures of three nights quarantine the file until it changes, its ground changes
(another ffmpeg), or `watcher retry`. An encode that was stopped because it would not pay is retried
once, then refused.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

BACK_OFF_S: Final = 20 * 3600.0
"""Longer than any night, shorter than a day: the next night comes after it, wherever in the window
the failure was."""
ANOTHER_NIGHT_AFTER_S: Final = 12 * 3600.0
"""Failures closer than this are one night's: three tries by hand in a minute quarantine nothing."""
NIGHTS_TO_QUARANTINE: Final = 3
TRIES_OF_PROJECTED: Final = 2

CONDITIONS: Final = frozenset(
    {
        "original_exists",
        "hard_link",
        "open_for_writing",
        "exchange_unsafe",
        "immutable",
        "name_too_long",
        "no_permission",
        "retention_first",
    }
)
"""Refusals that say nothing of the file's content: what mends them changes no size or mtime."""


class Kind(StrEnum):
    """How a verdict goes on."""

    REFUSED = "refused"
    FAILED = "failed"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is remembered of a file, its path, size and mtime aside."""

    kind: Kind
    reason: str
    ground: str
    retry_at_s: float | None = None  # None: stands until the file or its ground changes
    attempts: int = 1
    nights: int = 1

    def stands(self, now_s: float) -> bool:
        """Say whether the file is to be left alone at *now_s*.

        A retry further away than any back-off means that the clock was set back since: due.
        """
        return self.retry_at_s is None or now_s < self.retry_at_s <= now_s + BACK_OFF_S + 60.0


@dataclass(frozen=True, slots=True)
class Subject:
    """The file that a verdict is about, as it was when it was looked at."""

    path: str
    size: int
    mtime_ns: int
    camera: str


@dataclass(frozen=True, slots=True)
class Remembered:
    """A verdict with all that a person may ask."""

    subject: Subject
    verdict: Verdict
    detail: str
    decided_at_s: float


def after_refusal(reason: str, ground: str, now_s: float) -> Verdict:
    """Give the verdict that follows a refusal."""
    retry_at_s = _next_night(now_s) if reason in CONDITIONS else None
    return Verdict(Kind.REFUSED, reason, ground, retry_at_s)


def after_failure(reason: str, ground: str, now_s: float, previous: Remembered | None) -> Verdict:
    """Give the verdict that follows a failure; *previous* is the same file's last one, if any."""
    attempts = nights = 1
    if previous is not None and previous.verdict.kind is not Kind.REFUSED:
        attempts = previous.verdict.attempts + 1
        apart_s = now_s - previous.decided_at_s
        nights = previous.verdict.nights + (apart_s >= ANOTHER_NIGHT_AFTER_S)
        if reason == "projected" == previous.verdict.reason and attempts >= TRIES_OF_PROJECTED:
            return Verdict(Kind.REFUSED, reason, ground, None, attempts, nights)
    if nights >= NIGHTS_TO_QUARANTINE:
        return Verdict(Kind.QUARANTINED, reason, ground, None, attempts, nights)
    return Verdict(Kind.FAILED, reason, ground, _next_night(now_s), attempts, nights)


def _next_night(now_s: float) -> float:
    """Round to the minute: verdicts alike share one object in memory."""
    return (now_s + BACK_OFF_S) // 60 * 60
