"""What a test needs to have a copy proven: tools, copies made well or badly, encodes made up."""

import functools
import os
from pathlib import Path
from typing import Any

from support.clips import bundled_ffmpeg, ffmpeg
from watcher.transcode.encode import Encoded
from watcher.transcode.encoders import Decode
from watcher.transcode.ffmpeg import Ffmpeg, inspect
from watcher.transcode.leash import Leash
from watcher.transcode.probe import Prober
from watcher.transcode.quality import QualitySettings
from watcher.transcode.tools import Tools, VerifySettings
from watcher.transcode.verify import Report, verify_copy

STRUCTURE = VerifySettings(quality=None, min_space_savings=5)
MEASURED = VerifySettings(quality=QualitySettings(short_share=1, min_vmaf=60), min_space_savings=5)

_HEVC = ("-c:v", "libx265", "-preset", "ultrafast", "-crf", "28", "-tag:v", "hvc1")
_QUIET = ("-x265-params", "log-level=none:pools=1:frame-threads=1")
_EXACT = ("-fps_mode", "passthrough", "-enc_time_base", "demux", "-map_metadata", "0")


@functools.cache
def the_ffmpeg() -> Ffmpeg:
    """Give the bundled ffmpeg."""
    found = inspect(bundled_ffmpeg())
    assert found is not None
    return found


def tools(prober: Prober, leash: Leash | None = None) -> Tools:
    """Give what a job verifies with."""
    return Tools(the_ffmpeg(), prober, leash or Leash())


def copy_of(
    source: Path, target: Path, *words: str | Path, before: tuple[str | Path, ...] = ()
) -> Path:
    """Encode *source* as Watcher does, but for what *words* say; give *target*."""
    named = ("-map", "0") if "-map" not in words else ()
    start = ("-copyts", "-noautorotate", *before, "-i", f"file:{source}")
    ffmpeg(*start, *named, "-c", "copy", *_HEVC, *_QUIET, *_EXACT, *words, f"file:{target}")
    return target


def proven(
    prober: Prober,
    source: Path,
    copy: Path,
    settings: VerifySettings = STRUCTURE,
    encoded: Encoded | None = None,
    *,
    leash: Leash | None = None,
) -> Report:
    """Probe *source* and have *copy* proven against it."""
    info = prober.probe(os.fspath(source))
    return verify_copy(info, os.fspath(copy), encoded, tools(prober, leash), settings)


def encode_that(**said: Any) -> Encoded:
    """Give what an encode leaves behind, by default one that decoded in software and was quiet."""
    usual: dict[str, Any] = {
        "encoder": "libx265",
        "codec": "hevc",
        "decode": Decode.SOFTWARE,
        "command": (),
        "frames": None,
        "size_bytes": 0,
        "wall_s": 1.0,
        "paused_s": 0.0,
        "cpu_s": 1.0,
        "speed": None,
        "source_errors": 0,
        "stderr": "",
        "attempts": 1,
    }
    return Encoded(**{**usual, **said})
