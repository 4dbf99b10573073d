"""A file under our names that no rule covers goes where its owner names it, and nothing else."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.clock import ManualClock
from support.emitted import Emitted
from support.filesystems import TrustedDirectory
from support.swap_trials import (
    COPY,
    MARKER,
    NAME,
    ORIG,
    ORIGINAL,
    TMP,
    Ground,
    do_swap,
    rot,
    silent,
)

from watcher.errors import Refused, Retryable, WatcherError
from watcher.replace import swap
from watcher.replace.leftovers import Removed, remove_leftover
from watcher.replace.marker import State
from watcher.replace.recovery import Standing
from watcher.replace.steps import Site, rewrite_marker, survey

STRANGER = b"a stranger's"


@pytest.fixture
def directory(ground: Ground) -> Iterator[TrustedDirectory]:
    with ground.open() as opened:
        yield opened


def refusal(directory: TrustedDirectory, ours: str, *, force: bool = False) -> WatcherError:
    with pytest.raises(WatcherError) as error:
        remove_leftover(directory, ours, force=force, emit=silent)
    return error.value


def swapped(ground: Ground) -> None:
    with ground.open() as directory:
        do_swap(directory, ManualClock())


def unmarked(ground: Ground) -> None:
    (ground.root / ORIG).write_bytes(STRANGER)


def foreign_marker(ground: Ground) -> None:
    (ground.root / MARKER).write_bytes(b"notes")


def torn_marker(ground: Ground) -> None:
    swapped(ground)
    (ground.root / MARKER).write_bytes(b'{"watcher":1,')


def changed_original(ground: Ground) -> None:
    swapped(ground)
    (ground.root / ORIG).write_bytes(STRANGER)


def both_the_copy(ground: Ground) -> None:
    swapped(ground)
    (ground.root / ORIG).unlink()
    os.link(ground.root / NAME, ground.root / ORIG)


def planted_link(ground: Ground) -> None:
    (ground.root / TMP).symlink_to(ground.root / NAME)


@pytest.mark.parametrize(
    ("planted", "named", "left"),
    [
        (unmarked, ORIG, {NAME}),
        (foreign_marker, MARKER, {NAME}),
        (torn_marker, ORIG, {NAME}),
        (torn_marker, MARKER, {NAME, ORIG}),
        (changed_original, ORIG, {NAME}),
        (both_the_copy, ORIG, {NAME}),
        (planted_link, TMP, {NAME}),
    ],
)
def test_what_recovery_leaves_to_a_person_goes_when_it_is_named(
    ground: Ground,
    directory: TrustedDirectory,
    planted: Callable[[Ground], None],
    named: str,
    left: set[str],
) -> None:
    planted(ground)
    was, emitted = ground.contents(NAME), Emitted()
    assert not swap.recover(directory, NAME, emit=silent).actions, "nothing else removes it"
    remove_leftover(directory, named, emit=emitted)
    assert set(ground.listing()) == left
    assert ground.contents(NAME) == was
    (told,) = emitted.named("leftover_removed")
    assert told["path"] == directory.path_of(named)


@pytest.mark.parametrize("named", [ORIG, MARKER])
@pytest.mark.parametrize("force", [False, True])
def test_a_held_original_and_its_marker_stay_whatever_is_said(
    ground: Ground, directory: TrustedDirectory, named: str, force: bool
) -> None:
    swapped(ground)
    before = ground.listing()
    assert refusal(directory, named, force=force).reason == "held"
    assert ground.listing() == before


@pytest.mark.parametrize("named", [ORIG, MARKER])
@pytest.mark.parametrize("reason", ["orphan", "copy_changed"])
def test_an_orphan_goes_before_its_time_only_by_force(
    ground: Ground, directory: TrustedDirectory, named: str, reason: str
) -> None:
    swapped(ground)
    if reason == "orphan":
        (ground.root / NAME).rename(ground.root.with_name("away"))
    (ground.root / NAME).write_bytes(STRANGER)
    before = ground.listing()
    assert refusal(directory, named).reason == reason
    assert ground.listing() == before
    remove_leftover(directory, ORIG, force=True, emit=silent)
    assert ground.listing().keys() == {NAME}
    assert ground.contents(NAME) == STRANGER


@pytest.mark.parametrize("named", [ORIG, MARKER])
@pytest.mark.parametrize("there", [COPY, STRANGER * 2], ids=["the copy", "something newer"])
def test_what_an_exchange_may_have_taken_out_goes_only_by_force(
    ground: Ground, directory: TrustedDirectory, named: str, there: bytes
) -> None:
    """Beside an intent it can't be told from a stranger's: it may be a recording's only copy."""
    swapped(ground)
    marker = survey(Site(directory, NAME)).marker
    assert marker is not None
    rewrite_marker(directory, marker.with_state(State.INTENT), directory.look(MARKER))
    if there != COPY:
        (ground.root / NAME).unlink()
        (ground.root / NAME).write_bytes(there)
    _write_later(ground.root / ORIG, than=ground.root / NAME)
    assert swap.recover(directory, NAME, emit=silent).standing is Standing.BLOCKED
    before = ground.listing()
    assert refusal(directory, named).reason == "only_copy"
    assert ground.listing() == before
    remove_leftover(directory, ORIG, force=True, emit=silent)
    assert ground.listing().keys() == {NAME}
    assert ground.contents(NAME) == there


