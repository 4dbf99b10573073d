"""One rule for the disk: above the floor, below it, and at the point where nothing runs."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.gate.disk import DiskRules, Room, pressure, room_for
from watcher.gate.readings import GB, Space

TERABYTE = 1000 * GB
RULES = DiskRules()


def space(free_gb: float, total: int = TERABYTE) -> Space:
    return Space(round(free_gb * GB), total)


class TestTheFloor:
    @pytest.mark.parametrize(
        ("total", "floor"), [(TERABYTE, 100 * GB), (4 * TERABYTE, 100 * GB), (200 * GB, 20 * GB)]
    )
    def test_is_a_hundred_gigabytes_or_a_tenth_of_a_small_disk(
        self, total: int, floor: int
    ) -> None:
        assert RULES.floor(total) == floor

    def test_a_figure_is_obeyed_but_never_below_critical(self) -> None:
        assert DiskRules.of_gb(300, 5, None).floor(TERABYTE) == 300 * GB
        assert DiskRules.of_gb(0, 5, None).floor(TERABYTE) == 5 * GB
        assert RULES.floor(10 * GB) == 5 * GB

    def test_half_of_what_is_free_above_it_may_be_held(self) -> None:
        assert RULES.max_held(space(300)) == 100 * GB
        assert RULES.max_held(space(250)) == 75 * GB
        assert RULES.max_held(space(50)) == 0
        assert DiskRules.of_gb(None, 5, 20).max_held(space(300)) == 20 * GB

    @given(free=st.integers(0, TERABYTE), held=st.integers(0, 400 * GB))
    def test_no_more_is_to_go_than_makes_it_so(self, free: int, held: int) -> None:
        """What goes is free afterwards, and then more may be held."""
        excess = RULES.too_much(Space(free, TERABYTE), held)
        if 0 < excess <= held:
            left, after = held - excess, Space(free + excess, TERABYTE)
            assert left <= RULES.max_held(after) + 1 or after.free_bytes < RULES.floor(TERABYTE)
            assert left + 2 > RULES.max_held(after)


class TestAJob:
    @pytest.mark.parametrize(
        ("free_gb", "held_gb", "releasable_gb", "expected"),
        [
            # room above the floor
            (300, 0, 0, Room(True)),
            (102, 0, 0, Room(True)),
            # the output does not fit above it: originals first
            (101, 2, 2, Room(False, 2 * GB, reason="releasing", detail="2.0 GB of originals")),
            (101, 0, 0, Room(True, one_by_one=True)),
            # below it: what is needed for the floor, or what is held beyond half of the room
            (90, 12, 12, Room(False, 12 * GB, reason="releasing", detail="12.0 GB of originals")),
            (90, 50, 50, Room(False, 38 * GB, reason="releasing", detail="38.0 GB of originals")),
            # nothing held: one by one
            (50, 0, 0, Room(True, one_by_one=True)),
            (8, 0, 0, Room(True, one_by_one=True)),
            # ... and the next one waits for that original's hour
            (
                50,
                4,
                0,
                Room(
                    False,
                    reason="held",
                    detail="4.0 GB of originals are held, max_held_gb allows 0.0 GB",
                ),
            ),
            # the output itself would reach what is critical
            (
                6.5,
                0,
                0,
                Room(
                    False,
                    reason="output_too_large",
                    detail="2.0 GB of output would leave 4.5 GB free",
                ),
            ),
            # exactly as much as is critical may be left, and exactly critical is not below it
            (7, 0, 0, Room(True, one_by_one=True)),
            (5, 2, 2, Room(False, 2 * GB, reason="releasing", detail="2.0 GB of originals")),
            # exactly the floor is not below it; what is missing to it is the output's part too
            (102, 1, 1, Room(False, 1 * GB, reason="releasing", detail="1.0 GB of originals")),
            (
                101.5,
                80,
                80,
                Room(False, 54_166_666_667, reason="releasing", detail="54.2 GB of originals"),
            ),
            # below that nothing runs, but what can go goes
            (
                4.9,
                4,
                4,
                Room(False, 4 * GB, reason="critical", detail="4.9 GB free, critical is 5.0 GB"),
            ),
            # plenty of room, but more held than may be
            (
                200,
                100,
                100,
                Room(False, 34_666_666_667, reason="releasing", detail="34.7 GB of originals"),
            ),
        ],
    )
    def test_table(self, free_gb: float, held_gb: int, releasable_gb: int, expected: Room) -> None:
        assert (
            room_for(
                2 * GB,
                space(free_gb),
                RULES,
                held_bytes=held_gb * GB,
                releasable_bytes=releasable_gb * GB,
            )
            == expected
        )

    @given(
        free=st.integers(0, TERABYTE),
        output=st.integers(0, 50 * GB),
        held=st.integers(0, 200 * GB),
        share=st.floats(0, 1),
    )
    def test_never_starts_into_what_is_critical_and_never_asks_for_more_than_there_is(
        self, free: int, output: int, held: int, share: float
    ) -> None:
        releasable = int(held * share)
        room = room_for(
            output,
            Space(free, TERABYTE),
            RULES,
            held_bytes=held,
            releasable_bytes=releasable,
        )
        assert 0 <= room.release_bytes <= releasable
        if room.may_start:
            assert free - output >= RULES.critical_bytes
            assert room.release_bytes == 0
            assert room.one_by_one is (free - output < 100 * GB)
            assert held == 0 or held + output <= RULES.max_held(Space(free, TERABYTE))
        else:
            assert room.reason

    @given(
        free=st.integers(7 * GB, TERABYTE), held=st.integers(0, 200 * GB), output=st.just(2 * GB)
    )
    def test_a_nearly_full_disk_never_locks_us_out_of_the_work_that_would_free_it(
        self, free: int, held: int, output: int
    ) -> None:
        """Whatever is held: releasing what may be released, again and again, ends in a start."""
        for _ in range(5):
            room = room_for(
                output,
                Space(free, TERABYTE),
                RULES,
                held_bytes=held,
                releasable_bytes=held,
            )
            if room.may_start:
                break
            free, held = free + room.release_bytes, held - room.release_bytes
        assert room.may_start, room


class TestWhereTheOwnerSaysHowMuchMayBeHeld:
    """max_held_gb, which counts whatever is free."""

    RULES = DiskRules.of_gb(None, 5, 20)

    @pytest.mark.parametrize(
        ("free_gb", "held_gb", "releasable_gb", "expected"),
        [
            (500, 18, 18, Room(True)),
            # the output counts as held: its original will be
            (500, 19, 19, Room(False, 1 * GB, reason="releasing", detail="1.0 GB of originals")),
            (
                500,
                19,
                0,
                Room(
                    False,
                    reason="held",
                    detail="19.0 GB of originals are held, max_held_gb allows 20.0 GB",
                ),
            ),
            # less is held than may be, and yet the output would go below the floor
            (101, 10, 10, Room(False, 1 * GB, reason="releasing", detail="1.0 GB of originals")),
        ],
    )
    def test_no_job_brings_it_above_that(
        self, free_gb: int, held_gb: int, releasable_gb: int, expected: Room
    ) -> None:
        held, releasable = held_gb * GB, releasable_gb * GB
        room = room_for(
            2 * GB, space(free_gb), self.RULES, held_bytes=held, releasable_bytes=releasable
        )
        assert room == expected

    def test_what_is_beyond_it_goes_with_no_job_in_sight(self) -> None:
        for held_gb, due_gb in ((20, 0), (23, 3)):
            held = held_gb * GB
            due = pressure(space(500), self.RULES, held_bytes=held, releasable_bytes=held)
            assert due == due_gb * GB


class TestWithoutAJob:
    def test_originals_go_until_the_floor_is_reached(self) -> None:
        assert pressure(space(97), RULES, held_bytes=2 * GB, releasable_bytes=2 * GB) == 2 * GB
        assert pressure(space(97), RULES, held_bytes=9 * GB, releasable_bytes=9 * GB) == 7 * GB
        assert pressure(space(300), RULES, held_bytes=9 * GB, releasable_bytes=9 * GB) == 0
        assert pressure(space(97), RULES, held_bytes=9 * GB, releasable_bytes=0) == 0


@dataclass
class Disk:
    """A disk with a recorder at its own floor: it deletes its oldest when space runs low."""

    total: int = 500 * GB
    recorders_floor: int = 25 * GB
    recordings: list[int] = field(default_factory=list)
    originals: list[tuple[float, int]] = field(default_factory=list)
    deleted: int = 0

    @property
    def free(self) -> int:
        return self.total - sum(self.recordings) - sum(size for _, size in self.originals)

    def record(self, size: int) -> None:
        self.recordings.append(size)
        while self.free < self.recorders_floor:
            self.deleted += 1
            self.recordings.pop(0)


class TestARecorderAtItsOwnFloor:
    def test_what_we_hold_is_bounded_and_costs_one_recording_at_most(self) -> None:
        """An NVR that keeps 25 GB free deletes a recording for each gigabyte that we hold.

        Our floor is above its own, so the disk is below our floor for ever: one by one.
        """
        alone, beside = Disk(), Disk()
        most_held = 0
        for minute in range(24 * 60):
            for disk in (alone, beside):
                if minute % 30 == 0 or minute == 0:
                    disk.record(2 * GB)
                while minute == 0 and disk.free - 2 * GB >= disk.recorders_floor:
                    disk.record(2 * GB)
            at_s = minute * 60.0
            self.work(beside, at_s)
            most_held = max(most_held, sum(size for _, size in beside.originals))
        assert most_held <= 2 * GB
        # what was saved has long paid for the one original that is held
        assert beside.deleted <= alone.deleted
        assert len(beside.recordings) > len(alone.recordings)

    def test_one_whose_floor_is_above_ours_does_not_have_us_hold_ever_more(self) -> None:
        """It keeps 200 GB free whatever we hold: half of what that is above our 100 is the most."""
        disk = Disk(total=1000 * GB, recorders_floor=200 * GB)
        while disk.free - 2 * GB >= disk.recorders_floor:
            disk.record(2 * GB)
        seen = []
        for minute in range(24 * 60):
            if minute % 30 == 0:
                disk.record(2 * GB)
            self.work(disk, minute * 60.0, DiskRules.of_gb(100, 5, None))
            disk.record(0)
            held = sum(size for _, size in disk.originals)
            assert held <= (disk.free - 100 * GB) // 2 + 4 * GB
            seen.append((disk.free, held))
        # while nothing was won yet the recorder kept just its floor free
        assert 40 * GB < max(held for free, held in seen if free < 204 * GB) <= 54 * GB

    @staticmethod
    def work(disk: Disk, at_s: float, rules: DiskRules = DiskRules.of_gb(50, 5, None)) -> None:  # noqa: B008 - frozen
        """One minute of ours: release what must go, then do one file if there is room."""
        held = sum(size for _, size in disk.originals)
        releasable = sum(size for done_s, size in disk.originals if at_s - done_s >= 3600)
        # what the recorder deletes within a day is passed over: its saving would not count
        old = enumerate(disk.recordings)
        place = next((i for i, size in old if i >= 60 and size == 2 * GB), None)
        if place is None:
            return
        room = room_for(
            2 * GB,
            Space(disk.free, disk.total),
            rules,
            held_bytes=held,
            releasable_bytes=releasable,
        )
        wanted = room.release_bytes
        while wanted > 0:
            _, size = disk.originals.pop(0)
            wanted -= size
        if room.may_start:
            disk.recordings[place] = 1 * GB
            disk.originals.append((at_s, 2 * GB))
