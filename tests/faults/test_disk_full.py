"""A small file system filled to the last byte, at every stage that writes.

The job fails with a clear reason, what was half made goes, and once there is space again the same
recording is done.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from support.clock import ManualClock
from support.emitted import Emitted
from support.filesystems import Unavailable, small_tmpfs
from support.swap_trials import (
    COPY,
    KEEP_S,
    MARKER,
    NAME,
    ORIG,
    ORIGINAL,
    Ground,
    do_swap,
    stand_in_for_ffmpeg,
)

from watcher.errors import Halt, WatcherError
from watcher.replace import swap
from watcher.replace.recovery import Standing

SIZE_BYTES = 256 << 10


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    try:
        with small_tmpfs(tmp_path, SIZE_BYTES) as root:
            small = Ground(root)
            small.clear()
            yield small
    except Unavailable as reason:
        pytest.skip(f"no small file system here: {reason}")


def _fill(ground: Ground, *, leaving_pages: int = 0) -> Path:
    """Take every page that is left but a few."""
    ballast = ground.root.parent / ground.root.name / "ballast"
    with ballast.open("wb", buffering=0) as file:
        with suppress(OSError):  # ENOSPC, at last
            while True:
                file.write(bytes(4096))
        file.truncate(max(0, file.tell() - leaving_pages * 4096))
    return ballast


@pytest.mark.parametrize("leaving_pages", range(4))
def test_full_at_any_stage(ground: Ground, leaving_pages: int) -> None:
    """No page left for the copy, then for the intent, then for the marker that says done."""
    ballast = _fill(ground, leaving_pages=leaving_pages)
    with ground.open() as directory:
        reason = ""
        try:
            do_swap(directory, ManualClock())
        except WatcherError as error:
            reason = error.reason
        assert ground.contents(NAME) in {ORIGINAL, COPY}
        assert reason in {"encode_failed", "disk_full", "unfinished", "vanished", ""}
        ballast.unlink()
        assert swap.recover(directory, NAME, emit=Emitted()).standing in {
            Standing.CLEAN,
            Standing.HELD,
        }
        if ground.contents(NAME) == ORIGINAL:
            do_swap(directory, ManualClock())
    assert set(ground.listing()) == {NAME, ORIG, MARKER}


def test_full_between_seal_and_commit(ground: Ground) -> None:
    """The intent can't be written: the output goes, the recording stays, the shift is told."""
    with ground.open() as directory:
        with swap.claim(directory, NAME) as claimed, claimed.create_output() as output:
            stand_in_for_ffmpeg(output.path)
            output.seal()
            ballast = _fill(ground)
            with pytest.raises(Halt) as halt:
                output.commit(report={}, encoder="x", settings={}, keep_original_s=KEEP_S)
        assert halt.value.reason == "disk_full"
        ballast.unlink()
        assert set(ground.listing()) == {NAME}
        assert ground.contents(NAME) == ORIGINAL


def test_full_while_an_original_is_due(ground: Ground) -> None:
    """Deleting needs no space: it is how space is made."""
    clock = ManualClock()
    with ground.open() as directory:
        do_swap(directory, clock)
        _fill(ground)
        clock.advance(KEEP_S)
        deletion = swap.delete_original(directory, NAME, clock=clock, emit=Emitted())
    assert deletion.outcome is swap.Outcome.DELETED
    assert set(ground.listing()) == {NAME, "ballast"}


def test_full_while_restoring(ground: Ground) -> None:
    """The marker can't be rewritten: nothing is changed, and afterwards it works."""
    with ground.open() as directory:
        do_swap(directory, ManualClock())
        ballast = _fill(ground)
        with pytest.raises(Halt) as halt:
            swap.restore(directory, NAME, emit=Emitted())
        assert halt.value.reason == "disk_full"
        assert ground.contents(NAME) == COPY
        ballast.unlink()
        swap.recover(directory, NAME, emit=Emitted())
        assert swap.restore(directory, NAME, emit=Emitted()).changed
    assert ground.contents(NAME) == ORIGINAL
    assert os.listdir(ground.root) == [NAME]
