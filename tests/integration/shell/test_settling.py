"""What could not be settled at once, because somebody was at work there, is settled later."""

import os
import shutil
import subprocess
import sys
import threading
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from support.box import Box
from support.clock import ManualClock, SetClock
from support.emitted import Emitted
from support.swapped import COPY, DAY_S, ORIGINAL, locked, swapped

from watcher.clock import SystemClock
from watcher.errors import Aborted
from watcher.gate.asking import Asker, NoAnswer
from watcher.ledger.ledger import Ledger
from watcher.pace import begun
from watcher.replace.directory import _LOCK_RETRY_S
from watcher.replace.memory import VolatileMemory
from watcher.replace.originals import Originals
from watcher.replace.swap import LinuxDirectory, Outcome
from watcher.segments.index import SegmentIndex
from watcher.segments.segment import Segment, State
from watcher.service import LEDGER, Service
from watcher.tending import KeepRules, Tender
from watcher.watch import Watch

AT_WORK = """
import sys, time
from watcher.replace import swap
with swap.LinuxDirectory(sys.argv[1]) as directory:
    with swap.claim(directory, "a.mp4") as claimed, claimed.create_output() as output:
        print("at work", flush=True)
        time.sleep(600)
"""

SOON_S = 0.05
"""When a service that is switched off comes back for what it could not settle."""


def camera(box: Box) -> Path:
    box.write_config()
    return box.top / "cam1"


def orphans(service: Service) -> list[bool]:
    return [one.orphan for one in service.watch.tender.originals.all()]


def test_what_a_killed_job_left_is_swept_and_its_recording_a_candidate_again(box: Box) -> None:
    path = camera(box) / "a.mp4"
    path.write_bytes(ORIGINAL)
    long_ago_s = time.time() - 9 * DAY_S
    os.utime(path, (long_ago_s, long_ago_s))
    with (
        box.service(enabled=False, settle_again_s=SOON_S) as service,
        subprocess.Popen(
            [sys.executable, "-c", AT_WORK, str(path.parent)], stdout=subprocess.PIPE
        ) as job,
    ):
        assert job.stdout is not None
        assert job.stdout.readline() == b"at work\n"

        def state() -> State | None:
            entry = service.watch.index.get(str(path))
            return entry.state if entry else None

        box.wait_until(lambda: state() is State.REPLACED)
        job.kill()
        box.wait_until(lambda: state() is State.CANDIDATE)
    assert box.files("cam1") == {"a.mp4"}


def test_a_copy_deleted_while_its_directory_was_locked_leaves_an_orphan(box: Box) -> None:
    path = camera(box) / "a.mp4"
    swapped(path)
    with box.service(enabled=False, settle_again_s=SOON_S) as service:
        box.wait_until(lambda: orphans(service) == [False])
        with locked(path.parent):
            path.unlink()
            box.wait_until(
                lambda: str(path.parent) in service.watch.settler_of(str(path))._unsettled
            )
        box.wait_until(lambda: orphans(service) == [True])
    assert box.emitted.named("swap_recovered") == []  # there was nothing half done


def test_a_locked_directory_is_waited_for_once_at_the_start_and_looked_at_again(box: Box) -> None:
    top = camera(box)
    for number in range(5):
        swapped(top / f"{number}.mp4")
    clock = Counting()
    with locked(top):
        service = Service(
            box.write_config(enabled=False), settle_again_s=0.05, clock=clock, emit=box.emitted
        )
        service.start()
        patient_s = clock.locked_s
    try:
        box.wait_until(lambda: len(service.watch.tender.originals) == 5)
    finally:
        service.stop(0.0)
    assert patient_s < 2 * 2.5  # by the start, and at most once by the upkeep thread meanwhile


