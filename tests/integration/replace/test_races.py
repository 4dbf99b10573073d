"""The outside does something at every step: deletes, renames, rewrites, links, moves, copies.

The model (tests/faults/test_model.py) places strangers everywhere; here they act on real files,
with real inodes, leases and locks.
"""

import fcntl
import os
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from support.clock import ManualClock
from support.emitted import Emitted
from support.filesystems import TrustedDirectory
from support.swap_trials import (
    COPY,
    KEEP_S,
    MARKER,
    NAME,
    ORIG,
    ORIGINAL,
    TMP,
    Ground,
    do_swap,
    encode_and_commit,
    stand_in_for_ffmpeg,
)

from watcher.errors import Refused, Retryable, WatcherError
from watcher.replace import swap
from watcher.replace.recovery import Standing
from watcher.transcode.leash import Leash

NEWER = b"newer" * 4000
NEWEST = b"newest" * 4000
STEPS = 45  # more than a whole road has calls of the kinds below
_STEPS = {"look", "open", "create", "exchange", "move", "move_over", "link", "unlink", "sync"}


class Interrupted(TrustedDirectory):
    """Lets a stranger act before the Nth call."""

    def __init__(self, path: str, at: int, act: Callable[[], None]) -> None:
        super().__init__(path)
        self._at = at
        self._act = act
        self.calls = 0
        self.armed = True
        self.struck = ""

    def __getattribute__(self, name: str) -> object:
        if name in _STEPS and self.armed:
            self.calls += 1
            if self.calls == self._at:
                self.struck = name
                self._act()
        return super().__getattribute__(name)


def _delete(root: Path) -> None:
    (root / NAME).unlink(missing_ok=True)


def _replace(root: Path) -> None:
    (root / "incoming").write_bytes(NEWER)
    (root / "incoming").rename(root / NAME)


def _rename_away(root: Path) -> None:
    if (root / NAME).exists():
        (root / NAME).rename(root / "kept elsewhere")


def _hard_link(root: Path) -> None:
    if not (root / "linked").exists() and (root / NAME).exists():
        os.link(root / NAME, root / "linked")


STRANGERS = [_delete, _replace, _rename_away, _hard_link]


def _end(ground: Ground) -> tuple[swap.Recovered, bytes | None]:
    with ground.open() as directory:
        swap.recover(directory, NAME, emit=Emitted())
        again = swap.recover(directory, NAME, emit=Emitted())
        assert not again.actions
    return again, ground.contents(NAME)


def _expect(ground: Ground, act: Callable[[Path], None], *, restoring: bool = False) -> None:
    """Whatever the stranger did holds; what nobody took away is whole."""
    ended, there = _end(ground)
    assert TMP not in ground.listing()
    if act is _delete:
        assert there is None or (restoring and there == ORIGINAL), "never brought back"
        assert there is not None or ended.standing in {Standing.CLEAN, Standing.ORPHAN}
    elif act is _replace:
        assert there == NEWER, "never overwritten"
    elif act is _rename_away:
        assert there is None or (restoring and there == ORIGINAL)
        assert ground.contents("kept elsewhere") in {ORIGINAL, COPY}
    else:
        assert there in {ORIGINAL, COPY}
        assert ground.contents("linked") in {ORIGINAL, COPY}


@pytest.mark.parametrize("act", STRANGERS)
def test_a_stranger_at_every_step_of_the_swap(ground: Ground, act: Callable[[Path], None]) -> None:
    """From the claim on, to the last fsync."""
    struck = set()
    for at in range(1, STEPS * 2):
        ground.clear()
        with Interrupted(str(ground.root), at, lambda: act(ground.root)) as directory:
            directory.armed = False
            with swap.claim(directory, NAME, clock=ManualClock()) as claimed:
                directory.armed = True
                try:
                    encode_and_commit(claimed)
                except WatcherError:
                    assert directory.struck
            directory.armed = False
            if not directory.struck:
                break
        struck.add(directory.struck)
        _expect(ground, act)
    assert {"exchange", "move", "sync"} <= struck


