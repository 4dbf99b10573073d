"""What the nights to come will bring, from the measured speed. Pure.

Three questions, each answered by one small model whose figures are the ledger's own:

1. Can a night do what a day brings in? Then the backlog clears in so many nights; if not, never.
2. What does retention delete first? Oldest first, night by night, over a month.
3. How far back do recordings reach, how far would they, and what stands in the way?

A forecast is None-tolerant: before the first file is measured it says so, and guesses nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from watcher.ledger.stats import DAY_S, nothing_comes_of_age

HORIZON_NIGHTS: Final = 30
_SECONDS_AN_HOUR: Final = 3600.0
_NOT_MUCH_MORE: Final = 1.05
_NEVER_NIGHTS: Final = 3650  # ten years are never


class Limit(StrEnum):
    """What keeps recordings from reaching further back."""

    UNMEASURED = "unmeasured"  # no file was transcoded yet
    NO_INFLOW = "no_inflow"  # nothing is recorded
    AGE = "age"  # retention deletes before min_age_days
    WINDOW = "window"  # a night can't do what a day brings in
    RETENTION = "retention"  # the recorder deletes by age: the space is there, unused
    NOTHING = "nothing"  # all that can be done is being done


@dataclass(frozen=True, slots=True)
class CameraFigures:
    """What is known of one camera's recordings."""

    camera: str
    inflow_bytes_per_day: float  # what it records, as recorded
    bytes_on_disk: int  # all its recordings, originals and copies
    oldest_age_days: float | None  # None: no recordings
    backlog: Sequence[tuple[float, int]] = ()  # (age in days, bytes) of what is due
    retention_days: float | None = None  # configured, or observed; None: unknown or never
    kept_share: float | None = None  # new size by old; None: not measured
    bytes_per_s: float | None = None  # measured speed; None: not measured
    backlog_files: int | None = None  # where one entry stands for several files


@dataclass(frozen=True, slots=True)
class Night:
    """How much time there is to work."""

    open_s_per_day: float  # the window, averaged over its week
    usable_share: float = 1.0  # of it, not held by load of others: measured
    free_bytes: int = 0  # above the floor


@dataclass(frozen=True, slots=True)
class Forecast:
    """The answers; None where nothing can be said yet."""

    backlog_files: int
    backlog_bytes: int
    inflow_bytes_per_day: float  # that will be due for work, a day
    can_do_bytes_per_night: float | None
    nights_to_clear: int | None  # None: never, or not known (see `limit`)
    lost_share: float | None  # of what is due within a month, deleted by retention before its turn
    window_needed_s: float | None  # a day, to keep up; None: not known
    reach_days: float | None  # how far back recordings reach
    could_reach_days: float | None  # how far they would
    limit: Limit
    days_around_the_clock: int | None = None  # to clear it with no window at all; None: never
    reach_in_time_days: float | None = None  # how far, if all that comes of age were done in time

    @property
    def never(self) -> bool:
        """Say whether the backlog will never clear at the measured speed."""
        return self.can_do_bytes_per_night is not None and self.nights_to_clear is None


def forecast(
    cameras: Sequence[CameraFigures],
    night: Night,
    *,
    min_age_days: float,
    keep_original_days: float = 0.0,
) -> Forecast:
    """Foretell what becomes of *cameras* under that window.

    What its recorder deletes within *keep_original_days* after its turn gives nothing back, and is
    passed over: for it, retention ends so much earlier.
    """
    cameras = [_paying(camera, keep_original_days) for camera in cameras]
    backlog_bytes = sum(size for camera in cameras for _, size in camera.backlog)
    inflow = sum(_comes_of_age(camera, min_age_days) for camera in cameras)
    speed = _speed(cameras)
    can_do = None if speed is None else speed * night.open_s_per_day * night.usable_share
    nights = None if can_do is None else _nights_to_clear(backlog_bytes, inflow, can_do)
    return Forecast(
        backlog_files=sum(_files(camera) for camera in cameras),
        backlog_bytes=backlog_bytes,
        inflow_bytes_per_day=inflow,
        can_do_bytes_per_night=can_do,
        nights_to_clear=nights,
        lost_share=None if can_do is None else _lost_share(cameras, can_do, min_age_days),
        window_needed_s=_window_needed_s(inflow, speed, night.usable_share),
        reach_days=_reach_days(cameras),
        could_reach_days=_could_reach_days(cameras, night, can_do, min_age_days),
        limit=_limit(cameras, night, can_do, inflow, min_age_days),
        days_around_the_clock=(
            None
            if speed is None
            else _nights_to_clear(backlog_bytes, inflow, speed * DAY_S * night.usable_share)
        ),
        reach_in_time_days=(
            None
            if can_do is None
            else _could_reach_days(cameras, night, max(can_do, inflow), min_age_days)
        ),
    )


def with_window(night: Night, open_s_per_day: float) -> Night:
    """Give the same night under another window, to see what that would change."""
    return Night(min(open_s_per_day, DAY_S), night.usable_share, night.free_bytes)


def _paying(camera: CameraFigures, keep_original_days: float) -> CameraFigures:
    lives = camera.retention_days
    if lives is None:
        return camera
    return replace(camera, retention_days=max(0.0, lives - keep_original_days))


