"""Polled cameras, a single look, flags in the state directory, and leases."""

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.clock import ManualClock
from support.emitted import Emitted
from support.queues import NEEDS_SMALL_QUEUE, SmallQueue
from support.trees import CameraOf, indexed, record, recording_of, wait_for, walked, watching

from watcher.clock import SystemClock
from watcher.segments.index import SegmentIndex
from watcher.segments.inotify import Inotify
from watcher.segments.lease import is_open_for_writing
from watcher.segments.state_watch import StateWatch
from watcher.segments.survey import survey

HOUR_S = 3_600.0


class LaterClock(SystemClock):
    """The machine's clock, set forward."""

    ahead_s = 0.0

    def wall_s(self) -> float:
        return super().wall_s() + self.ahead_s


class TestPolling:
    """Cameras on file systems that raise no events."""

    @pytest.fixture
    def camera(self, tmp_path: Path) -> CameraOf:
        record(tmp_path / "cam1/d/old.mp4", age_s=HOUR_S)
        return CameraOf("cam1", str(tmp_path / "cam1"), watch="poll")

    def test_it_is_followed_by_comparing(self, camera: CameraOf) -> None:
        top = Path(camera.path)
        with watching(camera) as watched:
            assert watched.paths() == [str(top / "d/old.mp4")]
            assert watched.observer.forest.inotify is None, "not one watch is spent on it"

            record(top / "e/f/new.mp4", age_s=HOUR_S)
            wait_for(lambda: len(watched.index) == 2)
            (top / "d/old.mp4").rename(top / "e/moved.mp4")
            wait_for(lambda: str(top / "e/moved.mp4") in watched.paths())
            shutil.rmtree(top / "e")
            wait_for(lambda: len(watched.index) == 0)
            assert watched.observer.healthy()

    def test_a_directory_that_is_another_of_the_same_name_is_followed(
        self, camera: CameraOf, tmp_path: Path
    ) -> None:
        top = Path(camera.path)
        record(top / "d/e/old.mp4", age_s=HOUR_S)
        with watching(camera) as watched:
            new = record(tmp_path / "new/e/b.mp4", age_s=HOUR_S)
            (top / "d").rename(tmp_path / "old")
            new.parent.parent.rename(top / "d")
            wait_for(lambda: indexed(watched.index) == walked(top))
            for above in ("d", "d/e", ""):
                record(top / above / "alive.mp4", age_s=HOUR_S)
            wait_for(lambda: indexed(watched.index) == walked(top))
            assert sorted(path for path, _ in watched.heard.gone) == [
                str(top / "d/e/old.mp4"),
                str(top / "d/old.mp4"),
            ]

    def test_a_share_whose_inode_numbers_change_loses_nothing(self, camera: CameraOf) -> None:
        """As those of FUSE file systems and of some servers do, once they left the cache."""
        top = Path(camera.path)
        record(top / "d/e/old.mp4", age_s=HOUR_S)
        with watching(camera) as watched:
            wait_for(lambda: len(watched.index) == 2)
            for directory in watched.observer.forest.directories():
                if directory.parent:
                    device, number = directory.identity
                    directory.identity = (device, number + 1_000_000)
            record(top / "d/e/alive.mp4", age_s=HOUR_S)
            record(top / "d/alive.mp4", age_s=HOUR_S)
            wait_for(lambda: indexed(watched.index) == walked(top))
            watched.tick()
            assert indexed(watched.index) == walked(top)
            assert watched.heard.gone == []
            assert watched.losses() == []

    def test_closed_is_what_was_left_alone(self, camera: CameraOf) -> None:
        clock = LaterClock()
        path = Path(camera.path) / "new.mp4"
        with watching(camera, clock=clock) as watched:
            record(path)
            wait_for(lambda: watched.state(path) == "open")
            watched.tick()
            assert watched.state(path) == "open"
            clock.ahead_s = 700
            watched.tick()
            assert watched.state(path) == "candidate"
            assert watched.heard.closed == [str(path)]

    def test_a_share_that_goes_and_comes_back(self, camera: CameraOf, tmp_path: Path) -> None:
        top = Path(camera.path)
        with watching(camera) as watched:
            top.rename(tmp_path / "away")
            watched.tick()
            assert watched.observer.statistics().roots == {"cam1": "root_absent"}
            assert len(watched.index) == 0
            (tmp_path / "away").rename(top)
            watched.tick()
            assert watched.paths() == [str(top / "d/old.mp4")]
            record(top / "d/new.mp4", age_s=HOUR_S)
            wait_for(lambda: len(watched.index) == 2)
            assert watched.observer.healthy()


