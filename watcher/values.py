"""The types of the configuration's values: what each may be, and what is said when it is not.

Every validator here names what would be right. The models in `config` say which key has which.
Pure, but for the time zone database.
"""

import os
import re
import shlex
import zoneinfo
from collections.abc import Callable
from typing import Annotated, Literal, TypeAlias, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator

from watcher.mistakes import did_you_mean, shown, wrong
from watcher.schedule import EXAMPLES, parse_schedule

Check: TypeAlias = Callable[[object], object]

SUFFIXES = (".mp4", ".mkv", ".mov")
"""What the names of recordings end in: containers that are written back as what they were."""
SOURCE_CODECS = ("h264", "mpeg4", "mpeg2video", "mjpeg")
"""What may be converted; h264 is what cameras send."""

_MOST_LABELS = 15


def number(low: float, high: float, unit: str, *, whole: bool = False) -> Check:
    """Make a check for a number from *low* to *high*, both included."""
    kind = "whole number" if whole else "number"
    right = f"a {kind} from {low:g} to {high:g} {unit} is right"

    def check(value: object) -> object:
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            quoted = isinstance(value, str) and _is_number(value)
            raise wrong("is a text" if quoted else f"is no {kind}", right + quoted * ", unquoted")
        if not low <= value <= high:
            raise wrong("is out of range", right)
        return value

    return check


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def one_of(literal: object) -> BeforeValidator:
    """Make a validator for the values of a `Literal`."""
    allowed: tuple[str, ...] = get_args(literal)

    def check(value: object) -> object:
        if isinstance(value, str) and value in allowed:
            return value
        raise wrong("is not known", f"{did_you_mean(value, allowed)}{', '.join(allowed)} are right")

    return BeforeValidator(check)


def _or_null(check: Check) -> BeforeValidator:
    return BeforeValidator(lambda value: None if value is None else check(value))


def _yes_or_no(value: object) -> object:
    if isinstance(value, bool):
        return value
    raise wrong("is neither true nor false", "true or false is right, without quotes")


def _text(value: object) -> object:
    if not isinstance(value, str):
        raise wrong("is no text", "put it into quotes")
    if not value.strip() or any(sign in value for sign in "\0\r\n"):
        raise wrong("is empty or has more than one line", "a text of one line is right")
    return value


def _texts(value: object) -> object:
    if not isinstance(value, list | tuple) or not value:
        raise wrong("is no list, or an empty one", 'a list is right, such as ["first", "second"]')
    for item in value:
        _text(item)
    return tuple(value)


def _web_address(value: object) -> object:
    text = str(_text(value))
    right = "an address such as http://loki.lan:3100 is right"
    try:
        parts = urlsplit(text)
        named = parts.hostname is not None and parts.port != 0
    except ValueError:
        named = False
    if not named or parts.scheme not in {"http", "https"}:
        raise wrong("is no web address", right)
    if parts.username is not None or parts.password is not None:
        raise wrong("has a user or password in it", "give username and password_file of their own")
    return text


def _labels(labels: dict[str, str]) -> dict[str, str]:
    for name in labels:
        if not re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_]*", name):
            raise wrong(f"{shown(name)} is no name of a label", "letters, digits and _ are right")
    if len({"host", "service_name", *labels}) > _MOST_LABELS:
        right = f"at most {_MOST_LABELS}, host and service_name among them, are right"
        raise wrong("are more labels than Loki takes", right)
    return labels


def _absolute(value: object) -> object:
    if not isinstance(value, str) or not value or "\0" in value:
        raise wrong("is no path", "a text such as /srv/recordings/cam1 is right")
    if not os.path.isabs(value):
        right = os.path.abspath(os.path.expanduser(value))
        raise wrong("is no absolute path", f"{shown(right)} is one, if that is meant")
    return os.path.normpath(value)


def _patterns(patterns: tuple[str, ...]) -> tuple[str, ...]:
    for pattern in patterns:
        if pattern.lower().endswith(".ts"):
            raise wrong("MPEG-TS can't be proven when written back", "leave out *.ts")
        if "/" in pattern or not pattern.lower().endswith(SUFFIXES):
            raise wrong(
                f"{shown(pattern)} could match what is no recording",
                f"a file's name or pattern that ends in {', '.join(SUFFIXES)} is right",
            )
    return patterns


