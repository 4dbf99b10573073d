"""File systems to be attacked: what is mounted anyway, and what can be mounted from a file.

A file system that can't be had here raises `Unavailable` with the reason, which the tests show as
a skip: what was not tried has to be seen.
"""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from watcher.replace.directory import LinuxDirectory

SHARED_MEMORY = Path("/dev/shm")
_DETACH = 2  # MNT_DETACH

_MAKERS = {
    "ext4": (96, ["mkfs.ext4", "-q", "-F", "-J", "size=8"]),
    "ext4-no-journal": (64, ["mkfs.ext4", "-q", "-F", "-O", "^has_journal"]),
    "xfs": (320, ["mkfs.xfs", "-q", "-f"]),
    "btrfs": (160, ["mkfs.btrfs", "-q", "-f"]),
    "ext2": (32, ["mkfs.ext2", "-q", "-F"]),
}
MOUNTABLE = tuple(_MAKERS)


class Unavailable(Exception):  # noqa: N818 - a finding
    """This file system can't be had here; the message says why."""


class TrustedDirectory(LinuxDirectory):
    """Takes the exchange for safe wherever it works: temporary directories are not cut off."""

    def mount(self) -> tuple[str, bool | None]:
        return "xfs", None


@contextmanager
def shared_memory() -> Iterator[Path]:
    """Give a directory on the tmpfs that Linux has at /dev/shm."""
    with open_mount(SHARED_MEMORY) as kind:
        if kind != "tmpfs" or not os.access(SHARED_MEMORY, os.W_OK):
            raise Unavailable(f"{SHARED_MEMORY} is {kind or 'absent'}, or not writable")
    with TemporaryDirectory(dir=SHARED_MEMORY, prefix="watcher-") as directory:
        yield Path(directory)


@contextmanager
def open_mount(path: Path) -> Iterator[str]:
    """Give the kind of file system that *path* is on; "" where there is no such path."""
    if not path.is_dir():
        yield ""
        return
    with LinuxDirectory(str(path)) as directory:
        yield directory.mount()[0]


@contextmanager
def mounted(kind: str, workshop: Path) -> Iterator[Path]:
    """Make, mount and give a new file system of that kind; gone afterwards."""
    image, point = make_image(kind, workshop), workshop / f"{kind}.mounted"
    point.mkdir()
    try:
        with mounted_image(image, point):
            yield point
    finally:
        image.unlink()


def make_image(kind: str, workshop: Path) -> Path:
    """Make a file system of that kind in a file, and give that."""
    megabytes, maker = _MAKERS[kind]
    image = workshop / f"{kind}.image"
    with image.open("wb") as file:
        file.truncate(megabytes << 20)
    _run([*maker, str(image)])
    return image


@contextmanager
def mounted_image(image: Path, point: Path) -> Iterator[None]:
    """Mount the file system that is in the file *image* at *point*, for a while."""
    _run(["mount", "-o", "loop", str(image), str(point)])
    try:
        yield
    finally:
        _run(["umount", str(point)])


@contextmanager
def small_tmpfs(workshop: Path, size_bytes: int) -> Iterator[Path]:
    """Mount a tmpfs that is soon full."""
    point = workshop / "small"
    point.mkdir()
    _run(["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(point)])
    try:
        yield point
    finally:
        _run(["umount", str(point)])


def _run(argv: list[str]) -> None:
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    if shutil.which(argv[0], path=path) is None:
        raise Unavailable(f"{argv[0]} is not installed")
    if os.geteuid() != 0:
        raise Unavailable(f"{argv[0]} needs root")
    done = subprocess.run(
        argv, check=False, capture_output=True, text=True, env={**os.environ, "PATH": path}
    )
    if done.returncode:
        raise Unavailable(f"{' '.join(argv)}: {done.stderr.strip() or done.returncode}")


@contextmanager
def hanging(point: Path) -> Iterator[None]:
    """Mount a file system at *point* whose server never answers, as a share whose server is off."""
    try:
        server = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise Unavailable(f"/dev/fuse: {error.strerror}") from error
    libc = ctypes.CDLL(None, use_errno=True)
    options = b"fd=%d,rootmode=40000,user_id=0,group_id=0" % server
    if libc.mount(b"a server that is off", os.fsencode(point), b"fuse", 0, options) != 0:
        os.close(server)
        raise Unavailable(f"fuse can't be mounted: {os.strerror(ctypes.get_errno())}")
    try:
        yield
    finally:
        libc.umount2(os.fsencode(point), _DETACH)
        os.close(server)  # whoever asks it is told now that there is nobody