def _files(camera: CameraFigures) -> int:
    return len(camera.backlog) if camera.backlog_files is None else camera.backlog_files


def _comes_of_age(camera: CameraFigures, min_age_days: float) -> float:
    gone = nothing_comes_of_age(camera.retention_days, min_age_days)
    return 0.0 if gone else camera.inflow_bytes_per_day


def _speed(cameras: Sequence[CameraFigures]) -> float | None:
    """Give the bytes a second of the mixture: times add up, so the mean is the harmonic one."""
    measured = [
        (max(camera.inflow_bytes_per_day, 1.0), camera.bytes_per_s)
        for camera in cameras
        if camera.bytes_per_s
    ]
    if not measured:
        return None
    return sum(share for share, _ in measured) / sum(share / speed for share, speed in measured)


def _nights_to_clear(backlog: float, inflow: float, can_do: float) -> int | None:
    if backlog <= 0:
        return 0
    gained = can_do - inflow
    if gained * _NEVER_NIGHTS < backlog:
        return None
    return math.ceil(backlog / gained)


def _window_needed_s(inflow: float, speed: float | None, usable_share: float) -> float | None:
    if speed is None or usable_share <= 0:
        return None
    return inflow / (speed * usable_share)


def _lost_share(
    cameras: Sequence[CameraFigures], can_do: float, min_age_days: float
) -> float | None:
    """Play a month of nights, oldest first, what is left carried into the next night."""
    waiting: dict[tuple[float, float], float] = {}  # (age, retention) → bytes
    for camera in cameras:
        for age, size in camera.backlog:
            # A million files are a few hundred quarters of a day.
            key = math.floor(age * 4) / 4, _lives(camera)
            waiting[key] = waiting.get(key, 0.0) + size
    due = sum(waiting.values())
    lost = 0.0
    for _ in range(HORIZON_NIGHTS):
        waiting, gone = _night(waiting, can_do)
        lost += gone
        for camera in cameras:
            inflow = _comes_of_age(camera, min_age_days)
            key = min_age_days, _lives(camera)
            due += inflow
            waiting[key] = waiting.get(key, 0.0) + inflow
    return lost / due if due else None


def _lives(camera: CameraFigures) -> float:
    return math.inf if camera.retention_days is None else camera.retention_days


def _night(
    waiting: dict[tuple[float, float], float], can_do: float
) -> tuple[dict[tuple[float, float], float], float]:
    """Give what waits a day later, and what retention has deleted of it meanwhile."""
    left: dict[tuple[float, float], float] = {}
    gone = 0.0
    for (age, retention), size in sorted(waiting.items(), reverse=True):
        done = 0.0 if age >= retention else min(size, can_do)
        can_do -= done
        if age + 1 >= retention:
            gone += size - done
        elif size > done:
            left[age + 1, retention] = size - done
    return left, gone


def _reach_days(cameras: Sequence[CameraFigures]) -> float | None:
    """Give the age up to which *every* camera has recordings: that is what a person relies on."""
    ages = [c.oldest_age_days for c in cameras if c.oldest_age_days is not None]
    return min(ages) if ages else None


def _could_reach_days(
    cameras: Sequence[CameraFigures], night: Night, can_do: float | None, min_age_days: float
) -> float | None:
    """Fill the disk with days: young ones as recorded, older ones as small as they become."""
    inflow = sum(camera.inflow_bytes_per_day for camera in cameras)
    measured = [c for c in cameras if c.kept_share is not None and c.inflow_bytes_per_day > 0]
    weight = sum(camera.inflow_bytes_per_day for camera in measured)
    if can_do is None or inflow <= 0 or weight <= 0:
        return None
    kept = sum((c.kept_share or 0.0) * c.inflow_bytes_per_day for c in measured) / weight
    done = min(1.0, can_do / inflow)
    older = inflow * (1.0 - done * (1.0 - kept))  # a day that has come of age
    room = sum(camera.bytes_on_disk for camera in cameras) + max(0, night.free_bytes)
    young = inflow * min_age_days
    if room <= young:
        return room / inflow
    return min_age_days + (room - young) / max(older, 1.0)


def _limit(
    cameras: Sequence[CameraFigures],
    night: Night,
    can_do: float | None,
    inflow: float,
    min_age_days: float,
) -> Limit:
    recording = [camera for camera in cameras if camera.inflow_bytes_per_day > 0]
    if not recording:
        return Limit.NO_INFLOW
    if all(nothing_comes_of_age(camera.retention_days, min_age_days) for camera in recording):
        return Limit.AGE
    if can_do is None:
        return Limit.UNMEASURED
    if can_do < inflow:
        return Limit.WINDOW
    reach = _reach_days(cameras)
    could = _could_reach_days(cameras, night, can_do, min_age_days)
    by_age = all(camera.retention_days is not None for camera in recording)
    if reach is not None and could is not None and by_age and could > reach * _NOT_MUCH_MORE:
        return Limit.RETENTION
    return Limit.NOTHING


def hours(seconds: float) -> float:
    """Give hours, for sentences about windows."""
    return seconds / _SECONDS_AN_HOUR
