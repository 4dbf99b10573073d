"""A health command: its exit, its limit, its manners, and what it leaves behind."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.clock import ManualClock

from watcher.gate.health import Ended, HealthCheck, HealthVerdict, run_command


@contextlib.contextmanager
def checking(command: str, limit_s: float = 60.0) -> Iterator[tuple[HealthCheck, ManualClock]]:
    clock = ManualClock()
    check = HealthCheck(command, limit_s=limit_s, clock=clock)
    try:
        yield check, clock
    finally:
        check.close()


def settled(check: HealthCheck) -> HealthVerdict:
    check.verdict()
    check.wait(60)
    verdict = check.verdict()
    assert verdict is not None
    return verdict


def test_exit_0_is_healthy_and_any_other_is_not() -> None:
    with checking("exit 0") as (check, _):
        assert check.verdict() is None  # asking never waits
        assert settled(check).healthy
    with checking("echo no answer from 10.0.0.7; exit 3") as (check, _):
        verdict = settled(check)
        assert not verdict.healthy
        assert verdict.reason == "health_command ended with 3: no answer from 10.0.0.7"
    with checking("/nonexistent/ping") as (check, _):
        assert not settled(check).healthy


def test_one_that_takes_too_long_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    with checking(f"sleep 300 & echo $! > {pid_file}; wait", limit_s=1.0) as (check, _):
        verdict = settled(check)
    assert not verdict.healthy
    assert "longer than 1 s" in verdict.reason
    assert gone(int(pid_file.read_text(encoding="ascii")))


def test_what_it_leaves_in_the_background_is_killed_too(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    ended = run_command(
        f"sleep 300 >/dev/null 2>&1 & echo $! > {pid_file}", 60.0, lambda _group: None
    )
    assert ended == Ended(0)
    assert gone(int(pid_file.read_text(encoding="ascii")))


def gone(pid: int) -> bool:
    """Say whether a process has ended; a zombie that nobody reaps here has."""
    wake = threading.Event()
    for _ in range(3000):
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
        except OSError:
            return True
        if stat.rpartition(")")[2].split()[0] in "ZX":
            return True
        wake.wait(0.01)
    return False


def test_a_command_does_not_outlive_us_for_long_even_if_we_are_killed(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    script = (
        "import sys; from watcher.gate.health import run_command;"
        "run_command(sys.argv[1], 0.5, lambda group: None)"
    )
    command = f"echo $$ > {pid_file}.new; mv {pid_file}.new {pid_file}; exec sleep 300"
    with subprocess.Popen([sys.executable, "-c", script, command]) as service:
        wake = threading.Event()
        while not pid_file.exists():
            wake.wait(0.01)
        service.kill()
    assert gone(int(pid_file.read_text(encoding="ascii")))


def test_runs_last_in_every_queue() -> None:
    stat = "cut -d')' -f2 /proc/self/stat | cut -d' ' -f18,40"  # nice, policy
    ended = run_command(f"{stat}; cat /proc/self/oom_score_adj", 60.0, lambda _group: None)
    assert ended == Ended(0, f"19 {os.SCHED_IDLE} 800")
    assert run_command("ionice -p $$", 60.0, lambda _group: None) == Ended(0, "idle")


@pytest.mark.skipif(
    not Path("/proc/self/autogroup").exists(), reason="this kernel has no scheduling autogroups"
)
def test_its_session_is_the_last_too() -> None:
    ended = run_command(
        "until grep 'nice 19$' /proc/self/autogroup; do :; done", 60.0, lambda _group: None
    )
    assert ended.said.endswith("nice 19")


def test_of_what_it_says_the_end_is_kept() -> None:
    ended = run_command(
        "head -c 20000000 /dev/zero | tr '\\0' x; echo '> no'", 60.0, lambda _: None
    )
    assert ended.said.endswith("x> no")
    assert len(ended.said) < 300


def test_one_that_leaves_its_session_does_not_keep_us() -> None:
    pids: list[int] = []
    left = "setsid sleep 300 & echo $!"
    try:
        ended = run_command(left, 60.0, lambda _group: None)
        pids.append(int(ended.said))
        assert ended.exit_code == 0
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)


def test_is_run_once_a_minute_however_often_it_is_asked() -> None:
    runs: list[str] = []

    def run(command: str, limit_s: float, started: object) -> Ended:
        del limit_s, started
        runs.append(command)
        return Ended(0)

    clock = ManualClock()
    check = HealthCheck("ping cam", run=run, clock=clock)
    for _ in range(360):
        check.verdict()
        check.wait(60)
        clock.advance(0.5)
    assert runs == ["ping cam"] * 3


def test_closing_ends_what_runs_and_starts_nothing_more() -> None:
    with checking("sleep 300") as (check, clock):
        check.verdict()
        check.close()
        check.wait(60)
        assert check._thread is not None
        assert not check._thread.is_alive()
        thread = check._thread
        clock.advance(1000)
        check.verdict()
        assert check._thread is thread


def test_closing_kills_one_that_is_in_the_midst_of_its_work(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    with checking(f"echo $$ > {pid_file}.new; mv {pid_file}.new {pid_file}; exec sleep 300") as (
        check,
        _,
    ):
        check.verdict()
        wake = threading.Event()
        while not pid_file.exists():
            wake.wait(0.01)
    assert gone(int(pid_file.read_text(encoding="ascii")))


def test_a_command_that_cannot_even_be_started_is_a_verdict() -> None:
    def broken(*_: object) -> Ended:
        raise OSError(12, "Cannot allocate memory")

    check = HealthCheck("ping cam", run=broken)
    assert "Cannot allocate memory" in settled(check).reason
