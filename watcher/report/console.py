"""The log as a person reads it on a terminal; no file name can move the cursor or hide text."""

import orjson
import structlog

from watcher.report.sinks import Line

_UNSAFE = {
    code: ascii(chr(code))[1:-1]
    for code in (*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}
"""Control characters, and those that turn the direction of writing."""


class Console:
    """Renders a line: time, level, event, then its fields."""

    def __init__(self, *, colours: bool) -> None:
        self._render = structlog.dev.ConsoleRenderer(
            colors=colours, timestamp_key="ts", pad_event_to=24
        )

    def __call__(self, line: Line) -> bytes:
        """Give *line* for a terminal, its line break included."""
        plain = orjson.loads(line.data)
        trace = _trace(plain.pop("exception", None))
        fields = {_safe(key): _shown(value) for key, value in plain.items()}
        head = str(self._render(None, line.level, fields))
        return "\n".join([head, *trace, ""]).encode("utf-8", "backslashreplace")


def _safe(words: str) -> str:
    return words.translate(_UNSAFE)


def _shown(value: object) -> object:
    if isinstance(value, str):
        return _safe(value)
    if isinstance(value, list | dict):
        return _safe(orjson.dumps(value).decode())
    return value


def _trace(exception: object) -> list[str]:
    """Give the frames of a traceback that was made a dictionary, innermost last."""
    if not isinstance(exception, list):
        return []
    lines: list[str] = []
    for error in reversed(exception):
        if not isinstance(error, dict):
            continue
        lines.extend(
            f"    {_safe(str(frame.get('filename')))}:{frame.get('lineno')}"
            f" in {_safe(str(frame.get('name')))}"
            for frame in error.get("frames") or ()
            if isinstance(frame, dict)
        )
        lines.append(
            f"    {_safe(str(error.get('exc_type')))}: {_safe(str(error.get('exc_value')))}"
        )
    return lines
