"""What is said of a loss: once, with its true figures, and what helps against it."""

import errno
import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.emitted import Emitted
from support.mounts import make_ext4, mounted, run_limited
from support.trees import WEEK_S, CameraOf, Watched, record, recording_of, watching

from watcher.clock import Clock, SystemClock
from watcher.segments.changes import Changes
from watcher.segments.files import Files, Hooks
from watcher.segments.index import SegmentIndex
from watcher.segments.inotify import Inotify, Reader
from watcher.segments.roots import check_root, unheard
from watcher.segments.tree import Directory, Root, root_of


def removed(watched: Watched) -> list[tuple[object, object, object]]:
    told = watched.emitted.named("index_resynced")
    return [(one["cause"], one["root"], one["removed"]) for one in told if one["removed"]]


class TestFigures:
    """Recordings that left the index with their camera's directory are counted."""

    def test_of_a_camera_that_went_away(self, watched: Watched, camera: Path) -> None:
        for number in range(3):
            record(camera / f"d/{number}.mp4")
        watched.quiet()
        camera.rename(camera.with_name("away"))
        watched.tick()
        assert removed(watched) == [("root_absent", str(camera), 3)]
        watched.tick()
        assert len(removed(watched)) == 1, "said once"


def test_a_state_directory_without_a_watch_to_be_had_names_the_limit(tmp_path: Path) -> None:
    """ENOSPC here is no full disk: a person would go and look for one."""
    script = """
from support.emitted import Emitted
from watcher.segments.state_watch import StateWatch
emitted = Emitted()
watch = StateWatch(sys.argv[1], ["disabled"], lambda name: None, emit=emitted)
watch.start()
watch.tick()
watch.stop()
for lost in emitted.named("events_lost"):
    print(lost["cause"], lost["remedy"])
"""
    (said,) = run_limited(script, str(tmp_path), watches=0).splitlines()
    assert said.startswith("watch_limit ")
    assert "fs.inotify.max_user_watches = 1048576" in said


def test_an_instance_that_can_not_be_had_is_said_each_time_that_happens(camera: Path) -> None:
    script = """
import os
from pathlib import Path
from support.trees import *
camera, limit = Path(sys.argv[1]), Path("/proc/sys/user/max_inotify_instances")
record(camera / "d/a.mp4", age_s=60.0)
with watching(camera) as watched:
    watched.tick()
    watched.tick()
    assert watched.losses() == ["instance_limit"], "said once"
    limit.write_text("100")
    watched.tick()
    assert watched.observer.healthy()
    for directory in watched.observer.forest.directories():  # as if read long after its change
        directory.ctime_ns = os.stat(directory.path).st_ctime_ns
    limit.write_text("0")
    dying = watched.observer.forest.inotify
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), dying._inotify_fd)
    os.write(dying._kill_w, b"!")
    wait_for(lambda: watched.observer.forest.inotify is None)
    watched.quiet()
    read = watched.observer.statistics().directories_read
    watched.tick()
    watched.tick()
    assert watched.observer.statistics().directories_read == read, "nothing has changed"
    print(*watched.losses())
    limit.write_text("100")
    watched.tick()
    assert watched.observer.healthy()
    assert watched.observer.statistics().unwatched == 0
    record(camera / "d/b.mp4")
    watched.quiet()
    assert indexed(watched.index) == walked(camera)
"""
    told = run_limited(script, str(camera), instances=0)
    assert told == "instance_limit thread_died instance_limit\n"


