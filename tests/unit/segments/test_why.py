"""Why a path is, or is not, next."""

import os
import stat

import pytest
from support.trees import CameraOf, recording_of, segment

from watcher.segments.index import SegmentIndex
from watcher.segments.segment import Settled
from watcher.segments.why import Standing, Why, why

CAMERAS = [CameraOf("cam", "/c"), CameraOf("door", "/srv/door", ("*.mkv", "*.mp4"))]
MODES = {
    "link.mp4": stat.S_IFLNK,
    "fifo.mp4": stat.S_IFIFO,
    "directory.mp4": stat.S_IFDIR,
}


@pytest.fixture
def index() -> SegmentIndex:
    index = SegmentIndex(100.0)
    for number, name in enumerate(["a.mp4", "b.mp4", "settled.mp4", "later.mp4", "beside.mp4"]):
        index.put(segment(name, number))
    index.put(segment("open.mp4", 7), is_open=True)
    index.put(segment("young.mp4", 950))
    index.settle("/c/settled.mp4", "already_hevc")
    index.settle("/c/later.mp4", "failed", until_s=5_000)
    index.put_sidecar("/c", "beside.mp4", "beside.mp4.original")
    return index


def ask(index: SegmentIndex, path: str, now_s: float = 1_000) -> Why:
    def lstat(asked: str) -> os.stat_result:
        name = asked.rpartition("/")[2]
        if name == "absent.mp4":
            raise FileNotFoundError(asked)
        if name == "secret.mp4":
            raise PermissionError(13, "Permission denied")
        return os.stat_result((MODES.get(name, stat.S_IFREG), *[0] * 9))

    return why(
        path,
        CAMERAS,
        index,
        now_s=now_s,
        sidecar_of=recording_of,
        lstat=lstat,
        realpath=lambda one: one.replace("/other/way", "/srv"),
    )


@pytest.mark.parametrize(
    ("path", "standing", "words"),
    [
        ("/elsewhere/a.mp4", Standing.NOT_UNDER_A_CAMERA, "cam: /c, door: /srv/door"),
        ("/srv/door", Standing.NOT_A_FILE, "the camera's directory"),
        ("/c/absent.mp4", Standing.ABSENT, "no such file"),
        ("/c/secret.mp4", Standing.UNREADABLE, "Permission denied"),
        ("/c/a.mp4.original", Standing.OUR_OWN_FILE, "beside a.mp4"),
        ("/srv/door/a.avi", Standing.NO_MATCH, "*.mkv, *.mp4"),
        ("/c/link.mp4", Standing.SYMBOLIC_LINK, "symbolic link"),
        ("/c/d/link.mp4/e/a.mp4", Standing.BEHIND_A_LINK, "/c/d/link.mp4 is a symbolic link"),
        ("/c/fifo.mp4", Standing.NOT_A_FILE, "no regular file"),
        ("/c/directory.mp4", Standing.NOT_A_FILE, "no regular file"),
        ("/c/unknown.mp4", Standing.NOT_INDEXED, "does not know"),
        ("/c/open.mp4", Standing.OPEN, "being written"),
        ("/c/beside.mp4", Standing.REPLACED, "beside.mp4.original"),
        ("/c/settled.mp4", Standing.SETTLED, "already_hevc"),
        ("/c/young.mp4", Standing.TOO_YOUNG, "not old enough"),
        ("/c/b.mp4", Standing.IN_LINE, "number 2"),
    ],
)
def test_each_standing_has_its_words(
    index: SegmentIndex, path: str, standing: Standing, words: str
) -> None:
    answer = ask(index, path)
    assert answer.standing is standing
    assert words in answer.detail


def test_it_says_until_when(index: SegmentIndex) -> None:
    assert ask(index, "/c/young.mp4").eligible_at_s == 1_050
    assert ask(index, "/c/later.mp4").eligible_at_s == 5_000
    assert ask(index, "/c/later.mp4").reason == "failed"
    assert ask(index, "/c/settled.mp4").eligible_at_s is None


def test_whose_back_off_is_over_stands_in_line_again(index: SegmentIndex) -> None:
    """Though nobody has asked for the next one since: the window may be closed for days."""
    answer = ask(index, "/c/later.mp4", now_s=5_001)
    assert (answer.standing, answer.position) == (Standing.IN_LINE, 3)


def test_it_says_which_place(index: SegmentIndex) -> None:
    assert [ask(index, f"/c/{name}.mp4").position for name in "ab"] == [1, 2]


def test_links_on_the_way_are_seen_through(index: SegmentIndex) -> None:
    index.put(segment("a.mkv", 3, at="/srv/door/d"))
    answer = ask(index, "/other/way/door/d/a.mkv")
    assert (answer.path, answer.camera) == ("/srv/door/d/a.mkv", "door")
    assert answer.standing is Standing.IN_LINE


def test_a_verdict_of_the_ledger_is_named() -> None:
    index = SegmentIndex(100.0, lambda *_: Settled("saves_too_little"))
    index.put(segment())
    assert ask(index, "/c/a.mp4").reason == "saves_too_little"
