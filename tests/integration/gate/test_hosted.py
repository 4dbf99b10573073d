"""Inside a host application: its own threads and children are others, ours are ours."""

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import loads

from watcher.gate.hosted import HostedCounters, our_threads
from watcher.gate.load import ProcCounters

HAS_CHILDREN = Path(f"/proc/self/task/{os.getpid()}/children").exists()


class Helper:
    """A thread of that name that starts a burning child and keeps it until told."""

    def __init__(self, name: str) -> None:
        self.pid = 0
        self.thread = threading.Thread(target=self._run, name=name)
        self._ready = threading.Event()
        self.done = threading.Event()
        self.thread.start()
        assert self._ready.wait(60)

    def _run(self) -> None:
        with loads.burning() as self.pid:
            self._ready.set()
            self.done.wait(60)


@pytest.fixture
def ours() -> Iterator[Helper]:
    helper = Helper("watcher-job_0")
    yield helper
    helper.done.set()
    helper.thread.join()


@pytest.fixture
def hosts() -> Iterator[Helper]:
    helper = Helper("recorder")
    yield helper
    helper.done.set()
    helper.thread.join()


@pytest.mark.skipif(not HAS_CHILDREN, reason="this kernel lists no children by thread")
def test_our_threads_and_their_children_are_ours_and_the_hosts_are_not(
    ours: Helper, hosts: Helper
) -> None:
    mine = HostedCounters().own_s()
    assert ours.pid in mine
    assert ours.thread.native_id in mine
    assert hosts.pid not in mine
    assert hosts.thread.native_id not in mine
    assert os.getpid() not in mine
    assert {ours.pid, hosts.pid} <= ProcCounters().own_s().keys()


def test_our_threads_are_known_by_their_names(ours: Helper, hosts: Helper) -> None:
    found = set(our_threads())
    assert ours.thread.native_id in found
    assert hosts.thread.native_id not in found


def test_the_host_waiting_for_its_own_children_is_not_our_use() -> None:
    done = threading.Event()
    thread = threading.Thread(target=done.wait, name="watcher-idle")
    thread.start()
    try:
        burn = "import time\nwhile time.process_time() < 0.4: sum(range(1000))"
        counters = HostedCounters(threads=lambda: [thread.native_id or 0])
        before = sum(counters.own_s().values())
        subprocess.run(["python3", "-c", burn], check=True)
        if HAS_CHILDREN:
            assert sum(counters.own_s().values()) - before < 0.1
    finally:
        done.set()
        thread.join()


def test_a_kernel_without_lists_of_children_counts_the_whole_process(tmp_path: Path) -> None:
    task = tmp_path / "10/task/11"
    task.mkdir(parents=True)
    stat = "10 (host) S 1 1 1 0 -1 4194304 0 0 0 0 100 0 0 0 20 0 1 0 1 1"
    (tmp_path / "10/stat").write_text(stat, encoding="ascii")
    counters = HostedCounters(tmp_path, pid=10, threads=lambda: [11])
    counters._roots = lambda: [10]
    assert set(counters.own_s()) == {10}


def test_a_thread_that_has_just_ended_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "10/task").mkdir(parents=True)
    assert HostedCounters(tmp_path, pid=10, threads=lambda: [11]).own_s() == {}
