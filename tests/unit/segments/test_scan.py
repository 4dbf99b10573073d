"""What one reading of a directory counts, and what it does about files that go meanwhile."""

import os
from pathlib import Path
from typing import Any

import pytest
from support.clock import ManualClock
from support.emitted import Emitted
from support.trees import CameraOf

from watcher.segments.changes import Changes
from watcher.segments.files import PROBED_AGE_S, Hooks
from watcher.segments.forest import Forest
from watcher.segments.index import SegmentIndex
from watcher.segments.scan import _Listing, _stat_each, look_again, read_directory
from watcher.segments.segment import NS_PER_S
from watcher.segments.tree import Directory, Root, root_of

NOW_S = 1_700_000_000.0


def never(*_: Any) -> None:
    """Nothing of the kind happens here."""


def going_on() -> bool:
    return False


@pytest.fixture
def forest() -> Forest:
    clock = ManualClock(wall_s=NOW_S)
    hooks = Hooks()
    return Forest(
        SegmentIndex(min_age_s=0.0),
        Changes(Emitted()),
        sidecar_of=lambda _name: None,
        hooks=hooks,
        clock=clock,
        later=never,
        wake=never,
        check_root=never,
    )


@pytest.fixture
def directory(forest: Forest, tmp_path: Path) -> Directory:
    root: Root = root_of(CameraOf("cam", str(tmp_path)))
    found = os.stat(tmp_path)
    one = Directory(root, None, "", str(tmp_path), (found.st_dev, found.st_ino))
    forest.tree.add(one)
    return one


def old(path: Path) -> Path:
    path.write_bytes(b"x")
    os.utime(path, (NOW_S - 10 * PROBED_AGE_S - 1e6,) * 2)
    return path


def read(forest: Forest, directory: Directory) -> dict[str, int]:
    """Read it, and give what was counted by that."""
    before = dict(forest.changes.tally)
    read_directory(forest, directory, going_on)
    return {key: n - before.get(key, 0) for key, n in forest.changes.tally.items()}


def test_each_reading_counts_once_and_only_what_is_new_is_added(
    forest: Forest, directory: Directory, tmp_path: Path
) -> None:
    old(tmp_path / "a.mp4")
    old(tmp_path / "b.mp4")
    counted = read(forest, directory)
    assert (counted["directories_read"], counted["added"]) == (1, 2)
    old(tmp_path / "c.mp4")
    counted = read(forest, directory)
    assert (counted["directories_read"], counted["added"]) == (1, 1)
    assert read(forest, directory)["added"] == 0


def test_a_file_that_goes_between_name_and_look_is_no_other_file(
    forest: Forest, directory: Directory, tmp_path: Path
) -> None:
    old(tmp_path / "a.mp4")
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        listing = _Listing(descriptor, ["a.mp4", "gone.mp4"])
        recent_ns = int(NOW_S * NS_PER_S)
        found = _stat_each(forest, directory, listing, listing.files, recent_ns)
    finally:
        os.close(descriptor)
    assert [item[3] for item in found] == ["a.mp4"]


def test_no_directory_stays_open_when_it_has_been_read(
    forest: Forest, directory: Directory, tmp_path: Path
) -> None:
    """An unmount is not to wait for us."""

    def held() -> list[str]:
        links = (f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd"))
        return [os.readlink(link) for link in links if os.path.islink(link)]

    for name in ("a.mp4", "b.mp4"):
        old(tmp_path / name)
    read(forest, directory)
    (tmp_path / "a.mp4").unlink()  # what is missing is looked up in the directory's descriptor
    read(forest, directory)
    assert str(tmp_path) not in held()
    look_again(forest, directory, going_on)
    assert str(tmp_path) not in held()
