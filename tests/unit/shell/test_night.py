"""A night in fast motion through the real shift, foreman and lookout, told as its event log.

Only the work itself is made up, and the machine's figures: spikes, a camera that dies, a disk that
fills and is emptied, the window's end. Run with -s to read the log.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC
from typing import Any, cast

import pytest
from support.asking import AtOnce
from support.clock import ManualClock
from support.emitted import Emitted
from support.timeline import Timeline

from watcher.crew import Crew
from watcher.foreman import Foreman
from watcher.gate.gauge import GateKeeper, Gauge
from watcher.gate.readings import GB, Limits, Load, Reason, Space
from watcher.gate.recorders import RecorderSettings, RecorderWatch
from watcher.gate.window import Window
from watcher.job import OnStep, Outcome, Result, Stage, Step
from watcher.ledger.ledger import Night as Row
from watcher.ledger.stats import Speed
from watcher.ledger.verdicts import Kind, Subject, Verdict, after_refusal
from watcher.lookout import Lookout
from watcher.night import Night, Standing, tell
from watcher.replace.originals import Originals
from watcher.segments.index import SegmentIndex
from watcher.segments.segment import S_PER_DAY, Segment
from watcher.settings import Transcoding
from watcher.shift import Shift
from watcher.tending import KeepRules, Tender
from watcher.transcode.leash import Leash

OPENS_S = 1_700_006_400.0 + 2 * 3600  # a Wednesday, 02:00 UTC
CLOSES_S = 4 * 3600.0
OVER_S = CLOSES_S + 1200
FILE_S = 1200
CALM = Load(interval_s=0.5, others_cpu_percent=4.0, gpu_others_percent=5.0)
SETTINGS = Transcoding(run_schedule="02:00-06:00", max_pause_minutes=20)
VERDICT = Verdict(Kind.REFUSED, "made_by_watcher", "{}")


@dataclass
class Work:
    """One job under way: it gets on only while its leash lets it."""

    segment: Segment
    leash: Leash
    on_step: OnStep
    over: threading.Event
    whole_s: float
    done_s: float = 0.0

    def beat(self, step_s: float) -> None:
        if self.leash.aborted_reason is None and self.leash.paused_reason is None:
            self.done_s += step_s
            self.on_step(Step(Stage.ENCODE, min(1.0, self.done_s / self.whole_s)))
        if self.leash.aborted_reason is not None or self.done_s >= self.whole_s:
            self.over.set()


class FastClock(ManualClock):
    """Whoever waits lets the made-up world go on; a wait without end lasts until the next tick."""

    def __init__(self, now_s: float, goes_on: Callable[[float, threading.Event], None]) -> None:
        super().__init__(now_s)
        self._goes_on = goes_on

    def wait(self, wake: threading.Event, timeout_s: float | None) -> bool:
        if not wake.is_set():
            step_s = 30.0 if timeout_s is None else timeout_s
            self.advance(step_s)
            self._goes_on(step_s, wake)
        return wake.is_set()


class LastYears:
    """A ledger that has measured: a byte a second, so that a file's size is its time."""

    def __init__(self) -> None:
        self.nights: list[Row] = []

    def last_encoder(self) -> str:
        return "libx265"

    def speed(self, _camera: str, _encoder: str) -> Speed:
        return Speed(20, 1.0, 1.0)

    def record_night(self, night: Row) -> None:
        self.nights.append(night)

    def checkpoint(self) -> None: ...

    def need(self, *_: object) -> None: ...

    def remember_need(self, *_: object) -> None: ...

    def remember_refusal(
        self, _subject: Subject, reason: str, _detail: str, _decides: object
    ) -> Verdict:
        return after_refusal(reason, "{}", OPENS_S)


class Shop:
    encoder = "libx265"
    fingerprint = None

    def close(self) -> None: ...


