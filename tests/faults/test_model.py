"""Every placement of adversities between the steps of swap, deletion, restore and recovery.

The code under test is the real one; only the directory is in memory. Each trial is held to the
invariants of SWAP.md at every step, and to its last state. Figures are printed (`-s`).
"""

import sys

import pytest
from support.fake_directory import FakeDirectory, FakeHandle
from support.swap_model import (
    CRASHES,
    EVERYTHING,
    FAILURES,
    NAME,
    PLANTERS,
    STRANGERS,
    BrokenError,
    Plan,
    Trial,
    placements,
)

from watcher.replace.swap import Policy

ALLOWED = Policy(allow_non_exchange=True)
MOST_TELLING = tuple(kind for kind in EVERYTHING if kind not in {"cut1", "eio_for_ever"})


def _tell(line: str) -> None:
    sys.stdout.write(f"\n{line}\n")


def _count(
    script: str,
    kinds: tuple[str, ...],
    most: int,
    policy: Policy | None = None,
    among: tuple[str, ...] = (),
) -> int:
    trials = sum(1 for _ in placements(script, kinds, most, policy=policy, among=among))
    _tell(f"model: {script}, up to {most} of {len(kinds)} adversities: {trials} runs hold")
    return trials


def test_whole_road_bears_a_crash_or_failure_anywhere() -> None:
    """From the first look at the recording to the last fsync."""
    assert _count("whole", (*CRASHES, *FAILURES), 1) > 200


def test_encode_bears_anything_anywhere() -> None:
    """From the creation of the output on, with strangers as well."""
    assert _count("encode", EVERYTHING, 1) > 300


def test_a_restore_to_a_free_name_bears_anything_anywhere() -> None:
    """Its owner had deleted the copy."""
    assert _count("return", EVERYTHING, 1) > 200


@pytest.mark.parametrize("script", ["swap", "delete", "restore"])
def test_bears_any_two_adversities(script: str) -> None:
    """Exhaustively, wherever the two can make a difference, recovery itself included."""
    assert _count(script, MOST_TELLING, 2) > 5_000


@pytest.mark.parametrize("script", ["swap", "delete", "restore"])
def test_bears_strangers_who_take_our_names(script: str) -> None:
    """One of them, and anything else before or after: his file is not ours to move or remove."""
    others = ("kill", "delete", "newer", "eio")
    assert set(others) < set(MOST_TELLING)  # two of these are tried above
    assert _count(script, (*others, *PLANTERS), 2, among=PLANTERS) > 3_000


FOUND = [
    # Two writers on either side of an exchange that is undone, and an error instead of a lease.
    (((19, "open"), (24, "open")), "eio"),
    # A writer that is slow and one that is quick, in the file that an undone exchange gave back.
    (((19, "open"), (24, "newer")), "rewrite"),
]


@pytest.mark.parametrize(("plan", "third"), FOUND)
def test_what_longer_searches_found_stays_mended(plan: Plan, third: str) -> None:
    """Placements of three that once broke an invariant, with the third wherever it can be."""
    two = Trial("swap", plan).run()
    assert [two.calls[at] for at, _ in plan] == ["exchange", "exchange"]
    for at in range(plan[-1][0] + 1, two.reach):
        Trial("swap", (*plan, (at, third))).run()


@pytest.mark.parametrize("script", ["swap", "restore", "delete"])
def test_without_exchange_bears_any_two_crashes_and_failures(script: str) -> None:
    """What the owner allows leaves races open, but loses nothing to a crash."""
    assert _count(script, (*CRASHES, *FAILURES), 2, ALLOWED) > 500


@pytest.mark.attack
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("script", ["swap", "delete", "restore", "return"])
def test_bears_any_two_adversities_of_every_kind(script: str) -> None:
    """The same with power cuts that keep a part, and with failures that stay."""
    assert _count(script, EVERYTHING, 2) > 10_000


@pytest.mark.attack
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("script", ["swap", "delete", "restore"])
def test_bears_any_three_adversities(script: str) -> None:
    """The search that found the protocol good, over the code that keeps it."""
    kinds = ("kill", "cut0", *STRANGERS[:4], "eio")
    assert _count(script, kinds, 3) > 100_000


@pytest.mark.attack
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("script", ["swap", "delete", "restore"])
def test_bears_any_three_with_strangers_who_take_our_names(script: str) -> None:
    """Those whose files are nearest to being taken for ours."""
    assert _count(script, ("kill", "newer", "plant_original", "plant_marker"), 3) > 30_000


class ForgetsDirectoryFsync(FakeDirectory):
    """fsync of the directory left out."""

    def sync(self) -> None:
        self.step("sync", ())


class RenamesTwice(FakeDirectory):
    """The exchange replaced by two renames, as the first design did it."""

    def exchange(self, one: str, other: str) -> None:
        aside = f"{one}.aside"
        self.move(one, aside)
        self.move(other, one)
        self.move(aside, other)


class _Unsynced(FakeHandle):
    def sync(self) -> None:
        self._directory.step("fsync", ())


class ForgetsFileFsync(FakeDirectory):
    """fsync of the files left out."""

    kind_of_handle = _Unsynced


class _Unleased(FakeHandle):
    def lease(self) -> bool:
        self._directory.step("lease", ())
        return True

    def lease_holds(self) -> bool:
        self._directory.step("lease_holds", ())
        return True


class IgnoresWriters(FakeDirectory):
    """No lease: a writer goes on unseen."""

    kind_of_handle = _Unleased


class OverwritesInsteadOfExchanging(FakeDirectory):
    """rename(2) in the exchange's place: what stood there is gone."""

    def exchange(self, one: str, other: str) -> None:
        if one == NAME:
            self.move_over(other, one)
        else:  # the trial before the claim would find it out
            super().exchange(one, other)


def _search(broken: type[FakeDirectory]) -> None:
    for most in (1, 2):  # one adversity is mostly enough
        for _ in placements("swap", EVERYTHING, most, kind_of_directory=broken):
            pass


@pytest.mark.parametrize(
    "broken",
    [
        ForgetsDirectoryFsync,
        ForgetsFileFsync,
        RenamesTwice,
        OverwritesInsteadOfExchanging,
        IgnoresWriters,
    ],
)
def test_a_broken_swap_is_caught(broken: type[FakeDirectory]) -> None:
    """The search finds each fault that a swap is likely to be broken by."""
    with pytest.raises(BrokenError) as caught:
        _search(broken)
    _tell(f"{broken.__name__}: {str(caught.value)[:160]}")