def test_a_start_compares_no_contents_and_they_are_compared_afterwards(box: Box) -> None:
    """Restored from a backup: other inodes, the same bytes. Only whole reads can tell them."""
    top = camera(box)
    (box.top / "elsewhere").mkdir()
    swapped(box.top / "elsewhere" / "a.mp4")
    shutil.copytree(box.top / "elsewhere", top / "day")
    with Ledger(str(box.top / "ledger.sqlite")) as ledger:
        watch = Watch(box.write_config(), ledger, wake=lambda: None, emit=box.emitted)
        watch._listed("cam1", str(top / "day"), os.listdir(top / "day"))
        assert len(watch.tender.originals) == 0
        watch.start()
        try:
            box.wait_until(lambda: len(watch.tender.originals) == 1)
        finally:
            watch.stop()


def backup(box: Box) -> Path:
    """A day restored from a backup, of which only whole reads can tell what it is."""
    day = camera(box) / "day"
    (box.top / "elsewhere").mkdir()
    swapped(box.top / "elsewhere" / "a.mp4")
    shutil.copytree(box.top / "elsewhere", day)
    return day


def test_whole_files_are_read_only_while_nobody_needs_the_machine(box: Box) -> None:
    """While it holds not a byte is read, and what stands there waits; afterwards it is known."""
    backup(box)
    asked, allowed = threading.Event(), threading.Event()

    def may_read() -> bool:
        asked.set()
        return allowed.is_set()

    with Ledger(str(box.top / "ledger.sqlite")) as ledger:
        watch = Watch(
            box.write_config(),
            ledger,
            wake=lambda: None,
            may_read=may_read,
            settle_again_s=0.001,
            emit=box.emitted,
        )
        watch.start()
        try:
            assert asked.wait(30)
            assert len(watch.tender.originals) == 0
            allowed.set()
            box.wait_until(lambda: len(watch.tender.originals) == 1)
        finally:
            watch.stop()


def test_a_look_at_a_recording_whose_directory_somebody_keeps_is_waited_for_but_a_moment(
    box: Box,
) -> None:
    """The observer's own lock is taken for it, and whoever lists a share that hangs keeps that."""
    path = camera(box) / "a.mp4"
    path.write_bytes(ORIGINAL)
    with Ledger(str(box.top / "ledger.sqlite")) as ledger:
        watch = Watch(
            box.write_config(),
            ledger,
            wake=lambda: None,
            asker=Asker(within_s=0.05),
            emit=box.emitted,
        )
        watch.start()
        try:
            entry = watch.index.get(str(path))
            assert entry is not None
            assert watch.confirm(entry.segment)
            os.truncate(path, 1)
            with watch.observer.of(str(path))._changes, pytest.raises(NoAnswer):
                watch.confirm(entry.segment)

            def size_bytes() -> int | None:
                known = watch.index.get(str(path))
                return known.segment.size_bytes if known else None

            box.wait_until(lambda: size_bytes() == 1)  # when it may, it is looked at all the same
        finally:
            watch.stop()


def test_one_moment_in_which_the_machine_is_needed_does_not_undo_what_was_read(box: Box) -> None:
    """On a box that is needed once a minute no large file would ever be read to its end."""
    clock = ManualClock()
    held_until_s = clock.monotonic_s() + 11  # one spike: the gate takes ten seconds to be calm
    with Ledger(str(box.top / "ledger.sqlite")) as ledger:
        watch = Watch(
            box.write_config(),
            ledger,
            wake=lambda: None,
            may_read=lambda: clock.monotonic_s() >= held_until_s,
            clock=clock,
            emit=box.emitted,
        )
        settler = watch.settler_of(str(box.top))
        with pytest.raises(Aborted):
            settler._politely()
        assert clock.waits == []  # nothing is read yet: the lock is given back at once
        clock.advance(11)
        settler._politely()
        held_until_s = clock.monotonic_s() + 11
        settler._politely()
        assert clock.monotonic_s() >= held_until_s
        held_until_s = clock.monotonic_s() + 60
        with pytest.raises(Aborted):
            settler._politely()
        assert clock.monotonic_s() < held_until_s - 40


