"""A night in fast motion: the whole gate over an autumn night, told as its event log.

The window is 02:00-04:00 in Berlin on the night of 25 hours, so it lasts three. Run with -s to
read the log.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from support.clock import ManualClock
from support.timeline import Timeline

from watcher.gate.gate import CHANGE_S
from watcher.gate.gauge import GateKeeper, Gauge
from watcher.gate.holds import HoldLedger
from watcher.gate.readings import GB, Abort, Decision, Hold, Limits, Load, Readings, Space
from watcher.gate.recorders import RecorderSettings, RecorderWatch
from watcher.gate.window import Window

BERLIN = ZoneInfo("Europe/Berlin")
OPENS_S = datetime(2026, 10, 25, 2, 0, tzinfo=BERLIN).timestamp()
LASTS_S = 3 * 3600
TICK_S = 0.5
FILE_S = 1200.0
LONG = 8  # the file that is twice as long
LIMITS = Limits(max_pause_s=20 * 60.0)
CALM = Load(interval_s=TICK_S, others_cpu_percent=4.0, gpu_others_percent=5.0)


@dataclass
class Job:
    number: int
    work_left_s: float
    paused: bool = False


class Script:
    """What the machine and the recorders do, by seconds since the opening."""

    def __init__(self, night: "Night") -> None:
        self.night = night

    def sample(self) -> Load:
        at_s = self.night.at_s
        odd = int(at_s / 2) % 2 == 1
        load = CALM
        if 600 <= at_s < 603:  # somebody opens the NVR's page: 3 s of spike
            load = replace(load, others_cpu_percent=85.0)
        if 900 <= at_s < 1000:  # around the limit, four seconds a turn
            load = replace(load, others_cpu_percent=17.0 if odd else 13.5)
        if 1500 <= at_s < 1590:  # detection on the same GPU
            load = replace(load, gpu_others_percent=80.0)
        if 2000 <= at_s < 2200 and self.night.ran:  # the disk is slow, and it is we who read
            load = replace(load, io_wait_percent=20.0)
        if 2400 <= at_s < 2460:  # a backup reads the same disk
            load = replace(load, io_pressure_percent=25.0)
        return load

    def space(self, _: str) -> Space:
        free_gb = 4.8 if 7000 <= self.night.at_s < 7300 else 140.0
        return Space(round(free_gb * GB), 1000 * GB)

    def records(self, camera: str) -> bool:
        at_s = self.night.at_s
        if camera == "porch":
            return not 3000 <= at_s < 3600  # its cable is pulled, and put back
        return at_s < 4500  # the garden's camera dies for good


class Night:
    """The shift's part, as small as can be: one job after another under the gate."""

    def __init__(self) -> None:
        self.clock = ManualClock(OPENS_S - 60)
        self.tell = Timeline(self.clock, BERLIN)
        self.script = Script(self)
        self.recorders = RecorderWatch(
            {name: RecorderSettings(segment_seconds=60) for name in ("porch", "garden")},
            max_pause_s=LIMITS.max_pause_s,
            clock=self.clock,
            emit=self.tell,
        )
        gauge = Gauge(
            meter=self.script,
            recorders=self.recorders,
            window=Window.parse("02:00-04:00", BERLIN),
            space=self.script.space,
            clock=self.clock,
        )
        self.gate = GateKeeper(gauge, LIMITS, clock=self.clock)
        self.ledger = HoldLedger()
        self.job: Job | None = None
        self.jobs = 0
        self.done = 0
        self.ran = False
        self.open = False
        self.held: Hold | None = None
        self.held_since_s = 0.0
        self.changes: list[float] = []

    @property
    def at_s(self) -> float:
        return self.clock.wall_s() - OPENS_S

    def run(self, until_s: float) -> None:
        while self.at_s < until_s:
            self.record()
            decision, readings = self.gate.look(
                child=self.job is not None, directory="/srv/recordings/porch"
            )
            self.edge(readings)
            if self.open or self.job is not None:
                self.ledger.note(decision, readings, LIMITS, TICK_S)
                self.hold_or_release(decision)
                self.work(decision)
            self.clock.advance(TICK_S)

    def record(self) -> None:
        if round(self.at_s * 2) % 120 == 0:
            for camera in ("porch", "garden"):
                if self.script.records(camera):
                    self.recorders.closed(camera, f"/srv/recordings/{camera}/{self.at_s:.0f}.mp4")

    def edge(self, readings: Readings) -> None:
        is_open = readings.window is not None and readings.window.is_open
        if is_open is not self.open:
            self.tell("window_opened" if is_open else "window_closed")
            self.open = is_open

    def hold_or_release(self, decision: Decision) -> None:
        hold = decision if isinstance(decision, Hold) else None
        if (hold and hold.reason) is (self.held and self.held.reason):
            return
        if self.held is not None:
            held_s = self.clock.monotonic_s() - self.held_since_s
            self.tell("gate_released", reason=str(self.held.reason), duration_s=held_s)
        if hold is not None:
            told = {"value": hold.value, "limit": hold.limit}
            self.tell("gate_held", reason=str(hold.reason), detail=hold.detail, **told)
        self.changes.append(self.at_s)
        self.held, self.held_since_s = hold, self.clock.monotonic_s()

    def work(self, decision: Decision) -> None:
        self.ran = False
        if isinstance(decision, Hold):
            self.stand(decision)
            return
        if self.job is None and self.open:
            self.jobs += 1
            self.job = Job(self.jobs, FILE_S * 2 if self.jobs == LONG else FILE_S)
            self.tell("transcode_started", path=f"{self.jobs}.mp4")
        if self.job is None or not decision.run:
            return
        if self.job.paused:
            self.tell("transcode_resumed", path=f"{self.job.number}.mp4")
        self.job.paused = False
        self.job.work_left_s -= TICK_S
        self.ran = True
        if self.job.work_left_s <= 0:
            self.tell("transcode_finished", path=f"{self.job.number}.mp4")
            self.done += 1
            self.job = None

    def stand(self, hold: Hold) -> None:
        if self.job is None:
            return
        if isinstance(hold, Abort):
            self.tell(
                "transcode_failed",
                path=f"{self.job.number}.mp4",
                reason=str(hold.reason),
                detail=hold.detail,
            )
            self.job = None
        elif not self.job.paused:
            self.job.paused = True
            self.tell("transcode_paused", path=f"{self.job.number}.mp4", reason=str(hold.reason))


