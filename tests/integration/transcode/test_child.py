"""Children are the last in every queue, see nothing of ours, obey the leash and leave nothing."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from support.clock import ManualClock

from watcher.errors import Aborted, Halt
from watcher.transcode.child import (
    Child,
    Leash,
    Limits,
    clean_environment,
    ensure_none_stuck,
    spawn,
    tether,
)

CAT, SLEEP, SH = "/bin/cat", "/bin/sleep", "/bin/sh"


def said(argv: list[str]) -> str:
    with spawn(argv, stdout=True) as child:
        assert child.stdout is not None
        text = child.stdout.read().decode()
        assert child.wait(30) == 0
    return text


def until(true: Callable[[], bool]) -> None:
    """Wait until *true*; the state of a process can only be looked at, not waited for."""
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        threading.Event().wait(0.005)


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_the_program_begins_with_the_lowest_priority() -> None:
    fields = said([CAT, "/proc/self/stat"]).rpartition(")")[2].split()
    assert (int(fields[16]), int(fields[38])) == (19, os.SCHED_IDLE)  # nice and policy
    assert said([CAT, "/proc/self/oom_score_adj"]).strip() == "800"
    with spawn([SLEEP, "60"]) as child:
        assert psutil.Process(child.pid).ionice().ioclass == psutil.IOPRIO_CLASS_IDLE


@pytest.mark.skipif(
    not Path("/proc/self/autogroup").exists(), reason="this kernel has no scheduling autogroups"
)
def test_its_session_is_lowered_too_without_which_nice_means_nothing() -> None:
    assert said([CAT, "/proc/self/autogroup"]).split()[-1] == "19"


def test_it_inherits_three_descriptors_and_a_clean_environment() -> None:
    secret = os.open("/etc/passwd", os.O_RDONLY)
    os.set_inheritable(secret, True)
    try:
        open_ones = said(["/bin/ls", "/proc/self/fd"]).split()
    finally:
        os.close(secret)
    assert open_ones == ["0", "1", "2", "3"]  # the last is ls's own
    names = {word.split("=")[0] for word in said(["/usr/bin/env"]).splitlines()}
    assert names <= {"HOME", "PATH", "LC_ALL", "LIBVA_DRIVER_NAME", "LIBVA_DRIVERS_PATH"}
    assert clean_environment({"AWS_SECRET": "x", "LIBVA_DRIVER_NAME": "iHD"}) == {
        "HOME": "/",
        "PATH": "/usr/bin:/bin",
        "LC_ALL": "C",
        "LIBVA_DRIVER_NAME": "iHD",
    }


def test_it_leads_a_session_of_its_own() -> None:
    with spawn([SLEEP, "60"]) as child:
        assert os.getsid(child.pid) == os.getpgid(child.pid) == child.pid


def test_its_limits_hold() -> None:
    limits = Limits(memory_bytes=64_000_000, cpu_s=7, file_bytes=1000, open_files=30)
    with spawn([CAT, "/proc/self/limits"], stdout=True, limits=limits) as child:
        assert child.stdout is not None
        rows = {
            line[:26].strip(): line.split() for line in child.stdout.read().decode().split("\n")
        }
    for name, figure in {
        "Max data size": "64000000",
        "Max cpu time": "7",
        "Max file size": "1000",
        "Max open files": "30",
        "Max core file size": "0",
    }.items():
        assert rows[name][len(name.split())] == figure


def test_what_can_not_be_started_ends_as_in_a_shell() -> None:
    with spawn(["/no/such/program"]) as child:
        assert child.wait(30) == 127
        assert "not found" in child.stderr_tail()


def test_a_paused_leash_freezes_it_before_its_first_instruction(tmp_path: Path) -> None:
    leash = Leash()
    leash.pause("cpu")
    witness = tmp_path / "ran"
    with spawn([SH, "-c", f"echo x > {witness}"], leash=leash) as child:
        until(lambda: state(child.pid) == "T")
        assert not witness.exists()
        leash.resume()
        assert child.wait(30) == 0
    assert witness.exists()


def test_a_pause_stops_the_whole_group_within_milliseconds() -> None:
    leash = Leash()
    with spawn([SH, "-c", "sleep 60 & echo $!; wait"], leash=leash, stdout=True) as child:
        assert child.stdout is not None
        grandchild = int(child.stdout.readline())
        leash.pause("cpu")
        until(lambda: state(child.pid) == state(grandchild) == "T")
        leash.resume()
        until(lambda: state(child.pid) == state(grandchild) == "S")


@pytest.mark.parametrize("stopped", [False, True])
def test_an_abort_gives_no_child_the_time_to_finish_what_is_thrown_away(
    stopped: bool, tmp_path: Path
) -> None:
    """ffmpeg, asked to end, writes the index and moves it to the front: beside the recorder."""
    leash, index = Leash(), tmp_path / "index"
    finishing = f"trap 'echo x >{index}' TERM; sleep 600 & echo ready; wait"
    with spawn([SH, "-c", finishing], leash=leash, stdout=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        if stopped:
            leash.pause("cpu")
            until(lambda: state(child.pid) == "T")
        leash.abort("window")
        assert child.wait(30) == -signal.SIGKILL
    assert not index.exists()
    with pytest.raises(Aborted):
        leash.check()


def test_the_group_goes_with_its_leader() -> None:
    with spawn([SH, "-c", "sleep 600 & echo $!"], stdout=True) as child:
        assert child.stdout is not None
        left_behind = int(child.stdout.readline())
        assert child.wait(30) == 0
    until(lambda: not alive(left_behind))


def test_leaving_the_block_kills_and_reaps() -> None:
    with pytest.raises(KeyError), spawn([SLEEP, "600"]) as child:  # noqa: PT012 - the exit is the test
        pid = child.pid
        raise KeyError
    assert not psutil.pid_exists(pid)
    assert child.poll() == -signal.SIGKILL


def test_any_amount_of_stderr_is_drained_and_32_kb_are_kept() -> None:
    script = "echo first >&2; head -c 20000000 /dev/zero | tr '\\0' x >&2; echo last >&2"
    with spawn([SH, "-c", script]) as child:
        assert child.wait(60) == 0
        tail = child.stderr_tail()
    assert tail.startswith("first\n")
    assert tail.endswith("last\n")
    assert "bytes left out" in tail
    assert len(tail) < 33 * 1024


def test_what_is_left_out_of_stderr_takes_no_room_from_the_rest() -> None:
    script = (
        "say() { yes 'h264: no clock' | head -n 20000; };"
        "exec >&2; echo first; say; echo midst; printf 'no '; sleep 0.1; echo clock; say; echo clo;"
        "printf last"
    )
    with spawn([SH, "-c", script], leave_out=b"no clock") as child:
        assert child.wait(60) == 0
        assert child.stderr_tail().splitlines() == ["first", "midst", "clo", "last"]


def test_its_cpu_time_is_known_at_its_end() -> None:
    with spawn([SH, "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"]) as child:
        child.wait(60)
        assert child.cpu_s > 0


def test_a_wait_that_is_over_says_none() -> None:
    with spawn([SLEEP, "60"]) as child:
        assert child.wait(0.0) is None
        assert child.poll() is None


def test_what_it_reads_and_writes_goes_through_pipes() -> None:
    with spawn([CAT], stdin=True, stdout=True) as child:
        assert child.stdin is not None
        child.stdin.write(b"through")
        child.stdin.close()
        assert child.read(30) == b"through"
        assert child.read(30) == b""


def test_threads_that_spawn_and_end_do_not_take_their_children_with_them() -> None:
    made: list[Child] = []
    thread = threading.Thread(target=lambda: made.append(spawn([SLEEP, "60"])))
    thread.start()
    thread.join()
    with made[0] as child:
        assert child.wait(0.05) is None


PARENT = """
import sys, signal
from watcher.transcode.child import Leash, spawn
leash = Leash()
one = spawn(["/bin/sleep", "600"], leash=leash)
two = spawn(["/bin/sh", "-c", "echo up; exec sleep 600"], leash=leash, stdout=True)
two.stdout.readline()
leash.pause("cpu")
print(one.pid, two.pid, flush=True)
signal.pause()
"""


def test_children_die_with_us_even_stopped_ones_after_kill_9() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert all(psutil.pid_exists(pid) for pid in pids)
        parent.kill()
    until(lambda: not any(map(alive, pids)))


@pytest.mark.parametrize("path", ["/usr/bin:/bin", "/nowhere"], ids=["setpriv", "without it"])
def test_the_kernel_is_asked_to_end_it_with_us_with_or_without_setpriv(path: str) -> None:
    asks = (
        "import ctypes; asked = ctypes.c_int()\n"
        "ctypes.CDLL(None).prctl(2, ctypes.byref(asked)); print(asked.value)"
    )
    done = subprocess.run(
        [*tether(path), sys.executable, "-c", asks], capture_output=True, check=True
    )
    assert int(done.stdout) == signal.SIGKILL


def alive(pid: int) -> bool:
    """A zombie that nobody reaps, as in a container without an init, is dead all the same."""
    try:
        return state(pid) != "Z"
    except FileNotFoundError:
        return False


def test_one_that_the_kernel_does_not_end_is_left_to_its_reaper_and_stops_all_work() -> None:
    """A child whose reaper hears nothing of its end is what one in an endless call looks like."""
    process = subprocess.Popen([SLEEP, "600"], stderr=subprocess.PIPE, start_new_session=True)
    clock = ManualClock()
    child = Child(process, [SLEEP, "600"], clock, None)
    with pytest.raises(Halt, match="does not end though it was killed") as halt, child:
        pass
    assert halt.value.reason == "child_stuck"
    assert "kernel's log" in str(halt.value.figures["remedy"])
    assert clock.waits == [30.0]
    with pytest.raises(Halt) as again:
        spawn([SLEEP, "600"])
    assert again.value.reason == "child_stuck"
    child.open_gate(keep_stdin=False)  # it ends after all
    assert child.wait() == -signal.SIGKILL
    ensure_none_stuck()
    assert said([CAT, "/dev/null"]) == ""
