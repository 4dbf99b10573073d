"""`watcher check`: what this machine can do, looked at and tried, and how to mend what it can't.

It changes nothing of anybody's: two hidden files are made and removed in each camera's directory,
to see what its file system can do, and a second of video is encoded in a temporary directory. Every
row that is not ok says what to do. What is asked of the machine comes in as `Tools`, so that what
is concluded can be tested without one. The rows of each camera stand in `check_camera`.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from watcher.check_camera import CameraTools, camera_rows
from watcher.check_pace import flow_of, pace_row
from watcher.clock import Clock, SystemClock
from watcher.config import Config, Loki, Transcoding, resolve_state_dir
from watcher.errors import Halt, WatcherError
from watcher.gate.window import Window
from watcher.ledger.ledger import Ledger
from watcher.report import forms
from watcher.report.tables import Row
from watcher.segments.inotify import limit, remedy
from watcher.survey import Survey
from watcher.transcode.diagnosis import DeviceLook, before
from watcher.transcode.encoders import Settings
from watcher.transcode.ffmpeg import Ffmpeg, find, look_at_device
from watcher.transcode.media import MediaInfo
from watcher.transcode.probe import Prober
from watcher.transcode.trial import Choice, Chooser

LEDGER = "ledger.sqlite"
_TRIED = ("hevc_qsv", "hevc_vaapi", "libx265", "libsvtav1")
"""What is tried beside the configured one, to be known when choosing."""
_WEEK_DAYS = 7
_SPARE_WATCHES = 1.25  # new directories come every day
_QUEUE = 131_072

Choose = Callable[[Sequence[Ffmpeg], str, Settings, str], Choice]


def _choose(ffmpegs: Sequence[Ffmpeg], codec: str, settings: Settings, qsv_mode: str) -> Choice:
    return Chooser().choose(ffmpegs, codec, settings, qsv_mode=qsv_mode)


def _probe(path: str) -> MediaInfo:
    with Prober() as prober:
        return prober.probe(path, packets=False)


def _loki(loki: Loki) -> Sequence[Row]:
    if loki.url is None:
        return []
    from watcher.report.loki_check import loki_row  # noqa: PLC0415 - httpx costs 0.2 s

    return [loki_row(loki, loki.url)]


@dataclass(frozen=True, slots=True)
class Tools:
    """What is asked of the machine, by whom."""

    find: Callable[[str | None], Sequence[Ffmpeg]] = find
    look: Callable[[], DeviceLook] = look_at_device
    choose: Choose = _choose
    probe: Callable[[str], MediaInfo] = _probe
    limit: Callable[[str], int | None] = limit
    clock: Clock = field(default_factory=SystemClock)
    env: Mapping[str, str] = field(default_factory=lambda: os.environ)
    camera: CameraTools = field(default_factory=CameraTools)
    loki: Callable[[Loki], Sequence[Row]] = _loki


def examine(config: Config, tools: Tools | None = None) -> list[Row]:
    """Look at everything that *config* needs, and say in rows what was found."""
    tools = tools or Tools()
    state_dir = resolve_state_dir(config, tools.env)
    ledger_path = os.path.join(state_dir, LEDGER)
    ledger = Ledger(ledger_path) if os.path.exists(ledger_path) else None
    try:
        work = config.transcoding
        encoders, speed = _encoders(work, tools)
        rows = [_configuration(config), *encoders]
        seen: dict[str, Survey] = {}
        for camera in config.cameras:
            found, survey = camera_rows(camera, work, ledger, tools.camera)
            rows += found
            if survey is not None:
                seen[camera.name] = survey
        watched = [seen[c.name] for c in config.cameras if c.watch == "inotify" and c.name in seen]
        rows += _inotify(sum(survey.directories for survey in watched), tools.limit)
        rows += [_state(state_dir), *_window(work, tools.clock)]
        rows += [*_pace(work, seen, speed, tools), _clock(tools.clock)]
        rows += tools.loki(config.logging.loki)
    finally:
        if ledger is not None:
            ledger.close()
    return rows


def _configuration(config: Config) -> Row:
    where = config.source or "directories as cameras, every default in force"
    names = ", ".join(config.recordings)
    if not config.transcoding.enabled:
        finding = f"{where}: transcoding.enabled is false, so nothing is ever transcoded"
        return Row("warn", "configuration", finding, "set `enabled: true`")
    return Row("ok", "configuration", f"{where}; cameras: {names}")


def _encoders(work: Transcoding, tools: Tools) -> tuple[list[Row], float | None]:
    """Try everything that encodes; give the rows, and how fast the configured one is."""
    try:
        ffmpegs = tools.find(work.ffmpeg)
    except Halt as halt:
        return [Row("fail", "ffmpeg", halt.message, _remedy(halt))], None
    rows = [Row("ok", "ffmpeg", f"{each.version} at {each.path}") for each in ffmpegs]
    rows.append(_gpu(work, tools.look()))
    speed = None
    for codec in dict.fromkeys((work.codec, *_TRIED)):
        row, reached = _encoder(work, codec, ffmpegs, tools.choose)
        rows.append(row)
        speed = reached if codec == work.codec else speed
    if work.verify_quality and not any("libvmaf" in ffmpeg.filters for ffmpeg in ffmpegs):
        finding = "no ffmpeg here can measure VMAF (libvmaf), which verify_quality asks for"
        mend = "leave `ffmpeg` out: the bundled one can; or `verify_quality: false`"
        rows.append(Row("fail", "quality", finding, mend))
    return rows, speed


def _gpu(work: Transcoding, device: DeviceLook) -> Row:
    problem = before(device)
    if problem is None:
        return Row("ok", "GPU", f"{device.path} opens")
    if work.codec in {"auto", "libx265", "libsvtav1"}:
        return Row("ok", "GPU", f"{problem.cause}; `codec: {work.codec}` does without")
    return Row("fail", "GPU", problem.cause, problem.remedy)


def _encoder(
    work: Transcoding, codec: str, ffmpegs: Sequence[Ffmpeg], choose: Choose
) -> tuple[Row, float | None]:
    title = f"encoder {codec}"
    settings = Settings(work.quality, work.preset, work.max_threads)
    try:
        choice = choose(ffmpegs, codec, settings, work.qsv_mode)
    except Halt as halt:
        if codec == work.codec:
            return Row("fail", title, halt.message, _remedy(halt)), None
        why = halt.message.removeprefix(f"{codec} does not work here: ")
        return Row("ok", title, f"not here: {why}; not configured"), None
    speed = choice.trial.speed or 0.0
    finding = f"{choice.rung.label} encoded a second of 720p at {speed:.1f} of real time"
    if codec != work.codec:
        return Row("ok", title, f"{finding}; not configured"), speed
    if choice.rung.untried:
        mend = "look at the first copies yourself before `keep_original_days` is over"
        return Row("warn", title, f"{finding}; its makers never saw it at work", mend), speed
    if choice.trial.rate_control:
        finding = f"{finding} ({choice.trial.rate_control})"
    passed_over = sorted({each.problem.cause for each in choice.failed if each.problem})
    if passed_over:
        finding = f"{finding}, by {choice.ffmpeg.path}; passed over: {'; '.join(passed_over)}"
    return Row("ok", title, finding), speed


def _inotify(directories: int, ask: Callable[[str], int | None]) -> Iterator[Row]:
    watches, queue = ask("max_user_watches"), ask("max_queued_events")
    if watches is None:
        mend = "set `watch: poll` for each camera"
        yield Row("fail", "inotify", "this kernel does not tell of changes to files", mend)
        return
    finding = f"{directories:,} directories need a watch, {watches:,} are allowed for this user"
    if directories * _SPARE_WATCHES > watches:
        yield Row("fail", "inotify", finding, remedy("max_user_watches"))
    else:
        yield Row("ok", "inotify", finding)
    if queue is not None and queue < min(_QUEUE, directories):
        finding = f"the kernel keeps {queue:,} events at most, fewer than there are directories"
        yield Row("warn", "inotify queue", finding, remedy("max_queued_events"))


def _state(state_dir: str) -> Row:
    existing = state_dir
    while not os.path.exists(existing) and existing != os.path.dirname(existing):
        existing = os.path.dirname(existing)
    if os.path.isdir(existing) and os.access(existing, os.W_OK | os.X_OK):
        will = "" if existing == state_dir else " (will be made)"
        return Row("ok", "state directory", f"{state_dir}{will}")
    mend = (
        f"make {state_dir} writable for this user (as a member of the service's group: `usermod"
        " -aG watcher NAME`, then log in again), or name another one as `state_dir`"
    )
    return Row("fail", "state directory", f"{existing} is not writable for this user", mend)


def _window(work: Transcoding, clock: Clock) -> Iterator[Row]:
    window = Window.parse(work.run_schedule, work.timezone)
    now_s = clock.wall_s()
    hours = sum(window.hours_open(now_s, _WEEK_DAYS))
    state = window.state(now_s)
    finding = f"{work.run_schedule} ({window.zone}): {hours:.0f} hours a week"
    if state.next_edge_s is not None:
        word = "closes" if state.is_open else "opens"
        finding += f", {word} {forms.time(state.next_edge_s, window.zone)}"
    if hours <= 0:
        mend = "give it hours that exist on more than one day a year"
        yield Row("fail", "window", finding, mend)
    else:
        yield Row("ok", "window", finding)


def _pace(
    work: Transcoding, seen: Mapping[str, Survey], speed: float | None, tools: Tools
) -> list[Row]:
    flows = []
    for camera, survey in seen.items():
        if survey.sample is not None and speed:
            with contextlib.suppress(WatcherError):  # what it is, the night will find out
                flows.append(flow_of(camera, survey, tools.probe(survey.sample)))
    known = [flow for flow in flows if flow is not None]
    if not known or not speed:
        return []
    window = Window.parse(work.run_schedule, work.timezone)
    hours = sum(window.hours_open(tools.clock.wall_s(), _WEEK_DAYS)) / _WEEK_DAYS
    return [pace_row(known, speed, hours)]


def _clock(clock: Clock) -> Row:
    if clock.synchronised():
        return Row("ok", "clock", "synchronised")
    finding = "not synchronised: originals are kept until it is, or longer than they had to be"
    mend = "switch a time service on: `timedatectl set-ntp true`, or install chrony"
    return Row("warn", "clock", finding, mend)


def _remedy(halt: Halt) -> str:
    return str(halt.figures.get("remedy") or "see the message")
