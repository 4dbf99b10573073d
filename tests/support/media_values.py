"""MediaInfo values as a camera's recording would give them, each field open to change."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

from watcher.transcode.media import MediaInfo, PacketFacts, StreamInfo, VideoInfo

BASE = Fraction(1, 12800)
FACTS = PacketFacts(
    50, 100_000, 0, 25600, frames=50, keyframes=2, keyframe_distance=25,
    timestamps=tuple(range(0, 25600, 512)),
)  # fmt: skip
VIDEO = VideoInfo(
    index=0, codec="h264", profile="High", level=51, width=2560, height=1440,
    pix_fmt="yuv420p", bit_depth=8, time_base=BASE, fps=25.0, start=0, duration_s=2.0,
    color_range="tv", color_primaries="bt709", color_transfer="bt709", color_matrix="bt709",
    sar=Fraction(1), packets=FACTS,
)  # fmt: skip
PICTURE = StreamInfo(0, "video", "h264", "avc1", BASE, 0, 2.0, packets=FACTS)
SOUND = StreamInfo(1, "audio", "aac", "mp4a", Fraction(1, 8000), 0, 2.0, channels=1)


def video(**changes: Any) -> VideoInfo:
    """Give an ordinary camera's video with *changes*."""
    return replace(VIDEO, **changes)


def info(**changes: Any) -> MediaInfo:
    """Give an ordinary camera's recording with *changes*."""
    ordinary = MediaInfo(
        path="/recordings/cam1/seg.mp4", container="mp4", size_bytes=1_000_000, mtime_ns=0,
        duration_s=2.0, start_s=0.0, streams=(PICTURE, SOUND), video=VIDEO, moov_first=False,
    )  # fmt: skip
    return replace(ordinary, **changes)


def track(index: int, kind: str, codec: str, tag: str = "", **changes: Any) -> StreamInfo:
    """Give a further track."""
    return StreamInfo(index, kind, codec, tag, BASE, 0, 2.0, **changes)
