"""A claim and its output, over a directory in memory: what is refused, when, and what is left."""

import errno
import os
from collections.abc import Callable

import pytest
from support.fake_directory import FakeDirectory, FakeHandle
from support.fake_swaps import claim, commit, encode, once, recorded, swapped
from support.swap_model import COPY, MARKER, NAME, ORIG, ORIGINAL, TMP

from watcher.errors import Halt, Refused, Retryable
from watcher.replace import swap
from watcher.replace.files import Attributes

ALLOWED = swap.Policy(allow_non_exchange=True)


@pytest.fixture
def directory() -> FakeDirectory:
    return recorded(FakeDirectory())


@pytest.mark.parametrize("beside", [ORIG, MARKER])
def test_what_came_to_stand_beside_it_is_refused_before_anything_is_encoded(
    directory: FakeDirectory, beside: str
) -> None:
    with claim(directory) as claimed:
        directory.put(beside, b"somebody's own")
        with pytest.raises(Refused) as refused:
            claimed.create_output()
    assert refused.value.reason == "original_exists"
    assert directory.names.keys() == {NAME, beside}


class _Strict(FakeHandle):
    def set_attributes(self, wanted: Attributes) -> None:
        del wanted
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


class _Deaf(FakeHandle):
    def set_attributes(self, wanted: Attributes) -> None:
        """Take them, and keep none."""


@pytest.mark.parametrize("kind", [_Strict, _Deaf])
def test_attributes_that_can_not_be_kept_are_refused_before_anything_is_encoded(
    directory: FakeDirectory, kind: type[FakeHandle]
) -> None:
    with claim(directory) as claimed:
        directory.kind_of_handle = kind
        with pytest.raises(Refused) as refused:
            claimed.create_output()
        assert refused.value.reason == "attributes"
        assert directory.names.keys() == {NAME}
    assert not directory.open_handles()


@pytest.mark.parametrize("error", [Halt("disk_full", ""), Retryable("stalled", ""), OSError()])
def test_whatever_ends_an_encode_takes_what_is_half_made_along(
    directory: FakeDirectory, error: Exception
) -> None:
    def encodes_until_it_fails() -> None:
        with claim(directory) as claimed, claimed.create_output():
            encode(directory)
            raise error

    with pytest.raises(type(error)):
        encodes_until_it_fails()
    assert directory.names.keys() == {NAME}
    assert not directory.open_handles()


def _replaced(directory: FakeDirectory) -> None:
    """The encoder wrote, and then another file took the name."""
    encode(directory)
    directory.put(TMP, b"another's")


def _unwritten(_directory: FakeDirectory) -> None:
    """The encoder said that all went well."""


@pytest.mark.parametrize("write", [_replaced, _unwritten])
def test_no_other_file_is_sealed_and_no_empty_one(
    directory: FakeDirectory, write: Callable[[FakeDirectory], None]
) -> None:
    with claim(directory) as claimed, claimed.create_output() as output:
        write(directory)
        with pytest.raises(Retryable) as refused:
            output.seal()
        assert refused.value.reason == "output_replaced"
    assert directory.contents(TMP) in {None, b"another's"}


class _Leaseless(FakeHandle):
    def lease(self) -> bool:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    def lease_holds(self) -> bool:
        raise AssertionError("asked for what was never given")


class Leaseless(FakeDirectory):
    kind_of_handle = _Leaseless


def test_without_leases_the_whole_swap_goes_where_its_owner_allows_it() -> None:
    directory = recorded(Leaseless())
    swapped(directory, ALLOWED)
    assert (directory.contents(NAME), directory.contents(ORIG)) == (COPY, ORIGINAL)


@pytest.mark.parametrize("call", ["create", "fsync", "move", "exchange"])
def test_a_commit_that_fails_is_undone_at_once(directory: FakeDirectory, call: str) -> None:
    """Not by the next start, a night later: until then the name could not be claimed again."""
    with claim(directory) as claimed, claimed.create_output() as output:
        encode(directory)
        output.seal()
        once(directory, call)
        with pytest.raises(Halt):
            commit(output)
    assert directory.names.keys() == {NAME}
    assert directory.contents(NAME) == ORIGINAL
    swapped(directory)


def test_what_takes_the_copys_place_at_once_is_not_said_to_be_the_copy(
    directory: FakeDirectory,
) -> None:
    """A newer recording that came right behind the exchange: it is no work of ours."""

    def after(call: str, names: tuple[str, ...]) -> None:
        if (call, names) == ("exchange", (NAME, ORIG)):
            directory.put(NAME, b"newer")

    directory.after = after
    with claim(directory) as claimed, claimed.create_output() as output:
        encode(directory)
        output.seal()
        with pytest.raises(Retryable) as changed:
            commit(output)
    assert changed.value.reason == "original_changed"
    assert (directory.contents(NAME), directory.contents(ORIG)) == (b"newer", ORIGINAL)


def test_a_claim_that_is_refused_or_over_holds_nothing_open(directory: FakeDirectory) -> None:
    """A descriptor is a lease, and the recorder would wait for it."""
    swapped(directory)
    with pytest.raises(Refused):
        claim(directory)
    assert not directory.open_handles()
