"""The night's loop: what is next, what may begin, what ends it. Everybody else is a fake."""

import contextlib
import itertools
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from support.clock import ManualClock
from support.emitted import Emitted

from watcher.crew import Crew
from watcher.errors import Halt, Retryable
from watcher.faults import BROKEN_AFTER, HALT_RETRY_S
from watcher.foreman import LOOK_EVERY_S, Foreman, Kept
from watcher.gate.asking import NoAnswer
from watcher.gate.disk import Room
from watcher.gate.readings import Decision, Go, Hold, Reason, Space
from watcher.gate.window import Window
from watcher.job import OnStep, Outcome, Result, Stage, Step
from watcher.ledger.ledger import Fingerprint, Need
from watcher.ledger.stats import Speed
from watcher.ledger.verdicts import Kind, Subject, Verdict, after_refusal
from watcher.night import Night
from watcher.segments.index import SegmentIndex
from watcher.segments.segment import S_PER_DAY, Segment, State
from watcher.settings import Transcoding
from watcher.shift import Shift
from watcher.tending import KeepRules
from watcher.transcode.leash import Leash

MIDNIGHT = 1_700_006_400.0  # a Wednesday, 00:00 UTC
NIGHT = MIDNIGHT + 2 * 3600


class FakeForeman:
    """Looks once, and does the job; one whose last job the kernel keeps does nothing more."""

    is_stuck = False

    def oversee(
        self,
        job: Callable[[], Any],
        leash: Leash,
        look: Callable[[], Decision],
        *,
        must_end: Callable[[], str | None] = lambda: None,
        about: dict[str, object] | None = None,
    ) -> Any:
        if self.is_stuck:
            raise Halt("job_stuck", "a job that was told to end does not")
        self.begins(about or {})
        look()
        reason = must_end()
        if reason is not None:
            leash.abort(reason)
        return job()

    def begins(self, about: Mapping[str, object]) -> None:
        """Hear what the job is about, before it is looked at."""


class KeptForeman(FakeForeman):
    """Another, whom the kernel keeps once he works beneath what *keeps* names."""

    def __init__(self, keeps: str | None) -> None:
        self.keeps = keeps

    def begins(self, about: Mapping[str, object]) -> None:
        if self.keeps and str(about.get("path", "")).startswith(self.keeps):
            self.is_stuck = True
            kept = Kept("job_stuck", "the kernel keeps it")
            kept.lasts = lambda: self.is_stuck
            raise kept


class FakeLookout:
    def __init__(self) -> None:
        self.decision: Decision = Go()
        self.night: Night | None = None
        self.duty = 1.0
        self.looks = 0
        self.waited: list[str] = []
        self.directories: list[str | None] = []
        self.looked: Callable[[], object] = lambda: None

    @property
    def hold(self) -> Hold | None:
        return self.decision if isinstance(self.decision, Hold) else None

    def look(self, *, child: bool, directory: str | None, switch: bool = True) -> Decision:
        del child, switch
        self.looks += 1
        self.directories.append(directory)
        self.looked()
        return self.decision

    def urge(self) -> Decision:
        return Go()

    def halted(self) -> None: ...

    def idle(self) -> None: ...

    def wait(self, hold: Hold) -> None:
        self.waited.append(hold.detail)

    def rest(self) -> None: ...


@dataclass
class FakeOriginals:
    waiting: list[Any] = field(default_factory=list)
    early: list[Any] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    postponed: list[str] = field(default_factory=list)

    def due(self) -> list[Any]:
        return list(self.waiting)

    def releasable(self) -> list[Any]:
        return list(self.early)

    def postpone(self, path: str, _by_s: float) -> None:
        self.postponed.append(path)
        for those in (self.waiting, self.early):
            those[:] = [one for one in those if one.path != path]

    def add(self, path: str, _marker: object) -> None:
        self.added.append(path)


@dataclass
class FakeTender:
    originals: FakeOriginals = field(default_factory=FakeOriginals)
    judgement: Room = field(default_factory=lambda: Room(may_start=True))
    releases: list[Any] = field(default_factory=list)
    pressing: list[Any] = field(default_factory=list)
    gone: dict[int, Retryable] = field(default_factory=dict)
    free_bytes: dict[str, int] = field(default_factory=dict)
    rules: KeepRules = field(default_factory=KeepRules)
    broken: dict[str, Halt] = field(default_factory=dict)
    judge: Callable[[str, int], Room] | None = None
    deleted: list[tuple[str, str]] = field(default_factory=list)
    silent: set[str] = field(default_factory=set)

    def answers(self, directory: str) -> bool:
        return directory not in self.silent

    def room(self, directory: str, output_bytes: int) -> Room:
        if output_bytes in self.gone:
            raise self.gone[output_bytes]
        return self.judge(directory, output_bytes) if self.judge else self.judgement

    def space(self, directory: str) -> Space:
        return Space(self.free_bytes.get(directory, 10**12), 10**12)

    def is_critical(self, directory: str) -> bool:
        return self.space(directory).free_bytes < self.rules.disk.critical_bytes

    def waits_for(self, segment: Segment) -> str | None:
        room = self.judge(segment.directory, segment.size_bytes) if self.judge else self.judgement
        return room.detail if room.reason == "held" else None

    def next_release(self, _directory: str) -> Any:
        return self.releases[0] if self.releases else None

    def pressed(self) -> Any:
        return self.pressing[0] if self.pressing else None

    def delete(self, waiting: Any, reason: str, check: Callable[[], None], _: object) -> None:
        check()
        if waiting.path in self.broken:
            raise self.broken[waiting.path]
        self.deleted.append((waiting.path, reason))
        originals = self.originals
        for one in (originals.waiting, originals.early, self.releases, self.pressing):
            if waiting in one:
                one.remove(waiting)
        self.judgement = Room(may_start=True)


