"""Which encoder works on this machine: each one encodes a real second before it is believed.

A sample with a camera's noise is made once, encoded by the very words that a recording would be
encoded by, decoded again and compared. What fails, or hangs, is told with its cause and remedy, and
the next one is tried. What is chosen is remembered until somebody says `forget`, or the ffmpeg or
the settings change.
"""

import contextlib
import functools
import itertools
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Final

from watcher.clock import Clock
from watcher.errors import Halt, Retryable
from watcher.transcode.command import Job, argv
from watcher.transcode.decode import thread_words
from watcher.transcode.diagnosis import DeviceLook, Diagnosis, Kind, before, diagnose
from watcher.transcode.encode import ENVIRONMENT
from watcher.transcode.encoders import Rung, Settings, ladder
from watcher.transcode.ffmpeg import Ffmpeg, Finished, bundled, look_at_device, run
from watcher.transcode.leash import Leash
from watcher.transcode.media import MediaInfo, PacketFacts, StreamInfo, VideoInfo

SLOWEST_SOFTWARE: Final = 0.5
"""`auto` takes a software encoder only where it reaches this share of real time."""

_WIDTH, _HEIGHT, _FRAMES = 1280, 720, 25
_LEAST_PSNR_DB = 25.0
_TIMEOUT_S = 60.0
_AVERAGE = re.compile(r"PSNR [^\n]*average:(inf|[0-9.]+)")
_RATE_CONTROL = re.compile(r"(?:RateControlMethod|RC mode)\s*:\s*([A-Za-z0-9_]+)")

