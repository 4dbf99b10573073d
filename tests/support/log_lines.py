"""Holds lines of a real log to the catalogue: their form, their events, their fields."""

import json
import logging
from collections.abc import Iterable
from datetime import datetime

from watcher.events import CATALOGUE, COMMON_FIELDS

EVERY_LINE = {"ts", "level", "event", "exception", "cut_bytes"}
LEVELS = {"debug", "info", "warning", "error", "critical"}
MOST_BYTES = 48_000


def problems(lines: Iterable[str | bytes]) -> list[str]:
    """Say everything that is wrong with *lines*, line by line."""
    found: list[str] = []
    for number, line in enumerate(lines, 1):
        found += [f"line {number}: {problem}: {line!r}" for problem in problems_of(line)]
    return found


def problems_of(line: str | bytes) -> list[str]:
    """Say everything that is wrong with one line."""
    size = len(line if isinstance(line, bytes) else line.encode())
    try:
        fields = json.loads(line)
        moment = datetime.fromisoformat(fields["ts"])
        event, level = fields["event"], fields["level"]
    except (ValueError, KeyError, TypeError) as error:
        return [f"no line of ours ({error!r})"]
    kind = CATALOGUE.get(event)
    if kind is None:
        return [f"no such event as {event}"]
    unknown = fields.keys() - kind.fields - COMMON_FIELDS - EVERY_LINE
    checks = {
        f"unknown fields {sorted(unknown)}": bool(unknown),
        "not in UTC": moment.utcoffset() is None or bool(moment.utcoffset()),
        f"no such level as {level}": level not in LEVELS,
        "not at its level": event != "log" and level != logging.getLevelName(kind.level).lower(),
        "too long": size > MOST_BYTES,
    }
    return [problem for problem, is_so in checks.items() if is_so]