@dataclass
class FakeLedger:
    bytes_per_s: float | None = None
    nights: list[object] = field(default_factory=list)
    needs: dict[str, Need] = field(default_factory=dict)
    refused: list[tuple[str, str]] = field(default_factory=list)

    def speed(self, _camera: str, _encoder: str) -> Speed | None:
        return Speed(1, 1.0, self.bytes_per_s) if self.bytes_per_s else None

    def last_encoder(self) -> str | None:
        return "libx265" if self.bytes_per_s else None

    def need(self, path: str, _size: int, _mtime_ns: int, _decides: object) -> Need | None:
        return self.needs.get(path)

    def remember_need(self, subject: Subject, need: Need, _decides: object) -> None:
        self.needs[subject.path] = need

    def forget_need(self, path: str) -> None:
        self.needs.pop(path, None)

    def remember_refusal(
        self, subject: Subject, reason: str, _detail: str, _decides: object
    ) -> Verdict:
        self.refused.append((subject.path, reason))
        return after_refusal(reason, "{}", NIGHT)

    def record_night(self, night: object) -> None:
        self.nights.append(night)

    def checkpoint(self) -> None: ...


@dataclass
class FakeRecorders:
    days: float | None = None

    def retention_days(self, _camera: str) -> float | None:
        return self.days


@dataclass
class FakeWorkshop:
    encoder: str = "libx265"
    fingerprint: Fingerprint = field(default_factory=lambda: Fingerprint({}))
    closed: bool = False

    def close(self) -> None:
        self.closed = True


@dataclass
class Original:
    path: str
    orphan: bool = False


class House:
    """A shift and everybody around it."""

    def __init__(
        self,
        run_schedule: str = "02:00-06:00",
        foreman: Callable[[ManualClock], Any] = lambda _: FakeForeman(),
        errands: Callable[[ManualClock], Any] = lambda _: FakeForeman(),
        *,
        tender: "FakeTender | None" = None,
        bytes_per_s: float | None = None,
        **settings: Any,
    ) -> None:
        self.clock = ManualClock(NIGHT)
        self.emitted = Emitted()
        self.index = SegmentIndex(7 * S_PER_DAY)
        self.lookout, self.tender = FakeLookout(), tender or FakeTender()
        self.ledger, self.recorders = FakeLedger(bytes_per_s), FakeRecorders()
        self.workshop = FakeWorkshop()
        self.foreman, self.errands = foreman(self.clock), errands(self.clock)
        self.enabled = True
        self.lock_is_free = True
        self.travelled: list[str] = []
        self.road: Callable[[Segment, object, Leash, OnStep], Outcome] = self.no_work
        self.ends: Callable[[Segment], Outcome] = lambda segment: Outcome(
            segment, Result.REFUSED, "already_hevc", verdict=Verdict(Kind.REFUSED, "x", "{}")
        )
        self.nights: list[Night] = []
        self.untold: list[Retryable] = []
        self.no_encoder: Halt | Retryable | None = None
        self.confirm: Callable[[Segment], bool] = lambda _: True
        self.crew = Crew(
            index=self.index,
            tender=cast("Any", self.tender),
            lookout=cast("Any", self.lookout),
            recorders=cast("Any", self.recorders),
            ledger=cast("Any", self.ledger),
            foreman=self.foreman,
            errands=self.errands,
            open_workshop=self.open_workshop,
            job_lock=self.job_lock,
            enabled=lambda: self.enabled,
            on_night=self.on_night,
            confirm=self.look,
            travel=self.travel,
        )
        self.settings = Transcoding(run_schedule=run_schedule, **settings)
        self.window = Window.parse(run_schedule, "UTC")
        self.shift = self.next_shift()

    def next_shift(self, before: Shift | None = None) -> Shift:
        return Shift(
            self.settings,
            self.window,
            self.crew,
            before=before,
            clock=self.clock,
            emit=self.emitted,
        )

    def on_night(self, night: Night) -> None:
        if self.untold:
            raise self.untold.pop()
        self.nights.append(night)

    def open_workshop(self, leash: Leash) -> Any:
        leash.check()
        if self.no_encoder is not None:
            raise self.no_encoder
        return self.workshop

    def look(self, segment: Segment) -> bool:
        return self.confirm(segment)

    @contextlib.contextmanager
    def job_lock(self, _path: str) -> Iterator[bool]:
        yield self.lock_is_free

    def travel(self, segment: Segment, workshop: object, leash: Leash, on_step: OnStep) -> Outcome:
        return self.road(segment, workshop, leash, on_step)

    def no_work(
        self, segment: Segment, _workshop: object, leash: Leash, _on_step: OnStep
    ) -> Outcome:
        if leash.aborted_reason:
            return Outcome(segment, Result.ABORTED, leash.aborted_reason)
        self.travelled.append(segment.name)
        return self.ends(segment)

    def add(
        self, name: str, age_days: float = 9.0, size_bytes: int = 1000, where: str = "/c"
    ) -> None:
        mtime_ns = int((NIGHT - age_days * S_PER_DAY) * 1e9)
        self.index.put(Segment("cam1", where, name, size_bytes, mtime_ns))

    def turns(self, most: int = 20) -> list[float | None]:
        """Turn until the shift would wait; give what it said."""
        waits: list[float | None] = []
        for _ in range(most):
            waits.append(self.shift._turn_safely())
            if waits[-1] != 0:
                break
        return waits


@pytest.fixture
def house() -> House:
    return House()


def test_the_oldest_goes_first_and_each_goes_once(house: House) -> None:
    house.add("younger.mp4", 8)
    house.add("oldest.mp4", 12)
    house.add("too-young.mp4", 6)
    assert house.turns()[-1] is None
    assert house.travelled == ["oldest.mp4", "younger.mp4"]


def test_what_is_chosen_is_as_old_as_it_is_and_not_as_was_known(house: House) -> None:
    """Whoever looks corrects the index; then the choice is made again."""
    house.add("stale.mp4", 9)
    house.add("second.mp4", 8)

    def look(segment: Segment) -> bool:
        if segment.name == "stale.mp4":
            house.index.put(replace(segment, mtime_ns=int(house.clock.wall_s() * 1e9)))
        return segment.name != "stale.mp4"

    house.confirm = look
    house.turns()
    assert house.travelled == ["second.mp4"]


def test_a_disk_that_does_not_say_what_a_recording_is_like_stops_no_other(house: House) -> None:
    house.add("hangs.mp4", 12, where="/share")
    house.add("a.mp4", 9, where="/disk")

    def look(segment: Segment) -> bool:
        if segment.directory == "/share":
            raise NoAnswer(1.0, 1)
        return True

    house.confirm = look
    house.turns()
    assert house.travelled == ["a.mp4"]
    assert "/share: no answer" in house.lookout.waited[-1]
    house.confirm = lambda _: True
    house.clock.advance(30)
    house.turns()
    assert house.travelled == ["a.mp4", "hangs.mp4"]


