"""A share that hangs keeps nothing of another camera waiting."""

import contextlib
import errno
import gc
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.emitted import Emitted
from support.filesystems import Unavailable, hanging
from support.mounts import mounted
from support.trees import WEEK_S, CameraOf, Heard, record, wait_for

from watcher.clock import Clock
from watcher.replace.marker import recording_of
from watcher.segments.entries import CANDIDATE, Item
from watcher.segments.files import Hooks
from watcher.segments.index import SegmentIndex
from watcher.segments.mount_watch import MountWatch
from watcher.segments.observers import Observers


class Site:
    """A camera on a disk and one on a share, and who observes them."""

    def __init__(
        self,
        top: Path,
        emitted: Emitted | None = None,
        watch_mounts: Callable[[Callable[[], None], Clock], MountWatch] = MountWatch,
    ) -> None:
        self.disk, self.share = top / "disk", top / "share"
        for one in (self.disk, self.share):
            one.mkdir()
        self.index, self.heard, self.emitted = SegmentIndex(WEEK_S), Heard(), emitted or Emitted()
        self.cameras = [
            CameraOf("disk", os.fspath(self.disk)),
            CameraOf("share", os.fspath(self.share), watch="poll"),
        ]
        self.observers = Observers(
            self.cameras,
            self.index,
            sidecar_of=recording_of,
            hooks=self.heard.hooks(),
            emit=self.emitted,
            poll_interval_s=0.05,
            shares_within_s=0.05,
            watch_mounts=watch_mounts,
        )

    def paths(self) -> list[str]:
        return sorted(entry.segment.path for entry in self.index.snapshot())

    @contextlib.contextmanager
    def started(self) -> Iterator[None]:
        self.observers.start()
        try:
            yield
        finally:
            self.observers.stop()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_both_are_in_one_index_and_one_account(site: Site) -> None:
    record(site.disk / "a.mp4")
    record(site.share / "b.mp4")
    old = record(site.share / "old.mp4", age_s=2 * WEEK_S)
    with site.started():
        wait_for(lambda: len(site.index) == 3)
        assert site.observers.wait_ready(60)
        wait_for(site.observers.is_idle)
        wait_for(lambda: site.observers.statistics().unheard == {})  # none is slow for a moment
        seen = site.observers.statistics()
        assert (seen.directories, seen.directories_read_at_start) == (2, 2)
        assert seen.roots == {"disk": "present", "share": "present"}
        assert (seen.unwatched, seen.watches) == (0, 1)
        wait_for(site.observers.healthy)
        old.unlink()
        wait_for(lambda: len(site.index) == 2)
        assert site.observers.is_gone(str(old))
        assert not site.observers.is_gone(str(site.disk / "a.mp4"))


def test_while_a_share_keeps_the_lock_of_its_own_questions_no_other_waits_for_it(
    site: Site,
) -> None:
    record(site.share / "b.mp4", age_s=2 * WEEK_S)
    with site.started():
        wait_for(lambda: len(site.index) == 1)
        with _hung(site.observers, str(site.share / "b.mp4")):
            new = record(site.disk / "new.mp4")
            wait_for(lambda: str(new) in site.heard.closed)
            entry = site.index.get(str(new))
            assert entry is not None
            assert site.observers.confirm(entry.segment)
            site.observers.tick()


def test_while_a_disk_keeps_the_lock_of_its_questions_statistics_are_given_and_say_so(
    site: Site,
) -> None:
    """Who answers `stats` hears of `disable` too: a disk that is dying must not keep both."""
    record(site.disk / "a.mp4")
    with site.started():
        wait_for(lambda: site.observers.statistics().directories == 2)
        with _hung(site.observers, str(site.disk / "a.mp4")):
            seen = site.observers.statistics()
            assert list(seen.unheard) == ["disk"]
            assert "hangs" in seen.unheard["disk"]
            assert seen.directories == 2, "what was known last"
        wait_for(lambda: site.observers.statistics().unheard == {})


