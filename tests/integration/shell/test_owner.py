"""Retention deletes or replaces the recording while its copy is made: what it did holds."""

from pathlib import Path

import pytest
from support.box import Box
from support.stages import AtStage

from watcher.job import Stage

NEWER = b"newer"
ENDS = ("transcode_failed", "transcode_rejected")  # what was put there is no recording


def _delete(path: Path) -> None:
    path.unlink()


def _rename_away(path: Path) -> None:
    path.rename(path.with_name("kept.mov"))


def _overwrite(path: Path) -> None:
    path.write_bytes(NEWER)


def _replace(path: Path) -> None:
    beside = path.with_name("incoming")
    beside.write_bytes(NEWER)
    beside.rename(path)


OWNERS = {"deletes": _delete, "renames": _rename_away, "rewrites": _overwrite, "replaces": _replace}


@pytest.mark.parametrize("owner", OWNERS)
@pytest.mark.parametrize("stage", Stage)
def test_what_the_owner_does_meanwhile_holds(
    box: Box, at_stage: AtStage, stage: Stage, owner: str
) -> None:
    box.write_config()
    path, act = box.record("cam1", "a.mp4"), OWNERS[owner]
    was = path.read_bytes()
    at_stage(stage, lambda: act(path))
    with box.service() as service:
        box.wait_until(lambda: any(box.emitted.named(one) for one in ENDS))
        box.wait_until(lambda: service.shift.current is None)
        service.tick()
    assert box.emitted.named("transcode_finished") == []
    assert box.emitted.named("halted") == box.emitted.named("unexpected") == []
    left = {"deletes": {}, "renames": {"kept.mov": was}}.get(owner, {"a.mp4": NEWER})
    assert {one.name: one.read_bytes() for one in path.parent.iterdir()} == left
