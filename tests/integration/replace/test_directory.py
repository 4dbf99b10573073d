"""One contract for the real directory and for the fake that the model runs on."""

import hashlib
import os
import platform
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace

import psutil
import pytest
from support.fake_directory import FakeDirectory
from support.filesystems import TrustedDirectory
from support.swap_trials import Ground

from watcher.errors import Retryable
from watcher.replace.directory import LinuxDirectory
from watcher.replace.files import Directory


@dataclass
class Subject:
    """A directory under test, and how strangers act in it."""

    directory: Directory
    put: Callable[[str, bytes], object]
    link: Callable[[str, str], object]


@pytest.fixture(params=["real", "fake"])
def subject(request: pytest.FixtureRequest, ground: Ground) -> Subject:
    if request.param == "fake":
        fake = FakeDirectory()
        return Subject(
            fake,
            fake.put,
            lambda name, _target: fake.put(name, b"", mode=stat.S_IFLNK | 0o777),
        )
    return Subject(
        TrustedDirectory(str(ground.root)),
        lambda name, contents: (ground.root / name).write_bytes(contents),
        lambda name, target: (ground.root / name).symlink_to(target),
    )


def test_look(subject: Subject) -> None:
    """Nothing is None; a file shows itself; a link is looked at, not through."""
    subject.put("a", b"12345")
    subject.link("l", "a")
    look, link = subject.directory.look("a"), subject.directory.look("l")
    assert subject.directory.look("absent") is None
    assert look is not None
    assert (look.is_regular, look.size, look.nlink) == (True, 5, 1)
    assert link is not None
    assert not link.is_regular
    assert subject.directory.look(".") is not None


def test_create_takes_no_name_that_is_taken(subject: Subject) -> None:
    """Neither a file's nor a planted link's."""
    subject.put("a", b"1")
    subject.link("l", "a")
    with subject.directory.locked():
        for name in ("a", "l"):
            with pytest.raises(FileExistsError):
                subject.directory.create(name)


def test_open_takes_no_link(subject: Subject) -> None:
    """A link under our name leads nowhere."""
    subject.put("a", b"1")
    subject.link("l", "a")
    with pytest.raises(OSError, match="symbolic links"):
        subject.directory.open("l")
    with pytest.raises(FileNotFoundError):
        subject.directory.open("absent")


def test_written_is_read_and_digested(subject: Subject) -> None:
    """In pieces, with a check between them."""
    checks: list[int] = []
    with subject.directory.locked():
        handle = subject.directory.create("a", writable=True)
    handle.write(b"one ")
    handle.write(b"two")
    handle.sync()
    handle.close()
    handle.close()
    read = subject.directory.open("a")
    read.drop_cache()
    assert read.read(5) == b"one t"
    digest = read.digest(lambda: checks.append(1))
    assert digest == hashlib.sha256(b"one two").hexdigest()
    assert checks


def test_exchange(subject: Subject) -> None:
    """Both names change places; the inodes go with them; an absent one is an error."""
    subject.put("a", b"1")
    subject.put("b", b"22")
    handle = subject.directory.open("a")
    with subject.directory.locked():
        subject.directory.exchange("a", "b")
        assert handle.look().same_inode(subject.directory.look("b"))
        with pytest.raises(FileNotFoundError):
            subject.directory.exchange("a", "absent")
        with pytest.raises(FileNotFoundError):
            subject.directory.exchange("absent", "a")


def test_moves_links_and_unlinks(subject: Subject) -> None:
    """`move` and `link` never replace; `move_over` does."""
    subject.put("a", b"1")
    subject.put("b", b"22")
    directory = subject.directory
    with directory.locked():
        with pytest.raises(FileExistsError):
            directory.move("a", "b")
        with pytest.raises(FileExistsError):
            directory.link("a", "b")
        with pytest.raises(FileNotFoundError):
            directory.move("absent", "c")
        directory.move("a", "c")
        directory.link("c", "d")
        first, second = directory.look("c"), directory.look("d")
        assert first is not None
        assert first.same_inode(second)
        assert first.nlink == 2
        directory.move_over("b", "c")
        replaced = directory.look("c")
        assert replaced is not None
        assert replaced.size == 2
        directory.unlink("c")
        with pytest.raises(FileNotFoundError):
            directory.unlink("c")
        directory.sync()
    assert [directory.look(name) is None for name in "abcd"] == [True, True, True, False]


def test_a_rename_changes_no_contents(subject: Subject) -> None:
    """`same_contents` holds across it; `unchanged` does not hold across a link."""
    subject.put("a", b"1")
    before = subject.directory.look("a")
    assert before is not None
    assert before.unchanged(subject.directory.look("a"))
    with subject.directory.locked():
        subject.directory.move("a", "b")
        assert before.same_contents(subject.directory.look("b"))
        subject.directory.link("b", "c")
    assert not before.unchanged(subject.directory.look("b"))


