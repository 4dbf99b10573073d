"""The catalogue of log events: name, level, fields, meaning; and the one way to emit them.

Names are stable: dashboards and alerts are built on them. A test holds every `emit` call in the
code to this table, and the table to the documentation. Every line also has `ts` and `level`; what
concerns a camera or a file has `camera` and `path`. Figures carry their unit in the name.
"""

import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

Receiver = Callable[[int, str, Mapping[str, object]], None]
"""Takes a level, an event and its fields to where they are written."""

COMMON_FIELDS = frozenset({"camera", "path", "job", "exc_info"})
"""Fields that any event may carry; `exc_info` is written as `exception`, without locals."""


@dataclass(frozen=True, slots=True)
class EventKind:
    """One row of the catalogue."""

    name: str
    level: int
    fields: frozenset[str]
    meaning: str


class Emit(Protocol):
    """How a room tells what happened: an event of the catalogue and its fields."""

    def __call__(self, event: str, /, **fields: object) -> None:
        """Log *event*; never raises."""


def _kind(name: str, level: int, fields: str, meaning: str) -> EventKind:
    return EventKind(name, level, frozenset(fields.split()), meaning)


_INFO, _WARN, _ERROR = logging.INFO, logging.WARNING, logging.ERROR

_ROWS = (
    _kind("service_started", _INFO, "version pid state_dir cameras ffmpeg", "the service is up"),
    _kind(
        "index_ready",
        _INFO,
        "cameras segments candidates directories duration_s",
        "the one walk at start is over, of a polled camera or of all others; segments and"
        " candidates are all that are known by then",
    ),
    _kind("segment_closed", _INFO, "size_bytes", "a recorder closed a segment"),
    _kind("segment_gone", _INFO, "size_bytes age_days", "somebody deleted or moved a segment away"),
    _kind("window_opened", _INFO, "closes_at", "work may begin"),
    _kind("window_closed", _INFO, "opens_at", "no new work begins"),
    _kind("gate_held", _INFO, "reason detail value limit", "the machine is needed by others"),
    _kind("gate_released", _INFO, "reason duration_s", "the machine is free again"),
    _kind(
        "recorder_unhealthy",
        _WARN,
        "reason silent_s expected_s state",
        "a camera produces nothing: all work is held",
    ),
    _kind("recorder_recovered", _INFO, "silent_s", "the camera produces again"),
    _kind(
        "transcode_started",
        _INFO,
        "size_bytes duration_s age_days encoder by_hand",
        "a job began",
    ),
    _kind("transcode_paused", _INFO, "reason detail value limit", "the running job was frozen"),
    _kind("transcode_resumed", _INFO, "reason duration_s", "the frozen job goes on"),
    _kind(
        "transcode_finished",
        _INFO,
        "original_size_bytes new_size_bytes savings_bytes savings_percent duration_s encode_s"
        " verify_s paused_s speed encoder vmaf vmaf_min verify_decode damaged_frames delete_after",
        "the copy was proven and stands in the recording's place",
    ),
    _kind(
        "transcode_rejected",
        _INFO,
        "reason detail savings_percent vmaf",
        "this file stays as it is, and that is remembered",
    ),
    _kind(
        "transcode_failed",
        _WARN,
        "reason detail attempt retry_at exit_code command stderr_tail paused_s",
        "the job failed and is tried again later, or was aborted",
    ),
    _kind(
        "original_deleted",
        _INFO,
        "reason size_bytes held_s",
        "an original went: its safety period is over, or the disk needed it",
    ),
    _kind(
        "original_kept",
        _WARN,
        "reason detail",
        "an original that is due was not deleted: its copy could not be proven, or is not as left",
    ),
    _kind("original_restored", _INFO, "reason size_bytes", "an original is back in its place"),
    _kind(
        "leftover_removed",
        _INFO,
        "found size_bytes",
        "a file under one of our names, which no rule covers, was removed because it was named",
    ),
    _kind(
        "swap_recovered",
        _WARN,
        "found action detail",
        "a half-done replacement was found and brought to an end",
    ),
    _kind(
        "events_lost",
        _WARN,
        "root cause detail remedy count",
        "the kernel or Watchdog lost events, or a root or a mount below one came or went,"
        " or a share hangs",
    ),
    _kind(
        "index_resynced",
        _INFO,
        "root cause directories_compared directories_read added removed duration_s",
        "what was lost has been read again",
    ),
    _kind("index_dumped", _INFO, "count duration_s", "the index dump was written"),
    _kind("dump_failed", _ERROR, "detail", "the index dump could not be written"),
    _kind("config_reloaded", _INFO, "changed", "a changed configuration is in force"),
    _kind(
        "config_waits",
        _INFO,
        "changed waiting expected_s",
        "a part of a changed configuration is in force; the rest waits for the running file",
    ),
    _kind("config_refused", _ERROR, "mistakes", "a changed configuration is wrong; the old holds"),
    _kind(
        "encoder_chosen",
        _INFO,
        "encoder ffmpeg rung speed rate_control",
        "the encoder that encoded a real second here",
    ),
    _kind(
        "encoder_unavailable",
        _ERROR,
        "encoder detail remedy",
        "no configured encoder works; tried again at each opening",
    ),
    _kind(
        "encoder_broken",
        _ERROR,
        "encoder failures detail",
        "the encoder failed on several files running; the shift is closed",
    ),
    _kind(
        "savings_below_target",
        _INFO,
        "savings_percent target_percent files",
        "a camera saves less than target_space_savings",
    ),
    _kind(
        "nothing_comes_of_age",
        _WARN,
        "recordings_live_days min_age_days keep_original_days",
        "retention deletes recordings before they are old enough, or before a saving would count",
    ),
    _kind(
        "window_wasted",
        _WARN,
        "reason held_percent median limit suggestion",
        "over 90 % of a window were held for one reason",
    ),
    _kind(
        "night_summary",
        _INFO,
        "files failed rejected bytes_before bytes_after savings_bytes work_s held_s held_by_reason"
        " idle_s backlog_files backlog_bytes nights_to_clear inflow_bytes_per_day"
        " can_do_bytes_per_night originals_waiting originals_bytes originals_overdue"
        " free_bytes floor_bytes",
        "what a window brought",
    ),
    _kind(
        "halted",
        _ERROR,
        "reason detail remedy",
        "nothing can be done anywhere until this is mended",
    ),
    _kind("halt_over", _INFO, "reason duration_s", "what had stopped all work is mended"),
    _kind("clock_stepped", _WARN, "step_s", "the wall clock was set; deletions wait"),
    _kind("switched", _INFO, "enabled by", "`watcher enable` or `watcher disable` took effect"),
    _kind("ledger_set_aside", _ERROR, "detail", "the ledger was unreadable and is begun anew"),
    _kind(
        "ledger_unwritable",
        _ERROR,
        "detail remedy",
        "the ledger can't be written and goes on in memory",
    ),
    _kind("ledger_writable", _INFO, "pending", "what the ledger kept in memory is written"),
    _kind(
        "log",
        _INFO,
        "logger message",
        "a library's record, a warning or an uncaught exception, at its own level",
    ),
    _kind(
        "log_dropped", _WARN, "where reason count detail", "log lines that could not be delivered"
    ),
    _kind(
        "log_delayed",
        _WARN,
        "where reason detail remedy waiting_lines kept",
        "Loki takes no lines: they wait, and are sent again",
    ),
    _kind(
        "log_caught_up", _INFO, "where duration_s lines", "Loki takes lines again, none is waiting"
    ),
    _kind("unexpected", _ERROR, "where detail", "a fault of Watcher's own; work goes on"),
    _kind(
        "stop_incomplete",
        _ERROR,
        "parts remedy",
        "parts of the service did not end, because something hangs; they are left behind",
    ),
    _kind("service_stopped", _INFO, "reason uptime_s", "the service ended"),
)

