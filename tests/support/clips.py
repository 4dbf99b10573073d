"""Tiny recordings, made by the bundled ffmpeg, each kind once per session.

`clip(...)` gives a cached file that nobody may change; `clip_at(path, ...)` puts a copy of one
where a test wants it. Two seconds of 160x120 take some 60 ms to make.
"""

import atexit
import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imageio_ffmpeg


@dataclass(frozen=True, slots=True)
class Clip:
    """A recording as a test wants it. *video* and *output* are further ffmpeg words."""

    seconds: float = 2.0
    width: int = 160
    height: int = 120
    fps: str = "25"
    codec: str = "libx264"
    crf: int = 12
    gop: int = 25
    b_frames: int = 0
    pix_fmt: str = "yuv420p"
    audio: str | None = "aac"
    container: str = "mp4"
    faststart: bool = False
    start_s: float = 0.0
    source: str = "testsrc2"
    video: tuple[str, ...] = ()
    output: tuple[str, ...] = ()


@functools.cache
def bundled_ffmpeg() -> str:
    """Name the ffmpeg inside the imageio-ffmpeg wheel."""
    return str(imageio_ffmpeg.get_ffmpeg_exe())


def ffmpeg(*words: str | Path) -> None:
    """Run the bundled ffmpeg; a failure fails the test with what it said."""
    command = [bundled_ffmpeg(), "-hide_banner", "-nostdin", "-y", "-v", "error", *map(str, words)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")


def clip(kind: Clip | None = None, **options: Any) -> Path:
    """Give the path of a cached recording: `clip(seconds=1, audio=None)`."""
    return _made(kind or Clip(**options))


def clip_at(path: Path, mtime_s: float | None = None, **options: Any) -> Path:
    """Copy `clip(**options)` to *path*, with *mtime_s* where given; give *path*."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(clip(**options), path)
    if mtime_s is not None:
        os.utime(path, (mtime_s, mtime_s))
    return path


def remux(source: Path, target: Path, *words: str, before: Sequence[str] = ()) -> Path:
    """Copy every stream of *source* into *target* with further *words*; give *target*."""
    ffmpeg(*before, "-i", f"file:{source}", "-map", "0", "-c", "copy", *words, f"file:{target}")
    return target


@functools.cache
def _directory() -> Path:
    made = Path(tempfile.mkdtemp(prefix="watcher-clips-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


@functools.cache
def _made(kind: Clip) -> Path:
    target = _directory() / f"{len(list(_directory().iterdir()))}.{kind.container}"
    size = f"{kind.width}x{kind.height}"
    words = ["-f", "lavfi", "-i", f"{kind.source}=s={size}:r={kind.fps}:d={kind.seconds}"]
    if kind.audio is not None:
        words += ["-f", "lavfi", "-i", f"sine=f=440:r=8000:d={kind.seconds}"]
        words += ["-c:a", kind.audio, "-ac", "1"]
    words += ["-c:v", kind.codec, "-g", str(kind.gop), "-bf", str(kind.b_frames)]
    words += ["-pix_fmt", kind.pix_fmt, "-threads", "1"]
    if kind.codec == "libx264":
        words += ["-preset", "ultrafast", "-crf", str(kind.crf), "-sc_threshold", "0"]
    elif kind.codec == "libx265":
        words += ["-preset", "ultrafast", "-crf", "28", "-x265-params", "log-level=none:pools=1"]
    words += kind.video
    if kind.faststart:
        words += ["-movflags", "+faststart"]
    if kind.start_s:
        words += ["-output_ts_offset", str(kind.start_s)]
    if kind.container in ("mp4", "mov"):
        words += ["-fflags", "+bitexact", "-map_metadata", "-1"]
    ffmpeg(*words, *kind.output, target)
    return target
