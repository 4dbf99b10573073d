"""The statistics page, as a person reads it and as JSON. Pure.

Its first part is a contract, character for character; below it stands what the first design did
not tell: errors, backlog, forecast, originals waiting, what is skipped and why, what holds now.
The shell gathers the values; nothing here asks for one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import tzinfo
from enum import StrEnum

from watcher.ledger.forecast import Forecast
from watcher.ledger.stats import Soundness, TranscodingStats
from watcher.report import forms, outlook
from watcher.report.reasons import meaning


class Activity(StrEnum):
    """What the service is at."""

    NOT_RUNNING = "not_running"
    DISABLED = "disabled"
    OUTSIDE_WINDOW = "outside_window"
    TRANSCODING = "transcoding"
    HELD = "held"
    IDLE = "idle"
    HALTED = "halted"
    STARTING = "starting"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Status:
    """What the service is at, and about what it says so (what holds it, what halted it)."""

    activity: Activity
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class LastError:
    """The last thing that went wrong."""

    at_s: float
    path: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Backlog:
    """What is of age and waits."""

    files: int
    size_bytes: int
    not_probed: int


@dataclass(frozen=True, slots=True)
class Originals:
    """What stands beside the copies until its safety period is over."""

    files: int
    size_bytes: int
    next_deletion_s: float | None
    overdue: int = 0


@dataclass(frozen=True, slots=True)
class StatsPage:
    """All that the page tells."""

    now_s: float
    stats: TranscodingStats
    status: Status
    current_file: str | None
    next_run_s: float | None  # None: no window is coming; not after now_s: it is open
    min_age_days: float
    keep_original_days: float = 0.0
    last_error: LastError | None = None
    backlog: Backlog | None = None  # None: only a running service knows
    forecast: Forecast | None = None
    retention_days: Mapping[str, float] = field(default_factory=dict)  # camera → as seen or told
    originals: Originals | None = None
    skipped: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # reason → files, bytes
    soundness: Mapping[str, Soundness] = field(default_factory=dict)  # by camera
    lost: Mapping[str, int] | None = None  # cause → how often; None: only a running service knows
    resyncs: int = 0  # how often what may have been lost was looked for
    unheard: Mapping[str, str] = field(default_factory=dict)  # camera → why nothing is heard of it
    partly_unheard: Mapping[str, str] = field(default_factory=dict)  # the same of a mount below it
    unwatched: int = 0  # directories without a watch
    ledger_trouble: str | None = None  # why the ledger can't be read or written, if it can't


_SIMPLY = {
    Activity.NOT_RUNNING: "Not running",
    Activity.SILENT: "Running (it does not answer)",
    Activity.DISABLED: "Disabled",
    Activity.OUTSIDE_WINDOW: "Running (paused - outside schedule window)",
    Activity.TRANSCODING: "Running (transcoding)",
}


def status_line(status: Status) -> str:
    """Give what stands behind "Status:"."""
    detail = status.detail
    match status.activity:
        case Activity.IDLE:
            return f"Running (idle - {detail or 'nothing to do'})"
        case Activity.HELD | Activity.HALTED | Activity.STARTING:
            word = status.activity.value
            return f"Running ({word} - {detail})" if detail else f"Running ({word})"
        case simple:
            return _SIMPLY[simple]


def render_stats(page: StatsPage, zone: tzinfo | None = None) -> str:
    """Give the whole page, the last line ended."""
    return "\n".join([*_first_part(page, zone), "", *_second_part(page, zone)]) + "\n"


def stats_json(page: StatsPage) -> dict[str, object]:
    """Give the same as plain values: bytes, seconds, RFC 3339 times in UTC."""
    stats, forecast = page.stats, page.forecast
    return {
        "files_transcoded": stats.files_transcoded,
        "space_saved_bytes": stats.space_saved,
        "savings_percent": round(stats.percent_saved, 2),
        "total_original_bytes": stats.total_original_size,
        "total_transcoded_bytes": stats.total_transcoded_size,
        "last_transcoded": forms.utc(
            stats.last_transcoded.timestamp() if stats.last_transcoded else None
        ),
        "status": status_line(page.status),
        "activity": page.status.activity.value,
        "held_by": page.status.detail if page.status.activity is Activity.HELD else None,
        "current_file": page.current_file and forms.name(page.current_file),
        "next_scheduled_run": forms.utc(page.next_run_s),
        "errors": stats.errors,
        "last_error": page.last_error
        and {
            "at": forms.utc(page.last_error.at_s),
            "path": forms.name(page.last_error.path),
            "reason": page.last_error.reason,
            "detail": page.last_error.detail,
        },
        "backlog": page.backlog and asdict(page.backlog),
        "forecast": forecast
        and {**asdict(forecast), "never": forecast.never, "text": outlook.lines(forecast)},
        "headline": outlook.headline(
            forecast, page.retention_days, page.min_age_days, page.keep_original_days
        ),
        "originals_waiting": page.originals
        and {
            "files": page.originals.files,
            "size_bytes": page.originals.size_bytes,
            "overdue": page.originals.overdue,
            "next_deletion": forms.utc(page.originals.next_deletion_s),
        },
        "skipped": {
            reason: {"files": files, "size_bytes": size}
            for reason, (files, size) in sorted(page.skipped.items())
        },
        "damaged_sources": {
            camera: {
                "files": seen.damaged,
                "refused": seen.refused,
                "converted": seen.converted,
                "of": seen.judged,
            }
            for camera, seen in sorted(page.soundness.items())
        },
        "events_lost": None if page.lost is None else dict(sorted(page.lost.items())),
        "index_resynced": None if page.lost is None else page.resyncs,
        "cameras_unheard": {camera: forms.name(why) for camera, why in page.unheard.items()},
        "cameras_partly_unheard": {c: forms.name(why) for c, why in page.partly_unheard.items()},
        "directories_unwatched": page.unwatched,
        "ledger_trouble": page.ledger_trouble,
    }


def _first_part(page: StatsPage, zone: tzinfo | None) -> Iterator[str]:
    stats = page.stats
    last = stats.last_transcoded
    yield "=== Transcoding Statistics ==="
    yield ""
    yield f"Files transcoded: {stats.files_transcoded}"
    yield (
        f"Space saved: {forms.gigabytes(stats.space_saved)}"
        f" ({forms.percent(stats.percent_saved)} reduction)"
    )
    yield f"Total original: {forms.gigabytes(stats.total_original_size)}"
    yield f"Total transcoded: {forms.gigabytes(stats.total_transcoded_size)}"
    yield ""
    yield f"Last transcoded: {forms.moment(last if last is None else last.astimezone(zone))}"
    yield f"Status: {status_line(page.status)}"
    yield f"Current file: {forms.name(page.current_file) if page.current_file else None}"
    yield ""
    yield f"Next scheduled run: {_next_run(page, zone)}"


def _next_run(page: StatsPage, zone: tzinfo | None) -> str:
    if page.next_run_s is None:
        return "None"
    if page.next_run_s <= page.now_s:
        return "now (the window is open)"
    return forms.time(page.next_run_s, zone)


def _second_part(page: StatsPage, zone: tzinfo | None) -> Iterator[str]:
    headline = outlook.headline(
        page.forecast, page.retention_days, page.min_age_days, page.keep_original_days
    )
    if headline:
        yield from headline
        yield ""
    yield _errors(page, zone)
    yield _backlog(page)
    first, *more = outlook.lines(page.forecast)
    yield f"Forecast: {first}"
    yield from (f"  {line}" for line in more)
    yield _originals(page, zone)
    yield from _skipped(page)
    yield from _damaged(page)
    if page.ledger_trouble:
        yield f"Ledger: can't be used ({page.ledger_trouble}); the figures are not whole"
    yield from _lost(page)
    if page.status.activity is Activity.HELD:
        yield f"Held now: {page.status.detail}"


def _lost(page: StatsPage) -> Iterator[str]:
    """What the kernel did not tell, and what is not told of even now."""
    if page.lost or page.resyncs:
        lost = page.lost or {}
        causes = ", ".join(f"{cause} {count:,}" for cause, count in sorted(lost.items()))
        text = f"Events lost since the start: {sum(lost.values()):,}{f' ({causes})' * bool(lost)}"
        if page.resyncs:
            times = "once" if page.resyncs == 1 else f"{page.resyncs:,} times"
            text += f"; the index was made true again {times}"
        yield text
    for camera, why in page.unheard.items():
        yield f"  {camera}: nothing is heard of it ({forms.name(why)})"
    for camera, why in page.partly_unheard.items():
        yield f"  {camera}: nothing is heard of a part of it ({forms.name(why)})"
    if page.unwatched:
        yield f"  directories without a watch, compared every 30 s: {page.unwatched:,}"


def _errors(page: StatsPage, zone: tzinfo | None) -> str:
    last = page.last_error
    if not page.stats.errors or last is None:
        return f"Errors: {page.stats.errors}"
    when = forms.time(last.at_s, zone)
    return (
        f"Errors: {page.stats.errors} (last {when}: {last.reason}, {forms.name(last.path)}:"
        f" {forms.name(last.detail)})"
    )


def _backlog(page: StatsPage) -> str:
    backlog = page.backlog
    if backlog is None:
        return "Backlog: not known (only a running service knows)"
    return (
        f"Backlog: {forms.files(backlog.files)}, {forms.gigabytes(backlog.size_bytes)}"
        f" ({backlog.not_probed} not yet probed)"
    )


def _originals(page: StatsPage, zone: tzinfo | None) -> str:
    waiting = page.originals
    if waiting is None:
        return "Originals waiting: not known (only a running service knows)"
    if not waiting.files:
        return "Originals waiting: none"
    text = f"Originals waiting: {forms.files(waiting.files)}, {forms.gigabytes(waiting.size_bytes)}"
    if waiting.next_deletion_s is not None:
        text += f", next deletion {forms.time(waiting.next_deletion_s, zone)}"
    if waiting.overdue:
        text += f" ({waiting.overdue} overdue: `watcher check` says why)"
    return text


def _skipped(page: StatsPage) -> Iterator[str]:
    if not page.skipped:
        yield "Skipped: none"
        return
    yield f"Skipped: {forms.files(sum(files for files, _ in page.skipped.values()))}"
    by_number = sorted(page.skipped.items(), key=lambda item: (-item[1][0], item[0]))
    width = max(len(reason) for reason in page.skipped)
    for reason, (files, size) in by_number:
        yield (
            f"  {reason:<{width}}  {forms.files(files):>13}  {forms.gigabytes(size):>10}"
            f"  {meaning(reason).sentence}"
        )


def _damaged(page: StatsPage) -> Iterator[str]:
    for camera, seen in sorted(page.soundness.items()):
        if seen.damaged:
            converted = f", {seen.converted} of them converted" if seen.converted else ""
            yield (
                f"  damaged recordings of {camera}: {seen.damaged} of the last {seen.judged}"
                f" ({forms.percent(seen.damaged_percent)}){converted}"
            )
