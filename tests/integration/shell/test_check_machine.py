"""`check` and its survey on real directories: nothing missed, nothing changed."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.clock import ManualClock
from support.filesystems import TrustedDirectory
from support.swap_trials import do_swap, rot

from watcher.check import Tools, examine
from watcher.config import Camera, config_for_directories
from watcher.replace.directory import LinuxDirectory
from watcher.replace.marker import (
    Held,
    Identity,
    Marker,
    State,
    marker_name,
    original_name,
    serialise,
    temporary_name,
)
from watcher.replace.swap import Standing, recover
from watcher.survey import survey
from watcher.transcode.ffmpeg import find
from watcher.transcode.trial import Chooser

ORIGINAL, COPY = b"original" * 10, b"copy" * 10


def identity(directory: Path, name: str, digest: str) -> Identity:
    with LinuxDirectory(str(directory)) as opened:
        look = opened.look(name)
        assert look is not None
        return Identity(look.inode, look.birth_ns, look.size, look.mtime_ns, digest)


def replaced(directory: Path, name: str = "seg.mp4", state: State = State.DONE) -> None:
    """Leave a recording as it stands after a swap: copy, original, marker."""
    (directory / name).write_bytes(COPY)
    (directory / original_name(name)).write_bytes(ORIGINAL)
    marker = Marker(
        name,
        state,
        identity(directory, original_name(name), "a" * 64),
        identity(directory, name, "b" * 64),
        Held(1_700_000_000.0, 100.0, "boot", 86_400.0),
        "libx265",
        {},
        {},
    )
    (directory / marker_name(name)).write_bytes(serialise(marker))


def really_replaced(top: Path) -> Path:
    """Leave one whose marker knows its files' contents."""
    path = top / "seg.mp4"
    path.write_bytes(ORIGINAL * 200)
    with TrustedDirectory(str(top)) as directory:
        do_swap(directory, ManualClock())
    return path


@pytest.fixture
def camera(tmp_path: Path) -> Camera:
    (tmp_path / "cam1" / "2024" / "05").mkdir(parents=True)
    return Camera(name="cam1", path=str(tmp_path / "cam1"))


def snapshot(top: Path) -> Iterator[tuple[str, int, int]]:
    for path in sorted(top.rglob("*")):
        yield str(path), path.lstat().st_ino, path.lstat().st_mtime_ns


class TestSurvey:
    def test_it_counts_recordings_and_nothing_else(self, camera: Camera) -> None:
        top = Path(camera.path)
        for name, mtime_s in (("a.mp4", 1000), ("2024/b.mp4", 500), ("2024/05/c.mp4", 2000)):
            (top / name).write_bytes(b"x" * 10)
            os.utime(top / name, (mtime_s, mtime_s))
        (top / "notes.txt").touch()
        (top / ".hidden.mp4").touch()
        (top / "link.mp4").symlink_to("a.mp4")
        os.mkfifo(top / "fifo.mp4")
        found = survey(camera)
        assert (found.directories, found.recordings, found.size_bytes) == (3, 3, 30)
        assert (found.oldest_s, found.newest_s) == (500, 2000)
        assert found.owners == {os.geteuid(): 3}
        assert found.leftovers == []

    def test_names_that_are_not_utf8(self, camera: Camera) -> None:
        (Path(camera.path) / "b\udcff.mp4").touch()
        assert survey(camera).recordings == 1

    def test_it_changes_nothing(self, camera: Camera) -> None:
        replaced(Path(camera.path))
        before = list(snapshot(Path(camera.path)))
        survey(camera)
        assert list(snapshot(Path(camera.path))) == before

    def test_a_directory_that_is_not_there(self, tmp_path: Path) -> None:
        found = survey(Camera(name="x", path=str(tmp_path / "missing")))
        assert found.unreadable == [str(tmp_path / "missing")]


