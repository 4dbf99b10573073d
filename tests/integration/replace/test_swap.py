"""The swap on real files: what is kept, what is refused, what is told."""

import contextlib
import errno
import fcntl
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.clock import ManualClock
from support.emitted import Emitted
from support.filesystems import TrustedDirectory, Unavailable, shared_memory
from support.swap_trials import (
    COPY,
    KEEP_S,
    MARKER,
    MTIME_NS,
    NAME,
    ORIG,
    ORIGINAL,
    TMP,
    Ground,
    do_swap,
    stand_in_for_ffmpeg,
)

from watcher.errors import Aborted, Halt, Refused, Retryable, WatcherError
from watcher.replace import swap
from watcher.replace.directory import LinuxDirectory
from watcher.replace.files import Directory, Handle, Look
from watcher.replace.marker import Marker, State
from watcher.replace.preflight import Method, Preflight
from watcher.replace.recovery import Standing
from watcher.replace.steps import Policy, Site, survey

ALLOWED = Policy(allow_non_exchange=True)


def _commit(output: swap.Output) -> Marker:
    return output.commit(report={}, encoder="x", settings={}, keep_original_s=KEEP_S)


def _refused(directory: Directory, name: str = NAME, *, policy: Policy = swap.Policy()) -> str:  # noqa: B008 - frozen
    with pytest.raises(WatcherError) as error, swap.claim(directory, name, policy=policy):
        pass
    return error.value.reason


def _late() -> ManualClock:
    clock = ManualClock()
    clock.advance(KEEP_S)
    return clock


@contextmanager
def _sealed(directory: Directory) -> Iterator[tuple[swap.Claim, swap.Output]]:
    with swap.claim(directory, NAME) as claimed, claimed.create_output() as output:
        stand_in_for_ffmpeg(output.path)
        output.seal()
        yield claimed, output


@pytest.fixture
def directory(ground: Ground) -> Iterator[TrustedDirectory]:
    with ground.open() as opened:
        yield opened


def test_name_times_mode_and_owner_stay(ground: Ground, directory: TrustedDirectory) -> None:
    """Retention by age and databases of paths must not notice."""
    before = (ground.root / NAME).stat()
    do_swap(directory, ManualClock())
    after, held = (ground.root / NAME).stat(), (ground.root / ORIG).stat()
    same = ("st_mode", "st_uid", "st_gid", "st_mtime_ns")
    assert [getattr(after, one) for one in same] == [getattr(before, one) for one in same]
    assert held.st_ino == before.st_ino
    assert (ground.contents(NAME), ground.contents(ORIG)) == (COPY, ORIGINAL)
    assert (ground.root / MARKER).stat().st_mtime_ns == MTIME_NS, "retention takes all three"


def test_the_marker_tells_all(directory: TrustedDirectory) -> None:
    """Both identities, both digests, and the report of the verification."""
    do_swap(directory, ManualClock())
    marker = survey(Site(directory, NAME)).marker
    assert marker is not None
    assert marker.state is State.DONE
    assert (marker.original.size, marker.copy.size) == (len(ORIGINAL), len(COPY))
    assert marker.report == {"frames": 1}
    assert marker.original.sha256 != marker.copy.sha256


def test_swap_and_restore_is_byte_for_byte(ground: Ground, directory: TrustedDirectory) -> None:
    """The original itself comes back, and the verdict is remembered first."""
    inode = (ground.root / NAME).stat().st_ino
    do_swap(directory, ManualClock())
    remembered: list[tuple[str, str, int, int]] = []

    def remember(path: str, reason: str, size: int, mtime_ns: int) -> None:
        assert ground.contents(NAME) == COPY, "before anything is changed"
        remembered.append((path, reason, size, mtime_ns))

    emitted = Emitted()
    assert swap.restore(directory, NAME, remember=remember, emit=emitted).changed
    assert (ground.root / NAME).stat().st_ino == inode
    assert set(ground.listing()) == {NAME}
    assert remembered == [(str(ground.root / NAME), "restored", len(ORIGINAL), MTIME_NS)]
    assert emitted.named("original_restored")
    assert not swap.restore(directory, NAME, emit=emitted).changed, "a second one does nothing"


