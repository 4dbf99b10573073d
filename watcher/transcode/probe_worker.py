"""The probe worker: the one place where a file that nobody trusts meets a parser.

Run as a script by `probe.Prober`, in a process of its own with bounds on memory, CPU time and
files written. It imports nothing of Watcher, so that it starts in a tenth of a second and a crash
or a break-in finds nothing here but the one descriptor that it was asked to look at.

It says `{"ready": 1}` and reads requests, one JSON object a line, from stdin. Each is answered
with any number of `{"alive": n}` and one `{"info": …}`, `{"refused": reason, "message": …}` or
`{"failed": …}`. What a file is, its first bytes decide, never its name; the demuxer is named, not
guessed; and the only protocol is `fd`, so that nothing in the file can have another file or host
opened.
"""

import contextlib
import errno
import hashlib
import json
import logging
import os
import re
import resource
import stat
import struct
import sys
from array import array
from collections.abc import Iterator
from typing import Any

import av
import av.logging

MOST_PIXELS = 64_000_000  # 8K is half of it: a header that claims more is absurd
MOST_COMPLAINTS = 20
ALIVE_EVERY = 5_000
MOST_BOXES = 2_000_000
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
    9: "bt2020nc", 10: "bt2020c",
}  # fmt: skip
RANGES = {1: "tv", 2: "pc"}
INTERLACED_ORDERS = frozenset({2, 3, 4, 5})
DOLBY_BOXES = (b"dvcC", b"dvvC", b"dvwC")
SPATIAL_BOXES = (b"sv3d", b"st3d", b"vexu")
SPHERICAL_V1 = bytes.fromhex("ffcc8263f8554a938814587a02521fdd")
DOLBY_MAPPING = re.compile(rb"\x41\xe7(?:\x84|\x88\0{4})dv[cvw]C")  # BlockAddIDType
SPATIAL_ELEMENTS = re.compile(  # StereoMode, Projection: any but none
    rb"\x53\xb8\x81[^\0]|\x76\x71\x81[^\0]"
)
MATROSKA_CLUSTER = b"\x1f\x43\xb6\x75"
MATROSKA_HEAD = 1 << 20
FIRST_BOXES = frozenset(
    {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"moof", b"sidx"}
    | {b"uuid", b"emsg", b"prft", b"pdin"}
)


DAMAGE = (av.error.FFmpegError, ValueError, ArithmeticError, struct.error)
"""What the parsers raise over a file's content, where it is not an OSError as well."""


class RefusedHereError(Exception):
    """A verdict: reason and message."""


class Complaints(logging.Handler):
    """Keeps the first few lines that the libraries write about a file."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line."""
        if len(self.lines) < MOST_COMPLAINTS:
            self.lines.append(record.getMessage().strip()[:300])


def main() -> None:
    """Answer requests until stdin ends."""
    complaints = Complaints()
    logging.getLogger("libav").addHandler(complaints)
    logging.getLogger("libav").propagate = False
    av.logging.set_level(av.logging.ERROR)
    say({"ready": 1})
    for line in sys.stdin.buffer:
        request = json.loads(line)
        complaints.lines.clear()
        _allow_cpu(float(request["cpu_s"]))
        say(answer(request, complaints))


