"""Why a file is, or is not, next: what index, ledger and window know of it, put together.

The sentences are `report.why`'s; here only the facts are gathered. Without a service the same is
found out by one look at the file, with an index of nothing else.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from watcher.config import Camera
from watcher.gate.asking import NoAnswer, patient
from watcher.ledger.ledger import Fingerprint, Kind, Ledger, Remembered
from watcher.replace.marker import marker_name, original_name, recording_of
from watcher.report.why import Standing, Why
from watcher.segments import why as look
from watcher.segments.filesystems import FileSystem, file_system_of
from watcher.segments.index import SegmentIndex
from watcher.segments.segment import Segment

if TYPE_CHECKING:
    from watcher.service import Service

_STANDING = {
    look.Standing.NOT_UNDER_A_CAMERA: Standing.NO_CAMERA,
    look.Standing.ABSENT: Standing.MISSING,
    look.Standing.UNREADABLE: Standing.UNKNOWN,
    look.Standing.OUR_OWN_FILE: Standing.OURS,
    look.Standing.NO_MATCH: Standing.NO_MATCH,
    look.Standing.SYMBOLIC_LINK: Standing.SYMBOLIC_LINK,
    look.Standing.BEHIND_A_LINK: Standing.BEHIND_A_LINK,
    look.Standing.NOT_A_FILE: Standing.NOT_A_FILE,
    look.Standing.NOT_INDEXED: Standing.UNKNOWN,
    look.Standing.OPEN: Standing.OPEN,
    look.Standing.REPLACED: Standing.TRANSCODED,
    look.Standing.SETTLED: Standing.REFUSED,
    look.Standing.TOO_YOUNG: Standing.TOO_YOUNG,
    look.Standing.IN_LINE: Standing.NEXT,
}
_SAID_BY_THE_STANDING = (
    look.Standing.ABSENT,
    look.Standing.SYMBOLIC_LINK,
    look.Standing.NOT_A_FILE,
    look.Standing.OPEN,
    look.Standing.TOO_YOUNG,
    look.Standing.IN_LINE,
)
_OF_VERDICT = {
    Kind.REFUSED: Standing.REFUSED,
    Kind.FAILED: Standing.FAILED,
    Kind.QUARANTINED: Standing.QUARANTINED,
}
_NIGHTS_AHEAD = 400

_WITHIN_S = 1.0
"""The service answers one question at a time: a share that hangs must not keep the next ones."""

_ask_lstat = patient(os.lstat, _WITHIN_S)
_ask_realpath = patient(os.path.realpath, _WITHIN_S)


def why_of(service: "Service", path: str) -> Why:
    """Say why *path* is, or is not, next; from index, ledger and window together."""
    now_s, index = service.clock.wall_s(), service.watch.index
    cameras = service.config.cameras
    found = _looked_at(path, cameras, index, now_s)
    entry = index.get(found.path)
    if entry and not _is_as_known(service, entry.segment):
        found = _looked_at(path, cameras, index, now_s)
    answer = _base(found, cameras)
    job = service.shift.current
    if job is not None and job.segment.path == found.path:
        return replace(answer, standing=Standing.RUNNING, detail=None)
    if found.standing is look.Standing.REPLACED:
        waiting = [one for one in service.watch.tender.originals.all() if one.path == found.path]
        until_s = waiting[0].held.until_s if waiting else None
        return _replaced(answer, service.ledger, until_s)
    if found.standing is look.Standing.SETTLED:
        return _settled(answer, service.ledger.explain(found.path))
    if found.standing is look.Standing.IN_LINE:
        return _in_line(answer, service, found)
    unseen = found.standing in {look.Standing.NOT_INDEXED, look.Standing.ABSENT}
    return _not_indexed(answer, service) if unseen else answer


def _looked_at(path: str, cameras: Iterable[Camera], index: SegmentIndex, now_s: float) -> look.Why:
    return look.why(
        path,
        cameras,
        index,
        now_s=now_s,
        sidecar_of=recording_of,
        lstat=_ask_lstat,
        realpath=_realpath,
    )


def _not_indexed(answer: Why, service: "Service") -> Why:
    unheard = service.watch.unheard().get(answer.camera or "")
    if unheard is not None:
        return replace(answer, detail=f"nothing is heard of its camera: {unheard}")
    mounted = mounted_where(answer.path, answer.camera, service.config.cameras)
    return replace(answer, detail=mounted or answer.detail)


def mounted_where(
    path: str,
    camera: str | None,
    cameras: Iterable[Camera],
    ask: Callable[[str], FileSystem | None] = file_system_of,
) -> str | None:
    """Say whether what is mounted below its camera's directory keeps a file from being known."""
    known, system = next((c for c in cameras if c.name == camera), None), ask(os.path.dirname(path))
    if known is None or system is None or known.watch == "poll":
        return None
    if system.problem:
        return f"{system.problem}; {system.remedy}"
    point = system.mount.point
    if system.mount.is_bind and point.startswith(os.path.realpath(known.path) + "/"):
        return f"{point} is mounted from elsewhere (bind): what has another path, too, has that one"
    return None