def test_an_uncommitted_output_goes(ground: Ground, directory: TrustedDirectory) -> None:
    """However the job ends, and the recording was never touched."""
    before = ground.listing()
    with swap.claim(directory, NAME) as claimed, claimed.create_output() as output:
        stand_in_for_ffmpeg(output.path)
        assert output.size_bytes() == len(COPY)
        assert TMP in ground.listing()
    assert ground.listing() == before


def test_sealing_can_be_stopped(ground: Ground, directory: TrustedDirectory) -> None:
    """Between two chunks, and nothing is left of it."""

    def stop() -> None:
        raise Aborted("stopped", "told to stop")

    with swap.claim(directory, NAME) as claimed, claimed.create_output() as output:
        stand_in_for_ffmpeg(output.path)
        with pytest.raises(Aborted):
            output.seal(stop)
    assert set(ground.listing()) == {NAME}


def test_a_commit_needs_a_seal(directory: TrustedDirectory) -> None:
    """What was not made durable is put in nobody's place; nor is anything put there twice."""
    with swap.claim(directory, NAME) as claimed, claimed.create_output() as output:
        stand_in_for_ffmpeg(output.path)
        with pytest.raises(Halt):
            _commit(output)
        output.seal()
        _commit(output)
        with pytest.raises(Halt):
            _commit(output)


@pytest.mark.parametrize("size", [len(ORIGINAL), len(ORIGINAL) + 1])
def test_a_copy_that_is_no_smaller_is_refused(directory: TrustedDirectory, size: int) -> None:
    """N strictly smaller than O."""
    with swap.claim(directory, NAME) as claimed, claimed.create_output() as output:
        stand_in_for_ffmpeg(output.path, b"x" * size)
        with pytest.raises(Refused) as refused:
            output.seal()
    assert refused.value.reason == "no_saving"


def test_an_output_in_use_is_not_sealed(directory: TrustedDirectory) -> None:
    """An encoder that still writes would write into the proven copy."""
    with swap.claim(directory, NAME) as claimed, claimed.create_output() as output:
        stand_in_for_ffmpeg(output.path)
        writer = os.open(output.path, os.O_WRONLY)
        with pytest.raises(Retryable) as refused:
            output.seal()
        os.close(writer)
        assert refused.value.reason == "output_in_use"
        output.seal()


def test_an_output_written_after_its_seal_is_not_committed(
    ground: Ground, directory: TrustedDirectory
) -> None:
    """What was verified is what is put there."""
    with _sealed(directory) as (_, output):
        with pytest.raises(BlockingIOError):
            os.open(output.path, os.O_WRONLY | os.O_NONBLOCK)
        with pytest.raises(Retryable) as refused:
            _commit(output)
    assert refused.value.reason == "output_replaced"
    assert set(ground.listing()) == {NAME}


def test_a_replaced_output_is_not_sealed(ground: Ground, directory: TrustedDirectory) -> None:
    """A link or another file planted under the temporary name is not what ffmpeg wrote."""
    victim = ground.root / "victim"
    victim.write_bytes(b"v" * 10)
    with swap.claim(directory, NAME) as claimed, claimed.create_output() as output:
        os.unlink(output.path)
        os.symlink(victim, output.path)
        with pytest.raises(Retryable) as refused:
            output.seal()
        assert refused.value.reason == "output_replaced"
    assert os.path.islink(output.path), "nor is it removed: it is not ours"
    assert victim.read_bytes() == b"v" * 10


# -- what is refused before anything is spent


def test_hard_links(ground: Ground, directory: TrustedDirectory) -> None:
    """Replacing one name would part it from the others."""
    os.link(ground.root / NAME, ground.root / "other")
    assert _refused(directory) == "hard_link"