class Waiting(ManualClock):
    """Somebody who waits for a directory's lock, and looks whenever we rest."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._directory = directory
        self.free_for_s: list[float] = []

    def wait(self, wake: threading.Event, timeout_s: float | None) -> bool:
        with LinuxDirectory(str(self._directory), patience_s=0.0) as again, again.locked():
            self.free_for_s.append(timeout_s or 0.0)
        return super().wait(wake, timeout_s)


def test_what_the_kernel_keeps_in_one_directory_keeps_no_other_from_being_settled(
    box: Box,
) -> None:
    """A share that hangs while a recording on it is compared: nothing ends that."""
    day, other = backup(box), box.top / "elsewhere"
    tender = make_tender(SetClock())
    reading, over = threading.Event(), threading.Event()

    def kept() -> None:
        reading.set()
        over.wait()

    def held() -> None:
        raise Aborted("later", "somebody else is at work")

    thread = threading.Thread(target=lambda: tender.settle(str(day), ["a.mp4"], kept))
    thread.start()
    try:
        assert reading.wait(60)
        assert tender.settle(str(day), ["a.mp4"], held) == ["a.mp4"]
        assert tender.settle(str(other), ["a.mp4"], held) == []
        assert [one.path for one in tender.originals.all()] == [f"{other}/a.mp4"]
    finally:
        over.set()
        thread.join(60)
    assert len(tender.originals) == 2


def test_who_waits_for_a_directory_waits_for_one_recording_to_be_read_not_for_all(
    box: Box,
) -> None:
    """A deletion, a swap after hours or a person's restore has a minute's patience, no more."""
    day, elsewhere = camera(box) / "day", box.top / "elsewhere"
    elsewhere.mkdir()
    for name in ("a.mp4", "b.mp4"):
        swapped(elsewhere / name)
    shutil.copytree(elsewhere, day)
    clock = Waiting(day)
    tender = Tender(
        Originals(VolatileMemory()),
        remember=lambda *_: None,
        rules=KeepRules(),
        clock=clock,
        emit=box.emitted,
    )
    names = ["a.mp4", "b.mp4"]
    assert tender.settle(str(day), names, lambda: None) == []
    assert len(clock.free_for_s) == 1
    assert clock.free_for_s[0] > _LOCK_RETRY_S
    assert tender.settle(str(day), names, lambda: None) == []
    assert len(clock.free_for_s) == 1, "known by now: nothing is read, and nothing rests"


def test_a_service_reads_no_whole_file_while_a_job_may_want_its_directorys_lock(box: Box) -> None:
    with box.service(enabled=False) as service:
        assert service._may_read()
        service.shift._running.current = begun(Segment("cam1", str(box.top), "a.mp4", 1, 1))
        assert not service._may_read()
        service.shift._running.current = None
        assert service._may_read()


def test_a_read_is_broken_off_when_the_machine_is_needed(tmp_path: Path) -> None:
    """Within one chunk, a mebibyte; and the first question comes before the first byte."""
    path = tmp_path / "a.mp4"
    path.write_bytes(bytes(5 << 20))
    for allowed in range(3):
        answers = [None] * allowed

        def check(answers: list[None] = answers) -> None:
            if not answers:
                raise Aborted("later", "the machine is needed")
            answers.pop()

        with LinuxDirectory(str(tmp_path)) as directory:
            handle = directory.open("a.mp4")
            with closing(handle), pytest.raises(Aborted):
                handle.digest(check)
            assert not answers


@pytest.mark.parametrize(("schedule", "known"), [("always", 1), ("none", 0)])
def test_a_service_reads_whole_files_in_its_window_alone(
    box: Box, schedule: str, known: int
) -> None:
    backup(box)
    now = time.localtime()
    shut = f"{(now.tm_hour + 6) % 24:02}:00-{(now.tm_hour + 7) % 24:02}:00"
    service = Service(
        box.write_config(run_schedule=shut if schedule == "none" else schedule, enabled=False),
        settle_again_s=0.001,
        emit=box.emitted,
    )
    service.start()
    try:
        if known:
            box.wait_until(lambda: len(service.watch.tender.originals) == known)
        else:
            settler = service.watch.settler_of(str(box.top))
            box.wait_until(lambda: settler._put_off and not settler.is_idle())
            assert len(service.watch.tender.originals) == 0
    finally:
        service.stop(0.0)


class Counting(SystemClock):
    """Sums up how long anybody waited for a directory's lock: in bites of a tenth of a second."""

    locked_s = 0.0

    def wait(self, wake: threading.Event, timeout_s: float | None) -> bool:
        if timeout_s == 0.1:
            self.locked_s += timeout_s
        return super().wait(wake, timeout_s)


