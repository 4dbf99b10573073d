"""What happens to a camera's files and directories is in the index, from events alone."""

import os
import shutil
import time
from pathlib import Path

import pytest
from support.clock import ManualClock
from support.queues import exchange, touch_mtime
from support.trees import CameraOf, Watched, indexed, record, walked, watching

from watcher.segments.files import Hooks

DAY_S = 86_400.0
HOUR_S = 3_600.0
DAY_NS = 86_400 * 10**9


def test_what_is_there_at_start_is_indexed_oldest_first(camera: Path) -> None:
    new = record(camera / "day2/b.mp4", 5, age_s=8 * DAY_S)
    old = record(camera / "day1/a.mp4", 7, age_s=9 * DAY_S)
    record(camera / "day1/a.txt")

    with watching(camera) as watched:
        segments = [entry.segment for entry in watched.index.snapshot()]

        assert [(s.path, s.size_bytes, s.camera) for s in segments] == [
            (str(old), 7, "cam1"),
            (str(new), 5, "cam1"),
        ]
        (ready,) = watched.emitted.named("index_ready")
        assert (ready["segments"], ready["candidates"], ready["directories"]) == (2, 2, 3)
        assert not watched.heard.closed, "what was there before was not closed just now"


def test_a_file_is_open_until_its_close(watched: Watched, camera: Path) -> None:
    path = camera / "a.mp4"

    with path.open("wb") as file:
        watched.quiet()
        assert watched.state(path) == "open"
        assert watched.heard.opened == [str(path)]
        file.write(b"12345")
    watched.quiet()

    assert watched.state(path) == "candidate"
    assert watched.heard.closed == [str(path)]
    assert indexed(watched.index) == walked(camera)
    assert watched.emitted.named("segment_closed") == [
        {"camera": "cam1", "path": str(path), "size_bytes": 5}
    ]


def test_a_file_that_is_created_and_not_yet_opened_is_about_to_be_written(camera: Path) -> None:
    """Its writer is counted a moment after its name is told of."""
    path, clock = camera / "a.mp4", ManualClock()
    with watching(camera, clock=clock) as watched:
        clock.set_wall(time.time())  # it stands still: the file is new however busy we are
        os.mknod(path)
        watched.quiet()
        assert watched.state(path) == "open"
        assert watched.heard.closed == []
        path.write_bytes(b"12345")
        watched.quiet()
        assert watched.state(path) == "candidate"
        assert watched.heard.closed == [str(path)]


def test_a_further_link_is_no_sign_that_anything_is_being_written(
    watched: Watched, camera: Path
) -> None:
    path = record(camera / "a.mp4", age_s=9 * DAY_S)
    watched.quiet()
    watched.heard.opened.clear()
    os.link(path, camera / "b.mp4")
    watched.quiet()
    assert watched.state(camera / "b.mp4") == "candidate"
    assert watched.heard.opened == []


def test_what_was_closed_before_the_start_is_no_sign_that_its_recorder_lives(camera: Path) -> None:
    """However new it is; what is found in a directory that comes later is one."""
    before = record(camera / "a.mp4")
    with watching(camera) as watched:
        made = camera.parent / "made elsewhere"
        record(made / "b.mp4")
        made.rename(camera / "d")
        watched.quiet()
        assert watched.state(before) == "candidate"
        assert watched.heard.closed == [str(camera / "d/b.mp4")]


def test_a_new_directorys_empty_file_may_be_about_to_be_written(camera: Path) -> None:
    """It is found in a listing: nobody saw it being created."""
    clock = ManualClock()
    with watching(camera, clock=clock) as watched:
        made = camera.parent / "made elsewhere"
        made.mkdir()
        clock.set_wall(time.time())
        os.mknod(made / "a.mp4")
        record(made / "b.mp4")
        made.rename(camera / "d")
        watched.quiet()
        assert watched.state(camera / "d/a.mp4") == "open"
        assert watched.state(camera / "d/b.mp4") == "candidate"


def test_a_file_that_is_being_written_at_start_is_open_until_its_close(camera: Path) -> None:
    path = camera / "a.mp4"
    with path.open("wb") as file:
        file.write(b"1")
        file.flush()
        with watching(camera) as watched:
            assert watched.state(path) == "open"
            file.close()
            watched.quiet()
            assert watched.state(path) == "candidate"