@pytest.mark.parametrize("kind", ["link", "dangling", "directory", "fifo", "socket"])
def test_what_is_no_file(ground: Ground, directory: TrustedDirectory, kind: str) -> None:
    """Without opening it: a FIFO would wait for ever."""
    path = ground.root / "odd"
    if kind == "link":
        path.symlink_to(NAME)
    elif kind == "dangling":
        path.symlink_to("nowhere")
    elif kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        with socket.socket(socket.AF_UNIX) as unix, contextlib.chdir(ground.root):
            unix.bind("odd")  # a name of a socket is short
    assert _refused(directory, "odd") == "no_file"
    assert _refused(directory, "absent") == "vanished"
    if kind == "directory":
        path.rmdir()


@pytest.mark.parametrize("beside", [ORIG, MARKER])
def test_an_original_or_marker_beside_it(
    ground: Ground, directory: TrustedDirectory, beside: str
) -> None:
    """Neither is ever overwritten (invariant 9)."""
    (ground.root / beside).write_bytes(b"somebody's")
    assert _refused(directory) == "original_exists"
    assert ground.contents(beside) == b"somebody's"


def test_a_file_that_is_open_for_writing(ground: Ground, directory: TrustedDirectory) -> None:
    """The recorder may still hold it, however old it is."""
    with (ground.root / NAME).open("ab"):
        assert _refused(directory) == "open_for_writing"
    with swap.claim(directory, NAME):
        pass


@pytest.mark.parametrize(("length", "reason"), [(242, None), (243, "name_too_long")])
def test_the_longest_name(
    ground: Ground, directory: TrustedDirectory, length: int, reason: str | None
) -> None:
    """Our own names are up to 13 bytes longer."""
    name = "n" * length
    (ground.root / NAME).rename(ground.root / name)
    if reason:
        assert _refused(directory, name) == reason
        return
    with swap.claim(directory, name) as claimed, claimed.create_output() as output:
        stand_in_for_ffmpeg(output.path)
        output.seal()
        _commit(output)


@pytest.mark.parametrize(("flag", "bit"), [("immutable", 0x10), ("append-only", 0x20)])
def test_chattr(ground: Ground, directory: TrustedDirectory, flag: str, bit: int) -> None:
    """It could be neither renamed nor deleted."""
    fd = os.open(ground.root / NAME, os.O_RDONLY)
    try:
        before = _flags(fd)
        _set_flags(fd, before | bit)
    except OSError as error:
        os.close(fd)
        pytest.skip(f"{flag} can't be set here: {error}")
    try:
        assert _refused(directory) == "immutable"
    finally:
        _set_flags(fd, before)
        os.close(fd)


def _flags(fd: int) -> int:
    answer = fcntl.ioctl(fd, 0x80086601, bytes(8))  # FS_IOC_GETFLAGS
    return int.from_bytes(answer[:4], sys.byteorder)


def _set_flags(fd: int, flags: int) -> None:
    fcntl.ioctl(fd, 0x40086602, flags.to_bytes(8, sys.byteorder))  # FS_IOC_SETFLAGS


@pytest.mark.parametrize("name", ["security.capability", "security.ima"])
def test_attributes_that_no_copy_can_have(
    ground: Ground, directory: TrustedDirectory, name: str
) -> None:
    """They say something about these very bytes."""
    value = b"\1\0\0\2" + bytes(16) if name == "security.capability" else b"\1x"
    try:
        os.setxattr(ground.root / NAME, name, value)
    except OSError as error:
        pytest.skip(f"{name} can't be set here: {error}")
    assert _refused(directory) == "attributes"


