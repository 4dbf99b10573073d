"""The log: structlog in, JSON lines (or a readable form) out, and nothing it does hurts the work.

What `events.emit` says and what others say through the standard library's logging, `warnings` and
uncaught exceptions comes out in one form: `ts` (RFC 3339, UTC), `level`, `event`, then the fields.
Whatever is not ours is the event `log`. A line is made in the calling thread (some ten
microseconds) and handed to the sinks' queues; only their own threads ever wait for a disk, a pipe
or a network. Getting a line to Loki is `loki.py`'s business.
"""

import atexit
import os
import sys
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TextIO

import structlog
from structlog.tracebacks import ExceptionDictTransformer

from watcher import events
from watcher.clock import Clock, SystemClock, utc
from watcher.config import Config
from watcher.report.capture import Capture
from watcher.report.clean import encode, text
from watcher.report.console import Console
from watcher.report.outlets import DescriptorOutlet, FileOutlet
from watcher.report.sinks import Line, Sink, WriterSink

FLUSH_S = 5.0
"""How long a stop waits for lines to be delivered, at most."""
_PRIORITIES = {"debug": b"<7>", "warning": b"<4>", "error": b"<3>", "critical": b"<2>"}
_MOMENTS = frozenset({"closes_at", "opens_at", "retry_at", "delete_after"})
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_LAST_S = 0.5  # of that time, kept for the stream and the file
_METADATA_LIMIT = 100


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What `logging:` in the configuration says, without Loki."""

    level: Literal["debug", "info", "warning", "error", "critical"] = "info"
    format: Literal["auto", "json", "console", "none"] = "auto"
    file: str | None = None
    file_bytes: int = 32 * 1024 * 1024
    file_backups: int = 5


class Log:
    """The log as it is configured, until `close`."""

    def __init__(
        self,
        own: Sequence[Sink],
        further: Sequence[Sink],
        give_back: Sequence[Callable[[], None]],
        clock: Clock,
    ) -> None:
        self._own = own
        self._further = further
        self._give_back = give_back
        self._clock = clock

    def flush(self, timeout_s: float = FLUSH_S) -> bool:
        """Wait until every line so far is delivered; False if the time was too short."""
        end_s = self._clock.monotonic_s() + timeout_s
        return self._each([sink.flush for sink in (*self._own, *self._further)], end_s)

    def close(self, timeout_s: float = FLUSH_S) -> bool:
        """Deliver what can be delivered in that time and give everything back; True if all was."""
        atexit.unregister(self.close)
        end_s = self._clock.monotonic_s() + timeout_s
        for sink in self._further:
            sink.finish()
        # They go first: what they could not deliver is still told on the stream and in the file.
        done = self._each([sink.close for sink in self._further], end_s - _LAST_S)
        for sink in self._own:
            sink.finish()
        for give_back in self._give_back:
            give_back()
        return self._each([sink.close for sink in self._own], end_s) and done

    def _each(self, waits: Sequence[Callable[[float], bool]], end_s: float) -> bool:
        """Wait for one after the other; they work beside one another, so the time is shared."""
        done = True
        for wait in waits:
            done = wait(max(0.1, end_s - self._clock.monotonic_s())) and done
        return done


def configure_from(
    config: Config,
    state_dir: str,
    *,
    by_hand: bool = False,
    stream: TextIO | None = None,
    clock: Clock | None = None,
    whole_process: bool = True,
) -> Log:
    """Log as *config* says; what Loki does not have yet is kept in *state_dir*. See `configure`.

    A command that a person has given (*by_hand*) tells them itself what it does: its events go to
    the file and to Loki, and not between its words; its own faults are left to Python.
    """
    told = config.logging
    further: list[Sink] = []
    if told.loki.url is not None:
        from watcher.report.loki import LokiSink, settings_of  # noqa: PLC0415 - httpx costs 0.2 s

        further.append(LokiSink(settings_of(told.loki, told.loki.url, state_dir), clock=clock))
    form = "none" if by_hand else told.format
    return configure(
        LogSettings(level=told.level, format=form, file=told.file),
        stream=stream,
        further=further,
        clock=clock,
        whole_process=whole_process and not by_hand,
        camera_of=_cameras(config),
    )


def _cameras(config: Config) -> Callable[[str], str | None]:
    """Give what names the camera in whose directory a path lies (no two lie in one another)."""
    roots = [(camera.path.rstrip("/") + "/", camera.name) for camera in config.cameras]
    return lambda path: next((name for root, name in roots if path.startswith(root)), None)


def configure(
    settings: LogSettings | None = None,
    *,
    stream: TextIO | None = None,
    further: Sequence[Sink] = (),
    clock: Clock | None = None,
    whole_process: bool = True,
    camera_of: Callable[[str], str | None] = lambda _path: None,
) -> Log:
    """Send what is emitted from now on to *stream* or the file of *settings*, and to *further*.

    *stream* is standard output unless given; where there is a file, it is used only if a person
    sits before it. With *whole_process*, the records of other libraries, warnings and uncaught
    exceptions are taken too; a guest in somebody else's process leaves them. *camera_of* names the
    camera of an event that has a path alone. To change a log that is in force, `close` it first.
    """
    settings = settings or LogSettings()
    clock = clock or SystemClock()
    own = _own_sinks(settings, stream or sys.stdout, clock)
    receiver = _Receiver(_LEVELS[settings.level], [*own, *further], clock, camera_of)
    capture = Capture(receiver, _LEVELS[settings.level])
    undo = events.deliver_to(receiver)
    if whole_process:
        capture.install()
    log = Log(own, further, (capture.remove, undo), clock)
    atexit.register(log.close)
    return log


def _own_sinks(settings: LogSettings, stream: TextIO | None, clock: Clock) -> list[Sink]:
    sinks: list[Sink] = []
    outlet = None if settings.format == "none" else _outlet_to(stream)
    if outlet is not None and (settings.file is None or outlet.is_terminal()):
        terminal = outlet.is_terminal()
        render = _journal_line if outlet.is_journal(os.environ) else _json_line
        if settings.format == "console" or (settings.format == "auto" and terminal):
            render = Console(colours=terminal)
        sinks.append(WriterSink("stream", outlet, render, clock=clock))
    if settings.file is not None:
        file = FileOutlet(settings.file, settings.file_bytes, settings.file_backups)
        sinks.append(WriterSink("file", file, _json_line, clock=clock))
    return sinks


def _outlet_to(stream: TextIO | None) -> DescriptorOutlet | None:
    """Reach *stream* by its descriptor; a service may be started with its output closed."""
    try:
        return None if stream is None else DescriptorOutlet(stream.fileno())
    except (OSError, ValueError):
        return None


def _json_line(line: Line) -> bytes:
    return line.data + b"\n"


def _journal_line(line: Line) -> bytes:
    """Give the journal its priority, which it takes off again: `journalctl -p warning` works."""
    return _PRIORITIES.get(line.level, b"<6>") + line.data + b"\n"


def _moment(value: object) -> object:
    """Tell seconds since the epoch as a person and Grafana read them."""
    if not isinstance(value, int | float):
        return value
    try:
        return utc(value).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return value


class _Fan:
    """The end of structlog's chain: hands each line to every sink."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = sinks

    def info(self, line: Line) -> None:
        for sink in self._sinks:
            sink.put(line)

    debug = warning = error = critical = info


