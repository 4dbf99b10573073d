"""What to do about a swap that was cut short: the whole table of SWAP.md, as one pure table.

Decides and touches nothing. `classify` says what a name shows from a look and, where the look
alone can't tell, a digest; `plan` gives the row for what was found. Every combination is in the
table; a look that failed for any reason but ENOENT never gets here: unknown means do nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from types import MappingProxyType

from watcher.replace.files import Look
from watcher.replace.marker import Identity, Marker


class Thing(StrEnum):
    """What a name shows, in the marker's words."""

    O = "O"  # noqa: E741 - the protocol's own words; the table has to read as SWAP.md does
    N = "N"
    C = "C"  # the copy's own inode, its contents changed: written in place, cut, or damaged
    X = "X"  # neither: something newer, a link, a directory
    NOTHING = "–"  # noqa: RUF001 - the protocol's sign


class MarkerState(StrEnum):
    """What stands at the marker's name."""

    NONE = "none"
    FOREIGN = "foreign"  # something that never was a marker of ours
    TORN = "torn"
    INTENT = "intent"
    DONE = "done"
    RESTORE = "restore"
    RETURN = "return"


class Temporary(StrEnum):
    """What stands at the temporary name."""

    NOTHING = "nothing"
    LOCKED = "locked"  # somebody's work
    ORIGINAL = "original"  # the original, and nowhere else: no act of ours does this
    SPARE = "spare"  # any other regular file: half made, or a marker that was being written
    FOREIGN = "foreign"  # a directory, a link, a device


class Action(StrEnum):
    """One step of recovery; every one but END, LEAVE is followed by another look."""

    END = "nothing to do"
    LEAVE = "left alone"
    UNLINK_TEMPORARY = "temporary file removed"
    TEMPORARY_TO_ORIGINAL = "original moved from the temporary name"
    UNLINK_MARKER = "marker removed"
    UNLINK_COPY = "copy removed"
    UNLINK_PROVEN = "second original removed"
    MOVE_BACK = "moved back to its name"
    MARK_DONE = "replacement completed"
    KEEP_COPY = "copy kept"  # in no row: see `steps.plan_for`


class Standing(StrEnum):
    """How a recording and our files beside it stand when recovery has nothing more to do."""

    CLEAN = "clean"  # none of our files: it may be a candidate
    HELD = "held"  # replaced; its original waits for the end of the safety period
    ORPHAN = "orphan"  # an original whose recording was deleted or made anew
    BLOCKED = "blocked"  # something that only a person can judge
    WORKING = "working"  # somebody is at work on it
    UNKNOWN = "unknown"  # it could not be looked at


@dataclass(frozen=True, slots=True)
class Row:
    """What the table says: an action, or an end; *report* is what a person should hear of it."""

    action: Action
    standing: Standing = Standing.CLEAN
    report: str = ""
    restored: bool = False
    """The name holds its original because its owner wanted that: remember the verdict."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a set of files shows."""

    marker: MarkerState
    name: Thing
    original: Thing
    temporary: Temporary = Temporary.NOTHING

    def __str__(self) -> str:
        """Give it as a person may read it in a log line."""
        words = f"marker {self.marker}, name {self.name}, original {self.original}"
        if self.temporary is Temporary.NOTHING:
            return words
        return f"{words}, temporary {self.temporary}"


def classify(look: Look | None, digest: str | None, marker: Marker | None) -> Thing | None:
    """Say what a look shows; None where only the file's digest could tell."""
    if look is None:
        return Thing.NOTHING
    if marker is None or not look.is_regular:
        return Thing.X
    for thing, identity in ((Thing.O, marker.original), (Thing.N, marker.copy)):
        if same_file(look, identity) or digest == identity.sha256:
            return thing
    if digest is None and look.size in {marker.original.size, marker.copy.size}:
        return None
    return Thing.C if same_inode(look, marker.copy) else Thing.X


def same_file(look: Look, identity: Identity) -> bool:
    """Say whether the look shows that file, as far as a look can tell."""
    return (
        look.is_regular
        and same_inode(look, identity)
        and (look.size, look.mtime_ns) == (identity.size, identity.mtime_ns)
    )


def same_inode(look: Look | None, identity: Identity) -> bool:
    """Say whether the look shows that file's inode, whatever was written to it since."""
    if look is None:
        return False
    births = {look.birth_ns, identity.birth_ns} - {None}
    return look.inode == identity.inode and len(births) <= 1


def identity_of(look: Look, sha256: str) -> Identity:
    """Give what a marker keeps of the file that was looked at and read."""
    return Identity(look.inode, look.birth_ns, look.size, look.mtime_ns, sha256)


def plan(found: Found) -> Row:
    """Give the one row for what was found."""
    early = _TEMPORARY[found.temporary]
    if early is not None and (
        early.action is not Action.TEMPORARY_TO_ORIGINAL or found.original is Thing.NOTHING
    ):
        return early
    if found.temporary is Temporary.ORIGINAL:
        return _blocked("the original is at the temporary name, and its own place is taken")
    return TABLE[found.marker, found.name, found.original]


