"""One log line from any values: it never fails, and it is never longer than a log may carry.

What comes in is whatever the caller had at hand: a file name that is not UTF-8, an integer over 64
bits, a dictionary with numbers for keys, a cycle. What goes out is one line of JSON without a line
break, of at most `MAX_LINE_BYTES`: journald splits a longer line (LineMax=48K) and so makes two
halves that nobody can parse; Loki refuses one over 256 KiB. Pure.
"""

import dataclasses
import os
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from enum import Enum

import orjson

MAX_LINE_BYTES = 48_000
_I64, _U64 = -(2**63), 2**64
_DEPTH = 6
_KEY_LIMIT = 100
_UNCUT, _DEEPEST = 2**31, 32
_ROUNDS = ((12_000, 200), (1_500, 40), (150, 8))
"""(characters of a string, items of a collection) that each further try lets through."""


def encode(fields: Mapping[str, object]) -> bytes:
    """Turn *fields* into one line of JSON; what is too long is cut, and the line says so."""
    try:
        line = orjson.dumps(fields)
    except Exception:  # noqa: BLE001 - whatever it is that orjson can't take, it is made plain below
        line = b""
    if line and len(line) <= MAX_LINE_BYTES:
        return line
    for text_limit, items_limit in _ROUNDS:
        line = orjson.dumps(_plain_mapping(fields, text_limit, items_limit, _DEPTH))
        if len(line) <= MAX_LINE_BYTES:
            return line
    few = {key: fields[key] for key in ("ts", "level", "event") if key in fields}
    return orjson.dumps({**_plain_mapping(few, 150, 8, 1), "cut_bytes": len(line)})


def document(fields: Mapping[str, object]) -> bytes:
    """Turn *fields* into JSON in its whole length: for a file that a program reads, not for a log.

    Text that is no valid Unicode (a name that is not UTF-8) is shown as in a log line.
    """
    try:
        return orjson.dumps(fields, default=str)
    except TypeError:
        return orjson.dumps(_plain_mapping(fields, _UNCUT, _UNCUT, _DEEPEST))


def text(value: object, limit: int = 12_000) -> str:
    """Give *value* as text that every encoder takes, cut in its middle to about *limit*."""
    if isinstance(value, str):
        plain = value
    elif isinstance(value, bytes | bytearray):
        plain = bytes(value[: 2 * limit]).decode("utf-8", "backslashreplace")
    else:
        plain = _described(value)
    if len(plain) > limit:
        half = limit // 2
        plain = f"{plain[:half]}…[{len(plain) - 2 * half} characters cut]…{plain[-half:]}"
    return _without_surrogates(plain)


def _without_surrogates(plain: str) -> str:
    """Show the bytes of a name that is not UTF-8 in hexadecimal, and other lone surrogates too."""
    try:
        plain.encode()
    except UnicodeEncodeError:
        try:
            return plain.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        except UnicodeEncodeError:
            return plain.encode("utf-8", "backslashreplace").decode()
    return plain


def _described(value: object) -> str:
    try:
        if isinstance(value, BaseException):
            return f"{type(value).__name__}: {value}"
        return str(value) if isinstance(value, int) else repr(value)
    except Exception:  # noqa: BLE001 - a __repr__ of somebody else's may do anything
        return f"<{type(value).__name__} that cannot be shown>"


def _plain_mapping(
    mapping: Mapping[object, object] | Mapping[str, object], chars: int, items: int, depth: int
) -> dict[str, object]:
    plain: dict[str, object] = {}
    for number, (key, value) in enumerate(mapping.items()):
        if number == items:
            plain["cut_items"] = len(mapping) - items
            break
        plain[text(key, _KEY_LIMIT)] = _plain(value, chars, items, depth - 1)
    return plain


def _plain(value: object, chars: int, items: int, depth: int) -> object:  # noqa: PLR0911 - a table
    """Give *value* as what JSON knows, its strings and collections cut."""
    if value is None or isinstance(value, bool | float):
        return None if value is None else float(value) if type(value) is not bool else value
    if isinstance(value, int):
        number = int(value)
        return number if _I64 <= number < _U64 else text(number, chars)
    if isinstance(value, str):
        return text(str.__str__(value), chars)
    if isinstance(value, Enum):
        return _plain(value.value, chars, items, depth)
    if isinstance(value, os.PathLike):
        return text(_path_of(value), chars)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {
            field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)
        }
    if depth > 0 and isinstance(value, Mapping):
        return _plain_mapping(value, chars, items, depth)
    if depth > 0 and isinstance(value, list | tuple | AbstractSet):
        kept = [_plain(item, chars, items, depth - 1) for item in list(value)[:items]]
        return kept if len(value) <= items else [*kept, f"…[{len(value) - items} items cut]"]
    return text(value, chars)


def _path_of(value: "os.PathLike[str] | os.PathLike[bytes]") -> object:
    try:
        return os.fspath(value)
    except Exception:  # noqa: BLE001 - see _described
        return value
