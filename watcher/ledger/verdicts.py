"""What a verdict is, and how one follows from what happened. Pure.

Refused: for ever, until the file or its ground changes; only a condition outside the file (an
original stands beside it, it may not be owned) is looked at again, at first the next night, then
ever more rarely. Failed: tried again the next night; failures of three nights quarantine the file
until it changes, its ground changes (another ffmpeg), or `watcher retry`. A circumstance (somebody
has it open) is no failure and quarantines nothing. An encode that was stopped because it would not
pay is retried once, then refused.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_DAY_S: Final = 86_400.0
_EARLIER_S: Final = 4 * 3600.0
BACK_OFF_S: Final = _DAY_S - _EARLIER_S
"""Longer than any night, shorter than a day: the next night comes after it, wherever in the window
the failure was."""
LONGEST_BACK_OFF_S: Final = 7 * _DAY_S - _EARLIER_S
ANOTHER_NIGHT_AFTER_S: Final = 12 * 3600.0
"""Failures closer than this are one night's: three tries by hand in a minute quarantine nothing."""
NIGHTS_TO_QUARANTINE: Final = 3
TRIES_OF_PROJECTED: Final = 2

CONDITIONS: Final = frozenset(
    {
        "attributes",
        "cut_short",
        "exchange_unsafe",
        "file_system_lacks",
        "hard_link",
        "immutable",
        "mounted",
        "no_file",
        "original_exists",
        "retention_first",
    }
)
"""Refusals that say nothing of the file's content: what mends them changes no size or mtime."""

CIRCUMSTANCES: Final = frozenset(
    {
        "directory_locked",
        "gone",
        "in_progress",
        "newer_recording",
        "no_process",
        "no_vmaf",
        "not_owner",
        "open_for_writing",
        "original_changed",
        "output_in_use",
        "vanished",
    }
)
"""Reasons to come back that are not the file's fault: what mends them leaves the file as it is."""


OF_THE_NIGHT: Final = frozenset({"cut_short", "too_slow"})
"""Refusals that hold for the service's nights alone: a person's "now" has no window."""


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
        return self.retry_at_s is None or now_s < self.retry_at_s <= now_s + LONGEST_BACK_OFF_S


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


def after_refusal(
    reason: str, ground: str, now_s: float, previous: Remembered | None = None
) -> Verdict:
    """Give the verdict that follows a refusal; *previous* is the same file's last one, if any."""
    if reason not in CONDITIONS:
        return Verdict(Kind.REFUSED, reason, ground)
    again = previous is not None and previous.verdict.reason == reason
    attempts = previous.verdict.attempts + 1 if previous is not None and again else 1
    days = 2 ** min(attempts - 1, 3)
    back_off_s = min(days * _DAY_S - _EARLIER_S, LONGEST_BACK_OFF_S)
    return Verdict(Kind.REFUSED, reason, ground, _minute(now_s + back_off_s), attempts)


def after_failure(reason: str, ground: str, now_s: float, previous: Remembered | None) -> Verdict:
    """Give the verdict that follows a failure; *previous* is the same file's last one, if any."""
    attempts, nights, before_s = _so_far(previous)
    retry_at_s = _minute(now_s + BACK_OFF_S)
    if reason in CIRCUMSTANCES:
        return Verdict(Kind.FAILED, reason, ground, retry_at_s, attempts, nights)
    attempts += 1
    nights += before_s is None or now_s - before_s >= ANOTHER_NIGHT_AFTER_S
    twice = previous is not None and previous.verdict.reason == "projected" == reason
    if twice and attempts >= TRIES_OF_PROJECTED:
        return Verdict(Kind.REFUSED, reason, ground, None, attempts, nights)
    if nights >= NIGHTS_TO_QUARANTINE:
        return Verdict(Kind.QUARANTINED, reason, ground, None, attempts, nights)
    return Verdict(Kind.FAILED, reason, ground, retry_at_s, attempts, nights)


def _so_far(previous: Remembered | None) -> tuple[int, int, float | None]:
    """Give attempts and nights that failed until now, and when the last one did."""
    if previous is None or previous.verdict.kind is Kind.REFUSED or not previous.verdict.nights:
        return 0, 0, None
    verdict = previous.verdict
    return verdict.attempts, verdict.nights, previous.decided_at_s


def _minute(wall_s: float) -> float:
    """Round down to the minute: verdicts alike share one object in memory."""
    return wall_s // 60 * 60
