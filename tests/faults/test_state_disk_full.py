"""The state directory on a disk of its own that is full; the recordings have all the room there is.

The mirror of `test_service_disk_full`, where the recordings' disk is the full one. Nothing here
encodes: what must not suffer is what is kept, and when it goes.
"""

import errno
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.box import DAY_S, Box
from support.clock import SetClock
from support.filesystems import Unavailable, small_tmpfs
from support.swapped import COPY, ORIGINAL, swapped

from watcher.errors import Halt
from watcher.replace.steps import told


@dataclass
class Apart(Box):
    """A box whose state is on a small disk of its own."""

    disk: Path = field(default_factory=Path)

    @property
    def state(self) -> Path:
        return self.disk / "state"

    def fill(self) -> None:
        """Take every byte that is left there."""
        with (self.disk / "ballast").open("wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(4096)) == 4096:  # ENOSPC, at last
                pass

    def free(self) -> None:
        (self.disk / "ballast").unlink()


@pytest.fixture
def apart(box: Box, tmp_path: Path) -> Iterator[Apart]:
    try:
        with small_tmpfs(tmp_path, 2 << 20) as disk:
            yield Apart(box.top, disk=disk)
    except Unavailable as reason:
        pytest.skip(f"no small file system here: {reason}")


def _waits(apart: Apart, clock: SetClock, name: str = "a.mp4") -> Path:
    apart.write_config()
    path = apart.top / "cam1" / name
    swapped(path, clock=clock)
    return path


@pytest.mark.parametrize("full", ["before the start", "while it runs"])
def test_an_original_is_held_no_shorter_and_goes_in_time(apart: Apart, full: str) -> None:
    """The service lives, in memory; the safety period ends when it would have, and not before."""
    clock = SetClock()
    path = _waits(apart, clock)
    if full == "before the start":
        apart.state.mkdir()
        apart.fill()
    with apart.service(clock=clock, enabled=False) as service:
        apart.wait_until(lambda: len(service.watch.tender.originals) == 1)
        if full == "while it runs":
            apart.fill()
        clock.advance(DAY_S - 60)
        service.tick()
        assert path.with_name("a.mp4.original").read_bytes() == ORIGINAL
        assert service.watch.tender.originals.due() == []
        clock.advance(120)
        service.tick()
        apart.emitted.wait_for("original_deleted")
        assert service.running
        apart.free()
        service.tick()
    assert path.read_bytes() == COPY
    assert apart.files("cam1") == {"a.mp4"}


def test_a_restored_verdict_that_can_not_be_written_is_kept_until_it_can(apart: Apart) -> None:
    """What its owner put back is not converted again: known at once, and on disk later."""
    clock = SetClock()
    path = _waits(apart, clock)
    with apart.service(clock=clock, enabled=False) as service:
        apart.wait_until(lambda: len(service.watch.tender.originals) == 1)
        apart.fill()
        path.with_name("a.mp4.original").rename(path)  # by hand, as an owner would
        apart.wait_until(lambda: apart.files("cam1") == {"a.mp4"})
        apart.wait_until(lambda: len(service.watch.tender.originals) == 0)
        apart.free()
        service.tick()
    assert path.read_bytes() == ORIGINAL
    with apart.service(clock=clock, enabled=False) as service:
        entry = service.watch.index.get(str(path))
        assert entry is not None
        assert entry.reason == "restored"


def test_a_full_quota_is_a_full_disk_and_says_what_to_do() -> None:
    """EDQUOT comes of writing as ENOSPC does: work stops there, and the remedy is another."""
    halt = told(OSError(errno.EDQUOT, "Disk quota exceeded"), "/cam/a.mp4")
    assert isinstance(halt, Halt)
    assert halt.reason == "disk_full"
    assert "raise the quota" in halt.message