def test_what_takes_the_place_of_an_open_file_is_not_open_while_its_time_lies_ahead(
    watched: Watched, camera: Path
) -> None:
    """Its time lies ahead, as where the clock was set back: that says nothing of a writer."""
    with (camera / "a.mp4").open("wb"):
        record(camera / "b.mp4", age_s=-3_000.0)
        watched.quiet()
        exchange(camera / "a.mp4", camera / "b.mp4")
        watched.tick()
        assert watched.state(camera / "a.mp4") == "candidate"


def test_files_of_a_directory_that_appears_whole_are_all_seen(
    watched: Watched, camera: Path
) -> None:
    for number in range(300):
        record(camera / f"{number % 30}/{number % 7}/{number}.mp4")

    watched.quiet()

    assert len(watched.index) == 300
    assert indexed(watched.index) == walked(camera)
    assert all(entry.state == "candidate" for entry in watched.index.snapshot())
    assert len(watched.heard.closed) == len(set(watched.heard.closed)) == 300


def test_moved_in_counts_as_closed_and_moved_out_as_gone(
    watched: Watched, camera: Path, tmp_path: Path
) -> None:
    outside, inside = record(tmp_path / "a.mp4"), camera / "a.mp4"

    outside.rename(inside)
    watched.quiet()
    assert watched.heard.closed == [str(inside)]

    inside.rename(outside)
    watched.quiet()
    assert watched.heard.gone == [(str(inside), False)]
    assert watched.paths() == []


def test_renamed_within_its_camera_is_neither_closed_nor_gone(
    watched: Watched, camera: Path
) -> None:
    path = camera / "a.mp4"
    with path.open("wb"):
        watched.quiet()
        path.rename(camera / "b.mp4")
        watched.quiet()
        assert watched.state(camera / "b.mp4") == "open", "whoever writes it still does"
        assert not watched.heard.closed
        assert not watched.heard.gone
    watched.quiet()

    assert watched.state(camera / "b.mp4") == "candidate"
    assert watched.heard.closed == [str(camera / "b.mp4")]


def test_a_renamed_tree_is_followed_without_reading_it_again(
    watched: Watched, camera: Path
) -> None:
    record(camera / "d/e/a.mp4")
    watched.quiet()
    read = watched.observer.statistics().directories_read

    (camera / "d").rename(camera / "moved")
    record(camera / "moved/e/b.mp4")
    watched.quiet()

    assert indexed(watched.index) == walked(camera)
    assert watched.observer.statistics().directories_read == read
    assert watched.heard.gone == []
    assert [told[1:] for told in watched.heard.moved] == [
        (str(camera / "d"), str(camera / "moved")),
        (str(camera / "d/e"), str(camera / "moved/e")),
    ]


def test_a_tree_renamed_while_its_events_wait_loses_none_of_them(
    watched: Watched, camera: Path
) -> None:
    (camera / "d/e").mkdir(parents=True)
    watched.quiet()

    with watched.observer.forest.changes:  # the reader stands still
        record(camera / "d/e/a.mp4")
        (camera / "d/f").mkdir()
        record(camera / "d/f/b.mp4")
        (camera / "d").rename(camera / "moved")
        (camera / "d/e").mkdir(parents=True)
        record(camera / "d/e/c.mp4")
    watched.quiet()

    assert indexed(watched.index) == walked(camera)
    assert len(watched.index) == 3


def test_a_tree_that_leaves_is_gone_with_all_in_it(
    watched: Watched, camera: Path, tmp_path: Path
) -> None:
    path = record(camera / "d/e/a.mp4")
    watched.quiet()

    (camera / "d").rename(tmp_path / "outside")
    watched.quiet()

    assert len(watched.index) == 0
    assert watched.heard.gone == [(str(path), False)]
    record(tmp_path / "outside/e/b.mp4")  # an echo: nobody listens there any more
    watched.quiet()
    assert len(watched.index) == 0
    assert watched.observer.statistics().watches == 1


def test_two_trees_that_change_places_keep_what_is_theirs(watched: Watched, camera: Path) -> None:
    record(camera / "d/a.mp4")
    record(camera / "e/b.mp4", 9)
    watched.quiet()

    exchange(camera / "d", camera / "e")
    record(camera / "d/c.mp4")
    record(camera / "e/d.mp4")
    watched.quiet()

    assert indexed(watched.index) == walked(camera)