def test_a_reading_thread_that_could_not_be_started_has_a_successor(camera: Path) -> None:
    """No thread to be had (a limit of the unit's) raises where nobody waits for it."""
    made: list[Inotify] = []

    class Unstartable(Inotify):
        def start(self) -> None:
            if len(made) == 2:
                raise RuntimeError("can't start new thread")
            super().start()

    def make(reader: Reader, clock: Clock) -> Inotify:
        made.append(Unstartable(reader, clock))
        return made[-1]

    with watching(camera, make_inotify=make) as watched:
        watched.observer._died(OSError(errno.EBADF, "no"))
        watched.tick()
        watched.tick()
        assert watched.observer.healthy()
        path = record(camera / "a.mp4")
        watched.quiet()
        assert watched.paths() == [str(path)]


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """As in a host that leaks them; what is open stays so."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open("/", os.O_PATH)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_without_a_descriptor_left_no_camera_is_taken_for_absent(
    watched: Watched, camera: Path
) -> None:
    path = record(camera / "d/a.mp4")
    watched.quiet()
    read = watched.observer.statistics().directories_read
    with no_descriptor_left():
        watched.tick()
    assert watched.paths() == [str(path)]
    watched.tick()
    assert watched.losses() == []
    assert watched.observer.statistics().directories_read == read


def test_a_directory_that_can_not_be_opened_for_want_of_descriptors_says_so(
    watched: Watched, camera: Path
) -> None:
    record(camera / "d/a.mp4")
    watched.quiet()
    forest = watched.observer.forest
    with forest.changes, no_descriptor_left():
        forest.unreadable.note(forest.tree.by_path[str(camera / "d")], os_error(errno.EMFILE))
    (lost,) = watched.emitted.named("events_lost")
    assert "LimitNOFILE=" in str(lost["remedy"])


def test_a_camera_that_can_not_be_opened_for_want_of_descriptors_says_so_once(
    watched: Watched, camera: Path
) -> None:
    """At the start nothing tells of it meanwhile: it looked like one whose disk does not answer."""
    root = Root("cam2", str(camera), polled=False, leases=True, is_recording=lambda _: True)
    with no_descriptor_left():
        for _ in range(2):
            assert check_root(watched.observer.forest, root) is None
    (lost,) = watched.emitted.named("events_lost")
    assert (lost["camera"], lost["cause"]) == ("cam2", "unreadable")
    assert "LimitNOFILE=" in str(lost["remedy"])
    assert unheard(root) == os.strerror(errno.EMFILE)


def os_error(code: int) -> OSError:
    return OSError(code, os.strerror(code))


def test_a_directory_on_a_failing_disk_is_said_once_and_read_when_it_can_be(
    tmp_path: Path,
) -> None:
    """A disk that ends before the directory's block: listing it is an EIO."""
    image, camera = tmp_path / "image", tmp_path / "cam1"
    camera.mkdir()
    make_ext4(image, 8)
    with mounted(camera, "-o", "loop", kind="ext4", source=str(image)):
        for name in ("good", "bad"):
            record(camera / name / "a.mp4", age_s=WEEK_S)
        subprocess.run(["umount", str(camera)], check=True)
    size, block = image.stat().st_size, _block_of("/bad", image)
    whole = image.read_bytes()
    with mounted(camera, "-o", "loop,ro,noload", kind="ext4", source=str(image)):
        os.truncate(image, block)
        with watching(camera) as watched:
            watched.tick()
            watched.tick()
            assert watched.losses() == ["unreadable"], "said once"
            assert watched.observer.statistics().losses == {"unreadable": 1}
            assert watched.paths() == [str(camera / "good/a.mp4")]
            image.write_bytes(whole)
            assert image.stat().st_size == size
            watched.tick()
            assert watched.paths() == [str(camera / f"{one}/a.mp4") for one in ("bad", "good")]
            assert watched.mended() == ["unwatched"]


def _block_of(directory: str, image: Path) -> int:
    done = subprocess.run(
        ["debugfs", "-R", f"blocks {directory}", str(image)],
        check=True,
        capture_output=True,
        text=True,
    )
    return int(done.stdout.split()[0]) * 1024


def test_a_file_that_can_not_be_looked_at_is_no_matter_of_rights_unless_it_is(
    tmp_path: Path,
) -> None:
    emitted = Emitted()
    changes = Changes(emitted)
    place = tmp_path / "no-directory"
    place.touch()
    descriptor = os.open(place, os.O_PATH)
    files = Files(
        SegmentIndex(0.0),
        changes,
        sidecar_of=recording_of,
        hooks=Hooks(),
        clock=SystemClock(),
        descriptor=lambda _: descriptor,
        unresolved=lambda *_: None,
        when_paired=lambda _: None,
    )
    root = root_of(CameraOf("cam1", str(tmp_path)))
    with changes:
        files.look(Directory(root, None, "", root.path, (0, 0)), "a.mp4")
    os.close(descriptor)
    (lost,) = emitted.named("events_lost")
    assert lost["cause"] == "unreadable"
