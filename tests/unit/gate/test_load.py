"""Load is everybody else's: arithmetic over counters, no machine needed."""

import errno
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.clock import ManualClock

from watcher.gate.gpu import Client, GpuShare, Tally, busiest, parse_fdinfo
from watcher.gate.load import (
    TICK_S,
    CpuTotals,
    LoadMeter,
    Pressure,
    cpu_totals,
    hottest_c,
    tree_cpu_s,
)


@dataclass
class FakeCounters:
    """Counters that a test turns by hand; four CPUs."""

    clock: ManualClock
    busy_s: float = 1000.0
    io_wait_s: float = 50.0
    total_s: float = 10_000.0
    own: dict[int, float] = field(default_factory=lambda: {1: 5.0})
    io_s: float | None = 3.0
    memory_s: float | None = 0.0
    hot_c: float | None = None
    asked_hot: int = 0

    def cpu(self) -> CpuTotals:
        return CpuTotals(self.busy_s, self.io_wait_s, self.total_s)

    def own_s(self) -> dict[int, float]:
        return dict(self.own)

    def pressure(self) -> Pressure:
        return Pressure(self.io_s, self.memory_s)

    def temperature_c(self) -> float | None:
        self.asked_hot += 1
        return self.hot_c

    def pass_time(self, seconds: float, *, busy_s: float = 0.0, io_wait_s: float = 0.0) -> None:
        self.clock.advance(seconds)
        self.total_s += 4 * seconds
        self.busy_s += busy_s
        self.io_wait_s += io_wait_s


class NoGpu:
    def sample(self, now_s: float, own: Iterable[int]) -> GpuShare | None:
        del now_s, own
        return None


class Meter:
    """A meter on fake counters."""

    def __init__(self, *, temperature: bool = False) -> None:
        self.clock = ManualClock()
        self.counters = FakeCounters(self.clock)
        self.meter = LoadMeter(
            counters=self.counters, gpu=NoGpu(), temperature=temperature, clock=self.clock
        )


class TestCpu:
    def test_ours_is_taken_off(self) -> None:
        on = Meter()
        on.counters.own[1] += 0.5
        on.counters.own[2] = 0.5  # a child, new
        on.counters.pass_time(1.0, busy_s=2.0)
        load = on.meter.sample()
        assert load.others_cpu_percent == pytest.approx(25.0)
        assert load.own_cpu_percent == pytest.approx(25.0)
        assert load.interval_s == pytest.approx(1.0)

    def test_a_child_that_ended_is_in_its_parents_figure(self) -> None:
        on = Meter()
        on.counters.own[2] = 7.0
        on.counters.pass_time(1.0)
        on.meter.sample()
        del on.counters.own[2]
        on.counters.own[1] += 7.0 + 1.0  # reaped, with a last second that we had not seen
        on.counters.pass_time(1.0, busy_s=1.0)
        assert on.meter.sample().others_cpu_percent == pytest.approx(0.0)

    def test_a_grandchild_left_to_init_makes_nobody_elses_load_and_none_of_ours(self) -> None:
        on = Meter()
        on.counters.own[3] = 60.0
        on.counters.pass_time(1.0, busy_s=0.4)
        on.meter.sample()
        del on.counters.own[3]
        on.counters.pass_time(1.0, busy_s=0.4)
        load = on.meter.sample()
        assert load.own_cpu_percent == 0.0
        assert load.others_cpu_percent == pytest.approx(10.0)

    def test_stays_between_nothing_and_everything(self) -> None:
        on = Meter()
        on.counters.own[1] += 3.0  # read a moment later than the machine's figure
        on.counters.pass_time(0.5, busy_s=1.9)
        load = on.meter.sample()
        assert load.others_cpu_percent == 0.0
        assert load.own_cpu_percent == 100.0

    def test_two_calls_in_the_same_instant_are_no_division_by_nothing(self) -> None:
        on = Meter()
        assert on.meter.sample().others_cpu_percent == 0.0


