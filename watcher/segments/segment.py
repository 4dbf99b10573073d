"""What a recording is to the other rooms, and which names are recordings. Pure.

A *segment* is one closed file that a recorder left under a camera's directory. It is known by where
it stands, how large it is and when it was last written: the ledger's key, and the order of work.
What a segment looks like inside is the business of `transcode`.
"""

import fnmatch
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

NS_PER_S = 1_000_000_000
S_PER_DAY = 86_400


class State(StrEnum):
    """Where a segment stands on its way."""

    OPEN = "open"  # somebody is writing it, or its close is not known yet
    CANDIDATE = "candidate"  # waits for its age, the window and its turn
    SETTLED = "settled"  # there is a verdict: done, refused, or failed and waiting
    REPLACED = "replaced"  # a file of ours stands beside it: nothing beside it is ever a candidate


@dataclass(frozen=True, slots=True)
class Segment:
    """One recording: where, how large, how old."""

    camera: str
    directory: str
    name: str
    size_bytes: int
    mtime_ns: int

    @property
    def path(self) -> str:
        """The whole path, as `os.fsdecode` gives it."""
        return join(self.directory, self.name)

    @property
    def mtime_s(self) -> float:
        """When it was last written, in seconds since the epoch."""
        return self.mtime_ns / NS_PER_S


@dataclass(frozen=True, slots=True)
class Settled:
    """A verdict as the index needs it: why this segment is no candidate, and until when."""

    reason: str
    until_s: float | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """What the index knows of one segment."""

    segment: Segment
    state: State
    reason: str | None = None
    until_s: float | None = None


def join(directory: str, name: str) -> str:
    """Put a name below a directory."""
    return f"{directory}{name}" if directory.endswith("/") else f"{directory}/{name}"


def matcher(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Turn a camera's patterns into one quick test of a name.

    As in a shell: case counts, and a leading dot is matched by a literal dot alone, since hidden
    names are what recorders and copying tools write unfinished files under.
    """
    suffixes = endings(patterns)
    if suffixes:  # the ordinary case, three times as fast
        return lambda name: name.endswith(suffixes) and not name.startswith(".")
    expressions = [_expression(pattern) for pattern in patterns]
    whole = re.compile("|".join(expressions) or r"(?!)", re.DOTALL).match
    return lambda name: whole(name) is not None


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Say whether *name* is a recording's, by the camera's patterns."""
    return matcher(patterns)(name)


def endings(patterns: Sequence[str]) -> tuple[str, ...]:
    """What names end with, where that is all that the patterns ask for; else nothing.

    No name has two of them: what includes another is left out.
    """
    found = {p[1:]: None for p in patterns if p.startswith("*") and not _is_magic(p[1:])}
    if not all(p[1:] in found and p.startswith("*") for p in patterns):
        return ()
    return tuple(e for e in found if not any(e != o and e.endswith(o) for o in found))


def all_end_with(names: Sequence[str], endings: tuple[str, ...]) -> bool:
    """Whether each name matches; *endings* are those of `endings`.

    Asked of all at once, which takes a third of the time: no name holds a NUL.
    """
    text = "\0".join([*names, ""])
    is_one_hidden = text.startswith(".") or "\0." in text
    return not is_one_hidden and sum(text.count(end + "\0") for end in endings) == len(names)


def _expression(pattern: str) -> str:
    hidden = "" if pattern.startswith(".") else r"(?!\.)"
    return f"(?:{hidden}{fnmatch.translate(pattern)})"


def _is_magic(text: str) -> bool:
    return any(character in text for character in "*?[")