def _is_as_known(service: "Service", segment: Segment) -> bool:
    try:
        return service.watch.confirm(segment)
    except NoAnswer:  # its disk hangs: what was known is said
        return True


def why_without_service(
    path: str,
    cameras: Iterable[Camera],
    ledger: Ledger,
    decides: Fingerprint,
    *,
    min_age_s: float,
    now_s: float,
) -> Why:
    """Say the same where no service runs."""
    cameras, index = tuple(cameras), SegmentIndex(min_age_s)
    found = _looked_at(path, cameras, index, now_s)
    if found.standing is look.Standing.NOT_INDEXED and found.camera is not None:
        _put(index, found.camera, found.path, ledger, decides)
        found = _looked_at(found.path, cameras, index, now_s)
    answer = replace(_base(found, cameras), service_runs=False)
    if found.standing is look.Standing.REPLACED:
        return _replaced(answer, ledger, None)
    if found.standing is look.Standing.SETTLED:
        return _settled(answer, ledger.explain(found.path))
    return answer


def index_one(index: SegmentIndex, camera: str, path: str) -> Segment:
    """Let *index* know of the one file at *path*, as a walk would; raises OSError."""
    directory, name = os.path.split(path)
    status = _ask_lstat(path)
    for beside in (marker_name(name), original_name(name)):
        if os.path.lexists(os.path.join(directory, beside)):
            index.put_sidecar(directory, name, beside)
    segment = Segment(camera, directory, name, status.st_size, status.st_mtime_ns)
    index.put(segment)
    return segment


def _put(index: SegmentIndex, camera: str, path: str, ledger: Ledger, decides: Fingerprint) -> None:
    try:
        segment = index_one(index, camera, path)
    except OSError:
        return  # it went meanwhile
    verdict = ledger.verdict(path, segment.size_bytes, segment.mtime_ns, decides)
    if verdict is not None:
        index.settle(path, verdict.reason, verdict.retry_at_s)


def _base(found: look.Why, cameras: Iterable[Camera]) -> Why:
    camera = next((one for one in cameras if one.name == found.camera), None)
    status = _lstat(found.path) if found.camera else None
    return Why(
        path=found.path,
        standing=_STANDING[found.standing],
        reason=found.reason,
        detail=None if found.standing in _SAID_BY_THE_STANDING else found.detail,
        camera=found.camera,
        cameras={one.name: one.path for one in cameras},
        patterns=tuple(camera.patterns) if camera else (),
        size_bytes=status.st_size if status else None,
        mtime_s=status.st_mtime if status else None,
        until_s=found.eligible_at_s,
    )


def _realpath(path: str) -> str:
    try:
        return _ask_realpath(path)
    except OSError:
        return path


def _lstat(path: str) -> os.stat_result | None:
    try:
        return _ask_lstat(path)
    except OSError:
        return None


def _replaced(answer: Why, ledger: Ledger, until_s: float | None) -> Why:
    outcome = ledger.outcome_of(answer.path)
    if outcome is None:
        return replace(answer, until_s=until_s)
    return replace(
        answer,
        until_s=until_s,
        decided_at_s=outcome.finished_at_s,
        saved_bytes=outcome.original_size - outcome.new_size,
    )


def _settled(answer: Why, known: Remembered | None) -> Why:
    """Add what the ledger remembers; without it, what the shift passed over (retention_first)."""
    if known is None or known.verdict.reason != answer.reason:
        return answer
    verdict = known.verdict
    return replace(
        answer,
        standing=_OF_VERDICT[verdict.kind],
        detail=known.detail,
        decided_at_s=known.decided_at_s,
        decided_by=verdict.ground,
        attempts=verdict.attempts,
        until_s=verdict.retry_at_s,
    )


def _in_line(answer: Why, service: "Service", found: look.Why) -> Why:
    """Add its place in the line, and in which night its turn is to be expected."""
    entry = service.watch.index.get(found.path)
    work_s = service.shift.expected_work_s(entry.segment) if entry else None
    hold = service.shift.hold
    before = (found.position or 1) - 1
    at_s = None
    if work_s is not None:
        at_s = _opening_after(service, before * work_s)
    elif before == 0:
        at_s = _opening_after(service, 0.0)
    return replace(
        answer,
        position=found.position,
        expected_work_s=work_s,
        expected_at_s=at_s,
        held_by=hold.detail if hold else _held_by(service),
    )


def _held_by(service: "Service") -> str | None:
    if not service.enabled():
        return "transcoding is switched off (`watcher enable`)"
    if not service.window.state(service.clock.wall_s()).is_open:
        return "the schedule window"
    halt = service.shift.halt or service.shift.closed_by
    return halt.message if halt else None


def _opening_after(service: "Service", work_s: float) -> float | None:
    """When so much work will have been done: what waits before it is taken to be like it."""
    now_s = service.clock.wall_s()
    for opens_s, closes_s in service.window.openings(now_s, now_s + _NIGHTS_AHEAD * 86400):
        if work_s < closes_s - opens_s:
            return opens_s + work_s
        work_s -= closes_s - opens_s
    return None