def test_a_tree_moved_to_another_camera_follows_its_patterns(tmp_path: Path) -> None:
    one, other = tmp_path / "cam1", tmp_path / "cam2"
    record(one / "d/a.mp4")
    record(one / "d/a.mkv")
    other.mkdir()
    cameras = CameraOf("cam1", str(one)), CameraOf("cam2", str(other), ("*.mkv",))
    with watching(*cameras) as watched:
        assert watched.paths() == [str(one / "d/a.mp4")]

        (one / "d").rename(other / "d")
        watched.quiet()

        assert watched.paths() == [str(other / "d/a.mkv")]
        entry = watched.index.get(str(other / "d/a.mkv"))
        assert entry
        assert entry.segment.camera == "cam2"


def test_deleted_trees_leave_nothing_behind(watched: Watched, camera: Path) -> None:
    for number in range(40):
        record(camera / f"d/{number % 4}/{number}.mp4")
    watched.quiet()

    shutil.rmtree(camera / "d")
    watched.quiet()

    assert len(watched.index) == 0
    assert len(watched.heard.gone) == 40
    statistics = watched.observer.statistics()
    assert (statistics.directories, statistics.watches) == (1, 1)


def test_a_time_set_after_the_close_is_the_age(watched: Watched, camera: Path) -> None:
    path = record(camera / "a.mp4")
    watched.quiet()

    os.utime(path, ns=(1_000, 1_000_000_000_000))
    watched.quiet()

    entry = watched.index.get(str(path))
    assert entry
    assert entry.segment.mtime_ns == 1_000_000_000_000
    assert entry.state == "candidate"


@pytest.mark.parametrize("change", ["truncated", "touched", "gone"])
def test_what_no_event_told_of_is_seen_when_it_is_chosen(camera: Path, change: str) -> None:
    """Size or time of a closed file changed without opening it: the index is put right."""
    path = record(camera / "a.mp4", 9, age_s=9 * DAY_S)
    with watching(camera) as watched:
        (before,) = watched.index.due(time.time())
        assert watched.observer.confirm(before)
        if change == "truncated":
            os.truncate(path, 5)
        elif change == "touched":
            touch_mtime(path, before.mtime_ns + DAY_NS)
        else:
            with watched.observer.forest.changes:  # which keeps its event from being heard
                path.unlink()
                assert not watched.observer.confirm(before)
        assert change == "gone" or not watched.observer.confirm(before)
        assert indexed(watched.index) == walked(camera)
        for segment in watched.index.due(time.time()):
            assert watched.observer.confirm(segment)


def test_links_fifos_and_directories_are_no_segments(watched: Watched, camera: Path) -> None:
    real = record(camera / "real.mp4")
    (camera / "link.mp4").symlink_to(real)
    os.mkfifo(camera / "fifo.mp4")
    (camera / "directory.mp4").mkdir()
    record(camera / "directory.mp4/inside.mp4")
    (camera / "away").symlink_to("/")
    watched.quiet()

    expected = [str(camera / "directory.mp4/inside.mp4"), str(real)]
    assert watched.paths() == expected
    with watching(camera) as fresh:
        assert fresh.paths() == expected, "a walk sees the same"


def test_what_is_called_a_recording_is_told_apart_at_start_though_all_names_are_alike(
    camera: Path,
) -> None:
    """Where every name is a recording's, names alone are listed: what they are is seen later."""
    os.mkfifo(record(camera / "x.mp4/a.mp4", age_s=HOUR_S * 2).with_name("fifo.mp4"))
    (camera / "x.mp4/link.mp4").symlink_to("a.mp4")
    record(camera / "x.mp4/y.mp4/b.mp4", age_s=HOUR_S * 2)
    with watching(CameraOf("x", str(camera / "x.mp4"))) as watched:
        assert watched.paths() == [
            str(camera / "x.mp4/a.mp4"),
            str(camera / "x.mp4/y.mp4/b.mp4"),
        ]


def test_a_further_link_to_a_closed_file_is_closed(watched: Watched, camera: Path) -> None:
    path = record(camera / "a.mp4")
    (camera / "b.mp4").hardlink_to(path)
    watched.quiet()

    assert watched.state(camera / "b.mp4") == "candidate"


@pytest.mark.parametrize("name", ["-rf.mp4", "a\nb.mp4", "\udcff\udcfe.mp4", "ä %s {x}.mp4"])
def test_any_name_is_ordinary(watched: Watched, camera: Path, name: str) -> None:
    record(camera / name / name)
    watched.quiet()
    assert indexed(watched.index) == walked(camera)
    (camera / name / name).unlink()
    watched.quiet()
    assert len(watched.index) == 0


