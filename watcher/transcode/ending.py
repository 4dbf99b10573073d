"""Say in a finished copy when its sounds are over, where the muxer has not: see `sound_end`."""

import errno
import os
from collections.abc import Callable, Sequence

from watcher.errors import Halt
from watcher.transcode.boxes import MAX_MOOV_BYTES, top_level
from watcher.transcode.findings import Malformed, Problem, Read, SoundEnd
from watcher.transcode.sound_end import say_ends

Write = Callable[[int, memoryview, int], int]
"""As `os.pwrite`."""


def end_sounds(path: str, sounds: Sequence[SoundEnd | None], *, write: Write = os.pwrite) -> bool:
    """Put the index of the MP4 or MOV file at *path* right; say whether anything was wrong.

    What can't be read as such a file is left as it is, for the proof to say so. Raises `Halt`
    (disk_full, write_error): where old blocks are never written over, a few bytes may need room.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOCTTY)
        try:
            return _end_sounds(fd, sounds, write)
        finally:
            os.close(fd)
    except Malformed:
        return False
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        told = f"the index of a copy can't be written: {error.strerror}"
        raise Halt("disk_full" if full else "write_error", told) from error


def _end_sounds(fd: int, sounds: Sequence[SoundEnd | None], write: Write) -> bool:
    def read(offset: int, length: int) -> bytes:
        return os.pread(fd, length, offset)

    begin, end = _index(read, os.fstat(fd).st_size)
    if not 0 < end - begin <= MAX_MOOV_BYTES:
        return False
    moov = bytearray(read(begin, end - begin))
    is_wrong = say_ends(moov, sounds)
    left = memoryview(moov if is_wrong else b"")
    while left:
        left = left[write(fd, left, end - len(left)) :]
    return is_wrong


def _index(read: Read, size: int) -> tuple[int, int]:
    """Give where the payload of the index begins and ends; twice 0 where there is none."""
    for box in top_level(read, size):
        if not isinstance(box, Problem) and box.kind == b"moov":
            return box.payload, box.end
    return 0, 0
