"""What a video says of its pixels and colours, by whichever of its names for that. Pure."""

from collections.abc import Iterator
from typing import Final

from watcher.transcode.media import VideoInfo

KEPT_FORMATS: Final = "yuv420p|yuv422p|yuv444p|yuv420p10le|yuv422p10le|yuv444p10le"
"""For ffmpeg's filter `format`: those in which two files are compared, each in its own."""

NO_COLOR: Final = "setparams=colorspace=unknown:color_primaries=unknown:color_trc=unknown"
"""For a filter graph: both sides mean the same by their numbers, and the scaler knows not all."""

_FULL_RANGE_NAMES: Final = {
    "yuvj420p": "yuv420p",
    "yuvj422p": "yuv422p",
    "yuvj444p": "yuv444p",
    "yuvj440p": "yuv440p",
}

_ALIKE: Final = {"bt470bg": "smpte170m"}
"""Two names of one matrix: GStreamer's muxer knows that of PAL by that of NTSC."""


def plain_format(video: VideoInfo) -> str | None:
    """Give the pixel format without the range that its old names carry."""
    return _FULL_RANGE_NAMES.get(video.pix_fmt or "", video.pix_fmt)


def color_range(video: VideoInfo) -> str:
    """Give the range that a player shows: a stream that says nothing is limited."""
    return "pc" if (video.pix_fmt or "").startswith("yuvj") else video.color_range or "tv"


def said_twice(source: VideoInfo, copy: VideoInfo) -> Iterator[tuple[str, object, object]]:
    """Container and stream both say colours, and players go by either: neither may contradict.

    An encoder may leave them to the container, but not a full range: unsaid, it is limited.
    """
    if copy.color_range:
        yield "the container's colour range", color_range(source), copy.color_range
    if source.frame_color and copy.frame_color:
        ours, theirs = (colors[0] or "tv" for colors in (source.frame_color, copy.frame_color))
        yield "the stream's colour range", ours, theirs
        names = ("primaries", "transfer", "matrix")
        rest = zip(names, _named(source), _named(copy), strict=True)
        yield from (
            (f"the stream's colour {name}", one, other) for name, one, other in rest if other
        )


def _named(video: VideoInfo) -> tuple[str | None, ...]:
    """Give a stream's primaries, transfer and matrix, the last by one name alone."""
    *others, matrix = video.frame_color[1:]
    return *others, _ALIKE.get(matrix or "", matrix)