def make_tender(clock: SetClock | ManualClock) -> Tender:
    originals = Originals(VolatileMemory(), clock=clock, emit=Emitted())
    return Tender(
        originals, remember=lambda *_: None, rules=KeepRules(), clock=clock, emit=Emitted()
    )


def test_whoever_is_told_to_stop_reads_no_further_and_says_what_is_left(box: Box) -> None:
    top = camera(box)
    (box.top / "elsewhere").mkdir()
    swapped(box.top / "elsewhere" / "a.mp4")
    shutil.copytree(box.top / "elsewhere", top / "day")

    def stop() -> None:
        raise Aborted("shutdown", "told to stop")

    tender = make_tender(SetClock())
    assert tender.settle(str(top / "day"), ["a.mp4"], stop) == ["a.mp4"]
    assert tender.settle(str(top / "day"), ["a.mp4"]) == []
    assert len(tender.originals) == 1


@pytest.mark.parametrize("newer", [False, True], ids=["deleted", "newer"])
def test_a_set_that_was_not_as_it_was_noted_is_noted_anew(box: Box, newer: bool) -> None:
    path, clock = camera(box) / "a.mp4", SetClock()
    clock.boot = SystemClock().boot_id()
    swapped(path, clock=clock)
    tender = make_tender(clock)
    tender.settle(str(path.parent), ["a.mp4"])
    path.unlink()  # and nobody told
    if newer:
        path.write_bytes(COPY[:100])
    clock.advance(DAY_S + 1)
    (due,) = tender.originals.due()
    assert tender.delete(due, "safety_period_over", lambda: None).outcome is Outcome.KEPT
    assert [one.orphan for one in tender.originals.all()] == [True]
    clock.advance(DAY_S + 1)
    (due,) = tender.originals.due()
    assert tender.delete(due, "owner_deleted", lambda: None).outcome is Outcome.DELETED


def test_what_was_decided_goes_with_a_day_that_is_renamed(box: Box) -> None:
    """Whoever restored a recording wants it as it is, under whatever name its day has."""
    day = camera(box) / "day"
    (day / "below").mkdir(parents=True)
    paths = [day / "a\udcff.mp4", day / "b.mp4", day / "below" / "c.mp4"]
    for path in paths:
        swapped(path)
        assert box.command("restore", path)[0] == 0
    archived = day.with_name("archived")
    with box.service(enabled=False) as service:
        reasons = partial(_reasons, service.watch.index)
        assert reasons() == {str(path): "restored" for path in paths}
        day.rename(archived)
        there = {str(archived / path.relative_to(day)): "restored" for path in paths}
        box.wait_until(lambda: reasons() == there)
    with Ledger(str(box.state / LEDGER)) as ledger:
        assert ledger.explain(str(paths[1])) is None
        assert ledger.explain(str(archived / "b.mp4")) is not None


def _reasons(index: SegmentIndex) -> dict[str, str | None]:
    return {one.segment.path: one.reason for one in index.snapshot()}


def test_originals_go_with_a_day_that_is_renamed(box: Box) -> None:
    day, clock = camera(box) / "day", SetClock()
    day.mkdir()
    swapped(day / "a.mp4", clock=clock)
    archived = day.with_name("archived")
    with box.service(clock=clock) as service:
        originals = service.watch.tender.originals
        box.wait_until(lambda: len(originals) == 1)
        day.rename(archived)
        box.wait_until(lambda: [one.path for one in originals.all()] == [f"{archived}/a.mp4"])
        clock.advance(DAY_S + 1)
        service.tick()
        gone = box.emitted.wait_for("original_deleted")
    assert gone["path"] == f"{archived}/a.mp4"
    assert [one.name for one in archived.iterdir()] == ["a.mp4"]
