"""The safety period through the running service: real files and real work, a clock set by hand."""

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.box import Box
from support.clock import SetClock
from support.swapped import swapped

from watcher.replace.marker import parse
from watcher.service import Service

HOUR_S = 3_600.0
DAY_S = 24 * HOUR_S
YEAR_S = 365 * DAY_S
HELD = {"a.mp4", "a.mp4.original", "a.mp4.transcoded"}


@contextmanager
def kept(box: Box, clock: SetClock) -> Iterator[tuple[Service, Path, bytes]]:
    """A running service that holds one original; gives its recording and what that was."""
    box.write_config()
    path = box.record("cam1", "a.mp4")
    was = path.read_bytes()
    with box.service(clock=clock) as service:
        box.emitted.wait_for("transcode_finished")
        box.wait_until(lambda: len(service.watch.tender.originals) == 1)
        yield service, path, was


def pass_time(service: Service, clock: SetClock, by_s: float) -> None:
    clock.advance(by_s)
    service.tick()


def test_the_original_goes_when_its_time_is_over(box: Box) -> None:
    clock = SetClock()
    with kept(box, clock) as (service, path, _):
        copy = path.read_bytes()
        pass_time(service, clock, DAY_S - HOUR_S)
        assert service.watch.tender.originals.due() == []
        pass_time(service, clock, HOUR_S)
        gone = box.emitted.wait_for("original_deleted")
    assert (gone["path"], gone["reason"]) == (str(path), "safety_period_over")
    assert box.files("cam1") == {"a.mp4"}
    assert path.read_bytes() == copy


def up_for(days: float) -> SetClock:
    """A clock of a machine that has been up for longer; the wall clock is the scheduler's own."""
    clock = SetClock()
    clock.advance(days * DAY_S)
    clock.set_wall(-days * DAY_S)
    return clock


@contextmanager
def asleep(box: Box) -> Iterator[Service]:
    """A service whose shift sleeps until it is woken, and whose tick does not come."""
    service = Service(
        box.write_config(enabled=False), clock=up_for(2), tick_s=DAY_S, emit=box.emitted
    )
    service.start()
    try:
        yield service
    finally:
        service.stop(0.0)


def planned_s(service: Service) -> float:
    """When the next deletion wakes the shift, by the scheduler."""
    assert service._wake_ups is not None
    at = service._wake_ups._scheduler.get_job("deletion").next_run_time
    return float(at.timestamp())


def due_in(path: Path, seconds: float) -> None:
    """Have an original wait at *path* whose day is over after so long."""
    swapped(path, clock=up_for(1 + seconds / DAY_S))


def test_the_due_time_itself_wakes_the_shift(box: Box) -> None:
    box.write_config()
    due_in(box.top / "cam1" / "a.mp4", 1.5)
    with asleep(box):
        gone = box.emitted.wait_for("original_deleted")
    assert gone["reason"] == "safety_period_over"
    assert box.files("cam1") == {"a.mp4"}


def test_an_original_that_is_due_earlier_wakes_it_earlier(box: Box) -> None:
    box.write_config()
    due_in(box.top / "cam1" / "a.mp4", DAY_S)
    with asleep(box) as service:
        a_day = planned_s(service)
        due_in(box.top / "cam1" / "b.mp4", 2.0)
        box.wait_until(lambda: len(service.watch.tender.originals) == 2)
        service.tick()
        assert planned_s(service) < a_day - DAY_S / 2
        gone = box.emitted.wait_for("original_deleted")
    assert gone["path"] == str(box.top / "cam1" / "b.mp4")
    assert box.files("cam1") == HELD | {"b.mp4"}


def test_nothing_is_deleted_while_the_gate_holds(box: Box) -> None:
    clock, healthy = SetClock(), [True]
    box.write_config()
    box.record("cam1", "a.mp4")
    with box.service(clock=clock, recorders_healthy=lambda: healthy[0]) as service:
        box.emitted.wait_for("transcode_finished")
        box.wait_until(lambda: len(service.watch.tender.originals) == 1)
        healthy[0] = False
        pass_time(service, clock, 2 * DAY_S)
        held = box.emitted.wait_for("gate_held")
        assert (held["reason"], box.files("cam1")) == ("recorder", HELD)
        healthy[0] = True
        box.emitted.wait_for("original_deleted")