def test_outside_the_window_it_sleeps_without_a_look(house: House) -> None:
    house.add("a.mp4")
    house.clock.set_wall(MIDNIGHT + 12 * 3600)
    assert house.turns() == [None]
    assert (house.travelled, house.lookout.looks) == ([], 0)


def test_switched_off_it_sleeps(house: House) -> None:
    house.add("a.mp4")
    house.enabled = False
    assert house.turns() == [None]
    assert (house.travelled, house.lookout.looks) == ([], 0)


def test_with_nothing_to_do_it_does_not_look_at_the_load(house: House) -> None:
    assert house.turns() == [None]
    assert house.lookout.looks == 0


def test_a_hold_begins_nothing_and_is_looked_at_twice_a_second(house: House) -> None:
    house.add("a.mp4")
    house.lookout.decision = Hold(Reason.CPU, "others use 80 %")
    assert house.turns() == [0.5]
    assert house.travelled == []


def test_what_is_not_expected_to_end_in_time_is_not_begun_and_the_oldest_that_fits_is(
    house: House,
) -> None:
    house.add("huge.mp4", 12, size_bytes=1_000_000)
    house.add("fits.mp4", 8, size_bytes=1000)
    house.ledger.bytes_per_s = 1.0
    house.shift._reach.encoder = "libx265"
    house.turns()
    assert house.travelled == ["fits.mp4"]
    assert house.index.get("/c/huge.mp4").state is State.CANDIDATE  # type: ignore[union-attr]


def test_after_a_restart_what_an_earlier_life_measured_counts() -> None:
    house = House(bytes_per_s=1e4)
    house.add("huge.mp4", 12, size_bytes=10**9)
    house.add("fits.mp4", 8, size_bytes=1000)
    house.clock.set_wall(MIDNIGHT + 6 * 3600 - 60)
    house.turns()
    assert house.travelled == ["fits.mp4"]


def test_an_encoder_other_than_last_time_is_measured_by_itself() -> None:
    house = House(bytes_per_s=1e9)
    house.add("huge.mp4", 12, size_bytes=10**9)
    slow = Speed(1, 1.0, 1e3)
    fast = Speed(1, 1.0, 1e9)
    house.workshop.encoder = "libsvtav1"
    house.ledger.speed = lambda _, encoder: slow if encoder == "libsvtav1" else fast  # type: ignore[method-assign,assignment]
    house.turns()
    assert house.travelled == []


def test_before_anything_was_measured_the_first_file_is_begun_whatever_its_size(
    house: House,
) -> None:
    house.add("huge.mp4", size_bytes=10**12)
    house.turns()
    assert house.travelled == ["huge.mp4"]


def test_what_retention_deletes_before_its_saving_counts_is_passed_over_with_that_reason(
    house: House,
) -> None:
    house.add("a.mp4", age_days=9)
    house.recorders.days = 9.5
    house.turns()
    assert house.travelled == []
    entry = house.index.get("/c/a.mp4")
    assert entry is not None
    assert (entry.state, entry.reason) == (State.SETTLED, "retention_first")


def test_originals_whose_time_is_over_go_before_new_work(house: House) -> None:
    house.add("a.mp4")
    house.tender.originals.waiting = [Original("/c/old.mp4"), Original("/c/lost.mp4", orphan=True)]
    house.turns()
    assert house.tender.deleted == [
        ("/c/old.mp4", "safety_period_over"),
        ("/c/lost.mp4", "owner_deleted"),
    ]
    assert house.travelled == ["a.mp4"]


def test_an_original_whose_disk_hangs_is_not_begun_with_and_keeps_nothing_else_waiting(
    house: House,
) -> None:
    """The kernel would keep the deletion, and with it the one thread that works."""
    house.add("a.mp4")
    house.tender.originals.waiting = [Original("/share/old.mp4"), Original("/c/old.mp4")]
    house.tender.silent = {"/share"}
    house.turns()
    assert house.tender.deleted == [("/c/old.mp4", "safety_period_over")]
    assert house.travelled == ["a.mp4"]
    assert house.shift.halt is None


def test_originals_go_though_the_kernel_keeps_a_job(house: House) -> None:
    """A share that hangs with a job on it must not let another camera's disk become full."""
    house.add("first.mp4")
    house.turns()
    house.add("a.mp4")
    house.foreman.is_stuck = True
    house.tender.originals.waiting = [Original("/c/old.mp4")]
    house.turns()
    assert house.tender.deleted == [("/c/old.mp4", "safety_period_over")]
    assert house.travelled == ["first.mp4"]
    assert house.shift.halt is not None
    assert house.shift.halt.reason == "job_stuck"


def test_jobs_and_originals_go_though_the_kernel_keeps_a_deletion(house: House) -> None:
    house.add("a.mp4")
    house.errands.is_stuck = True
    house.tender.originals.waiting = [Original("/c/old.mp4")]
    house.turns()
    assert house.tender.deleted == [("/c/old.mp4", "safety_period_over")]
    assert house.travelled == ["a.mp4"]


def test_a_disk_that_keeps_a_deletion_is_left_alone_until_the_kernel_lets_go_of_it() -> None:
    """A second one there would be kept too, with the thread that is left; nothing would go on."""
    house = House(foreman=lambda _: KeptForeman("/bad/"), errands=lambda _: KeptForeman("/bad/"))
    house.add("a.mp4")
    house.add("b.mp4", where="/bad")
    house.tender.originals.waiting = [Original("/bad/old.mp4"), Original("/c/old.mp4")]
    for _ in range(5):
        house.turns()
        house.clock.advance(HALT_RETRY_S)
    assert house.tender.deleted == [("/c/old.mp4", "safety_period_over")]
    assert house.travelled == ["a.mp4"]
    assert house.errands.is_stuck
    assert not house.foreman.is_stuck
    assert house.shift.halt is not None
    assert house.shift.halt.reason == "job_stuck"  # said, when there is nothing else to do
    house.errands.is_stuck, house.foreman.keeps = False, None
    house.turns()
    assert house.travelled == ["a.mp4", "b.mp4"]
    assert house.shift.halt is None


