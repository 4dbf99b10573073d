"""`restore` at each stage at which the original still exists, by file, glob and camera."""

from contextlib import ExitStack
from pathlib import Path

import pytest
from support.box import Box
from support.markers import HELD
from support.swapped import COPY, ORIGINAL, locked, swapped

from watcher.ledger.ledger import Ledger
from watcher.replace.directory import LinuxDirectory
from watcher.replace.mend import place_of
from watcher.replace.swap import restore
from watcher.restoring import patiently
from watcher.service import LEDGER

NAMES = ("a.mp4", "b.mp4")


@pytest.mark.parametrize("by", ["file", "glob", "camera", "directory"])
def test_originals_come_back_where_their_copies_were_deleted_too(box: Box, by: str) -> None:
    config = box.write_config()
    was = {name: box.record("cam1", name).read_bytes() for name in NAMES}
    top = box.top / "cam1"
    with box.service():
        box.emitted.wait_for("transcode_finished", len(was))
    (top / "a.mp4").unlink()
    assert "cam1" in config.recordings
    given: dict[str, list[str | Path]] = {
        "file": [top / name for name in NAMES],
        "glob": [top / "*.mp4"],
        "camera": ["cam1"],
        "directory": [top],
    }
    code, said, _ = box.command("restore", *given[by])
    assert code == 0, said
    assert {one.name: one.read_bytes() for one in top.iterdir()} == was


def test_an_orphan_that_came_back_by_hand_counts_anew_when_it_is_one_again(box: Box) -> None:
    """No service runs: nobody else would forget since when it was seen to be one."""
    path = camera(box) / "a.mp4"
    swapped(path)
    path.unlink()
    place = _place(path.parent)
    assert box.command("cleanup")[0] == 0
    with Ledger(str(box.state / LEDGER)) as ledger:
        assert ledger.orphan_first_seen(str(path), place) is not None
    assert box.command("restore", path)[0] == 0
    with Ledger(str(box.state / LEDGER)) as ledger:
        assert ledger.orphan_first_seen(str(path), place) is None


def test_an_original_made_by_hand_has_no_share_in_an_earlier_ones_time_as_an_orphan(
    box: Box,
) -> None:
    """That was moved back by hand, while no service ran that would have forgotten it."""
    box.write_config()
    path = box.record("cam1", "a.mp4")
    place = _place(path.parent)
    box.state.mkdir()
    with Ledger(str(box.state / LEDGER)) as ledger:
        ledger.remember_orphan(str(path), place, HELD)
        assert ledger.orphan_first_seen(str(path), place) is not None
    assert box.command("transcode", path)[0] == 0
    with Ledger(str(box.state / LEDGER)) as ledger:
        assert ledger.orphan_first_seen(str(path), place) is None


def _place(directory: Path) -> str:
    with LinuxDirectory(str(directory)) as opened:
        return place_of(opened)


def test_while_a_recording_is_encoded_it_is_its_original(box: Box) -> None:
    """The running job is left alone; once it has ended there is something to restore."""
    box.write_config()
    path = box.record("cam1", "a.mp4")
    was, said = path.read_bytes(), []
    box.emitted.on("transcode_started", lambda: said.append(box.command("restore", path)))
    with box.service():
        box.emitted.wait_for("transcode_finished")
        code, now, _ = box.command("restore", path)
    assert [(code, "it is its original" in text) for code, text, _ in said] == [(0, True)]
    assert (code, "back in its place" in now) == (0, True)
    assert box.files("cam1") == {"a.mp4"}
    assert path.read_bytes() == was


def camera(box: Box) -> Path:
    box.write_config()
    return box.top / "cam1"


@pytest.mark.parametrize("known", [True, False], ids=["by the ledger", "by the copy itself"])
def test_of_a_copy_it_is_said_that_its_original_was_deleted(box: Box, known: bool) -> None:
    path = camera(box) / "a.mp4"
    box.record("cam1", "a.mp4")
    assert box.command("transcode", path)[0] == 0
    (path.parent / "a.mp4.original").unlink()  # as the service does a day later
    (path.parent / "a.mp4.transcoded").unlink()
    if not known:
        (box.state / "ledger.sqlite").unlink()
    code, said, _ = box.command("restore", path)
    assert code == 1
    assert "its original was deleted and can't come back" in said
    assert ("the copy that was made" in said) == known


def test_a_ledger_that_can_t_be_written_keeps_no_original_back_but_is_told(box: Box) -> None:
    path = camera(box) / "a.mp4"
    swapped(path)
    (box.state / "ledger.sqlite").mkdir(parents=True)
    code, said, _ = box.command("restore", path)
    assert (code, path.read_bytes()) == (1, ORIGINAL)
    assert "is back in its place" in said
    assert "the ledger could not be written, so Watcher may transcode it again" in said


def test_a_name_with_brackets_means_itself_before_it_means_others(box: Box) -> None:
    top = camera(box)
    for name in ("cam[1].mp4", "cam1.mp4"):
        swapped(top / name)
    (top / "cam[1].mp4").unlink()
    assert box.command("restore", top / "cam[1].mp4")[0] == 0
    assert (top / "cam[1].mp4").read_bytes() == ORIGINAL
    assert (top / "cam1.mp4").read_bytes() == COPY
    assert box.command("restore", top / "cam?.mp4")[0] == 0
    assert (top / "cam1.mp4").read_bytes() == ORIGINAL


@pytest.mark.parametrize("by", ["camera", "directory"])
def test_originals_whose_markers_were_swept_away_are_named_with_what_to_do(
    box: Box, by: str
) -> None:
    top = camera(box)
    for name in NAMES:
        swapped(top / name)
        (top / f"{name}.transcoded").unlink()
    (top / "b.mp4").unlink()
    before = box.files("cam1")
    code, said, _ = box.command("restore", "cam1" if by == "camera" else top)
    assert (code, box.files("cam1")) == (1, before)
    stands, free = said.splitlines()
    assert "a.mp4.original stands beside it" in stands
    assert f"move the recording away, then `watcher restore {top / 'a.mp4'}`" in stands
    assert f"`watcher restore {top / 'b.mp4'}` puts it in its place" in free


def test_a_restore_waits_for_who_is_at_work_in_its_directory(box: Box) -> None:
    """A deletion there may read a whole copy; nobody is to ask again and again."""
    top = camera(box)
    path = top / "a.mp4"
    swapped(path)
    with ExitStack() as at_work:
        at_work.enter_context(locked(top))
        done = patiently(
            str(top), lambda where: restore(where, path.name), at_work.close, soon_s=0.0
        )
    assert done.changed
    assert path.read_bytes() == ORIGINAL


def test_what_could_not_be_looked_at_is_not_said_to_be_absent(box: Box) -> None:
    top = camera(box)
    swapped(top / "a.mp4")
    with locked(top):
        code, said, _ = box.command("restore", "cam1")
    assert code == 1
    assert (
        said
        == f"{top / 'a.mp4'}: could not be looked at: somebody is at work there; try again later\n"
    )
    assert box.command("restore", "cam2") == (
        0,
        f"{box.top / 'cam2'}: no original is kept there\n",
        "",
    )
