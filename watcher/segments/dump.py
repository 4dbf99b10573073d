"""The index as a file: `index-dump.jsonl` in the state directory.

A first line about the service, then a line a segment, oldest first. Written beside and renamed over
the last one, so that a reader never sees half of it. The index is asked for a slice at a time: at a
million segments events go on being taken while this writes. Each line is true of the moment at
which it was written.
"""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

import orjson

from watcher import events
from watcher.clock import Clock, SystemClock, utc
from watcher.errors import WatcherError
from watcher.events import Emit
from watcher.segments.index import SegmentIndex
from watcher.segments.segment import S_PER_DAY, Entry, State, join

NAME = "index-dump.jsonl"
_WRITING = f".{NAME}.writing"
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_BUFFER_BYTES = 1 << 20

Codecs = Callable[[Entry], str | None]
"""Which codec was found in it; None until it was probed."""


class DumpFailed(WatcherError):  # noqa: N818 - the request failed, not the service
    """The dump could not be written; *reason* is `dump_running`, `state_dir` or `stopping`."""


@dataclass(frozen=True, slots=True)
class Dumped:
    """What was written, and where."""

    path: str
    count: int
    duration_s: float


def _not_probed(_entry: Entry) -> None:
    return None


def write_dump(
    state_dir: str,
    index: SegmentIndex,
    *,
    service: object = None,
    window: object = None,
    gate: object = None,
    codec_of: Codecs = _not_probed,
    stopping: Callable[[], bool] = lambda: False,
    clock: Clock | None = None,
    emit: Emit = events.emit,
) -> Dumped:
    """Write the index to *state_dir*, and log `index_dumped`; raises DumpFailed.

    *stopping* is asked now and then whether to give up.
    """
    clock = clock or SystemClock()
    started_s = clock.monotonic_s()
    path, writing = join(state_dir, NAME), join(state_dir, _WRITING)
    count = 0
    try:
        with _only_writer(writing) as file:
            file.write(_line(_header(index, clock.wall_s(), service, window, gate)))
            for lines in _slices(index, clock.wall_s(), codec_of):
                if stopping():
                    os.unlink(writing)
                    raise given_up()
                file.writelines(lines)
                count += len(lines)
            file.flush()
            os.replace(writing, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(writing)
        message = f"the index dump can't be written to {state_dir}: {error.strerror or error}"
        raise DumpFailed("state_dir", message) from error
    dumped = Dumped(path, count, round(clock.monotonic_s() - started_s, 3))
    emit("index_dumped", path=path, count=count, duration_s=dumped.duration_s)
    return dumped


def given_up() -> DumpFailed:
    """Give what is told to who waits for a dump that will not come."""
    return DumpFailed("stopping", "the index dump was given up: the service is stopping")


def _only_writer(path: str) -> BinaryIO:
    """Open the file in the making, locked; the lock ends with the file, even in a crash."""
    while True:
        file = os.fdopen(os.open(path, _FLAGS, 0o640), "wb", buffering=_BUFFER_BYTES)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.close()
            message = "an index dump is being written right now: wait for it"
            raise DumpFailed("dump_running", message) from error
        if _is_named(file, path):
            file.truncate(0)
            return file
        file.close()  # another writer has renamed it into place meanwhile


def _is_named(file: BinaryIO, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.lstat(path))
    except FileNotFoundError:
        return False


def _header(
    index: SegmentIndex, now_s: float, service: object, window: object, gate: object
) -> dict[str, object]:
    counts = index.counts(now_s)
    by_state = {str(state): count for state, count in counts.by_state.items()}
    return {
        "generated_at": _time(now_s),
        "service": service,
        "window": window,
        "gate": gate,
        "counts": {
            "segments": counts.segments,
            "size_bytes": counts.size_bytes,
            "due": counts.due,
            **by_state,
            "by_reason": dict(counts.by_reason),
        },
    }


def _slices(index: SegmentIndex, now_s: float, codec_of: Codecs) -> Iterator[list[bytes]]:
    for items in index.slices():
        yield [_line(_row(index, index.entry(item), now_s, codec_of)) for item in items]


def _row(index: SegmentIndex, entry: Entry, now_s: float, codec_of: Codecs) -> dict[str, object]:
    segment = entry.segment
    eligible_at_s = max(segment.mtime_s + index.min_age_s, entry.until_s or 0.0)
    waits = entry.state is State.CANDIDATE or entry.until_s is not None
    return {
        "path": segment.path,
        "camera": segment.camera,
        "size_bytes": segment.size_bytes,
        "mtime": _time(segment.mtime_s),
        "age_days": round((now_s - segment.mtime_s) / S_PER_DAY, 2),
        "state": str(entry.state),
        "codec": codec_of(entry),
        "eligible_at": _time(eligible_at_s) if waits else None,
        "reason": _reason(entry, eligible_at_s > now_s),
    }


def _reason(entry: Entry, too_young: bool) -> str | None:
    if entry.state is State.CANDIDATE:
        return "too_young" if too_young else None
    return entry.reason or str(entry.state)


def _time(at_s: float) -> str | None:
    try:
        return utc(at_s).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        return None  # an mtime that no calendar has


def _line(row: dict[str, object]) -> bytes:
    try:
        return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # a name that is not UTF-8 comes with lone surrogates
        return orjson.dumps(_clean(row), option=orjson.OPT_APPEND_NEWLINE, default=str)


def _clean(value: object) -> object:
    if isinstance(value, str):
        return os.fsencode(value).decode("utf-8", "backslashreplace")
    if isinstance(value, Mapping):
        return {_clean(str(key)): _clean(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(one) for one in value]
    return value