def test_a_server_that_is_off_keeps_neither_start_nor_events_nor_statistics(site: Site) -> None:
    """A file system that really never answers."""
    old = record(site.disk / "old.mp4", age_s=2 * WEEK_S)
    with contextlib.ExitStack() as stack:
        try:
            mount = stack.enter_context(contextlib.ExitStack())
            mount.enter_context(hanging(site.share))
        except Unavailable as reason:
            pytest.skip(str(reason))
        stack.callback(site.observers.stop)  # after the mount has gone, or it would wait for it
        stack.callback(mount.close)
        site.observers.start()
        assert site.paths() == [str(old)]
        new = record(site.disk / "new.mp4")
        wait_for(lambda: site.index.get(str(new)) is not None)
        site.observers.tick()
        seen = site.observers.statistics()
        assert (seen.directories, seen.watches) == (1, 1)
        assert "has not answered so far" in seen.unheard["share"]
        assert not site.observers.is_gone(str(site.disk / "old.mp4"))


def test_of_a_share_that_hangs_the_last_figures_are_given_and_that_it_hangs(site: Site) -> None:
    record(site.share / "b.mp4", age_s=2 * WEEK_S)
    with site.started():
        assert site.observers.wait_ready(60)
        wait_for(site.observers.is_idle)
        wait_for(lambda: site.observers.statistics().unheard == {})
        before = site.observers.statistics()
        with _hung(site.observers, str(site.share / "b.mp4")):
            seen = site.observers.statistics()
            assert list(seen.unheard) == ["share"]
            assert "does not answer" in seen.unheard["share"]
            assert seen.directories == before.directories == 2
        wait_for(lambda: site.observers.statistics().unheard == {})


def _is_unmounted(point: Path) -> bool:
    """Whether it could be: whatever else is mounted on this machine has us look, too."""
    return subprocess.run(["umount", point], check=False, capture_output=True).returncode == 0


def test_a_tick_forgets_no_recording_of_another_observers_that_is_being_written(
    site: Site,
) -> None:
    """What was forgotten so on a share, whose last change had been seen, would never be found."""
    with site.started(), (site.disk / "a.mp4").open("wb"):
        wait_for(lambda: site.index.get(str(site.disk / "a.mp4")) is not None)
        record(site.share / "b.mp4")
        wait_for(lambda: site.index.get(str(site.share / "b.mp4")) is not None)
        assert len(site.index.open_segments()) == 2
        for _ in range(2):
            site.observers.tick()
            wait_for(site.observers.is_idle)
        assert len(site.index.open_segments()) == 2


class _Shared(SegmentIndex):
    """Another observer adds to it at each moment."""

    def put_many(self, camera: str, directory: str, found: list[Item]) -> int:
        super().put_many("another", "/another", [(1, 1, "/another", f"{len(self)}.mp4", CANDIDATE)])
        return super().put_many(camera, directory, found)


def test_what_another_observer_adds_meanwhile_is_not_told_as_found(site: Site) -> None:
    site.disk.rmdir()
    observers = Observers(
        site.cameras[:1], _Shared(WEEK_S), sidecar_of=recording_of, emit=site.emitted
    )
    observers.start()
    try:
        site.disk.mkdir()
        record(site.disk / "a.mp4", age_s=WEEK_S)
        observers.tick()
        wait_for(lambda: bool(site.emitted.named("index_resynced")))
    finally:
        observers.stop()
    assert [one["added"] for one in site.emitted.named("index_resynced")] == [1]


def test_while_a_share_is_read_the_garbage_collector_goes_on(site: Site) -> None:
    """One that hangs would have it stand still for ever, and memory grow."""
    record(site.share / "b.mp4")
    record(site.share / "b.mp4.original")
    reading, over = threading.Event(), threading.Event()

    def recover(*_told: object) -> None:
        reading.set()
        over.wait()

    hooks = Hooks(recover=recover)
    observers = Observers(
        site.cameras, site.index, sidecar_of=recording_of, hooks=hooks, shares_within_s=0.01
    )
    observers.start()
    try:
        assert reading.wait(60)
        assert gc.isenabled()
    finally:
        over.set()
        observers.stop()


def test_each_walk_that_is_over_says_whose_it_was(site: Site) -> None:
    with site.started():
        assert site.observers.wait_ready(60)
    told = sorted(site.emitted.named("index_ready"), key=lambda one: str(one["cameras"]))
    assert [one["cameras"] for one in told] == [["disk"], ["share"]]
    assert [one["directories"] for one in told] == [1, 1]


