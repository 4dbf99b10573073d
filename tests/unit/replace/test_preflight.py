"""What is tried before hours are spent: a file system that lies is found out, and said by name."""

import errno
from collections.abc import Callable

import pytest
from support.fake_directory import Change, Crash, FakeDirectory, FakeHandle
from support.fake_swaps import once

from watcher.errors import Refused
from watcher.replace.preflight import Ability, Method, Preflight, try_out
from watcher.replace.steps import Policy

ALLOWED = Policy(allow_non_exchange=True)


class ExchangesNothing(FakeDirectory):
    """As a file system would that takes the flag and forgets it."""

    def exchange(self, one: str, other: str) -> None:
        self.step("exchange", (one, other))


class ExchangesHalf(FakeDirectory):
    """One name follows, and the other shows a file that was never seen before."""

    def exchange(self, one: str, other: str) -> None:
        super().exchange(one, other)
        self.names[one] = self.new_inode(b"")


class Overwrites(FakeDirectory):
    """It takes RENAME_NOREPLACE, and replaces."""

    def move(self, old: str, new: str) -> None:
        self.move_over(old, new)


class CopiesInsteadOfLinking(FakeDirectory):
    """A second name for another file."""

    def link(self, old: str, new: str) -> None:
        self.step("link", (old, new))
        self.apply(Change("link", ((new, self.new_inode(b"")),)))


class _Unlockable(FakeHandle):
    def try_lock(self) -> bool:
        return False


class LocksNothing(FakeDirectory):
    kind_of_handle = _Unlockable


class _Forgetful(FakeHandle):
    def lease_holds(self) -> bool:
        return False


class ForgetsLeases(FakeDirectory):
    """It gives them, and they hold nobody back."""

    kind_of_handle = _Forgetful


def _tried(directory: FakeDirectory, policy: Policy) -> Ability:
    with directory.locked():
        return try_out(directory, policy)


@pytest.mark.parametrize(
    ("kind_of_directory", "kind", "lacks"),
    [
        (ExchangesNothing, "tmpfs", "inodes"),
        (ExchangesHalf, "tmpfs", "inodes"),
        (Overwrites, "tmpfs", "noreplace"),
        (CopiesInsteadOfLinking, "ext2", "inodes"),
        (LocksNothing, "tmpfs", "locks"),
    ],
)
def test_one_that_does_otherwise_than_it_says_is_refused(
    kind_of_directory: type[FakeDirectory], kind: str, lacks: str
) -> None:
    """Whatever its owner allows; and the two files of the trial are gone."""
    directory = kind_of_directory(kind=kind)
    with pytest.raises(Refused) as refused:
        _tried(directory, ALLOWED)
    assert refused.value.figures["lacks"] == lacks
    assert (directory.names, directory.open_handles()) == ({}, [])


def test_leases_that_do_not_hold_are_none() -> None:
    with pytest.raises(Refused) as refused:
        _tried(ForgetsLeases(), Policy())
    assert refused.value.figures["lacks"] == "leases"
    assert _tried(ForgetsLeases(), ALLOWED) == Ability(Method.EXCHANGE, leases=False)


@pytest.mark.parametrize(
    ("kind", "call"),
    [
        *(("tmpfs", call) for call in ("exchange", "move", "lease", "fsync", "sync")),
        *(("ext2", call) for call in ("link", "lease", "fsync", "sync")),
    ],
)
def test_a_disk_that_fails_meanwhile_is_no_verdict_on_the_file_system(kind: str, call: str) -> None:
    """It is raised as it came, and nothing is remembered: another night it may go well."""
    directory, preflight = FakeDirectory(kind=kind), Preflight()
    once(directory, call)
    with pytest.raises(OSError, match="error") as failed:
        _asked(directory, preflight)
    assert failed.value.errno == errno.EIO
    assert _asked(directory, preflight).leases
    assert directory.names == {}
    assert not directory.open_handles(), "a service tries thousands of directories"


def test_another_directory_at_the_same_path_is_tried_for_itself() -> None:
    """Something else was mounted there meanwhile."""
    preflight, other = Preflight(), Overwrites()
    assert _asked(FakeDirectory(), preflight).leases
    other.inode = 99
    with pytest.raises(Refused):
        _asked(other, preflight)


def _asked(directory: FakeDirectory, preflight: Preflight) -> Ability:
    with directory.locked():
        return preflight.ability(directory, ALLOWED)


@pytest.mark.parametrize(
    ("kind", "journal", "words"),
    [
        ("ext4", False, "ext4 without a journal"),
        ("ext4", None, "ext4, whose journal can't be seen from here"),
        ("ext2", None, "ext2, where"),
        ("", None, "an unknown file system, where"),
    ],
)
def test_where_an_exchange_may_not_survive_a_power_cut_it_is_said_why(
    kind: str, journal: bool | None, words: str
) -> None:
    with pytest.raises(Refused, match=words) as refused:
        _tried(FakeDirectory(kind=kind, journal=journal), Policy())
    assert refused.value.reason == "exchange_unsafe"
    assert _tried(FakeDirectory(kind=kind, journal=journal), ALLOWED).method is Method.LINK


@pytest.mark.parametrize(
    ("kind", "journal"), [("ext4", True), ("xfs", None), ("btrfs", None), ("tmpfs", None)]
)
def test_where_an_exchange_survives_a_power_cut_it_is_what_is_used(
    kind: str, journal: bool | None
) -> None:
    """Whatever else the owner allows: a link leaves a race with retention open."""
    for policy in (Policy(), ALLOWED):
        assert _tried(FakeDirectory(kind=kind, journal=journal), policy).method is Method.EXCHANGE


def test_what_a_crash_left_of_a_trial_is_in_nobodys_way() -> None:
    directory = FakeDirectory()
    directory.before = _killed_at("exchange")
    with pytest.raises(Crash):
        _tried(directory, Policy())
    directory.kill()
    assert len(directory.names) == 2
    directory.before = lambda *_: None
    assert _tried(directory, Policy()).leases
    assert directory.names == {}


def _killed_at(call: str) -> Callable[[str, tuple[str, ...]], None]:
    def before(made: str, _names: tuple[str, ...]) -> None:
        if made == call:
            raise Crash

    return before
