"""How good does the copy look? VMAF on samples: some from begin to end, one at its worst place.

Promises that a low score is the copy's fault and not ours. Frames are paired by number: the same
frames of both files are cut out by their absolute timestamps (known of both, each cut half way
between two frames), numbered from zero, and a sample counts only if all of its frames came out of
both. Both sides pass through the same words, so a range or a layout is never converted on one side
alone. A sample's first frame is measured and not counted: VMAF knows no motion there.

The worst place is where the most bits lie between key frames: there the most moves. On recordings
of less than a minute, VMAF would cost more than everything else: it runs on a share of them.
"""

import json
import math
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Final

from watcher.clock import Clock
from watcher.errors import Refused, Retryable
from watcher.transcode.child import Leash, Limits
from watcher.transcode.colors import KEPT_FORMATS, NO_COLOR, color_range
from watcher.transcode.decode import input_words, thread_words
from watcher.transcode.ffmpeg import run
from watcher.transcode.media import MediaInfo, VideoInfo
from watcher.transcode.planes import Planes

_EARLIER_S: Final = 0.5  # a seek that lands behind the wanted frame would lose it
_VMAF_THREADS: Final = 2
_MOST_ROWS: Final = 16_000_000
_PLAIN_ROW: Final = 6  # framecrc marks a packet that is no key frame by a further field, F=
_FRAMES = re.compile(r"frame=\s*(\d+)")

# Colours are compared an eighth as large: there an encode's own noise is averaged out, and what
# was lost, or is another colour, stays. Ordinary encodes leave 0.3 to 4, of a signal of 8 to 60.
_SMALL: Final = r"scale=w=max(16\,iw/8):h=max(16\,ih/8):flags=area"
_GREY: Final = "lutyuv=u=(maxval+minval)/2:v=(maxval+minval)/2"
_COLOR_UNSEEN: Final = 1.2
_COLOR_SHARE: Final = 0.25
_COLOR_MOST: Final = 16.0
# And so is brightness: of it VMAF sees the detail alone, not the level. A range that was converted
# by mistake leaves 30 to 80 and a VMAF of 100; ordinary encodes above VMAF 60 leave 0.1 to 9.
_LIGHT_MOST: Final = 12.0


