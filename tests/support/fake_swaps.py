"""A recording in a directory in memory, claimed and replaced as a job does it."""

import errno
import os
from collections.abc import Callable

from support.clock import ManualClock
from support.fake_directory import FakeDirectory
from support.swap_model import COPY, KEEP_S, NAME, ORIGINAL, TMP
from watcher.replace import swap

PLAIN = swap.Policy()


def recorded(directory: FakeDirectory) -> FakeDirectory:
    """Put the recording there; give the directory."""
    directory.put(NAME, ORIGINAL)
    return directory


def claim(
    directory: FakeDirectory, policy: swap.Policy = PLAIN, clock: ManualClock | None = None
) -> swap.Claim:
    """Claim it."""
    return swap.claim(directory, NAME, policy=policy, clock=clock or ManualClock())


def broken() -> None:
    """The disk says no."""
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def once(directory: FakeDirectory, call: str, act: Callable[[], None] = broken) -> None:
    """Let *act* happen before the first such call from now on, and nothing before any other."""
    due = [call]

    def before(made: str, _names: tuple[str, ...]) -> None:
        if made in due:
            due.remove(made)
            act()

    directory.before = before


def encode(directory: FakeDirectory) -> None:
    """Write the copy."""
    directory.alter(directory.names[TMP], COPY)


def commit(output: swap.Output) -> None:
    """Put it in place."""
    output.commit(report={}, encoder="x", settings={}, keep_original_s=KEEP_S)


def swapped(
    directory: FakeDirectory, policy: swap.Policy = PLAIN, clock: ManualClock | None = None
) -> FakeDirectory:
    """Replace the recording; give the directory."""
    with claim(directory, policy, clock) as claimed, claimed.create_output() as output:
        encode(directory)
        output.seal()
        commit(output)
    return directory