def _segment_seconds(value: object) -> object:
    if value is None or value == "auto":
        return value
    if isinstance(value, str):
        raise wrong("is no number of seconds", "a whole number, auto or null is right")
    return number(1, 86400, "seconds", whole=True)(value)


def _command(value: object) -> object:
    command = str(_text(value))
    try:
        shlex.split(command)
    except ValueError as error:
        raise wrong(f"can't be split into words ({error})", "close the quotes") from None
    return command


def _schedule(value: object) -> object:
    if not isinstance(value, str):
        raise wrong("is no schedule", f"{EXAMPLES} are")
    try:
        parse_schedule(value)
    except ValueError as error:
        raise wrong("is no schedule", str(error)) from None
    return value


def _timezone(value: object) -> object:
    name = str(_text(value))
    try:
        zoneinfo.ZoneInfo(name)
    except Exception:  # noqa: BLE001 - a key error, an OS error, a Unicode error: all are "unknown"
        meant = did_you_mean(name, zoneinfo.available_timezones())
        right = meant.strip() or "Europe/Berlin is one"
        raise wrong("is no known time zone", right) from None
    return name


def _quality(value: object) -> object:
    check = number(1, 51, "(lower is better; 23 is usual)", whole=True)
    if value == "auto":
        raise wrong("comes with a later version", "a whole number from 1 to 51; 23 is usual")
    return check(value)


def _source_codecs(codecs: tuple[str, ...]) -> tuple[str, ...]:
    for codec in codecs:
        if codec in {"hevc", "h265", "av1"}:
            raise wrong(f"{codec} is what recordings become", "leave it out")
        if codec not in SOURCE_CODECS:
            known = ", ".join(SOURCE_CODECS)
            raise wrong(
                f"{shown(codec)} is not known", f"{did_you_mean(codec, SOURCE_CODECS)}{known} are"
            )
    return codecs


Truth = Annotated[bool, BeforeValidator(_yes_or_no)]
Text = Annotated[str, BeforeValidator(_text)]
OptionalText = Annotated[str | None, _or_null(_text)]
AbsolutePath = Annotated[str, BeforeValidator(_absolute)]
OptionalAddress = Annotated[str | None, _or_null(_web_address)]
Labels = Annotated[dict[str, Text], AfterValidator(_labels)]
OptionalPath = Annotated[str | None, _or_null(_absolute)]
OptionalCommand = Annotated[str | None, _or_null(_command)]
OptionalTimezone = Annotated[str | None, _or_null(_timezone)]
Schedule = Annotated[str, BeforeValidator(_schedule)]
Patterns = Annotated[tuple[str, ...], BeforeValidator(_texts), AfterValidator(_patterns)]
SourceCodecs = Annotated[tuple[str, ...], BeforeValidator(_texts), AfterValidator(_source_codecs)]
SegmentSeconds = Annotated[int | Literal["auto"] | None, BeforeValidator(_segment_seconds)]
Quality = Annotated[int, BeforeValidator(_quality)]

Days = Annotated[float, BeforeValidator(number(0, 36500, "days"))]
OptionalDays = Annotated[float | None, _or_null(number(0.01, 36500, "days"))]
Percent = Annotated[float, BeforeValidator(number(0, 100, "percent"))]
Limit = Annotated[float, BeforeValidator(number(0.1, 100, "percent"))]
Savings = Annotated[float, BeforeValidator(number(0, 95, "percent"))]
OptionalCelsius = Annotated[float | None, _or_null(number(30, 120, "degrees Celsius"))]
Minutes = Annotated[float, BeforeValidator(number(0, 1440, "minutes"))]
LongMinutes = Annotated[float, BeforeValidator(number(1, 1440, "minutes"))]
Seconds = Annotated[int, BeforeValidator(number(0, 86400, "seconds", whole=True))]
ShortSeconds = Annotated[float, BeforeValidator(number(0.1, 300, "seconds"))]
LongSeconds = Annotated[int, BeforeValidator(number(5, 86400, "seconds", whole=True))]
OptionalThreads = Annotated[int | None, _or_null(number(1, 1024, "threads", whole=True))]
Gigabytes = Annotated[float, BeforeValidator(number(0, 10**6, "GB"))]
OptionalGigabytes = Annotated[float | None, _or_null(number(0, 10**6, "GB"))]
Bytes = Annotated[int, BeforeValidator(number(0, 2**40, "bytes", whole=True))]
