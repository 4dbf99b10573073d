"""What a person reads on a terminal, and what no file name can do to it."""

import json

from watcher.report.console import Console
from watcher.report.sinks import Line


def shown(**fields: object) -> str:
    data = json.dumps({"ts": "2026-01-02T03:04:05Z", "level": "info", "event": "x", **fields})
    return Console(colours=False)(Line(0, "info", "x", data.encode())).decode()


def test_a_line_begins_with_time_level_and_event() -> None:
    assert shown(camera="cam1", size_bytes=7).split() == [
        "2026-01-02T03:04:05Z",
        "[info",
        "]",
        "x",
        "camera=cam1",
        "size_bytes=7",
    ]


def test_control_characters_and_turned_writing_are_shown_not_obeyed() -> None:
    line = shown(path="/a\x1b[2J\r\n\x9b\u202e.mp4")
    assert line.count("\n") == 1
    assert "\\x1b[2J\\r\\n\\x9b\\u202e.mp4" in line


def test_a_traceback_is_told_in_lines_below_the_cause_first() -> None:
    frames = [{"filename": "a.py", "lineno": 3, "name": "f"}]
    line = shown(
        exception=[
            {"exc_type": "ValueError", "exc_value": "outer", "frames": frames},
            {"exc_type": "OSError", "exc_value": "inner", "frames": []},
        ]
    )
    assert [part.strip() for part in line.splitlines()[1:]] == [
        "OSError: inner",
        "a.py:3 in f",
        "ValueError: outer",
    ]
