"""A changed configuration while a recording is worked on: what can be is in force at once."""

import time

from support.box import Box


def closed_now() -> str:
    """A window that is closed now, and stays so for hours."""
    hour = time.localtime().tm_hour
    return f"{(hour + 10) % 24:02}:00-{(hour + 11) % 24:02}:00"


def test_another_window_ends_the_running_job_and_what_waits_for_it_is_told(box: Box) -> None:
    box.write_config()
    path = box.record("cam1", "long.mp4", seconds=60, width=640, height=480)
    with box.service() as service:
        box.emitted.wait_for("transcode_started")
        followed: list[bool] = []
        changed = box.write_config(run_schedule=closed_now(), overrun_minutes=0, quality=30)
        service.reload(changed, lambda: followed.append(service.shift.current is not None))
        assert followed == [True]  # the log: while the job still ran
        assert service.config == changed
    assert box.emitted.named("transcode_failed")[0]["reason"] == "window"
    (waits,) = box.emitted.named("config_waits")
    assert (waits["path"], waits["waiting"]) == (str(path), ["transcoding.quality"])
    assert waits["changed"] == ["transcoding.overrun_minutes", "transcoding.run_schedule"]
    assert [name for name, _ in box.emitted.events].count("config_reloaded") == 1


def test_switched_off_by_the_configuration_the_running_job_ends_at_once(box: Box) -> None:
    box.write_config()
    box.record("cam1", "long.mp4", seconds=60, width=640, height=480)
    with box.service() as service:
        box.emitted.wait_for("transcode_started")
        service.reload(box.write_config(enabled=False))
    assert box.emitted.named("transcode_failed")[0]["reason"] == "disabled"
    assert box.emitted.named("config_waits") == []  # nothing waits
