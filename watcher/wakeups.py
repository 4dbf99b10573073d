"""What wakes the service by the clock: the window's edges, the next deletion, and the tick.

The first two are APScheduler's, for they are times of day. The tick is not: APScheduler goes by the
wall clock, and would sleep for hours after that was set back by as much, while the tick is what
notices such a step.
"""

from collections.abc import Callable
from typing import Final

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.date import DateTrigger

from watcher.clock import Clock, utc
from watcher.gate.window import EdgeTrigger, Window
from watcher.segments.worker import Worker

TICK_S: Final = 30.0


class WakeUps:
    """From `start` to `stop`; what it calls may be called at any time, any number of times."""

    def __init__(
        self,
        window: Window,
        *,
        wake: Callable[[], None],
        tick: Callable[[], None],
        on_error: Callable[[str, Exception], None],
        clock: Clock,
        tick_s: float = TICK_S,
    ) -> None:
        self._wake = wake
        self._tick = tick
        self._tick_s = tick_s
        self._scheduler = BackgroundScheduler(
            timezone="UTC", job_defaults={"misfire_grace_time": None, "coalesce": True}
        )
        self._scheduler.add_job(wake, EdgeTrigger(window), id="window")
        self._ticker = Worker("watcher-tick", clock, on_error)

    def start(self) -> None:
        """Wake from now on; the first tick is one tick away."""
        self._scheduler.start()
        self._ticker.soon(self._tick_on, self._tick_s)
        self._ticker.start()

    def stop(self) -> None:
        """Wake no more, and return when that is so."""
        self._ticker.stop()
        self._scheduler.shutdown(wait=True)

    def plan_deletion(self, due_s: float | None) -> None:
        """Wake when the next safety period is over; None: none runs."""
        if due_s is not None:
            self._scheduler.add_job(
                self._wake, DateTrigger(utc(due_s)), id="deletion", replace_existing=True
            )

    def _tick_on(self) -> None:
        self._ticker.soon(self._tick_on, self._tick_s)
        self._tick()