class TestSurvey:
    """One look, for commands."""

    def test_it_sees_what_the_observer_sees(self, tmp_path: Path) -> None:
        top = tmp_path / "cam1"
        record(top / "d/a.mp4", age_s=HOUR_S)
        record(top / "b.mp4")
        record(top / "b.mp4.original")
        cameras = [CameraOf("cam1", str(top)), CameraOf("cam2", str(tmp_path / "cam2"))]
        index = SegmentIndex(0.0)
        with (top / "open.mp4").open("wb") as writer:
            writer.write(b"1")
            writer.flush()
            states = survey(cameras, index, sidecar_of=recording_of, emit=Emitted())

        assert states == {"cam1": "present", "cam2": "root_absent"}
        assert indexed(index) == walked(top)
        found = {entry.segment.name: str(entry.state) for entry in index.snapshot()}
        assert found == {"a.mp4": "candidate", "b.mp4": "replaced", "open.mp4": "open"}


class TestStateWatch:
    """Flag files in the state directory."""

    @pytest.fixture
    def told(self) -> list[str]:
        return []

    @pytest.fixture
    def watch(self, tmp_path: Path, told: list[str]) -> Iterator[StateWatch]:
        (tmp_path / "state").mkdir()
        watch = StateWatch(
            str(tmp_path / "state"),
            ["disabled", "dump"],
            told.append,
            clock=ManualClock(),
            emit=Emitted(),
        )
        watch.start()
        yield watch
        watch.stop()

    def test_a_flag_is_heard_of_at_once(
        self, watch: StateWatch, told: list[str], tmp_path: Path
    ) -> None:
        flag = tmp_path / "state/disabled"
        (tmp_path / "state/ledger.sqlite-wal").touch()
        flag.touch()
        wait_for(watch.is_idle)
        assert set(told) == {"disabled"}
        told.clear()
        flag.unlink()
        wait_for(watch.is_idle)
        assert set(told) == {"disabled"}
        told.clear()
        (tmp_path / "state/.new").touch()
        (tmp_path / "state/.new").rename(tmp_path / "state/dump")
        wait_for(watch.is_idle)
        assert set(told) == {"dump"}
        watch.tick()
        assert set(told) == {"dump"}, "the tick has nothing to add"

    def test_a_directory_that_was_replaced_is_followed_from_the_tick_on(
        self, watch: StateWatch, told: list[str], tmp_path: Path
    ) -> None:
        (tmp_path / "state").rename(tmp_path / "old")
        (tmp_path / "state").mkdir()
        (tmp_path / "state/disabled").touch()
        watch.tick()
        assert told == ["disabled"]
        assert watch.healthy()
        (tmp_path / "state/disabled").unlink()
        wait_for(watch.is_idle)
        assert told == ["disabled", "disabled"]

    def test_a_tick_before_the_start_does_not_keep_it_from_starting(
        self, tmp_path: Path, told: list[str]
    ) -> None:
        watch = StateWatch(str(tmp_path), ["disabled"], told.append, emit=Emitted())
        watch.reserve()
        watch.tick()
        watch.start()
        assert watch.healthy()
        watch.stop()

    def test_without_inotify_the_tick_compares(self, tmp_path: Path, told: list[str]) -> None:
        def none(*_: object) -> Inotify:
            raise OSError(24, "inotify instance limit reached")

        emitted = Emitted()
        watch = StateWatch(
            str(tmp_path), ["disabled"], told.append, emit=emitted, make_inotify=none
        )
        watch.start()
        (tmp_path / "disabled").touch()
        watch.tick()
        watch.tick()
        assert told == ["disabled"]
        assert [lost["cause"] for lost in emitted.named("events_lost")] == ["instance_limit"]
        assert watch.losses == {"instance_limit": 1}
        watch.stop()

    @NEEDS_SMALL_QUEUE
    def test_an_overflow_of_its_own_queue_is_said_counted_and_made_up_for(
        self, tmp_path: Path
    ) -> None:
        """The flag whose event was dropped is told of all the same."""
        told: list[str] = []
        reading, may_go_on = threading.Event(), threading.Event()

        def busy(name: str) -> None:
            told.append(name)
            reading.set()
            may_go_on.wait()

        emitted, names = Emitted(), ["dump", "disabled"]
        watch = StateWatch(str(tmp_path), names, busy, emit=emitted, make_inotify=SmallQueue(24))
        watch.start()
        (tmp_path / "dump").touch()
        reading.wait()
        for number in range(60):
            (tmp_path / f"ask-{number}").touch()
        (tmp_path / "disabled").touch()
        may_go_on.set()
        wait_for(watch.is_idle)

        assert "disabled" in told
        assert watch.losses["overflow"] == 1
        assert [lost["cause"] for lost in emitted.named("events_lost")] == ["overflow"]
        watch.on_queue_overflow()
        assert watch.losses["overflow"] == 2, "counted each time, said once until the next tick"
        assert len(emitted.named("events_lost")) == 1
        watch.tick()
        watch.on_queue_overflow()
        assert len(emitted.named("events_lost")) == 2
        watch.stop()

    def test_a_listener_that_fails_is_logged(self, tmp_path: Path) -> None:
        heard = threading.Event()

        def fail(_name: str) -> None:
            heard.set()
            raise RuntimeError("no")

        emitted = Emitted()
        watch = StateWatch(str(tmp_path), ["disabled"], fail, emit=emitted)
        watch.start()
        (tmp_path / "disabled").touch()
        wait_for(watch.is_idle)
        assert heard.is_set()
        assert emitted.named("unexpected")
        assert watch.healthy()
        watch.stop()


