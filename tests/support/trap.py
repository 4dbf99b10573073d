"""A file and a port that nobody has reason to touch: the kernel tells, without any tracer."""

import contextlib
import ctypes
import os
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.clips import clip

_IN_OPEN, _IN_NONBLOCK = 0x20, 0x800


@dataclass
class Trap:
    """A file and a port that nobody has reason to touch."""

    secret: Path
    port: int
    _notify: int
    _listener: socket.socket

    def touched(self) -> list[str]:
        """Say which of them was."""
        found = []
        with contextlib.suppress(BlockingIOError):
            os.read(self._notify, 4096)
            found.append("file")
        with contextlib.suppress(BlockingIOError):
            self._listener.accept()[0].close()
            found.append("port")
        return found


@pytest.fixture
def trap(tmp_path: Path) -> Iterator[Trap]:
    libc = ctypes.CDLL(None, use_errno=True)
    secret = Path(shutil.copyfile(clip(seconds=1), tmp_path / "secret.mp4"))
    notify = libc.inotify_init1(_IN_NONBLOCK)
    assert libc.inotify_add_watch(notify, os.fsencode(secret), _IN_OPEN) >= 0
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield Trap(secret, listener.getsockname()[1], notify, listener)
    os.close(notify)
