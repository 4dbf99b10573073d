"""The page cache is the recorder's: what a job has read and written is given back at its end."""

import os
from pathlib import Path

import pytest
from support.box import Box
from support.cache import cached_bytes, uncache

from watcher.replace.directory import LinuxDirectory


@pytest.fixture
def on_disk(tmp_path: Path) -> Box:
    """Give a box on a file system that has a page cache to give back."""
    with LinuxDirectory(str(tmp_path)) as directory:
        if directory.mount()[0] in ("tmpfs", "ramfs"):
            pytest.skip("NOT SHOWN HERE: the temporary directory is memory itself")
    return Box(tmp_path)


def test_neither_the_original_nor_the_copy_stays_in_memory(on_disk: Box) -> None:
    on_disk.write_config()
    path = on_disk.record("cam1", "a.mp4", seconds=61, fps="5", gop=5, crf=1)
    uncache(path)
    with on_disk.service(verify_quality=True, min_vmaf=10, min_space_savings=0):
        on_disk.emitted.wait_for("transcode_finished")
    held = {each: cached_bytes(path.parent / each) for each in on_disk.files("cam1")}
    assert len(held) == 3
    assert held == {**dict.fromkeys(held, 0), "a.mp4.transcoded": held["a.mp4.transcoded"]}


def _spoil(path: Path) -> None:
    """Damage the picture at its end, where only the encode finds it."""
    was, data = path.stat(), bytearray(path.read_bytes())
    at = len(data) * 3 // 4
    data[at : at + 4000] = bytes(byte ^ 0x5A for byte in data[at : at + 4000])
    path.write_bytes(data)
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))


@pytest.mark.parametrize("why", ["already_hevc", "damaged_source"])
def test_what_is_refused_does_not_stay_in_memory_either(on_disk: Box, why: str) -> None:
    on_disk.write_config()
    codec = "libx265" if why == "already_hevc" else "libx264"
    path = on_disk.record("cam1", "a.mp4", seconds=20, codec=codec)
    if why == "damaged_source":
        _spoil(path)
    uncache(path)
    with on_disk.service():
        rejected = on_disk.emitted.wait_for("transcode_rejected")
    assert rejected["reason"] == why
    assert cached_bytes(path) == 0
