"""Reads each file named on the command line as verification would; run under strace by a test."""

import contextlib
import sys

from support.proving import STRUCTURE, the_ffmpeg, tools
from watcher.errors import WatcherError
from watcher.transcode.decode import decode, decode_words
from watcher.transcode.leash import Leash
from watcher.transcode.probe import Prober
from watcher.transcode.verify import judge_source


def main() -> None:
    """Probe, walk and decode each."""
    with Prober() as prober:
        for path in sys.argv[1:]:
            with contextlib.suppress(WatcherError):
                judge_source(prober.probe(path), STRUCTURE, tools(prober))
            with contextlib.suppress(WatcherError):
                decode(the_ffmpeg().path, path, decode_words(path, "mp4"), Leash())


if __name__ == "__main__":
    main()
