"""What everybody else uses of this machine, since it was last asked.

CPU is exact: the machine's busy time less that of our own process tree, children included that
have ended and been waited for meanwhile. I/O wait and pressure are the whole machine's; whose they
are, the gate finds out. The GPU's share is `gpu.py`'s. Steal is left out: in a virtual machine it
is caused by whoever runs, ourselves among them, and goes to nobody in here.

Every counter comes through a reader that a test can replace; sampling never raises: what can't be
read is None or nothing, and where nothing can be (no descriptor is left), the figures are the last
ones known and `Load.unread` counts how often: the gate holds after a few.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

import psutil

from watcher.clock import Clock, SystemClock
from watcher.gate.gpu import GpuMeter, GpuShare
from watcher.gate.readings import Load

_PROC = Path("/proc")
TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")
_SENSORS_EVERY_S = 5.0  # hwmon reads talk to slow buses, and heat is slow


@dataclass(frozen=True, slots=True)
class CpuTotals:
    """Seconds that all CPUs together have spent, since boot."""

    busy_s: float
    io_wait_s: float
    total_s: float


@dataclass(frozen=True, slots=True)
class Pressure:
    """Seconds in which every task that wanted to run waited instead (PSI `full`), since boot."""

    io_s: float | None
    memory_s: float | None


class Counters(Protocol):
    """Where the figures come from."""

    def cpu(self) -> CpuTotals:
        """Give the machine's CPU time."""

    def own_s(self) -> dict[int, float]:
        """Give the CPU seconds of each of our processes, its waited-for children's included."""

    def pressure(self) -> Pressure:
        """Give the time lost by waiting."""

    def temperature_c(self) -> float | None:
        """Give the hottest CPU sensor; None where there is none."""


class GpuSource(Protocol):
    """Who else uses the GPU."""

    def sample(self, now_s: float, own: Iterable[int]) -> GpuShare | None:
        """Give the busiest engine's share by others since the call before."""


@dataclass(frozen=True, slots=True)
class _Sample:
    at_s: float
    cpu: CpuTotals
    own: dict[int, float]
    pressure: Pressure


class LoadMeter:
    """Tells the difference since the call before (the first: since it was made)."""

    def __init__(
        self,
        *,
        counters: Counters | None = None,
        gpu: GpuSource | None = None,
        temperature: bool = False,
        clock: Clock | None = None,
    ) -> None:
        """*temperature*: read the sensors at all; they are slow, and most have no limit set."""
        self._counters = counters or ProcCounters()
        self._gpu = gpu or GpuMeter()
        self._temperature = temperature
        self._clock = clock or SystemClock()
        self._hot_c: float | None = None
        self._hot_at_s: float | None = None
        self._last = Load(interval_s=0.0, others_cpu_percent=0.0)
        self._before = self._read()

    def sample(self) -> Load:
        """Give what was used since the sample before."""
        now = self._read()
        if now is None:
            self._last = replace(self._last, unread=self._last.unread + 1)
        else:
            before, self._before = self._before or now, now
            self._last = self._between(before, now)
        return self._last

    def _between(self, before: _Sample, now: _Sample) -> Load:
        total_s = now.cpu.total_s - before.cpu.total_s
        own_s = _own_delta_s(before.own, now.own)
        gpu = self._gpu.sample(now.at_s, now.own)
        elapsed_s = now.at_s - before.at_s
        return Load(
            interval_s=elapsed_s,
            others_cpu_percent=_percent(now.cpu.busy_s - before.cpu.busy_s - own_s, total_s),
            own_cpu_percent=_percent(own_s, total_s),
            io_wait_percent=_percent(now.cpu.io_wait_s - before.cpu.io_wait_s, total_s),
            io_pressure_percent=_share(before.pressure.io_s, now.pressure.io_s, elapsed_s),
            memory_pressure_percent=_share(
                before.pressure.memory_s, now.pressure.memory_s, elapsed_s
            ),
            gpu_others_percent=None if gpu is None else gpu.percent,
            gpu_engine=None if gpu is None else gpu.engine,
            temperature_c=self._hot(now.at_s),
        )

    def _read(self) -> _Sample | None:
        try:
            return _Sample(
                self._clock.monotonic_s(),
                self._counters.cpu(),
                self._counters.own_s(),
                self._counters.pressure(),
            )
        except (OSError, ValueError, IndexError, psutil.Error):
            return None

    def _hot(self, now_s: float) -> float | None:
        if not self._temperature:
            return None
        if self._hot_at_s is None or now_s - self._hot_at_s >= _SENSORS_EVERY_S:
            self._hot_c, self._hot_at_s = self._counters.temperature_c(), now_s
        return self._hot_c


def _own_delta_s(before: dict[int, float], now: dict[int, float]) -> float:
    """How much our tree has used. A child that ended is in its parent's figure by now.

    So the whole sum is compared, not process by process; it falls only where a grandchild was left
    to init, whose past was counted when it was spent.
    """
    return max(0.0, sum(now.values()) - sum(before.values()))


