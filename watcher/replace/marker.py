"""What stands beside a recording: the names of our files, and the marker's contents.

Pure: names to names, bytes to values and back. A marker is JSON with a checksum; it names files by
bare name only, and those have to be the ones derived from the recording it stands beside, so that
a forged or copied marker can't point anywhere else. Reading and writing it is `standing`'s and
`steps`' business.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import Any

_TEMPORARY_SUFFIX = ".transcoding"
_ORIGINAL_SUFFIX = ".original"
_MARKER_SUFFIX = ".transcoded"

LONGEST_ADDITION = len(_TEMPORARY_SUFFIX) + 1
"""How many bytes our longest name has beyond the recording's."""

SIZE_LIMIT_BYTES = 1 << 20
"""No marker is longer: one that claims to be is not ours."""

_MAGIC = b'{"watcher":'
_VERSION = 1
_DIGEST_LENGTH = 64
_WORD = 1 << 63
"""Sizes and times in nanoseconds are signed words of 64 bits, inodes unsigned ones."""
_LONGEST_S = 1e11
"""Three thousand years: every clock and every period is well below, and can be shown as a date."""
_HEXADECIMAL = frozenset("0123456789abcdef")


def temporary_name(name: str) -> str:
    """Name the output in the making; hidden, and never an original."""
    return f".{name}{_TEMPORARY_SUFFIX}"


def original_name(name: str) -> str:
    """Name the original after the swap."""
    return name + _ORIGINAL_SUFFIX


def marker_name(name: str) -> str:
    """Name the marker."""
    return name + _MARKER_SUFFIX


def recording_of(any_name: str) -> str | None:
    """Give the recording that one of OUR files stands beside; None for every other name."""
    name = ""
    if any_name.startswith(".") and any_name.endswith(_TEMPORARY_SUFFIX):
        name = any_name[1 : -len(_TEMPORARY_SUFFIX)]
    elif any_name.endswith(_ORIGINAL_SUFFIX):
        name = any_name.removesuffix(_ORIGINAL_SUFFIX)
    elif any_name.endswith(_MARKER_SUFFIX):
        name = any_name.removesuffix(_MARKER_SUFFIX)
    return name if name not in {"", ".", ".."} else None


class State(StrEnum):
    """What may be in flight beside a marker."""

    INTENT = "intent"  # a forward swap may be
    DONE = "done"
    RESTORE = "restore"  # a backward one may be
    RETURN = "return"  # one to a name that was free, which its owner wants filled


class Torn(ValueError):  # noqa: N818 - a finding about a file, not a fault of ours
    """These bytes began as a marker of ours and are not whole."""


class Foreign(ValueError):  # noqa: N818 - a finding about a file, not a fault of ours
    """These bytes never were a marker of ours."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Which file it was: never the device, whose number changes with a remount."""

    inode: int
    birth_ns: int | None
    size: int
    mtime_ns: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Held:
    """When the swap was made, on every clock that may be asked later; see `originals`."""

    wall_s: float
    boot_s: float
    boot_id: str
    keep_s: float

    @property
    def until_s(self) -> float:
        """The wall time at which the safety period is over."""
        return self.wall_s + self.keep_s


@dataclass(frozen=True, slots=True)
class Marker:
    """The whole truth about one replacement."""

    name: str
    state: State
    original: Identity
    copy: Identity
    held: Held
    encoder: str
    settings: Mapping[str, Any]
    report: Mapping[str, Any]

    @property
    def savings_bytes(self) -> int:
        """How much smaller the copy is."""
        return self.original.size - self.copy.size

    def with_state(self, state: State) -> "Marker":
        """Give the same marker in another state."""
        return replace(self, state=state)