def test_where_all_cameras_are_polled_nothing_is_said_of_no_camera(site: Site) -> None:
    observers = Observers(site.cameras[1:], site.index, sidecar_of=recording_of, emit=site.emitted)
    observers.start()
    observers.stop()
    assert [one["cameras"] for one in site.emitted.named("index_ready")] == [["share"]]


def test_a_walk_that_was_told_to_end_is_not_said_to_be_over(site: Site) -> None:
    with site.observers.of(str(site.share / "b.mp4"))._changes:  # somebody keeps it
        site.observers.start()
        stop = threading.Thread(target=site.observers.stop)
        stop.start()
        wait_for(lambda: site.observers.parts[str(site.share)]._stopped)
    stop.join(60)
    assert not stop.is_alive()
    assert [one["cameras"] for one in site.emitted.named("index_ready")] == [["disk"]]


class Midst(Emitted):
    """Does something else, once, in the midst of telling that a thread has died."""

    def __init__(self) -> None:
        super().__init__()
        self.then: list[Callable[[], None]] = []

    def __call__(self, event: str, /, **fields: object) -> None:
        super().__call__(event, **fields)
        if self.then and fields.get("cause") == "thread_died":
            self.then.pop()()


def test_a_worker_that_died_has_one_successor_though_a_mount_comes_with_the_tick(
    tmp_path: Path,
) -> None:
    """Each gives a tick in a thread of its own; a second successor would never be ended."""
    emitted, others = Midst(), set(threading.enumerate())
    site = Site(tmp_path, emitted)
    with site.started():
        site.observers.parts[None]._worker.stop()
        emitted.then.append(site.observers.tick)
        site.observers.tick()
        wait_for(site.observers.is_idle)
        alive = [one for one in set(threading.enumerate()) - others if one.name == "segments"]
        assert len(alive) == len(site.observers.parts)
    assert [fields["cause"] for fields in emitted.named("events_lost")] == ["thread_died"]


def test_where_no_descriptor_is_left_to_hear_of_mounts_the_tick_has_to_do(
    tmp_path: Path,
) -> None:
    def none_is_left(*_: object) -> MountWatch:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    site = Site(tmp_path, watch_mounts=none_is_left)
    place = site.disk / "disk"
    old = record(place / "below.mp4", age_s=2 * WEEK_S)
    with site.started():
        wait_for(lambda: site.paths() == [str(old)])
        with mounted(place):
            site.observers.tick()
            wait_for(lambda: site.paths() == [])


def test_a_second_stop_does_no_harm_nor_one_without_a_start(site: Site, tmp_path: Path) -> None:
    """What could not be started whole is stopped whole, and nothing of it stays behind."""
    (tmp_path / "other").mkdir()
    Site(tmp_path / "other").observers.stop()
    assert _threads() == []
    old = record(site.disk / "old.mp4", age_s=2 * WEEK_S)
    with site.started():
        wait_for(lambda: site.paths() == [str(old)])
        assert _threads() != []
        site.observers.stop()
        assert _threads() == []
    assert site.paths() == [str(old)]


def _threads() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith("segments")]


@contextlib.contextmanager
def _hung(observers: Observers, path: str) -> Iterator[None]:
    """Somebody else has the lock, and does not come back from the share."""
    taken, over = threading.Event(), threading.Event()

    def ask() -> None:
        with observers.of(path)._changes:
            taken.set()
            assert over.wait(60)

    thread = threading.Thread(target=ask)
    thread.start()
    assert taken.wait(60)
    try:
        yield
    finally:
        over.set()
        thread.join(60)


def test_what_is_mounted_and_unmounted_below_a_camera_is_noticed_at_once(site: Site) -> None:
    """Without a tick, which is every 30 s: a disk that is there for a moment is seen."""
    place = site.disk / "disk"
    old = record(place / "below.mp4", age_s=2 * WEEK_S)
    with site.started():
        wait_for(lambda: site.paths() == [str(old)])
        with mounted(place):
            wait_for(lambda: site.paths() == [])
            new = record(place / "new.mp4")
            wait_for(lambda: site.paths() == [str(new)])
            wait_for(lambda: _is_unmounted(place))
            wait_for(lambda: site.paths() == [str(old)])
    assert site.heard.gone == []
    causes = [fields["cause"] for fields in site.emitted.named("events_lost")]
    assert causes == ["mounted_over", "unmounted"]
