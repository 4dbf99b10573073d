"""What a night's holds add up to, and what would have let it work."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from watcher.gate.gate import GateState, step
from watcher.gate.holds import HoldLedger
from watcher.gate.readings import Go, Hold, Limits, Load, Readings, Reason

LIMITS = Limits(temperature_c=80)
LOAD = Load(interval_s=0.5, others_cpu_percent=3.0, gpu_others_percent=10.0, temperature_c=60.0)
CPU = Hold(Reason.CPU, "CPU used by others", 30.0, 15.0)


def night(ledger: HoldLedger, percents: list[float], decision: Hold | Go) -> None:
    for percent in percents:
        readings = Readings(load=replace(LOAD, others_cpu_percent=percent))
        ledger.note(decision, readings, LIMITS, 0.5)


def test_adds_up_by_reason_most_first() -> None:
    ledger = HoldLedger()
    night(ledger, [30.0] * 20, CPU)
    night(ledger, [3.0] * 10, Hold(Reason.RECORDER, "cam1: silent"))
    night(ledger, [3.0] * 4, Go())
    night(ledger, [3.0] * 2, Go(run=False))
    ledger.idle(7.0)
    assert ledger.held_by_reason == {"cpu": 10.0, "recorder": 5.0}
    assert list(ledger.held_by_reason) == ["cpu", "recorder"]
    assert (ledger.held_s, ledger.worked_s, ledger.stood_s, ledger.idle_s) == (15, 2, 1, 7)


def test_a_night_held_for_one_reason_says_its_median_and_what_limit_would_have_done() -> None:
    ledger = HoldLedger()
    night(ledger, [18.0] * 600 + [22.0] * 300 + [60.0] * 50, CPU)
    night(ledger, [3.0] * 50, Go())
    wasted = ledger.wasted()
    assert wasted is not None
    assert (wasted.reason, wasted.held_percent) == (Reason.CPU, 95.0)
    assert (wasted.median, wasted.limit) == (18.0, 15.0)
    assert wasted.suggestion == "max_cpu_percent: 20"


def test_a_night_that_worked_a_tenth_of_the_time_was_not_wasted() -> None:
    ledger = HoldLedger()
    night(ledger, [30.0] * 90, CPU)
    night(ledger, [3.0] * 10, Go())
    assert ledger.wasted() is None


def test_a_night_held_for_two_reasons_is_not_one_reasons_fault() -> None:
    ledger = HoldLedger()
    night(ledger, [30.0] * 50, CPU)
    night(ledger, [3.0] * 50, Hold(Reason.RECORDER, "cam1: silent"))
    assert ledger.wasted() is None


def test_a_child_that_stood_still_to_find_something_out_was_not_held() -> None:
    ledger = HoldLedger()
    night(ledger, [30.0] * 85, CPU)
    night(ledger, [3.0] * 15, Go(run=False))
    assert ledger.wasted() is None


@pytest.mark.parametrize(
    ("reason", "figure", "suggestion"),
    [
        (Reason.CPU, {"others_cpu_percent": 91.0}, "max_cpu_percent: 95"),
        (Reason.CPU, {"others_cpu_percent": 96.0}, "choose others in run_schedule"),
        (Reason.GPU, {"gpu_others_percent": 91.0}, "max_gpu_percent: 95"),
        (Reason.GPU, {"gpu_others_percent": 96.0}, "choose others in run_schedule"),
        (Reason.IO, {"io_wait_percent": 46.0}, "max_io_wait: 50"),
        (Reason.IO, {"io_wait_percent": 51.0}, "choose others in run_schedule"),
        (Reason.TEMPERATURE, {"temperature_c": 84.0}, "max_temperature_c: 85"),
        (Reason.TEMPERATURE, {"temperature_c": 96.0}, "choose others in run_schedule"),
    ],
)
def test_a_limit_is_suggested_where_one_would_do(
    reason: Reason, figure: dict[str, Any], suggestion: str
) -> None:
    ledger = HoldLedger()
    for _ in range(100):
        ledger.note(Hold(reason, ""), Readings(load=replace(LOAD, **figure)), LIMITS, 0.5)
    wasted = ledger.wasted()
    assert wasted is not None
    assert wasted.suggestion.endswith(suggestion)


def test_time_without_work_counts_for_neither_side() -> None:
    ledger = HoldLedger()
    ledger.idle(10_000)
    assert ledger.wasted() is None
    night(ledger, [30.0] * 10, CPU)
    assert ledger.wasted() is not None


def test_a_machine_that_is_always_busy_is_told_to_choose_other_hours() -> None:
    ledger = HoldLedger()
    night(ledger, [97.0] * 100, CPU)
    wasted = ledger.wasted()
    assert wasted is not None
    assert "run_schedule" in wasted.suggestion


def test_the_disks_limit_is_suggested_by_its_own_figures() -> None:
    ledger = HoldLedger()
    readings = Readings(load=replace(LOAD, io_wait_percent=9.0))
    for _ in range(100):
        ledger.note(Hold(Reason.IO, "I/O wait by others"), readings, LIMITS, 0.5)
    wasted = ledger.wasted()
    assert wasted is not None
    assert wasted.suggestion == "max_io_wait: 10"


@pytest.mark.parametrize(
    "reason", [Reason.RECORDER, Reason.DISK, Reason.DISABLED, Reason.HALTED, Reason.WINDOW]
)
def test_what_has_no_limit_has_advice(reason: Reason) -> None:
    ledger = HoldLedger()
    ledger.note(Hold(reason, ""), Readings(load=LOAD), LIMITS, 100.0)
    wasted = ledger.wasted()
    assert wasted is not None
    assert wasted.suggestion
    assert wasted.median is None


def played(busy: Callable[[int], float], limit: float) -> HoldLedger:
    """An hour under the real gate."""
    limits, state, ledger = replace(LIMITS, cpu_percent=limit), GateState(), HoldLedger()
    for beat in range(7200):
        readings = Readings(load=replace(LOAD, others_cpu_percent=busy(beat)), child=True)
        state, decision = step(state, readings, limits, beat * 0.5)
        ledger.note(decision, readings, limits, 0.5)
    return ledger


@pytest.mark.parametrize(
    "busy",
    [
        lambda beat: 90.0 if beat % 10 in {0, 1} else 10.0,
        lambda beat: 60.0 if beat % 20 < 4 else 22.0,
        lambda beat: 26.0 + beat % 3,
        lambda beat: 70.0 if beat // 1800 % 2 else 18.0 + beat % 2,
    ],
    ids=["short bursts", "bursts over a floor", "steady", "half an hour each"],
)
def test_what_is_suggested_would_have_worked_and_no_lower_limit_would(
    busy: Callable[[int], float],
) -> None:
    wasted = played(busy, 15.0).wasted()
    if wasted is None:  # half of the night was worked as it was
        pytest.fail("the night was meant to be wasted")
    if wasted.suggestion.startswith("no sensible limit"):
        assert played(busy, 95.0).worked_s < 1800
        return
    limit = float(wasted.suggestion.removeprefix("max_cpu_percent: "))
    assert played(busy, limit).worked_s >= 1800
    assert played(busy, limit - 5).worked_s < 1800


def test_a_whole_day_costs_no_more_memory_than_an_hour() -> None:
    ledger = HoldLedger()
    for beat in range(3000):
        load = replace(LOAD, others_cpu_percent=(beat * 7919 % 100_000) / 1000)
        ledger.note(CPU, Readings(load=load), LIMITS, 0.5)
    assert len(ledger._values[Reason.CPU]) <= 1001
