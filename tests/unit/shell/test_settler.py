"""When what could not be settled is looked at again, and how politely whole files are read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from support.clock import ManualClock
from support.emitted import Emitted

from watcher.errors import Aborted
from watcher.foreman import LONGEST_STAND_S
from watcher.settling import Settler

AGAIN_S = 30.0


@dataclass
class Tender:
    """Leaves what the test says, and reads whole files where it is told to."""

    left: set[str] = field(default_factory=set)
    reads: bool = False
    asked: list[tuple[str, list[str], bool]] = field(default_factory=list)

    def settle(
        self, directory: str, names: Sequence[str], check: Callable[[], None], *, again: bool
    ) -> set[str]:
        self.asked.append((directory, sorted(names), again))
        if self.reads:
            try:
                check()
            except Aborted:
                return set(names)
        return self.left & set(names)


class Bench:
    """A settler whose jobs the test does, each when it is due."""

    def __init__(self) -> None:
        self.clock, self.tender, self.may_read = ManualClock(), Tender(), True
        tender: Any = self.tender
        self.settler = Settler(
            tender, lambda: self.may_read, again_s=AGAIN_S, clock=self.clock, emit=Emitted()
        )

    def work(self) -> list[tuple[str, list[str], bool]]:
        """Do what is due; give what was asked of the tender meanwhile."""
        self.tender.asked.clear()
        while (job := self.settler._worker._next()[0]) is not None:
            job()
            self.settler._worker._busy = False
        return list(self.tender.asked)

    def until_asked_again_s(self) -> float | None:
        return self.settler._worker._next()[1]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_what_is_settled_is_not_looked_at_again(bench: Bench) -> None:
    bench.settler.settle("/c", ["a.mp4"])
    assert bench.work() == [("/c", ["a.mp4"], False)]
    assert bench.settler.is_idle()


def test_other_jobs_are_done_in_turn(bench: Bench) -> None:
    done: list[str] = []
    bench.settler.soon(lambda: done.append("first"))
    bench.settler.soon(lambda: done.append("second"))
    bench.work()
    assert done == ["first", "second"]


def test_what_somebody_is_at_work_on_is_looked_at_again_once_for_all(bench: Bench) -> None:
    """However many events its directory has meanwhile."""
    bench.tender.left = {"a.mp4", "b.mp4"}
    for name in ("a.mp4", "b.mp4", "done.mp4"):
        bench.settler.settle("/c", [name])
    assert len(bench.work()) == 3
    assert bench.until_asked_again_s() == AGAIN_S
    bench.clock.advance(AGAIN_S)
    assert bench.work() == [("/c", ["a.mp4", "b.mp4"], True)]
    bench.tender.left = set()
    bench.clock.advance(AGAIN_S)
    assert bench.work() == [("/c", ["a.mp4", "b.mp4"], True)]
    assert bench.settler.is_idle()


def test_what_may_not_be_read_now_is_asked_for_less_often(bench: Bench) -> None:
    bench.tender.reads, bench.may_read = True, False
    bench.settler.settle("/c", ["a.mp4"])
    bench.work()
    assert bench.until_asked_again_s() == 20 * AGAIN_S
    bench.clock.advance(20 * AGAIN_S)
    bench.may_read = True
    assert bench.work() == [("/c", ["a.mp4"], True)]
    assert bench.settler.is_idle()


def test_a_later_wait_for_somebody_at_work_is_short_again(bench: Bench) -> None:
    bench.tender.reads, bench.may_read = True, False
    bench.settler.settle("/c", ["a.mp4"])
    bench.work()
    bench.tender.reads, bench.tender.left = False, {"b.mp4"}
    bench.settler.settle("/d", ["b.mp4"])
    bench.work()
    assert bench.until_asked_again_s() == AGAIN_S


def test_a_read_that_has_not_begun_does_not_wait_at_all(bench: Bench) -> None:
    bench.may_read = False
    with pytest.raises(Aborted) as broken_off:
        bench.settler._politely()
    assert (broken_off.value.reason, bench.clock.waits) == ("later", [])


def test_in_the_midst_of_a_file_it_waits_for_so_long_and_goes_on(bench: Bench) -> None:
    bench.settler._politely()
    bench.may_read = False
    began_s = bench.clock.monotonic_s()
    with pytest.raises(Aborted) as broken_off:
        bench.settler._politely()
    assert broken_off.value.reason == "later"
    assert LONGEST_STAND_S <= bench.clock.monotonic_s() - began_s <= LONGEST_STAND_S + 0.5
    bench.may_read = True
    bench.settler._politely()


def test_of_four_moments_one_is_read_and_a_rest_is_short(bench: Bench) -> None:
    bench.settler._politely()
    bench.clock.waits.clear()
    for read_s, rest_s in ((0.1, 0.3), (0.01, 0.03), (4.0, 0.5)):
        bench.clock.advance(read_s)
        bench.settler._politely()
        assert bench.clock.waits.pop() == pytest.approx(rest_s)


def test_a_read_that_runs_at_the_services_end_is_broken_off(bench: Bench) -> None:
    bench.settler.end()
    with pytest.raises(Aborted) as broken_off:
        bench.settler._politely()
    assert broken_off.value.reason == "shutdown"
