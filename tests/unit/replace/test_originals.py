"""The safety period: what is due, what may go early, and which clock is believed."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from support.clock import ManualClock
from support.emitted import Emitted
from support.markers import marker

from watcher.replace.marker import Held, Marker
from watcher.replace.memory import Tick, VolatileMemory, Watched
from watcher.replace.originals import Originals, next_tick
from watcher.replace.recovery import Standing
from watcher.replace.swap import Recovered

DAY_S = 86_400.0
YEAR_S = 365 * DAY_S
PATH = "/cam/seg.mp4"


def _held(clock: ManualClock, keep_s: float = DAY_S) -> Held:
    return Held(clock.wall_s(), clock.boot_s(), clock.boot_id(), keep_s)


def _originals(clock: ManualClock, memory: VolatileMemory, emitted: Emitted) -> Originals:
    return Originals(memory, keep_original_s=DAY_S, clock=clock, emit=emitted)


def _seen_for(originals: Originals, clock: ManualClock, seconds: float) -> Marker:
    """Hold an original for so long, under our eyes."""
    held = marker(held=_held(clock))
    originals.add(PATH, held)
    clock.advance(seconds)
    originals.tick()
    return held


def _next_life(
    clock: ManualClock, memory: VolatileMemory, held: Marker, emitted: Emitted
) -> Originals:
    """What the next service knows of it."""
    after = _originals(clock, memory, emitted)
    after.add(PATH, held)
    return after


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def memory() -> VolatileMemory:
    """A ledger: it outlives the registries that are made over it."""
    return VolatileMemory()


@pytest.fixture
def emitted() -> Emitted:
    return Emitted()


@pytest.fixture
def originals(clock: ManualClock, memory: VolatileMemory, emitted: Emitted) -> Originals:
    """One whose clock is beyond doubt."""
    clock.is_synchronised = True
    fresh = _originals(clock, memory, emitted)
    clock.advance(3600)
    fresh.tick()
    assert not fresh.clock_in_doubt
    return fresh


def _paths(waiting: list[object]) -> list[str]:
    return [one.path for one in waiting]  # type: ignore[attr-defined]  # Waiting


def test_an_original_is_due_when_its_period_is_over(
    originals: Originals, clock: ManualClock
) -> None:
    """Not a second before, and said beforehand."""
    originals.add(PATH, marker(held=_held(clock)))
    assert originals.next_due_s() == pytest.approx(clock.wall_s() + DAY_S)
    clock.advance(DAY_S - 1)
    assert originals.due() == []
    clock.advance(1)
    assert _paths(list(originals.due())) == [PATH]
    originals.discard(PATH)
    assert (len(originals), originals.next_due_s()) == (0, None)


def test_no_period_is_shorter_than_an_hour(originals: Originals, clock: ManualClock) -> None:
    """Whatever is configured, and whatever the disk needs."""
    originals.add(PATH, marker(held=_held(clock, keep_s=0)))
    clock.advance(3599)
    assert originals.due() == originals.releasable() == []
    clock.advance(1)
    assert len(originals.due()) == len(originals.releasable()) == 1


def test_the_oldest_is_released_first(originals: Originals, clock: ManualClock) -> None:
    """And nothing that is younger than an hour."""
    for name in ("c", "a", "b"):
        originals.add(name, marker(held=_held(clock)))
        clock.advance(1800)
    assert _paths(list(originals.releasable())) == ["c", "a"]
    assert originals.held_bytes() == 3 * 2000


def test_the_clock_set_forward_by_a_year_deletes_nothing(
    originals: Originals, clock: ManualClock, emitted: Emitted
) -> None:
    """Within one boot only the boot clock counts."""
    originals.add(PATH, marker(held=_held(clock)))
    assert emitted.named("clock_stepped") == []
    clock.set_wall(clock.wall_s() + YEAR_S)
    clock.advance(30)
    originals.tick()
    assert originals.due() == originals.releasable() == []
    assert emitted.named("clock_stepped") == [{"step_s": YEAR_S}]
    clock.advance(DAY_S)
    assert len(originals.due()) == 1, "it has been held for a day, whatever the year"


def test_the_clock_set_back_by_a_year_delays_nothing(
    originals: Originals, clock: ManualClock
) -> None:
    """A day is a day."""
    originals.add(PATH, marker(held=_held(clock)))
    clock.set_wall(clock.wall_s() - YEAR_S)
    clock.advance(DAY_S)
    originals.tick()
    assert len(originals.due()) == 1


def test_a_year_forward_across_a_restart_of_the_machine(
    originals: Originals, clock: ManualClock, memory: VolatileMemory, emitted: Emitted
) -> None:
    """What no boot time explains is waited for: synchronised, or watched for the whole period."""
    held = _held(clock)
    originals.tick()
    clock.boot, clock.is_synchronised = "boot-2", False
    clock.advance(600)
    clock.set_wall(clock.wall_s() + YEAR_S)
    after = _originals(clock, memory, emitted)
    after.add(PATH, marker(held=held))
    assert after.clock_in_doubt
    for _ in range(23):
        clock.advance(3600)
        after.tick()
        assert after.due() == []
    clock.advance(3600)
    after.tick()
    assert len(after.due()) == 1
    assert not after.clock_in_doubt


def test_a_synchronised_clock_is_believed_after_an_hour(
    originals: Originals, clock: ManualClock, memory: VolatileMemory, emitted: Emitted
) -> None:
    """A machine that was off for a week may delete; a box without a battery clock gets its hour."""
    held = _held(clock)
    originals.add(PATH, marker(held=held))
    originals.tick()
    clock.boot = "boot-2"
    clock.advance(7 * DAY_S)
    after = _originals(clock, memory, emitted)
    after.add(PATH, marker(held=held))
    assert after.due() == []
    clock.advance(3600)
    after.tick()
    assert len(after.due()) == 1


def test_a_doubted_clock_ends_no_period_whose_first_hour_is_proven(
    originals: Originals, clock: ManualClock, memory: VolatileMemory, emitted: Emitted
) -> None:
    """Held for two hours, and then a week that nobody saw: an hour of looking on comes first."""
    held = _seen_for(originals, clock, 7200)
    _reboot(clock, off_s=7 * DAY_S)
    after = _next_life(clock, memory, held, emitted)
    assert after.clock_in_doubt
    assert after.due() == []
    clock.advance(3600)
    after.tick()
    assert len(after.due()) == 1


def test_where_no_boot_has_a_name_none_is_the_one_it_began_in(
    clock: ManualClock, memory: VolatileMemory, emitted: Emitted
) -> None:
    """How long the machine is up says nothing of a marker that may be of another boot."""
    clock.boot = ""
    clock.advance(30 * DAY_S)
    nameless = _originals(clock, memory, emitted)
    nameless.add(PATH, marker(held=Held(clock.wall_s(), 5.0, "", DAY_S)))
    assert nameless.evidence_s(PATH) == 0
    assert nameless.due() == nameless.releasable() == []
    clock.advance(DAY_S)
    assert len(nameless.due()) == 1


def test_the_next_one_is_said_to_be_due_when_it_will_be(
    originals: Originals, clock: ManualClock, memory: VolatileMemory, emitted: Emitted
) -> None:
    """Of several the first, of what is left of its period, by the clock that will end it."""
    held = marker(held=_held(clock))
    originals.add(PATH, held)
    due_s = clock.wall_s() + DAY_S
    clock.advance(DAY_S / 2)
    originals.add("/cam/later.mp4", marker(held=_held(clock)))
    assert originals.next_due_s() == pytest.approx(due_s)
    originals.tick()
    _reboot(clock, off_s=3600)
    after = _next_life(clock, memory, held, emitted)
    assert after.next_due_s() == pytest.approx(due_s)
    after.postpone(PATH, 2 * DAY_S)
    assert after.next_due_s() == pytest.approx(clock.wall_s() + 2 * DAY_S)


def test_an_ordinary_restart_of_the_machine_costs_nothing(
    originals: Originals, clock: ManualClock, memory: VolatileMemory, emitted: Emitted
) -> None:
    """The wall clock goes on where it was, and the first hour was seen before."""
    held = _held(clock)
    originals.add(PATH, marker(held=held))
    clock.advance(DAY_S - 600)
    originals.tick()
    clock.boot = "boot-2"
    clock.advance(600)
    after = _originals(clock, memory, emitted)
    after.add(PATH, marker(held=held))
    assert len(after.due()) == 1


def _reboot(clock: ManualClock, *, off_s: float, wall_step_s: float = 0.0) -> None:
    """Start the machine again; only the wall clock tells how long it was off."""
    clock.boot += "+"
    clock.set_wall(clock.wall_s() + off_s + wall_step_s)
    clock._elapsed_s = 20.0


@pytest.mark.parametrize(
    ("step_h", "synchronised"), [(2, False), (2, True), (23, False), (23, True)]
)
def test_the_first_hour_rests_on_evidence_across_boots(
    originals: Originals,
    clock: ManualClock,
    memory: VolatileMemory,
    step_h: int,
    synchronised: bool,
) -> None:
    """A clock that came up hours ahead, in less than the period: nothing doubts it."""
    held = _seen_for(originals, clock, 60)
    _reboot(clock, off_s=60, wall_step_s=step_h * 3600)
    clock.is_synchronised = synchronised
    after = _next_life(clock, memory, held, Emitted())
    assert not after.clock_in_doubt
    assert after.evidence_s(PATH) == 60
    clock.advance(3539)
    assert after.due() == after.releasable() == []
    assert after.next_due_s() is not None
    clock.advance(1)
    assert len(after.releasable()) == 1
    assert len(after.due()) == (synchronised and step_h == 23)


def test_evidence_is_summed_up_over_boots(
    originals: Originals, clock: ManualClock, memory: VolatileMemory, emitted: Emitted
) -> None:
    """Twenty minutes a boot: the third ends the hour, though no process has seen one whole."""
    held = marker(held=_held(clock))
    now = originals
    for boot in range(3):
        now.add(PATH, held)
        assert now.releasable() == [], boot
        for _ in range(40):
            clock.advance(30)
            now.tick()
        if boot < 2:
            _reboot(clock, off_s=5)
            now = _originals(clock, memory, emitted)
    assert len(now.releasable()) == 1


def _bears_23_hours(originals: Originals, clock: ManualClock) -> None:
    for _ in range(23):
        clock.advance(3600)
        originals.tick()
    assert not originals.clock_in_doubt
    assert originals.due() == []


def test_an_original_that_was_noted_under_an_unset_clock_counts_by_evidence_alone(
    clock: ManualClock, memory: VolatileMemory, emitted: Emitted
) -> None:
    """A dead battery: the marker is of a year ago, and then the clock is right and sure of it."""
    clock.set_wall(clock.wall_s() - YEAR_S)
    held = marker(held=_held(clock))
    before = _originals(clock, memory, emitted)
    before.add(PATH, held)
    clock.advance(600)
    before.tick()
    _reboot(clock, off_s=100, wall_step_s=YEAR_S)
    clock.is_synchronised = True
    after = _next_life(clock, memory, held, emitted)
    _bears_23_hours(after, clock)
    clock.advance(3000)
    assert len(after.due()) == 1


def test_a_marker_from_before_the_clock_was_set_right_counts_by_evidence_alone(
    originals: Originals, clock: ManualClock, memory: VolatileMemory, emitted: Emitted
) -> None:
    """Made by hand just after the boot, with the clock a year back; the service came later."""
    originals.tick()
    _reboot(clock, off_s=100, wall_step_s=-YEAR_S)
    held = marker(held=_held(clock))
    clock.advance(300)
    clock.set_wall(clock.wall_s() + YEAR_S)
    _next_life(clock, memory, held, emitted).tick()
    _reboot(clock, off_s=100)
    after = _next_life(clock, memory, held, emitted)
    _bears_23_hours(after, clock)


def test_a_wall_clock_that_is_not_set_now_ends_nothing(
    originals: Originals, clock: ManualClock, memory: VolatileMemory, emitted: Emitted
) -> None:
    """Until it is, which is minutes where there is a network."""
    held = _seen_for(originals, clock, 7200)
    _reboot(clock, off_s=60, wall_step_s=23 * 3600)
    clock.is_synchronised = False
    after = _next_life(clock, memory, held, emitted)
    assert after.due() == []
    clock.is_synchronised = True
    assert len(after.due()) == 1


def test_evidence_of_another_holding_counts_for_nothing(
    originals: Originals, clock: ManualClock, memory: VolatileMemory, emitted: Emitted
) -> None:
    """Another original at that path, or another directory."""
    held = marker(held=_held(clock))
    originals.add(PATH, held, "1.1")
    clock.advance(7200)
    originals.tick()
    _reboot(clock, off_s=60)
    after = _originals(clock, memory, emitted)
    after.add(PATH, held, "1.2")
    assert after.evidence_s(PATH) == 0
    after.add(PATH, marker(held=Held(1.0, 2.0, "boot-0", DAY_S)), "1.1")
    assert after.evidence_s(PATH) == 0


def test_an_orphan_in_another_directory_counts_anew(
    originals: Originals, clock: ManualClock
) -> None:
    """The path is the same; what stands there was never seen."""
    held = marker(held=_held(clock))
    seen = Recovered("seg.mp4", "", (), Standing.ORPHAN, marker=held, place="1.1")
    originals.note(PATH, seen)
    clock.advance(DAY_S - 60)
    originals.note(PATH, replace(seen, place="1.2"))
    clock.advance(61)
    assert originals.due() == []
    clock.advance(DAY_S)
    assert len(originals.due()) == 1


def test_without_a_memory_only_what_was_watched_counts(
    clock: ManualClock, emitted: Emitted
) -> None:
    """The ledger is lost and the clock may say anything."""
    held = Held(clock.wall_s() - YEAR_S, 5.0, "boot-0", DAY_S)
    fresh = _originals(clock, VolatileMemory(), emitted)
    fresh.add(PATH, marker(held=held))
    assert fresh.due() == []
    clock.advance(DAY_S)
    assert len(fresh.due()) == 1


def test_a_marker_that_nobody_saw_made_counts_from_when_it_was_seen(
    originals: Originals, clock: ManualClock
) -> None:
    """The clock is right and sure of it now; what it was when the marker was made, nobody knows."""
    originals.add(PATH, marker(held=Held(clock.wall_s() - YEAR_S, 5.0, "boot-0", DAY_S)))
    clock.advance(DAY_S - 1)
    assert originals.due() == []
    clock.advance(1)
    assert len(originals.due()) == 1


def test_a_wall_clock_that_runs_fast_ends_nothing_within_one_boot(
    originals: Originals, clock: ManualClock
) -> None:
    """Each step is small enough to be believed; they come to two days in an hour."""
    originals.add(PATH, marker(held=_held(clock)))
    for _ in range(3700):
        clock.advance(1)
        clock.set_wall(clock.wall_s() + 50)
        originals.tick()
    assert not originals.clock_in_doubt
    assert originals.due() == []


def test_a_restart_of_the_service_costs_nothing(
    originals: Originals, clock: ManualClock, memory: VolatileMemory, emitted: Emitted
) -> None:
    """Nobody watched for a day, but the machine was up: its boot clock tells."""
    held = marker(held=_held(clock))
    originals.add(PATH, held)
    originals.tick()
    clock.advance(DAY_S)
    after = _next_life(clock, memory, held, emitted)
    assert after.evidence_s(PATH) == DAY_S
    assert len(after.due()) == 1


class Counting(VolatileMemory):
    """A ledger that counts how often evidence is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = 0

    def remember_watched(self, watched: Mapping[str, Watched]) -> None:
        self.written += 1
        super().remember_watched(watched)


