"""Everything in one reading: what does not apply is left out, what can't be read stops nothing."""

from datetime import datetime
from math import inf
from zoneinfo import ZoneInfo

from support.clock import ManualClock
from support.emitted import Emitted

from watcher.gate.gauge import GateKeeper, Gauge
from watcher.gate.readings import GB, Abort, Go, Hold, Limits, Load, Reason, Space
from watcher.gate.recorders import RecorderSettings, RecorderWatch
from watcher.gate.window import Window
from watcher.settings import Transcoding

BERLIN = ZoneInfo("Europe/Berlin")
HOUR_S = 3600.0


def instant(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


class Quiet:
    """A meter of a machine that does nothing."""

    def sample(self) -> Load:
        return Load(interval_s=0.5, others_cpu_percent=1.0)


class Site:
    def __init__(self, schedule: str = "02:00-06:00", now: str = "2026-06-10T03:00") -> None:
        self.clock = ManualClock(instant(now))
        self.recorders = RecorderWatch(
            {"cam": RecorderSettings(segment_seconds=60)}, clock=self.clock, emit=Emitted()
        )
        self.gauge = Gauge(
            meter=Quiet(),
            recorders=self.recorders,
            window=Window.parse(schedule, BERLIN),
            space=self.space,
            clock=self.clock,
        )

    @staticmethod
    def space(path: str) -> Space:
        if path == "/gone":
            raise FileNotFoundError(path)
        return Space(7 * GB, 100 * GB)


def test_reads_all_that_applies() -> None:
    readings = Site().gauge.read(child=True, directory="/srv", halted="an I/O error")
    assert readings.child
    assert readings.halted == "an I/O error"
    assert readings.window is not None
    assert readings.window.is_open
    assert readings.closed_for_s == 0
    assert readings.space == Space(7 * GB, 100 * GB)
    assert readings.recorder is None


def test_knows_for_how_long_the_window_has_been_closed() -> None:
    site = Site(now="2026-06-10T06:05")
    assert site.gauge.read().closed_for_s == 300
    # open once a week: nobody knows since when, but it is long
    assert Site("Sun 01:00-02:00", "2026-06-10T06:05").gauge.read().closed_for_s == inf


def test_follows_the_window_over_its_edges_and_a_clock_that_is_set() -> None:
    site = Site(now="2026-06-10T05:59")
    seen = []
    for wall in ("05:59", "06:00", "05:59", "01:59", "02:00"):
        site.clock.set_wall(instant(f"2026-06-10T{wall}"))
        window = site.gauge.read().window
        assert window is not None
        seen.append(window.is_open)
    assert seen == [True, False, True, False, True]


def test_by_hand_neither_window_nor_switch_apply_but_recorders_do() -> None:
    site = Site(now="2026-06-10T12:00")
    site.clock.advance(120)
    readings = site.gauge.read(enabled=False, by_hand=True)
    assert readings.window is None
    assert readings.enabled
    assert readings.recorder is not None


def test_a_disk_that_can_not_be_asked_or_does_not_matter_is_left_out() -> None:
    gauge = Site().gauge
    assert gauge.read(directory="/gone").space is None
    assert gauge.read().space is None


def test_the_keeper_only_keeps_the_state_between_looks() -> None:
    site = Site()
    keeper = GateKeeper(site.gauge, Limits(critical_bytes=8 * GB), clock=site.clock)
    decision, _ = keeper.look(directory="/srv")
    assert isinstance(decision, Hold)
    assert decision.reason is Reason.DISK
    since_s = decision.since_s
    site.clock.advance(0.5)
    decision, _ = keeper.look(directory="/srv")
    assert isinstance(decision, Hold)
    assert decision.since_s == since_s
    assert isinstance(keeper.look()[0], Go)


def test_the_configurations_limits_are_taken_in_their_units() -> None:
    limits = Limits.of(Transcoding(max_temperature_c=85, max_pause_minutes=30))
    assert limits == Limits(15, 5, 50, 85, 5 * GB, 1800, 600)


class Restless(ManualClock):
    """Goes on a little at each question, as clocks do: the tick is before the step."""

    def monotonic_s(self) -> float:
        self.advance(1e-5)
        return super().monotonic_s()


def test_a_job_frozen_for_a_camera_that_becomes_absent_is_ended_not_let_go() -> None:
    clock = Restless(instant("2026-06-10T03:00"))
    recorders = RecorderWatch(
        {"cam": RecorderSettings(segment_seconds=60)},
        max_pause_s=1200,
        clock=clock,
        emit=Emitted(),
    )
    gauge = Gauge(
        meter=Quiet(), recorders=recorders, window=Window.parse("always", BERLIN), clock=clock
    )
    keeper = GateKeeper(gauge, Limits(max_pause_s=1200), clock=clock)
    said: list[type] = []
    for _ in range(3000):
        decision, _readings = keeper.look(child=True)
        if not said or said[-1] is not type(decision):
            said.append(type(decision))
        clock.advance(0.5)
    assert said == [Go, Hold, Abort, Go]


def test_another_window_and_other_limits_are_in_force_at_the_next_look() -> None:
    site = Site(now="2026-06-10T03:00")
    keeper = GateKeeper(site.gauge, Limits(), clock=site.clock)
    assert isinstance(keeper.look(child=True)[0], Go)
    keeper.follow(Limits(overrun_s=0), Window.parse("22:00-23:00", BERLIN))
    decision, _ = keeper.look(child=True)
    assert isinstance(decision, Abort)
    assert decision.reason is Reason.WINDOW
    keeper.follow(Limits(critical_bytes=8 * GB), Window.parse("always", BERLIN))
    decision, _ = keeper.look(directory="/srv")
    assert isinstance(decision, Hold)
    assert decision.reason is Reason.DISK
