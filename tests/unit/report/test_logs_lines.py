"""The check that real nights' logs are held to finds what is wrong with a line."""

import json

import pytest
from support.log_lines import problems

GOOD = {
    "ts": "2026-01-02T03:04:05.000001Z",
    "level": "info",
    "event": "segment_closed",
    "camera": "cam1",
    "path": "/a.mp4",
    "size_bytes": 1,
}


def test_a_good_line_has_no_problem() -> None:
    assert problems([json.dumps(GOOD), json.dumps(GOOD).encode()]) == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"event": "segment_shut"}, "no such event"),
        ({"bytes": 1}, "unknown fields"),
        ({"level": "warning"}, "level"),
        ({"level": "loud"}, "no such level"),
        ({"ts": "yesterday"}, "no line of ours"),
        ({"ts": "2026-01-02T03:04:05+01:00"}, "UTC"),
        ({"path": "x" * 60_000}, "too long"),
    ],
)
def test_what_is_wrong_is_found(change: dict[str, object], word: str) -> None:
    (found, *_) = problems([json.dumps({**GOOD, **change})])
    assert word in found


def test_what_is_no_line_is_found() -> None:
    assert len(problems(["Traceback (most recent call last):", "[]", "{}"])) == 3