def test_a_reload_forgets_no_disk_that_keeps_a_deletion() -> None:
    """The shift is another one then; what the kernel keeps is what it was."""
    house = House(foreman=lambda _: KeptForeman("/bad/"), errands=lambda _: KeptForeman("/bad/"))
    house.tender.originals.waiting = [Original("/bad/old.mp4")]
    house.turns()
    assert house.errands.is_stuck
    house.shift = house.next_shift(house.shift)
    house.tender.originals.waiting = [Original("/bad/old.mp4"), Original("/c/old.mp4")]
    house.turns()
    assert house.tender.deleted == [("/c/old.mp4", "safety_period_over")]
    assert not house.foreman.is_stuck


@pytest.mark.parametrize("reason", ["child_stuck", "job_stuck"])
def test_a_trial_that_does_not_end_says_nothing_of_the_encoder_and_closes_no_night(
    house: House, reason: str
) -> None:
    """Killed on a machine without a moment of CPU it ends later: the next trial may do."""
    house.add("a.mp4")
    house.no_encoder = Halt(reason, "does not end")
    assert house.turns()[-1] == HALT_RETRY_S
    assert house.emitted.named("encoder_unavailable") == []
    assert [told["reason"] for told in house.emitted.named("halted")] == [reason]
    house.no_encoder = None
    house.turns()
    assert house.travelled == ["a.mp4"]
    assert len(house.emitted.named("halt_over")) == 1


def test_originals_go_even_where_no_encoder_works(house: House) -> None:
    house.add("a.mp4")
    house.no_encoder = Halt("encoder_unavailable", "no GPU", remedy="render group")
    house.turns()
    house.tender.originals.waiting = [Original("/c/old.mp4")]
    house.turns()
    assert house.tender.deleted == [("/c/old.mp4", "safety_period_over")]


def test_a_directory_that_went_before_its_events_came_costs_its_own_files_turn_alone(
    house: House,
) -> None:
    house.add("gone.mp4", 12, size_bytes=1)
    house.add("a.mp4", 9)
    house.tender.gone = {1: Retryable("vanished", "/c is not there any more")}
    assert house.turns()[-1] is None
    assert house.travelled == ["a.mp4"]
    assert house.shift.closed_by is None
    house.tender.gone = {}
    house.clock.advance(HALT_RETRY_S)
    house.turns()
    assert house.travelled == ["a.mp4", "gone.mp4"]


def test_a_directory_that_goes_while_its_originals_are_counted_closes_no_shift(
    house: House,
) -> None:
    house.add("a.mp4")
    house.tender.pressed = _vanished  # type: ignore[method-assign]
    assert house.turns() == [0.5]
    assert (house.shift.closed_by, house.emitted.named("unexpected")) == (None, [])


def _vanished() -> Any:
    raise Retryable("vanished", "/c is not there any more")


def test_a_nights_account_is_kept_even_where_it_cannot_be_told(house: House) -> None:
    house.add("a.mp4")
    house.untold = [Retryable("vanished", "/c is not there any more")]
    house.turns()
    house.clock.set_wall(MIDNIGHT + 12 * 3600)
    house.turns()
    assert len(house.ledger.nights) == 1
    assert house.workshop.closed


def test_switched_off_inside_the_window_originals_whose_time_is_over_still_go(
    house: House,
) -> None:
    house.tender.originals.waiting = [Original("/c/old.mp4")]
    house.add("a.mp4")
    house.lookout.looked = lambda: setattr(house, "enabled", False)
    assert house.turns() == [0, None]
    assert house.tender.deleted == [("/c/old.mp4", "safety_period_over")]
    assert house.travelled == []


def test_switched_off_it_ends_the_trial_of_encoders(house: House) -> None:
    house.add("a.mp4")
    house.lookout.looked = lambda: setattr(house, "enabled", False)
    assert house.turns() == [0.5]
    assert (house.travelled, house.shift.closed_by) == ([], None)


def test_where_the_disk_needs_room_an_original_goes_first_and_then_the_job_begins(
    house: House,
) -> None:
    house.add("a.mp4")
    house.tender.judgement = Room(may_start=False, release_bytes=10, reason="releasing")
    house.tender.releases = [Original("/c/old.mp4")]
    house.turns()
    assert house.tender.deleted == [("/c/old.mp4", "disk_pressure")]
    assert house.travelled == ["a.mp4"]


def test_originals_go_while_their_disk_wants_room_even_with_nothing_to_transcode() -> None:
    house = House()
    house.tender.pressing = [Original("/c/older.mp4"), Original("/c/old.mp4")]
    house.turns(3)
    assert house.tender.deleted == [
        ("/c/older.mp4", "disk_pressure"),
        ("/c/old.mp4", "disk_pressure"),
    ]


def test_a_full_disk_does_not_stop_the_deletion_that_frees_it() -> None:
    """No directory: the gate is not to look at the disk, neither before nor meanwhile."""
    house = House()
    house.add("a.mp4")
    house.tender.originals.waiting = [Original("/c/old.mp4")]
    house.tender.pressing = [Original("/c/other.mp4")]
    house.turns(2)
    assert len(house.tender.deleted) == 2
    assert set(house.lookout.directories) == {None}


def test_holding_as_many_originals_as_we_may_is_a_wait_and_no_fault(house: House) -> None:
    house.add("a.mp4")
    house.tender.judgement = Room(may_start=False, reason="held", detail="30 GB are held")
    assert house.turns() == [30.0]
    assert house.emitted.named("halted") == []
    assert house.lookout.waited == ["30 GB are held"]
    house.tender.judgement = Room(may_start=True)
    house.turns()
    assert house.travelled == ["a.mp4"]


def test_a_full_disk_halts_is_told_once_and_is_over_when_there_is_room(house: House) -> None:
    house.add("a.mp4")
    house.tender.judgement = Room(may_start=False, reason="critical", detail="1 GB free")
    assert house.turns() == [30.0]
    assert house.turns() == [30.0]
    (halted,) = house.emitted.named("halted")
    assert halted["reason"] == "disk_full"
    assert house.shift.halt is not None
    house.tender.judgement = Room(may_start=True)
    house.clock.advance(60)
    house.turns()
    assert house.travelled == ["a.mp4"]
    assert house.emitted.named("halt_over") == [{"reason": "disk_full", "duration_s": 60.0}]