class _Receiver:
    """Takes an event at a level and makes it a line."""

    def __init__(
        self,
        level: int,
        sinks: Sequence[Sink],
        clock: Clock,
        camera_of: Callable[[str], str | None],
    ) -> None:
        self._clock = clock
        self._camera_of = camera_of
        frames = ExceptionDictTransformer(show_locals=False, max_frames=20)
        self._logger = structlog.wrap_logger(
            _Fan(sinks),
            processors=[structlog.processors.ExceptionRenderer(frames), self._line],
            wrapper_class=structlog.make_filtering_bound_logger(level),
            cache_logger_on_first_use=True,
        ).bind()

    def __call__(self, level: int, event: str, fields: Mapping[str, object]) -> None:
        self._logger.log(level, event, **fields)

    def _line(
        self, _logger: object, level: str, fields: MutableMapping[str, Any]
    ) -> tuple[tuple[Line], dict[str, object]]:
        wall_s = self._clock.wall_s()
        event = text(fields.pop("event", ""), _METADATA_LIMIT)
        path = fields.get("path")
        if isinstance(path, str) and "camera" not in fields and (name := self._camera_of(path)):
            fields["camera"] = name
        for name in _MOMENTS & fields.keys():
            fields[name] = _moment(fields[name])
        ts = utc(wall_s).isoformat(timespec="microseconds").replace("+00:00", "Z")
        data = encode({"ts": ts, "level": level, "event": event, **fields})
        camera, job = fields.get("camera"), fields.get("job")
        line = Line(
            round(wall_s * 1_000_000) * 1000,
            level,
            event,
            data,
            None if camera is None else text(camera, _METADATA_LIMIT),
            None if job is None else text(job, _METADATA_LIMIT),
        )
        return (line,), {}
