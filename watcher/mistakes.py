"""What is wrong with a configuration, said so that the person who wrote it can mend it.

`Mistake` and `ConfigError` are what a command or the service shows. The rest is for `config` and
its parts: what their validators raise, and pydantic's findings as `Mistake`s. Pure.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from pydantic_core import ErrorDetails, PydanticCustomError

from watcher.errors import WatcherError

KeyPath: TypeAlias = tuple[str | int, ...]
"""Where a value stands: ("recordings", "cam1", "patterns", 0)."""

Keys: TypeAlias = Mapping[KeyPath, tuple[str, ...]]
"""Every place and the keys that may stand there; "*" is a name that the person gives."""

_OURS = "watcher"
_LONGEST_VALUE = 80
_MOST_ITEMS = 10


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing to mend; *line* is None where it is in no file."""

    line: int | None
    key: str
    value: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        """Tell it in one line."""
        where = f"line {self.line}: " if self.line else ""
        value = f": {self.value}" if self.value else ""
        return f"{where}{self.key}{value}: {self.problem}; {self.remedy}"


class ConfigError(WatcherError):
    """A configuration that is not taken: every mistake in it, at once.

    *message* is the headline alone; the whole, a line for each mistake, is `str(error)`.
    """

    def __init__(self, name: str, mistakes: Iterable[Mistake]) -> None:
        self.name = name
        self.mistakes = tuple(sorted(mistakes, key=lambda m: (m.line or 0, m.key)))
        count = len(self.mistakes)
        head = f"{name}: {count} mistake{'s' if count != 1 else ''}"
        text = "\n".join([head, *(f"  {mistake}" for mistake in self.mistakes)])
        super().__init__("configuration", text, mistakes=count)
        self.message = head

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the mistakes across a process boundary."""
        return (type(self), (self.name, self.mistakes))


def wrong(problem: str, remedy: str) -> PydanticCustomError:
    """Give the error that a validator raises: what is wrong, and what would be right."""
    return PydanticCustomError(_OURS, "{problem}", {"problem": problem, "remedy": remedy})


def did_you_mean(value: object, known: Iterable[str]) -> str:
    """Give "did you mean X? " for the nearest of *known*, or nothing."""
    if not isinstance(value, str):
        return ""
    by_lower = {word.lower(): word for word in known}
    nearest = difflib.get_close_matches(value[:_LONGEST_VALUE].lower(), by_lower, n=1, cutoff=0.6)
    return f"did you mean {by_lower[nearest[0]]}? " if nearest else ""


def shown(value: object) -> str:
    """Give *value* about as the file has it, short and on one line; no password of an address."""
    if isinstance(value, list | tuple):
        plain = f"[{', '.join(shown(item) for item in value[:_MOST_ITEMS])}]"
    elif isinstance(value, Mapping):
        plain = f"({len(value)} keys)"
    elif value is None or isinstance(value, bool):
        plain = {None: "null", True: "true", False: "false"}[value]
    else:
        plain = f"{value:g}" if isinstance(value, float) else str(value)
    plain = "".join(sign if sign.isprintable() else "\ufffd" for sign in plain)
    plain = re.sub(r"://[^/@\s]*@", "://***@", plain)
    return plain if len(plain) <= _LONGEST_VALUE else plain[:_LONGEST_VALUE] + "…"


def dotted(path: KeyPath) -> str:
    """Give *path* as a person writes it: recordings.cam1.patterns[0]."""
    whole = ""
    for part in path:
        word = f"[{part}]" if isinstance(part, int) else shown(part) or '""'
        whole += word if isinstance(part, int) or not whole else f".{word}"
    return whole


def unknown_key(path: KeyPath, lines: Mapping[KeyPath, int], keys: Keys) -> Mistake:
    """Say that there is no such key here, and which was probably meant, or where it belongs."""
    name = str(path[-1])
    here = _here(path[:-1], keys)
    remedy = did_you_mean(name, here).strip()
    for place, known in keys.items():
        if not remedy and name in known:
            remedy = f"it belongs under `{dotted(place)}:`"
    remedy = remedy or f"known here: {', '.join(here)}"
    return Mistake(line_of(path, lines), dotted(path), "", "no such key", remedy)


def from_pydantic(
    error: ErrorDetails, lines: Mapping[KeyPath, int], keys: Keys
) -> tuple[Mistake, KeyPath]:
    """Translate one finding; give it, and the place that must go for the rest to be read."""
    path: KeyPath = error["loc"]
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return unknown_key(path, lines, keys), path
    line, key, value = line_of(path, lines), dotted(path), shown(error["input"])
    if kind == "missing":
        return Mistake(line, key, "", "is missing", "it has no default: give it"), path[:-1]
    if kind == _OURS:
        return Mistake(line, key, value, context["problem"], context["remedy"]), path
    if kind in {"model_type", "dict_type", "model_attributes_type"}:
        return Mistake(line, key, value, "is no mapping", "give `key: value` lines below it"), path
    return Mistake(line, key, value, error["msg"], "see etc/watcher.example.yaml"), path


def line_of(path: KeyPath, lines: Mapping[KeyPath, int]) -> int | None:
    """Give the line of *path*, or of the nearest thing around it that has one."""
    for length in range(len(path), -1, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return None


def _here(place: KeyPath, keys: Keys) -> tuple[str, ...]:
    return next((known for wanted, known in keys.items() if _fits(place, wanted)), ())


def _fits(place: KeyPath, wanted: KeyPath) -> bool:
    pairs = zip(place, wanted, strict=False)
    return len(place) == len(wanted) and all(b in (a, "*") for a, b in pairs)