def test_a_camera_whose_path_is_a_link_is_followed(tmp_path: Path) -> None:
    real, link = tmp_path / "disk", tmp_path / "cam1"
    record(real / "d/a.mp4")
    link.symlink_to(real)
    with watching(link) as watched:
        record(real / "d/b.mp4")
        watched.quiet()
        assert watched.paths() == [str(link / "d/a.mp4"), str(link / "d/b.mp4")]


class TestBesideOurOwnFiles:
    """Nothing beside a marker, an original or a temporary is ever a candidate."""

    @pytest.mark.parametrize("own", ["a.mp4.original", "a.mp4.transcoded", ".a.mp4.transcoding"])
    def test_a_recording_is_blocked_while_one_stands_there(
        self, watched: Watched, camera: Path, own: str
    ) -> None:
        path = record(camera / "a.mp4", age_s=9 * DAY_S)
        watched.quiet()
        assert watched.state(path) == "candidate"

        (camera / own).touch()
        watched.quiet()
        assert watched.state(path) == "replaced"
        assert watched.index.oldest_due(4e9) is None
        assert ("cam1", str(camera), "a.mp4") in watched.heard.sidecars

        (camera / own).unlink()
        watched.quiet()
        assert watched.state(path) == "candidate"

    def test_recovery_comes_before_the_first_candidate(self, camera: Path) -> None:
        record(camera / "d/a.mp4")
        record(camera / "d/a.mp4.original")
        record(camera / "d/a.mp4.transcoded")
        record(camera / "b.mp4")
        with watching(camera) as watched:
            own = ["a.mp4.original", "a.mp4.transcoded"]
            assert watched.heard.recovered == [("cam1", str(camera / "d"), own)]
            assert watched.state(camera / "d/a.mp4") == "replaced"
            assert watched.state(camera / "b.mp4") == "candidate"

    def test_what_recovery_changes_is_seen(self, camera: Path) -> None:
        """Recovery renames an original back to its empty name, and drops the marker."""
        original = record(camera / "d/a.mp4.original")
        record(camera / "d/a.mp4.transcoded")

        def recover(_camera: str, directory: str, _sidecars: list[str]) -> None:
            original.rename(camera / "d/a.mp4")
            os.unlink(f"{directory}/a.mp4.transcoded")

        with watching(camera, hooks=Hooks(recover=recover)) as watched:
            watched.quiet()
            assert watched.state(camera / "d/a.mp4") == "candidate"

    def test_a_tree_that_is_moved_in_is_recovered_too(
        self, watched: Watched, camera: Path, tmp_path: Path
    ) -> None:
        record(tmp_path / "d/a.mp4")
        record(tmp_path / "d/a.mp4.original")
        (tmp_path / "d").rename(camera / "d")
        watched.quiet()
        assert watched.heard.recovered == [("cam1", str(camera / "d"), ["a.mp4.original"])]
        assert watched.state(camera / "d/a.mp4") == "replaced"

    def test_our_own_swap_is_no_close_and_no_deletion(self, watched: Watched, camera: Path) -> None:
        path = record(camera / "a.mp4", 9, age_s=9 * DAY_S)
        watched.quiet()
        watched.heard.closed.clear()

        temporary = record(camera / ".a.mp4.transcoding", 5)
        (camera / "a.mp4.transcoded").touch()
        temporary.rename(camera / "a.mp4.original")
        exchange(path, camera / "a.mp4.original")
        watched.quiet()

        assert not watched.heard.closed
        assert not watched.heard.gone
        assert watched.state(path) == "replaced"
        assert indexed(watched.index) == walked(camera)

        (camera / "a.mp4.original").unlink()
        (camera / "a.mp4.transcoded").unlink()
        watched.quiet()
        assert watched.state(path) == "candidate"
        assert watched.heard.closed == []

    def test_a_deleted_recording_that_we_replaced_is_said_to_be_ours(
        self, watched: Watched, camera: Path
    ) -> None:
        path = record(camera / "a.mp4")
        (camera / "a.mp4.original").touch()
        watched.quiet()
        path.unlink()
        watched.quiet()
        assert watched.heard.gone == [(str(path), True)]

    def test_what_is_put_in_place_of_a_recording_that_we_replaced_is_told(
        self, watched: Watched, camera: Path
    ) -> None:
        """Its original is an orphan from now on, which only a look beside it shows."""
        path = record(camera / "a.mp4")
        (camera / "a.mp4.original").touch()
        watched.quiet()
        for newer in ("incoming", "incoming.mp4"):
            watched.heard.sidecars.clear()
            record(camera / newer, 20 + len(newer)).rename(path)
            watched.quiet()
            assert ("cam1", str(camera), "a.mp4") in watched.heard.sidecars


