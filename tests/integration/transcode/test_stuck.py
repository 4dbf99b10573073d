"""A disk that hangs keeps its writer in the kernel: the job ends, and says what to look at."""

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.mounts import make_ext4, mounted

from watcher.errors import Halt
from watcher.transcode.child import ensure_none_stuck, spawn
from watcher.transcode.probe import Prober


@contextmanager
def frozen(point: Path) -> Iterator[None]:
    """Have every writer to the file system at *point* wait in the kernel, deaf to SIGKILL."""
    done = subprocess.run(["fsfreeze", "-f", point], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"NOT SHOWN HERE: a disk that hangs ({done.stderr.strip()})")
    try:
        yield
    finally:
        subprocess.run(["fsfreeze", "-u", point], check=True)


def until(true: Callable[[], bool]) -> None:
    """Wait until *true*; the state of a process can only be looked at, not waited for."""
    wake = threading.Event()
    for _ in range(12_000):
        if true():
            return
        wake.wait(0.005)
    raise AssertionError("it did not come true")


def is_kept(pid: int) -> bool:
    """Say whether the kernel keeps the process in a call that no signal ends."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "D"


def none_is_stuck() -> bool:
    try:
        ensure_none_stuck()
    except Halt:
        return False
    return True


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of its own."""
    image, point = tmp_path / "image", tmp_path / "disk"
    point.mkdir()
    make_ext4(image, 24)
    with mounted(point, "-o", "loop", kind="ext4", source=str(image)):
        yield point


def test_a_writer_to_a_disk_that_hangs_is_left_behind(disk: Path) -> None:
    write = ["/bin/sh", "-c", f"echo x > {disk}/file"]
    with frozen(disk):
        child = spawn(write, patience_s=0.5)
        with pytest.raises(Halt) as halt, child:
            until(lambda: is_kept(child.pid))
        assert halt.value.reason == "child_stuck"
        assert not none_is_stuck()
    assert child.wait() is not None
    assert none_is_stuck()


def test_a_probe_that_hangs_says_so_and_closing_it_is_no_error(disk: Path, tmp_path: Path) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text(f"open({str(disk / 'file')!r}, 'w')\n")
    with frozen(disk), Prober(worker=str(worker), timeout_s=10, patience_s=0.5) as prober:
        for _ in range(2):
            with pytest.raises(Halt) as halt:
                prober.probe(__file__)
            assert halt.value.reason == "child_stuck"
    until(none_is_stuck)
