"""Decode a file with ffmpeg, keep no picture, and tell what was seen.

Responsible for one pass over one file: which frames came out and when each is presented, and every
line that ffmpeg had to say. Promises to look at every line of warning or worse (exit 0 proves
nothing), and to tell a disk that can't read from a recording that is damaged. Leaves to `damage`
what the lines mean for the file.
"""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

from watcher.clock import Clock
from watcher.errors import Refused, Retryable
from watcher.transcode.child import Leash, Limits
from watcher.transcode.command import DEMUXERS
from watcher.transcode.diagnosis import Kind, diagnose
from watcher.transcode.ffmpeg import run

MOST_FRAMES: Final = 16_000_000
_LINE = re.compile(
    r"^(?P<who>(?:\[[^\]]*\] )*)\[(?P<level>info|warning|error|fatal|panic)\] ?(.*)$"
)
_FRAME = re.compile(rb"\[Parsed_showinfo_.* sar:(\d+/\d+) .*\bi:([PTB]) ")
_COLOR = re.compile(  # up to its end: a decoder that speaks in between goes on with the last word
    rb"(color_range:\S+ color_space:\S+ color_primaries:\S+ color_trc:\S+)\s*\Z"
)
_LONGEST_LINE = 1 << 20
_CHANGED = "Reconfiguring filter graph"
_LEFT_OUT = "bytes left out"

_HARMLESS = (
    "Guessed Channel Layout",  # G.711 does not say mono; every player guesses the same
    "(Attachment: none): unknown codec",  # a text, say: it is copied, and compared, as it is
    "Consider increasing the value for the 'analyzeduration'",  # goes on with such a line
    "Detected creation time before 1970",  # cameras count from 1970 where MP4 does from 1904
    "UDTA parsing failed retrying raw",  # of a track's name by ffmpeg itself; `notes` reads it too
    "nAvgBytesPerSec",  # of G.711 from GStreamer: ffmpeg writes it wrong, and reads it right
    "No filtered frames for output stream",  # of a sound without a packet; frames are counted
    "deprecated pixel format used",  # a full-range JPEG-style name; the range is compared
)


KEY_FRAMES: Final = ("-skip_frame", "nokey")
"""Has a decoder decode key frames alone."""

NUMBERED: Final = "setpts=N"
"""In place of a frame's time: key frames of open GOPs come out in another order than they go in."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """What one pass saw. *lines*: what is worth a look; *complete*: none of them were left out."""

    exit_code: int
    time_base: Fraction
    timestamps: tuple[int, ...]
    lines: tuple[str, ...]
    complete: bool
    format_changes: bool


def input_words(path: str, container: str) -> list[str]:
    """Give ffmpeg's words for reading *path* as what it is, and nothing that it may name."""
    demuxer = DEMUXERS.get(container)
    if demuxer is None:
        raise Refused("unverifiable", f"a {container} file can't be read for verification")
    return ["-protocol_whitelist", "file", "-f", demuxer, "-i", f"file:{path}"]


def decode_words(
    path: str,
    container: str,
    *,
    strict: bool = True,
    audio: bool = True,
    before: Sequence[str] = (),
    filters: Sequence[str] = (),
) -> list[str]:
    """Give ffmpeg's words for one pass: frames' times to stdout, sound decoded to nowhere.

    `wrapped_avframe` costs nothing: the frame itself is not touched, only its time written.
    """
    words = ["-hide_banner", "-nostdin", "-nostats", "-v", "repeat+level+info"]
    words += ["-xerror"] if strict else []
    words += ["-copyts", "-noautorotate", *before, *input_words(path, container)]
    words += ["-vf", ",".join(filters)] if filters else []
    words += ["-map", "0:v:0", "-c:v", "wrapped_avframe", "-fps_mode", "passthrough"]
    words += ["-enc_time_base", "demux", "-flush_packets", "1", "-f", "framecrc", "pipe:1"]
    return words + (["-map", "0:a?", "-f", "null", "-"] if audio else [])


