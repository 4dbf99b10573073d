"""What ffmpeg's own help says about options, so that an argv can be held to it without a device.

`tests/support/help` holds the bundled ffmpeg's `-h encoder=…`, `-h muxer=…` and general sections
as they were printed. `problems(argv)` reads a whole command as ffmpeg would.
"""

import functools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HELP = Path(__file__).with_name("help")
SWITCHES = frozenset(
    {"hide_banner", "nostdin", "y", "nostats", "xerror", "copyts", "noautorotate", "stats"}
)
_MAIN = re.compile(r"^-(\w+)")
_OPTION = re.compile(r"^\s+-([\w-]+)\s+<(\w+)>\s+\S+\s*(.*)$")
_CHOICE = re.compile(r"^ {5}(\S+)\s+(-?\w+)?\s+[ED.]{2}")
_RANGE = re.compile(r"\(from (\S+) to (\S+)\)")
_NAMED = {"INT_MAX": 2**31, "INT_MIN": -(2**31), "FLT_MAX": math.inf, "-FLT_MAX": -math.inf}


@dataclass
class Option:
    """One row of ffmpeg's help: its type, bounds and named values."""

    kind: str
    low: float = -math.inf
    high: float = math.inf
    choices: set[str] = field(default_factory=set)

    def takes(self, value: str) -> bool:
        if value in self.choices:
            return True
        if self.kind == "flags":
            return all(word in self.choices for word in re.split(r"[+-]", value) if word)
        if self.kind == "boolean":
            return value in ("0", "1", "auto", "true", "false")
        if self.kind not in ("int", "int64", "float", "double"):
            return True
        try:
            return self.low <= float(value) <= self.high
        except ValueError:
            return False


def problems(argv: Sequence[str]) -> list[str]:
    """Say what ffmpeg would not understand of *argv*; nothing, where it would understand all."""
    known = _general() | _muxer(_after(argv, "-f"))
    encoder = _after(argv, "-c:v:0")
    if encoder:
        known |= _file(f"encoder_{encoder}.txt")
    wrong = []
    for name, value in options(argv):
        bare = name.split(":")[0]
        if bare.startswith("no") and bare.removeprefix("no") in known:
            continue
        if bare not in known:
            wrong.append(f"-{name}: no such option")
        elif value is not None and not known[bare].takes(value):
            wrong.append(f"-{name} {value}: not a value of it")
    return wrong


def options(argv: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Give each option of *argv* with its value; the program and file names are left out."""
    words = iter(argv[1:])
    for word in words:
        if word.startswith("-") and word != "-":
            name = word[1:]
            yield name, None if name in SWITCHES else next(words, None)


def encoder_options(encoder: str) -> frozenset[str]:
    """Name the private options of *encoder*."""
    return frozenset(_file(f"encoder_{encoder}.txt"))


def _after(argv: Sequence[str], word: str) -> str | None:
    """Give the last value of option *word*."""
    found = [argv[at + 1] for at, one in enumerate(argv[:-1]) if one == word]
    return found[-1] if found else None


def _muxer(name: str | None) -> dict[str, Option]:
    path = {"mp4": "mp4", "mov": "mp4"}.get(name or "", name or "")
    return _file(f"muxer_{path}.txt")


@functools.cache
def _general() -> dict[str, Option]:
    main = (HELP / "main.txt").read_text("utf-8").splitlines()
    known = {found[1]: Option("main") for line in main if (found := _MAIN.match(line))}
    known["i"] = Option("main")  # the one option that the help does not list
    return known | _file("codec.txt") | _file("format.txt")


@functools.cache
def _file(name: str) -> dict[str, Option]:
    known: dict[str, Option] = {}
    latest: Option | None = None
    path = HELP / name
    for line in path.read_text("utf-8").splitlines() if path.exists() else ():
        if found := _OPTION.match(line):
            latest = known[found[1]] = Option(found[2])
            if bounds := _RANGE.search(found[3]):
                latest.low, latest.high = (_figure(text) for text in bounds.groups())
        elif (found := _CHOICE.match(line)) and latest is not None:
            latest.choices |= {found[1], found[2] or found[1]}
    return known


def _figure(text: str) -> float:
    if text in _NAMED:
        return _NAMED[text]
    try:
        return float(text)
    except ValueError:
        return math.inf if not text.startswith("-") else -math.inf