class Box:
    """The machine, its two cameras, and a whole night on it."""

    def __init__(self, load: Callable[[float], Load], *, incidents: bool = True) -> None:
        self._load, self._incidents = load, incidents
        self.clock = FastClock(OPENS_S - 60, self.goes_on)
        self.tell = Timeline(self.clock, UTC)
        self.work: Work | None = None
        self.recorded_s = -60.0
        self.ledger = LastYears()
        self.recorders = RecorderWatch(
            {name: RecorderSettings(segment_seconds=60) for name in ("porch", "garden")},
            max_pause_s=SETTINGS.max_pause_minutes * 60,
            asker=AtOnce(),
            clock=self.clock,
            emit=self.tell,
        )
        self.index = SegmentIndex(7 * S_PER_DAY)
        window, limits = Window.parse(SETTINGS.run_schedule, "UTC"), Limits.of(SETTINGS)
        gauge = Gauge(
            meter=self,
            recorders=self.recorders,
            window=window,
            space=self.space,
            clock=self.clock,
        )
        keeper = GateKeeper(gauge, limits, clock=self.clock)
        tender = Tender(
            Originals(clock=self.clock, emit=self.tell),
            remember=lambda *_: None,
            rules=KeepRules(),
            space=self.space,
            disk_of=lambda _: 1,
            clock=self.clock,
            emit=self.tell,
        )
        self.foreman = Foreman(self.clock, self.tell)
        crew = Crew(
            index=self.index,
            tender=tender,
            lookout=Lookout(keeper, limits, lambda: True, clock=self.clock, emit=self.tell),
            recorders=self.recorders,
            ledger=cast("Any", self.ledger),
            foreman=self.foreman,
            errands=Foreman(self.clock, self.tell),
            open_workshop=lambda _: cast("Any", Shop()),
            job_lock=self.job_lock,
            enabled=lambda: True,
            on_night=self.on_night,
            travel=self.travel,
        )
        self.shift = Shift(SETTINGS, window, crew, clock=self.clock, emit=self.tell)

    # --- what is made up ------------------------------------------------------------------------

    @property
    def at_s(self) -> float:
        return self.clock.wall_s() - OPENS_S

    def sample(self) -> Load:
        return self._load(self.at_s)

    def space(self, _: str) -> Space:
        full = self._incidents and 7000 <= self.at_s < 7300
        return Space(round((4.8 if full else 140.0) * GB), 1000 * GB)

    def goes_on(self, step_s: float, wake: threading.Event) -> None:
        while self.recorded_s + 60 <= self.at_s:
            self.recorded_s += 60
            for camera in ("porch", "garden"):
                if camera == "porch" or self.recorded_s < 4500 or not self._incidents:
                    self.recorders.closed(camera, f"/cams/{camera}/{self.recorded_s:.0f}.mp4")
        while self.work is None and wake is not self.shift._wake and not wake.wait(0.001):
            pass  # the foreman's worker is about to begin
        work = self.work
        if work is not None:
            work.beat(step_s)
            if work.over.is_set():
                self.work = None
                assert wake.wait(60)  # the foreman's worker has come back
        if self.at_s > OVER_S:
            self.shift.stop(0.0)

    def travel(self, segment: Segment, _shop: object, leash: Leash, on_step: OnStep) -> Outcome:
        about = {"camera": segment.camera, "path": segment.path}
        self.tell("transcode_started", size_bytes=segment.size_bytes, **about)
        slow = 2 if segment.name == "slow.mp4" else 1
        over = threading.Event()
        self.work = Work(segment, leash, on_step, over, slow * segment.size_bytes)
        assert over.wait(60)
        if leash.aborted_reason is not None:
            self.tell("transcode_failed", reason=leash.aborted_reason, **about)
            return Outcome(segment, Result.ABORTED, leash.aborted_reason)
        self.tell("transcode_finished", paused_s=leash.paused_s(), **about)
        return Outcome(segment, Result.CONVERTED, verdict=VERDICT)

    @contextlib.contextmanager
    def job_lock(self, _path: str) -> Iterator[bool]:
        yield True

    # --- what is told ---------------------------------------------------------------------------

    def on_night(self, night: Night) -> None:
        tell(night, lambda: Standing(None, 0, 0, 0, None, None), self.tell)

    def add(self, name: str, size_bytes: int, age_days: float) -> None:
        mtime_ns = int((OPENS_S - age_days * S_PER_DAY) * 1e9)
        self.index.put(Segment("porch", "/cams/porch", name, size_bytes, mtime_ns))

    def pass_the_night(self) -> "Box":
        self.shift.run()
        self.foreman.close()
        print()  # noqa: T201 - the event log, for whoever asks for it with -s
        print("\n".join(self.tell.lines))  # noqa: T201 - the same
        assert not self.tell.at("unexpected"), "a fault of our own"
        return self


