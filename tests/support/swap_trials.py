"""Whole swaps, restores, deletions and recoveries on real files, in a traced child.

Each script is prepared from nothing, run in a forked child under `tracer`, and judged afterwards
by another process: this one. `judge` is what every attack is followed by.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from support.clock import ManualClock
from support.emitted import Emitted
from support.filesystems import TrustedDirectory
from support.tracer import Call, Decide, Traced, let_pass, trace
from watcher.errors import Retryable, WatcherError
from watcher.replace import swap
from watcher.replace.leftovers import remove_leftover
from watcher.replace.marker import State, marker_name, original_name, recording_of, temporary_name
from watcher.replace.originals import Originals
from watcher.replace.recovery import Standing
from watcher.replace.steps import Site, rewrite_marker, survey

NAME = "seg.mp4"
ORIG, MARKER, TMP = original_name(NAME), marker_name(NAME), temporary_name(NAME)
ORIGINAL = b"original" * 2048
COPY = b"copy" * 1024
STRANGER = b"a stranger's"
ROTTEN = b"cop?" * 1024
MTIME_NS = 1_600_000_000_123_456_789
KEEP_S = 86_400.0
EXIT_SAID_NO = 3  # a WatcherError: the job failed and said why


@dataclass(frozen=True)
class Ground:
    """Where trials are run, and through which kind of directory."""

    root: Path
    kind_of_directory: type[TrustedDirectory] = TrustedDirectory

    def open(self) -> TrustedDirectory:
        return self.kind_of_directory(str(self.root))

    def clear(self) -> None:
        """Leave nothing but a fresh recording."""
        for entry in os.scandir(self.root):
            os.unlink(entry.path)
        path = self.root / NAME
        path.write_bytes(ORIGINAL)
        path.chmod(0o640)
        os.utime(path, ns=(MTIME_NS, MTIME_NS))

    def listing(self) -> dict[str, tuple[int, int, int]]:
        """Give what stands there, by name."""
        stats = {entry.name: entry.stat() for entry in os.scandir(self.root)}
        return {name: (one.st_ino, one.st_size, one.st_mtime_ns) for name, one in stats.items()}

    def contents(self, name: str) -> bytes | None:
        path = self.root / name
        return path.read_bytes() if path.exists() else None


class Lost(AssertionError):  # noqa: N818 - what it is about
    """A recording is not what it has to be."""


def silent(_event: str, /, **_fields: object) -> None:
    """Emit nothing."""


def do_swap(directory: swap.LinuxDirectory, clock: ManualClock) -> None:
    """Claim, write the output as an encoder would, seal and commit."""
    with swap.claim(directory, NAME, clock=clock) as claimed:
        encode_and_commit(claimed)


def encode_and_commit(claimed: swap.Claim) -> None:
    """Do what a job does between its claim and its end."""
    with claimed.create_output() as output:
        try:
            stand_in_for_ffmpeg(output.path)
        except OSError as error:  # the encoder's exit code, in a real job
            raise Retryable("encode_failed", str(error)) from error
        output.trickle()
        output.seal()
        output.commit(report={"frames": 1}, encoder="stand-in", settings={}, keep_original_s=KEEP_S)


def stand_in_for_ffmpeg(path: str, contents: bytes = COPY) -> None:
    """Open by name, truncate, write in pieces, close: what ffmpeg does to the output."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    half = len(contents) // 2
    try:
        os.write(fd, contents[:half])
        os.write(fd, contents[half:])
    finally:
        os.close(fd)


def _whole(directory: swap.LinuxDirectory) -> None:
    do_swap(directory, ManualClock())


class _Doubtful(TrustedDirectory):
    """On a file system whose exchange is not relied on."""

    def mount(self) -> tuple[str, bool | None]:
        return "ext2", None


_ALLOWED = swap.Policy(allow_non_exchange=True)


def _whole_without_exchange(directory: swap.LinuxDirectory) -> None:
    with (
        _Doubtful(directory.path) as doubtful,
        swap.claim(doubtful, NAME, policy=_ALLOWED, clock=ManualClock()) as claimed,
    ):
        encode_and_commit(claimed)


def _restore_without_exchange(directory: swap.LinuxDirectory) -> None:
    with _Doubtful(directory.path) as doubtful:
        swap.restore(doubtful, NAME, policy=_ALLOWED, emit=silent)


def _delete(directory: swap.LinuxDirectory) -> None:
    clock = ManualClock()
    clock.advance(2 * KEEP_S)
    swap.delete_original(directory, NAME, clock=clock, emit=silent)


