"""A leash freezes what it holds and what it is given, and ends both; time held is counted."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.clock import ManualClock

from watcher.errors import Aborted
from watcher.transcode.leash import Leash


class Held:
    def __init__(self) -> None:
        self.told: list[str] = []

    def freeze(self) -> None:
        self.told.append("freeze")

    def thaw(self) -> None:
        self.told.append("thaw")

    def kill(self) -> None:
        self.told.append("kill")


def test_a_pause_reaches_what_is_held_and_what_comes_later() -> None:
    leash, one, two = Leash(ManualClock()), Held(), Held()
    leash.attach(one)
    leash.pause("cpu")
    leash.attach(two)
    assert (one.told, two.told, leash.paused_reason) == (["freeze"], ["freeze"], "cpu")
    leash.resume()
    assert (one.told[-1], two.told[-1], leash.paused_reason) == ("thaw", "thaw", None)


def test_an_abort_ends_what_is_held_and_what_comes_later() -> None:
    leash, one, two = Leash(ManualClock()), Held(), Held()
    leash.attach(one)
    leash.pause("cpu")
    leash.abort("window")
    leash.attach(two)
    leash.abort("another reason")
    assert (one.told, two.told) == (["freeze", "kill"], ["kill"])
    assert (leash.aborted_reason, leash.paused_reason) == ("window", None)
    leash.pause("cpu")
    assert leash.paused_reason is None
    with pytest.raises(Aborted) as aborted:
        leash.check()
    assert aborted.value.reason == "window"


def test_time_held_is_counted_the_running_pause_included() -> None:
    clock = ManualClock()
    leash = Leash(clock)
    clock.advance(5)
    leash.pause("cpu")
    clock.advance(3)
    leash.pause("io")
    clock.advance(4)
    assert (leash.paused_s(), leash.paused_reason) == (7.0, "io")
    leash.resume()
    clock.advance(9)
    leash.resume()
    assert leash.paused_s() == 7.0
    leash.pause("cpu")
    clock.advance(1)
    leash.abort("stop")
    clock.advance(1)
    assert leash.paused_s() == 8.0


def test_what_was_released_hears_nothing_more() -> None:
    leash, one = Leash(ManualClock()), Held()
    leash.attach(one)
    leash.release(one)
    leash.release(one)
    leash.pause("cpu")
    assert one.told == []


def test_a_lasting_child_is_never_left_frozen() -> None:
    leash, one = Leash(ManualClock()), Held()
    with pytest.raises(ValueError, match="mine"), leash.hold(one):  # noqa: PT012 - the order is the test
        leash.pause("cpu")
        raise ValueError("mine")
    assert one.told == ["freeze", "thaw"]


def test_an_error_that_an_abort_caused_is_an_abort() -> None:
    leash = Leash(ManualClock())
    with pytest.raises(Aborted), leash.hold(Held()):  # noqa: PT012 - the order is the test
        leash.abort("stop")
        raise OSError("the child is gone")


DEEDS = st.lists(
    st.sampled_from(["pause", "resume", "attach", "release", "abort", "time"]), max_size=40
)


@given(DEEDS)
def test_whatever_happens_children_stand_still_exactly_while_paused(deeds: list[str]) -> None:
    clock = ManualClock()
    leash = Leash(clock)
    held: list[Held] = []
    stood_s = 0.0
    for deed in deeds:
        if deed == "pause":
            leash.pause("cpu")
        elif deed == "resume":
            leash.resume()
        elif deed == "abort":
            leash.abort("stop")
        elif deed == "attach":
            held.append(Held())
            leash.attach(held[-1])
        elif deed == "release" and held:
            leash.release(held.pop(0))
        elif deed == "time":
            clock.advance(1)
            stood_s += leash.paused_reason is not None
        assert leash.paused_s() == stood_s
        for child in held:
            last = child.told[-1] if child.told else "thaw"
            if leash.aborted_reason is not None:
                assert "kill" in child.told
                assert "freeze" not in child.told[child.told.index("kill") :]
            else:
                assert (last == "freeze") == (leash.paused_reason is not None)


def test_check_waits_until_it_may_go_on() -> None:
    leash = Leash()
    leash.pause("cpu")
    passed = threading.Event()

    def work() -> None:
        leash.check()
        passed.set()

    thread = threading.Thread(target=work)
    thread.start()
    assert not passed.wait(0)
    leash.resume()
    assert passed.wait(30)
    thread.join()


def test_a_check_that_waits_looks_at_what_it_was_asked_to_while_that_is_wanted() -> None:
    leash, looks = Leash(), threading.Event()

    def look() -> None:
        if looks.is_set():  # the second time
            raise Aborted("came", "what was looked for")
        looks.set()

    leash.pause("cpu")
    with pytest.raises(Aborted), leash.meanwhile(look):
        leash.check()


def test_check_raises_where_the_pause_ends_in_an_abort() -> None:
    leash = Leash()
    leash.pause("cpu")
    raised: list[str] = []

    def work() -> None:
        try:
            leash.check()
        except Aborted as aborted:
            raised.append(aborted.reason)

    thread = threading.Thread(target=work)
    thread.start()
    leash.abort("stop")
    thread.join(30)
    assert raised == ["stop"]


def test_it_says_for_how_long_it_has_been_standing_still_by_now() -> None:
    clock = ManualClock()
    leash = Leash(clock)
    assert leash.standing_s() == 0
    for _ in range(2):
        leash.pause("cpu")
        clock.advance(5)
        leash.pause("recorder")
        assert leash.standing_s() == 5
        leash.resume()
    assert (leash.standing_s(), leash.paused_s()) == (0, 10)