def eventful(at_s: float) -> Load:
    load = CALM
    if 600 <= at_s < 603:  # somebody opens the NVR's page
        load = replace(load, others_cpu_percent=85.0)
    if 900 <= at_s < 1000:  # around the limit
        load = replace(load, others_cpu_percent=17.0 if int(at_s / 2) % 2 else 13.5)
    if 1500 <= at_s < 1590:  # detection on the same GPU
        load = replace(load, gpu_others_percent=80.0)
    return load


@pytest.fixture(scope="module")
def night() -> Box:
    box = Box(eventful)
    for number in range(7):
        box.add(f"{number}.mp4", FILE_S, 20 - number)
    box.add("slow.mp4", FILE_S * 2, 10)
    box.add("long.mp4", 20_000, 9)
    box.add("late.mp4", FILE_S, 8)
    return box.pass_the_night()


def test_a_spike_freezes_the_job_within_two_seconds_and_calm_lets_it_go(night: Box) -> None:
    assert night.tell.at("transcode_paused", reason="cpu")[0] <= "02:10:02.0+0000"
    assert night.tell.at("transcode_resumed", reason="cpu")[0] <= "02:10:15.0+0000"


def test_around_the_limit_it_pauses_once(night: Box) -> None:
    assert len([one for one in night.tell.at("transcode_paused") if one.startswith("02:15")]) == 1


def test_a_camera_that_dies_holds_until_it_is_given_up_and_its_job_is_ended(night: Box) -> None:
    (held,) = night.tell.at("gate_held", reason="recorder")
    (absent,) = night.tell.at("recorder_unhealthy", camera="garden", state="absent")
    (aborted,) = night.tell.at("transcode_failed", path="/cams/porch/3.mp4", reason="recorder")
    assert held < absent <= aborted
    assert [one for one in night.tell.at("transcode_started") if one >= aborted]


def test_a_disk_that_fills_ends_the_job_halts_once_and_is_over_once(night: Box) -> None:
    assert night.tell.at("transcode_failed", reason="disk")[0].startswith("03:56:4")
    assert len(night.tell.at("halted", reason="disk_full")) == 1
    (over,) = night.tell.at("halt_over", reason="disk_full")
    assert "04:01:40" <= over <= "04:02:11"  # as soon as work begins again, not when it has ended
    (summary,) = night.tell.named("night_summary")
    held = cast("dict[str, float]", summary["held_by_reason"])
    assert 250 <= held["halted"] <= 350


def test_nothing_is_begun_that_will_not_fit_and_the_slow_one_ends_at_the_windows_end(
    night: Box,
) -> None:
    assert not night.tell.at("transcode_started", path="/cams/porch/long.mp4")
    (aborted,) = night.tell.at("transcode_failed", path="/cams/porch/slow.mp4", reason="window")
    assert "06:00:00" <= aborted <= "06:10:01"


def test_its_account_adds_up(night: Box) -> None:
    (row,) = night.ledger.nights
    assert row.work_s + row.held_s + row.idle_s == pytest.approx(CLOSES_S + 600, abs=660)
    assert len(night.tell.at("window_opened")) == len(night.tell.at("window_closed")) == 1
    assert night.tell.at("window_wasted") == []


def test_a_night_that_others_needed_is_told_as_wasted_with_the_limit_that_would_do() -> None:
    box = Box(lambda _: replace(CALM, others_cpu_percent=26.0), incidents=False)
    box.add("a.mp4", FILE_S, 9)
    box.pass_the_night()
    (wasted,) = box.tell.named("window_wasted")
    assert (wasted["reason"], wasted["median"], wasted["limit"]) == ("cpu", 26.0, 15.0)
    assert wasted["suggestion"] == "max_cpu_percent: 30"
    (row,) = box.ledger.nights
    assert row.held_s > 0.95 * CLOSES_S  # at last it would not have fitted any more


@pytest.mark.parametrize(("held_s", "is_told"), [(299.0, False), (300.0, True)])
def test_a_restart_after_a_few_minutes_calls_no_window_wasted(held_s: float, is_told: bool) -> None:
    night, emitted = Night(0.0), Emitted()
    night.holds.wait(Reason.CPU, held_s)
    tell(night, lambda: Standing(None, 0, 0, 0, None, None), emitted)
    assert bool(emitted.named("window_wasted")) is is_told