def delete_due(originals: Originals, directory: swap.LinuxDirectory, clock: ManualClock) -> None:
    """Delete what *originals* says is due, as a service does."""
    for one in originals.due():
        if one.orphan:
            swap.delete_orphan(directory, NAME, emit=Emitted())
        else:
            swap.delete_original(
                directory, NAME, evidence_s=originals.evidence_s(NAME), clock=clock, emit=Emitted()
            )


def _restore(directory: swap.LinuxDirectory) -> None:
    swap.restore(directory, NAME, emit=silent)


def _recover(directory: swap.LinuxDirectory) -> None:
    swap.recover(directory, NAME, emit=silent)


def _remove_leftover(directory: swap.LinuxDirectory) -> None:
    remove_leftover(directory, ORIG, emit=silent)


def _prepare_stranger(ground: Ground) -> None:
    """Something has the original's name, and no marker tells of it."""
    (ground.root / ORIG).write_bytes(STRANGER)


def _prepare_nothing(_ground: Ground) -> None:
    return


def _prepare_swapped(ground: Ground) -> None:
    with ground.open() as directory:
        do_swap(directory, ManualClock())


def _prepare_intent(ground: Ground) -> None:
    """Exchanged, and the power went before the marker said so; a spare file lies about too."""
    _rewrite(ground, State.INTENT)
    (ground.root / TMP).write_bytes(b"half")


def _prepare_undone(ground: Ground) -> None:
    """Renamed beside the recording, and not yet exchanged."""
    _rewrite(ground, State.INTENT)
    with ground.open() as directory:
        directory.exchange(NAME, ORIG)


def _prepare_restoring(ground: Ground) -> None:
    """Exchanged back for a restore, and the copy not yet removed."""
    _rewrite(ground, State.RESTORE)
    with ground.open() as directory:
        directory.exchange(NAME, ORIG)


def _rewrite(ground: Ground, state: State) -> None:
    _prepare_swapped(ground)
    with ground.open() as directory:
        marker = survey(Site(directory, NAME)).marker
        assert marker is not None
        rewrite_marker(directory, marker.with_state(state), directory.look(MARKER))


def _delete_orphan(directory: swap.LinuxDirectory) -> None:
    swap.delete_orphan(directory, NAME, emit=silent)


def _prepare_orphan(ground: Ground) -> None:
    """Its owner deleted the recording."""
    _prepare_swapped(ground)
    (ground.root / NAME).unlink()


def _prepare_unmarked(ground: Ground) -> None:
    """And something swept the marker."""
    _prepare_orphan(ground)
    (ground.root / MARKER).unlink()


