"""Where the swap is tried: a tmpfs, and whatever the temporary directory is on."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.filesystems import Unavailable, shared_memory
from support.swap_trials import Ground


@pytest.fixture(params=["tmpfs", "temporary directory"])
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ground]:
    """A directory with one fresh recording in it."""
    with ExitStack() as stack:
        root = tmp_path
        if request.param == "tmpfs":
            try:
                root = stack.enter_context(shared_memory())
            except Unavailable as reason:
                pytest.skip(str(reason))
        directory = root / "recordings"
        directory.mkdir()
        fresh = Ground(directory)
        fresh.clear()
        yield fresh
