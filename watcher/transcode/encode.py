"""One recording's encode, from the command to a copy that is not yet proven.

Promises: a copy that is not going to pay is given up after a quarter of it; an encode that failed
in hardware is tried once more with the source decoded in software; and a failure is told by what
it is: the recording's own damage (`Refused`), something that may pass (`Retryable`), or the disk
(`Halt`). It proves nothing about the copy: that is verification's business.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from watcher.clock import Clock, SystemClock
from watcher.errors import Halt, Refused, Retryable, WatcherError
from watcher.transcode.command import Job, argv
from watcher.transcode.diagnosis import (
    HARDWARE_KINDS,
    DeviceLook,
    Diagnosis,
    Kind,
    changed_frames,
    diagnose,
    source_errors,
)
from watcher.transcode.encoders import Decode, Rung, fitting
from watcher.transcode.ending import end_sounds
from watcher.transcode.ffmpeg import Ffmpeg, Finished, look_at_device, run
from watcher.transcode.leash import Leash
from watcher.transcode.media import MediaInfo
from watcher.transcode.progress import Progress

ENVIRONMENT: Final = {"SVT_LOG": "1"}
"""SVT-AV1 talks on stderr by itself; errors alone are wanted there."""

_JUDGED_AFTER = 0.25
_MARGIN_PERCENT = 5.0


@dataclass(frozen=True, slots=True)
class Encoded:
    """An encode that ended with 0, and what is known of it. Nothing is proven yet.

    *source_errors* counts lines in which the decoder complained of the source, and *stderr* is
    what was said: with 0 of them, any line is still a reason to look. *decode* says where the
    source was decoded: in hardware, damage may have passed unseen. *in_hardware*: the copy was made
    there, by a driver that may leave a frame which is another picture.
    """

    encoder: str
    codec: str
    decode: Decode
    command: tuple[str, ...]
    frames: int | None
    size_bytes: int
    wall_s: float
    paused_s: float
    cpu_s: float
    speed: float | None
    source_errors: int
    stderr: str
    attempts: int
    in_hardware: bool = False


def encode(
    ffmpeg: Ffmpeg,
    rung: Rung,
    job: Job,
    *,
    leash: Leash | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    on_tick: Callable[[], None] | None = None,
    project: bool = True,
    look: Callable[[], DeviceLook] = look_at_device,
    clock: Clock | None = None,
) -> Encoded:
    """Encode *job*'s source into its output by *rung*; *project*: give up what will not pay.

    *on_tick* is called once a second while the encoder lives, progress or not.

    Raises `Refused` (damaged_source, unverifiable, format_changes, codec_not_carried, …),
    `Retryable` (projected, stalled, device_failed, encoder_failed, read_error, gone), `Halt`
    (disk_full, write_error) and `Aborted`.
    """
    if job.info.video is None:
        raise Refused("no_video", "has no video stream")
    clock = clock or SystemClock()
    leash = leash or Leash(clock)
    rung = fitting(rung, job.info.video, job.info.container)
    for attempt in (1, 2):
        follow = _Follower(job, leash, clock, on_progress, project=project)
        finished = run(
            argv(ffmpeg.path, rung, job),
            leash,
            on_progress=follow,
            on_tick=on_tick,
            stall_timeout_s=job.settings.stall_timeout_s,
            env=ENVIRONMENT,
            clock=clock,
        )
        if (size := changed_frames(finished.stderr)) is not None:
            raise _changed(job.info, size, source_errors(finished.stderr))
        if finished.ok:
            if job.info.isobmff and job.info.sounds:
                end_sounds(job.output, job.info.sounds)
            return _encoded(rung, job, finished, attempt)
        found = failure(finished, rung, look)
        if attempt == 1 and rung.decode is Decode.HARDWARE and found.kind in _SOFTWARE_MAY_HELP:
            rung = rung.decoding(Decode.SOFTWARE)
            continue
        raise _error(found, finished, rung)
    raise AssertionError  # pragma: no cover - the second attempt returns or raises


def failure(
    finished: Finished, rung: Rung, look: Callable[[], DeviceLook] = look_at_device
) -> Diagnosis:
    """Say why *finished* failed, with a look at the device where *rung* needs one."""
    device = look() if rung.hardware in ("qsv", "vaapi") else None
    return diagnose(finished.stderr, device)


_SOFTWARE_MAY_HELP: Final = frozenset(
    {Kind.HANG, Kind.FORMATS, Kind.DECODER, Kind.SOURCE, Kind.ORDER, Kind.UNKNOWN, Kind.MEMORY}
)
_PASSES: Final = frozenset({Kind.READ_ERROR, Kind.GONE})
_HALTS: Final = {Kind.DISK_FULL: "disk_full", Kind.WRITE_ERROR: "write_error"}


def _error(found: Diagnosis, finished: Finished, rung: Rung) -> WatcherError:
    figures = {
        "exit_code": finished.exit_code,
        "command": " ".join(finished.argv),
        "stderr_tail": finished.stderr,
        "remedy": found.remedy,
        "kind": found.kind.value,
    }
    if found.kind in _HALTS:
        return Halt(_HALTS[found.kind], found.cause, **figures)
    if found.kind is Kind.SOURCE and rung.decode is Decode.SOFTWARE:
        return Refused(
            "damaged_source",
            "does not decode cleanly",
            source_errors=source_errors(finished.stderr),
            **figures,
        )
    if found.kind is Kind.ORDER:
        return Refused("unverifiable", found.cause, **figures)
    if found.kind in _PASSES:
        return Retryable(found.kind.value, found.cause, **figures)
    reason = "device_failed" if found.kind in HARDWARE_KINDS else "encoder_failed"
    return Retryable(reason, f"{rung.label} failed: {found.cause}", **figures)


def _changed(info: MediaInfo, size: tuple[int, int], complaints: int) -> Refused:
    """Say why frames that differ are refused: beside damage they are a part of that."""
    if complaints:
        return Refused("damaged_source", "does not decode cleanly", source_errors=complaints)
    first = f"{info.video.width}x{info.video.height}" if info.video else "unknown"
    return Refused(
        "format_changes",
        f"its frames change on the way, from {first} to {size[0]}x{size[1]} or in colour",
    )


def _encoded(rung: Rung, job: Job, finished: Finished, attempts: int) -> Encoded:
    frames = finished.progress.frame if finished.progress else None
    worked_s = finished.wall_s - finished.paused_s
    return Encoded(
        encoder=rung.label,
        codec=rung.codec,
        decode=rung.decode,
        command=finished.argv,
        frames=frames,
        size_bytes=Path(job.output).stat().st_size,
        wall_s=finished.wall_s,
        paused_s=finished.paused_s,
        cpu_s=finished.cpu_s,
        speed=_speed(job.info, frames, worked_s),
        source_errors=source_errors(finished.stderr),
        stderr=finished.stderr,
        attempts=attempts,
        in_hardware=bool(rung.hardware),
    )


class _Follower:
    """Fills in how far an encode is, and gives it up where it is not going to pay."""

    def __init__(
        self,
        job: Job,
        leash: Leash,
        clock: Clock,
        tell: Callable[[Progress], None] | None,
        *,
        project: bool,
    ) -> None:
        self._job, self._leash, self._clock, self._tell = job, leash, clock, tell
        self._frames = frames_expected(job.info)
        self._project = project
        self._began_s = clock.monotonic_s() - leash.paused_s()

    def __call__(self, progress: Progress) -> None:
        worked_s = self._clock.monotonic_s() - self._leash.paused_s() - self._began_s
        fraction = progress.frame / self._frames if progress.frame and self._frames else None
        if self._tell is not None:
            speed = _speed(self._job.info, progress.frame, worked_s)
            self._tell(replace(progress, fraction=min(1.0, fraction or 0.0), speed=speed))
        if self._project and fraction and progress.size_bytes and not progress.done:
            self._judge(fraction, progress.size_bytes)

    def _judge(self, fraction: float, size_bytes: int) -> None:
        savings = projected_savings(self._job.info.size_bytes, size_bytes, fraction)
        wanted = self._job.settings.min_space_savings
        if savings is not None and savings < wanted - _MARGIN_PERCENT:
            raise Retryable(
                "projected",
                f"would save {savings:.0f} % where {wanted:g} % are wanted",
                savings_percent=round(savings, 1),
            )


def projected_savings(original_bytes: int, so_far_bytes: int, fraction: float) -> float | None:
    """Give the percentage that an encode will save, or None where it is too early to say."""
    if fraction < _JUDGED_AFTER or original_bytes <= 0:
        return None
    return 100.0 * (1 - so_far_bytes / min(1.0, fraction) / original_bytes)


def frames_expected(info: MediaInfo) -> int | None:
    """Say how many frames an encode of *info* will write; None where nothing tells."""
    video = info.video
    if video is None:
        return None
    if video.frames:
        return video.frames
    if video.frames_claimed:
        return video.frames_claimed
    return round(info.duration_s * video.fps) if info.duration_s and video.fps else None


def _speed(info: MediaInfo, frames: int | None, worked_s: float) -> float | None:
    fps = info.video.fps if info.video else None
    return frames / fps / worked_s if frames and fps and worked_s > 0 else None
