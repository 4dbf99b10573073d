"""Something that is done in the middle of a job, at a stage of its own road."""

from collections.abc import Callable, Iterator

import pytest

from watcher import crew
from watcher.job import Road, Stage, Step

AtStage = Callable[[Stage, Callable[[], None]], None]


@pytest.fixture
def at_stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[AtStage]:
    """Give `at_stage(stage, act)`: *act* is done once, when a road comes to *stage*."""
    due: dict[Stage, Callable[[], None]] = {}

    class Interrupted(Road):
        def _on_step(self, step: Step) -> None:
            super()._on_step(step)
            due.pop(step.stage, lambda: None)()

    monkeypatch.setattr(crew, "Road", Interrupted)
    yield due.__setitem__
    assert not due, "no road came there"