def test_somebody_else_is_at_work(ground: Ground) -> None:
    """A locked output is left alone: by a second claim, and by recovery."""
    with (
        ground.open() as mine,
        ground.open() as theirs,
        swap.claim(mine, NAME) as claimed,
        claimed.create_output() as output,
        swap.claim(theirs, NAME) as other,
    ):
        with pytest.raises(Retryable) as refused:
            other.create_output()
        assert refused.value.reason == "in_progress"
        assert swap.recover(theirs, NAME, emit=Emitted()).standing is Standing.WORKING
        assert os.path.exists(output.path)


def test_the_output_of_a_writer_that_hangs_is_left_unlocked_to_recovery(
    ground: Ground, directory: TrustedDirectory
) -> None:
    """Removing it would wait in the kernel for the disk that its writer waits for."""
    with pytest.raises(Halt), swap.claim(directory, NAME) as claimed, claimed.create_output():
        raise Halt("child_stuck", "ffmpeg does not end")
    assert (ground.root / TMP).exists()
    assert swap.recover(directory, NAME, emit=Emitted()).standing is Standing.CLEAN
    assert not (ground.root / TMP).exists()


def test_a_spare_output_is_swept(ground: Ground, directory: TrustedDirectory) -> None:
    """A crash's half-made file is in nobody's way."""
    (ground.root / TMP).write_bytes(b"half")
    do_swap(directory, ManualClock())
    assert ground.contents(NAME) == COPY


def test_a_file_system_that_is_not_known_to_be_safe(ground: Ground) -> None:
    """The call alone can't tell: ext2 accepts it."""

    class Doubtful(LinuxDirectory):
        def mount(self) -> tuple[str, bool | None]:
            return "ext2", None

    with Doubtful(str(ground.root)) as directory:
        assert _refused(directory) == "exchange_unsafe"
        with swap.claim(directory, NAME, policy=ALLOWED) as claimed:
            assert claimed.ability.method is Method.LINK
            with claimed.create_output() as output:
                stand_in_for_ffmpeg(output.path)
                output.seal()
                _commit(output)
        assert (ground.contents(NAME), ground.contents(ORIG)) == (COPY, ORIGINAL)
        with pytest.raises(Refused) as refused:
            swap.restore(directory, NAME, emit=Emitted())
        assert refused.value.reason == "exchange_unsafe"
        assert swap.restore(directory, NAME, policy=ALLOWED, emit=Emitted()).changed
        assert set(ground.listing()) == {NAME}


@pytest.mark.parametrize(
    ("call", "lacks"), [("exchange", "exchange"), ("move", "noreplace"), ("link", "links")]
)
def test_a_file_system_that_lacks_something(ground: Ground, call: str, lacks: str) -> None:
    """Found out with two hidden files, which are gone afterwards, and said by name."""

    class Lacking(TrustedDirectory):
        def __getattribute__(self, name: str) -> object:
            if name == call:
                return _unsupported
            return super().__getattribute__(name)

        def mount(self) -> tuple[str, bool | None]:
            return ("ext2" if call == "link" else "xfs"), None

    with Lacking(str(ground.root)) as directory, pytest.raises(Refused) as refused:
        swap.claim(directory, NAME, policy=ALLOWED)
    assert refused.value.figures["lacks"] == lacks
    assert set(ground.listing()) == {NAME}


def _unsupported(*_names: str) -> None:
    raise OSError(errno.EINVAL, "Invalid argument")


def test_no_leases_here(ground: Ground) -> None:
    """Without them a writer is not seen: refused, unless its owner allowed as much."""

    class NoLeases(TrustedDirectory):
        def create(self, name: str, *, writable: bool = False) -> Handle:
            handle = super().create(name, writable=writable)
            handle.lease = _unsupported  # type: ignore[method-assign,assignment]  # always no
            return handle

    with NoLeases(str(ground.root)) as directory:
        assert _refused(directory) == "file_system_lacks"
        with swap.claim(directory, NAME, policy=ALLOWED) as claimed:
            assert not claimed.ability.leases