class TestIo:
    def test_wait_is_a_share_of_all_cpus_and_may_go_backwards(self) -> None:
        on = Meter()
        on.counters.pass_time(1.0, io_wait_s=0.4)
        assert on.meter.sample().io_wait_percent == pytest.approx(10.0)
        on.counters.pass_time(1.0, io_wait_s=-0.2)
        assert on.meter.sample().io_wait_percent == 0.0

    def test_pressure_is_a_share_of_the_time(self) -> None:
        on = Meter()
        on.counters.io_s, on.counters.memory_s = 3.3, 0.1
        on.counters.pass_time(1.0)
        load = on.meter.sample()
        assert load.io_pressure_percent == pytest.approx(30.0)
        assert load.memory_pressure_percent == pytest.approx(10.0)
        assert load.io_worst[0] == "I/O pressure"
        assert load.io_percent == pytest.approx(30.0)

    def test_a_kernel_without_psi_has_no_figure(self) -> None:
        on = Meter()
        on.counters.io_s = None
        on.counters.pass_time(1.0, io_wait_s=0.4)
        load = on.meter.sample()
        assert load.io_pressure_percent is None
        assert load.io_worst[0] == "I/O wait"
        assert load.io_percent == pytest.approx(10.0)


class TestTemperature:
    @pytest.mark.parametrize(
        ("sensors", "hottest"),
        [
            # a disk that is always warm holds nothing
            ({"nvme": [84.0], "coretemp": [51.0, 63.0], "acpitz": [27.8]}, 63.0),
            ({"k10temp": [], "coretemp": [40.0]}, 40.0),
            ({"acpitz": [27.8], "nvme": [44.0]}, 44.0),  # better than none
            ({"coretemp": []}, None),
            ({}, None),
        ],
    )
    def test_the_hottest_sensor_of_the_processor_counts(
        self, sensors: dict[str, list[float]], hottest: float | None
    ) -> None:
        assert hottest_c(sensors) == hottest

    def test_sensors_are_asked_where_there_is_a_limit_and_every_five_seconds(self) -> None:
        on = Meter(temperature=True)
        on.counters.hot_c = 71.0
        for _ in range(20):
            on.counters.pass_time(0.5)
            assert on.meter.sample().temperature_c == 71.0
        assert on.counters.asked_hot == 2

    def test_without_a_limit_they_are_left_alone(self) -> None:
        on = Meter()
        on.counters.pass_time(0.5)
        assert on.meter.sample().temperature_c is None
        assert on.counters.asked_hot == 0


I915 = """pos:\t0
flags:\t02100002
drm-driver:\ti915
drm-client-id:\t7
drm-pdev:\t0000:00:02.0
drm-total-system0:\t35820 KiB
drm-engine-render:\t9288864723 ns
drm-engine-copy:\t2035071108 ns
drm-engine-video:\t5000 ns
drm-engine-capacity-video:\t2
drm-engine-video-enhance:\t0 ns
"""

XE = """drm-driver:\txe
drm-client-id:\t3
drm-pdev:\t0000:03:00.0
drm-cycles-vcs:\t500
drm-total-cycles-vcs:\t100000
drm-engine-capacity-vcs:\t1
"""


def client(pdev: str, number: str, **engines: Tally) -> tuple[tuple[str, str], Client]:
    key = (pdev, number)
    return key, Client(key, engines)


class TestGpu:
    def test_reads_an_i915_client(self) -> None:
        found = parse_fdinfo(I915)
        assert found is not None
        assert found.key == ("0000:00:02.0", "7")
        assert found.engines == {
            "render": Tally(9288864723, None, 1),
            "copy": Tally(2035071108, None, 1),
            "video": Tally(5000, None, 2),
            "video-enhance": Tally(0, None, 1),
        }

    def test_reads_an_xe_client(self) -> None:
        found = parse_fdinfo(XE)
        assert found is not None
        assert found.engines == {"vcs": Tally(500, 100_000, 1)}

    @pytest.mark.parametrize(
        "text",
        ["", "pos:\t0\nflags:\t02\n", "drm-client-id", "drm-engine-video:\t12 ns\n", "\x00\xff"],
    )
    def test_what_is_no_client_is_none(self, text: str) -> None:
        assert parse_fdinfo(text) is None

    def test_a_broken_figure_counts_as_nothing(self) -> None:
        found = parse_fdinfo("drm-client-id:\t1\ndrm-engine-video:\tlots ns\n")
        assert found is not None
        assert found.engines["video"].used == 0

    def test_clients_are_added_up_engine_by_engine_and_the_busiest_is_given(self) -> None:
        before = dict(
            [
                client("gpu", "1", video=Tally(0, None, 2), render=Tally(0, None, 1)),
                client("gpu", "2", video=Tally(0, None, 2)),
            ]
        )
        now = dict(
            [
                client("gpu", "1", video=Tally(10**9, None, 2), render=Tally(10**8, None, 1)),
                client("gpu", "2", video=Tally(6 * 10**8, None, 2)),
            ]
        )
        share = busiest(before, now, 1.0)
        assert share.engine == "video"
        assert share.percent == pytest.approx(80.0)

    def test_two_devices_engines_are_not_added(self) -> None:
        before = dict(
            [
                client("a", "1", video=Tally(0, None, 1)),
                client("b", "1", video=Tally(0, None, 1)),
            ]
        )
        now = dict(
            [
                client("a", "1", video=Tally(4 * 10**8, None, 1)),
                client("b", "1", video=Tally(5 * 10**8, None, 1)),
            ]
        )
        assert busiest(before, now, 1.0).percent == pytest.approx(50.0)

    def test_cycles_are_a_share_of_all_cycles(self) -> None:
        before = dict([client("gpu", "1", vcs=Tally(100, 1000, 1))])
        now = dict([client("gpu", "1", vcs=Tally(400, 2000, 1))])
        share = busiest(before, now, 1.0)
        assert share.engine == "vcs"
        assert share.percent == pytest.approx(30.0)

    def test_what_a_client_had_done_before_it_was_seen_is_not_counted(self) -> None:
        now = dict([client("gpu", "1", video=Tally(10**12, None, 1))])
        assert busiest({}, now, 1.0).percent == 0.0

    def test_nobody_is_nothing(self) -> None:
        assert busiest({}, {}, 1.0) == GpuShare(0.0, "")