@dataclass(frozen=True, slots=True)
class QualitySettings:
    """How much is measured. *min_vmaf*: below it in any sample's harmonic mean, refused."""

    min_vmaf: float = 80.0
    frames: int = 31
    every: int = 3
    spread: int = 4
    short_s: float = 60.0
    short_spread: int = 1
    short_share: float = 0.1
    surprising_percent: float = 90.0
    max_threads: int | None = None
    stall_timeout_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One measured place: its first frame, how many, what VMAF says of those it looked at.

    *color_error*: by how much the colours are off, as the sum of both planes' mean squares, on the
    scale of 8 bits; *color_signal*: by how much those of the source are off grey. *light_error*:
    by how much the brightness is off, as its mean square.
    """

    frame: int
    frames: int
    worst_place: bool
    mean: float
    harmonic: float
    minimum: float
    color_error: float = 0.0
    color_signal: float = 0.0
    light_error: float = 0.0

    @property
    def keeps_light(self) -> bool:
        """Whether it is no brighter, darker or flatter than an ordinary encode has it."""
        return self.light_error <= _LIGHT_MOST

    @property
    def keeps_color(self) -> bool:
        """Whether its colours are off by no more than an ordinary encode has them."""
        bearable = max(_COLOR_UNSEEN, _COLOR_SHARE * self.color_signal)
        return self.color_error <= min(_COLOR_MOST, bearable)


@dataclass(frozen=True, slots=True)
class Quality:
    """What was measured. *harmonic* and *minimum* are those of the worst sample."""

    mean: float
    harmonic: float
    minimum: float
    samples: tuple[Sample, ...]

    @property
    def keeps_color(self) -> bool:
        """Whether no sample has lost its colours: VMAF looks at brightness alone."""
        return all(sample.keeps_color for sample in self.samples)

    @property
    def keeps_light(self) -> bool:
        """Whether no sample has another brightness: VMAF looks at its changes alone."""
        return all(sample.keeps_light for sample in self.samples)

    def to_json(self) -> dict[str, object]:
        """Give it as it is kept in the marker."""
        return asdict(self) | {"samples": [asdict(sample) for sample in self.samples]}


def is_measured(info: MediaInfo, settings: QualitySettings, savings_percent: float = 0.0) -> bool:
    """Say whether a recording is measured: long ones all, of short ones always the same share.

    And whatever saves so much that one has to ask what was thrown away (a night's faint detail).
    """
    surprising = savings_percent >= settings.surprising_percent
    if surprising or length_s(_video(info)) >= settings.short_s:
        return True
    key = f"{info.path}:{info.mtime_ns}".encode("utf-8", "surrogateescape")
    return zlib.crc32(key) < settings.short_share * (1 << 32)


def length_s(video: VideoInfo) -> float:
    """Give the time from the first frame to the last."""
    times = video.timestamps or (0,)
    return float((times[-1] - times[0]) * video.time_base)


def measure(
    source: str,
    copy: str,
    source_info: MediaInfo,
    copy_info: MediaInfo,
    *,
    ffmpeg: str,
    settings: QualitySettings,
    leash: Leash,
    limits: Limits | None = None,
    clock: Clock | None = None,
) -> Quality:
    """Measure *copy* against *source*, whose frames are known to be the same in number and time.

    Raises `Refused` (unverifiable) where frames can't be paired, `Retryable`, `Aborted`.
    """
    run = _Runner(ffmpeg, leash, settings, limits, clock)
    ours, theirs = _video(source_info), _video(copy_info)
    count = len(ours.timestamps or ())
    weights = run.weights(source, source_info.container)
    places = sample_places(count, weights, settings.frames, _spread(ours, settings))
    samples = []
    for frame, is_worst in places:
        length = min(settings.frames, count - frame)
        sides = [
            _Side(
                path,
                info.container,
                _cut(video, frame, length),
                video.time_base,
                color_is_full=color_range(video) == "pc",
            )
            for path, info, video in ((copy, copy_info, theirs), (source, source_info, ours))
        ]
        scores, planes = run.vmaf(sides, length)
        samples.append(_sample(frame, length, scores, planes, is_worst=is_worst))
    return summary(samples)


def _spread(video: VideoInfo, settings: QualitySettings) -> int:
    return settings.spread if length_s(video) >= settings.short_s else settings.short_spread


def summary(samples: Sequence[Sample]) -> Quality:
    """Put samples together: the mean of all, the worst harmonic mean, the worst frame."""
    return Quality(
        mean=round(sum(s.mean for s in samples) / len(samples), 3),
        harmonic=min(s.harmonic for s in samples),
        minimum=min(s.minimum for s in samples),
        samples=tuple(samples),
    )


def harmonic_mean(scores: Sequence[float]) -> float:
    """Give VMAF's own harmonic mean, which bears a score of zero."""
    return len(scores) / sum(1 / (score + 1) for score in scores) - 1


def sample_places(
    count: int, weights: Sequence[int], length: int, spread: int
) -> list[tuple[int, bool]]:
    """Choose where to look: (first frame, is it the worst place), in order of the file.

    *weights*: bytes of each frame, 0 for key frames; `()` where unknown.
    """
    length = min(length, count)
    last = count - length
    worst = _heaviest(weights, length) if len(weights) == count else last // 2
    # from the first frames to the last: encoders begin and end badly, and the middle says nothing
    places = {last * i // (spread - 1) if spread > 1 else last // 2: False for i in range(spread)}
    if last < length * (spread + 1):  # the whole file is hardly longer than the samples
        places = {}
    return sorted((places | {worst: True}).items())


def _heaviest(weights: Sequence[int], length: int) -> int:
    """Give where the sum over *length* frames is largest."""
    total = best = sum(weights[:length])
    at = 0
    for start in range(1, len(weights) - length + 1):
        total += weights[start + length - 1] - weights[start - 1]
        if total > best:
            best, at = total, start
    return at


def _sample(
    frame: int,
    length: int,
    scores: dict[int, float],
    planes: Planes,
    *,
    is_worst: bool,
) -> Sample:
    counted = [score for number, score in scores.items() if number or len(scores) == 1]
    return Sample(
        frame=frame,
        frames=length,
        worst_place=is_worst,
        mean=round(sum(counted) / len(counted), 3),
        harmonic=round(harmonic_mean(counted), 3),
        minimum=round(min(counted), 3),
        color_error=round(planes.color_error, 3),
        color_signal=round(planes.color_signal, 3),
        light_error=round(planes.light_error, 3),
    )


# ---- pairing -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the two inputs: a file, and from when to when its frames are taken."""

    path: str
    container: str
    cut: tuple[int, int, int]  # first timestamp of the file; the first taken; the first left
    base: Fraction
    color_is_full: bool


def _video(info: MediaInfo) -> VideoInfo:
    if info.video is None or not info.video.timestamps:
        raise Refused("unverifiable", "its frames carry no times by which they could be paired")
    return info.video


def _cut(video: VideoInfo, frame: int, length: int) -> tuple[int, int, int]:
    """Give the file's first time, and a begin and an end half way between two frames each.

    In ticks: frames may be a single one apart, which seconds would round away.
    """
    times, second, behind = video.timestamps or (), math.ceil(1 / video.time_base), frame + length
    begin = (times[frame - 1] + times[frame] + 1) // 2 if frame else times[0] - second
    if behind < len(times):
        return times[0], begin, (times[behind - 1] + times[behind] + 1) // 2
    return times[0], begin, times[-1] + second


def _side_words(side: _Side, max_threads: int | None) -> list[str]:
    first, begin, _ = side.cut
    seek = begin * side.base - Fraction(_EARLIER_S)
    words = ["-noautorotate"]
    if seek > first * side.base:
        words += ["-noaccurate_seek", "-seek_timestamp", "1", "-ss", f"{float(seek):.6f}"]
    return [*words, *thread_words(max_threads), *input_words(side.path, side.container)]


def vmaf_words(sides: Sequence[_Side], max_threads: int | None, every: int) -> list[str]:
    """Give ffmpeg's words for one sample: the copy first, then the source it is held against."""
    words = ["-hide_banner", "-nostdin", "-v", "repeat+level+info", "-stats_period", "3600"]
    words += ["-copyts", *(word for side in sides for word in _side_words(side, max_threads))]
    graph = []
    for number, side in enumerate(sides):
        _, begin, end = side.cut
        kind = "full" if side.color_is_full else "limited"
        graph.append(
            f"[{number}:v:0]settb={side.base},trim=start_pts={begin}:end_pts={end},{NO_COLOR},"
            f"scale=in_range={kind}:out_range={kind},format={KEPT_FORMATS},"
            f"settb=1/1000,setpts=N*40[s{number}]"
        )
    vmaf = f"libvmaf=shortest=1:n_threads={max_threads or _VMAF_THREADS}:n_subsample={every}"
    graph += ["[s0]split[v0][t0]", "[s1]split[v1][t1]"]
    graph.append(f"[v0][v1]{vmaf}:log_fmt=json:log_path=/dev/stdout[o0]")
    graph += [f"[t0]{_SMALL}[c0]", f"[t1]{_SMALL},split=3[c1][c2][c3]", f"[c3]{_GREY}[g]"]
    graph += ["[c0][c1]psnr@error=shortest=1[o1]", "[g][c2]psnr@signal=shortest=1[o2]"]
    words += ["-filter_complex", ";".join(graph)]
    for output in ("[o0]", "[o1]", "[o2]"):
        words += ["-map", output, "-fps_mode", "passthrough", "-f", "null", "-"]
    return words


# ---- running -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Runner:
    """Runs ffmpeg for one measurement."""

    ffmpeg: str
    leash: Leash
    settings: QualitySettings
    limits: Limits | None
    clock: Clock | None

    def weights(self, path: str, container: str) -> list[int]:
        """Give the bytes of each frame but key frames, in the order of presentation."""
        words = ["-hide_banner", "-nostdin", "-nostats", "-v", "error", "-copyts"]
        words += [*input_words(path, container), "-map", "0:v:0", "-c", "copy"]
        rows = _Rows()
        self._run([*words, "-f", "framecrc", "pipe:1"], rows.add)
        return [weight for _, weight in sorted(rows.weights)]

    def vmaf(self, sides: Sequence[_Side], length: int) -> tuple[dict[int, float], Planes]:
        """Give VMAF by number of frame within the sample, and what its planes are off by."""
        words = vmaf_words(sides, self.settings.max_threads, self.settings.every)
        said: list[bytes] = []
        stderr = self._run(words, said.append)
        try:
            frames = json.loads(b"".join(said))["frames"]
            scores = {int(f["frameNum"]): float(f["metrics"]["vmaf"]) for f in frames}
            planes = Planes.told(stderr)
        except (ValueError, KeyError, TypeError) as error:
            detail = stderr.strip()[-300:]
            raise Retryable("vmaf_failed", f"VMAF gave no answer: {detail}") from error
        paired = _FRAMES.findall(stderr)
        if not scores or not paired or int(paired[-1]) != length:
            detail = f"{paired[-1] if paired else 'no'} of a sample's {length} frames"
            raise Refused("unverifiable", f"only {detail} could be paired for VMAF")
        return scores, planes

    def _run(self, words: Sequence[str], take: Callable[[bytes], None]) -> str:
        done = run(
            [self.ffmpeg, *words],
            self.leash,
            on_output=take,
            stall_timeout_s=self.settings.stall_timeout_s,
            limits=self.limits,
            clock=self.clock,
        )
        return done.stderr


class _Rows:
    """A framecrc listing of packets as (time, bytes), key frames with no bytes."""

    def __init__(self) -> None:
        self.weights: list[tuple[int, int]] = []
        self._rest = b""

    def add(self, piece: bytes) -> None:
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            row = line.split(b",")
            if not line.startswith(b"#") and len(row) >= _PLAIN_ROW:
                plain = int(row[4]) if any(field.startswith(b" F=") for field in row[6:]) else 0
                self.weights.append((int(row[2]), plain))
        if len(self.weights) > _MOST_ROWS:
            raise Refused("unverifiable", f"more than {_MOST_ROWS} frames can't be judged")
