"""The power cut at every change, on real file systems: what is on the disk then has to do.

Where test_attack ends the process and the kernel still writes all it was told, here only that is
left which had reached the disk; each file system mends itself as it would at the next start.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from support.broken_directories import NeverSyncsFiles, RenamesTwice
from support.filesystems import SHARED_MEMORY, TrustedDirectory, Unavailable
from support.power import cut_everywhere
from support.swap_trials import SCRIPTS, Lost
from support.tracer import can_trace

KINDS = ("ext4", "xfs", "btrfs")  # whose exchange is relied on; a tmpfs is gone with the power
FEWEST = 5  # removing what is named changes one file


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[Path]:
    """Where images cost no disk."""
    reason = can_trace()
    if reason:
        pytest.skip(f"NOT SHOWN HERE: system calls can't be traced: {reason}")
    if not SHARED_MEMORY.is_dir():
        yield tmp_path
        return
    with TemporaryDirectory(dir=SHARED_MEMORY, prefix="watcher-") as directory:
        yield Path(directory)


def cut(kind: str, workshop: Path, script: str, **options: Any) -> int:
    try:
        tried = cut_everywhere(kind, workshop, script, **options)
    except Unavailable as reason:
        pytest.skip(f"NOT SHOWN HERE: {reason}")
    sys.stdout.write(f"\n| {kind} | {script}: power cut | {tried} disks | all survived |\n")
    return tried


@pytest.mark.parametrize("script", ["transcode", "restore", "cleanup"])
def test_a_power_cut_at_any_change_loses_nothing(workshop: Path, script: str) -> None:
    """Nothing written but what we asked for; and, three times, all that was to be written."""
    assert cut("ext4", workshop, script, most_commits=3) > FEWEST


@pytest.mark.parametrize("broken", [NeverSyncsFiles, RenamesTwice])
def test_a_broken_swap_is_caught_by_the_power(
    workshop: Path, broken: type[TrustedDirectory]
) -> None:
    """Without fsync a name points to nothing; between two renames there is none."""
    with pytest.raises(Lost):
        cut("ext4", workshop, "transcode", directory=broken, most_commits=8)


@pytest.mark.attack
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_power_cut_after_any_two_changes_loses_nothing(
    workshop: Path, script: str, kind: str
) -> None:
    """One before which all was written, and one before which the power goes, on each of them."""
    assert cut(kind, workshop, script) > FEWEST
