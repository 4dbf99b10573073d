"""A camera on a network share whose server is off, beside one on a disk: a file system that never
answers, and a service that goes on."""

import contextlib
from collections.abc import Iterator

import pytest
import yaml
from support.box import Box
from support.filesystems import Unavailable, hanging

from watcher.config import load_config
from watcher.service import Service


@contextlib.contextmanager
def server_off(box: Box, camera: str) -> Iterator[None]:
    """Let *camera* be polled, on a share that hangs."""
    box.write_config()
    written = yaml.safe_load(box.config_path.read_text())
    path = written["recordings"][camera]
    written["recordings"][camera] = {"path": path, "watch": "poll"}
    box.config_path.write_text(yaml.safe_dump(written))
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(hanging(box.top / camera))
        except Unavailable as reason:
            pytest.skip(str(reason))
        yield


def test_the_other_camera_is_converted_questions_are_answered_and_the_end_is_bounded(
    box: Box,
) -> None:
    path = box.record("cam1", "a.mp4")
    with server_off(box, "cam2"):
        service = Service(
            load_config(str(box.config_path)),
            emit=box.emitted,
            parts_within_s=1.0,
            shift_after_s=0.5,
        )
        service.start()
        try:
            box.emitted.wait_for("transcode_finished")
            box.wait_until(lambda: len(service.watch.tender.originals) == 1)
            assert (path.parent / "a.mp4.original").exists()
            code, out, err = box.command("stats")
            assert (code, err) == (0, "")
            assert "cam2" in out
            assert "has not answered" in out
            code, out, _ = box.command("why", str(box.top / "cam2" / "b.mp4"))
            assert "it can't be looked at: no answer: its disk or network share hangs" in out
            _, out, _ = box.command("check")
            said = " ".join(out.split())  # the table breaks lines
            assert "does not answer: its disk or network share hangs" in said
            assert "/cam1: 1 file" in said
            service.tick()
        finally:
            service.stop(0.0)
        assert service.left_behind == ("watch",)
        assert box.emitted.named("unexpected") == []
