"""Which recordings have certainly been deleted: the ledger forgets those, and no others."""

import os
import shutil
from pathlib import Path

import pytest
from support.box import Box
from support.trees import record, watching

from watcher.ledger.ledger import Ledger, Subject, fingerprint
from watcher.settings import Transcoding


@pytest.fixture
def camera(tmp_path: Path) -> Path:
    record(tmp_path / "cam1/day/there.mp4")
    return tmp_path / "cam1"


@pytest.mark.parametrize(
    "name", ["day/gone.mp4", "gone.mp4", "gone/a.mp4", "gone/deep/a\udcff.mp4"]
)
def test_what_is_not_in_a_directory_that_was_read_has_gone(camera: Path, name: str) -> None:
    with watching(camera) as watched:
        assert watched.observer.is_gone(f"{camera}/{name}")


def test_what_is_there_has_not_though_the_index_does_not_hold_it(camera: Path) -> None:
    record(camera / "day/there.avi")
    with watching(camera) as watched:
        assert not watched.observer.is_gone(f"{camera}/day/there.avi")
        assert not watched.observer.is_gone(f"{camera}/day/there.mp4")


def test_what_lies_below_an_empty_directory_may_be_on_a_disk_that_is_not_mounted(
    camera: Path,
) -> None:
    (camera / "disk").mkdir()
    with watching(camera) as watched:
        assert not watched.observer.is_gone(f"{camera}/disk/a.mp4")
        assert not watched.observer.is_gone(f"{camera}/disk/day/a.mp4")


def test_nothing_is_known_of_an_absent_camera_or_of_another_place(camera: Path) -> None:
    with watching(camera) as watched:
        assert not watched.observer.is_gone("/elsewhere/a.mp4")
        assert not watched.observer.is_gone("a.mp4")
        shutil.rmtree(camera)
        watched.tick()
        assert not watched.observer.is_gone(f"{camera}/day/a.mp4")
    camera.mkdir()
    os.rmdir(camera)
    with watching(camera) as watched:
        assert not watched.observer.is_gone(f"{camera}/day/a.mp4")


def test_a_service_forgets_the_verdicts_on_what_was_deleted_while_it_was_down(box: Box) -> None:
    """`stats` counts what is left alone; what is no more is not."""
    box.write_config()
    box.state.mkdir()
    there = record(box.top / "cam1/there.mp4", age_s=9 * 86_400.0)
    decides = fingerprint(Transcoding())
    with Ledger(str(box.state / "ledger.sqlite")) as ledger:
        for path in (str(there), f"{box.top}/cam1/gone.mp4", f"{box.top}/cam2/unmounted.mp4"):
            found = os.lstat(there)
            subject = Subject(path, found.st_size, found.st_mtime_ns, "cam1")
            ledger.remember_refusal(subject, "interlaced", "", decides)
    with box.service(enabled=False) as service:
        box.wait_until(lambda: service.ledger.explain(f"{box.top}/cam1/gone.mp4") is None)
        assert service.ledger.explain(str(there)) is not None
        assert service.ledger.explain(f"{box.top}/cam2/unmounted.mp4") is not None
