"""What libavformat says of each stream, as it travels to the parent. A part of the probe worker."""

import contextlib
import hashlib
import re
import struct
from typing import Any

import av

MOST_PIXELS = 64_000_000  # 8K is half of it: a header that claims more is absurd
PRIMED_PACKETS = 120  # how far to look for a first frame that decodes

PRIMARIES = {
    1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "film",
    9: "bt2020", 10: "smpte428", 11: "smpte431", 12: "smpte432", 22: "jedec-p22",
}  # fmt: skip
TRANSFERS = {
    1: "bt709", 4: "gamma22", 5: "gamma28", 6: "smpte170m", 7: "smpte240m", 8: "linear",
    9: "log100", 10: "log316", 11: "iec61966-2-4", 12: "bt1361e", 13: "iec61966-2-1",
    14: "bt2020-10", 15: "bt2020-12", 16: "smpte2084", 17: "smpte428", 18: "arib-std-b67",
}  # fmt: skip
MATRICES = {
    0: "gbr", 1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "ycgco",
    9: "bt2020nc", 10: "bt2020c", 11: "smpte2085", 12: "chroma-derived-nc",
    13: "chroma-derived-c", 14: "ictcp", 15: "ipt-c2", 16: "ycgco-re", 17: "ycgco-ro",
}  # fmt: skip
BIT_RATE_BOXES = re.compile(rb"(?:\0\0\0\x14btrt.{12})+\Z", re.DOTALL)
"""What every writing adds once more to the header of a subtitle track."""
UNSPECIFIED = 2  # of primaries, transfer and matrix
RANGES = {1: "tv", 2: "pc"}
INTERLACED_ORDERS = frozenset({2, 3, 4, 5})


class RefusedHereError(Exception):
    """A verdict: reason and message."""


def container_name(demuxer: str, container: Any) -> str:  # noqa: ANN401 - PyAV's own type is a union
    """Name the container that the file really is: MP4 and MOV share a demuxer."""
    if demuxer != "mov":
        return demuxer
    brand = str(container.metadata.get("major_brand", "qt  "))
    return "mov" if brand.startswith("qt") else "mp4"


def stream_facts(stream: Any, boxes: dict[str, Any] | None) -> dict[str, Any]:  # noqa: ANN401
    """Give what *stream* is, of whatever kind."""
    codec = stream.codec_context
    tags = boxes["tags"] if boxes else []
    tag = tags[stream.index] if stream.index < len(tags) else _tag(codec)
    base = stream.time_base or 1
    is_attached = stream.type == "attachment"
    extradata = getattr(stream, "data", None) if is_attached else getattr(codec, "extradata", None)
    extradata = BIT_RATE_BOXES.sub(b"", bytes(extradata or b""))
    return {
        "index": stream.index,
        "kind": stream.type or "data",
        "codec": codec.codec.canonical_name if codec is not None and codec.codec else "",
        "codec_tag": tag.strip("\0 "),
        "time_base": [base.numerator, base.denominator],
        "start": stream.start_time,
        "duration_s": None if stream.duration is None else float(stream.duration * base),
        "disposition": [f.name for f in type(stream.disposition) if f in stream.disposition],
        "sample_rate": getattr(codec, "sample_rate", None),
        "channels": getattr(codec, "channels", None),
        "extradata": _digest(extradata) if extradata else None,
        "metadata": words(stream.metadata),
        "packets": None,
    }


