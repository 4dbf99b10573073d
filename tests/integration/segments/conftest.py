"""One empty camera, and an observer that watches it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.trees import Watched, watching


@pytest.fixture
def camera(tmp_path: Path) -> Path:
    (tmp_path / "cam1").mkdir()
    return tmp_path / "cam1"


@pytest.fixture
def watched(camera: Path) -> Iterator[Watched]:
    with watching(camera) as one:
        yield one
