"""Mounting, limits and missing privileges, for tests; where that is not allowed, a visible skip."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(
    point: Path, *options: str, kind: str = "tmpfs", source: str = "none"
) -> Iterator[None]:
    """Mount a file system on *point*; the test is skipped, saying so, where that is refused."""
    argv = ["mount", *(["-t", kind] if kind else []), *options, source, os.fspath(point)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"NOT SHOWN HERE: mounting {kind or 'bind'} needs root ({done.stderr.strip()})")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", os.fspath(point)], check=False, capture_output=True)


def make_ext4(image: Path, megabytes: int) -> None:
    """Make a file that can be mounted; the test is skipped, saying so, where nothing makes one."""
    with image.open("wb") as file:
        file.truncate(megabytes << 20)
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("NOT SHOWN HERE: a disk of its own (mkfs.ext4 is not installed)")
    subprocess.run(["mkfs.ext4", "-q", "-F", os.fspath(image)], check=True)


def unmount(point: Path) -> None:
    """Unmount, at once: fails if anybody holds the file system."""
    subprocess.run(["umount", os.fspath(point)], check=True)


def run_limited(script: str, *arguments: str, watches: int = 100, instances: int = 100) -> str:
    """Run a Python script in a user namespace of its own, whose inotify limits are set low."""
    limits = (
        f"echo {watches} > /proc/sys/user/max_inotify_watches"
        f" && echo {instances} > /proc/sys/user/max_inotify_instances"
    )
    if subprocess.run(["unshare", "-Ur", "true"], check=False, capture_output=True).returncode:
        pytest.skip("NOT SHOWN HERE: limits of a namespace of its own (unshare -Ur is refused)")
    shell = f'{limits} && exec "$@"'
    return _run(["unshare", "-Ur", "sh", "-c", shell, "sh", *_python(script), *arguments])


def run_without_override(script: str, *arguments: str) -> str:
    """Run a Python script to which permissions apply, root or not."""
    argv = [*_python(script), *arguments]
    if os.geteuid() == 0:
        argv = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *argv]
    return _run(argv)


def _python(script: str) -> list[str]:
    tests = Path(__file__).parents[1]
    return [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tests)!r})\n{script}"]


def _run(argv: list[str]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
