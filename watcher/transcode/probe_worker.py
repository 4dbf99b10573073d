"""The probe worker: the one place where a file that nobody trusts meets a parser.

Run as a script by `probe.Prober`, in a process of its own with bounds on memory, CPU time and
files written. Beside its own parts (`probe_boxes`, `probe_streams`, `probe_packets`, `held`, and
`probe_inside` with `nalunits` and `h264`) it imports nothing of Watcher, so that it starts in a
tenth of a second and a crash or a break-in finds nothing here but the one descriptor that it was
asked to look at.

It says `{"ready": 1}` and reads requests, one JSON object a line, from stdin. Each is answered
with any number of `{"alive": n}` and one `{"info": …}`, `{"refused": reason, "message": …}` or
`{"failed": …}`. What a file is, its first bytes decide, never its name; the demuxer is named, not
guessed; and the only protocol is `fd`, so that nothing in the file can have another file or host
opened.
"""

import errno
import json
import logging
import os
import resource
import stat
import struct
import sys
from pathlib import Path
from typing import Any

import av
import av.logging

if __name__ == "__main__":  # a script that is run in isolation does not know its own house
    sys.path.insert(0, str(Path(__file__).parents[2]))

from watcher.transcode.h264 import NO_CLOCK
from watcher.transcode.held import open_to_read
from watcher.transcode.probe_boxes import MATROSKA_HEAD, matroska_marks, top_boxes
from watcher.transcode.probe_inside import LOOKED_INTO, Inside
from watcher.transcode.probe_packets import count
from watcher.transcode.probe_streams import (
    RefusedHereError,
    chapters_of,
    container_name,
    look_at_a_frame,
    stream_facts,
    video_facts,
    words,
)

MOST_COMPLAINTS = 20
ENCRYPTED = frozenset({"encv", "drmi"})  # what stands inside is nobody's to read
FIRST_BOXES = frozenset(
    {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"moof", b"sidx"}
    | {b"uuid", b"emsg", b"prft", b"pdin"}
)


DAMAGE = (av.error.FFmpegError, ValueError, ArithmeticError, struct.error)
"""What the parsers raise over a file's content, where it is not an OSError as well."""


class Complaints(logging.Handler):
    """Keeps the first few lines that the libraries write about a file."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line, but for what says nothing of damage."""
        line = record.getMessage().strip()[:300]
        if len(self.lines) < MOST_COMPLAINTS and NO_CLOCK not in line:
            self.lines.append(line)


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
    try:
        fd = open_to_read(path)
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
        boxes = top_boxes(fd, status.st_size) if demuxer == "mov" else None
        info = _demux(fd, demuxer, boxes, packets=packets, codecs=codecs)
        if demuxer == "matroska" and info["video"]:
            info["video"].update(matroska_marks(os.pread(fd, MATROSKA_HEAD, 0)))
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
        streams = [stream_facts(stream, boxes) for stream in container.streams]
        pictures = [s for s in container.streams if s.type == "video"]
        video = video_facts(pictures[0], boxes) if pictures else None
        info = {
            "container": container_name(demuxer, container),
            "duration_s": container.duration / av.time_base if container.duration else None,
            "start_s": None if start is None else start / av.time_base,
            "metadata": words(container.metadata),
            "chapters": chapters_of(container),
            "moov_first": boxes["moov_first"] if boxes else None,
            "fragmented": bool(boxes and boxes["fragmented"]),
            "streams": streams,
            "video": video,
        }
        if packets and (not codecs or codecs & {s["codec"] for s in streams}):
            inside = _inside(pictures[0], streams[pictures[0].index]) if pictures else None
            counted = count(container, _alive, inside)
            for stream in streams:
                stream["packets"] = counted[stream["index"]]
            if video and inside:
                video.update(inside.facts(counted[video["index"]]["timestamps"]))
        if video:
            os.lseek(fd, 0, os.SEEK_SET)
    if video:
        look_at_a_frame(fd, demuxer, video)
    return info


def _inside(stream: Any, facts: dict[str, Any]) -> Inside | None:  # noqa: ANN401
    codec = stream.codec_context
    if facts["codec_tag"] in ENCRYPTED or codec.codec.canonical_name not in LOOKED_INTO:
        return None
    return Inside(codec.codec.canonical_name, bytes(codec.extradata or b""))


def _alive(packets: int) -> None:
    say({"alive": packets})


def _told(error: BaseException, complaints: Complaints) -> str:
    return "; ".join([str(error), *complaints.lines[:3]])[:1000]


def _allow_cpu(seconds: float) -> None:
    """Give this request *seconds* of CPU time beyond what was used before; then SIGXCPU."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = int(used.ru_utime + used.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (most, resource.getrlimit(resource.RLIMIT_CPU)[1]))


if __name__ == "__main__":
    main()