def rot(path: Path) -> None:
    """Change a byte of the file as a dying disk would: no size and no time of writing shows it."""
    status, contents = path.stat(), bytearray(path.read_bytes())
    contents[len(contents) // 2] ^= 1
    path.write_bytes(contents)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _prepare_rotted(ground: Ground) -> None:
    """The disk changed the copy: no time and no size shows it."""
    _prepare_swapped(ground)
    path = ground.root / NAME
    path.write_bytes(ROTTEN)
    os.utime(path, ns=(MTIME_NS, MTIME_NS))


def _prepare_moving_back(ground: Ground) -> None:
    """A restore to a free name that was cut short before it."""
    _rewrite(ground, State.RETURN)
    (ground.root / NAME).unlink()


def _prepare_hidden(ground: Ground) -> None:
    """No act of ours does this: the original is at the temporary name."""
    _prepare_swapped(ground)
    (ground.root / ORIG).rename(ground.root / TMP)


SCRIPTS: dict[str, tuple[Callable[[Ground], None], Callable[[swap.LinuxDirectory], None]]] = {
    "transcode": (_prepare_nothing, _whole),
    "transcode, no exchange": (_prepare_nothing, _whole_without_exchange),
    "cleanup": (_prepare_swapped, _delete),
    "restore": (_prepare_swapped, _restore),
    "restore, no exchange": (_prepare_swapped, _restore_without_exchange),
    "cleanup, named": (_prepare_stranger, _remove_leftover),
    "cleanup, orphan": (_prepare_orphan, _delete_orphan),
    "cleanup, rotted": (_prepare_rotted, _delete),
    "restore, free name": (_prepare_orphan, _restore),
    "restore, no marker": (_prepare_unmarked, _restore),
    "recovery, moving back": (_prepare_moving_back, _recover),
    "recovery, original hidden": (_prepare_hidden, _recover),
    "recovery, exchanged": (_prepare_intent, _recover),
    "recovery, not yet exchanged": (_prepare_undone, _recover),
    "recovery, restoring": (_prepare_restoring, _recover),
}


_ENDS: dict[str, set[tuple[bytes | None, bytes | None]]] = {
    "cleanup, orphan": {(None, ORIGINAL), (None, None)},
    "cleanup, rotted": {(ROTTEN, ORIGINAL), (ORIGINAL, None)},
    "restore, free name": {(None, ORIGINAL), (ORIGINAL, None)},
    "restore, no marker": {(None, ORIGINAL), (ORIGINAL, None)},
    "recovery, moving back": {(ORIGINAL, None)},
    "recovery, original hidden": {(COPY, ORIGINAL)},
}
"""What may stand at the name and at the original's, where it is not as after a swap."""

_OPENS_ITSELF = {"transcode, no exchange", "restore, no exchange"}


def run_traced(ground: Ground, script: str, decide: Decide = let_pass) -> Traced:
    """Prepare the script's beginning and run it in a traced child."""
    prepare, act = SCRIPTS[script]
    ground.clear()
    prepare(ground)

    def child() -> int:
        try:
            directory = ground.open()
        except OSError:
            return EXIT_SAID_NO
        try:
            with directory:
                act(directory)
        except (WatcherError, OSError) as error:
            if isinstance(error, OSError) and script not in _OPENS_ITSELF:
                raise
            return EXIT_SAID_NO
        return 0

    return trace(child, decide)


def left_open(ground: Ground, traced: Traced) -> list[str]:
    """Give what the child still had open there at its end: a descriptor keeps locks and leases."""
    known: dict[int, str] = {}
    for made in traced.calls:
        call = made.call
        if call.name == "close":
            known.pop(call.arguments[0], None)
        elif call.name == "openat" and (made.result or 0) > 0 and concerns(ground, call):
            known[made.result or 0] = call.paths[0]
    return sorted(known.values())


def concerns(ground: Ground, call: Call) -> bool:
    """Whether the call is about the directory under attack."""
    root = str(ground.root)
    return any(not path.startswith("/") or path.startswith(root) for path in call.paths)


def judge(ground: Ground, script: str) -> swap.Recovered:
    """Recover, and hold the end to the promise; a second recovery has to change nothing."""
    recovered = _recover_all(ground)
    before = ground.listing()
    again = _recover_all(ground)
    there = ground.contents(NAME)
    if again.actions or ground.listing() != before:
        raise Lost(f"a second recovery changed something: {again.actions}")
    if script in _ENDS:
        _judge_end(ground, script)
        return recovered
    if there not in {ORIGINAL, COPY}:
        raise Lost(f"the name shows {there and there[:20]!r}")
    if os.stat(ground.root / NAME).st_mtime_ns != MTIME_NS:
        raise Lost("its mtime is another")
    if script == "cleanup, named":
        _judge_named(ground)
        return recovered
    if again.standing not in {Standing.CLEAN, Standing.HELD}:
        raise Lost(f"it stands {again.standing}: {again.detail}")
    expected = {NAME, ORIG, MARKER} if again.standing is Standing.HELD else {NAME}
    if set(before) != expected:
        raise Lost(f"{again.standing}, and there stand {sorted(before)}")
    if again.standing is Standing.HELD and (there, ground.contents(ORIG)) != (COPY, ORIGINAL):
        raise Lost("held, and not copy and original")
    if there == COPY and again.standing is Standing.CLEAN and script != "cleanup":
        raise Lost("the original is gone")
    return recovered


def _judge_end(ground: Ground, script: str) -> None:
    """Name and original are one of the pairs that may be; nothing half made is left."""
    pair = (ground.contents(NAME), ground.contents(ORIG))
    if pair not in _ENDS[script]:
        raise Lost(f"name and original are {[what and what[:20] for what in pair]}")
    if not ground.listing().keys() <= {NAME, ORIG, MARKER}:
        raise Lost(f"there stand {sorted(ground.listing())}")
    if pair[1] is None and MARKER in ground.listing():
        raise Lost("a marker is left that tells of nothing")


def _judge_named(ground: Ground) -> None:
    """What was named is whole or gone, and nothing else was touched."""
    if (ground.contents(NAME), ground.contents(ORIG)) not in {
        (ORIGINAL, None),
        (ORIGINAL, STRANGER),
    }:
        raise Lost("something else was removed")
    if not ground.listing().keys() <= {NAME, ORIG}:
        raise Lost(f"there stand {sorted(ground.listing())}")


def _recover_all(ground: Ground) -> swap.Recovered:
    """Do what the service does when a directory is listed; gives the recording's own result."""
    recordings = {recording_of(name) for name in ground.listing()} - {None, NAME}
    with ground.open() as directory:
        for name in recordings:
            swap.recover(directory, str(name), emit=silent)
        return swap.recover(directory, NAME, emit=silent)