def test_evidence_is_written_at_each_tick_for_an_hour_and_then_every_ten_minutes(
    clock: ManualClock, emitted: Emitted
) -> None:
    """A crash costs ten minutes of it at most; an idle night costs few writes."""
    ledger, held = Counting(), marker(held=_held(clock))
    before = _originals(clock, ledger, emitted)
    before.add(PATH, held)

    def ticks_for(seconds: int) -> int:
        written = ledger.written
        for _ in range(seconds // 30):
            clock.advance(30)
            before.tick()
        return ledger.written - written

    assert ticks_for(3570) == 3570 // 30
    assert 5 <= ticks_for(3600) <= 7
    ticks_for(300)
    _reboot(clock, off_s=5)
    after = _originals(clock, ledger, emitted)
    after.add(PATH, held)
    assert 7470 - 600 <= after.evidence_s(PATH) <= 7470


def test_a_marker_from_the_future_counts_from_when_it_was_seen(
    originals: Originals, clock: ManualClock
) -> None:
    """It was made under a wrong clock, and is not held for seventy years for that."""
    originals.add(PATH, marker(held=Held(clock.wall_s() + YEAR_S, 5.0, "boot-0", DAY_S)))
    clock.advance(DAY_S - 1)
    assert originals.due() == []
    clock.advance(1)
    assert len(originals.due()) == 1


def test_an_orphan_waits_a_whole_further_period(
    originals: Originals, clock: ManualClock, memory: VolatileMemory, emitted: Emitted
) -> None:
    """From when it was first seen so, and that outlives a restart of the service."""
    held = _held(clock)
    clock.advance(2 * DAY_S)
    seen = Recovered("seg.mp4", "", (), Standing.ORPHAN, marker=marker(held=held))
    originals.note(PATH, seen)
    assert originals.due() == originals.releasable() == []
    clock.advance(DAY_S / 2)
    originals.tick()
    after = _originals(clock, memory, emitted)
    after.note(PATH, seen)
    clock.advance(DAY_S / 2)
    assert [one.orphan for one in after.due()] == [True]


def test_no_orphan_goes_early_for_a_disk_that_is_full(
    originals: Originals, clock: ManualClock
) -> None:
    """Its owner may be about to want it back: nothing else holds that recording any more."""
    seen = Recovered("seg.mp4", "", (), Standing.ORPHAN, marker=marker(held=_held(clock)))
    originals.note(PATH, seen)
    clock.advance(DAY_S - 1)
    assert originals.releasable() == []
    clock.advance(1)
    assert [one.path for one in originals.due()] == [PATH]


def test_what_went_leaves_nothing_remembered(
    originals: Originals, clock: ManualClock, memory: VolatileMemory
) -> None:
    """Neither under its own path, nor under one that its directory had before."""
    for path in ("/cam/a.mp4", "/day/b.mp4"):
        originals.add(path, marker(held=_held(clock)))
        assert memory.watched(path) is not None
    originals.discard("/cam/a.mp4")
    originals.moved("/day", "/elsewhere")
    assert memory.watched("/cam/a.mp4") is memory.watched("/day/b.mp4") is None
    assert originals.evidence_s("/cam/a.mp4") == 0.0


@pytest.mark.parametrize("back", [Standing.CLEAN, Standing.HELD])
def test_an_orphan_that_is_one_no_more_counts_anew(
    originals: Originals, clock: ManualClock, back: Standing
) -> None:
    """Its recording came back, and went again."""
    orphan = Recovered("seg.mp4", "", (), Standing.ORPHAN, marker=marker(held=_held(clock)))
    originals.note(PATH, orphan)
    clock.advance(DAY_S - 10)
    originals.note(PATH, Recovered("seg.mp4", "", (), back, marker=orphan.marker))
    originals.note(PATH, orphan)
    clock.advance(DAY_S - 10)
    assert originals.due() == []
    clock.advance(10)
    assert [one.path for one in originals.due()] == [PATH]


@pytest.mark.parametrize("standing", [Standing.UNKNOWN, Standing.WORKING])
def test_what_could_not_be_looked_at_stays(
    originals: Originals, clock: ManualClock, standing: Standing
) -> None:
    """Unknown is not gone, and neither is what somebody is at work on."""
    originals.add(PATH, marker(held=_held(clock)))
    originals.note(PATH, Recovered("seg.mp4", "", (), standing))
    assert len(originals.all()) == 1


def test_what_could_not_be_proven_is_not_asked_for_at_once(
    originals: Originals, clock: ManualClock
) -> None:
    """A day later it is tried again."""
    held = marker(held=_held(clock))
    originals.add(PATH, held)
    clock.advance(DAY_S)
    originals.postpone(PATH)
    originals.add(PATH, held)  # its directory was listed again meanwhile
    assert originals.due() == []
    clock.advance(DAY_S)
    assert len(originals.due()) == 1


def test_slewing_is_no_step() -> None:
    """A clock that ntpd hurries along is believed."""
    last = Tick(1000.0, 10.0, "b")
    now = Tick(1060.0, 40.0, "b")
    assert not next_tick(last, now, keep_s=DAY_S, synchronised=False).in_doubt
    assert next_tick(last, Tick(1101.0, 40.0, "b"), keep_s=DAY_S, synchronised=True).in_doubt


def test_a_doubt_is_sat_out_in_running_time_and_not_across_a_restart() -> None:
    """Two boot clocks have nothing in common; neither have two boots that nobody can name."""
    for before, after in (("a", "b"), ("", "")):
        doubted = Tick(1000.0, 10.0, before, in_doubt=True, run_s=60.0)
        now = next_tick(doubted, Tick(1100.0, 9e6, after), keep_s=DAY_S, synchronised=True)
        assert (now.in_doubt, now.run_s) == (True, 60.0)
    doubted = Tick(1000.0, 10.0, "a", in_doubt=True, run_s=60.0)
    now = next_tick(doubted, Tick(1030.0, 40.0, "a"), keep_s=DAY_S, synchronised=True)
    assert (now.in_doubt, now.run_s) == (True, 90.0)


def test_originals_go_with_their_directory_and_no_others(
    originals: Originals, clock: ManualClock
) -> None:
    held = _held(clock)
    for path in ("/cam/day/a.mp4", "/cam/day/deeper/b.mp4", "/cam/day2/c.mp4"):
        originals.add(path, marker(held=held))
    originals.moved("/cam/day", "/cam/archived")
    paths = {"/cam/archived/a.mp4", "/cam/day/deeper/b.mp4", "/cam/day2/c.mp4"}
    assert {one.path for one in originals.all()} == paths
    clock.advance(DAY_S)
    assert {one.path for one in originals.due()} == paths


@pytest.mark.parametrize("orphan", [False, True], ids=["held", "orphan"])
def test_a_renamed_directorys_periods_go_on_even_if_the_process_dies_at_once(
    originals: Originals,
    clock: ManualClock,
    memory: VolatileMemory,
    emitted: Emitted,
    orphan: bool,
) -> None:
    """The evidence of two boots goes with the directory, to the second: nothing anew or early."""
    held = _held(clock)
    add = Originals.add_orphan if orphan else Originals.add
    add(originals, "/cam/day/a.mp4", marker(held=held), "7.1")
    clock.advance(DAY_S / 2)
    originals.moved("/cam/day", "/cam/archived")
    _reboot(clock, off_s=60)
    clock.is_synchronised = False
    again = _originals(clock, memory, emitted)
    add(again, "/cam/archived/a.mp4", marker(held=held), "7.1")
    assert again.evidence_s("/cam/archived/a.mp4") == DAY_S / 2
    clock.advance(DAY_S / 2 - 1)
    assert again.due() == []
    clock.advance(1)
    assert [one.path for one in again.due()] == ["/cam/archived/a.mp4"]
    assert memory.watched("/cam/day/a.mp4") is None


def test_another_directory_at_the_new_path_takes_nothing_over(
    originals: Originals, clock: ManualClock
) -> None:
    """What is known goes by the directory's inode and birth, whatever path it comes to have."""
    held = _held(clock)
    originals.add("/cam/day/a.mp4", marker(held=held), "7.1")
    clock.advance(DAY_S / 2)
    originals.moved("/cam/day", "/cam/archived")
    later = Held(held.wall_s, 0.0, "an earlier boot", DAY_S)
    originals.add("/cam/archived/a.mp4", marker(held=later), "8.1")
    assert originals.evidence_s("/cam/archived/a.mp4") == 0.0


def test_who_does_not_know_the_directory_does_not_unsay_what_is_known_of_it(
    originals: Originals, clock: ManualClock, memory: VolatileMemory
) -> None:
    """The job that has just ended adds its original, perhaps after the event of its marker did."""
    held = marker(held=_held(clock))
    seen = Recovered("seg.mp4", "", (), Standing.HELD, marker=held, place="1.1")
    originals.note(PATH, seen)
    originals.add(PATH, held)
    assert [one.before.place for one in originals.all()] == ["1.1"]
    remembered = memory.watched(PATH)
    assert remembered is not None
    assert remembered.place == "1.1"
    originals.note(PATH, replace(seen, place="1.2"))
    assert [one.before.place for one in originals.all()] == ["1.2"]
