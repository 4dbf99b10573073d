"""From an event to its line: level, time, camera, and every value made plain.

This is the part of logging that runs in the calling thread, some ten microseconds an event. Where
a line goes from here is the business of the sinks.
"""

import threading
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any

import structlog
from structlog.tracebacks import ExceptionDictTransformer

from watcher.clock import Clock, utc
from watcher.report.clean import encode, text
from watcher.report.sinks import Line, Sink

_MOMENTS = frozenset({"closes_at", "opens_at", "retry_at", "delete_after"})
_METADATA_LIMIT = 100


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
        self._successor: _Fan | None = None
        self._lock = threading.RLock()  # re-entrant: a signal handler may log

    def info(self, line: Line) -> None:
        with self._lock:
            successor = self._successor
            if successor is None:
                for sink in self._sinks:
                    sink.put(line)
        if successor is not None:
            successor.info(line)

    debug = warning = error = critical = info

    def retire(self, successor: "_Fan") -> None:
        """Hand what still comes to *successor*: when this returns, the sinks get nothing more."""
        with self._lock:
            self._successor = successor


class Receiver:
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
        self._fan = _Fan(sinks)
        self._logger = structlog.wrap_logger(
            self._fan,
            processors=[structlog.processors.ExceptionRenderer(frames), self._line],
            wrapper_class=structlog.make_filtering_bound_logger(level),
            cache_logger_on_first_use=True,
        ).bind()

    def __call__(self, level: int, event: str, fields: Mapping[str, object]) -> None:
        """Make *event* a line and hand it to the sinks."""
        self._logger.log(level, event, **fields)

    def retire(self, successor: "Receiver") -> None:
        """Hand on what threads that are in the middle of a call still bring."""
        self._fan.retire(successor._fan)  # noqa: SLF001 - its own kind

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
