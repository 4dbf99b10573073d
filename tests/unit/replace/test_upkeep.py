"""Restoring and deleting where something is in the way: what is kept, and what is said."""

import errno
import hashlib
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
from support.clock import ManualClock
from support.emitted import Emitted
from support.fake_directory import FakeDirectory, FakeHandle
from support.fake_swaps import broken, once, recorded, swapped
from support.swap_model import COPY, KEEP_S, MARKER, NAME, ORIG, ORIGINAL, TMP

from watcher.errors import Halt, Refused, Retryable, WatcherError
from watcher.replace import swap
from watcher.replace.files import Check, never
from watcher.replace.leftovers import remove_leftover
from watcher.replace.marker import State, parse, serialise
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
    once(directory, "lock", lambda: once(directory, "look"))
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
    assert ended.found == "marker restore, name O, original N"  # before anything was done
    assert emitted.named("swap_recovered")[0]["found"] == ended.found
    assert emitted.named("swap_recovered")[0]["action"] == "; ".join(ended.actions)
    assert directory.names.keys() == {NAME}


def test_an_original_that_is_gone_is_told_though_its_marker_can_not_be_removed(
    directory: Locked,
) -> None:
    """What is deleted is never said to be kept; that the disk failed stops the shift."""

    def before(call: str, names: tuple[str, ...]) -> None:
        if (call, names) == ("unlink", (MARKER,)):
            broken()

    directory.before = before
    emitted = Emitted()
    with pytest.raises(Halt) as unfinished:
        _delete(directory, emitted)
    assert unfinished.value.reason == "unfinished"
    assert [told["reason"] for told in emitted.named("original_deleted")] == ["safety_period_over"]
    assert emitted.named("original_kept") == []
    assert directory.names.keys() == {NAME, MARKER}


def _on_a_disk(damage: Mapping[bytes, bytes]) -> FakeDirectory:
    """Give a directory that reads files from memory, until what is clean there was dropped.

    *damage*: what the disk has instead.
    """

    class Cached(FakeHandle):
        clean = dropped = False

        def sync(self) -> None:
            super().sync()
            self.clean = True

        def drop_cache(self) -> None:
            super().drop_cache()
            self.dropped = self.clean

        def digest(self, check: Check = never) -> str:
            remembered = super().digest(check)
            read = damage.get(self.inode.contents)
            return hashlib.sha256(read).hexdigest() if read and self.dropped else remembered

    class Cacheing(FakeDirectory):
        kind_of_handle = Cached

    return swapped(recorded(Cacheing()))


def test_a_copy_that_is_right_in_memory_alone_proves_nothing() -> None:
    """It was written a moment ago: only what the disk gives back may cost the original."""
    damage: dict[bytes, bytes] = {}
    directory, emitted = _on_a_disk(damage), Emitted()
    damage[COPY] = b"rot"
    assert _delete(directory, emitted).outcome is Outcome.RESTORED
    assert directory.contents(NAME) == ORIGINAL


def test_an_original_that_is_right_in_memory_alone_is_not_put_back() -> None:
    damage: dict[bytes, bytes] = {}
    directory = _on_a_disk(damage)
    damage[ORIGINAL] = b"rot"
    with pytest.raises(Refused) as refused:
        swap.restore(directory, NAME, emit=Emitted())
    assert refused.value.reason == "original_damaged"
    assert directory.contents(NAME) == COPY
    assert directory.contents(ORIG) == ORIGINAL


def test_what_is_sealed_is_what_the_disk_gives_back() -> None:
    directory = _on_a_disk({COPY: b"rot"})
    marker = parse(directory.contents(MARKER) or b"", NAME)
    assert marker.copy.sha256 == hashlib.sha256(b"rot").hexdigest()


@pytest.mark.parametrize("kind", [stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO])
def test_what_is_no_file_is_not_restored_to_a_free_name(kind: int) -> None:
    directory = FakeDirectory()
    directory.put(ORIG, b"", mode=kind | 0o644)
    with pytest.raises(Refused) as refused:
        swap.restore(directory, NAME, emit=Emitted())
    assert refused.value.reason == "not_restorable"
    assert directory.names.keys() == {ORIG}


def _in_flight() -> FakeDirectory:
    """The machine died right after an exchange: what could have said that it is done was not."""
    directory = swapped(recorded(FakeDirectory()))
    marker = parse(directory.contents(MARKER) or b"", NAME)
    directory.put(MARKER, serialise(marker.with_state(State.INTENT)))
    return directory