class TestOurFiles:
    def left(self, camera: Camera) -> list[tuple[str, bool]]:
        found = survey(camera).leftovers
        return [(os.path.basename(each.path), each.for_a_person) for each in found]

    def test_a_replaced_recording_is_as_it_should_be(self, camera: Camera) -> None:
        replaced(Path(camera.path))
        found = survey(camera)
        assert found.leftovers == []
        assert found.held == [(1_700_086_400.0, f"{camera.path}/seg.mp4")]
        assert (found.originals, found.originals_bytes) == (1, len(ORIGINAL))

    def test_an_original_whose_recording_is_gone(self, camera: Camera) -> None:
        replaced(Path(camera.path))
        (Path(camera.path) / "seg.mp4").unlink()
        assert self.left(camera) == [("seg.mp4", False)]

    def test_output_that_a_crash_left(self, camera: Camera) -> None:
        (Path(camera.path) / "seg.mp4").write_bytes(ORIGINAL)
        (Path(camera.path) / temporary_name("seg.mp4")).write_bytes(COPY)
        assert self.left(camera) == [("seg.mp4", False)]

    def test_a_swap_that_was_cut_short(self, camera: Camera) -> None:
        replaced(Path(camera.path), state=State.INTENT)
        assert self.left(camera) == [("seg.mp4", False)]

    def test_a_cut_short_swap_that_recovery_leaves_to_a_person_is_told_as_that(
        self, camera: Camera
    ) -> None:
        """What is at the original's name did not come out of our exchange: no start ends that."""
        top = Path(camera.path)
        replaced(top, state=State.INTENT)
        original = top / original_name("seg.mp4")
        original.write_bytes(b"a stranger's")
        while original.stat().st_ctime_ns - (top / "seg.mp4").stat().st_ctime_ns < 20_000_000:
            original.touch()
        with LinuxDirectory(camera.path) as directory:
            recovered = recover(directory, "seg.mp4")
        assert (recovered.standing, recovered.actions) == (Standing.BLOCKED, ())
        [told] = survey(camera).leftovers
        assert (told.for_a_person, told.file) == (True, str(original))
        assert told.why == recovered.detail

    def test_a_copied_set_that_no_reading_tells_is_for_a_person(self, camera: Camera) -> None:
        """Brought back with a cut copy: recovery has read it, and keeps the original for ever."""
        top = Path(camera.path)
        path = really_replaced(top)
        os.truncate(path, 100)
        copied = shutil.copytree(top, top / "day") / "seg.mp4"
        for ours in (path, *top.glob("seg.mp4.*")):
            ours.unlink()
        [before] = survey(camera).leftovers
        with LinuxDirectory(str(copied.parent)) as directory:
            recovered = recover(directory, copied.name)
        assert (recovered.standing, recovered.actions) == (Standing.BLOCKED, ())
        [told] = survey(camera).leftovers
        assert told == before
        assert (told.path, told.for_a_person) == (str(copied), True)
        assert (told.file, told.why) == (f"{copied}.original", recovered.detail)

    def test_a_copied_set_that_only_its_contents_tell_is_the_services(self, camera: Camera) -> None:
        top = Path(camera.path)
        really_replaced(top)
        shutil.copytree(top, top / "day")
        assert self.left(camera) == [("seg.mp4", False)]

    @pytest.mark.parametrize("rotted", [True, False])
    def test_an_original_that_was_moved_back_and_copied_is_told_as_recovery_tells_it(
        self, camera: Camera, rotted: bool
    ) -> None:
        """Both names may show the original; where what was moved does not read back, both stay."""
        top = Path(camera.path)
        path = really_replaced(top)
        original = top / original_name(path.name)
        original.rename(path)
        shutil.copy2(path, original)
        if rotted:
            rot(path)
        [told] = survey(camera).leftovers
        with LinuxDirectory(camera.path) as directory:
            recovered = recover(directory, path.name)
        assert told.for_a_person is (recovered.standing is Standing.BLOCKED) is rotted
        assert (told.why == recovered.detail, told.file == str(original)) == (rotted, rotted)
        assert survey(camera).leftovers == ([told] if rotted else [])

    def test_a_forged_marker_is_for_a_person(self, camera: Camera) -> None:
        top = Path(camera.path)
        replaced(top)
        body = json.loads((top / "seg.mp4.transcoded").read_bytes())
        body["original_file"] = "../other.mp4"
        (top / "seg.mp4.transcoded").write_text(json.dumps(body), encoding="utf-8")
        assert ("seg.mp4", True) in self.left(camera)

    @pytest.mark.parametrize("ours", [temporary_name, original_name, marker_name])
    def test_a_link_or_a_directory_under_our_names_is_told_with_what_removes_it(
        self, camera: Camera, ours: Callable[[str], str]
    ) -> None:
        top = Path(camera.path)
        (top / "a.mp4").write_bytes(ORIGINAL)
        (top / "b.mp4").write_bytes(ORIGINAL)
        (top / ours("a.mp4")).symlink_to("a.mp4")
        (top / ours("b.mp4")).mkdir()
        assert self.left(camera) == [("a.mp4", True), ("b.mp4", True)]
        assert [each.file for each in survey(camera).leftovers] == [
            str(top / ours("a.mp4")),
            str(top / ours("b.mp4")),
        ]

    def test_a_strangers_file_under_a_name_like_ours(self, camera: Camera) -> None:
        (Path(camera.path) / "photo.jpg.original").touch()
        (Path(camera.path) / "letter.transcoded").touch()
        assert self.left(camera) == []

    def test_ours_that_no_pattern_matches_any_more(self, camera: Camera) -> None:
        replaced(Path(camera.path), "seg.mkv")
        assert self.left(camera) == [("seg.mkv", True)]


def test_the_whole_machine_looked_at_for_real(tmp_path: Path) -> None:
    (tmp_path / "cam1").mkdir()
    config = config_for_directories([str(tmp_path / "cam1")])
    work = config.transcoding.model_copy(update={"codec": "libx265", "preset": "ultrafast"})
    config = config.model_copy(update={"transcoding": work})
    only_x265 = Tools(
        choose=lambda found, codec, settings, mode: Chooser().choose(
            found, "libx265" if codec.startswith("lib") else codec, settings, qsv_mode=mode
        ),
        env={"STATE_DIRECTORY": str(tmp_path / "state")},
    )
    rows = {row.title: row for row in examine(config, only_x265)}
    assert rows["ffmpeg"].finding.startswith(find()[0].version)
    assert rows["encoder libx265"].status == "ok"
    assert rows["camera cam1"].status == "ok"
    assert all(row.remedy for row in rows.values() if row.status != "ok")
    assert not any((tmp_path / "cam1").iterdir())
    assert not (tmp_path / "state").exists()