def say(value: dict[str, Any]) -> None:
    """Write one line to the parent."""
    sys.stdout.write(json.dumps(value, ensure_ascii=True, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def answer(request: dict[str, Any], complaints: Complaints) -> dict[str, Any]:
    """Probe one file; every failure that Python can see becomes an answer."""
    try:
        info = probe(
            str(request["path"]),
            packets=bool(request["packets"]),
            codecs=frozenset(request.get("codecs", ())),
        )
    except (RefusedHereError, MemoryError, OSError, *DAMAGE) as error:
        return _verdict(error, complaints)
    info["complaints"] = list(complaints.lines)
    return {"info": info}


def _verdict(error: BaseException, complaints: Complaints) -> dict[str, Any]:
    number = getattr(error, "errno", None)
    if isinstance(error, RefusedHereError):
        return {"refused": error.args[0], "message": error.args[1]}
    if isinstance(error, MemoryError) or number == errno.ENOMEM:
        return {"limit": "memory", "message": "needs more memory than a recording may"}
    if isinstance(error, OSError):
        return {"failed": errno.errorcode.get(number or 0, "EIO"), "message": str(error)}
    return {"refused": "damaged_source", "message": _told(error, complaints)}


def probe(path: str, *, packets: bool, codecs: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Look at the file itself: its first bytes, its boxes, its streams, its packets.

    Packets are read where *packets* says so and the video is one of *codecs* (none: any).
    """
    # O_NONBLOCK: a FIFO must not hold us; O_NOFOLLOW: a link is no recording
    try:
        fd = os.open(os.fsencode(path), os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise RefusedHereError("not_a_recording", "is not a regular file") from error
        raise
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise RefusedHereError("not_a_recording", "is not a regular file")
        if status.st_size == 0:
            raise RefusedHereError("damaged_source", "is empty")
        demuxer = sniff(os.pread(fd, 400, 0))
        boxes = _boxes(fd, status.st_size) if demuxer == "mov" else None
        info = _demux(fd, demuxer, boxes, packets=packets, codecs=codecs)
        if demuxer == "matroska" and info["video"]:
            info["video"].update(_matroska_marks(os.pread(fd, MATROSKA_HEAD, 0)))
        info["size_bytes"], info["mtime_ns"] = status.st_size, status.st_mtime_ns
        return info
    finally:
        os.close(fd)


def sniff(head: bytes) -> str:
    """Name the demuxer that the first bytes call for; refuse what is none of ours."""
    if head[4:8] in FIRST_BOXES:
        return "mov"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "matroska"
    if head[:1] == b"G" and head[188:189] == b"G" and head[376:377] in (b"G", b""):
        return "mpegts"
    raise RefusedHereError("not_a_recording", "does not begin like MP4, MOV, Matroska or MPEG-TS")


def _demux(
    fd: int,
    demuxer: str,
    boxes: dict[str, Any] | None,
    *,
    packets: bool,
    codecs: frozenset[str],
) -> dict[str, Any]:
    options = {"fd": str(fd), "protocol_whitelist": "fd"}
    with av.open("fd:", format=demuxer, options=options, metadata_errors="replace") as container:
        start: int | None = getattr(container, "start_time", None)  # PyAV's stub says always
        streams = [_stream(stream, boxes) for stream in container.streams]
        pictures = [s for s in container.streams if s.type == "video"]
        video = _video(pictures[0], boxes) if pictures else None
        info = {
            "container": _container(demuxer, container),
            "duration_s": container.duration / av.time_base if container.duration else None,
            "start_s": None if start is None else start / av.time_base,
            "metadata": _words(container.metadata),
            "chapters": _chapters(container),
            "moov_first": boxes["moov_first"] if boxes else None,
            "fragmented": bool(boxes and boxes["fragmented"]),
            "streams": streams,
            "video": video,
        }
        if packets and (not codecs or codecs & {s["codec"] for s in streams}):
            counted = _count(container)
            for stream in streams:
                stream["packets"] = counted[stream["index"]]
        if video:
            os.lseek(fd, 0, os.SEEK_SET)
    if video:
        _look_at_a_frame(fd, demuxer, video)
    return info


def _container(demuxer: str, container: Any) -> str:  # noqa: ANN401 - PyAV's own type is a union
    if demuxer != "mov":
        return demuxer
    brand = str(container.metadata.get("major_brand", "qt  "))
    return "mov" if brand.startswith("qt") else "mp4"


def _stream(stream: Any, boxes: dict[str, Any] | None) -> dict[str, Any]:  # noqa: ANN401
    codec = stream.codec_context
    tags = boxes["tags"] if boxes else []
    tag = tags[stream.index] if stream.index < len(tags) else str(getattr(codec, "codec_tag", ""))
    base = stream.time_base or 1
    is_attached = stream.type == "attachment"
    extradata = getattr(stream, "data", None) if is_attached else getattr(codec, "extradata", None)
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
        "extradata": _digest(bytes(extradata)) if extradata else None,
        "metadata": _words(stream.metadata),
        "packets": None,
    }


def _video(stream: Any, boxes: dict[str, Any] | None) -> dict[str, Any]:  # noqa: ANN401
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
        "color_primaries": PRIMARIES.get(int(codec.color_primaries)),
        "color_transfer": TRANSFERS.get(int(codec.color_trc)),
        "color_matrix": MATRICES.get(int(codec.colorspace)),
        "sar": [sar.numerator, sar.denominator] if sar else None,
        "interlaced": int(codec.field_order) in INTERLACED_ORDERS,
        "has_b_frames": bool(codec.has_b_frames),
        "dolby_vision": bool(boxes and boxes["dolby_vision"]),
        "spatial": bool(boxes and boxes["spatial"]),
        "frames_claimed": stream.frames or None,
        "display_matrix": None,
        "rotation": 0,
    }


def _look_at_a_frame(fd: int, demuxer: str, video: dict[str, Any]) -> None:
    """Decode one frame for what only a frame tells: rotation, interlacing.

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
                _note_frame(frames, video)
                return


def _note_frame(frames: Any, video: dict[str, Any]) -> None:  # noqa: ANN401
    for frame in frames[:1]:
        video["interlaced"] = video["interlaced"] or bool(frame.interlaced_frame)
        video["rotation"] = round(frame.rotation) % 360
        matrix = frame.side_data.get("DISPLAYMATRIX")
        if matrix is not None:
            video["display_matrix"] = list(struct.unpack("<9i", bytes(matrix)))


class Counted:
    """One stream's packets, counted."""

    def __init__(self, *, is_video: bool) -> None:
        self.is_video = is_video
        self.packets = self.bytes = self.hidden = self.untimed = self.corrupt = self.keyframes = 0
        self.longest_gap = self.last_key = -1
        self.first_is_key = True
        self.last_pts: int | None = None
        self.end_pts: int | None = None
        self.times = array("q")
        self.digest = hashlib.blake2b(digest_size=16)

    def add(self, packet: Any) -> None:  # noqa: ANN401
        """Count one packet."""
        if packet.is_keyframe:
            if self.last_key >= 0:
                self.longest_gap = max(self.longest_gap, self.packets - self.last_key)
            self.last_key = self.packets
            self.keyframes += 1
        elif self.packets == 0:
            self.first_is_key = False
        self.packets += 1
        self.bytes += packet.size
        self.corrupt += packet.is_corrupt
        if packet.is_discard:
            self.hidden += 1
        elif packet.pts is None:
            self.untimed += 1
        else:
            self.times.append(packet.pts)
            if self.last_pts is None or packet.pts >= self.last_pts:
                self.last_pts = packet.pts
                self.end_pts = packet.pts + (packet.duration or 0)
        if not self.is_video:
            self.digest.update(packet)

    def facts(self) -> dict[str, Any]:
        """Give the sums as they travel."""
        times = sorted(self.times)
        return {
            "packets": self.packets,
            "bytes": self.bytes,
            "first_pts": times[0] if times else None,
            "end_pts": self.end_pts,
            "frames": self.packets - self.hidden,
            "hidden": self.hidden,
            "untimed": self.untimed,
            "corrupt": self.corrupt,
            "keyframes": self.keyframes,
            "keyframe_distance": self.longest_gap if self.longest_gap > 0 else None,
            "longest_run": max(self.longest_gap, self.packets - max(self.last_key, 0)),
            "first_is_key": self.first_is_key,
            "timestamps": times,
            "digest": None if self.is_video else self.digest.hexdigest(),
        }


def _count(container: Any) -> dict[int, dict[str, Any]]:  # noqa: ANN401
    counted = {s.index: Counted(is_video=s.type == "video") for s in container.streams}
    for number, packet in enumerate(container.demux()):
        if number % ALIVE_EVERY == ALIVE_EVERY - 1:
            say({"alive": number})
        if packet.dts is None and packet.pts is None and packet.size == 0:
            continue  # PyAV's sign that a stream is over
        counted[packet.stream_index].add(packet)
    return {index: one.facts() for index, one in counted.items()}


def _chapters(container: Any) -> list[list[Any]]:  # noqa: ANN401
    made = []
    for chapter in container.chapters():
        base = chapter["time_base"]
        title = _words(chapter.get("metadata", {})).get("title", "")
        made.append([float(chapter["start"] * base), float(chapter["end"] * base), title])
    return made


def _boxes(fd: int, size: int) -> dict[str, Any]:
    """Say what the top-level boxes and the track headers tell that libavformat does not."""
    order = [(kind, at, end) for kind, at, end in _children(fd, 0, size)]
    kinds = [kind for kind, _, _ in order]
    moov = next(((at, end) for kind, at, end in order if kind == b"moov"), None)
    found: dict[str, Any] = {"tags": [], "dolby_vision": False, "spatial": False}
    found["moov_first"] = b"moov" in kinds and (
        b"mdat" not in kinds or kinds.index(b"moov") < kinds.index(b"mdat")
    )
    inside = list(_children(fd, *moov)) if moov else []
    found["fragmented"] = b"moof" in kinds or any(kind == b"mvex" for kind, _, _ in inside)
    for kind, at, end in inside:
        if kind == b"trak":
            entry = _sample_description(fd, at, end)
            found["tags"].append(entry[12:16].decode("latin-1"))
            found["dolby_vision"] |= any(box in entry for box in DOLBY_BOXES)
            found["spatial"] |= any(box in entry for box in SPATIAL_BOXES)
            found["spatial"] |= any(
                kind == b"uuid" and os.pread(fd, 16, inner) == SPHERICAL_V1
                for kind, inner, _ in _children(fd, at, end)
            )
    return found


def _matroska_marks(head: bytes) -> dict[str, bool]:
    """Say what stands in the list of tracks that libavformat gives to nobody here."""
    head = head.partition(MATROSKA_CLUSTER)[0]
    return {
        "dolby_vision": bool(DOLBY_MAPPING.search(head)),
        "spatial": bool(SPATIAL_ELEMENTS.search(head)),
    }


def _sample_description(fd: int, at: int, end: int) -> bytes:
    for wanted in (b"mdia", b"minf", b"stbl", b"stsd"):
        spot = next(((a, e) for kind, a, e in _children(fd, at, end) if kind == wanted), None)
        if spot is None:
            return b""
        at, end = spot
    return os.pread(fd, min(end - at, 65536), at)


def _children(fd: int, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Walk the boxes between two offsets: kind, where its content begins and ends."""
    for _ in range(MOST_BOXES):
        head = os.pread(fd, 16, at) if at + 8 <= end else b""
        if len(head) < 8:  # noqa: PLR2004 - size and kind, four bytes each
            return
        length, kind = struct.unpack(">I4s", head[:8])
        content = at + 8
        if length == 1 and len(head) == 16:  # noqa: PLR2004 - a 64-bit length follows
            length, content = struct.unpack(">Q", head[8:])[0], at + 16
        elif length == 0:
            length = end - at
        if length < content - at:
            return
        yield kind, content, min(at + length, end)
        at += length


def _words(metadata: dict[str, str]) -> dict[str, str]:
    """Keys in lower case (Matroska shouts), everything of a sane length."""
    return {key.lower()[:200]: str(value)[:4000] for key, value in list(metadata.items())[:200]}


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _told(error: BaseException, complaints: Complaints) -> str:
    return "; ".join([str(error), *complaints.lines[:3]])[:1000]


def _allow_cpu(seconds: float) -> None:
    """Give this request *seconds* of CPU time beyond what was used before; then SIGXCPU."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = int(used.ru_utime + used.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (most, resource.getrlimit(resource.RLIMIT_CPU)[1]))


if __name__ == "__main__":
    main()
