"""A job under the gate's eye."""

import gc
import threading
import weakref
from collections.abc import Callable, Iterator

import pytest
from support.emitted import Emitted

from watcher.clock import SystemClock
from watcher.errors import Aborted, Halt
from watcher.foreman import Foreman, Kept
from watcher.gate.readings import Abort, Decision, Go, Hold, Reason
from watcher.transcode.leash import Leash

HELD = Hold(Reason.CPU, "others use 80 %", 80.0, 15.0)


class Ticking:
    """A clock whose waits give the other thread its turn and cost no time to speak of."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def wall_s(self) -> float:
        return self.now_s

    def monotonic_s(self) -> float:
        return self.now_s

    def boot_s(self) -> float:
        return self.now_s

    def boot_id(self) -> str:
        return ""

    def synchronised(self) -> bool:
        return True

    def wait(self, wake: threading.Event, timeout_s: float | None) -> bool:
        self.now_s += timeout_s or 0.0
        return wake.wait(0.001)


@pytest.fixture
def emitted() -> Emitted:
    return Emitted()


@pytest.fixture
def foreman(emitted: Emitted) -> Iterator[Foreman]:
    made = Foreman(Ticking(), emitted)
    yield made
    made.close()


def saying(*decisions: Decision, then: Callable[[], None]) -> Callable[[], Decision]:
    """Give each decision once, then call *then* and say go."""
    left = list(decisions)

    def look() -> Decision:
        if left:
            return left.pop(0)
        then()
        return Go()

    return look


def test_a_job_runs_and_its_result_comes_back(foreman: Foreman) -> None:
    assert foreman.oversee(lambda: 42, Leash(), Go) == 42


def test_what_a_job_raises_comes_back(foreman: Foreman) -> None:
    def job() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        foreman.oversee(job, Leash(), Go)


def test_a_hold_freezes_the_job_once_and_says_so_once(foreman: Foreman, emitted: Emitted) -> None:
    leash, ended = Leash(Ticking()), threading.Event()
    seen: list[str | None] = []

    def look() -> Decision:
        seen.append(leash.paused_reason)
        return again()

    again = saying(HELD, HELD, HELD, then=ended.set)
    foreman.oversee(lambda: ended.wait(60), leash, look, about={"path": "/c/a.mp4"})
    assert seen[1:4] == ["cpu", "cpu", "cpu"]
    assert [name for name, _ in emitted.events] == ["transcode_paused", "transcode_resumed"]
    assert emitted.named("transcode_paused")[0]["value"] == 80.0
    assert emitted.named("transcode_resumed")[0]["duration_s"] == 1.5
    assert leash.paused_reason is None


def test_a_trial_of_the_gate_freezes_the_job_and_nobody_is_told(
    foreman: Foreman, emitted: Emitted
) -> None:
    leash, ended = Leash(), threading.Event()
    look = saying(Go(run=False), then=ended.set)
    foreman.oversee(lambda: ended.wait(60), leash, look)
    assert emitted.events == []


@pytest.mark.parametrize("paused_before", [False, True])
def test_an_abort_ends_the_job_whether_it_was_frozen_or_not(
    foreman: Foreman, emitted: Emitted, paused_before: bool
) -> None:
    """One that was frozen never went on, and is not said to have."""
    leash = Leash()

    def job() -> None:
        while True:
            leash.check()

    decisions: list[Decision] = [HELD] if paused_before else []
    decisions += [Abort(Reason.WINDOW, "the window closed"), HELD]
    with pytest.raises(Aborted) as caught:
        foreman.oversee(job, leash, saying(*decisions, then=lambda: None))
    assert caught.value.reason == "window"
    assert [name for name, _ in emitted.events] == ["transcode_paused"] * paused_before


def test_the_caller_can_end_the_job_for_a_reason_of_its_own(foreman: Foreman) -> None:
    leash = Leash()

    def job() -> None:
        while True:
            leash.check()

    with pytest.raises(Aborted) as caught:
        foreman.oversee(job, leash, Go, must_end=lambda: "shutdown")
    assert caught.value.reason == "shutdown"


def test_an_interrupt_of_the_overseer_waits_until_the_job_has_ended(emitted: Emitted) -> None:
    foreman = Foreman(SystemClock(), emitted)
    leash, ended = Leash(), threading.Event()

    def job() -> None:
        try:
            while True:
                leash.check()
        finally:
            ended.set()

    def look() -> Decision:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        foreman.oversee(job, leash, look)
    assert ended.is_set()
    foreman.close()


def test_a_job_that_the_kernel_keeps_is_waited_for_within_bounds(foreman: Foreman) -> None:
    """A disk that hangs must hang neither the shift nor the service's stop."""
    kept, ended = threading.Event(), threading.Event()

    def job() -> None:
        kept.wait()
        ended.set()

    with pytest.raises(Kept) as halt:
        foreman.oversee(job, Leash(), Go, must_end=lambda: "shutdown")
    assert halt.value.reason == "job_stuck"
    assert halt.value.lasts()
    with pytest.raises(Halt) as refused:
        foreman.oversee(lambda: 42, Leash(), Go)
    assert not isinstance(refused.value, Kept)  # nothing is known of where that would have been
    foreman.close()
    assert not ended.is_set()
    kept.set()
    assert ended.wait(60)
    foreman._worker.join()
    assert not halt.value.lasts()


def test_an_interrupted_job_that_the_kernel_keeps_is_waited_for_within_bounds(
    foreman: Foreman,
) -> None:
    """And nothing else begins beside it."""
    kept, ended = threading.Event(), threading.Event()

    def job() -> None:
        kept.wait()
        ended.set()

    def look() -> Decision:
        raise OSError("no descriptor is left")

    with pytest.raises(OSError, match="descriptor"):
        foreman.oversee(job, Leash(), look)
    with pytest.raises(Halt) as halt:
        foreman.oversee(lambda: 42, Leash(), Go)
    assert halt.value.reason == "job_stuck"
    assert not ended.is_set()
    kept.set()
    assert ended.wait(60)


def test_the_next_ones_foreman_keeps_nothing_of_a_job_that_ended() -> None:
    """An aborted deletion kept the whole index of a life that had ended beside the next one's."""

    def lived(foreman: Foreman) -> weakref.ref[Index]:
        index = Index()

        def job() -> None:
            raise Aborted("shutdown", f"of {index}")

        with pytest.raises(Aborted):
            foreman.oversee(job, Leash(), Go)
        return weakref.ref(index)

    foreman = Foreman(Ticking())
    index = lived(foreman)
    foreman.close()
    after = Foreman(Ticking(), before=foreman)
    del foreman
    gc.collect()
    assert index() is None
    assert not after.is_stuck


class Index:
    """Stands for what a job works with."""
