"""A share that hangs keeps nothing of another camera waiting."""

import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.emitted import Emitted
from support.filesystems import Unavailable, hanging
from support.mounts import mounted
from support.trees import WEEK_S, CameraOf, Heard, record, wait_for

from watcher.replace.marker import recording_of
from watcher.segments.index import SegmentIndex
from watcher.segments.observers import Observers


class Site:
    """A camera on a disk and one on a share, and who observes them."""

    def __init__(self, top: Path) -> None:
        self.disk, self.share = top / "disk", top / "share"
        for one in (self.disk, self.share):
            one.mkdir()
        self.index, self.heard, self.emitted = SegmentIndex(WEEK_S), Heard(), Emitted()
        self.observers = Observers(
            [
                CameraOf("disk", os.fspath(self.disk)),
                CameraOf("share", os.fspath(self.share), watch="poll"),
            ],
            self.index,
            sidecar_of=recording_of,
            hooks=self.heard.hooks(),
            emit=self.emitted,
            poll_interval_s=0.05,
            shares_within_s=0.05,
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
