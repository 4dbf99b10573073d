"""`restore` at each stage at which the original still exists, by file, glob and camera."""

from pathlib import Path

import pytest
from support.box import Box

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