@pytest.fixture(scope="module")
def night() -> Night:
    passed = Night()
    passed.run(LASTS_S + 900)
    print()  # noqa: T201 - the event log, for whoever asks for it with -s
    print("\n".join(passed.tell.lines))  # noqa: T201 - the same
    print("held", dict(passed.ledger.held_by_reason), "worked", passed.ledger.worked_s)  # noqa: T201
    return passed


def test_it_opens_once_and_closes_once_although_two_oclock_comes_twice(night: Night) -> None:
    assert night.tell.at("window_opened") == ["02:00:00.0+0200"]
    assert night.tell.at("window_closed") == ["04:00:00.0+0100"]


def test_a_spike_pauses_within_two_seconds_and_calm_releases(night: Night) -> None:
    assert night.tell.at("gate_held", reason="cpu")[0] == "02:10:00.5+0200"
    assert night.tell.at("gate_released", reason="cpu")[0] == "02:10:13.0+0200"


def test_a_signal_around_the_limit_is_held_once(night: Night) -> None:
    around = [one for one in night.tell.at("gate_held", reason="cpu") if one.startswith("02:15")]
    assert len(around) == 1


def test_our_own_io_is_never_a_hold_and_others_is(night: Night) -> None:
    assert night.tell.at("gate_held", reason="io") == ["02:40:03.5+0200"]


def test_a_recorder_that_falls_silent_holds_until_it_is_back(night: Night) -> None:
    assert night.tell.at("recorder_unhealthy", camera="porch", state="unhealthy") == [
        "02:50:30.5+0200"
    ]
    assert night.tell.at("gate_held", detail="porch") == ["02:50:30.5+0200"]
    assert night.tell.at("recorder_recovered", camera="porch") == ["02:00:00.0+0100"]


def test_one_that_stays_silent_ends_the_job_and_then_stops_nobody(night: Night) -> None:
    (aborted,) = night.tell.at("transcode_failed", reason="recorder")
    (absent,) = night.tell.at("recorder_unhealthy", camera="garden", state="absent")
    assert aborted[:5] == absent[:5] == "02:35"
    after = night.tell.lines[[line.split()[0] for line in night.tell.lines].index(absent) :]
    assert any("transcode_finished" in line for line in after)


def test_a_disk_that_fills_ends_the_job_at_once_and_work_begins_again_with_room(
    night: Night,
) -> None:
    assert night.tell.at("transcode_failed", reason="disk") == ["02:56:40.0+0100"]
    assert night.tell.at("gate_released", reason="disk") == ["03:01:40.0+0100"]


def test_at_the_end_the_job_has_its_overrun_and_no_more(night: Night) -> None:
    assert night.tell.at("transcode_failed", reason="window") == ["04:10:00.0+0100"]
    assert night.job is None


def test_nothing_flaps(night: Night) -> None:
    gaps = [b - a for a, b in zip(night.changes, night.changes[1:], strict=False)]
    assert min(gaps) >= CHANGE_S


def test_the_account_of_the_night(night: Night) -> None:
    assert night.done >= 3
    assert night.ledger.wasted() is None
    assert {"cpu", "gpu", "io", "recorder", "disk"} <= set(night.ledger.held_by_reason)
    assert night.ledger.worked_s >= night.done * FILE_S


def test_a_night_held_by_others_is_told_as_wasted() -> None:
    busy = Night()
    busy.script.sample = lambda: replace(CALM, others_cpu_percent=26.0)  # type: ignore[method-assign]  # another night
    busy.run(2900)
    wasted = busy.ledger.wasted()
    assert wasted is not None
    assert (wasted.reason, wasted.median, wasted.suggestion) == ("cpu", 26.0, "max_cpu_percent: 30")
