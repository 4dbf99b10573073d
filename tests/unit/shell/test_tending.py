"""What the disk wants gone: the oldest, and on that disk alone."""

import errno
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from support.clock import ManualClock
from support.emitted import Emitted
from support.filesystems import TrustedDirectory
from support.swap_trials import KEEP_S, NAME, ORIG, ORIGINAL, Ground, do_swap

from watcher import tending
from watcher.errors import Halt
from watcher.gate.asking import NoAnswer
from watcher.gate.disk import DiskRules
from watcher.gate.readings import GB, Space
from watcher.replace.originals import Originals as SafetyPeriods
from watcher.replace.originals import Waiting
from watcher.replace.swap import Deletion, Outcome
from watcher.segments.segment import Segment
from watcher.tending import KeepRules, Tender, disk_of

DISKS = {"/a": 1, "/a/day": 1, "/b": 2}


@dataclass
class Originals:
    """Those that wait, oldest first."""

    waiting: list[Waiting]
    postponed: list[str] = field(default_factory=list)

    def postpone(self, path: str) -> None:
        self.postponed.append(path)

    def all(self) -> list[Waiting]:
        return list(self.waiting)

    def releasable(self) -> list[Waiting]:
        return list(self.waiting)


class House(Tender):
    """A tender whose deletions only free space."""

    def __init__(self, free_gb: dict[str, float], *paths: str, **rules: Any) -> None:
        held = cast("Any", None)
        self.kept = Originals([Waiting(path, 2 * GB, held, False, 0.0) for path in paths])
        self.free = {DISKS[where]: round(free * GB) for where, free in free_gb.items()}
        self.gone: list[str] = []
        self.silent: dict[str, OSError] = {}
        super().__init__(
            cast("Any", self.kept),
            remember=lambda *_: None,
            rules=KeepRules(disk=DiskRules(max_held_bytes=50 * GB), **rules),
            space=self.room_at,
            disk_of=DISKS.get,
            clock=ManualClock(),
            emit=Emitted(),
        )

    def room_at(self, where: str) -> Space:
        if where in self.silent:
            raise self.silent[where]
        return Space(self.free[DISKS[where]], 1000 * GB)

    def delete(
        self, waiting: Waiting, reason: str, check: object, meanwhile: object = None
    ) -> Deletion:
        del check, meanwhile
        assert reason == "disk_pressure"
        self.kept.waiting.remove(waiting)
        self.gone.append(waiting.path)
        self.free[DISKS[waiting.path.rpartition("/")[0]]] += waiting.size_bytes
        return Deletion(Outcome.DELETED, "disk_pressure")


def release_all(house: House) -> list[str]:
    while (one := house.pressed()) is not None:
        house.delete(one, "disk_pressure", None)
    return house.gone


def test_a_disk_below_its_floor_wants_its_oldest_until_it_is_reached() -> None:
    house = House({"/a": 97}, "/a/1.mp4", "/a/2.mp4", "/a/day/3.mp4")
    assert release_all(house) == ["/a/1.mp4", "/a/2.mp4"]


def test_another_disks_originals_are_left_alone() -> None:
    house = House({"/a": 97, "/b": 500}, "/b/1.mp4", "/a/2.mp4", "/b/3.mp4", "/a/4.mp4", "/a/5.mp4")
    assert release_all(house) == ["/a/2.mp4", "/a/4.mp4"]


def test_a_disk_with_room_wants_nothing() -> None:
    assert House({"/a": 500}, "/a/1.mp4").pressed() is None


def test_where_the_owner_allows_no_early_release_nothing_goes() -> None:
    house = House({"/a": 97}, "/a/1.mp4", release_early=False)
    assert house.pressed() is None
    assert house.next_release("/a") is None


def test_an_original_whose_directory_is_gone_is_no_room_anywhere() -> None:
    house = House({"/a": 97}, "/gone/1.mp4")
    assert house.pressed() is None
    assert house.next_release("/a") is None


def test_room_for_a_job_is_made_on_its_own_disk() -> None:
    house = House({"/a": 99, "/b": 99}, "/b/1.mp4", "/a/2.mp4", "/a/3.mp4", "/a/4.mp4")
    while (room := house.room("/a/day", 2 * GB)).release_bytes:
        house.delete(cast("Any", house.next_release("/a/day")), "disk_pressure", None)
    assert room.may_start
    assert house.gone == ["/a/2.mp4", "/a/3.mp4"]


def test_no_room_can_be_made_where_nothing_may_go() -> None:
    room = House({"/a": 4}).room("/a", 2 * GB)
    assert (room.may_start, room.reason) == (False, "critical")


def test_a_directory_that_is_gone_is_on_no_disk() -> None:
    assert disk_of("/nonexistent/for/sure") is None
    assert disk_of("/") is not None


