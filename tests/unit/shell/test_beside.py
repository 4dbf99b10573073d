"""Whole files that are read beside the shift: only under a look of its own at the gate."""

import threading
from typing import Any, cast

import pytest
from support.clock import ManualClock
from support.emitted import Emitted
from support.trees import wait_for

from watcher.beside import ASKED_S, Beside
from watcher.clock import SystemClock
from watcher.foreman import LOOK_EVERY_S
from watcher.gate.readings import Abort, Decision, Go, Hold, Limits, Load, Readings, Reason
from watcher.lookout import Lookout

HELD = Hold(Reason.CPU, "others use 80 %", 80.0, 15.0)


class Gate:
    """Says what a test wants, and counts how often it was asked."""

    def __init__(self, decision: Decision) -> None:
        self.decision = decision
        self.asked: list[dict[str, object]] = []

    def look(self, **asked: object) -> tuple[Decision, Readings]:
        self.asked.append(asked)
        return self.decision, Readings(Load(0.5, 0.0))


class Parts:
    """A shift's rest, the gate behind it, and the clock."""

    def __init__(self, decision: Decision, clock: Any = None) -> None:
        self.clock = clock or ManualClock()
        self.gate = Gate(decision)
        self.emitted = Emitted()
        self.lookout = Lookout(
            cast("Any", self.gate), Limits(), lambda: True, clock=self.clock, emit=self.emitted
        )
        self.wake = threading.Event()
        self.beside = Beside(self.lookout, self.wake, self.clock)


@pytest.mark.parametrize(
    ("decision", "may"),
    [
        (Go(), True),
        (Go(run=False), False),  # it stands still to find out whose the I/O is
        (HELD, False),
        (Abort(Reason.CPU, "others, for an hour"), False),
        (Hold(Reason.DISK, "hangs"), False),  # the gate says no more: it may hide any load
        (Hold(Reason.DISABLED, "off"), False),
    ],
)
def test_the_gate_that_the_shift_looked_at_a_moment_ago_says_whether_whole_files_are_read(
    decision: Decision, may: bool
) -> None:
    parts = Parts(decision)
    parts.lookout.look(child=True, directory=None)
    assert parts.beside.may_read() is may
    assert parts.gate.asked == [{"child": True, "directory": None, "enabled": True}]


def test_what_was_looked_at_longer_ago_lets_nothing_be_read() -> None:
    parts = Parts(Go())
    parts.lookout.look(child=True, directory=None)
    parts.clock.advance(ASKED_S + 1)
    assert not parts.beside.may_read()
    assert parts.wake.is_set(), "the shift is asked to look"


def test_a_shift_with_nothing_to_do_looks_for_who_asks_and_tells_nobody() -> None:
    parts = Parts(Go(), SystemClock())
    rests: list[None] = []
    over = threading.Event()

    def shift() -> None:
        while not over.is_set():
            parts.wake.clear()
            rests.append(None)
            parts.beside.rest(None, lambda: True)

    thread = threading.Thread(target=shift)
    thread.start()
    try:
        wait_for(lambda: bool(rests))
        assert parts.gate.asked == []
        assert parts.beside.may_read()
        parts.gate.decision = HELD
        wait_for(lambda: not parts.beside.may_read())
        parts.gate.decision = Go()
        wait_for(parts.beside.may_read)
    finally:
        over.set()
        parts.wake.set()
        thread.join(60)
    assert not thread.is_alive()
    assert parts.emitted.events == []
    assert parts.lookout.hold is None


def test_a_full_disk_and_the_switch_keep_nothing_from_being_read_beside_a_shift_at_rest() -> None:
    """What is read lets originals go: who looks for it asks of neither."""
    parts = Parts(Go())
    parts.lookout.peek()
    assert parts.gate.asked == [{"child": True, "enabled": True}]
    assert parts.lookout.lets_read


def test_it_looks_as_long_as_somebody_asks_and_no_longer() -> None:
    parts = Parts(Go())
    parts.beside.may_read()
    parts.wake.clear()
    parts.beside.rest(600.0, lambda: True)
    assert 0 < len(parts.gate.asked) <= ASKED_S / LOOK_EVERY_S + 1
    looks = len(parts.gate.asked)
    parts.beside.rest(600.0, lambda: True)
    assert len(parts.gate.asked) == looks


@pytest.mark.parametrize(("wait_s", "is_open"), [(LOOK_EVERY_S, True), (None, False)])
def test_nobody_looks_twice_or_outside_the_window(wait_s: float | None, is_open: bool) -> None:
    parts = Parts(Go())
    parts.beside.may_read()
    parts.wake.clear()
    if wait_s is None:
        threading.Timer(0.01, parts.wake.set).start()
    parts.beside.rest(wait_s, lambda: is_open)
    assert parts.gate.asked == []


def test_nobody_waits_for_a_shift_that_has_ended() -> None:
    parts = Parts(Go())
    parts.beside.end()
    assert not parts.beside.may_read()
    assert parts.clock.waits == []