def test_listeners_that_fail_are_logged_and_hurt_nobody(camera: Path) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a listener's fault")

    hooks = Hooks(fail, fail, fail, fail, fail)
    record(camera / "d/a.mp4.original")
    with watching(camera, hooks=hooks) as watched:
        path = record(camera / "d/b.mp4")
        watched.quiet()
        path.unlink()
        watched.quiet()
        assert watched.paths() == []
        assert len(watched.emitted.named("unexpected")) >= 4
        assert watched.observer.healthy()


def test_stopping_ends_every_thread(camera: Path) -> None:
    with watching(camera) as watched:
        threads = watched.observer.forest.inotify, watched.observer._worker
        assert watched.observer.healthy()
    assert all(thread is not None and not thread.is_alive() for thread in threads)
    assert not watched.observer.healthy()


class TestWhileNobodyReads:
    """Several renames in a row, none of which has been heard of when the first one is looked at."""

    def test_a_directory_that_ends_up_below_its_own_child(
        self, watched: Watched, camera: Path
    ) -> None:
        record(camera / "d/f/x.mp4")
        watched.quiet()
        with watched.observer.forest.changes:
            (camera / "d/f").rename(camera / "t")
            (camera / "d").rename(camera / "t/d")
            (camera / "d").mkdir()
            (camera / "t").rename(camera / "d/f")
        watched.quiet()
        assert indexed(watched.index) == walked(camera)
        record(camera / "d/f/d/later.mp4")
        watched.quiet()
        assert indexed(watched.index) == walked(camera)

    def test_a_directory_that_takes_its_parents_place(self, watched: Watched, camera: Path) -> None:
        record(camera / "a/a/x.mp4")
        watched.quiet()
        with watched.observer.forest.changes:
            (camera / "a/a").rename(camera / "t")
            (camera / "a").rmdir()
            (camera / "t").rename(camera / "a")
        watched.quiet()
        assert not watched.heard.gone, "it was moved, and nothing was deleted"
        record(camera / "a/later.mp4")
        watched.quiet()
        assert indexed(watched.index) == walked(camera)

    @pytest.mark.parametrize("first", ["f", "g"])
    def test_what_is_below_it_goes_along_though_its_new_place_was_anothers(
        self, watched: Watched, camera: Path, first: str
    ) -> None:
        """`f/f/g` comes to stand where `f/g` did, and that one goes to `g`: not both."""
        below = {"f": "d/f/f/g/deep.mp4", "g": "d/f/g/flat.mp4"}
        for name in (first, *below.keys() - {first}):
            record(camera / below[name])
            watched.quiet()
        with watched.observer.forest.changes:
            (camera / "d/f").rename(camera / "t")
            (camera / "d").rmdir()
            (camera / "t").rename(camera / "d")
        watched.quiet()
        assert indexed(watched.index) == walked(camera)

    def test_a_file_that_takes_a_directorys_name(self, watched: Watched, camera: Path) -> None:
        (camera / "d/x.mp4").mkdir(parents=True)
        watched.quiet()
        with watched.observer.forest.changes:
            (camera / "d/x.mp4").rmdir()
            record(camera / "d/x.mp4")
            (camera / "d").rename(camera / "d2")
        watched.quiet()
        assert indexed(watched.index) == walked(camera)
        assert watched.paths() == [str(camera / "d2/x.mp4")]

    def test_what_becomes_no_file_between_its_listing_and_its_look_is_none(
        self, camera: Path
    ) -> None:
        old_s = 9 * DAY_S
        for name in ("a.mp4", "b.mp4"):
            record(camera / "d" / name, age_s=old_s)
        (camera / "d/z.mp4.original").touch()

        def between(_camera: str, directory: str, _sidecars: list[str]) -> None:
            for name in ("a.mp4", "b.mp4"):
                (Path(directory) / name).unlink()
            (Path(directory) / "a.mp4").mkdir()
            os.utime(Path(directory) / "a.mp4", (0, 0))
            (Path(directory) / "b.mp4").symlink_to("/etc/passwd")
            os.utime(Path(directory) / "b.mp4", (0, 0), follow_symlinks=False)

        with watching(camera, hooks=Hooks(recover=between)) as watched:
            watched.quiet()
            assert watched.paths() == []