def test_a_job_waits_for_originals_where_as_many_are_kept_as_may_be() -> None:
    house = House({"/a": 500.0}, *(f"/a/{n}.mp4" for n in range(25)), release_early=False)
    waits_for = house.waits_for(Segment("cam1", "/a", "a.mp4", 2 * GB, 0))
    assert waits_for is not None
    assert waits_for.startswith("waiting for originals to go: 50.0 GB of originals are held")
    assert house.waits_for(Segment("cam1", "/a", "a.mp4", 0, 0)) is None


def test_a_job_in_a_directory_that_has_just_gone_waits_for_nothing() -> None:
    def gone(_directory: str) -> Space:
        raise FileNotFoundError(2, "No such file or directory")

    house = House({"/a": 500.0})
    house._read_space = gone
    assert house.waits_for(Segment("cam1", "/a", "a.mp4", GB, 0)) is None


class _FailsOnce(TrustedDirectory):
    """Its fsync fails once, right after the original was unlinked."""

    failed = False

    def sync(self) -> None:
        if not type(self).failed and ORIG not in os.listdir(self.path):
            type(self).failed = True
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().sync()


def test_a_deletion_whose_end_fails_is_told_once_and_waits_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk gives an error between the original's end and its marker's."""
    ground, clock, emitted = Ground(tmp_path), ManualClock(), Emitted()
    ground.clear()
    with ground.open() as directory:
        do_swap(directory, clock)
    monkeypatch.setattr(tending, "LinuxDirectory", _FailsOnce)
    kept = SafetyPeriods(clock=clock, emit=emitted)
    tender = Tender(kept, remember=lambda *_: None, rules=KeepRules(), clock=clock, emit=emitted)
    tender.settle(str(tmp_path), [NAME])
    clock.advance(KEEP_S)
    (one,) = kept.due()
    with pytest.raises(Halt):
        tender.delete(one, "safety_period_over", lambda: None)
    assert len(emitted.named("original_deleted")) == 1
    assert kept.all() == []
    tender.settle(str(tmp_path), [NAME])
    assert set(ground.listing()) == {NAME}
    assert len(emitted.named("original_deleted")) == 1
    assert emitted.named("original_kept") == []


def test_an_orphan_that_was_brought_back_does_not_go_by_the_time_of_the_one_before(
    tmp_path: Path,
) -> None:
    """Its day was deleted and unpacked again: nothing was read there yet, and the other is due."""
    day, backup = tmp_path / "day", tmp_path / "backup"
    day.mkdir()
    ground, clock, emitted = Ground(day), ManualClock(), Emitted()
    ground.clear()
    with ground.open() as directory:
        do_swap(directory, clock)
    (day / NAME).unlink()
    shutil.copytree(day, backup)
    kept = SafetyPeriods(clock=clock, emit=emitted)
    tender = Tender(kept, remember=lambda *_: None, rules=KeepRules(), clock=clock, emit=emitted)
    tender.settle(str(day), [NAME])
    clock.advance(KEEP_S)
    (one,) = kept.due()
    shutil.rmtree(day)
    shutil.copytree(backup, day)
    deletion = tender.delete(one, "owner_deleted", lambda: None)
    assert (deletion.outcome, deletion.reason) == (Outcome.KEPT, "not_as_left")
    assert ground.contents(ORIG) == ORIGINAL
    assert kept.due() == []
    clock.advance(KEEP_S)
    (one,) = kept.due()
    assert tender.delete(one, "owner_deleted", lambda: None).outcome is Outcome.DELETED


def test_an_original_where_no_directory_can_be_opened_waits_and_holds_nobody_up() -> None:
    one = Waiting("/dev/null/day/1.mp4", GB, cast("Any", None), orphan=False, noted_boot_s=0.0)
    kept = Originals([one])
    tender = Tender(cast("Any", kept), remember=lambda *_: None, rules=KeepRules())
    deletion = tender.delete(one, "safety_period_over", lambda: None)
    assert (deletion.outcome, deletion.reason) == (Outcome.KEPT, "file_system")
    assert kept.postponed == [one.path]


@pytest.mark.parametrize("error", [NoAnswer(1.0, 1), OSError(5, "I/O error"), FileNotFoundError()])
def test_a_disk_that_does_not_say_how_full_it_is_keeps_no_original_of_another(
    error: OSError,
) -> None:
    """It was asked under a running job's eye too: that is not to end for another disk's fault."""
    house = House({"/a": 50, "/b": 50}, "/a/1.mp4", "/b/2.mp4")
    house.silent["/a"] = error
    pressed = house.pressed()
    assert pressed is not None
    assert pressed.path == "/b/2.mp4"
