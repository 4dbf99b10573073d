"""What a file is, asked of PyAV in the test's own process: an opinion beside Watcher's."""

from pathlib import Path

import av


def codec_of(path: Path) -> str:
    """Name the codec of the first video stream."""
    with path.open("rb") as file, av.open(file) as container:
        return str(container.streams.video[0].codec_context.name)
