"""The whole gate on a real machine: a stranger's load becomes a hold, our own never does.

The limits are chosen so that what else this machine does meanwhile changes nothing.
"""

import threading
from pathlib import Path

import pytest
from support import loads
from support.emitted import Emitted

from watcher.gate.gauge import GateKeeper, Gauge
from watcher.gate.load import LoadMeter, ProcCounters
from watcher.gate.readings import Decision, Hold, Limits, Reason, Space
from watcher.gate.recorders import RecorderWatch
from watcher.gate.window import Window


def keeper(limits: Limits, *, roots: list[int] | None = None) -> GateKeeper:
    counters = ProcCounters() if roots is None else ProcCounters(roots=lambda: roots)
    gauge = Gauge(
        meter=LoadMeter(counters=counters),
        recorders=RecorderWatch({}, emit=Emitted()),
        window=Window.parse("always", "UTC"),
    )
    return GateKeeper(gauge, limits)


def look_until_held(gate: GateKeeper, directory: str) -> Decision:
    wake = threading.Event()
    for _ in range(200):
        decision, _ = gate.look(child=True, directory=directory)
        if isinstance(decision, Hold):
            return decision
        wake.wait(0.25)
    return decision


def test_a_strangers_load_becomes_a_hold(tmp_path: Path) -> None:
    gate = keeper(Limits(cpu_percent=2.0, io_percent=100.0, critical_bytes=0))
    with loads.stranger():
        decision = look_until_held(gate, str(tmp_path))
    assert isinstance(decision, Hold)
    assert decision.reason is Reason.CPU
    assert decision.value is not None
    assert decision.value > 2.0


def test_in_a_host_the_hosts_own_load_is_others(tmp_path: Path) -> None:
    """Inside the recorder's own process, what it does is what must not be disturbed."""
    with loads.burning() as ours, loads.burning():
        gate = keeper(Limits(cpu_percent=2.0, io_percent=100.0, critical_bytes=0), roots=[ours])
        decision = look_until_held(gate, str(tmp_path))
    assert isinstance(decision, Hold)


@pytest.mark.parametrize("critical_bytes", [0, 10**18])
def test_the_disk_is_this_disk(tmp_path: Path, critical_bytes: int) -> None:
    limits = Limits(cpu_percent=100.0, io_percent=100.0, critical_bytes=critical_bytes)
    decision, readings = keeper(limits).look(child=True, directory=str(tmp_path))
    assert isinstance(readings.space, Space)
    assert 0 < readings.space.free_bytes < readings.space.total_bytes
    reason = decision.reason if isinstance(decision, Hold) else None
    assert reason is (Reason.DISK if critical_bytes else None)