@pytest.mark.parametrize("act", STRANGERS)
@pytest.mark.parametrize("restoring", [True, False], ids=["restore", "cleanup"])
def test_a_stranger_at_every_step_afterwards(
    ground: Ground, act: Callable[[Path], None], restoring: bool
) -> None:
    """During the safety period, before and while the original is deleted or restored."""
    clock, struck = ManualClock(), set()
    clock.advance(KEEP_S)
    for at in range(1, STEPS * 2):
        ground.clear()
        with ground.open() as directory:
            do_swap(directory, ManualClock())
        with Interrupted(str(ground.root), at, lambda: act(ground.root)) as directory:
            try:
                if restoring:
                    swap.restore(directory, NAME, emit=Emitted())
                else:
                    swap.delete_original(directory, NAME, clock=clock, emit=Emitted())
            except WatcherError:
                assert directory.struck
            if not directory.struck:
                break
        struck.add(directory.struck)
        _expect(ground, act, restoring=restoring)
    assert {"look", "sync", "exchange" if restoring else "unlink"} <= struck


class _Rewriter:
    """Opens the recording for writing in place, as a recorder does, and waits where it has to."""

    def __init__(self, path: Path, contents: bytes = NEWER) -> None:
        self._path = path
        self._contents = contents
        self._thread = threading.Thread(target=self._write)
        self._opened = threading.Event()
        self.may_write = threading.Event()
        self.may_write.set()

    def begin(self) -> None:
        """Come back when it has written, or waits: to be let, or for a lease that it is breaking.

        Nothing else here may ask for the file: a lease broken before the thread has come to its
        open would let it find another file under the name.
        """
        held = _leases()
        self._thread.start()
        while self._thread.is_alive() and held == _leases() and not self._waits():
            self._thread.join(0.001)

    def _waits(self) -> bool:
        return self._opened.is_set() and not self.may_write.is_set()

    def end(self) -> None:
        if self._thread.ident is not None:
            self._thread.join(60)
            assert not self._thread.is_alive(), "a lease was never given back"

    def _write(self) -> None:
        with self._path.open("r+b") as file:
            self._opened.set()
            assert self.may_write.wait(60)
            file.truncate()
            file.write(self._contents)


def _leases() -> set[int]:
    """Give the descriptors of this process whose lease nobody is breaking."""
    held = set()
    for fd in map(int, os.listdir("/proc/self/fd")):
        with suppress(OSError):  # the listing's own is closed by now; a pipe knows no leases
            if fcntl.fcntl(fd, fcntl.F_GETLEASE) == fcntl.F_RDLCK:
                held.add(fd)
    return held


@pytest.mark.parametrize("what", ["swap", "cleanup", "restore"])
def test_an_in_place_rewrite_at_every_step_holds(ground: Ground, what: str) -> None:
    """Whoever writes to the recording finds what he wrote under its name, whatever we were at."""
    clock, struck = ManualClock(), set()
    clock.advance(KEEP_S)
    for at in range(1, STEPS * 2):
        ground.clear()
        if what != "swap":
            with ground.open() as directory:
                do_swap(directory, ManualClock())
        rewriter = _Rewriter(ground.root / NAME)
        with Interrupted(str(ground.root), at, rewriter.begin) as directory:
            try:
                if what == "swap":
                    directory.armed = False  # what is there at the claim is the recording
                    with swap.claim(directory, NAME, clock=ManualClock()) as claimed:
                        directory.armed = True
                        encode_and_commit(claimed)
                elif what == "restore":
                    swap.restore(directory, NAME, emit=Emitted())
                else:
                    swap.delete_original(directory, NAME, clock=clock, emit=Emitted())
            except WatcherError:
                assert directory.struck
            directory.armed = False
        if not directory.struck:
            break
        struck.add(directory.struck)
        rewriter.end()
        ended, there = _end(ground)
        assert there == NEWER, (at, directory.struck, ended)
    assert {"look", "sync"} <= struck


