"""A child stands still when nothing of it moves for long enough while it may, and could."""

import os
from pathlib import Path
from typing import cast

import pytest
from support.clock import ManualClock

from watcher.errors import Aborted, Retryable
from watcher.transcode.child import Child
from watcher.transcode.leash import Leash
from watcher.transcode.stall import LOOK_S, Account, Watch, account_of


class Encoder:
    argv = ("ffmpeg", "-i", "x")
    pid = 1

    def __init__(self) -> None:
        self.killed = False
        self.written = 0

    def kill(self) -> None:
        self.killed = True

    def wait(self, timeout_s: float | None = None) -> int | None:
        assert timeout_s is not None  # one that the kernel keeps would never end
        return None

    def stderr_tail(self) -> str:
        return "last words"


class Scene:
    def __init__(self) -> None:
        self.clock, self.encoder = ManualClock(), Encoder()
        self.leash = Leash(self.clock)
        self.account: Account | None = None  # a kernel that keeps none
        self.watch = Watch(
            cast("Child", self.encoder),
            self.leash,
            self.clock,
            120.0,
            written=lambda _: self.encoder.written,
            account=lambda _: self.account,
        )

    def stand_still(self, *, worked: float, waited: float) -> None:
        """Let it stand for as long as it may, then be looked at: shares of a CPU's time."""
        self.account = Account(5.0, 1.0)
        self.watch.check(7)
        self.clock.advance(121)
        self.watch.check(7)
        assert not self.encoder.killed  # it is looked at first
        self.clock.advance(LOOK_S)
        self.account = Account(5.0 + worked * LOOK_S, 1.0 + waited * LOOK_S)
        self.watch.check(7)


def test_progress_starts_the_time_anew() -> None:
    scene = Scene()
    for frame in range(10):
        scene.watch.check(frame)
        scene.clock.advance(100)
    assert not scene.encoder.killed


def test_standing_still_for_longer_than_it_may_is_the_end() -> None:
    scene = Scene()
    scene.watch.check(7)
    scene.clock.advance(120)
    scene.watch.check(7)
    scene.clock.advance(1)
    with pytest.raises(Retryable) as stalled:
        scene.watch.check(7)
    assert stalled.value.reason == "stalled"
    assert stalled.value.figures["stderr_tail"] == "last words"
    assert scene.encoder.killed


def test_a_pause_of_any_length_is_no_standstill() -> None:
    scene = Scene()
    scene.watch.check(7)
    scene.clock.advance(60)
    scene.leash.pause("cpu")
    scene.clock.advance(3600)
    scene.watch.check(7)
    scene.leash.resume()
    scene.clock.advance(59)
    scene.watch.check(7)
    scene.clock.advance(2)
    with pytest.raises(Retryable):
        scene.watch.check(7)


def test_what_it_writes_to_disk_is_progress() -> None:
    scene = Scene()
    for _ in range(10):
        scene.watch.check("closing")
        scene.clock.advance(100)
        scene.encoder.written += 1
    assert not scene.encoder.killed


def test_an_abort_is_no_stall() -> None:
    scene = Scene()
    scene.leash.abort("window")
    with pytest.raises(Aborted):
        scene.watch.check(1)


def test_one_that_waits_for_a_cpu_that_others_have_does_not_stand_still() -> None:
    scene = Scene()
    for _ in range(10):
        scene.stand_still(worked=0.003, waited=0.99)
    assert not scene.encoder.killed


def test_one_that_hangs_in_the_kernel_waits_for_no_cpu() -> None:
    with pytest.raises(Retryable, match="no progress for 120 s"):
        Scene().stand_still(worked=0.0, waited=0.0)


def test_one_that_runs_in_circles_stands_still_though_its_threads_wait_for_each_other() -> None:
    with pytest.raises(Retryable, match="no progress"):
        Scene().stand_still(worked=2.0, waited=6.0)


def test_the_kernel_s_account_tells_of_all_threads_and_of_a_process_that_is_gone_nothing() -> None:
    account = account_of(os.getpid())
    assert account is not None
    assert account.worked_s > 0
    assert account_of(0) is None


def test_a_thread_that_ends_while_it_is_asked_takes_no_account_from_the_others(
    tmp_path: Path,
) -> None:
    for thread in ("7", "8", "9"):
        (tmp_path / "7" / "task" / thread).mkdir(parents=True)
    for thread in ("7", "9"):
        (tmp_path / "7" / "task" / thread / "schedstat").write_text("1000000000 2000000000 3\n")
    assert account_of(7, os.fspath(tmp_path)) == Account(2.0, 4.0)
    assert account_of(8, os.fspath(tmp_path)) is None


def test_a_kernel_that_keeps_no_account_tells_nothing(tmp_path: Path) -> None:
    (tmp_path / "7" / "task" / "7").mkdir(parents=True)
    assert account_of(7, os.fspath(tmp_path)) is None