def test_the_trial_is_made_once_for_a_directory(ground: Ground) -> None:
    """What was found good is not asked again."""
    made: list[str] = []

    class Counting(TrustedDirectory):
        def exchange(self, one: str, other: str) -> None:
            made.append(one)
            super().exchange(one, other)

    preflight = Preflight()
    with Counting(str(ground.root)) as directory:
        for _ in range(3):
            swap.claim(directory, NAME, preflight=preflight).close()
    assert len(made) == 1


# -- deletion


def test_a_proven_copys_original_goes(ground: Ground, directory: TrustedDirectory) -> None:
    """With its marker, and the event says how much space that gave."""
    do_swap(directory, ManualClock())
    emitted = Emitted()
    deletion = swap.delete_original(directory, NAME, clock=_late(), emit=emitted)
    assert deletion.outcome is swap.Outcome.DELETED
    assert set(ground.listing()) == {NAME}
    told = emitted.named("original_deleted")[0]
    assert (told["size_bytes"], told["held_s"]) == (len(ORIGINAL), KEEP_S)


def test_a_restore_without_a_marker_is_remembered_first(
    ground: Ground, directory: TrustedDirectory
) -> None:
    """Or what its owner wanted back would be the next night's work."""
    do_swap(directory, ManualClock())
    (ground.root / NAME).unlink()
    (ground.root / MARKER).unlink()
    told: list[tuple[str, str, int, int, bool]] = []

    def remember(path: str, reason: str, size_bytes: int, mtime_ns: int) -> None:
        told.append((path, reason, size_bytes, mtime_ns, (ground.root / NAME).exists()))

    assert swap.restore(directory, NAME, remember=remember, emit=Emitted()).changed
    assert told == [(str(ground.root / NAME), "restored", len(ORIGINAL), MTIME_NS, False)]


class _Failing(TrustedDirectory):
    """One call fails once."""

    fails: tuple[str, str] | None = None

    def look(self, name: str) -> Look | None:
        self._strike("look", name)
        return super().look(name)

    def unlink(self, name: str) -> None:
        self._strike("unlink", name)
        super().unlink(name)

    def _strike(self, call: str, name: str) -> None:
        if self.fails == (call, name):
            self.fails = None
            raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_disk_that_fails_before_the_work_is_no_refusal(ground: Ground) -> None:
    """Another night it may be read; no verdict is kept of the recording."""
    with _Failing(str(ground.root)) as directory, swap.claim(directory, NAME) as claimed:
        directory.fails = ("look", TMP)
        with pytest.raises(Halt) as halt:
            claimed.create_output()
    assert halt.value.reason == "io_error"


def test_a_rehearsal_that_fails_leaves_nothing_locked(ground: Ground) -> None:
    """The service lives on: a descriptor left open would lock the temporary file for ever."""
    with _Failing(str(ground.root)) as directory, swap.claim(directory, NAME) as claimed:
        directory.fails = ("unlink", TMP)
        with pytest.raises(Halt):
            claimed.create_output()
        with claimed.create_output():
            assert TMP in ground.listing()
    assert set(ground.listing()) == {NAME}