def test_an_original_whose_restored_twin_does_not_read_back_goes_only_by_force(
    ground: Ground, directory: TrustedDirectory
) -> None:
    """Moved back by hand and copied, and the disk changed what was moved: no look shows it."""
    swapped(ground)
    name, original = ground.root / NAME, ground.root / ORIG
    original.rename(name)
    shutil.copy2(name, original)
    rot(name)
    before = ground.listing()
    assert refusal(directory, ORIG).reason == "only_copy"
    assert ground.listing() == before
    remove_leftover(directory, ORIG, force=True, emit=silent)
    assert ground.listing().keys() == {NAME}


def _write_later(path: Path, *, than: Path) -> None:
    """Write a stranger's file, and stamp it until the kernel's clock has ticked."""
    path.write_bytes(STRANGER)
    while path.stat().st_ctime_ns - than.stat().st_ctime_ns < 20_000_000:
        path.touch()


@pytest.mark.parametrize("there", ["nothing", "empty", "a directory"])
def test_the_last_of_a_recording_goes_only_by_force(
    ground: Ground, directory: TrustedDirectory, there: str
) -> None:
    unmarked(ground)
    name = ground.root / NAME
    name.unlink()
    if there == "empty":
        name.touch()
    elif there == "a directory":
        name.mkdir()
    assert refusal(directory, ORIG).reason == "only_copy"
    assert ground.contents(ORIG) == STRANGER
    remove_leftover(directory, ORIG, force=True, emit=silent)
    assert ORIG not in ground.listing()


def test_what_is_half_done_is_ended_and_not_removed(
    ground: Ground, directory: TrustedDirectory
) -> None:
    (ground.root / TMP).write_bytes(b"half")
    assert remove_leftover(directory, TMP, emit=silent) == Removed(by_recovery=True)
    assert set(ground.listing()) == {NAME}


def test_somebodys_work_is_left_alone(ground: Ground, directory: TrustedDirectory) -> None:
    with swap.claim(directory, NAME) as claimed, claimed.create_output():
        assert refusal(directory, TMP, force=True).reason == "in_progress"
        assert TMP in ground.listing()


def test_a_file_that_somebody_writes_is_left_alone(
    ground: Ground, directory: TrustedDirectory
) -> None:
    unmarked(ground)
    with (ground.root / ORIG).open("ab"):
        assert refusal(directory, ORIG).reason == "open_for_writing"
    assert ground.contents(ORIG) == STRANGER


def test_a_directory_is_left_to_its_owner(ground: Ground, directory: TrustedDirectory) -> None:
    (ground.root / ORIG).mkdir()
    assert refusal(directory, ORIG, force=True).reason == "not_removable"
    assert (ground.root / ORIG).is_dir()


@pytest.mark.parametrize("named", [NAME, "other.txt", ".original"])
def test_no_other_name_is_ever_removed(
    ground: Ground, directory: TrustedDirectory, named: str
) -> None:
    (ground.root / "other.txt").write_bytes(STRANGER)
    before = ground.listing()
    assert isinstance(error := refusal(directory, named, force=True), Refused)
    assert error.reason == "not_ours"
    assert ground.listing() == before


def test_what_is_not_there_is_said_not_to_be(directory: TrustedDirectory) -> None:
    assert isinstance(error := refusal(directory, ORIG), Retryable)
    assert error.reason == "vanished"


def test_the_recording_can_be_transcoded_afterwards(
    ground: Ground, directory: TrustedDirectory
) -> None:
    """What it was for: an original without a marker stands in the way of every swap."""
    unmarked(ground)
    with pytest.raises(Refused), swap.claim(directory, NAME):
        pass
    remove_leftover(directory, ORIG, emit=silent)
    do_swap(directory, ManualClock())
    assert swap.recover(directory, NAME, emit=silent).standing is Standing.HELD
    assert (ground.contents(NAME), ground.contents(ORIG)) == (COPY, ORIGINAL)
