"""Retention deletes or replaces the recording while its copy is made: what it did holds."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.box import Box

from watcher import crew
from watcher.job import Road, Stage, Step

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


@pytest.fixture
def interrupt(
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[Stage, Callable[[], None]], None]]:
    """Give `interrupt(stage, act)`: *act* is done once, when a road comes to *stage*."""
    due: dict[Stage, Callable[[], None]] = {}

    class Interrupted(Road):
        def _on_step(self, step: Step) -> None:
            super()._on_step(step)
            due.pop(step.stage, lambda: None)()

    monkeypatch.setattr(crew, "Road", Interrupted)
    yield due.__setitem__
    assert not due, "no road came there"


@pytest.mark.parametrize("owner", OWNERS)
@pytest.mark.parametrize("stage", Stage)
def test_what_the_owner_does_meanwhile_holds(
    box: Box,
    interrupt: Callable[[Stage, Callable[[], None]], None],
    stage: Stage,
    owner: str,
) -> None:
    box.write_config()
    path, act = box.record("cam1", "a.mp4"), OWNERS[owner]
    was = path.read_bytes()
    interrupt(stage, lambda: act(path))
    with box.service() as service:
        box.wait_until(lambda: any(box.emitted.named(one) for one in ENDS))
        box.wait_until(lambda: service.shift.current is None)
        service.tick()
    assert box.emitted.named("transcode_finished") == []
    assert box.emitted.named("halted") == box.emitted.named("unexpected") == []
    left = {"deletes": {}, "renames": {"kept.mov": was}}.get(owner, {"a.mp4": NEWER})
    assert {one.name: one.read_bytes() for one in path.parent.iterdir()} == left
