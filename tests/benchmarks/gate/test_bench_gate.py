"""What one look at the gate costs, at two a second while there is work. Prints; fails none."""

import time
from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from support.emitted import Emitted

from watcher.gate import load
from watcher.gate.gauge import GateKeeper, Gauge
from watcher.gate.gpu import GpuMeter
from watcher.gate.load import LoadMeter
from watcher.gate.readings import Limits
from watcher.gate.recorders import RecorderSettings, RecorderWatch
from watcher.gate.window import Window

pytestmark = pytest.mark.bench
CALLS = 500


def each_us(call: Callable[[], object]) -> float:
    started = time.process_time()
    for _ in range(CALLS):
        call()
    return (time.process_time() - started) / CALLS * 1e6


def test_a_look(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    window = Window.parse("22:00-04:00, Sat-Sun 00:00-08:00", ZoneInfo("Europe/Berlin"))
    recorders = RecorderWatch(
        {f"cam{n}": RecorderSettings(segment_seconds=60) for n in range(8)}, emit=Emitted()
    )
    for number in range(8):
        path = tmp_path / f"{number}.mp4"
        path.touch()
        recorders.opened(f"cam{number}", str(path))
    meter = LoadMeter(temperature=True)
    gauge = Gauge(meter=meter, recorders=recorders, window=window)
    keeper = GateKeeper(gauge, Limits(temperature_c=90))
    processes = sum(1 for entry in Path("/proc").iterdir() if entry.name.isdigit())
    at_s = time.time()
    figures = {
        "the whole look": each_us(lambda: keeper.look(child=True, directory=str(tmp_path))),
        "  load": each_us(meter.sample),
        "  eight recorders": each_us(recorders.tick),
        "  the window, asked anew": each_us(lambda: window.state(at_s)),
        "own tree by everybody's parent": each_us(
            lambda: dict(load._tree_by_parents(Path("/proc"), [1]))
        ),
        "looking for GPU clients": each_us(
            lambda: GpuMeter(Path("/proc"), Path("/dev")).sample(1.0, [])
        ),
    }
    with capsys.disabled():
        print(f"\n{processes} processes; CPU time of one call:")  # noqa: T201 - the figures
        for name, microseconds in figures.items():
            print(f"{name:34}{microseconds:10.1f} µs")  # noqa: T201 - the figures
        share = figures["the whole look"] * 2 / 1e6
        print(f"twice a second: {share:.2%} of a core")  # noqa: T201 - the figures
