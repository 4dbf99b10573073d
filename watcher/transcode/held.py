"""How a file is opened that may be anything: never through a link, but for a handle of our own.

A copy is proven by way of the descriptor that holds it (`/proc/PID/fd/N`): whoever exchanges its
name meanwhile has nothing else proven in its place. A part of the probe worker too.
"""

import os
import re
from typing import Final

_HANDLE: Final = re.compile(r"/proc/[0-9]+/fd/[0-9]+")


def open_to_read(path: str) -> int:
    """Open the file at *path*; `OSError` (ELOOP) where that is a link. A FIFO does not hold us."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    if not _HANDLE.fullmatch(path):
        flags |= os.O_NOFOLLOW
    return os.open(os.fsencode(path), flags)
