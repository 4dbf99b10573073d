"""`cleanup` deletes by hand what is due, and holds to the gate and the recorders' health."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from support.box import Box
from support.clock import SetClock
from support.emitted import Emitted
from support.swapped import DAY_S, locked, swapped

from watcher import byhand
from watcher.bench import Bench, open_bench
from watcher.config import load_config
from watcher.gate.readings import Decision, Go, Hold, Reason
from watcher.segments.segment import Segment

HELD = Hold(Reason.CPU, "others use 80 %", 80.0, 15.0)


class Keeper:
    """A gate that is asked, and says what the test wants."""

    def __init__(self, says: "Any") -> None:
        self.says = says
        self.looks = 0

    def look(self, **asked: object) -> tuple[Decision, None]:
        self.looks += 1
        return self.says(self.looks, asked), None


@contextmanager
def due(box: Box, camera: object = None) -> Iterator[tuple[Bench, Path]]:
    """A bench beside which one original is due; gives that."""
    box.write_config()
    if camera is not None:
        whole = yaml.safe_load(box.config_path.read_text())
        whole["recordings"]["cam1"] = {"path": str(box.top / "cam1"), **cast("Any", camera)}
        box.config_path.write_text(yaml.safe_dump(whole))
    clock, path = SetClock(), box.top / "cam1" / "a.mp4"
    swapped(path, clock=clock)
    with open_bench(load_config(str(box.config_path)), clock=clock, emit=Emitted()) as bench:
        bench.tender.settle(str(path.parent), [path.name])
        clock.advance(DAY_S + 1)
        yield bench, path.with_name("a.mp4.original")


def test_nothing_goes_while_the_gate_holds(box: Box, capsys: pytest.CaptureFixture[str]) -> None:
    stood = []
    with due(box) as (bench, original):

        def says(looks: int, asked: dict[str, object]) -> Decision:
            assert asked["directory"] is None  # what frees a full disk is not held by that
            stood.append(original.exists())
            return HELD if looks <= 3 else Go()

        bench.keeper = cast("Any", Keeper(says))
        (waiting,) = bench.tender.originals.due()
        assert byhand.delete(bench, waiting) == 0
        assert not original.exists()
    assert stood[:4] == [True] * 4
    assert "paused: others use 80 %" in capsys.readouterr().err


def test_nothing_goes_before_each_health_command_has_answered(box: Box) -> None:
    with due(box, {"health_command": "exit 1"}) as (bench, original):
        real = bench.keeper

        def says(_looks: int, asked: dict[str, Any]) -> Decision:
            decision = real.look(**asked)[0]
            if isinstance(decision, Hold):
                assert decision.reason is Reason.RECORDER
                raise KeyboardInterrupt
            return decision

        bench.keeper = cast("Any", Keeper(says))
        (waiting,) = bench.tender.originals.due()
        with pytest.raises(KeyboardInterrupt):
            byhand.delete(bench, waiting)
        assert original.exists()


def segment_beside(original: Path) -> Segment:
    return Segment("cam1", str(original.parent), "b.mp4", 10**12, 0)


def test_what_a_job_by_hand_wants_gone_waits_for_the_gate_too(box: Box) -> None:
    """Proving a copy reads all of it, beside the recorder."""
    stood = []
    with due(box) as (bench, original):

        def says(looks: int, asked: dict[str, object]) -> Decision:
            assert asked["directory"] is None
            stood.append(original.exists())
            return HELD if looks <= 3 else Go()

        bench.keeper = cast("Any", Keeper(says))
        room = byhand.make_room(bench, segment_beside(original))
        assert not original.exists()
        assert (room.may_start, room.release_bytes) == (False, 0)
    assert stood[:4] == [True] * 4


def test_nothing_holds_what_a_disk_below_critical_needs_gone(box: Box) -> None:
    with due(box, {"health_command": "exit 1"}) as (bench, original):
        bench.keeper = cast("Any", Keeper(lambda _looks, _asked: HELD))
        rules = bench.tender.rules
        bench.tender.rules = replace(rules, disk=replace(rules.disk, critical_bytes=10**18))
        byhand.make_room(bench, segment_beside(original))
        assert not original.exists()


def test_it_says_what_it_could_not_look_at(box: Box) -> None:
    box.write_config()
    swapped(box.top / "cam1" / "a.mp4")
    with locked(box.top / "cam1"):
        code, said, _ = box.command("cleanup")
    assert code == 1
    assert "a.mp4: could not be looked at: somebody is at work there" in said
