"""Figures made of what happened: totals, speeds, soundness, how long recordings live. Pure.

The forecast, which is made of these, has its own module.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

DAY_S: Final = 86_400.0
_ENOUGH_DELETIONS: Final = 8
_AGREE: Final = 1.5  # the upper quartile is at most so many times the lower


@dataclass(frozen=True, slots=True)
class TranscodingStats:
    """What has been transcoded so far. Sizes in bytes; restored recordings count no more."""

    files_transcoded: int = 0
    space_saved: int = 0
    total_original_size: int = 0
    total_transcoded_size: int = 0
    errors: int = 0
    last_transcoded: datetime | None = None

    @property
    def percent_saved(self) -> float:
        """Give the share that was saved, in percent; 0 before the first file."""
        if not self.total_original_size:
            return 0.0
        return 100.0 * self.space_saved / self.total_original_size


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast work goes, encode and verification together, pauses left out."""

    files: int
    media_s_per_s: float
    bytes_per_s: float


@dataclass(frozen=True, slots=True)
class Soundness:
    """How many of a camera's last recordings were judged, and how many of these are damaged."""

    judged: int
    refused: int = 0
    converted: int = 0

    @property
    def damaged(self) -> int:
        """All that do not decode cleanly, whatever became of them."""
        return self.refused + self.converted

    @property
    def damaged_percent(self) -> float:
        """Their share; 0 before the first recording."""
        return 100.0 * self.damaged / self.judged if self.judged else 0.0


def local_time(wall_s: float) -> datetime:
    """Turn seconds since the epoch into an aware time of the machine's own zone."""
    return datetime.fromtimestamp(wall_s, UTC).astimezone()


def expected_s(speed: Speed | None, size_bytes: int, media_s: float | None = None) -> float | None:
    """Say how long a file will take; None while nothing was measured.

    The longer of the two answers where both its duration and its size are known: a job that is
    begun should end inside the window.
    """
    if speed is None or speed.bytes_per_s <= 0:
        return None
    by_size = size_bytes / speed.bytes_per_s
    if media_s is None or speed.media_s_per_s <= 0:
        return by_size
    return max(by_size, media_s / speed.media_s_per_s)


def observed_retention_days(ages_s: Sequence[float]) -> float | None:
    """Say how long a camera's recordings live, from the ages at which others deleted them.

    The median of enough deletions that agree: a person who deletes one file by hand moves it
    little, and one who clears a whole directory is no retention.
    """
    ages = sorted(age for age in ages_s if age > 0 and math.isfinite(age))
    if len(ages) < _ENOUGH_DELETIONS:
        return None
    quarter = len(ages) // 4
    if ages[-1 - quarter] > ages[quarter] * _AGREE:
        return None
    return ages[len(ages) // 2] / DAY_S


def retention_comes_first(
    age_days: float,
    retention_days: float | None,
    keep_original_days: float,
    expected_work_s: float | None = None,
) -> bool:
    """Say whether a recording will be deleted before its saving counts.

    Until its original goes, a transcode costs space; a recording that does not outlive that gives
    nothing back.
    """
    if retention_days is None:
        return False
    pays_at_days = age_days + keep_original_days + (expected_work_s or 0.0) / DAY_S
    return pays_at_days >= retention_days


def nothing_comes_of_age(
    retention_days: float | None, min_age_days: float, keep_original_days: float = 0.0
) -> bool:
    """Say whether retention deletes recordings before they are old enough.

    With *keep_original_days*: before the saving of one that has just come of age would count.
    """
    return retention_days is not None and retention_days <= min_age_days + keep_original_days
