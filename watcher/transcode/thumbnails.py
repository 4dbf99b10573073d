"""Is each frame of the copy the frame it was? All of them, side by side, seen from afar.

VMAF measures samples, and decoding finds what is no stream. Between the two a driver may leave a
grey, torn or green frame that decodes without a word. So both files are decoded side by side, each
frame as small as a thumbnail, where an encode's own loss is averaged out: there a spoilt frame is
off by hundreds, an ordinary one by 0.5 to 5, and by 60 at most where all of the copy is poor. Where
neither decoder has anything to say, that is the proof of both files' decoding, too; where one has,
`decode` looks at each by itself.
"""

import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from watcher.clock import Clock
from watcher.transcode.colors import KEPT_FORMATS, NO_COLOR, color_range
from watcher.transcode.decode import (
    input_words,
    looked_at,
    raise_what_is_no_damage,
    thread_words,
    was_complete,
    without_name,
)
from watcher.transcode.ffmpeg import run
from watcher.transcode.leash import Leash
from watcher.transcode.media import VideoInfo

_SIDE: Final = 64  # of a thumbnail, in pixels
_ROW = re.compile(rb"^n:\d+ .*\bmse_y:(\S+) mse_u:(\S+) mse_v:(\S+)")
_LEAST: Final = 60.0  # mean square on the scale of 8 bits: below it nothing looks spoilt
_TIMES: Final = 12.0  # as far off as half of the frames are


@dataclass(frozen=True, slots=True)
class Spoilt:
    """A frame that is another picture: by how much its light and its colours are off."""

    frame: int
    light_error: float
    color_error: float


@dataclass(frozen=True, slots=True)
class File:
    """One of the two: where it is, and what is known of it."""

    path: str
    container: str
    video: VideoInfo


@dataclass(frozen=True, slots=True)
class Paired:
    """What a look at both files side by side gave.

    *clean*: all frames came out in pairs, and neither decoder had anything to say.
    """

    clean: bool
    pairs: int
    spoilt: Spoilt | None


def side_by_side(
    source: File,
    copy: File,
    *,
    ffmpeg: str,
    leash: Leash,
    max_threads: int | None = None,
    stall_timeout_s: float = 120.0,
    clock: Clock | None = None,
) -> Paired:
    """Decode both, the copy's sound too, and compare their frames, paired by number.

    Raises `Retryable` (stalled, and where the disk or memory fails) and `Aborted`.
    """
    rows = _Rows()
    done = run(
        [ffmpeg, *side_by_side_words(copy, source, max_threads)],
        leash,
        on_output=rows.add,
        stall_timeout_s=stall_timeout_s,
        clock=clock,
    )
    raise_what_is_no_damage(done.stderr)
    stderr = without_name(without_name(done.stderr, source.path), copy.path)
    quiet = not looked_at(stderr) and was_complete(done.stderr)
    pairs = len(rows.light)
    as_many = pairs == len(source.video.timestamps or ())
    depth = 4.0 ** ((source.video.bit_depth or 8) - 8)
    light, color = (array("f", (one / depth for one in each)) for each in (rows.light, rows.color))
    spoilt = judge(light, color)
    return Paired(quiet and as_many and not done.exit_code, pairs, spoilt if as_many else None)


def judge(light: Sequence[float], color: Sequence[float]) -> Spoilt | None:
    """Give the first frame that is off by far more than the others are: both on 8 bits' scale."""
    limits = [max(_LEAST, _TIMES * median(errors or (0.0,))) for errors in (light, color)]
    for frame, both in enumerate(zip(light, color, strict=True)):
        if both[0] > limits[0] or both[1] > limits[1]:
            return Spoilt(frame, round(both[0], 1), round(both[1], 1))
    return None


def side_by_side_words(copy: File, source: File, max_threads: int | None) -> list[str]:
    """Give ffmpeg's words for it: a line on stdout for each pair of frames."""
    words = ["-hide_banner", "-nostdin", "-nostats", "-v", "repeat+level+info", "-copyts"]
    graph = []
    for number, one in enumerate((copy, source)):
        words += ["-noautorotate", *thread_words(max_threads)]
        words += input_words(one.path, one.container)
        kind = "full" if color_range(one.video) == "pc" else "limited"
        graph.append(
            f"[{number}:v:0]{NO_COLOR},scale=w={_SIDE}:h={_SIDE}:flags=area"
            f":in_range={kind}:out_range={kind},format={KEPT_FORMATS}"
            f",settb=1/1000,setpts=N*40[s{number}]"
        )
    graph.append("[s0][s1]psnr=stats_file=-:shortest=1[o]")
    words += ["-filter_complex", ";".join(graph), "-map", "[o]", "-c:v", "wrapped_avframe"]
    words += ["-enc_time_base", "filter", "-fps_mode", "passthrough", "-f", "null", "-"]
    return [*words, "-map", "0:a?", "-f", "null", "-"]


class _Rows:
    """The lines of psnr's stats, read as they come."""

    def __init__(self) -> None:
        self.light = array("f")  # a day has millions
        self.color = array("f")
        self._rest = b""

    def add(self, piece: bytes) -> None:
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            if found := _ROW.match(line):
                light, *color = map(float, found.groups())
                self.light.append(light)
                self.color.append(sum(color))
