"""Decode a file with ffmpeg, keep no picture, and tell what was seen.

Responsible for one pass over one file: which frames came out and when each is presented, and every
line that ffmpeg had to say. Promises to look at every line of warning or worse (exit 0 proves
nothing), to hold no more than a bounded part of either pipe, and to end: a decoder that says
nothing for a while is killed. Leaves to `verify` what the lines mean for the file.
"""

import os
import re
import select
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from watcher.clock import Clock, SystemClock
from watcher.errors import Aborted, Refused, Retryable
from watcher.transcode.child import Child, Leash, Limits, spawn

DEMUXERS: Final = {"mp4": "mov", "mov": "mov", "matroska": "matroska", "mpegts": "mpegts"}
"""The demuxer that reads each container: named, so that no file chooses another one."""

MOST_FRAMES: Final = 16_000_000
_SLICE_MS: Final = 250
_PIECE: Final = 1 << 16
_LINE = re.compile(
    r"^(?P<who>(?:\[[^\]]*\] )*)\[(?P<level>info|warning|error|fatal|panic)\] ?(.*)$"
)
_CHANGED = "Reconfiguring filter graph"
_LEFT_OUT = "bytes left out"

_HARMLESS = (
    "Guessed Channel Layout",  # G.711 does not say mono; every player guesses the same
    "deprecated pixel format used",  # a full-range JPEG-style name; the range is compared
)


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
) -> list[str]:
    """Give ffmpeg's words for one pass: frames' times to stdout, sound decoded to nowhere.

    `wrapped_avframe` costs nothing: the frame itself is not touched, only its time written.
    """
    words = ["-hide_banner", "-nostdin", "-nostats", "-v", "repeat+level+info"]
    words += ["-xerror"] if strict else []
    words += ["-copyts", "-noautorotate", *before, *input_words(path, container)]
    words += ["-map", "0:v:0", "-c:v", "wrapped_avframe", "-fps_mode", "passthrough"]
    words += ["-enc_time_base", "demux", "-flush_packets", "1", "-f", "framecrc", "pipe:1"]
    return words + (["-map", "0:a?", "-f", "null", "-"] if audio else [])


def decode(
    ffmpeg: str,
    words: Sequence[str],
    leash: Leash,
    *,
    stall_timeout_s: float = 120.0,
    limits: Limits | None = None,
    clock: Clock | None = None,
) -> Decoded:
    """Run one pass. Raises `Aborted`, and `Retryable` where ffmpeg stalls."""
    clock = clock or SystemClock()
    leash.check()
    frames = _Frames()
    with spawn([ffmpeg, *words], leash=leash, stdout=True, limits=limits, clock=clock) as child:
        for piece in pieces(child, leash, stall_timeout_s, clock):
            frames.add(piece)
        exit_code = child.wait()
        stderr = child.stderr_tail()
    if leash.aborted_reason is not None:
        raise Aborted(leash.aborted_reason, "told to stop while verifying")
    lines = looked_at(stderr)
    return Decoded(
        exit_code=-1 if exit_code is None else exit_code,
        time_base=frames.time_base,
        timestamps=tuple(sorted(frames.timestamps)),
        lines=tuple(lines),
        complete=_LEFT_OUT not in stderr,
        format_changes=_CHANGED in stderr,
    )


def pieces(child: Child, leash: Leash, stall_timeout_s: float, clock: Clock) -> Iterator[bytes]:
    """Give what *child* writes to stdout, piece by piece, until it ends, stalls or is aborted."""
    if child.stdout is None:
        return
    poll = select.poll()
    poll.register(child.stdout.fileno(), select.POLLIN | select.POLLHUP)
    since_s, paused_s = clock.monotonic_s(), leash.paused_s()
    while True:
        if poll.poll(_SLICE_MS):
            piece = os.read(child.stdout.fileno(), _PIECE)
            if not piece:
                return
            since_s, paused_s = clock.monotonic_s(), leash.paused_s()
            yield piece
        elif clock.monotonic_s() - since_s - (leash.paused_s() - paused_s) > stall_timeout_s:
            child.kill()
            raise Retryable(
                "stalled", f"verification said nothing for {stall_timeout_s:g} s and was ended"
            )


def looked_at(stderr: str) -> list[str]:
    """Give the lines of *stderr* that are worth a look: every warning or worse that is not known.

    A line without a level is looked at too: it comes from outside ffmpeg's own log.
    """
    worth = []
    for line in stderr.splitlines():
        found = _LINE.match(line)
        if found and found["level"] == "info":
            continue
        if line.strip() and not any(harmless in line for harmless in _HARMLESS):
            worth.append(line.strip()[:300])
    return worth


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