class Unreadable(FakeCounters):
    """No descriptor is left while *blind*."""

    blind = True

    def cpu(self) -> CpuTotals:
        if self.blind:
            raise OSError(errno.EMFILE, "Too many open files")
        return super().cpu()


def test_what_can_not_be_read_is_as_it_was_and_counted() -> None:
    clock = ManualClock()
    counters = Unreadable(clock)
    meter = LoadMeter(counters=counters, gpu=NoGpu(), clock=clock)
    assert meter.sample().unread == 1
    counters.blind = False
    assert meter.sample().unread == 0
    counters.pass_time(0.5, busy_s=1.0)
    assert meter.sample().others_cpu_percent == 50.0
    counters.blind = True
    counters.pass_time(0.5, busy_s=2.0)
    assert [(one.others_cpu_percent, one.unread) for one in (meter.sample(), meter.sample())] == [
        (50.0, 1),
        (50.0, 2),
    ]
    counters.blind = False
    seen = meter.sample()
    assert (seen.others_cpu_percent, seen.unread) == (100.0, 0)


def proc_of(root: Path, parents: dict[int, int], *, lists_children: bool) -> Path:
    """Make a /proc of processes, each under its parent, with 100 ticks more than the one before."""
    for number, (pid, parent) in enumerate(parents.items()):
        task = root / f"{pid}/task/{pid}"
        task.mkdir(parents=True)
        ticks = f"{number} 1 {100 * number} 0"
        (root / f"{pid}/stat").write_text(
            f"{pid} (a ) name) S {parent} {'0 ' * 9}{ticks} 20 0", encoding="ascii"
        )
        if lists_children:
            below = [str(child) for child, of in parents.items() if of == pid]
            (task / "children").write_text(" ".join(below), encoding="ascii")
    (root / "self").mkdir()
    return root


@pytest.mark.parametrize("lists_children", [True, False])
def test_each_process_of_ours_is_counted_once_and_nobody_elses(
    tmp_path: Path, lists_children: bool
) -> None:
    """On kernels that list children, and on those where all of /proc is read; who ended is gone."""
    proc = proc_of(
        tmp_path, {10: 1, 11: 10, 12: 10, 13: 12, 20: 1, 21: 20}, lists_children=lists_children
    )
    found = list(tree_cpu_s(proc, [10, 12, 99]))
    assert sorted(pid for pid, _ in found) == [10, 11, 12, 13]
    spent = dict(found)
    assert (
        spent[11] - spent[10] == pytest.approx(spent[13] - spent[12]) == pytest.approx(101 * TICK_S)
    )
    assert list(tree_cpu_s(proc, [99])) == []
    assert list(tree_cpu_s(proc, [])) == []


def test_each_cpu_second_is_counted_once() -> None:
    """A guest's are in its host's; what a hypervisor has taken away is nobody's work."""
    busy = {"user": 1, "nice": 2, "system": 4, "irq": 8, "softirq": 16}
    other = {"iowait": 32, "idle": 64, "steal": 128, "guest": 256, "guest_nice": 512}
    assert cpu_totals({**busy, **other}) == CpuTotals(31, 32, 255)