class _Reading(TrustedDirectory):
    """Counts the files that are opened beside the marker."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.read: list[str] = []

    def open(self, name: str) -> Handle:
        self.read.append(name)
        return super().open(name)


def test_what_a_backup_brought_back_is_read_once(ground: Ground) -> None:
    """Other inodes, the same bytes: proven by digest, and then noted as they are now."""
    with ground.open() as directory:
        do_swap(directory, ManualClock())
    shutil.copytree(ground.root, ground.root.with_name("restored"))
    back = Ground(ground.root.with_name("restored"))
    with _Reading(str(back.root)) as directory:
        first = swap.recover(directory, NAME, emit=Emitted())
        assert set(directory.read) >= {NAME, ORIG}
        directory.read.clear()
        again = swap.recover(directory, NAME, emit=Emitted())
        assert not {NAME, ORIG} & set(directory.read)
    assert first.actions
    assert not again.actions
    assert again.standing is first.standing is Standing.HELD
    assert (back.root / MARKER).stat().st_mtime_ns == MTIME_NS


def test_a_disk_that_is_full_leaves_the_marker_as_it_is(ground: Ground) -> None:
    """What is held stays held; only the reading is done again."""
    with ground.open() as directory:
        do_swap(directory, ManualClock())
    shutil.copytree(ground.root, ground.root.with_name("restored"))
    back = Ground(ground.root.with_name("restored"))
    before = back.listing()

    class Full(TrustedDirectory):
        def create(self, name: str, *, writable: bool = False) -> Handle:
            assert writable, "it is the marker that is written"
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)

    with Full(str(back.root)) as directory:
        assert swap.recover(directory, NAME, emit=Emitted()).standing is Standing.HELD
    assert back.listing() == before


def test_not_within_an_hour(ground: Ground, directory: TrustedDirectory) -> None:
    """Whoever asks for it, and for whatever reason."""
    clock = ManualClock()
    do_swap(directory, clock)
    clock.advance(3599)
    deletion = swap.delete_original(directory, NAME, clock=clock, reason="disk", emit=Emitted())
    assert (deletion.outcome, deletion.reason) == (swap.Outcome.KEPT, "too_young")
    assert ground.contents(ORIG) == ORIGINAL
    clock.boot = "another"
    clock.advance(KEEP_S)
    for evidence_s, outcome in ((3599, swap.Outcome.KEPT), (3600, swap.Outcome.DELETED)):
        deletion = swap.delete_original(
            directory, NAME, clock=clock, evidence_s=evidence_s, emit=Emitted()
        )
        assert deletion.outcome is outcome, "across boots only what was watched counts"


def _rot(path: Path) -> None:
    """Change bytes as a disk does: nothing about the file shows it."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"?")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_copy_that_rotted_is_replaced_by_its_original(
    ground: Ground, directory: TrustedDirectory
) -> None:
    """By itself, with the verdict remembered."""
    do_swap(directory, ManualClock())
    _rot(ground.root / NAME)
    remembered: list[str] = []
    deletion = swap.delete_original(
        directory,
        NAME,
        clock=_late(),
        remember=lambda _path, reason, _size, _mtime: remembered.append(reason),
        emit=Emitted(),
    )
    assert (deletion.outcome, deletion.reason) == (swap.Outcome.RESTORED, "copy_damaged")
    assert ground.contents(NAME) == ORIGINAL
    assert set(ground.listing()) == {NAME}
    assert remembered == ["copy_damaged"]


def test_where_both_rotted_both_are_kept(ground: Ground, directory: TrustedDirectory) -> None:
    """A person decides."""
    do_swap(directory, ManualClock())
    for name in (NAME, ORIG):
        _rot(ground.root / name)
    before = ground.listing()
    emitted = Emitted()
    deletion = swap.delete_original(directory, NAME, clock=_late(), emit=emitted)
    assert (deletion.outcome, deletion.reason) == (swap.Outcome.KEPT, "both_damaged")
    assert ground.listing() == before
    assert emitted.named("original_kept")


def test_an_original_that_rotted_is_not_restored(
    ground: Ground, directory: TrustedDirectory
) -> None:
    """The copy is the better of the two."""
    do_swap(directory, ManualClock())
    _rot(ground.root / ORIG)
    with pytest.raises(Refused) as refused:
        swap.restore(directory, NAME, emit=Emitted())
    assert refused.value.reason == "original_damaged"
    assert ground.contents(NAME) == COPY


def test_restore_without_an_original(ground: Ground, directory: TrustedDirectory) -> None:
    """Deleted with its recording: there is nothing to restore."""
    (ground.root / NAME).unlink()
    with pytest.raises(Refused) as refused:
        swap.restore(directory, NAME, emit=Emitted())
    assert refused.value.reason == "original_gone"