def may_be_put_back(found: Found) -> bool:
    """Whether the owner who asks for it may have back what no marker tells to be O.

    The name has to be free; and what has the original's name is the copy, or may have come out of
    our exchange. Beside a marker that tells of an O that was there an X is a stranger's.
    """
    if found.name is not Thing.NOTHING or found.temporary is not Temporary.NOTHING:
        return False
    untold = found.marker in {MarkerState.NONE, MarkerState.TORN, MarkerState.INTENT}
    return found.original is Thing.N or (untold and found.original in {Thing.X, Thing.C})


def _end(standing: Standing, report: str = "") -> Row:
    return Row(Action.END, standing, report)


def _blocked(report: str) -> Row:
    return _end(Standing.BLOCKED, report)


_TEMPORARY: Mapping[Temporary, Row | None] = {
    Temporary.NOTHING: None,
    Temporary.LOCKED: Row(Action.LEAVE, Standing.WORKING),
    Temporary.ORIGINAL: Row(Action.TEMPORARY_TO_ORIGINAL),
    Temporary.SPARE: Row(Action.UNLINK_TEMPORARY),
    Temporary.FOREIGN: Row(
        Action.LEAVE, Standing.BLOCKED, "no regular file stands at the temporary name"
    ),
}

_NAMES = {
    "O": (Thing.O,),
    "N": (Thing.N,),
    "C": (Thing.C,),
    "X": (Thing.X, Thing.C),  # where nothing is said of C it is something newer, as X
    "-": (Thing.NOTHING,),
    "-X": (Thing.NOTHING, Thing.X, Thing.C),
    "any": tuple(Thing),
}

_SWAP_ROWS = (
    # marker               name   orig   what follows (SWAP.md, Recovery, in its order)
    ("intent done restore return", "any", "-", Row(Action.UNLINK_MARKER)),
    ("intent done restore return", "O", "O", Row(Action.UNLINK_PROVEN)),
    ("intent done restore return", "O", "N", Row(Action.UNLINK_COPY)),
    (  # an exchange back would put a stranger's file at the name, if one took our name meanwhile
        "intent done restore return",
        "O",
        "X",
        Row(Action.UNLINK_MARKER, report="a foreign file stands at the original's name"),
    ),
    ("intent restore return", "N", "O", Row(Action.MARK_DONE)),
    ("done", "N", "O", _end(Standing.HELD)),
    (
        "intent done restore return",
        "N",
        "N",
        _end(Standing.HELD, "both files are the copy; the original is elsewhere or gone"),
    ),
    (  # out of our exchange, or put there by somebody who took the name: no stamp tells for sure
        "intent",
        "N",
        "X",
        _blocked(
            "what has the original's name may be a newer recording, or a stranger's: look at both"
        ),
    ),
    (
        "done restore return",
        "N",
        "X",
        _blocked("the held original was changed or replaced by something else"),
    ),
    ("intent restore", "-X", "N", Row(Action.UNLINK_COPY)),
    ("done return", "-X", "N", _end(Standing.ORPHAN)),
    ("return", "-", "O", Row(Action.MOVE_BACK)),
    ("intent done restore", "-", "O", _end(Standing.ORPHAN)),
    ("return", "X", "O", Row(Action.MARK_DONE)),  # filled since: free again, it was deleted since
    (  # a slip, fsck, a dying disk or the recorder: a deletion it is not
        "intent done restore",
        "C",
        "O",
        _blocked(
            "the copy was changed in place; its original is kept until a person restores or"
            " removes it"
        ),
    ),
    ("intent done restore", "X", "O", _end(Standing.ORPHAN)),
    (  # out of our exchange, or put there by somebody who took the name: it can't be told
        "intent done restore return",
        "-",
        "X",
        _blocked("neither file is one that the marker knows"),
    ),
    ("intent done restore return", "X", "X", _blocked("neither file is one that the marker knows")),
)

_OTHER_ROWS = (
    ("none", "any", "-", _end(Standing.CLEAN)),
    ("none", "any", "any", _blocked("original_exists: an original without a marker")),
    ("torn", "any", "-", Row(Action.UNLINK_MARKER)),
    ("torn", "any", "any", _blocked("an original beside a damaged or forged marker")),
    ("foreign", "any", "any", _blocked("a foreign file stands at the marker's name")),
)


def _expanded() -> Iterator[tuple[tuple[MarkerState, Thing, Thing], Row]]:
    for markers, names, originals, row in (*_SWAP_ROWS, *_OTHER_ROWS):
        for marker, name, original in product(markers.split(), _NAMES[names], _NAMES[originals]):
            yield (MarkerState(marker), name, original), _with_verdict(marker, name, row)


def _with_verdict(marker: str, name: Thing, row: Row) -> Row:
    """A marker taken from beside O, unless it was an intent, tells that its owner restored it."""
    if (
        row.action is Action.UNLINK_MARKER
        and name is Thing.O
        and marker in {"done", "restore", "return"}
    ):
        return Row(row.action, row.standing, row.report, restored=True)
    return row


def _tabled() -> Mapping[tuple[MarkerState, Thing, Thing], Row]:
    table: dict[tuple[MarkerState, Thing, Thing], Row] = {}
    for key, row in _expanded():
        table.setdefault(key, row)  # the first row that fits, as in SWAP.md
    return MappingProxyType(table)


TABLE: Mapping[tuple[MarkerState, Thing, Thing], Row] = _tabled()
"""Every combination, each with its row."""