class _AroundExchange(TrustedDirectory):
    """Somebody acts just before the exchange, and somebody else just after it."""

    def __init__(self, path: str, before: Callable[[], None], after: Callable[[], None]) -> None:
        super().__init__(path)
        self._before = before
        self._after = after
        self._exchanges = 0

    def exchange(self, one: str, other: str) -> None:
        self._exchanges += one == NAME  # or it is the preflight's, with files of its own
        first = (one, self._exchanges) == (NAME, 1)
        if first:
            self._before()
        super().exchange(one, other)
        if first:
            self._after()


def test_an_in_place_rewrite_waits_and_then_holds(ground: Ground) -> None:
    """A recorder that opens the file for writing just before the exchange gets what it writes."""
    writer = _Rewriter(ground.root / NAME)
    with (
        _AroundExchange(str(ground.root), writer.begin, lambda: None) as directory,
        pytest.raises(Retryable) as error,
    ):
        do_swap(directory, ManualClock())
    writer.end()
    assert error.value.reason == "original_changed"
    ended, there = _end(ground)
    assert there == NEWER
    assert ended.standing is Standing.CLEAN


def test_two_in_place_rewrites_around_the_exchange_both_hold(ground: Ground) -> None:
    """One has opened the original, one the copy in its place: what each of them writes is kept."""
    first, second = (
        _Rewriter(ground.root / NAME, NEWER),
        _Rewriter(ground.root / NAME, NEWEST),
    )
    for writer in (first, second):
        writer.may_write.clear()  # until whatever we do at once has been done
    with (
        _AroundExchange(str(ground.root), first.begin, second.begin) as directory,
        pytest.raises(Retryable) as error,
    ):
        do_swap(directory, ManualClock())
    for writer in (first, second):
        writer.may_write.set()
        writer.end()
    assert error.value.reason == "original_changed"
    ended, there = _end(ground)
    assert (there, ground.contents(ORIG)) == (NEWER, NEWEST)
    assert ended.standing is Standing.BLOCKED