def test_restore_where_the_marker_was_swept(ground: Ground, directory: TrustedDirectory) -> None:
    """To a free name: nothing can be overwritten. Beside a file nobody can vouch for: refused."""
    do_swap(directory, ManualClock())
    (ground.root / MARKER).unlink()
    with pytest.raises(Refused) as refused:
        swap.restore(directory, NAME, emit=Emitted())
    assert refused.value.reason == "not_restorable"
    (ground.root / NAME).unlink()
    assert swap.restore(directory, NAME, emit=Emitted()).changed
    assert ground.contents(NAME) == ORIGINAL


# -- as a service's own user, without a capability


def _as_nobody(run: Callable[[], str]) -> str:
    """Run in a child that is user 65534 and nothing more; give what it says."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(_NOBODY, _NOBODY, _NOBODY)
            os.setresuid(_NOBODY, _NOBODY, _NOBODY)
            answer = run()
        except BaseException as error:  # noqa: BLE001 - told to the parent
            answer = getattr(error, "reason", repr(error))
        os.write(writing, answer.encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading, "rb") as pipe:
        return pipe.read().decode()


_NOBODY = 65534


def _swap_as_nobody(ground: Ground) -> str:
    def run() -> str:
        with ground.open() as directory:
            do_swap(directory, ManualClock())
        return "swapped"

    return _as_nobody(run)


@pytest.fixture
def lent() -> Iterator[Ground]:
    """A directory that everybody may write to, on a path that everybody may walk."""
    if os.geteuid() != 0:
        pytest.skip("only root can be somebody else")
    try:
        with shared_memory() as root:
            root.chmod(0o777)
            lent = Ground(root)
            lent.clear()
            yield lent
    except Unavailable as reason:
        pytest.skip(str(reason))


def test_the_owner_needs_no_capability(lent: Ground) -> None:
    """A service that runs as the recordings' owner can do all of it."""
    os.chown(lent.root / NAME, _NOBODY, _NOBODY)
    assert _swap_as_nobody(lent) == "swapped"
    assert (lent.root / NAME).stat().st_uid == _NOBODY
    assert lent.contents(NAME) == COPY


def test_somebody_elses_recording_is_not_tried(lent: Ground) -> None:
    """He could take neither lease nor owner, and is told before anything is spent."""
    (lent.root / NAME).chmod(0o644)
    assert _swap_as_nobody(lent) == "not_owner"
    assert set(lent.listing()) == {NAME}


def test_a_recording_that_may_not_be_read_halts_nothing_else(lent: Ground) -> None:
    """One file that root has put there is no reason to leave all others alone."""
    (lent.root / NAME).chmod(0o600)
    assert _swap_as_nobody(lent) == "not_owner"
    assert set(lent.listing()) == {NAME}


def test_somebody_else_may_restore(lent: Ground) -> None:
    """He can take no lease, and does without: a person at a shell is not always the owner."""
    (lent.root / NAME).chmod(0o644)
    with lent.open() as directory:
        do_swap(directory, ManualClock())
    (lent.root / MARKER).chmod(0o644)

    def run() -> str:
        with lent.open() as directory:
            return str(swap.restore(directory, NAME, emit=Emitted()).changed)

    assert _as_nobody(run) == "True"
    assert lent.contents(NAME) == ORIGINAL
    assert set(lent.listing()) == {NAME}


def test_a_group_that_cannot_be_given_is_refused(lent: Ground) -> None:
    """Before an encode, by rehearsal."""
    os.chown(lent.root / NAME, _NOBODY, 0)
    assert _swap_as_nobody(lent) == "attributes"
    assert set(lent.listing()) == {NAME}


def test_a_directory_that_cannot_be_written_halts(lent: Ground) -> None:
    """With its remedy."""
    os.chown(lent.root / NAME, _NOBODY, _NOBODY)
    lent.root.chmod(0o755)
    assert _swap_as_nobody(lent) == "permission"