_Run = Callable[..., Finished]  # `ffmpeg.run` with a trial's leash, clock and patience


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of trying one rung."""

    ffmpeg: str
    rung: Rung
    speed: float | None = None
    rate_control: str | None = None
    psnr_db: float | None = None
    problem: Diagnosis | None = None
    stderr: str = ""

    @property
    def works(self) -> bool:
        """True where it encoded a real second that decodes to what it was made from."""
        return self.problem is None


@dataclass(frozen=True, slots=True)
class Choice:
    """The encoder that is used, and what was tried before it."""

    ffmpeg: Ffmpeg
    rung: Rung
    trial: Trial
    failed: tuple[Trial, ...] = ()


class Chooser:
    """Chooses by trying, and remembers."""

    def __init__(
        self,
        *,
        look: Callable[[], DeviceLook] = look_at_device,
        clock: Clock | None = None,
    ) -> None:
        self._look = look
        self._clock = clock
        self._remembered: dict[object, Choice] = {}

    def choose(
        self,
        ffmpegs: Sequence[Ffmpeg],
        codec: str,
        settings: Settings,
        *,
        qsv_mode: str = "fast",
        leash: Leash | None = None,
    ) -> Choice:
        """Give the first rung of *codec* that works; raise `Halt` (encoder_unavailable) if none.

        The look at the device is taken anew each time: a GPU that went away is not remembered.
        """
        device = self._look()
        key = (tuple(ffmpegs), codec, qsv_mode, settings, device)
        if key not in self._remembered:
            rungs = ladder(codec, qsv_mode, settings.preset)
            choice: Choice | None = None
            failed: list[Trial] = []
            for rung, ffmpeg in itertools.product(rungs, ffmpegs):
                if rung.encoder not in ffmpeg.encoders:
                    continue
                trial = try_encoder(ffmpeg, rung, settings, device, leash, clock=self._clock)
                if trial.works and not _too_slow(codec, trial):
                    choice = Choice(ffmpeg, trial.rung, trial, tuple(failed))
                    break
                failed.append(_slow(trial) if trial.works else trial)
            if choice is None:
                raise unavailable(codec, failed)
            self._remembered[key] = choice
        return self._remembered[key]

    def forget(self) -> None:
        """Try anew at the next choice."""
        self._remembered.clear()


def try_encoder(
    ffmpeg: Ffmpeg,
    rung: Rung,
    settings: Settings,
    device: DeviceLook,
    leash: Leash | None = None,
    *,
    clock: Clock | None = None,
) -> Trial:
    """Encode a real second by *rung*, decode it, compare it; one that hangs does not work."""
    if device.path:
        rung = replace(rung, device=device.path, driver=device.driver)
    trial = Trial(ffmpeg.path, rung)
    needs_node = rung.hardware in ("qsv", "vaapi")
    if needs_node and (problem := before(device)) is not None:
        return replace(trial, problem=problem)
    try:
        return _tried(
            trial,
            ffmpeg,
            settings,
            device if needs_node else None,
            functools.partial(run, leash=leash, stall_timeout_s=_TIMEOUT_S, clock=clock),
        )
    except Retryable as hung:
        said = str(hung.figures.get("stderr_tail", ""))
        return replace(trial, problem=_hung(hung, trial.rung), stderr=said)


def _tried(
    trial: Trial, ffmpeg: Ffmpeg, settings: Settings, device: DeviceLook | None, run: _Run
) -> Trial:
    rung = trial.rung
    with _workspace() as directory, _sample(settings.max_threads, run) as sample:
        output = os.path.join(directory, "second.mp4")
        job = Job(_sample_info(sample), sample, output, settings)
        done = run(_telling_more(argv(ffmpeg.path, rung, job)), env=ENVIRONMENT)
        trial = replace(trial, stderr=done.stderr, rate_control=_rate_control(done.stderr))
        if not done.ok:
            return replace(trial, problem=diagnose(done.stderr, device))
        frames = done.progress.frame if done.progress else None
        psnr = _compare(ffmpeg, sample, output, settings.max_threads, run)
        if frames != _FRAMES or psnr is None or psnr < _LEAST_PSNR_DB:
            return replace(trial, psnr_db=psnr, problem=_garbage(frames, psnr))
    wall_s = max(done.wall_s - done.paused_s, 1e-3)
    # on a busy box an idle-class child waits for others: its own CPU time tells what it could do
    alone_s = done.cpu_s / (settings.max_threads or os.cpu_count() or 1)
    took_s = wall_s if rung.hardware else min(wall_s, max(alone_s, 1e-3))
    return replace(trial, psnr_db=psnr, speed=1.0 / took_s)


def unavailable(codec: str, failed: Sequence[Trial]) -> Halt:
    """Say why no encoder works, by the most telling of the failures, and what would help."""
    problems = [trial.problem for trial in failed if trial.problem is not None]
    telling = next((p for p in problems if p.remedy), problems[0] if problems else None)
    if telling is None:
        return Halt(
            "encoder_unavailable",
            f"no ffmpeg here has {codec}",
            remedy="install jellyfin-ffmpeg7, or remove `ffmpeg` to use the bundled one",
        )
    return Halt(
        "encoder_unavailable",
        f"{codec} does not work here: {telling.cause}",
        remedy=telling.remedy,
        tried=", ".join(trial.rung.label for trial in failed),
    )


def _too_slow(codec: str, trial: Trial) -> bool:
    software = trial.rung.hardware is None
    return codec == "auto" and software and (trial.speed or 0) < SLOWEST_SOFTWARE


def _slow(trial: Trial) -> Trial:
    cause = f"{trial.rung.label} reaches {trial.speed or 0:.2f} of real time on this machine"
    remedy = "name the codec to use it all the same, or choose a faster preset"
    return replace(trial, problem=Diagnosis(Kind.UNKNOWN, cause, remedy))


def _garbage(frames: int | None, psnr: float | None) -> Diagnosis:
    found = f"{frames} of {_FRAMES} frames, PSNR {'unknown' if psnr is None else f'{psnr:.1f} dB'}"
    return Diagnosis(
        Kind.UNKNOWN,
        f"it ended well, but what it wrote is not what it was given ({found})",
        "a newer driver and kernel",
    )


def _hung(why: Retryable, rung: Rung) -> Diagnosis:
    remedy = "newer kernel, firmware and driver" if rung.hardware else "another ffmpeg"
    cause = f"it was given up: {why.message}"
    return Diagnosis(Kind.HANG, cause, f"look at the kernel log; {remedy}")


def _compare(
    ffmpeg: Ffmpeg, sample: str, output: str, max_threads: int | None, run: _Run
) -> float | None:
    threads = thread_words(max_threads)
    done = run(
        [
            *[ffmpeg.path, "-hide_banner", "-nostdin", "-loglevel", "info", "-xerror"],
            *[*threads, "-i", f"file:{output}", *threads, "-i", f"file:{sample}"],
            *["-lavfi", "[0:v]format=yuv420p[a];[1:v]format=yuv420p[b];[a][b]psnr"],
            *["-f", "null", "-"],
        ],
    )
    found = _AVERAGE.search(done.stderr)
    return float(found[1]) if done.ok and found else None


def _telling_more(command: list[str]) -> list[str]:
    """Have the encoder say which rate control it took."""
    at = command.index("-loglevel") + 1
    return [*command[:at], "repeat+level+verbose", *command[at + 1 :]]


def _rate_control(stderr: str) -> str | None:
    found = _RATE_CONTROL.search(stderr)
    return found[1] if found else None


@contextlib.contextmanager
def _workspace() -> Iterator[str]:
    made = tempfile.mkdtemp(prefix="watcher-trial-")
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextlib.contextmanager
def _sample(max_threads: int | None, run: _Run) -> Iterator[str]:
    """Give a second of H.264 as a camera would record it."""
    with _workspace() as directory:
        path = os.path.join(directory, "sample.mp4")
        Path(path).write_bytes(_sample_bytes(directory, max_threads, run))
        yield path


_the_sample: dict[str, bytes] = {}


def _sample_bytes(directory: str, max_threads: int | None, run: _Run) -> bytes:
    if "h264" not in _the_sample:
        path = os.path.join(directory, "made.mp4")
        maker = bundled() or shutil.which("ffmpeg") or "ffmpeg"
        source = f"testsrc2=s={_WIDTH}x{_HEIGHT}:r={_FRAMES}:d=1,noise=alls=6:allf=t,format=yuv420p"
        words = ["-f", "lavfi", "-i", source, "-c:v", "libx264", "-preset", "ultrafast"]
        words += [
            "-profile:v",
            "main",
            "-crf",
            "20",
            "-g",
            str(_FRAMES),
            *thread_words(max_threads),
        ]
        done = run([maker, "-hide_banner", "-nostdin", "-y", *words, f"file:{path}"])
        if not done.ok:
            raise Halt("encoder_unavailable", "no sample to try encoders on could be made",
                       stderr_tail=done.stderr, remedy="reinstall imageio-ffmpeg")  # fmt: skip
        _the_sample["h264"] = Path(path).read_bytes()
    return _the_sample["h264"]


@functools.cache
def _sample_streams() -> tuple[StreamInfo, VideoInfo]:
    base = Fraction(1, 12800)
    facts = PacketFacts(_FRAMES, 0, 0, 12800, frames=_FRAMES, keyframe_distance=_FRAMES)
    stream = StreamInfo(0, "video", "h264", "avc1", base, 0, 1.0, packets=facts)
    video = VideoInfo(
        index=0, codec="h264", profile="Main", level=31, width=_WIDTH, height=_HEIGHT,
        pix_fmt="yuv420p", bit_depth=8, time_base=base, fps=float(_FRAMES), start=0,
        duration_s=1.0, packets=facts,
    )  # fmt: skip
    return stream, video


def _sample_info(path: str) -> MediaInfo:
    stream, video = _sample_streams()
    size = Path(path).stat().st_size
    return MediaInfo(path, "mp4", size, 0, 1.0, 0.0, (stream,), video, moov_first=False)
