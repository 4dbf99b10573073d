"""`watcher why FILE`: what a file is, why it is or is not next, and what it waits for. Pure.

The shell finds out where the file stands; here that becomes sentences, each with what a person can
do about it.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from enum import StrEnum

from watcher.report import forms
from watcher.report.reasons import meaning


class Standing(StrEnum):
    """Where a path stands."""

    MISSING = "missing"
    NO_CAMERA = "no_camera"
    NO_MATCH = "no_match"
    SYMBOLIC_LINK = "symbolic_link"
    BEHIND_A_LINK = "behind_a_link"
    NOT_A_FILE = "not_a_file"
    OURS = "ours"
    OPEN = "open"
    TOO_YOUNG = "too_young"
    NEXT = "next"
    RUNNING = "running"
    REFUSED = "refused"
    FAILED = "failed"
    QUARANTINED = "quarantined"
    TRANSCODED = "transcoded"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Why:
    """What is known of the file; None is what is not known, or does not apply."""

    path: str
    standing: Standing
    reason: str | None = None
    detail: str | None = None
    camera: str | None = None
    cameras: Mapping[str, str] = field(default_factory=dict)  # name → path
    patterns: tuple[str, ...] = ()
    size_bytes: int | None = None
    mtime_s: float | None = None
    until_s: float | None = None  # too young until; failed: next try; transcoded: original kept
    decided_at_s: float | None = None
    decided_by: str | None = None
    attempts: int | None = None
    position: int | None = None  # 1: the next
    expected_at_s: float | None = None  # the night in which its turn comes
    expected_work_s: float | None = None
    held_by: str | None = None  # what keeps the next one waiting
    saved_bytes: int | None = None
    service_runs: bool = True


def render_why(why: Why, zone: tzinfo | None = None) -> str:
    """Give the answer as a person reads it, the last line ended."""
    return "\n".join([forms.name(why.path), *(f"  {line}" for line in _lines(why, zone))]) + "\n"


def why_json(why: Why) -> dict[str, object]:
    """Give the answer as plain values."""
    known = meaning(why.reason) if why.reason else None
    return {
        "path": forms.name(why.path),
        "state": why.standing.value,
        "reason": why.reason,
        "sentence": known.sentence if known else None,
        "remedy": known.remedy if known else None,
        "detail": why.detail and forms.name(why.detail),
        "camera": why.camera,
        "size_bytes": why.size_bytes,
        "mtime": forms.utc(why.mtime_s),
        "until": forms.utc(why.until_s),
        "decided_at": forms.utc(why.decided_at_s),
        "attempts": why.attempts,
        "position": why.position,
        "expected_at": forms.utc(why.expected_at_s),
        "expected_work_s": why.expected_work_s,
        "held_by": why.held_by,
        "saved_bytes": why.saved_bytes,
    }


def _lines(why: Why, zone: tzinfo | None) -> Iterator[str]:
    if why.camera is not None:
        yield f"camera: {why.camera}"
    if why.size_bytes is not None:
        written = "" if why.mtime_s is None else f", written {forms.time(why.mtime_s, zone)}"
        yield f"{forms.size(why.size_bytes)}{written}"
    yield from _standing(why, zone)
    if not why.service_runs:
        yield "note: no service has answered; this is what the ledger and the file system say"


_SIMPLY = {
    Standing.MISSING: "there is no such file",
    Standing.SYMBOLIC_LINK: "it is a symbolic link; links are not followed, name the file itself",
    Standing.BEHIND_A_LINK: "a directory on its way is a symbolic link; links are not followed",
    Standing.NOT_A_FILE: "it is not a regular file",
    Standing.OURS: "Watcher made it, beside a recording; it is never a candidate",
    Standing.OPEN: "it is being written, or its close is not known yet",
    Standing.RUNNING: "it is being transcoded now",
    Standing.UNKNOWN: "nothing is known of it yet",
}


def _standing(why: Why, zone: tzinfo | None) -> Iterator[str]:
    match why.standing:
        case Standing.NO_CAMERA:
            yield "it lies under no configured camera; these are:"
            yield from (f"  {name}: {forms.name(path)}" for name, path in why.cameras.items())
        case Standing.NO_MATCH:
            yield f"its name matches none of the camera's patterns: {', '.join(why.patterns)}"
        case Standing.TOO_YOUNG:
            yield f"too young: a candidate from {forms.time(why.until_s, zone)}"
        case Standing.NEXT:
            yield from _next(why, zone)
        case Standing.TRANSCODED:
            yield from _transcoded(why, zone)
        case Standing.REFUSED | Standing.FAILED | Standing.QUARANTINED:
            yield from _verdict(why, zone)
        case simple:
            yield _SIMPLY[simple]
            if why.detail:
                yield forms.name(why.detail)


def _next(why: Why, zone: tzinfo | None) -> Iterator[str]:
    if why.position is None:
        yield "of age: a candidate"
        if not why.service_runs:
            yield "its place in line and its night: only a running service knows them"
    elif why.position == 1:
        yield "of age: the next in line"
    else:
        yield f"of age: number {why.position:,} in line"
    if why.expected_at_s is not None:
        yield f"expected about {forms.time(why.expected_at_s, zone, seconds=False)}"
    elif why.position is not None and why.expected_work_s is None:
        yield "expected: not known before the first recording was transcoded here"
    elif why.position is not None:
        yield "expected: not within a year; `watcher stats` says what would change that"
    if why.expected_work_s is not None:
        yield f"expected to take {forms.duration(why.expected_work_s)}"
    if why.held_by:
        yield f"waits for: {why.held_by}"


def _transcoded(why: Why, zone: tzinfo | None) -> Iterator[str]:
    saved = f", {forms.size(why.saved_bytes)} saved" if why.saved_bytes is not None else ""
    yield f"transcoded {forms.time(why.decided_at_s, zone)}{saved}"
    if why.until_s is not None:
        yield f"its original is kept until {forms.time(why.until_s, zone)}: `watcher restore FILE`"


def _verdict(why: Why, zone: tzinfo | None) -> Iterator[str]:
    known = meaning(why.reason or "unknown")
    yield f"{why.standing.value}: {known.sentence} ({why.reason})"
    if why.detail and why.detail != known.sentence:
        yield forms.name(why.detail)
    if why.decided_at_s is not None:
        yield f"decided {forms.time(why.decided_at_s, zone)}"
    if settings := _settings(why.decided_by):
        yield f"decided with: {settings}"
    if why.standing is Standing.FAILED:
        yield f"failed{_times(why.attempts)}; next try from {forms.time(why.until_s, zone)}"
    elif why.standing is Standing.QUARANTINED:
        yield (
            f"failed{_times(why.attempts)} in three nights: left alone until it changes or"
            " `watcher retry FILE`"
        )
    elif why.until_s is not None:
        yield f"looked at again from {forms.time(why.until_s, zone)}"
    if known.remedy:
        yield f"what can be done: {known.remedy}"


def _times(attempts: int | None) -> str:
    if attempts is None:
        return ""
    return " once" if attempts == 1 else f" {attempts} times"


def _settings(ground: str | None) -> str:
    """Name the settings that a verdict rests on; nothing where it rests on the file alone."""
    try:
        known = json.loads(ground or "{}")
    except (ValueError, RecursionError):
        return ""
    if not isinstance(known, dict):
        return ""
    return ", ".join(
        f"{name} {_value(value)}"
        for name, value in known.items()
        if name != "rules" and value is not None
    )


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()  # as it stands in the configuration
    return forms.name(" ".join(map(str, value)) if isinstance(value, list) else str(value))