def test_an_original_comes_back_whose_copy_was_deleted_before_the_swap_was_said_to_be_done() -> (
    None
):
    """It is an orphan, and goes after a safety period: that its owner may not have it is no way."""
    directory, said = _in_flight(), list[str]()
    del directory.names[NAME]
    restored = swap.restore(
        directory, NAME, remember=lambda _path, why, *_: said.append(why), emit=Emitted()
    )
    assert (restored.changed, restored.proven, said) == (True, True, ["restored"])
    assert {name: directory.contents(name) for name in directory.names} == {NAME: ORIGINAL}


def test_what_came_out_of_an_exchange_is_brought_back_as_is_said_and_nothing_is_lost() -> None:
    directory, newer = _in_flight(), b"a newer recording"
    directory.put(ORIG, newer)
    assert swap.recover(directory, NAME, emit=Emitted()).standing is Standing.BLOCKED
    with pytest.raises(Refused, match=f"move {NAME} away first") as refused:
        swap.restore(directory, NAME, emit=Emitted())
    assert refused.value.reason == "not_restorable"
    directory.names["away.mp4"] = directory.names.pop(NAME)  # as he was told to
    restored = swap.restore(directory, NAME, emit=Emitted())
    assert (restored.changed, restored.proven) == (True, False)
    assert directory.contents(NAME) == newer
    assert directory.contents("away.mp4") == COPY
    assert directory.names.keys() == {NAME, "away.mp4"}


def test_nothing_is_put_back_while_the_original_may_be_at_the_temporary_name() -> None:
    """Its own place is taken by another: that one at the name would make an orphan of it."""
    directory = _in_flight()
    del directory.names[NAME]
    directory.names[TMP] = directory.names.pop(ORIG)
    directory.put(ORIG, b"a stranger's")
    with pytest.raises(Refused) as refused:
        swap.restore(directory, NAME, emit=Emitted())
    assert refused.value.reason == "not_restorable"
    assert directory.contents(TMP) == ORIGINAL
    assert NAME not in directory.names


def test_no_original_goes_while_its_swap_is_not_said_to_be_done() -> None:
    """Recovery says it, and would have: here the disk keeps it from that."""
    directory = _in_flight()
    directory.before = lambda call, _names: broken() if call == "create" else None
    assert _delete(directory, Emitted()).outcome is Outcome.KEPT
    assert directory.contents(ORIG) == ORIGINAL


def test_what_took_the_place_of_a_held_original_is_a_strangers_and_stays() -> None:
    directory = swapped(recorded(FakeDirectory()))
    directory.put(ORIG, b"a stranger's")
    del directory.names[NAME]
    with pytest.raises(Refused, match=f"move it to {NAME} by hand") as refused:
        swap.restore(directory, NAME, emit=Emitted())
    assert refused.value.reason == "not_restorable"
    with pytest.raises(Refused, match=f"move it to {NAME} by hand"):  # nor is restore advised
        remove_leftover(directory, ORIG, emit=Emitted())
    assert directory.contents(ORIG) == b"a stranger's"


def test_nobody_is_told_to_move_anything_over_the_copy() -> None:
    directory = swapped(recorded(FakeDirectory()))
    directory.put(ORIG, b"a stranger's")
    said = f"move {NAME} away first, then move it to {NAME} by hand"
    with pytest.raises(Refused, match=said):
        swap.restore(directory, NAME, emit=Emitted())
    assert directory.contents(NAME) == COPY


def test_while_a_restore_reads_an_original_a_job_may_have_its_directory(
    directory: Locked,
) -> None:
    """It has encoded for hours, and waits a minute: a restore may read for longer."""
    kept: list[bool] = []
    swap.restore(directory, NAME, check=lambda: kept.append(directory.lock_held), emit=Emitted())
    assert directory.contents(NAME) == ORIGINAL
    assert kept == [False]


def test_an_original_that_is_touched_once_it_was_read_is_read_again(directory: Locked) -> None:
    """What a restore has read before it had the lock counts for what it was read of alone."""

    def rots(call: str, _names: tuple[str, ...]) -> None:
        if call == "lock":
            original = directory.names[ORIG]
            original.contents, original.ctime_ns = b"?" * len(ORIGINAL), original.ctime_ns + 1

    directory.before = rots
    with pytest.raises(Refused) as damaged:
        swap.restore(directory, NAME, emit=Emitted())
    assert damaged.value.reason == "original_damaged"
    assert directory.contents(NAME) == COPY


def test_an_original_that_goes_while_it_is_read_is_gone(directory: Locked) -> None:
    def sweep(call: str, names: tuple[str, ...]) -> None:
        if call == "open" and names == (ORIG,):
            directory.names.pop(ORIG, None)

    directory.before = sweep
    assert not swap.restore(directory, NAME, emit=Emitted()).changed
    assert directory.names.keys() == {NAME}
