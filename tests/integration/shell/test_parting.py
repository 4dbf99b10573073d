"""The service's end where a disk hangs: within bounds, with a word, and the process goes."""

import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from support.box import Box

from watcher.errors import Halt
from watcher.gate.load import ProcCounters
from watcher.gate.readings import Go
from watcher.parting import Parting
from watcher.service import Service
from watcher.transcode.leash import Leash


@pytest.fixture
def disk() -> Iterator[threading.Event]:
    """Give a disk that hangs until it is set."""
    answers = threading.Event()
    yield answers
    answers.set()


class Kept(ProcCounters):
    """Figures of the machine that keep the shift when it asks for them."""

    def __init__(self, disk: threading.Event) -> None:
        super().__init__()
        self.asked = threading.Event()
        self._disk = disk

    def own_s(self) -> dict[int, float]:
        if threading.current_thread().name == "watcher-shift":
            self.asked.set()
            self._disk.wait(60)
        return super().own_s()


def a_service(box: Box, **options: object) -> Service:
    config = box.write_config()
    bounds = {"parts_within_s": 1.0, "shift_after_s": 0.5}
    return Service(config, emit=box.emitted, **{**bounds, **options})  # type: ignore[arg-type]


def test_a_part_that_a_disk_keeps_holds_up_neither_the_stop_nor_the_other_parts(
    box: Box, disk: threading.Event
) -> None:
    service = a_service(box)
    service.start()
    kept = threading.Event()
    service.watch.settler_of("/").soon(lambda: (kept.set(), disk.wait(60)))  # type: ignore[func-returns-value,arg-type]
    assert kept.wait(60)
    service.stop(0.0)
    assert service.left_behind == ("watch",)
    (told,) = box.emitted.named("stop_incomplete")
    assert told["parts"] == ["watch"]
    assert box.emitted.events[-1][0] == "service_stopped"
    assert not service.state.service_lives()


def test_a_shift_that_a_disk_keeps_is_left_behind_and_no_second_one_begins_beside_it(
    box: Box, disk: threading.Event
) -> None:
    counters = Kept(disk)
    box.write_config()
    box.record("cam1", "a.mp4")
    service = a_service(box, counters=counters)
    service.start()
    assert counters.asked.wait(60)
    reloaded: list[Halt] = []

    def reload() -> None:
        try:
            service.reload(box.write_config(min_age_days=6))
        except Halt as halt:
            reloaded.append(halt)

    reloading = threading.Thread(target=reload)
    reloading.start()
    service.shift.stop(0.0)
    reloading.join(60)
    assert [halt.reason for halt in reloaded] == ["job_stuck"]
    service.stop(0.0)
    assert service.left_behind == ("shift",)
    assert not service.running


@pytest.mark.parametrize("again", ["reload", "start"])
@pytest.mark.parametrize("which", [0, 1], ids=["a job", "a deletion"])
def test_neither_a_reload_nor_a_start_lets_anything_begin_beside_what_the_kernel_keeps(
    box: Box, disk: threading.Event, which: int, again: str
) -> None:
    service = a_service(box)
    service.start()
    whom = service._foremen[which]
    begun = threading.Event()

    def hang() -> None:
        begun.set()
        disk.wait(60)

    kept = threading.Thread(target=lambda: whom.oversee(hang, Leash(), Go))
    kept.start()
    assert begun.wait(60)
    stuck = Halt("job_stuck", "the kernel keeps a deletion")
    service.shift.places.bar_while(str(box.top), stuck, lambda: not disk.is_set())
    if again == "reload":
        service.reload(box.write_config(min_age_days=6))
    else:
        service.stop(0.0)
        service.start()  # a host application may, in one process
    crew = service._crew
    assert (crew.foreman, crew.errands)[which].is_stuck
    assert not service.shift.places.opens(str(box.top))
    disk.set()
    kept.join(60)
    assert not (crew.foreman, crew.errands)[which].is_stuck
    service.stop(0.0)
    assert service.left_behind == ()


class Unlucky(Service):
    """One that gets no thread for its wake-ups, the first time."""

    refused = False

    def _start_wake_ups(self) -> None:
        if not self.refused:
            self.refused = True
            raise RuntimeError("can't start new thread")
        super()._start_wake_ups()


def test_a_start_that_fails_leaves_nothing_at_work_and_can_be_tried_again(box: Box) -> None:
    """Its lock is given back and its ledger closed: nobody is to transcode any more."""
    service = Unlucky(box.write_config(), emit=box.emitted)
    with pytest.raises(RuntimeError):
        service.start()
    assert "watcher-shift" not in {thread.name for thread in threading.enumerate()}
    service.start()
    assert "watcher-shift" in {thread.name for thread in threading.enumerate()}
    service.stop(0.0)


def test_what_ends_in_time_is_not_said_to_be_left(box: Box) -> None:
    service = a_service(box)
    service.start()
    service.stop(0.0)
    assert (service.left_behind, box.emitted.named("stop_incomplete")) == ((), [])


def test_what_a_part_raises_is_raised() -> None:
    def broken() -> None:
        raise Halt("io_error", "no")

    with pytest.raises(Halt):
        Parting().end("ledger", broken)


_A_STUCK_JOB = """
import threading
from watcher.errors import Halt
from watcher.foreman import Foreman
from watcher.gate.readings import Go
from watcher.transcode.leash import Leash

foreman = Foreman(stuck_after_s=0.1)
try:
    foreman.oversee(threading.Event().wait, Leash(), Go, must_end=lambda: "shutdown")
except Halt as halt:
    print(halt.reason)
foreman.close()
"""


def test_a_process_ends_beside_a_job_that_does_not() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _A_STUCK_JOB], capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout == "job_stuck\n"


def test_a_part_that_ends_in_its_own_time_is_not_told_to_hang_because_another_does(
    disk: threading.Event,
) -> None:
    """Closing a ledger writes to the disk; it had a tenth of a second after one that hung."""
    parting, never = Parting(within_s=0.0), threading.Event()

    def hangs() -> None:
        disk.wait(60)

    def closes() -> None:
        never.wait(0.2)

    parting.end("watch", hangs)
    parting.end("ledger", closes)
    assert parting.left == ["watch"]