@pytest.mark.parametrize(
    "why",
    [
        Halt("encoder_unavailable", "no GPU", remedy="render group"),
        Retryable("stalled", "no progress for 60 s"),
    ],
    ids=["does not work", "hangs"],
)
def test_an_encoder_that_does_not_work_is_told_and_tried_again_at_the_next_opening(
    house: House, why: Halt | Retryable
) -> None:
    house.add("a.mp4")
    house.no_encoder = why
    house.turns()
    house.turns()
    assert len(house.emitted.named("encoder_unavailable")) == 1
    house.no_encoder = None
    house.turns()
    assert house.travelled == []
    house.clock.advance(12 * 3600)
    house.turns()
    house.clock.advance(12 * 3600)
    house.turns()
    assert house.travelled == ["a.mp4"]


def failing(segment: Segment) -> Outcome:
    verdict = Verdict(Kind.FAILED, "device_failed", "{}", retry_at_s=NIGHT + 20 * 3600)
    return Outcome(segment, Result.FAILED, "device_failed", "GPU hang", verdict=verdict)


def test_an_encoder_that_fails_on_three_files_running_is_not_hammered(house: House) -> None:
    for number in range(6):
        house.add(f"{number}.mp4")
    house.ends = failing
    house.turns()
    assert len(house.travelled) == BROKEN_AFTER
    (broken,) = house.emitted.named("encoder_broken")
    assert "GPU hang" in str(broken["detail"])


def test_a_file_in_between_that_is_refused_shows_that_the_encoder_is_not_at_fault(
    house: House,
) -> None:
    for number in range(6):
        house.add(f"{number}.mp4")
    house.ends = lambda s: (
        failing(s)
        if s.name != "2.mp4"
        else Outcome(s, Result.REFUSED, "savings_too_small", verdict=None)
    )
    house.turns()
    assert len(house.travelled) == 6


def test_an_aborted_file_stays_a_candidate(house: House) -> None:
    house.add("a.mp4")
    house.ends = lambda segment: Outcome(segment, Result.ABORTED, "cpu")
    house.shift._turn_safely()
    assert house.index.get("/c/a.mp4").state is State.CANDIDATE  # type: ignore[union-attr]