class TestLease:
    """Whether somebody is writing a file right now."""

    def test_it_tells_a_writer_from_a_reader(self, tmp_path: Path) -> None:
        path = record(tmp_path / "a.mp4")
        assert is_open_for_writing(str(path)) is False
        with path.open("rb"):
            assert is_open_for_writing(str(path)) is False
        with path.open("ab"):
            assert is_open_for_writing(str(path)) is True
        directory = os.open(tmp_path, os.O_PATH)
        assert is_open_for_writing("a.mp4", directory) is False
        os.close(directory)

    def test_what_is_gone_is_open_to_nobody(self, tmp_path: Path) -> None:
        assert is_open_for_writing(str(tmp_path / "none.mp4")) is False

    def test_what_can_not_be_known_is_none(self, tmp_path: Path) -> None:
        (tmp_path / "link.mp4").symlink_to("/etc/passwd")
        os.mkfifo(tmp_path / "fifo.mp4")
        assert is_open_for_writing(str(tmp_path / "link.mp4")) is None
        assert is_open_for_writing(str(tmp_path / "fifo.mp4")) is None

    def test_a_writer_that_comes_meanwhile_neither_fails_nor_kills_us(self, tmp_path: Path) -> None:
        path = record(tmp_path / "a.mp4")
        stopping = threading.Event()

        def write() -> None:
            while not stopping.is_set():
                path.write_bytes(b"more")

        before = signal.getsignal(signal.SIGIO)
        writer = threading.Thread(target=write)
        writer.start()
        answers = {is_open_for_writing(str(path)) for _ in range(3_000)}
        stopping.set()
        writer.join(30)
        assert answers <= {True, False}
        assert signal.getsignal(signal.SIGIO) == before
        assert path.read_bytes() == b"more"