def video_facts(stream: Any, boxes: dict[str, Any] | None) -> dict[str, Any]:  # noqa: ANN401
    """Give what *stream*, the first picture, says of itself before anything is decoded."""
    codec = stream.codec_context
    if codec is None:
        raise RefusedHereError("damaged_source", "its video is of a kind that nothing here knows")
    if codec.width * codec.height > MOST_PIXELS:
        raise RefusedHereError(
            "damaged_source", f"claims frames of {codec.width}x{codec.height}, which is absurd"
        )
    rate, sar = stream.average_rate, stream.sample_aspect_ratio
    return {
        "index": stream.index,
        "profile": str(stream.profile) if stream.profile else None,
        "level": codec.level,
        "width": codec.width,
        "height": codec.height,
        "pix_fmt": codec.pix_fmt,
        "bit_depth": codec.format.components[0].bits if codec.format else None,
        "fps": float(rate) if rate else None,
        "color_range": RANGES.get(int(codec.color_range)),
        "color_primaries": color_name(PRIMARIES, int(codec.color_primaries)),
        "color_transfer": color_name(TRANSFERS, int(codec.color_trc)),
        "color_matrix": color_name(MATRICES, int(codec.colorspace)),
        "sar": [sar.numerator, sar.denominator] if sar else None,
        "interlaced": int(codec.field_order) in INTERLACED_ORDERS,
        "has_b_frames": bool(codec.has_b_frames),
        "user_data": None,
        "parameter_changes": [],
        "maybe_interlaced": False,
        "other_layers": 0,
        "dolby_vision": bool(boxes and boxes["dolby_vision"]),
        "spatial": bool(boxes and boxes["spatial"]),
        # Of a fragmented file the index names those frames alone that come before its fragments.
        "frames_claimed": None if boxes and boxes["fragmented"] else stream.frames or None,
        "frame_color": [],
        "display_matrix": None,
        "rotation": 0,
    }


def color_name(names: dict[int, str], number: int) -> str | None:
    """Name a colour's property; one that has no name here is its number, not unspecified."""
    return None if number == UNSPECIFIED else names.get(number, str(number))


def look_at_a_frame(fd: int, demuxer: str, video: dict[str, Any]) -> None:
    """Decode one frame for what only a frame tells: rotation, interlacing, the stream's own colour.

    A stream whose first packets don't decode says nothing here: the encode's own decode judges it.
    """
    options = {"fd": str(fd), "protocol_whitelist": "fd"}
    with (
        contextlib.suppress(av.error.FFmpegError),
        av.open("fd:", format=demuxer, options=options, metadata_errors="replace") as container,
    ):
        stream = container.streams[video["index"]]
        stream.codec_context.thread_count = 1
        for number, packet in enumerate(container.demux(stream)):
            frames = packet.decode()
            if frames or number >= PRIMED_PACKETS:
                note_frame(frames, video)
                return


def note_frame(frames: Any, video: dict[str, Any]) -> None:  # noqa: ANN401
    """Note in *video* what the first of *frames* tells."""
    for frame in frames[:1]:
        if not hasattr(frame, "interlaced_frame"):
            return  # sound: read anew, a damaged file may have its tracks in another order
        video["interlaced"] = video["interlaced"] or bool(frame.interlaced_frame)
        video["rotation"] = round(frame.rotation) % 360
        video["frame_color"] = [
            RANGES.get(int(frame.color_range)),
            color_name(PRIMARIES, int(frame.color_primaries)),
            color_name(TRANSFERS, int(frame.color_trc)),
            color_name(MATRICES, int(frame.colorspace)),
        ]
        matrix = frame.side_data.get("DISPLAYMATRIX")
        if matrix is not None:
            video["display_matrix"] = list(struct.unpack("<9i", bytes(matrix)))


def chapters_of(container: Any) -> list[list[Any]]:  # noqa: ANN401
    """Give each chapter's begin, end and title."""
    made = []
    for chapter in container.chapters():
        base = chapter["time_base"]
        title = words(chapter.get("metadata", {})).get("title", "")
        made.append([float(chapter["start"] * base), float(chapter["end"] * base), title])
    return made


def words(metadata: dict[str, str]) -> dict[str, str]:
    """Keys in lower case (Matroska shouts), everything of a sane length."""
    return {key.lower()[:200]: str(value)[:4000] for key, value in list(metadata.items())[:200]}


def _tag(codec: Any) -> str:  # noqa: ANN401
    """Give a codec's tag; PyAV fails over one that is no text, as G.722's in Matroska."""
    with contextlib.suppress(ValueError):
        return str(getattr(codec, "codec_tag", ""))
    return ""


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