def test_two_services_one_recording(ground: Ground) -> None:
    """With two state directories: one of them swaps, the other one is told why not."""
    results: list[str] = []
    start = threading.Barrier(2)

    def service() -> None:
        start.wait(10)
        try:
            with ground.open() as directory:
                do_swap(directory, ManualClock())
            results.append("swapped")
        except WatcherError as error:
            results.append(error.reason)

    threads = [threading.Thread(target=service) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert "swapped" in results
    assert set(results) <= {"swapped", "in_progress", "original_exists", "original_changed"}
    ended, there = _end(ground)
    assert (ended.standing, there) == (Standing.HELD, COPY)
    assert ground.contents(ORIG) == ORIGINAL


def test_two_restores_and_a_cleanup_at_once(ground: Ground) -> None:
    """The directory's lock lets one after the other; what is left is one of the two files."""
    clock = ManualClock()
    clock.advance(KEEP_S)
    with ground.open() as directory:
        do_swap(directory, ManualClock())
    start = threading.Barrier(3)

    def run(act: Callable[[TrustedDirectory], object]) -> None:
        start.wait(10)
        with ground.open() as mine:
            act(mine)

    def restore(mine: TrustedDirectory) -> None:
        swap.restore(mine, NAME, emit=Emitted())

    def clean(mine: TrustedDirectory) -> None:
        swap.delete_original(mine, NAME, clock=clock, emit=Emitted())

    threads = [threading.Thread(target=run, args=(act,)) for act in (restore, restore, clean)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert ground.contents(NAME) in {ORIGINAL, COPY}
    assert set(ground.listing()) == {NAME}


def test_a_rewritten_original_is_seen_by_its_change_time(ground: Ground) -> None:
    """Same inode, same size, and its mtime put back: only ctime tells."""
    path = ground.root / NAME
    with ground.open() as directory, swap.claim(directory, NAME) as claimed:
        before = path.stat()
        with path.open("r+b") as file:
            file.write(b"?")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        with claimed.create_output() as output:
            stand_in_for_ffmpeg(output.path)
            with pytest.raises(Retryable):
                output.seal()


@pytest.mark.parametrize("how", ["moved", "copied", "restored from a backup"])
def test_a_day_directory_with_markers_inside(ground: Ground, how: str) -> None:
    """Moved: known by inode. Copied, or from a backup: by its bytes. Then all goes on."""
    with ground.open() as directory:
        do_swap(directory, ManualClock())
    elsewhere = ground.root.with_name("elsewhere")
    if how == "moved":
        ground.root.rename(elsewhere)
    else:
        shutil.copytree(ground.root, elsewhere)
    clock = ManualClock()
    clock.advance(KEEP_S)
    with TrustedDirectory(str(elsewhere)) as directory:
        recovered = swap.recover(directory, NAME, emit=Emitted())
        assert recovered.standing is Standing.HELD
        deletion = swap.delete_original(directory, NAME, clock=clock, emit=Emitted())
    assert deletion.outcome is swap.Outcome.DELETED
    assert (elsewhere / NAME).read_bytes() == COPY
    if how != "moved":
        assert set(ground.listing()) == {NAME, ORIG, MARKER}
    shutil.rmtree(elsewhere)


@pytest.mark.parametrize("swept", [(ORIG,), (MARKER,), (NAME,), (ORIG, MARKER), (NAME, MARKER)])
def test_an_nvr_sweeps_what_it_does_not_know(ground: Ground, swept: tuple[str, ...]) -> None:
    """Recovery bears the loss of any of our files, and touches nothing else for it."""
    with ground.open() as directory:
        do_swap(directory, ManualClock())
    for name in swept:
        (ground.root / name).unlink()
    ended, there = _end(ground)
    assert there == (None if NAME in swept else COPY)
    assert (ORIG in ground.listing()) == (ORIG not in swept)
    expected = Standing.BLOCKED
    if ORIG in swept:
        expected = Standing.CLEAN
    elif swept == (NAME,):
        expected = Standing.ORPHAN
    assert ended.standing is expected


def test_a_deleted_copys_original_follows_it(ground: Ground) -> None:
    """The owner deleted the recording; what is left goes when `originals` says so, not before."""
    with ground.open() as directory:
        do_swap(directory, ManualClock())
        (ground.root / NAME).unlink()
        emitted = Emitted()
        deletion = swap.delete_orphan(directory, NAME, emit=emitted)
    assert (deletion.outcome, deletion.reason) == (swap.Outcome.DELETED, "owner_deleted")
    assert ground.listing() == {}
    assert emitted.named("original_deleted")[0]["reason"] == "owner_deleted"


def test_an_orphans_newer_namesake_stays(ground: Ground) -> None:
    """A foreign file under the name is untouched while the original goes."""
    with ground.open() as directory:
        do_swap(directory, ManualClock())
        _replace(ground.root)
        with pytest.raises(Refused) as refused:
            swap.restore(directory, NAME, emit=Emitted())
        assert refused.value.reason == "newer_recording"
        swap.delete_orphan(directory, NAME, emit=Emitted())
    assert ground.contents(NAME) == NEWER
    assert set(ground.listing()) == {NAME}


@pytest.mark.parametrize(
    "there",
    [b"", ORIGINAL[:100], bytes(100), ORIGINAL[:100] + bytes(100)],
    ids=["empty", "cut", "zeros", "zeros at the end"],
)
def test_an_original_does_not_go_beside_what_is_left_of_itself(
    ground: Ground, there: bytes
) -> None:
    """Deleted by mistake, put back by hand, and the disk was full: that is no newer recording.

    Nor are zeros, which a power cut leaves of a file whose size alone is on the disk.
    """
    emitted = Emitted()
    with ground.open() as directory:
        do_swap(directory, ManualClock())
        (ground.root / NAME).unlink()
        (ground.root / NAME).write_bytes(there)
        assert swap.recover(directory, NAME, emit=emitted).standing is Standing.ORPHAN
        kept = swap.delete_orphan(directory, NAME, emit=emitted)
    assert (kept.outcome, kept.reason) == (swap.Outcome.KEPT, "not_as_left")
    assert "a part of it" in str(emitted.named("original_kept")[0]["detail"])
    assert ground.contents(ORIG) == ORIGINAL


@pytest.mark.parametrize("how", ["cut", "rewritten", "same size"])
def test_a_copy_changed_in_place_keeps_its_original(ground: Ground, how: str) -> None:
    """No deletion by its owner: what is left of it may be worth nothing, so a person decides."""
    path, emitted = ground.root / NAME, Emitted()
    with ground.open() as directory:
        do_swap(directory, ManualClock())
        inode = path.stat().st_ino
        if how == "cut":
            os.truncate(path, 100)
        else:
            path.write_bytes(NEWER if how == "rewritten" else b"?" * len(COPY))
        assert path.stat().st_ino == inode
        ended = swap.recover(directory, NAME, emit=emitted)
        assert ended.standing is Standing.BLOCKED
        assert "changed in place" in str(emitted.named("swap_recovered")[0]["detail"])
        kept = swap.delete_orphan(directory, NAME, emit=Emitted())
        assert kept.outcome is swap.Outcome.KEPT
        with pytest.raises(Refused) as refused:
            swap.restore(directory, NAME, emit=Emitted())
        assert refused.value.reason == "copy_changed"
        assert ground.contents(ORIG) == ORIGINAL
        path.rename(ground.root / "aside")
        swap.restore(directory, NAME, emit=Emitted())
    assert ground.contents(NAME) == ORIGINAL


def test_who_wants_to_write_does_not_wait_for_a_whole_proof(ground: Ground) -> None:
    """The lease would keep him for most of a minute: he may be the recorder."""
    clock, looks = ManualClock(), []

    def somebody_comes() -> None:
        looks.append("looked")
        if len(looks) == 1:
            with pytest.raises(BlockingIOError):  # and from now on he is waited for
                os.open(ground.root / NAME, os.O_WRONLY | os.O_NONBLOCK)

    with ground.open() as directory:
        do_swap(directory, clock)
        clock.advance(2 * KEEP_S)
        deletion = swap.delete_original(
            directory, NAME, clock=clock, check=somebody_comes, emit=Emitted()
        )
    assert (deletion.outcome, deletion.reason) == (swap.Outcome.KEPT, "open_for_writing")
    assert len(looks) == 1  # broken off there and then
    assert ground.contents(ORIG) == ORIGINAL
    os.close(os.open(ground.root / NAME, os.O_WRONLY | os.O_NONBLOCK))


@pytest.mark.timeout(60)
def test_who_wants_to_write_waits_for_no_deletion_that_stands_still(ground: Ground) -> None:
    """It stands because the machine is needed, perhaps by the very recorder that writes."""
    clock, leash = ManualClock(), Leash()

    def somebody_comes() -> None:
        leash.pause("cpu")
        with pytest.raises(BlockingIOError):
            os.open(ground.root / NAME, os.O_WRONLY | os.O_NONBLOCK)
        leash.check()

    with ground.open() as directory:
        do_swap(directory, clock)
        clock.advance(2 * KEEP_S)
        deletion = swap.delete_original(
            directory,
            NAME,
            clock=clock,
            check=somebody_comes,
            meanwhile=leash.meanwhile,
            emit=Emitted(),
        )
    assert (deletion.outcome, deletion.reason) == (swap.Outcome.KEPT, "open_for_writing")
    assert leash.paused_reason == "cpu"  # and nobody has let it go on
    assert ground.contents(ORIG) == ORIGINAL
    os.close(os.open(ground.root / NAME, os.O_WRONLY | os.O_NONBLOCK))


def test_a_held_original_is_no_orphan(ground: Ground) -> None:
    """The orphan rule deletes nothing while the copy is there."""
    with ground.open() as directory:
        do_swap(directory, ManualClock())
        deletion = swap.delete_orphan(directory, NAME, emit=Emitted())
    assert deletion.outcome is swap.Outcome.KEPT
    assert ground.contents(ORIG) == ORIGINAL


@pytest.mark.parametrize("contents", [b"", b'{"watcher":1,', bytes(800)])
def test_torn_markers(ground: Ground, contents: bytes) -> None:
    """With no original beside it nothing had moved; with one, a person judges."""
    (ground.root / MARKER).write_bytes(contents)
    ended, _ = _end(ground)
    assert ended.standing is Standing.CLEAN
    assert set(ground.listing()) == {NAME}
    (ground.root / MARKER).write_bytes(contents)
    (ground.root / ORIG).write_bytes(b"what is this")
    before = ground.listing()
    ended, _ = _end(ground)
    assert ended.standing is Standing.BLOCKED
    assert ground.listing() == before


@pytest.mark.parametrize("kind", ["link", "directory", "fifo", "huge", "foreign"])
def test_what_stands_at_the_markers_name_and_is_no_marker(ground: Ground, kind: str) -> None:
    """Left where it is, and reported."""
    path = ground.root / MARKER
    victim = ground.root.with_name("victim")
    victim.write_bytes(b'{"watcher":1}')
    if kind == "link":
        path.symlink_to(victim)
    elif kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.write_bytes(b"{" * (2 << 20) if kind == "huge" else b"done by the first design")
    emitted = Emitted()
    with ground.open() as directory:
        recovered = swap.recover(directory, NAME, emit=emitted)
    assert recovered.standing is Standing.BLOCKED
    assert emitted.named("swap_recovered")[0]["detail"]
    assert os.path.lexists(path)
    assert victim.exists()
    if kind == "directory":
        path.rmdir()


@pytest.mark.parametrize("kind", ["link", "directory"])
def test_what_stands_at_the_temporary_name_and_is_no_file(ground: Ground, kind: str) -> None:
    """Never followed, never removed."""
    path = ground.root / TMP
    victim = ground.root.with_name("victim")
    victim.write_bytes(b"v")
    if kind == "link":
        path.symlink_to(victim)
    else:
        path.mkdir()
    with ground.open() as directory:
        assert swap.recover(directory, NAME, emit=Emitted()).standing is Standing.BLOCKED
        with swap.claim(directory, NAME) as claimed, pytest.raises(WatcherError):
            claimed.create_output()
    assert os.path.lexists(path)
    assert victim.read_bytes() == b"v"
    if kind == "directory":
        path.rmdir()


@pytest.mark.parametrize("since", ["the exchange", "a moment later"])
def test_what_stands_beside_a_copy_after_a_crash_is_left_to_a_person(
    ground: Ground, since: str
) -> None:
    """A newer recording came at the very exchange, or a stranger's file after: no stamp tells."""

    class Died(BaseException):
        pass

    class AtExchange(TrustedDirectory):
        def exchange(self, one: str, other: str) -> None:
            if one == NAME:
                _replace(ground.root)
            super().exchange(one, other)
            if one == NAME:
                raise Died

    with AtExchange(str(ground.root)) as directory, pytest.raises(Died):
        do_swap(directory, ManualClock())
    name, original = ground.root / NAME, ground.root / ORIG
    beside = NEWER
    assert (name.read_bytes(), original.read_bytes()) == (COPY, beside)
    if since == "a moment later":
        beside = b"planted" * 9
        (ground.root / "planted").write_bytes(beside)
        (ground.root / "planted").rename(original)
    ended, there = _end(ground)
    assert (ended.standing, there) == (Standing.BLOCKED, COPY)
    assert original.read_bytes() == beside
