"""Our own tree is taken off, on a real machine, whatever else it is doing meanwhile.

Nothing is timed: each test waits until a process has *used* so much CPU, and compares that.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from support import loads

from watcher.gate import load
from watcher.gate.load import LoadMeter, ProcCounters

BURNT_S = 0.4
SLACK_S = 0.15  # ticks of two counters, and what the test itself uses


def wait_until(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    wake = threading.Event()
    for _ in range(round(timeout_s / 0.02)):
        if condition():
            return
        wake.wait(0.02)
    raise AssertionError("not within the time-out")


class Watched:
    """Counters that remember what they gave last, so that percentages can be turned back."""

    def __init__(self) -> None:
        self.counters = ProcCounters()
        self.before = self.counters.cpu()

    def others_and_own_s(self, meter: LoadMeter) -> tuple[float, float]:
        found = meter.sample()
        now = self.counters.cpu()
        total_s = now.total_s - self.before.total_s
        return found.others_cpu_percent / 100 * total_s, found.own_cpu_percent / 100 * total_s


def test_a_busy_child_is_ours() -> None:
    with loads.burning() as pid:
        start_s = loads.cpu_s(pid)
        watched, meter = Watched(), LoadMeter()
        wait_until(lambda: loads.cpu_s(pid) - start_s >= BURNT_S)
        _, own_s = watched.others_and_own_s(meter)
        assert own_s >= BURNT_S - SLACK_S


def test_a_busy_stranger_is_not() -> None:
    with loads.stranger() as pid:
        wait_until(lambda: loads.parent(pid) != os.getpid() and loads.cpu_s(pid) > 0)
        start_s = loads.cpu_s(pid)
        watched, meter = Watched(), LoadMeter()
        wait_until(lambda: loads.cpu_s(pid) - start_s >= BURNT_S)
        burnt_s = loads.cpu_s(pid) - start_s
        others_s, own_s = watched.others_and_own_s(meter)
        assert others_s >= burnt_s - SLACK_S
        assert own_s < BURNT_S


def test_a_grandchild_is_ours_and_so_is_what_it_used_once_it_has_ended() -> None:
    script = (
        "import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', sys.argv[1]]))"
    )
    burn = f"import time\nwhile time.process_time() < {BURNT_S}: sum(range(1000))"
    watched, meter = Watched(), LoadMeter()
    subprocess.run([sys.executable, "-c", script, burn], check=True)
    _, own_s = watched.others_and_own_s(meter)
    assert own_s >= BURNT_S - SLACK_S


def test_a_child_of_another_thread_is_found() -> None:
    pids: list[int] = []
    found = threading.Event()
    done = threading.Event()

    def start_one() -> None:
        with loads.burning() as pid:
            pids.append(pid)
            found.set()
            done.wait(60)

    thread = threading.Thread(target=start_one)
    thread.start()
    try:
        assert found.wait(60)
        assert pids[0] in ProcCounters().own_s()
    finally:
        done.set()
        thread.join()


def test_both_ways_of_finding_the_tree_agree() -> None:
    """By the kernel's list of children, where it keeps one, and by everybody's parent."""
    with loads.burning() as pid:
        by_parents = dict(load._tree_by_parents(Path("/proc"), [os.getpid()]))
        assert {os.getpid(), pid} <= by_parents.keys()
        if Path(f"/proc/self/task/{os.getpid()}/children").exists():
            assert set(dict(load.tree_cpu_s(Path("/proc"), [os.getpid()]))) == set(by_parents)


def test_inside_a_host_only_the_roots_given_are_ours() -> None:
    with loads.burning() as pid, loads.burning() as hosts:
        mine = ProcCounters(roots=lambda: [pid]).own_s()
        assert set(mine) == {pid}
        assert hosts not in mine


def test_children_lists_are_walked_where_the_kernel_keeps_them(tmp_path: Path) -> None:
    def process(pid: int, ticks: int, *children: int) -> None:
        task = tmp_path / f"{pid}/task/{pid}"
        task.mkdir(parents=True)
        (task / "children").write_text(" ".join(map(str, children)), encoding="ascii")
        stat = f"{pid} (a ) b) S 1 1 1 0 -1 4194304 0 0 0 0 {ticks} 1 2 3 20 0 1 0 1 1"
        (tmp_path / f"{pid}/stat").write_text(stat, encoding="ascii")

    process(10, 100, 11, 12)
    process(11, 200, 13)
    process(12, 300)
    process(13, 400, 99)  # 99 has just ended
    process(50, 500)
    found = dict(load.tree_cpu_s(tmp_path, [10]))
    tick_s = 1 / os.sysconf("SC_CLK_TCK")
    assert found == {
        pid: pytest.approx((ticks + 6) * tick_s)
        for pid, ticks in ((10, 100), (11, 200), (12, 300), (13, 400))
    }


def test_pressure_is_read_where_the_kernel_tells_it(tmp_path: Path) -> None:
    assert ProcCounters(tmp_path).pressure() == load.Pressure(None, None)
    (tmp_path / "pressure").mkdir()
    (tmp_path / "pressure/io").write_text(
        "some avg10=1.02 avg60=0.21 avg300=0.08 total=1370063\n"
        "full avg10=1.02 avg60=0.21 avg300=0.08 total=1277537\n",
        encoding="ascii",
    )
    (tmp_path / "pressure/memory").write_text("some avg10=0.00 total=5\n", encoding="ascii")
    assert ProcCounters(tmp_path).pressure() == load.Pressure(1.277537, None)


def test_this_machine_gives_all_that_it_has() -> None:
    meter = LoadMeter(temperature=True)
    found = meter.sample()
    assert 0 <= found.others_cpu_percent <= 100
    assert (found.io_pressure_percent is not None) is Path("/proc/pressure/io").exists()
    assert found.temperature_c is None or -50 < found.temperature_c < 150


AT_THE_LIMIT = """
import os, resource
from pathlib import Path
from watcher.gate.gpu import GpuMeter
from watcher.gate.load import LoadMeter
meter = LoadMeter(gpu=GpuMeter(devices=Path("/tmp")))
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
kept = []
try:
    while True:
        kept.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
blind = [meter.sample().unread for _ in range(3)]
while kept:
    os.close(kept.pop())
print(blind, meter.sample().unread)
"""


def test_sampling_bears_that_no_descriptor_is_left() -> None:
    done = subprocess.run(
        [sys.executable, "-c", AT_THE_LIMIT], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("[1, 2, 3] 0\n", "")