CATALOGUE: Mapping[str, EventKind] = MappingProxyType({row.name: row for row in _ROWS})
"""Every event that Watcher emits, by name."""


_PAGE_HEAD = """\
# Log events

One JSON object a line. Every line has `ts` (RFC 3339, UTC), `level` and `event`; what concerns a
camera, a file or a job has `camera`, `path` and `job`. Figures carry their unit in the name (`_s`
seconds, `_bytes`, `_percent`), moments are RFC 3339. An error's traceback is `exception`. A field
may be null, or missing where it has no meaning.

This page is made from `events.py`: `python -m watcher.events > watcher/EVENTS.md`.

| event | level | fields | meaning |
|---|---|---|---|"""


def as_markdown() -> str:
    """Give the catalogue as the page that a person reads (`EVENTS.md`)."""
    rows = [
        f"| `{row.name}` | {logging.getLevelName(row.level).lower()} |"
        f" {', '.join(f'`{name}`' for name in sorted(row.fields))} | {row.meaning} |"
        for row in _ROWS
    ]
    return "\n".join([_PAGE_HEAD, *rows, ""])


def emit(event: str, /, **fields: object) -> None:
    """Log *event* at its level of the catalogue, with *fields*. Never raises."""
    kind = CATALOGUE.get(event)
    level = kind.level if kind else logging.WARNING
    with contextlib.suppress(Exception):  # no log line may hurt the work, whatever is wrong
        _receivers[-1](level, event, fields)


def deliver_to(receiver: Receiver) -> Callable[[], None]:
    """Hand every event to *receiver* from now on; what is returned undoes that."""
    _receivers.append(receiver)

    def undo() -> None:
        with contextlib.suppress(ValueError):
            _receivers.remove(receiver)

    return undo


def _to_standard_library(level: int, event: str, fields: Mapping[str, object]) -> None:
    """Tell the host application's logging, where nobody has configured Watcher's own."""
    told = " ".join(f"{name}={value!r}" for name, value in fields.items())
    logging.getLogger("watcher").log(level, "%s %s", event, told, extra={"watcher": fields})


_receivers: list[Receiver] = [_to_standard_library]

if __name__ == "__main__":
    print(as_markdown(), end="")  # noqa: T201 - the page is its output
