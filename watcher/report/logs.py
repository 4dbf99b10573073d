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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TextIO

from watcher import events
from watcher.clock import Clock, SystemClock
from watcher.config import Config
from watcher.report.capture import Capture
from watcher.report.console import Console
from watcher.report.outlets import DescriptorOutlet, FileOutlet
from watcher.report.receiver import Receiver
from watcher.report.sinks import Line, Sink, WriterSink

FLUSH_S = 5.0
"""How long a stop waits for lines to be delivered, at most."""
_PRIORITIES = {"debug": b"<7>", "warning": b"<4>", "error": b"<3>", "critical": b"<2>"}
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_LAST_S = 0.5  # of that time, kept for the stream and the file


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

    def __init__(self, stream: TextIO | None, clock: Clock, *, whole_process: bool) -> None:
        self._stream = stream
        self._clock = clock
        self._whole_process = whole_process
        self._settings: LogSettings | None = None
        self._own: Sequence[Sink] = ()
        self.further: Sequence[Sink] = ()
        """The sinks beside the stream and the file."""
        self._receiver: Receiver | None = None
        self._capture: Capture | None = None
        self._undo: Callable[[], None] = lambda: None

    def apply(
        self,
        settings: LogSettings,
        further: Sequence[Sink] = (),
        camera_of: Callable[[str], str | None] = lambda _path: None,
    ) -> None:
        """Log as *settings* say from the next event on; sinks that are not used any more end."""
        same = self._settings is not None and replace(self._settings, level=settings.level)
        own = self._own if same == settings else self._make_own(settings)
        receiver = Receiver(_LEVELS[settings.level], [*own, *further], self._clock, camera_of)
        undo, self._undo = self._undo, events.deliver_to(receiver)
        undo()
        if self._receiver is not None:
            self._receiver.retire(receiver)
        self._receiver = receiver
        if self._capture is not None:
            self._capture.remove()
        self._capture = Capture(receiver, _LEVELS[settings.level])
        if self._whole_process:
            self._capture.install()
        gone = [each for each in (*self._own, *self.further) if each not in (*own, *further)]
        self._settings, self._own, self.further = settings, own, further
        for sink in gone:
            sink.finish()
        self._each([sink.close for sink in gone], self._clock.monotonic_s() + FLUSH_S)

    def flush(self, timeout_s: float = FLUSH_S) -> bool:
        """Wait until every line so far is delivered; False if the time was too short."""
        end_s = self._clock.monotonic_s() + timeout_s
        return self._each([sink.flush for sink in (*self._own, *self.further)], end_s)

    def close(self, timeout_s: float = FLUSH_S) -> bool:
        """Deliver what can be delivered in that time and give everything back; True if all was."""
        atexit.unregister(self.close)
        end_s = self._clock.monotonic_s() + timeout_s
        for sink in self.further:
            sink.finish()
        # They go first: what they could not deliver is still told on the stream and in the file.
        done = self._each([sink.close for sink in self.further], end_s - _LAST_S)
        for sink in self._own:
            sink.finish()
        if self._capture is not None:
            self._capture.remove()
        self._undo()
        return self._each([sink.close for sink in self._own], end_s) and done

    def _each(self, waits: Sequence[Callable[[float], bool]], end_s: float) -> bool:
        """Wait for one after the other; they work beside one another, so the time is shared."""
        done = True
        for wait in waits:
            done = wait(max(0.1, end_s - self._clock.monotonic_s())) and done
        return done

    def _make_own(self, settings: LogSettings) -> list[Sink]:
        return _own_sinks(settings, self._stream or sys.stdout, self._clock)


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
    settings = _settings_of(config)
    return configure(
        replace(settings, format="none") if by_hand else settings,
        stream=stream,
        further=_loki_sinks(config, state_dir, clock, beside=True),
        clock=clock,
        whole_process=whole_process and not by_hand,
        camera_of=_cameras(config),
    )


def follow(log: Log, before: Config, after: Config, state_dir: str) -> None:
    """Let *log*, made from *before*, log as *after* says; no line is lost over the change."""
    if before.logging == after.logging and before.recordings == after.recordings:
        return
    further = log.further
    if before.logging.loki != after.logging.loki:
        further = _loki_sinks(after, state_dir, None, beside=False)
    log.apply(_settings_of(after), further, _cameras(after))


def _settings_of(config: Config) -> LogSettings:
    told = config.logging
    return LogSettings(level=told.level, format=told.format, file=told.file)


def _loki_sinks(
    config: Config, state_dir: str, clock: Clock | None, *, beside: bool
) -> Sequence[Sink]:
    loki = config.logging.loki
    if loki.url is None:
        return []
    from watcher.report.loki import LokiSink, settings_of  # noqa: PLC0415 - httpx costs 0.2 s

    return [LokiSink(settings_of(loki, loki.url, state_dir), clock=clock, beside=beside)]


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
    camera of an event that has a path alone.
    """
    log = Log(stream, clock or SystemClock(), whole_process=whole_process)
    log.apply(settings or LogSettings(), further, camera_of)
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
