"""APScheduler really takes our trigger, and wakes at the window's edges."""

from datetime import UTC, datetime

from apscheduler.schedulers.background import BackgroundScheduler

from watcher.gate.window import EdgeTrigger, Window


def test_the_scheduler_waits_for_the_next_edge() -> None:
    scheduler = BackgroundScheduler(
        timezone=UTC, job_defaults={"misfire_grace_time": None, "coalesce": True}
    )
    scheduler.start(paused=True)
    try:
        window = Window.parse("02:00-06:00", "Europe/Berlin")
        before = window.state(datetime.now(UTC).timestamp()).next_edge_s
        job = scheduler.add_job(lambda: None, EdgeTrigger(window))
        after = window.state(datetime.now(UTC).timestamp()).next_edge_s
        assert job.next_run_time.timestamp() in (before, after)
        assert str(job.trigger) == "edges of 02:00-06:00"
    finally:
        scheduler.shutdown(wait=False)


def test_a_window_that_never_changes_asks_for_no_wake_up() -> None:
    scheduler = BackgroundScheduler(timezone=UTC)
    scheduler.start(paused=True)
    try:
        job = scheduler.add_job(lambda: None, EdgeTrigger(Window.parse("always", UTC)))
        assert job.next_run_time is None
    finally:
        scheduler.shutdown(wait=False)
