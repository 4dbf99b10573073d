"""The demo's box: cameras' recordings of several days, and a recorder that is at work right now.

Everything is made by the bundled ffmpeg: noisy moving pictures with sound, as H.264 in MP4, under
the mtimes of past days; one of them damaged, one HEVC already, some too young. The live recorder is
a real one (ffmpeg's segment muxer at real speed), started like anybody's recorder: at ordinary
priority, knowing nothing of Watcher. What it wrote is judged by the frames in its segments.
"""

import contextlib
import os
import subprocess
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Final

import av

from watcher.clock import Clock, utc
from watcher.errors import WatcherError
from watcher.transcode.ffmpeg import bundled

DAY_S: Final = 86_400.0
LIVE: Final = "live"
LIVE_SEGMENT_S: Final = 4
LIVE_FPS: Final = 15
_SIZE = "640x360"
_MAKERS = 2
_STOP_S = 20.0
_DAMAGE_BYTES = 20_000


@dataclass(frozen=True, slots=True)
class Plan:
    """One recording to be made: whose, how old, and what is special about it."""

    camera: str
    age_days: float
    picture: str
    seed: int
    special: str = ""  # "damaged", "hevc"
    fps: int = 15
    length_s: int = 8

    def path(self, top: str, now_s: float) -> str:
        """Say where it stands: by day and time, as recorders do."""
        began = utc(now_s - self.age_days * DAY_S)
        return os.path.join(top, self.camera, f"{began:%Y-%m-%d}", f"{began:%H-%M-%S}.mp4")


@dataclass(frozen=True, slots=True)
class Recording:
    """One that was made."""

    path: str
    size_bytes: int
    plan: Plan


_GATE = (
    f"testsrc2=s={_SIZE}:r={{fps}},trim=start={{seed}},setpts=PTS-STARTPTS,"
    "noise=alls=3:allf=t:all_seed={seed}"
)
_YARD = (
    f"mandelbrot=s={_SIZE}:r={{fps}}:maxiter=200:start_scale=1.{{seed}}:end_scale=0.2,"
    "noise=alls=4:allf=t:all_seed={seed}"
)

PLANS: Final = (
    # Over a minute long: of shorter ones VMAF, which costs most, is measured of a share alone.
    Plan("gate", 10.2, _GATE, 1, fps=4, length_s=61),
    Plan("gate", 9.4, _GATE, 2),
    Plan("gate", 8.1, _GATE, 3),
    Plan("gate", 2.3, _GATE, 4),
    Plan("yard", 10.1, _YARD, 5),
    Plan("yard", 9.3, _YARD, 6, "damaged"),
    Plan("yard", 8.6, _YARD, 7, "hevc"),
    Plan("yard", 8.2, _YARD, 8),
    Plan("yard", 1.2, _YARD, 9),
)
"""Two cameras, ten days: most are of age, one of each camera is too young."""


def make_recordings(
    top: str,
    now_s: float,
    *,
    plans: Sequence[Plan] = PLANS,
    done: Callable[[Recording], None] = lambda _made: None,
) -> list[Recording]:
    """Make every one of *plans* below *top*, two at a time; *done* hears of each."""

    def make(plan: Plan) -> Recording:
        made = _make(plan, top, now_s)
        done(made)
        return made

    with ThreadPoolExecutor(_MAKERS) as makers:
        return list(makers.map(make, plans))


