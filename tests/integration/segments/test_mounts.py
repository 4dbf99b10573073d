"""What is mounted and unmounted below a camera, or makes two cameras one.

No event tells of a mount; each test ends with the index equal to a fresh walk, and with a file
written into every directory afterwards heard of.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.mounts import make_ext4, mounted, unmount
from support.trees import Watched, indexed, record, walked, watching

DAY_S = 86_400.0


@pytest.fixture
def camera(tmp_path: Path) -> Path:
    (tmp_path / "cam1/disk").mkdir(parents=True)
    return tmp_path / "cam1"


@pytest.fixture
def watched(camera: Path) -> Iterator[Watched]:
    with watching(camera) as one:
        yield one


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[str]:
    """A disk that keeps what is on it while it is not mounted."""
    image = tmp_path / "disk.img"
    make_ext4(image, 16)
    attach = ["losetup", "--show", "-f", str(image)]
    done = subprocess.run(attach, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"NOT SHOWN HERE: a disk of its own ({done.stderr.strip()})")
    yield done.stdout.strip()
    subprocess.run(["losetup", "-d", done.stdout.strip()], check=False)


def is_true(watched: Watched, camera: Path) -> bool:
    """Whether the index is as a walk finds it, now and after a file came into each directory."""
    assert indexed(watched.index) == walked(camera)
    for number, (above, _, _) in enumerate(list(os.walk(camera))):
        record(Path(above) / f"alive{number}.mp4")
    watched.quiet()
    return indexed(watched.index) == walked(camera)


def test_a_disk_unmounted_and_mounted_again_between_two_ticks(camera: Path, disk: str) -> None:
    """The list of mounts is the same at both ticks."""
    with mounted(camera / "disk", kind="ext4", source=disk):
        record(camera / "disk/d/a.mp4", age_s=DAY_S)
        with watching(camera) as watched:
            watched.tick()
            unmount(camera / "disk")
            watched.quiet()
            assert watched.paths() == []
            subprocess.run(["mount", disk, str(camera / "disk")], check=True)
            watched.tick()
            assert watched.paths() == [str(camera / "disk/d/a.mp4")]
            assert watched.mended() == ["unmounted", "mounted"]
            assert not watched.heard.gone
            watched.tick()
            assert watched.losses() == ["unmounted", "mounted_over"], "said once"
            assert is_true(watched, camera)


def test_what_is_on_an_unmounted_disk_is_not_deleted(watched: Watched, camera: Path) -> None:
    path = camera / "disk/d/a.mp4"
    record(camera / "disk/below.mp4")  # else an empty place would tell that something is away
    watched.quiet()
    with mounted(camera / "disk"):
        record(path, age_s=DAY_S)
        watched.tick()
        assert not watched.observer.is_gone(str(camera / "disk/below.mp4")), "it is hidden"
        unmount(camera / "disk")
        watched.quiet()
        watched.tick()
    assert not watched.emitted.named("segment_gone")
    assert not watched.heard.gone
    assert not watched.observer.is_gone(str(path)), "its verdict is kept"
    assert watched.losses() == ["mounted_over", "unmounted"]
    (lost,) = [one for one in watched.emitted.named("events_lost") if one["cause"] == "unmounted"]
    assert lost["path"] == str(camera / "disk")
    (mended,) = [e for e in watched.emitted.named("index_resynced") if e["cause"] == "unmounted"]
    assert mended["removed"] == 1
    assert is_true(watched, camera)


def test_a_mount_point_that_vanishes_with_its_disk(watched: Watched, camera: Path) -> None:
    """As udisks and autofs do it."""
    with mounted(camera / "disk"):
        record(camera / "disk/a.mp4")
        watched.tick()
        with watched.observer.forest.changes:
            watched.observer.forest.close_descriptors()
            unmount(camera / "disk")
            (camera / "disk").rmdir()
        watched.quiet()
    assert not watched.heard.gone
    assert is_true(watched, camera)


def test_a_bind_mount_of_the_same_disk_that_goes(
    watched: Watched, camera: Path, tmp_path: Path
) -> None:
    """The kernel tells nothing of its end: the file system lives on."""
    record(tmp_path / "other/d/a.mp4")
    record(camera / "disk/below.mp4")
    watched.quiet()
    with mounted(camera / "disk", "--bind", kind="", source=str(tmp_path / "other")):
        watched.tick()
        assert watched.paths() == [str(camera / "disk/d/a.mp4")]
        unmount(camera / "disk")
        watched.tick()
    assert not watched.heard.gone
    assert watched.losses() == ["mounted_over", "unmounted"]
    assert is_true(watched, camera)


def test_a_bind_mount_of_the_same_disk_that_is_read_before_a_tick_deletes_nothing(
    watched: Watched, camera: Path, tmp_path: Path
) -> None:
    """Whatever makes its parent be read again: it is hidden what it covers, and it is away."""
    record(tmp_path / "other/d/a.mp4")
    record(camera / "disk/below.mp4")
    watched.quiet()

    def read_again() -> None:
        top = watched.observer.forest.tree.by_path[str(camera)]
        with watched.observer.forest.changes:
            watched.observer.forest.to_be_read(top)
        watched.quiet()

    with mounted(camera / "disk", "--bind", kind="", source=str(tmp_path / "other")):
        read_again()
        assert watched.paths() == [str(camera / "disk/d/a.mp4")]
        assert watched.losses() == ["mounted_over"]
        watched.tick()
        unmount(camera / "disk")
        read_again()
        assert watched.paths() == [str(camera / "disk/below.mp4")]
    assert not watched.heard.gone
    assert watched.losses() == ["mounted_over", "unmounted"]
    assert is_true(watched, camera)


def test_a_bind_mount_of_what_is_known_hides_what_was_there(watched: Watched, camera: Path) -> None:
    record(camera / "d/a.mp4")
    record(camera / "disk/below.mp4")
    watched.quiet()
    with mounted(camera / "disk", "--bind", kind="", source=str(camera / "d")):
        watched.tick()
        assert watched.paths() == [str(camera / "d/a.mp4")]
        assert not watched.heard.gone
        watched.tick()
        assert watched.losses() == ["mounted_over"], "said once"
        unmount(camera / "disk")
        watched.tick()
    assert is_true(watched, camera)


def test_a_mount_below_a_camera_whose_path_is_a_link(tmp_path: Path) -> None:
    record(tmp_path / "real/cam1/disk/below.mp4")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    camera = tmp_path / "link/cam1"
    with watching(camera) as watched, mounted(tmp_path / "real/cam1/disk"):
        record(camera / "disk/d/above.mp4")
        watched.tick()
        assert is_true(watched, camera)
        unmount(tmp_path / "real/cam1/disk")
        watched.quiet()
        watched.tick()
        assert is_true(watched, camera)


def test_an_overlay_over_what_is_known(watched: Watched, camera: Path, tmp_path: Path) -> None:
    """Nothing is heard of what it holds, so nothing of it is known, and that is said."""
    for name in ("lower", "upper", "work"):
        (tmp_path / name).mkdir()
    record(tmp_path / "lower/o.mp4")
    below = record(camera / "disk/below.mp4")
    watched.quiet()
    where = ",".join(f"{one}dir={tmp_path / one}" for one in ("lower", "upper", "work"))
    with mounted(camera / "disk", "-o", where, kind="overlay", source="overlay"):
        watched.tick()
        watched.tick()
        record(camera / "new.mp4")
        watched.quiet()
        assert watched.paths() == [str(camera / "new.mp4")]
        assert watched.losses() == ["mounted_over", "remote_file_system"], "said once"
        assert not watched.heard.gone
        assert not watched.observer.is_gone(str(below)), "it is hidden, not deleted"
        seen = watched.observer.statistics()
        assert "is an overlay" in seen.partly_unheard["cam1"]
        assert seen.unheard == {}, "of all that is not below the mount it is heard"
        unmount(camera / "disk")
        watched.tick()
    assert watched.observer.statistics().partly_unheard == {}
    assert is_true(watched, camera)


def test_a_camera_that_is_a_bind_mount_of_another_is_refused_and_said_once(
    camera: Path, tmp_path: Path
) -> None:
    """Its recordings are known once; as soon as the other camera is elsewhere, they are its own."""
    other = tmp_path / "cam2"
    other.mkdir()
    record(camera / "a.mp4")
    with mounted(other, "--bind", kind="", source=str(camera)), watching(camera, other) as watched:
        for _ in range(3):
            watched.tick()
        assert watched.mended() == []
        assert watched.losses() == ["same_directory"]
        (lost,) = watched.emitted.named("events_lost")
        assert str(camera) in str(lost["detail"])
        assert "one camera alone" in str(lost["remedy"])
        assert watched.observer.statistics().roots == {"cam1": "present", "cam2": "refused"}
        assert str(camera) in watched.observer.statistics().unheard["cam2"]
        assert is_true(watched, camera)

        camera.rename(tmp_path / "elsewhere")
        watched.tick()
        watched.tick()
        assert watched.observer.statistics().roots == {"cam1": "root_absent", "cam2": "present"}
        assert is_true(watched, other)


def test_a_bind_mount_that_takes_the_place_of_a_disk(
    watched: Watched, camera: Path, tmp_path: Path
) -> None:
    """It looks like a directory that was renamed to where the disk was."""
    (camera / "bound").mkdir()
    record(tmp_path / "other/o.mp4")
    watched.quiet()
    source = str(tmp_path / "other")
    with (
        mounted(camera / "disk"),
        mounted(camera / "bound", "--bind", kind="", source=source),
    ):
        record(camera / "disk/a.mp4")
        watched.tick()
        with watched.observer.forest.changes:
            watched.observer.forest.close_descriptors()
            unmount(camera / "disk")
            subprocess.run(["mount", "--bind", source, str(camera / "disk")], check=True)
            unmount(camera / "bound")
        watched.quiet()
        assert watched.paths() == [str(camera / "disk/o.mp4")]
        assert not watched.heard.gone
        watched.tick()
        assert is_true(watched, camera)


@pytest.mark.parametrize("name", ["f", "e/f"])
def test_a_directory_that_was_renamed_does_not_keep_its_disk_from_being_unmounted(
    camera: Path, name: str
) -> None:
    """Nobody would know why: nothing of it is open for longer than the question takes."""
    with mounted(camera):
        for one in ("d", "e"):
            record(camera / one / "a.mp4")
        with watching(camera) as watched:
            (camera / "d").rename(camera / name)
            watched.quiet()
            assert str(camera / name / "a.mp4") in watched.paths()
            unmount(camera)