def test_locks_and_leases(subject: Subject) -> None:
    """One lock a file, and a lease only where nobody writes."""
    with subject.directory.locked():
        first = subject.directory.create("a")
    second = subject.directory.open("a")
    assert first.try_lock()
    assert not second.try_lock()
    assert second.lease()
    assert second.lease_holds()
    second.drop_lease()
    second.drop_lease()
    assert not second.lease_holds()
    first.close()
    assert second.try_lock()
    with subject.directory.locked():
        writer = subject.directory.create("b", writable=True)
    reader = subject.directory.open("b")
    assert not reader.lease()
    writer.close()
    assert reader.lease()


def test_attributes_are_taken_over(subject: Subject) -> None:
    """Mode and times, to the nanosecond."""
    subject.put("a", b"1")
    source = subject.directory.open("a")
    wanted = replace(source.attributes(), permissions=0o604, mtime_ns=1_600_000_000_123_456_789)
    with subject.directory.locked():
        target = subject.directory.create("b")
    target.set_attributes(wanted)
    assert wanted.differences(target.attributes()) == []
    assert "permissions" in wanted.differences(replace(wanted, permissions=0))


def test_extended_attributes_and_acls_are_taken_over(ground: Ground) -> None:
    """What the new file inherited and the original lacks is taken away."""
    path = ground.root / "seg.mp4"
    try:
        os.setxattr(path, "user.camera", b"porch")
    except OSError as error:
        pytest.skip(f"no extended attributes here: {error}")
    with TrustedDirectory(str(ground.root)) as directory, directory.locked():
        source, target = directory.open("seg.mp4"), directory.create("copy")
        os.setxattr(ground.root / "copy", "user.other", b"1")
        target.set_attributes(source.attributes())
        assert source.attributes().differences(target.attributes()) == []
        source.close()
        target.close()
    assert os.listxattr(ground.root / "copy") == ["user.camera"]


def test_a_writer_breaks_the_lease(ground: Ground) -> None:
    """He waits, the lease tells, and no signal ends the process."""
    with TrustedDirectory(str(ground.root)) as directory:
        handle = directory.open("seg.mp4")
        assert handle.lease()
        with pytest.raises(BlockingIOError):
            os.open(ground.root / "seg.mp4", os.O_WRONLY | os.O_NONBLOCK)
        assert not handle.lease_holds()
        handle.drop_lease()
        os.close(os.open(ground.root / "seg.mp4", os.O_WRONLY | os.O_NONBLOCK))
        handle.close()


def test_the_directorys_lock_is_exclusive_and_waited_for(ground: Ground) -> None:
    """Two services with two state directories: the second one gives up after its patience."""
    from support.clock import ManualClock  # noqa: PLC0415 - its waits pass at once

    clock = ManualClock()
    mine = LinuxDirectory(str(ground.root))
    theirs = LinuxDirectory(str(ground.root), clock=clock)
    with mine.locked(), pytest.raises(Retryable) as refused, theirs.locked():
        pass
    assert refused.value.reason == "directory_locked"
    assert clock.waits
    with theirs.locked():
        pass
    mine.close()
    theirs.close()


def test_a_moved_directory_is_followed(ground: Ground) -> None:
    """Every call is relative to the descriptor, whatever takes the path afterwards."""
    directory = TrustedDirectory(str(ground.root))
    moved = ground.root.with_name("moved")
    ground.root.rename(moved)
    ground.root.mkdir()
    (ground.root / "seg.mp4").write_bytes(b"another")
    with directory.locked():
        directory.unlink("seg.mp4")
    assert (ground.root / "seg.mp4").exists()
    assert not (moved / "seg.mp4").exists()
    directory.close()


def test_names_are_bytes(ground: Ground) -> None:
    """A leading dash, a newline, a percent sign, bytes that are no UTF-8."""
    with TrustedDirectory(str(ground.root)) as directory, directory.locked():
        for name in ("-rf", "a\nb", "%03d", os.fsdecode(b"caf\xe9")):
            directory.create(name).close()
            directory.move(name, name + ".original")
            assert directory.look(name + ".original") is not None
            assert os.path.lexists(directory.path_of(name + ".original"))


def test_whole_files_are_read_at_idle_priority(ground: Ground) -> None:
    """The recorder's writes come first; afterwards the thread is what it was."""
    me = psutil.Process()
    before = me.ionice()
    seen = set()
    with TrustedDirectory(str(ground.root)) as directory:
        handle = directory.open("seg.mp4")
        handle.digest(lambda: seen.add(me.ionice().ioclass))
        handle.close()
    assert me.ionice() == before
    assert seen <= {psutil.IOPRIO_CLASS_IDLE, before.ioclass}
    assert platform.machine() not in {"x86_64", "aarch64"} or seen == {psutil.IOPRIO_CLASS_IDLE}
