"""A disk that is full to the last byte, through the running service, with the real encoder.

The job ends with a clear reason, what was half made goes, the service says that it is halted until
there is space again, and then does the same recording.
"""

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from support.box import Box
from support.filesystems import Unavailable, small_tmpfs
from support.probing import codec_of
from support.stages import AtStage

from watcher.job import Stage

SIZE_BYTES = 8 << 20


class Elsewhere(Box):
    """A box whose state is on another disk than its recordings."""

    @property
    def state(self) -> Path:
        return self.top.parent / "state"


@pytest.fixture(params=[Elsewhere, Box], ids=["recordings", "recordings and state"])
def small(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Box]:
    """Give a box on a small disk."""
    try:
        with small_tmpfs(tmp_path, SIZE_BYTES) as point:
            yield request.param(point)
    except Unavailable as reason:
        pytest.skip(f"no small file system here: {reason}")


def fill(box: Box) -> None:
    """Take every byte that is left."""
    with (box.top / "ballast").open("wb", buffering=0) as file, suppress(OSError):
        for size in (1 << 20, 4096, 1):
            with suppress(OSError):  # ENOSPC, at last
                while file.write(bytes(size)) == size:
                    pass
    assert shutil.disk_usage(box.top).free == 0


@pytest.mark.parametrize("stage", [Stage.ENCODE, Stage.SWAP], ids=["encode", "marker"])
def test_full_while_a_recording_is_done(small: Box, at_stage: AtStage, stage: Stage) -> None:
    # No critical free space: else the gate, which looks twice a second, may see before the encoder
    # does that the disk is full, and abort it (reason `disk`), as it should.
    small.transcoding["critical_free_space_gb"] = 0
    small.write_config()
    path = small.record("cam1", "a.mp4", seconds=8)
    was = path.read_bytes()
    at_stage(stage, lambda: fill(small))
    with small.service() as service:
        failed = small.emitted.wait_for("transcode_failed")
        halted = small.emitted.wait_for("halted")
        assert failed["reason"] == halted["reason"] == "disk_full"
        assert small.files("cam1") == {"a.mp4"}
        assert path.read_bytes() == was
        service.tick()
        if small.state.parent != small.top:  # else there is no byte to ask and answer with
            assert "Status: Running (halted - " in small.command("stats")[1]
        (small.top / "ballast").unlink()
        service.tick()
        small.emitted.wait_for("transcode_finished")
        small.emitted.wait_for("halt_over")
    assert codec_of(path) == "hevc"
    assert path.with_name("a.mp4.original").read_bytes() == was


@pytest.mark.parametrize("small", [Box], ids=["state"], indirect=True)
def test_full_while_the_ledger_is_written(small: Box) -> None:
    """What was done is done; the ledger goes on in memory until there is space."""
    small.write_config()
    path = small.record("cam1", "a.mp4", seconds=8)
    small.emitted.on("transcode_finished", lambda: fill(small))
    with small.service() as service:
        small.emitted.wait_for("transcode_finished")
        small.wait_until(lambda: len(service.watch.tender.originals) == 1)
        service.tick()
        assert service.running
        (small.top / "ballast").unlink()
        service.tick()
        assert service.ledger.totals().files_transcoded == 1
    assert codec_of(path) == "hevc"
    assert small.files("cam1") == {"a.mp4", "a.mp4.original", "a.mp4.transcoded"}