def thread_words(max_threads: int | None) -> list[str]:
    """Give ffmpeg's words for how many threads may decode."""
    return ["-threads", str(max_threads)] if max_threads else []


def was_complete(stderr: str) -> bool:
    """Say whether all of what was said is there: a child's stderr is kept within bounds."""
    return _LEFT_OUT not in stderr


def decode(
    ffmpeg: str,
    path: str,
    words: Sequence[str],
    leash: Leash,
    *,
    on_stderr: Callable[[bytes], None] | None = None,
    stall_timeout_s: float = 120.0,
    limits: Limits | None = None,
    clock: Clock | None = None,
) -> Decoded:
    """Run one pass over *path* by *words*. Raises `Aborted`; `Retryable` where ffmpeg stalls."""
    frames = _Frames()
    done = run(
        [ffmpeg, *words],
        leash,
        on_output=frames.add,
        on_stderr=on_stderr,
        stall_timeout_s=stall_timeout_s,
        limits=limits,
        clock=clock,
    )
    raise_what_is_no_damage(done.stderr)
    stderr = without_name(done.stderr, path)
    return Decoded(
        exit_code=done.exit_code,
        time_base=frames.time_base,
        timestamps=tuple(sorted(frames.timestamps)),
        lines=tuple(looked_at(stderr)),
        complete=was_complete(done.stderr),
        format_changes=_CHANGED in stderr,
    )


@dataclass(frozen=True, slots=True)
class Look:
    """What a frame says of itself that no header of the file repeats."""

    aspect: str = ""
    interlaced: bool = False
    color: str = ""


class Looks:
    """The different looks of a file's frames, read from the stderr of `showinfo`."""

    FILTER: Final = "showinfo=checksum=0"

    def __init__(self) -> None:
        self.seen: dict[Look, None] = {}
        self._next = Look()
        self._rest = b""

    def add(self, piece: bytes) -> None:
        """Read what was said next."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        self._rest = self._rest[-_LONGEST_LINE:]
        for line in lines:
            if found := _FRAME.search(line):
                self._next = Look(found[1].decode("ascii"), interlaced=found[2] != b"P")
            elif found := _COLOR.search(line):
                self.seen[replace(self._next, color=found[1].decode("ascii", "replace"))] = None


def without_name(stderr: str, path: str) -> str:
    """Take the file's name out of *stderr*: it may hold anything, lines of a log too."""
    return stderr.replace(os.fsencode(path).decode("utf-8", "backslashreplace"), "the file")


def looked_at(stderr: str) -> list[str]:
    """Give the lines of *stderr* that are worth a look: every warning or worse that is not known.

    A line without a level goes on with the one before it (a name may hold a newline), or comes
    from outside ffmpeg's own log and is looked at too.
    """
    worth, level = [], ""
    for line in stderr.splitlines():
        found = _LINE.match(line)
        level = found["level"] if found else level
        if level == "info" or not line.strip():
            continue
        if not any(harmless in line for harmless in _HARMLESS):
            worth.append(line.strip()[:300])
    return worth


def raise_what_is_no_damage(stderr: str) -> None:
    """Tell a disk that can't read, and a machine without memory, from a file that is damaged."""
    found = diagnose(stderr)
    if found.kind in (Kind.READ_ERROR, Kind.MEMORY):
        raise Retryable(str(found.kind), f"while verifying, {found.cause}", remedy=found.remedy)


class _Frames:
    """The frames of a framecrc listing, read as it comes."""

    def __init__(self) -> None:
        self.time_base = Fraction(0)
        self.timestamps: list[int] = []
        self._rest = b""

    def add(self, piece: bytes) -> None:
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            if line.startswith(b"#tb 0:"):
                self.time_base = Fraction(line.split(b":", 1)[1].strip().decode("ascii"))
            elif line and not line.startswith(b"#"):
                self.timestamps.append(int(line.split(b",", 3)[2]))
        if len(self.timestamps) > MOST_FRAMES:
            raise Refused("unverifiable", f"more than {MOST_FRAMES} frames can't be judged")
