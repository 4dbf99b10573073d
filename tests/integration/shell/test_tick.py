"""The tick goes on whatever is done to the wall clock: it is what notices that something was."""

import json
from datetime import UTC, datetime, timedelta, tzinfo

import pytest
from support.box import Box


class _SetBack(datetime):
    """The wall clock, as APScheduler asks for it, three hours back."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override] # no subclass
        return datetime.now(tz or UTC) - timedelta(hours=3)


def heartbeat_s(box: Box) -> float:
    return float(json.loads((box.state / "status.json").read_text())["heartbeat_s"])


def test_a_wall_clock_set_back_by_hours_does_not_put_the_tick_to_sleep(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    with box.service(enabled=False, tick_s=0.01):
        # No clock of ours is asked: the scheduler has its own.
        monkeypatch.setattr("apscheduler.schedulers.base.datetime", _SetBack)
        first_s = heartbeat_s(box)
        box.wait_until(lambda: heartbeat_s(box) > first_s)
        second_s = heartbeat_s(box)  # what was due before the step has been done by now
        box.wait_until(lambda: heartbeat_s(box) > second_s)
        third_s = heartbeat_s(box)
        box.wait_until(lambda: heartbeat_s(box) > third_s)  # fails where no tick comes any more
        assert first_s < second_s < third_s < heartbeat_s(box)


def test_a_tick_that_fails_is_told_and_the_next_one_comes(box: Box) -> None:
    with box.service(enabled=False, tick_s=0.01) as service:
        (box.state / "status.json").unlink()
        box.wait_until((box.state / "status.json").exists)
        service.watch.observer.tick = _broken  # type: ignore[method-assign]
        told = box.emitted.wait_for("unexpected", 2)
    assert (told["where"], told["detail"]) == ("tick", "OSError: gone wrong")


def _broken() -> None:
    raise OSError("gone wrong")