def _percent(part_s: float, whole_s: float) -> float:
    """I/O wait may go backwards, and counters are read at slightly different instants."""
    return 0.0 if whole_s <= 0 else min(100.0, max(0.0, 100.0 * part_s / whole_s))


def _share(before_s: float | None, now_s: float | None, elapsed_s: float) -> float | None:
    if before_s is None or now_s is None:
        return None
    return _percent(now_s - before_s, elapsed_s)


class ProcCounters:
    """The kernel's own figures."""

    def __init__(
        self, proc: Path = _PROC, *, roots: Callable[[], Iterable[int]] = lambda: (os.getpid(),)
    ) -> None:
        """*roots*: the processes whose trees are ours.

        Inside a host application, which may be the recorder itself, give our children alone.
        """
        self._proc = proc
        self._roots = roots

    def cpu(self) -> CpuTotals:
        """See `Counters`."""
        return cpu_totals(psutil.cpu_times()._asdict())

    def own_s(self) -> dict[int, float]:
        """See `Counters`."""
        return dict(tree_cpu_s(self._proc, self._roots()))

    def pressure(self) -> Pressure:
        """See `Counters`."""
        return Pressure(
            _stalled_s(self._proc / "pressure/io"), _stalled_s(self._proc / "pressure/memory")
        )

    def temperature_c(self) -> float | None:
        """See `Counters`."""
        try:
            sensors = psutil.sensors_temperatures()
        except (OSError, AttributeError, ValueError):
            return None
        return hottest_c({chip: [one.current for one in each] for chip, each in sensors.items()})


_BUSY: Final = ("user", "nice", "system", "irq", "softirq")  # guests are in the first two already


def cpu_totals(times: Mapping[str, float]) -> CpuTotals:
    """Add up psutil's figures: seconds by what they were spent on."""
    busy_s, io_wait_s = sum(times[name] for name in _BUSY), times["iowait"]
    return CpuTotals(busy_s, io_wait_s, busy_s + times["idle"] + io_wait_s + times["steal"])


def hottest_c(sensors: Mapping[str, Sequence[float]]) -> float | None:
    """Give the hottest of the processor's sensors; of all, where none is known to be one."""
    chips = [sensors[name] for name in _CPU_SENSORS if name in sensors] or sensors.values()
    return max((each_c for chip in chips for each_c in chip), default=None)


_CPU_SENSORS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "x86_pkg_temp")


def tree_cpu_s(proc: Path, roots: Iterable[int]) -> Iterator[tuple[int, float]]:
    """Walk the trees under *roots*: each process and its CPU seconds, waited-for children included.

    Kernels without /proc/PID/task/TID/children (CONFIG_PROC_CHILDREN) are read whole instead.
    """
    waiting = list(roots)
    if waiting and not (proc / f"{waiting[0]}/task/{waiting[0]}/children").exists():
        yield from _tree_by_parents(proc, waiting)
        return
    seen: set[int] = set()
    while waiting:
        pid = waiting.pop()
        stat = None if pid in seen else _stat(proc, pid)
        if stat is not None:
            seen.add(pid)
            yield pid, stat[1]
            waiting.extend(_children(proc, pid))


def _tree_by_parents(proc: Path, roots: list[int]) -> Iterator[tuple[int, float]]:
    stats = {int(name): _stat(proc, int(name)) for name in os.listdir(proc) if name.isdigit()}
    below: dict[int, list[int]] = {}
    for pid, stat in stats.items():
        if stat is not None:
            below.setdefault(stat[0], []).append(pid)
    waiting, seen = list(roots), set[int]()
    while waiting:
        pid = waiting.pop()
        stat = stats.get(pid)
        if stat is not None and pid not in seen:
            seen.add(pid)
            yield pid, stat[1]
            waiting.extend(below.get(pid, ()))


def _children(proc: Path, pid: int) -> Iterator[int]:
    """A child is listed under the thread that started it."""
    try:
        for task in os.listdir(proc / f"{pid}/task"):
            yield from map(int, (proc / f"{pid}/task/{task}/children").read_bytes().split())
    except (OSError, ValueError):
        return  # it ended while we looked; its time is in its parent's figure next time


def _stat(proc: Path, pid: int) -> tuple[int, float] | None:
    """Parent, and user + system time, its own and its waited-for children's (proc(5): 14-17)."""
    try:
        text = (proc / f"{pid}/stat").read_bytes()
        fields = text[text.rindex(b")") + 2 :].split()
        return int(fields[1]), sum(map(int, fields[11:15])) * TICK_S
    except (OSError, ValueError, IndexError):
        return None


def _stalled_s(path: Path) -> float | None:
    """Read the total of PSI's `full` line, microseconds: `full avg10=… total=1277537`."""
    try:
        for line in path.read_text(encoding="ascii").splitlines():
            if line.startswith("full"):
                return int(line.rpartition("total=")[2]) / 1e6
    except (OSError, ValueError):
        return None
    return None
