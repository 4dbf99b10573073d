"""What the running service answers when a command asks: `stats`, `why`, `dump`, `retry`.

The service alone knows the index; a command that finds no service answers from the ledger and the
file system, through the same functions, and says that it does.
"""

import os
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from watcher.control import Request
from watcher.errors import WatcherError
from watcher.explain import why_of
from watcher.ledger.ledger import Fingerprint, Ledger
from watcher.report.page import (
    Activity,
    Backlog,
    LastError,
    Originals,
    StatsPage,
    Status,
    render_stats,
    stats_json,
)
from watcher.report.why import render_why, why_json
from watcher.segments.segment import S_PER_DAY

if TYPE_CHECKING:
    from watcher.service import Service


class Answers:
    """Takes each question that comes, and answers it."""

    def __init__(self, service: "Service") -> None:
        self._service = service
        self._lock = threading.Lock()
        self._verbs: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "stats": self._stats,
            "why": self._why,
            "retry": self._retry,
        }

    def give(self, name: str) -> None:
        """Answer what is asked in the file *name*; called when something happened to it."""
        with self._lock:
            request = self._service.state.take(name)
            if request is None:
                return
            if request.verb == "dump":
                self._service.dumping.ask(partial(self._dumped, request))
            else:
                self._service.state.answer(request, self._answer(request))

    def _answer(self, request: Request) -> dict[str, Any]:
        verb = self._verbs.get(request.verb)
        if verb is None:
            return {"error": f"this service does not know {request.verb!r}; is it older?"}
        try:
            return verb(request.arguments)
        except WatcherError as error:
            return {"error": error.message}
        except (KeyError, TypeError, ValueError) as error:
            return {"error": f"not understood: {error!r}"}

    def _stats(self, _arguments: Mapping[str, Any]) -> dict[str, Any]:
        page = stats_page(self._service)
        return {"text": render_stats(page), "json": stats_json(page)}

    def _why(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        answer = why_of(self._service, os.fsdecode(bytes.fromhex(arguments["path"])))
        return {"text": render_why(answer), "json": why_json(answer)}

    def _dumped(self, request: Request, came: str | WatcherError) -> None:
        """Answer when the dump is written: it takes long, and no other question waits for it."""
        if isinstance(came, WatcherError):
            self._service.state.answer(request, {"error": came.message})
        else:
            self._service.state.answer(request, {"path": os.fsencode(came).hex()})

    def _retry(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        watch = self._service.watch
        watch.tick()  # what the command has just forgotten in the ledger
        for path in arguments["paths"]:
            watch.look_at_verdict(os.fsdecode(bytes.fromhex(path)))
        self._service.shift.wake()
        return {}


def stats_page(service: "Service") -> StatsPage:
    """Gather what `stats` tells of a running service."""
    now_s, ledger, index = service.clock.wall_s(), service.ledger, service.watch.index
    counts, originals = index.counts(now_s), service.watch.tender.originals
    forecast = service.telling.forecast()
    window = service.window.state(now_s)
    job = service.shift.current
    seen = service.watch.observer.statistics()
    overdue = [one for one in originals.all() if one.held.until_s + S_PER_DAY < now_s]
    return StatsPage(
        now_s=now_s,
        stats=ledger.totals(),
        ledger_trouble=ledger.trouble(),
        status=status_of(service),
        current_file=job.segment.path if job else None,
        next_run_s=now_s if window.is_open else window.next_edge_s,
        min_age_days=service.config.transcoding.min_age_days,
        keep_original_days=service.config.transcoding.keep_original_s / S_PER_DAY,
        last_error=last_error(ledger),
        backlog=Backlog(forecast.backlog_files, forecast.backlog_bytes, counts.due),
        forecast=forecast,
        retention_days={k: v for k, v in service.telling.retention_days().items() if v is not None},
        originals=Originals(
            len(originals), originals.held_bytes(), originals.next_due_s(), len(overdue)
        ),
        skipped=skipped(ledger, service.watch.fingerprint),
        soundness=ledger.soundness(),
        lost=Counter(seen.losses) + service.flags.losses + service.watch.losses,
        resyncs=seen.resyncs,
        unheard=service.watch.unheard(),
        partly_unheard=seen.partly_unheard,
        unwatched=seen.unwatched,
    )


def stats_without_service(
    ledger: Ledger, decides: Fingerprint, now_s: float, min_age_days: float, activity: Activity
) -> StatsPage:
    """Gather what the ledger alone can tell."""
    return StatsPage(
        now_s=now_s,
        stats=ledger.totals(),
        ledger_trouble=ledger.trouble(),
        status=Status(activity),
        current_file=None,
        next_run_s=None,
        min_age_days=min_age_days,
        last_error=last_error(ledger),
        skipped=skipped(ledger, decides),
        soundness=ledger.soundness(),
    )


def status_of(service: "Service") -> Status:
    """Say in one word, and its detail, what the service is at."""
    shift = service.shift
    if not service.enabled():
        return Status(Activity.DISABLED)
    halt = shift.halt
    if halt is None and shift.hold is not None:
        return Status(Activity.HELD, shift.hold.detail)
    if halt is None and shift.current is not None:
        return Status(Activity.TRANSCODING)
    if not service.window.state(service.clock.wall_s()).is_open:
        return Status(Activity.OUTSIDE_WINDOW)
    halt = halt or shift.closed_by
    return Status(Activity.HALTED, halt.message) if halt else Status(Activity.IDLE)


def last_error(ledger: Ledger) -> LastError | None:
    """Give the last failure as the page tells it."""
    last = ledger.last_failure()
    return LastError(last.at_s, last.path, last.reason, last.detail) if last else None


def skipped(ledger: Ledger, decides: Fingerprint) -> dict[str, tuple[int, int]]:
    """Count what is left alone by reason: files and bytes; copies of ours are not *skipped*."""
    sums: dict[str, tuple[int, int]] = {}
    for (_, _, reason), (files, size) in ledger.counts(decides).items():
        if reason != "made_by_watcher":
            before = sums.get(reason, (0, 0))
            sums[reason] = (before[0] + files, before[1] + size)
    return sums
