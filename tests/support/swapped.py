"""Recordings that were replaced, made without an encoder: what is kept beside them is the point."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.swap_trials import stand_in_for_ffmpeg
from watcher.clock import Clock
from watcher.replace import swap
from watcher.replace.marker import Marker

ORIGINAL, COPY = b"original" * 2048, b"copy" * 1024
DAY_S = 86_400.0


def swapped(
    path: Path, *, clock: Clock | None = None, original: bytes = ORIGINAL, copy: bytes = COPY
) -> Marker:
    """Put a copy in the place of a recording at *path*, held for a day from *clock*'s now on."""
    path.write_bytes(original)
    then_s = time.time() - 9 * DAY_S
    os.utime(path, (then_s, then_s))
    with (
        swap.LinuxDirectory(str(path.parent)) as directory,
        swap.claim(directory, path.name, clock=clock) as claimed,
        claimed.create_output() as output,
    ):
        stand_in_for_ffmpeg(output.path, copy)
        output.seal()
        return output.commit(report={}, encoder="x", settings={}, keep_original_s=DAY_S)


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Somebody else is at work in *directory*."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
