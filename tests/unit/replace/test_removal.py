"""A file in the way is removed only as it was seen, over a directory in memory."""

import pytest
from support.emitted import Emitted
from support.fake_directory import FakeDirectory
from support.fake_swaps import once
from support.swap_model import NAME, ORIG, ORIGINAL

from watcher.errors import Halt, Retryable
from watcher.replace.leftovers import remove_leftover

STRANGERS, NEWER = b"a stranger's", b"what came at the last moment"


@pytest.fixture
def directory() -> FakeDirectory:
    """A recording, and beside it a file of the original's name that no marker tells of."""
    fresh = FakeDirectory()
    fresh.put(NAME, ORIGINAL)
    fresh.put(ORIG, STRANGERS)
    return fresh


def test_what_was_seen_goes_and_that_is_on_disk(directory: FakeDirectory) -> None:
    emitted = Emitted()
    assert remove_leftover(directory, ORIG, emit=emitted).size_bytes == len(STRANGERS)
    assert directory.names.keys() == directory.on_disk.keys() == {NAME}
    assert emitted.named("leftover_removed")[0]["size_bytes"] == len(STRANGERS)
    assert not directory.open_handles()


def test_what_took_its_place_at_the_last_moment_stays(directory: FakeDirectory) -> None:
    once(directory, "sync", lambda: _replace(directory))
    with pytest.raises(Retryable) as changed:
        remove_leftover(directory, ORIG, emit=Emitted())
    assert changed.value.reason == "changed"
    assert directory.contents(ORIG) == NEWER
    assert not directory.open_handles()


def _replace(directory: FakeDirectory) -> None:
    directory.put(ORIG, NEWER)


def test_nothing_goes_where_a_look_fails(directory: FakeDirectory) -> None:
    once(directory, "look")
    with pytest.raises(Retryable) as unreadable:
        remove_leftover(directory, ORIG, emit=Emitted())
    assert unreadable.value.reason == "unreadable"
    assert directory.contents(ORIG) == STRANGERS


def test_a_disk_that_fails_meanwhile_is_told_and_nothing_else_is(directory: FakeDirectory) -> None:
    emitted = Emitted()
    once(directory, "unlink")
    with pytest.raises(Halt) as halt:
        remove_leftover(directory, ORIG, emit=emitted)
    assert halt.value.reason == "io_error"
    assert directory.contents(ORIG) == STRANGERS
    assert emitted.events == []
