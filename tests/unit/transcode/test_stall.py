"""A child stands still when nothing of it moves for long enough while it may."""

from typing import cast

import pytest
from support.clock import ManualClock

from watcher.errors import Aborted, Retryable
from watcher.transcode.child import Child
from watcher.transcode.ffmpeg import Watch
from watcher.transcode.leash import Leash


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
        self.watch = Watch(
            cast("Child", self.encoder),
            self.leash,
            self.clock,
            120.0,
            lambda _: self.encoder.written,
        )


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