def test_what_a_night_was_too_short_for_is_not_begun_the_next_night_and_others_are(
    house: House,
) -> None:
    """An encode that gets on, but for ever."""
    house.add("endless.mp4", 12)
    house.add("a.mp4", 9)
    begun: list[str] = []

    def work(segment: Segment, _shop: object, leash: Leash, on_step: OnStep) -> Outcome:
        begun.append(segment.name)
        if segment.name == "a.mp4":
            return Outcome(segment, Result.REFUSED, "already_hevc", verdict=forever())
        on_step(Step(Stage.ENCODE, 0.0))
        while (reason := house.shift._running.job_must_end()) is None:
            house.clock.advance(60)
            on_step(Step(Stage.ENCODE, 0.3))
        leash.abort(reason)
        return Outcome(segment, Result.ABORTED, reason)

    house.road = work
    for _ in range(3):
        house.turns()
        house.clock.set_wall(house.clock.wall_s() // S_PER_DAY * S_PER_DAY + S_PER_DAY + 7200)
    assert begun == ["endless.mp4", "a.mp4"]
    assert house.ledger.refused == [("/c/endless.mp4", "too_slow")]


def test_no_job_works_for_longer_than_a_day_though_the_window_never_closes() -> None:
    house = House(run_schedule="always")
    house.add("endless.mp4")
    ends: list[str | None] = []

    def work(segment: Segment, _shop: object, _leash: Leash, on_step: OnStep) -> Outcome:
        on_step(Step(Stage.ENCODE, 1.0))
        for _ in range(2):
            house.clock.advance(S_PER_DAY - 1)
            ends.append(house.shift._running.job_must_end())
        return Outcome(segment, Result.ABORTED, "too_slow")

    house.road = work
    house.turns()
    assert ends == [None, "too_slow"]
    assert house.ledger.refused == [("/c/endless.mp4", "too_slow")]


def test_while_a_command_works_the_shift_waits(house: House) -> None:
    house.add("a.mp4")
    house.lock_is_free = False
    assert house.turns() == [2.0]
    assert house.travelled == []


def test_a_window_is_opened_and_closed_once_with_its_account(house: House) -> None:
    house.add("a.mp4")
    house.turns()
    house.turns()
    house.clock.advance(4 * 3600)
    house.turns()
    house.turns()
    assert len(house.emitted.named("window_opened")) == 1
    assert len(house.emitted.named("window_closed")) == 1
    (night,) = house.nights
    assert night.results[Result.REFUSED] == 1
    assert len(house.ledger.nights) == 1
    assert house.workshop.closed


def test_a_window_that_never_closes_has_an_account_a_day() -> None:
    house = House(run_schedule="always")
    house.turns()
    house.clock.advance(25 * 3600)
    house.turns()
    assert len(house.nights) == 1


def test_the_window_decides_after_a_clock_was_set_back_too(house: House) -> None:
    house.add("a.mp4")
    house.turns()
    house.clock.set_wall(MIDNIGHT + 1 * 3600)
    house.turns()
    assert len(house.emitted.named("window_closed")) == 1


def test_a_job_is_aborted_at_shutdown_where_nothing_tells_that_it_ends_in_time(
    house: House,
) -> None:
    house.add("a.mp4")
    house.shift.stop(300.0)
    assert house.shift._running.job_must_end() == "shutdown"


def test_it_tells_when_a_job_may_want_its_directorys_lock(house: House) -> None:
    """At the claim and at the swap: hours of work are not to wait for a file that is read there."""
    wants = {}

    def work(segment: Segment, _shop: object, _leash: Leash, on_step: OnStep) -> Outcome:
        wants["claim"] = house.shift.wants_its_directory()
        for stage in Stage:
            on_step(Step(stage))
            wants[stage.value] = house.shift.wants_its_directory()
        return Outcome(segment, Result.ABORTED, "cpu")

    house.road = work
    house.add("a.mp4")
    assert not house.shift.wants_its_directory()
    house.shift._turn_safely()
    assert not house.shift.wants_its_directory()
    assert [stage for stage, does in wants.items() if not does] == ["encode", "verify"]


def test_a_pause_makes_no_job_slower_neither_encoding_nor_proving(house: House) -> None:
    left: list[float | None] = []

    def work(segment: Segment, _shop: object, leash: Leash, on_step: OnStep) -> Outcome:
        on_step(Step(Stage.ENCODE, 0.0))
        house.clock.advance(600)
        on_step(Step(Stage.ENCODE, 0.5))
        left.append(house.shift.expected_left_s())
        for stage in (Stage.ENCODE, Stage.VERIFY):
            leash.pause("cpu")
            house.clock.advance(3000)
            left.append(house.shift.expected_left_s())
            leash.resume()
            if stage is Stage.ENCODE:
                house.clock.advance(600)
                on_step(Step(Stage.VERIFY))
        return Outcome(segment, Result.ABORTED, "cpu")

    house.road = work
    house.add("a.mp4")
    house.shift._turn_safely()
    assert left == [1200.0, 1200.0, 600.0]


def told_to_end(
    house: House, work: Callable[[OnStep, Callable[[], None]], None]
) -> list[str | None]:
    """Give what a job hears that does *work*, each time that this asks whether it has to end."""
    ends: list[str | None] = []

    def road(segment: Segment, _shop: object, _leash: Leash, on_step: OnStep) -> Outcome:
        work(on_step, lambda: ends.append(house.shift._running.job_must_end()))
        return Outcome(segment, Result.ABORTED, "window")

    house.road = road
    house.add("a.mp4")
    house.shift._turn_safely()
    return ends


def test_a_job_on_a_lowered_share_takes_so_much_longer_and_is_ended_at_the_windows_end(
    house: House,
) -> None:
    """Five minutes of work at a quarter of the time do not end within ten of overrun."""

    def work(on_step: OnStep, ask: Callable[[], None]) -> None:
        on_step(Step(Stage.ENCODE, 0.0))
        house.clock.advance(3600)
        on_step(Step(Stage.VERIFY))
        house.clock.set_wall(MIDNIGHT + 6 * 3600 - 1500)
        house.clock.advance(1500)  # the window has closed; five minutes of the proof are left
        for house.lookout.duty in (1.0, 0.25):
            ask()

    assert told_to_end(house, work) == [None, "window"]


def test_a_window_that_is_changed_under_a_running_job_ends_it_by_the_new_one(house: House) -> None:
    def work(on_step: OnStep, ask: Callable[[], None]) -> None:
        on_step(Step(Stage.ENCODE, 0.0))
        house.clock.advance(600)
        on_step(Step(Stage.ENCODE, 0.2))
        for schedule in ("02:00-06:00", "22:00-23:00"):
            window = Window.parse(schedule, "UTC")
            house.shift.follow(Transcoding(run_schedule=schedule), window)
            ask()

    assert told_to_end(house, work) == [None, "window"]


def test_a_fault_of_our_own_is_told_and_the_loop_goes_on(house: House) -> None:
    house.add("a.mp4")

    def broken(_segment: Segment) -> Outcome:
        raise ZeroDivisionError("oh")

    house.ends = broken
    assert house.turns() == [60.0]
    (told,) = house.emitted.named("unexpected")
    assert "ZeroDivisionError" in str(told["detail"])
    house.tender.originals.waiting = [Original("/c/old.mp4")]
    house.turns()
    assert house.tender.deleted == [("/c/old.mp4", "safety_period_over")]
    assert house.shift.closed_by is not None


def test_three_files_running_that_fail_in_an_unknown_way_stop_the_shift(house: House) -> None:
    for number in range(6):
        house.add(f"{number}.mp4")
    house.ends = lambda segment: Outcome(segment, Result.FAILED, "unexpected", "KeyError: 'x'")
    house.turns()
    assert len(house.travelled) == BROKEN_AFTER
    (halted,) = house.emitted.named("halted")
    assert halted["reason"] == "unexpected"


def test_stop_ends_the_loop_at_once(house: House) -> None:
    thread = threading.Thread(target=house.shift.run)
    thread.start()
    house.shift.stop(0.0)
    thread.join(60)
    assert not thread.is_alive()


def test_a_file_too_large_for_its_disk_stops_no_smaller_one(house: House) -> None:
    house.add("big.mp4", 12, size_bytes=10**9)
    house.add("small.mp4", 9, size_bytes=10)
    house.tender.judge = lambda _, size: (
        Room(True) if size < 100 else Room(False, reason="output_too_large", detail="1 GB is much")
    )
    assert house.turns() == [0, 30.0]
    assert house.travelled == ["small.mp4"]
    (halted,) = house.emitted.named("halted")  # now that nothing else can be done
    assert (halted["reason"], "big.mp4" in str(halted["detail"])) == ("no_room", True)
    house.clock.advance(30)
    house.turns()
    assert len(house.emitted.named("halted")) == 1


def test_a_full_disk_stops_no_other(house: House) -> None:
    house.add("a.mp4", 12, where="/disk1")
    house.add("b.mp4", 9, where="/disk2")
    full = Room(False, reason="critical", detail="1 GB free")
    house.tender.judge = lambda where, _: full if where == "/disk1" else Room(True)
    house.turns()
    assert house.travelled == ["b.mp4"]
    assert house.lookout.directories[0] == "/disk2"  # the gate, too, is asked of that disk alone


def test_originals_that_are_held_keep_no_other_disk_waiting(house: House) -> None:
    house.add("a.mp4", 12, where="/disk1")
    house.add("b.mp4", 9, where="/disk2")
    held = Room(False, reason="held", detail="30 GB are held")
    house.tender.judge = lambda where, _: held if where == "/disk1" else Room(True)
    assert house.turns() == [0, 30.0]
    assert (house.travelled, house.lookout.waited) == (["b.mp4"], ["30 GB are held"])


def test_where_the_gate_finds_a_disk_too_full_another_is_tried(house: House) -> None:
    house.add("a.mp4", 12, where="/disk1")
    house.add("b.mp4", 9, where="/disk2")

    def looked() -> None:
        there = house.lookout.directories[-1] == "/disk1"
        house.lookout.decision = Hold(Reason.DISK, "only 5 GB are free") if there else Go()

    house.lookout.looked = looked
    house.turns()
    assert house.travelled == ["b.mp4"]


@pytest.mark.parametrize("reason", ["permission", "read_only", "io_error", "disk_full"])
def test_a_fault_of_one_place_stops_no_other_and_is_tried_again_less_and_less(
    house: House, reason: str
) -> None:
    house.add("a.mp4", 12, where="/disk1")
    house.add("b.mp4", 9, where="/disk2")
    tried: list[str] = []

    def work(segment: Segment) -> Outcome:
        tried.append(segment.name)
        if segment.directory == "/disk1":
            raise Halt(reason, f"{segment.path}: no")
        return Outcome(segment, Result.REFUSED, "already_hevc", verdict=forever())

    house.ends = work
    house.turns()
    assert tried == ["a.mp4", "b.mp4"]
    (halted,) = house.emitted.named("halted")
    assert halted["reason"] == reason
    for _ in range(60):
        house.clock.advance(60)
        house.turns()
    assert 5 <= tried.count("a.mp4") <= 8
    assert len(house.emitted.named("halted")) == 1
    house.ends = lambda s: Outcome(s, Result.REFUSED, "already_hevc", verdict=forever())
    house.clock.advance(3600)
    house.turns()
    assert len(house.emitted.named("halt_over")) == 1


@dataclass
class LongJob:
    """One under a real foreman, in whose midst its recorder's disk falls below the floor."""

    house: House
    stage: Stage = Stage.ENCODE
    meets: Hold | None = None
    stood: list[str | None] = field(default_factory=list)
    was_looked_at: bool = False

    def run(self) -> list[tuple[str, str]]:
        """Give what was deleted before it ended: by what was let go, or after twenty looks."""
        house, over = self.house, threading.Event()
        looks = itertools.count()
        delete = house.tender.delete

        def looked() -> None:
            if next(looks) > 20:
                over.set()

        def work(segment: Segment, _shop: object, leash: Leash, on_step: OnStep) -> Outcome:
            def deleted(waiting: Any, reason: str, check: Callable[[], None], _: object) -> None:
                self.stood.append(leash.paused_reason)
                delete(waiting, reason, check, _)

            house.tender.delete = deleted  # type: ignore[method-assign]
            house.lookout.decision = self.meets or Go()
            house.lookout.looked = looked
            on_step(Step(self.stage, 0.5))
            house.tender.pressing = [Original("/c/older.mp4"), Original("/c/old.mp4")]
            self.was_looked_at = over.wait(60)
            house.tender.pressing = []
            house.lookout.decision = Go()
            leash.check()
            return Outcome(segment, Result.REFUSED, "already_hevc", verdict=forever())

        house.road = work
        house.add("a.mp4")
        house.turns(1)
        assert self.was_looked_at
        return house.tender.deleted


@pytest.fixture
def long_job() -> Iterator[LongJob]:
    made: list[Foreman] = []

    def real(clock: ManualClock) -> Foreman:
        made.append(Foreman(clock, Emitted()))
        return made[0]

    yield LongJob(House(foreman=real))
    made[0].close()


def test_a_job_stands_while_originals_go_that_its_recorders_disk_needs_gone(
    long_job: LongJob,
) -> None:
    """It may last for hours, and the disk is not to be below its floor for as long."""
    assert long_job.run() == [("/c/older.mp4", "disk_pressure"), ("/c/old.mp4", "disk_pressure")]
    assert long_job.stood == ["disk_pressure", "disk_pressure"]


def test_beside_a_job_that_could_not_stand_still_no_original_goes(
    long_job: LongJob,
) -> None:
    long_job.stage = Stage.SWAP  # it holds its directory's lock
    assert long_job.run() == []


def test_while_a_deletion_is_kept_no_job_stands_for_another_nor_is_that_put_off(
    long_job: LongJob,
) -> None:
    """It could not begin; and what is put off is missing where its disk becomes too full."""
    long_job.house.errands.is_stuck = True
    assert long_job.run() == []
    assert long_job.house.tender.originals.postponed == []


def test_beside_a_job_that_is_held_no_original_is_proven_either(long_job: LongJob) -> None:
    long_job.meets = Hold(Reason.CPU, "others use 80 %")
    assert long_job.run() == []


def test_what_concerns_everything_stops_everything(house: House) -> None:
    house.add("a.mp4", 12, where="/disk1")
    house.add("b.mp4", 9, where="/disk2")

    def work(_segment: Segment) -> Outcome:
        raise Halt("no_ffmpeg", "there is none")

    house.ends = work
    assert house.turns() == [60.0]
    assert house.travelled == ["a.mp4"]
    house.clock.advance(60)
    house.turns()
    assert len(house.emitted.named("halted")) == 1
    assert house.emitted.named("halt_over") == []


def test_an_original_that_cannot_be_deleted_stops_neither_others_nor_work(house: House) -> None:
    house.add("a.mp4")
    house.tender.originals.waiting = [Original("/ro/x.mp4"), Original("/c/y.mp4")]
    house.tender.broken = {"/ro/x.mp4": Halt("read_only", "/ro: read-only file system")}
    house.turns()
    assert house.tender.deleted == [("/c/y.mp4", "safety_period_over")]
    assert house.travelled == ["a.mp4"]


@pytest.mark.parametrize("reason", [Reason.RECORDER, Reason.CPU])
def test_a_disk_below_critical_is_relieved_whatever_holds_work(
    house: House, reason: Reason
) -> None:
    """The recorder is silent because the disk is full: only a deletion lets it write again."""
    house.add("a.mp4")
    house.lookout.decision = Hold(reason, "cam1: no segment was closed in time")
    house.tender.originals.early = [Original("/c/older.mp4"), Original("/c/old.mp4")]
    house.tender.pressing = house.tender.originals.early[:]
    house.turns()
    assert house.tender.deleted == []  # pressed, but not critical: the recorder comes first
    house.tender.free_bytes["/c"] = 10**9
    house.tender.pressing = []
    house.turns(1)
    assert house.tender.deleted == [("/c/older.mp4", "disk_pressure")]
    house.tender.free_bytes["/c"] = 10**11
    assert house.turns() == [0.5]
    assert house.travelled == []


@pytest.mark.parametrize("enabled", [True, False])
def test_outside_the_window_originals_go_below_critical_and_only_there(enabled: bool) -> None:
    house = House()
    house.enabled = enabled
    house.clock.set_wall(MIDNIGHT + 12 * 3600)
    house.tender.originals.early = [Original("/d/a.mp4"), Original("/c/b.mp4")]
    house.tender.originals.waiting = [Original("/d/due.mp4")]
    house.tender.pressing = [Original("/d/a.mp4")]
    assert house.turns() == [None]
    house.tender.free_bytes["/c"] = 10**9
    house.turns()
    assert house.tender.deleted == [("/c/b.mp4", "disk_pressure")]


def test_nothing_goes_early_where_its_owner_does_not_want_that() -> None:
    house = House()
    house.tender.rules = KeepRules(release_early=False)
    house.tender.originals.early = [Original("/c/b.mp4")]
    house.tender.free_bytes["/c"] = 10**9
    house.turns()
    assert house.tender.deleted == []


def test_switched_off_originals_still_go_inside_the_window(house: House) -> None:
    house.enabled = False
    house.add("a.mp4")
    house.tender.originals.waiting = [Original("/c/old.mp4")]
    house.tender.pressing = [Original("/c/pressed.mp4")]
    house.turns()
    assert [path for path, _ in house.tender.deleted] == ["/c/old.mp4", "/c/pressed.mp4"]
    assert house.travelled == []


def test_thousands_that_retention_takes_first_do_not_hide_the_one_that_pays(house: House) -> None:
    for number in range(2500):
        house.add(f"{number:04}.mp4", 12 - number * 1e-4)
    house.add("good.mp4", 7.5)
    house.recorders.days = 9.0
    house.turns()
    assert house.travelled == ["good.mp4"]


def test_a_file_that_never_met_the_encoder_exonerates_it_not(house: House) -> None:
    for number in range(12):
        house.add(f"{number:02}.mp4", 20 - number)
    house.ends = lambda s: (
        failing(s)
        if int(s.name[:2]) % 3 != 2
        else Outcome(s, Result.REFUSED, "already_hevc", verdict=forever())
    )
    house.turns(40)
    assert len(house.travelled) == 4  # two failures, one that was HEVC already, the third failure
    assert len(house.emitted.named("encoder_broken")) == 1


def test_an_encoder_that_makes_garbage_is_broken_too(house: House) -> None:
    for number in range(8):
        house.add(f"{number}.mp4")
    house.ends = lambda s: Outcome(s, Result.FAILED, "copy_damaged", "does not decode")
    house.turns(40)
    assert len(house.travelled) == BROKEN_AFTER
    assert len(house.emitted.named("encoder_broken")) == 1


def forever() -> Verdict:
    return Verdict(Kind.REFUSED, "already_hevc", "{}")


def test_a_fault_that_lasts_is_told_once_whatever_work_comes_elsewhere(house: House) -> None:
    house.add("big.mp4", 12, size_bytes=10**9)
    house.tender.judge = lambda _, size: (
        Room(True) if size < 10**6 else Room(False, reason="output_too_large", detail="1 GB")
    )
    for number in range(5):
        house.add(f"{number}.mp4", 9)
        house.turns()
        assert house.shift.halt is not None
        house.clock.advance(1800)
    assert len(house.travelled) == 5
    assert len(house.emitted.named("halted")) == 1
    assert house.emitted.named("halt_over") == []


def test_a_job_that_is_held_makes_way_for_what_lets_a_recorder_write_again(house: House) -> None:
    house.lookout.decision = Hold(Reason.RECORDER, "cam2: silent")
    assert house.shift._running.job_must_end() is None
    house.tender.originals.early = [Original("/c2/old.mp4")]
    house.tender.free_bytes["/c2"] = 10**9
    assert house.shift._running.job_must_end() == "disk"


def test_a_disk_that_was_full_is_tried_again_as_soon_as_there_is_room(house: House) -> None:
    house.add("a.mp4")

    def full(segment: Segment) -> Outcome:
        raise Halt("disk_full", f"{segment.path}: no space left on device")

    house.ends = full
    house.tender.free_bytes["/c"] = 10**10
    house.turns()
    house.turns()
    assert house.travelled == ["a.mp4"]
    house.tender.free_bytes["/c"] += 1000
    house.turns(1)
    assert house.travelled == ["a.mp4", "a.mp4"]


class SlowTender(FakeTender):
    """Its deletions read until they are held up."""

    def __init__(self) -> None:
        super().__init__()
        self.held_up = threading.Event()

    def delete(self, waiting: Any, reason: str, check: Callable[[], None], _: object) -> None:
        assert self.held_up.wait(60.0)
        super().delete(waiting, reason, check, _)


@pytest.fixture
def held_up() -> Iterator[tuple[House, SlowTender]]:
    """A house whose gate holds as soon as its one original is being deleted."""
    foremen: list[Foreman] = []

    def foreman(clock: ManualClock) -> Foreman:
        foremen.append(Foreman(clock, Emitted(), stuck_after_s=math.inf))  # its time flies
        return foremen[0]

    tender = SlowTender()
    house = House("always", errands=foreman, tender=tender)
    house.shift._running._stalled_after_s = math.inf
    tender.originals.waiting = [Original("/c/old.mp4")]
    yield house, tender
    foremen[0].close()


def hold_for(house: House, tender: SlowTender, looks: int) -> None:
    """Hold from the second look on, so often; by the third one the deletion stands still."""

    def looked() -> None:
        holds = 1 < house.lookout.looks <= looks + 1
        house.lookout.decision = Hold(Reason.CPU, "busy") if holds else Go()
        if house.lookout.looks > 2:
            tender.held_up.set()

    house.lookout.looked = looked


def test_a_deletion_that_is_held_up_lets_go_of_its_locks_and_begins_anew(
    held_up: tuple[House, SlowTender],
) -> None:
    house, tender = held_up
    hold_for(house, tender, looks=100)
    assert house.turns() == [LOOK_EVERY_S]
    assert tender.deleted == []
    house.lookout.looked = int
    house.lookout.decision = Go()
    house.turns()
    assert tender.deleted == [("/c/old.mp4", "safety_period_over")]


def test_a_deletion_outlasts_what_the_gate_takes_to_find_out_whose_the_load_is(
    held_up: tuple[House, SlowTender],
) -> None:
    house, tender = held_up
    hold_for(house, tender, looks=20)
    assert house.turns() == [0, None]
    assert tender.deleted == [("/c/old.mp4", "safety_period_over")]
