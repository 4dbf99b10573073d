"""The last look before each act: what a stranger put at a name just then stays (invariant 4)."""

from collections.abc import Callable, Iterator

import pytest
from support.fake_directory import FakeDirectory
from support.fake_swaps import recorded, swapped
from support.swap_model import MARKER, NAME, ORIG, TMP

from watcher.replace.files import Look
from watcher.replace.marker import Marker, State, parse
from watcher.replace.steps import move_durably, rewrite_marker, stands, unlink_durably

STRANGERS = b"a stranger's"


@pytest.fixture
def directory() -> Iterator[FakeDirectory]:
    """One with a recording that was replaced, locked."""
    fresh = swapped(recorded(FakeDirectory()))
    with fresh.locked():
        yield fresh


def _marker(directory: FakeDirectory) -> tuple[Marker, Look | None]:
    return parse(directory.contents(MARKER) or b"", NAME), directory.look(MARKER)


def _once_synced(directory: FakeDirectory, act: Callable[[], object]) -> None:
    """Let *act* happen at the last moment before the next look: everything is durable by then."""
    synced: list[str] = []

    def before(call: str, _names: tuple[str, ...]) -> None:
        if call in {"fsync", "sync"}:
            synced.append(call)
        elif synced and call == "look":
            directory.before = lambda *_: None
            act()

    directory.before = before


def test_a_marker_is_rewritten_over_the_one_that_was_seen(directory: FakeDirectory) -> None:
    marker, seen = _marker(directory)
    rewrite_marker(directory, marker.with_state(State.RESTORE), seen)
    assert _marker(directory)[0].state is State.RESTORE
    assert TMP not in directory.names
    assert directory.on_disk.keys() == {NAME, ORIG, MARKER}


def test_a_marker_that_is_gone_is_written_anew(directory: FakeDirectory) -> None:
    marker, seen = _marker(directory)
    directory.unlink(MARKER)
    rewrite_marker(directory, marker, seen)
    assert _marker(directory)[0] == marker


def test_a_strangers_file_at_the_markers_name_is_not_overwritten(directory: FakeDirectory) -> None:
    """And what was written for it does not stay."""
    marker, seen = _marker(directory)
    _once_synced(directory, lambda: directory.put(MARKER, STRANGERS))
    with pytest.raises(FileExistsError):
        rewrite_marker(directory, marker.with_state(State.RESTORE), seen)
    assert directory.contents(MARKER) == STRANGERS
    assert TMP not in directory.names


def test_a_strangers_file_at_the_temporary_name_does_not_become_the_marker(
    directory: FakeDirectory,
) -> None:
    """Nor is it removed: it is not ours."""
    marker, seen = _marker(directory)
    _once_synced(directory, lambda: directory.put(TMP, STRANGERS))
    with pytest.raises(FileExistsError):
        rewrite_marker(directory, marker.with_state(State.RESTORE), seen)
    assert _marker(directory)[0].state is State.DONE
    assert directory.contents(TMP) == STRANGERS


def test_nothing_is_unlinked_or_moved_but_what_was_seen(directory: FakeDirectory) -> None:
    seen = directory.look(ORIG)
    assert stands(directory, ORIG, seen)
    assert not stands(directory, ORIG, None)
    _once_synced(directory, lambda: directory.put(ORIG, STRANGERS))
    assert not unlink_durably(directory, ORIG, seen)
    directory.unlink(NAME)
    assert not move_durably(directory, ORIG, NAME, seen)
    assert directory.contents(ORIG) == STRANGERS
    assert NAME not in directory.names


@pytest.mark.parametrize("act", ["unlink", "move"])
def test_an_act_follows_on_durable_names_and_is_made_durable(
    directory: FakeDirectory, act: str
) -> None:
    """No unlink follows a rename that could still be lost (invariant 6)."""
    seen = directory.look(ORIG)
    directory.unlink(NAME)
    durable_before: list[bool] = []

    def before(call: str, _names: tuple[str, ...]) -> None:
        if call == act:
            durable_before.append(NAME not in directory.on_disk)

    directory.before = before
    if act == "unlink":
        assert unlink_durably(directory, ORIG, seen)
    else:
        assert move_durably(directory, ORIG, NAME, seen)
    assert durable_before == [True]
    assert directory.on_disk == directory.names
