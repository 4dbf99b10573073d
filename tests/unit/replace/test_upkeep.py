"""Restoring and deleting where something is in the way: what is kept, and what is said."""

import errno
import stat
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support.clock import ManualClock
from support.emitted import Emitted
from support.fake_directory import FakeDirectory
from support.fake_swaps import once, recorded, swapped
from support.swap_model import COPY, KEEP_S, MARKER, NAME, ORIG, ORIGINAL

from watcher.errors import Halt, Refused, Retryable, WatcherError
from watcher.replace import swap
from watcher.replace.recovery import Action, Standing
from watcher.replace.swap import Outcome

ALLOWED = swap.Policy(allow_non_exchange=True)


class Locked(FakeDirectory):
    """Somebody else is at work there."""

    refuses: Exception | None = None

    @contextmanager
    def locked(self) -> Iterator[None]:
        if self.refuses is not None:
            raise self.refuses
        with super().locked():
            yield


@pytest.fixture
def directory() -> Locked:
    """A recording that was replaced, a safety period ago."""
    return _swapped(Locked())


def _swapped(fresh: Locked) -> Locked:
    swapped(recorded(fresh))
    return fresh


def _delete(
    directory: FakeDirectory, emitted: Emitted, policy: swap.Policy = ALLOWED
) -> swap.Deletion:
    clock = ManualClock()
    clock.advance(2 * KEEP_S)
    return swap.delete_original(directory, NAME, policy=policy, clock=clock, emit=emitted)


@pytest.mark.parametrize(
    ("refuses", "reason", "standing"),
    [
        (Retryable("directory_locked", "by another"), "directory_locked", Standing.WORKING),
        (OSError(errno.EIO, "no"), "unreadable", Standing.UNKNOWN),
    ],
    ids=["locked", "broken"],
)
def test_a_directory_that_can_not_be_locked_keeps_its_original_and_says_so(
    directory: Locked, refuses: Exception, reason: str, standing: Standing
) -> None:
    directory.refuses = refuses
    emitted = Emitted()
    assert _delete(directory, emitted).outcome is Outcome.KEPT
    assert emitted.named("original_kept")[0]["reason"] == reason
    assert swap.recover(directory, NAME, emit=emitted).standing is standing
    assert emitted.named("swap_recovered")[0]["action"] == str(Action.LEAVE)
    with pytest.raises(WatcherError):
        swap.restore(directory, NAME, emit=emitted)
    assert directory.contents(ORIG) == ORIGINAL


@pytest.mark.parametrize(("what", "there"), [(NAME, COPY), (ORIG, b"a stranger's")])
def test_an_orphan_that_changes_at_the_last_moment_stays(
    directory: Locked, what: str, there: bytes
) -> None:
    """Its owner puts the copy back while the disk is waited for; or somebody takes our name."""
    del directory.names[NAME]

    def put() -> None:
        directory.put(what, there)

    once(directory, "sync", put)
    deletion = swap.delete_orphan(directory, NAME, emit=Emitted())
    assert (deletion.outcome, deletion.reason) == (Outcome.KEPT, "not_as_left")
    assert directory.contents(ORIG) == (there if what == ORIG else ORIGINAL)
    assert not directory.open_handles()


def test_where_no_boot_has_a_name_only_what_was_watched_ends_the_first_hour() -> None:
    """How long the machine is up says nothing of a marker that may be of another boot."""
    directory, clock = Locked(), ManualClock()
    clock.boot = ""
    swapped(recorded(directory), clock=clock)
    clock.advance(30 * 86_400.0)
    emitted = Emitted()
    for evidence_s, outcome in ((3599.0, Outcome.KEPT), (3600.0, Outcome.DELETED)):
        deletion = swap.delete_original(
            directory, NAME, clock=clock, evidence_s=evidence_s, emit=emitted
        )
        assert deletion.outcome is outcome


def test_a_rotten_copy_whose_original_may_not_be_exchanged_back_keeps_both() -> None:
    """What its owner did not allow is not done behind his back; he is told instead."""
    directory = Locked(kind="ext2")
    swapped(recorded(directory), ALLOWED)
    directory.names[NAME].contents = b"?" * len(COPY)  # the disk did it: no time shows it
    emitted = Emitted()
    deletion = _delete(directory, emitted, swap.Policy())
    assert (deletion.outcome, deletion.reason) == (Outcome.KEPT, "copy_damaged")
    assert directory.names.keys() == {NAME, ORIG, MARKER}
    assert directory.contents(ORIG) == ORIGINAL
    assert _delete(directory, emitted).outcome is Outcome.RESTORED
    assert directory.contents(NAME) == ORIGINAL
    assert emitted.named("original_restored")[0]["reason"] == "copy_damaged"


def test_nothing_is_restored_where_a_look_fails(directory: Locked) -> None:
    once(directory, "look")
    with pytest.raises(Retryable) as unreadable:
        swap.restore(directory, NAME, emit=Emitted())
    assert unreadable.value.reason == "unreadable"
    assert directory.contents(NAME) == COPY


def test_a_copy_that_somebody_writes_is_not_exchanged_away(directory: Locked) -> None:
    directory.names[NAME].writers = 1
    with pytest.raises(Retryable) as refused:
        swap.restore(directory, NAME, emit=Emitted())
    assert refused.value.reason == "open_for_writing"
    directory.names[NAME].writers = 0
    assert swap.restore(directory, NAME, emit=Emitted()).changed
    assert directory.contents(NAME) == ORIGINAL


def test_a_restore_that_can_not_be_ended_says_so_and_the_next_recovery_ends_it(
    directory: Locked,
) -> None:
    """The original is back by then; only what is left of the copy could not be removed."""
    once(directory, "unlink")
    emitted = Emitted()
    with pytest.raises(Halt) as unfinished:
        swap.restore(directory, NAME, emit=emitted)
    assert unfinished.value.reason == "unfinished"
    assert emitted.named("original_restored") == []
    assert directory.contents(NAME) == ORIGINAL
    ended = swap.recover(directory, NAME, emit=emitted)
    assert ended.standing is Standing.CLEAN
    assert emitted.named("swap_recovered")[0]["action"] == "; ".join(ended.actions)
    assert directory.names.keys() == {NAME}


@pytest.mark.parametrize("kind", [stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO])
def test_what_is_no_file_is_not_restored_to_a_free_name(kind: int) -> None:
    directory = FakeDirectory()
    directory.put(ORIG, b"", mode=kind | 0o644)
    with pytest.raises(Refused) as refused:
        swap.restore(directory, NAME, emit=Emitted())
    assert refused.value.reason == "not_restorable"
    assert directory.names.keys() == {ORIG}