def serialise(marker: Marker) -> bytes:
    """Give the marker's file form; `parse` takes it back."""
    body = {
        "watcher": _VERSION,
        "state": str(marker.state),
        "recording": marker.name,
        "original_file": original_name(marker.name),
        "original_size": marker.original.size,
        "new_size": marker.copy.size,
        "savings_bytes": marker.savings_bytes,
        "transcoded_at": marker.held.wall_s,
        "delete_after": marker.held.until_s,
        "held": asdict(marker.held),
        "original": asdict(marker.original),
        "copy": asdict(marker.copy),
        "encoder": marker.encoder,
        "settings": dict(marker.settings),
        "report": dict(marker.report),
    }
    return _dumps({**body, "checksum": _checksum(body)}) + b"\n"


def parse(contents: bytes, name: str) -> Marker:
    """Read the marker of the recording *name*; raises `Torn` or `Foreign`, nothing else."""
    begun = contents[: len(_MAGIC)].rstrip(b"\0")  # a power cut may leave zeros, at its end or all
    if not _MAGIC.startswith(begun):
        raise Foreign("it does not begin as a marker of Watcher does")
    try:
        body = json.loads(contents)
        checksum = body.pop("checksum")
        _demand(checksum == _checksum(body), "the checksum is not that of its contents")
        return _marker(body, name)
    except Torn:
        raise
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        OverflowError,
    ) as error:
        raise Torn(f"it does not parse: {type(error).__name__}") from error


def _marker(body: dict[str, Any], name: str) -> Marker:
    _demand(body["watcher"] == _VERSION, "another version wrote it")
    _demand(body["recording"] == name, "it was made for another recording")
    _demand(body["original_file"] == original_name(name), "it points elsewhere")
    _demand(isinstance(body["encoder"], str), "no encoder")
    _demand(isinstance(body["settings"], dict) and isinstance(body["report"], dict), "no report")
    marker = Marker(
        name=name,
        state=State(body["state"]),
        original=_identity(body["original"]),
        copy=_identity(body["copy"]),
        held=_held(body["held"]),
        encoder=body["encoder"],
        settings=body["settings"],
        report=body["report"],
    )
    _demand(marker.copy.size < marker.original.size, "the copy is no smaller")
    _demand(marker.copy.sha256 != marker.original.sha256, "copy and original are the same")
    return marker


def _identity(body: dict[str, Any]) -> Identity:
    identity = Identity(**body)
    numbers = (identity.inode, identity.size, identity.mtime_ns)
    _demand(all(type(number) is int for number in numbers), "an identity is not made of numbers")
    _demand(identity.birth_ns is None or type(identity.birth_ns) is int, "no birth time")
    _demand(0 < identity.inode < 2 * _WORD, "an inode that no file has")
    _demand(0 < identity.size < _WORD, "a size that no file has")
    for time_ns in (identity.mtime_ns, identity.birth_ns or 0):
        _demand(-_WORD <= time_ns < _WORD, "a time that no file has")
    digest = identity.sha256
    _demand(type(digest) is str and len(digest) == _DIGEST_LENGTH, "a digest that is none")
    _demand(set(digest) <= _HEXADECIMAL, "a digest that is none")
    return identity


def _held(body: dict[str, Any]) -> Held:
    held = Held(**body)
    for field in fields(held):
        expected = str if field.name == "boot_id" else (int, float)
        value = getattr(held, field.name)
        _demand(isinstance(value, expected) and not isinstance(value, bool), "no time")
    for time_s in (held.wall_s, held.boot_s, held.keep_s):  # compared first: an int may be any size
        _demand(0 <= time_s <= _LONGEST_S and math.isfinite(time_s), "a time that no clock shows")
    return held


def _demand(condition: bool, otherwise: str) -> None:
    if not condition:
        raise Torn(otherwise)


def _checksum(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(_dumps(body)).hexdigest()


def _dumps(body: Mapping[str, Any]) -> bytes:
    # ASCII with escapes: a name that is not UTF-8 carries lone surrogates, which only escapes keep.
    return json.dumps(body, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode()