def test_nothing_is_deleted_outside_the_window(box: Box) -> None:
    clock = SetClock()
    with kept(box, clock):
        pass
    hour = time.localtime().tm_hour
    closed = f"{(hour + 10) % 24:02}:00-{(hour + 11) % 24:02}:00"
    with box.service(clock=clock, run_schedule=closed) as service:
        pass_time(service, clock, 2 * DAY_S)
        assert len(service.watch.tender.originals.due()) == 1
    assert box.files("cam1") == HELD
    with box.service(clock=clock):
        box.emitted.wait_for("original_deleted")


def test_a_copy_that_has_rotted_is_replaced_by_its_original(box: Box) -> None:
    """The proof before the deletion reads the copy, and finds the byte that nobody wrote."""
    clock = SetClock()
    with kept(box, clock) as (service, path, was):
        status, rotten = path.stat(), bytearray(path.read_bytes())
        rotten[len(rotten) // 2] ^= 1
        path.write_bytes(rotten)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        pass_time(service, clock, DAY_S)
        back = box.emitted.wait_for("original_restored")
        assert back["reason"] == "copy_damaged"
    assert box.files("cam1") == {"a.mp4"}
    assert path.read_bytes() == was
    assert box.emitted.named("original_deleted") == []


def test_what_its_owner_deleted_stays_deleted_and_its_original_follows_a_period_later(
    box: Box,
) -> None:
    clock = SetClock()
    with kept(box, clock) as (service, path, _):
        pass_time(service, clock, DAY_S - HOUR_S)
        path.unlink()
        box.wait_until(lambda: any(one.orphan for one in service.watch.tender.originals.all()))
        pass_time(service, clock, DAY_S - HOUR_S)
        assert service.watch.tender.originals.due() == []
        assert box.files("cam1") == HELD - {"a.mp4"}
        pass_time(service, clock, HOUR_S)
        gone = box.emitted.wait_for("original_deleted")
    assert gone["reason"] == "owner_deleted"
    assert box.files("cam1") == set()


@pytest.mark.parametrize("by_hand", [True, False], ids=["cleanup", "service"])
def test_a_newer_recording_under_the_name_is_never_touched(box: Box, by_hand: bool) -> None:
    clock = SetClock()
    with kept(box, clock) as (service, path, _):
        path.unlink()
        path.write_bytes(b"newer")
        box.wait_until(lambda: any(one.orphan for one in service.watch.tender.originals.all()))
        if by_hand:
            assert box.command("cleanup")[0] == 0
            assert box.files("cam1") == HELD
        pass_time(service, clock, DAY_S)
        box.emitted.wait_for("original_deleted")
    assert path.read_bytes() == b"newer"


def test_a_clock_set_forward_by_a_year_deletes_nothing(box: Box) -> None:
    clock = SetClock()
    with kept(box, clock) as (service, _, _):
        clock.set_wall(YEAR_S)
        service.tick()
        originals = service.watch.tender.originals
        assert (originals.due(), originals.releasable()) == ([], [])
        stepped = box.emitted.wait_for("clock_stepped")
        assert stepped["step_s"] == pytest.approx(YEAR_S, abs=60)
        pass_time(service, clock, DAY_S)
        box.emitted.wait_for("original_deleted")


@pytest.mark.parametrize("boot", ["boot-1", "boot-2"], ids=["service", "machine"])
@pytest.mark.parametrize("by_s", [YEAR_S, -YEAR_S], ids=["forward", "back"])
def test_a_clock_set_by_a_year_across_a_restart_deletes_nothing_early(
    box: Box, boot: str, by_s: float
) -> None:
    clock = SetClock()
    with kept(box, clock):
        pass
    clock.set_wall(by_s)
    clock.boot = boot
    with box.service(clock=clock) as service:
        originals = service.watch.tender.originals
        assert (len(originals), originals.due(), originals.releasable()) == (1, [], [])
        pass_time(service, clock, DAY_S - HOUR_S)
        assert originals.due() == []
        assert box.command("cleanup")[0] == 0
        assert box.files("cam1") == HELD
        pass_time(service, clock, 2 * HOUR_S)
        box.emitted.wait_for("original_deleted")
    assert box.files("cam1") == {"a.mp4"}


def test_the_marker_says_until_when(box: Box) -> None:
    with kept(box, SetClock()) as (_, path, was):
        marker = parse(path.with_name("a.mp4.transcoded").read_bytes(), "a.mp4")
        assert marker.held.keep_s == DAY_S
        assert marker.original.sha256 == hashlib.sha256(was).hexdigest()
        assert marker.copy.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