def _make(plan: Plan, top: str, now_s: float) -> Recording:
    path = plan.path(top, now_s)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    encoder = ["libx264", "-preset", "ultrafast", "-crf", "21"]
    if plan.special == "hevc":
        encoder = ["libx265", "-preset", "ultrafast", "-crf", "28", "-tag:v", "hvc1",
                   "-x265-params", "log-level=error"]  # fmt: skip
    argv = [
        *[ffmpeg(), "-hide_banner", "-nostdin", "-loglevel", "error", "-y"],
        *["-f", "lavfi", "-i", plan.picture.format(seed=plan.seed, fps=plan.fps)],
        *["-f", "lavfi", "-i", f"anoisesrc=a=0.02:r=16000:seed={plan.seed}"],
        *[
            "-t",
            str(plan.length_s),
            "-pix_fmt",
            "yuv420p",
            "-c:v",
            *encoder,
            "-g",
            str(2 * plan.fps),
        ],
        *["-c:a", "aac", "-b:a", "32k", "-movflags", "+faststart", "-f", "mp4", f"file:{path}"],
    ]
    done = subprocess.run(argv, capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()[-300:]
        raise WatcherError("demo", f"a recording could not be made: {said}")
    if plan.special == "damaged":
        _damage(path)
    mtime_s = now_s - plan.age_days * DAY_S + plan.length_s
    os.utime(path, (mtime_s, mtime_s))
    return Recording(path, os.path.getsize(path), plan)


def _damage(path: str) -> None:
    """Overwrite a stretch of the media with zeros, as a failing disk does."""
    with open(path, "r+b") as file:
        file.seek(os.path.getsize(path) * 2 // 3)
        file.write(bytes(_DAMAGE_BYTES))


def ffmpeg() -> str:
    """Name the bundled ffmpeg, which has all that is needed here."""
    found = bundled()
    if found is None:
        raise WatcherError("demo", "the bundled ffmpeg is missing: reinstall imageio-ffmpeg")
    return found


# --- the live recorder ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Live:
    """What the recorder says of itself, and what its segments say."""

    frames_sent: int
    duplicated: int
    dropped: int
    worst_lag_s: float
    segments: int
    frames_found: int
    uneven: int
    """Frames that do not follow the one before by exactly one frame's time."""

    @property
    def whole(self) -> bool:
        """True where every frame that went in stands in a segment, at its own time."""
        wrong = (self.duplicated, self.dropped, self.uneven)
        return self.frames_sent > 0 and self.frames_found == self.frames_sent and not any(wrong)


class LiveRecorder:
    """ffmpeg as a recorder: pictures at real speed into segments of a few seconds.

    Its `-progress` is followed by a thread: how far it is behind the clock shows whether it was
    ever kept waiting.
    """

    def __init__(self, directory: str, clock: Clock) -> None:
        self.directory = directory
        self._clock = clock
        self._last: dict[str, str] = {}
        self._lags: list[float] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None

    def start(self) -> None:
        """Begin to record."""
        os.makedirs(self.directory, exist_ok=True)
        pattern = os.path.join(self.directory, "%Y-%m-%d_%H-%M-%S.mp4")
        source = f"testsrc2=s={_SIZE}:r={LIVE_FPS},noise=alls=8:allf=t,format=yuv420p"
        argv = [
            *[ffmpeg(), "-hide_banner", "-loglevel", "error", "-y", "-progress", "pipe:1"],
            *["-stats_period", "0.25", "-re", "-f", "lavfi", "-i", source],
            *["-re", "-f", "lavfi", "-i", "sine=f=440:r=16000"],
            *["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-crf", "26"],
            *["-g", str(LIVE_FPS), "-fps_mode", "passthrough", "-c:a", "aac", "-b:a", "32k"],
            *["-f", "segment", "-segment_time", str(LIVE_SEGMENT_S), "-strftime", "1"],
            *["-reset_timestamps", "1", "-segment_format", "mp4", f"file:{pattern}"],
        ]
        self._process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._reader = threading.Thread(target=self._follow, name="demo-live", daemon=True)
        self._reader.start()

    @property
    def running(self) -> bool:
        """True while it records."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End it as recorders are ended: the last segment is closed properly."""
        process, reader = self._process, self._reader
        if process is None or reader is None:
            return
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.write(b"q")
                process.stdin.close()
        reader.join(_STOP_S)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_S)
        process.kill()
        process.wait()

    def verdict(self) -> Live:
        """Compare what it said with what its segments hold; after `stop`."""
        paths = sorted(str(path) for path in Path(self.directory).glob("*.mp4"))
        times = [frame_times(path) for path in paths]
        return Live(
            frames_sent=self._said("frame"),
            duplicated=self._said("dup_frames"),
            dropped=self._said("drop_frames"),
            worst_lag_s=max(self._lags, default=0.0),
            segments=len(paths),
            frames_found=sum(map(len, times)),
            uneven=sum(uneven_frames(each, LIVE_FPS) for each in times),
        )

    def _said(self, key: str) -> int:
        value = self._last.get(key, "0")
        return int(value) if value.isdecimal() else 0

    def _follow(self) -> None:
        """Keep what it last said, and how late it was each time."""
        if self._process is None or self._process.stdout is None:
            return
        began: tuple[float, int] | None = None
        with self._process.stdout as lines:
            for line in lines:
                key, _, value = line.decode("ascii", "replace").strip().partition("=")
                self._last[key] = value
                if key == "progress" and value == "continue" and self._said("frame"):
                    now_s, frames = self._clock.monotonic_s(), self._said("frame")
                    began = began or (now_s, frames)
                    self._lags.append((now_s - began[0]) - (frames - began[1]) / LIVE_FPS)


def frame_times(path: str) -> list[Fraction]:
    """Give the presentation time of each frame of *path*, in order; empty if it can't be read."""
    try:
        with av.open(path) as container:
            stream = container.streams.video[0]
            base = stream.time_base or Fraction(1)
            packets = container.demux(stream)
            return sorted(packet.pts * base for packet in packets if packet.pts is not None)
    except (av.FFmpegError, IndexError):
        return []


def uneven_frames(times: Sequence[Fraction], fps: int) -> int:
    """Count the frames that do not follow the one before by exactly one frame's time."""
    return sum(later - earlier != Fraction(1, fps) for earlier, later in pairwise(times))
