"""Reads each file named on the command line as verification would; run under strace by a test."""

import contextlib
import os
import sys

from support.clips import clip
from support.proving import STRUCTURE, the_ffmpeg, tools
from watcher.errors import WatcherError
from watcher.transcode.decode import decode, decode_words
from watcher.transcode.leash import Leash
from watcher.transcode.media import MediaInfo
from watcher.transcode.probe import Prober
from watcher.transcode.quality import QualitySettings, measure
from watcher.transcode.verify import judge_source


def main() -> None:
    """Probe, walk and decode each, and measure a recording against it."""
    with Prober() as prober:
        good = os.fspath(clip(seconds=1))
        info = prober.probe(good)
        for path in sys.argv[1:]:
            with contextlib.suppress(WatcherError):
                judge_source(prober.probe(path), STRUCTURE, tools(prober))
            with contextlib.suppress(WatcherError):
                decode(the_ffmpeg().path, path, decode_words(path, "mp4"), Leash())
            print(looks_like(path, good, info))  # noqa: T201 - the test reads it


def looks_like(source: str, copy: str, info: MediaInfo) -> str:
    """Measure VMAF as if both were what *info* says; give how that ended."""
    ffmpeg = the_ffmpeg().path
    try:
        measure(source, copy, info, info, ffmpeg=ffmpeg, settings=QualitySettings(), leash=Leash())
    except WatcherError as error:
        return error.reason
    return "measured"


if __name__ == "__main__":
    main()
