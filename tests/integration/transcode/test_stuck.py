"""A disk that hangs keeps its writer in the kernel: the job ends, and says what to look at."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.mounts import mounted

from watcher.errors import Halt
from watcher.transcode.child import ensure_none_stuck, spawn


@contextmanager
def frozen(point: Path) -> Iterator[None]:
    """Have every writer to the file system at *point* wait in the kernel, deaf to SIGKILL."""
    done = subprocess.run(["fsfreeze", "-f", point], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"NOT SHOWN HERE: a disk that hangs ({done.stderr.strip()})")
    try:
        yield
    finally:
        subprocess.run(["fsfreeze", "-u", point], check=True)


def test_a_writer_to_a_disk_that_hangs_is_left_behind(tmp_path: Path) -> None:
    image, point = tmp_path / "image", tmp_path / "disk"
    point.mkdir()
    with image.open("wb") as file:
        file.truncate(24 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    write = ["/bin/sh", "-c", f"echo up; echo x > {point}/file"]
    with mounted(point, "-o", "loop", kind="ext4", source=str(image)):
        with frozen(point):
            child = spawn(write, stdout=True, patience_s=0.5)
            with pytest.raises(Halt) as halt, child:
                assert child.read(30) == b"up\n"
            assert halt.value.reason == "child_stuck"
            with pytest.raises(Halt):
                ensure_none_stuck()
        assert child.wait() is not None
        ensure_none_stuck()
