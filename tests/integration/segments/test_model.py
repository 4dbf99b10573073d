"""The index equals a fresh walk at every quiet point, whatever is done to the tree.

Hypothesis plays recorder, retention, person and misfortune on a real tree: two cameras and a place
outside of both. A kernel queue of 24 events overflows in every burst.
"""

import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO

import pytest
from hypothesis import HealthCheck, Phase, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from support.queues import SmallQueue, can_shrink, exchange, touch_mtime
from support.trees import CameraOf, indexed, recording_of, walked, watching

from watcher.clock import SystemClock
from watcher.segments.inotify import Inotify
from watcher.segments.segment import Segment

TOPS = ("cam1", "cam2", "outside")
ALL = [f"{top}{below}" for top in TOPS for below in ("", "/d", "/d/f", "/e.mp4")]
DIRECTORIES = st.sampled_from(ALL)
NAMES = st.sampled_from(["a.mp4", "b.mp4", "\udcff\n-.mp4", ".h.mp4", "c.txt"])
SIDECARS = st.sampled_from(["a.mp4.original", "b.mp4.transcoded", ".a.mp4.transcoding"])
BELOW = DIRECTORIES.filter(lambda directory: "/" in directory)
MORE = [f"{top}{below}" for top in TOPS for below in ("/g", "/g/d", "/g/d/f", "/d/f/g", "/e.mp4/d")]
PLACES = st.sampled_from([place for place in ALL + MORE if "/" in place])
TREE_STEPS = st.sampled_from(
    ["rename_tree", "exchange_trees", "turn_over", "delete_tree", "make_tree", "overflow", "pause"]
)
WHICH = st.integers(0, 999)
"""Which of those that are there: a name drawn at random would hardly ever be one of them."""
MODES = st.sampled_from([0o755, 0o2775, 0o500, 0o000])
ENOUGH_STEPS = 20_000
"""After so many each of `LISTED` has to have been drawn."""
LIVELY = 3
"""Every so many comparisons a fresh file in each directory has to be heard of."""
AGES_S = st.sampled_from([0.0, 3.0, 5_000.0, 9 * 86_400.0, -50.0])

STEPS: Counter[str] = Counter()
"""What was done, not what was tried; in brackets what came of it."""

LISTED = {
    *("write", "begin_writing", "go_on_writing", "end_writing"),
    *("rename", "(renamed over another)", "(renamed across cameras)"),
    *("(renamed into a camera)", "(renamed out of a camera)"),
    *("rename_tree", "(tree renamed across cameras)", "(tree renamed over another)"),
    *("delete", "delete_tree", "link", "symlink", "set_mode", "set_mode_of_tree"),
    *("put_sidecar", "take_sidecar", "burst", "overflow", "pause", "compare"),
    *("(grown old)", "(liveness)"),
}
"""What has to have happened for the model to have shown what it promises."""


class AheadClock(SystemClock):
    """The machine's clock, set forward for a moment."""

    ahead_s = 0.0

    def wall_s(self) -> float:
        return super().wall_s() + self.ahead_s


@contextmanager
def done(step: str) -> Iterator[None]:
    """Count a step, unless the tree does not allow it."""
    with suppress(OSError):
        yield
        STEPS[step] += 1


class Tree(RuleBasedStateMachine):
    """What may happen to a tree of recordings."""

    queue_length = 24

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.top = Path(tempfile.mkdtemp(prefix="watcher-model-"))
        self.stack.callback(shutil.rmtree, self.top, ignore_errors=True)
        for directory in ALL:
            (self.top / directory).mkdir(parents=True)
            (self.top / directory / "a.mp4").write_bytes(directory.encode())
        make = SmallQueue(self.queue_length) if can_shrink() else Inotify
        cameras = [CameraOf(name, str(self.top / name)) for name in TOPS[:2]]
        self.clock = AheadClock()
        watched = watching(*cameras, clock=self.clock, make_inotify=make)
        self.watched = self.stack.enter_context(watched)
        self.writers: list[IO[bytes]] = []
        # By inode, held by a descriptor so that its number is nobody else's meanwhile.
        self.linked: dict[int, int] = {}
        self.unheard: set[int] = set()  # by inode: were changed in a way that no event tells of
        self.compared = 0

    def teardown(self) -> None:
        try:
            self.compare()
        finally:
            losses = self.watched.observer.statistics().losses
            STEPS["(overflows)"] += losses.get("overflow", 0)
            for writer in self.writers:
                writer.close()
            for descriptor in self.linked.values():
                os.close(descriptor)
            self.stack.close()

    def path(self, directory: str, name: str = "") -> Path:
        return self.top / directory / name if name else self.top / directory

    def file(self, which: int, is_meant: Callable[[str], bool] = bool) -> Path:
        """One of those that are there, whatever it is but a directory."""
        named = ((a, n) for a, ds, ns in os.walk(self.top) for n in (*ds, *ns) if is_meant(n))
        there = [os.path.join(above, name) for above, name in named]
        files = sorted(one for one in there if os.path.islink(one) or not os.path.isdir(one))
        return Path(files[which % len(files)]) if files else self.top / "none"

    def directory(self, which: int) -> Path:
        """One of those that are there, below the three."""
        below = (a for top in TOPS for a, _, _ in os.walk(self.top / top))
        there = sorted(one for one in below if os.path.dirname(one) != str(self.top))
        return Path(there[which % len(there)]) if there else self.top / "none"

    def count_move(self, what: str, old: Path, new: Path, *, over: bool) -> None:
        """Note from where to where something was renamed."""
        before, after = (one.relative_to(self.top).parts[0] for one in (old, new))
        STEPS[f"({what} over another)"] += over
        if before != after:
            out, into = after == "outside", before == "outside"
            where = "out of a camera" if out else "into a camera" if into else "across cameras"
            STEPS[f"({what} {where})"] += 1

    # What happens to files.

    @rule(directory=DIRECTORIES, name=NAMES)
    def write(self, directory: str, name: str) -> None:
        with done("write"):
            _write(self.path(directory, name), os.urandom(3))

    @rule(directory=DIRECTORIES, name=NAMES)
    def begin_writing(self, directory: str, name: str) -> None:
        with done("begin_writing"):
            self.writers.append(_open(self.path(directory, name), "ab"))

    @precondition(lambda self: self.writers)
    @rule(which=st.integers(0, 99))
    def go_on_writing(self, which: int) -> None:
        STEPS["go_on_writing"] += 1
        writer = self.writers[which % len(self.writers)]
        writer.write(b"more")
        writer.flush()

    @precondition(lambda self: self.writers)
    @rule(which=st.integers(0, 99))
    def end_writing(self, which: int) -> None:
        STEPS["end_writing"] += 1
        self.writers.pop(which % len(self.writers)).close()

    @rule(which=WHICH, to=DIRECTORIES, new=NAMES)
    def rename(self, which: int, to: str, new: str) -> None:
        old, path = self.file(which), self.path(to, new)
        over = os.path.lexists(path)
        with done("rename"):
            old.rename(path)
            self.count_move("renamed", old, path, over=over)

    @rule(which=WHICH, other=WHICH)
    def rename_over_another(self, which: int, other: int) -> None:
        old, path = self.file(which), self.file(other)
        with done("rename"):
            old.rename(path)
            self.count_move("renamed", old, path, over=True)

    @rule(which=WHICH, other=WHICH)
    def swap_two(self, which: int, other: int) -> None:
        with done("exchange"):
            exchange(self.file(which), self.file(other))

    @rule(which=WHICH)
    def delete(self, which: int) -> None:
        with done("delete"):
            self.file(which).unlink()

    @rule(which=WHICH, to=DIRECTORIES, new=NAMES)
    def hard_link(self, which: int, to: str, new: str) -> None:
        with done("link"):
            self.path(to, new).hardlink_to(self.file(which))
            descriptor = os.open(self.path(to, new), os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
            inode = os.fstat(descriptor).st_ino
            if inode in self.linked:
                os.close(descriptor)
            else:
                self.linked[inode] = descriptor

    @rule(directory=DIRECTORIES, name=NAMES, to=DIRECTORIES)
    def symbolic_link(self, directory: str, name: str, to: str) -> None:
        with done("symlink"):
            self.path(to, name).symlink_to(self.path(directory))

    @rule(directory=DIRECTORIES, name=NAMES)
    def fifo(self, directory: str, name: str) -> None:
        with done("fifo"):
            os.mkfifo(self.path(directory, name))

    @rule(which=WHICH, age_s=AGES_S)
    def set_time(self, which: int, age_s: float) -> None:
        then_s = time.time() - age_s
        with done("set_time"):
            os.utime(self.file(which), (then_s, then_s), follow_symlinks=False)

    @rule(which=WHICH, mode=st.sampled_from([0o600, 0o444, 0o000]))
    def set_mode(self, which: int, mode: int) -> None:
        path = self.file(which)
        if not path.is_symlink():
            with done("set_mode"):
                path.chmod(mode)

    @rule(directory=DIRECTORIES, name=SIDECARS)
    def put_sidecar(self, directory: str, name: str) -> None:
        with done("put_sidecar"):
            self.path(directory, name).touch()

    @rule(which=WHICH)
    def take_sidecar(self, which: int) -> None:
        with done("take_sidecar"):
            self.file(which, lambda name: recording_of(name) is not None).unlink()

    @rule(which=WHICH, size=st.integers(0, 9))
    def truncate(self, which: int, size: int) -> None:
        """No event tells of it: what is chosen is looked at."""
        path = self.file(which)
        with done("truncate"):
            os.truncate(path, size)
            self.unheard.add(os.stat(path).st_ino)

    @rule(which=WHICH, age_s=AGES_S)
    def touch_mtime_alone(self, which: int, age_s: float) -> None:
        path = self.file(which)
        with done("touch_mtime_alone"):
            touch_mtime(path, int((time.time() - age_s) * 1e9))
            self.unheard.add(os.lstat(path).st_ino)

    @rule()
    def choose(self) -> None:
        """What is chosen is as `lstat` says."""
        chosen = self.choice()
        STEPS["choose"] += 1
        if chosen:
            found = os.lstat(chosen.path)
            assert (found.st_size, found.st_mtime_ns) == (chosen.size_bytes, chosen.mtime_ns)

    def choice(self) -> Segment | None:
        """The oldest of age, as the shift picks it."""
        self.watched.quiet()
        while True:
            chosen = self.watched.index.oldest_due(time.time())
            if chosen is None or self.watched.observer.confirm(chosen):
                return chosen

    # What happens to directories.

    @rule(directory=DIRECTORIES, name=NAMES)
    def make_tree(self, directory: str, name: str) -> None:
        with done("make_tree"):
            self.path(directory).mkdir(parents=True, exist_ok=True)
            _write(self.path(directory, name), b"at once")

    def rename_tree(self, directory: str, to: str) -> None:
        self.move_tree(self.path(directory), self.path(to))

    def exchange_trees(self, directory: str, to: str) -> None:
        with done("exchange_trees"):
            exchange(self.path(directory), self.path(to))

    def move_tree(self, old: Path, new: Path) -> None:
        over = os.path.lexists(new)
        with done("rename_tree"):
            old.rename(new)
            self.count_move("tree renamed", old, new, over=over)

    @rule(which=WHICH, to=PLACES)
    def rename_some_tree(self, which: int, to: str) -> None:
        self.move_tree(self.directory(which), self.path(to))

    @rule(which=WHICH, other=WHICH)
    def rename_tree_over_another(self, which: int, other: int) -> None:
        """Which the kernel allows where the other is empty."""
        old, new = self.directory(which), self.directory(other)
        if old != new and not new.is_relative_to(old) and not old.is_relative_to(new):
            for name in os.listdir(new):
                with suppress(OSError):
                    (new / name).unlink()
            self.move_tree(old, new)

    @rule(which=WHICH, other=WHICH)
    def exchange_some_trees(self, which: int, other: int) -> None:
        with done("exchange_trees"):
            exchange(self.directory(which), self.directory(other))

    @rule(directory=DIRECTORIES.filter(lambda d: "/" in d))
    def delete_tree(self, directory: str) -> None:
        STEPS["delete_tree"] += 1
        _remove_tree(self.path(directory))

    @rule(directory=BELOW, held=st.booleans())
    def turn_over(self, directory: str, held: bool) -> None:
        """A directory moves into one that was below it."""
        path = self.path(directory)
        below = sorted(one for one in path.glob("*/") if not one.is_symlink())
        with self.holding(held), done("turn_over"):
            if below:
                aside = path.with_name("aside")
                below[0].rename(aside)
                path.rename(aside / below[0].name)
                aside.rename(path)

    def overflow(self, directory: str) -> None:
        """More in one directory than the queue holds, if nobody reads it."""
        with done("overflow"):
            for number in range(self.queue_length):
                _write(self.path(directory, f"burst{number % 3}.mp4"), b"burst")

    @rule(directory=BELOW, mode=MODES, back=st.booleans())
    def set_mode_of_tree(self, directory: str, mode: int, back: bool) -> None:
        with done("set_mode_of_tree"):
            self.path(directory).chmod(mode)
            if back or os.geteuid() != 0:  # the walk that it is compared with has to get in
                self.path(directory).chmod(0o755)

    @rule(directory=BELOW, back=st.booleans(), held=st.booleans())
    def file_in_place_of_tree(self, directory: str, back: bool, held: bool) -> None:
        """A directory's name becomes a file's, and it may become a directory's again."""
        path = self.path(directory)
        with self.holding(held), done("file_in_place_of_tree"):
            _remove_tree(path)
            _write(path, b"a file now")
            if back:
                path.unlink()
                path.mkdir()
                _write(path / "a.mp4", b"a directory again")

    @rule(directory=BELOW)
    def tree_in_place_of_file(self, directory: str) -> None:
        """A file that has a directory's name makes room for one."""
        path = self.path(directory)
        with done("tree_in_place_of_file"):
            path.unlink()
            path.mkdir()
            _write(path / "a.mp4", b"a directory again")

    @rule(steps=st.lists(st.tuples(TREE_STEPS, PLACES, PLACES, NAMES), min_size=2, max_size=8))
    def many_with_trees(self, steps: list[tuple[str, str, str, str]]) -> None:
        """Several directories change places before the first of it is heard of."""
        with self.holding(), done("many_with_trees"):
            for step, directory, to, name in steps:
                match step:
                    case "rename_tree":
                        self.rename_tree(directory, to)
                    case "exchange_trees":
                        self.exchange_trees(directory, to)
                    case "turn_over":
                        self.turn_over(directory, held=True)
                    case "overflow":
                        self.overflow(directory)
                    case "delete_tree":
                        self.delete_tree(directory)
                    case "make_tree":
                        self.make_tree(directory, name)
                    case _:
                        time.sleep(0.005)  # the reader takes what there is, and waits with it

    @rule(camera=st.sampled_from(TOPS[:2]), ticked=st.booleans(), below=st.sampled_from(["", "/d"]))
    def make_root_anew(self, camera: str, ticked: bool, below: str) -> None:
        """A camera's directory is deleted, and made again, seen to be gone or not."""
        _remove_tree(self.path(camera))
        if ticked:
            self.watched.tick()
        with done("make_root_anew"):
            self.path(camera + below).mkdir(parents=True)
            _write(self.path(camera + below, "a.mp4"), b"a new beginning")
        self.watched.tick()

    @rule(camera=st.sampled_from(TOPS[:2]), again=st.booleans())
    def take_root_away(self, camera: str, again: bool) -> None:
        STEPS["take_root_away"] += 1
        away = self.top / f"outside/{camera}-{time.monotonic_ns()}"
        with suppress(OSError):
            self.path(camera).rename(away)
            if again:
                away.rename(self.path(camera))
            else:
                self.path(camera).mkdir()
        self.watched.tick()

    def holding(self, held: bool = True) -> AbstractContextManager[None]:
        """Keep the reader from what happens meanwhile."""
        return self.watched.observer.forest.changes if held else nullcontext()

    # Misfortune, and the quiet after it.

    @rule(for_s=st.sampled_from([0.001, 0.01, 0.06]))
    def pause(self, for_s: float) -> None:
        """The observer gets on with some of it: so far, or until a rename counts as one half."""
        with done("pause"):
            time.sleep(for_s)

    @rule(
        directory=DIRECTORIES,
        count=st.integers(10, 60),
        names=st.lists(NAMES, max_size=4),
        elsewhere=st.lists(st.tuples(st.booleans(), WHICH), min_size=1, max_size=4),
        grown_old=st.booleans(),
    )
    def burst(
        self,
        directory: str,
        count: int,
        names: list[str],
        elsewhere: list[tuple[bool, int]],
        grown_old: bool,
    ) -> None:
        """More than the queue holds, while nobody reads it; something among it that matters."""
        if grown_old:
            self.grow_old()
        with self.holding(), done("burst"):
            for number in range(count):
                path = self.path(directory, f"burst{number % 7}.mp4")
                _write(path, b"burst")
                if number % 3:
                    path.unlink()
            for name in names:
                _write(self.path(directory, name), os.urandom(5))
            for in_place, which in elsewhere:
                if in_place:  # no directory's time tells of it
                    _write(self.file(which), os.urandom(6))
                else:
                    self.file(which).unlink()

    @rule()
    def compare(self) -> None:
        """At a quiet point: the same files, sizes and times; the right states."""
        STEPS["compare"] += 1
        self.watched.quiet()
        self.look_at_the_unheard()
        expected = walked(self.top / "cam1") | walked(self.top / "cam2")
        writing = {os.fstat(writer.fileno()).st_ino for writer in self.writers}
        found = indexed(self.watched.index)
        written = {path for path, _, _ in expected if os.lstat(path).st_ino in writing}
        self.forget_links()
        # What is written through another of its names the kernel tells of under that one alone;
        # a file with several names is never converted.
        linked = {path for path, _, _ in expected if os.lstat(path).st_ino in self.linked}
        known, there = (_without(each, written | linked) for each in (found, expected))
        assert known == there, f"known alone: {known - there}, there alone: {there - known}"
        self.clock.ahead_s = (
            3.0  # files that are too fresh to be asked whether they are open, are not
        )
        self.watched.tick()
        self.clock.ahead_s = 0.0
        for entry in self.watched.index.snapshot():
            above, _, name = entry.segment.path.rpartition("/")
            beside = any(recording_of(other) == name for other in os.listdir(above))
            assert (entry.state == "replaced") == beside, entry
            if entry.state == "open":
                assert entry.segment.path in written, f"{entry} is closed, and was not seen to be"
        self.compared += 1
        if self.compared % LIVELY == 0:
            self.hears_of_every_directory()
        event(f"overflows: {self.watched.observer.statistics().losses.get('overflow', 0) > 0}")

    def grow_old(self) -> None:
        """As if nothing had changed for long: after a loss only that is read which does so later.

        The pause is some ticks of the kernel's clock: what changes later has another time.
        """
        self.watched.quiet()
        time.sleep(0.02)
        for directory in self.watched.observer.forest.directories():
            if directory.listed and not directory.lost:
                directory.ctime_ns = os.stat(directory.path).st_ctime_ns
        STEPS["(grown old)"] += 1

    def look_at_the_unheard(self) -> None:
        """What changed without an event is known as it is as soon as it is looked at."""
        for entry in self.watched.index.snapshot() if self.unheard else ():
            with suppress(FileNotFoundError):
                if os.lstat(entry.segment.path).st_ino in self.unheard:
                    self.watched.observer.confirm(entry.segment)
        self.unheard.clear()

    def hears_of_every_directory(self) -> None:
        """No watch is dead: what is written anywhere is known, and that it is gone again, too."""
        STEPS["(liveness)"] += 1
        above = [a for top in TOPS[:2] for a, _, _ in os.walk(self.top / top)]
        fresh = [f"{directory}/alive.mp4" for directory in above]
        for path in fresh:
            _write(Path(path), b"alive")
        self.watched.quiet()
        deaf = [path for path in fresh if self.watched.index.get(path) is None]
        assert not deaf, f"nothing is heard of {deaf}"
        for path in fresh:
            os.unlink(path)
        self.watched.quiet()
        ghosts = [path for path in fresh if self.watched.index.get(path) is not None]
        assert not ghosts, f"nothing was heard of the end of {ghosts}"

    def forget_links(self) -> None:
        """An inode whose last name is gone concerns nobody any more."""
        for inode, descriptor in list(self.linked.items()):
            if os.fstat(descriptor).st_nlink == 0:
                os.close(self.linked.pop(inode))


def _open(path: Path, mode: str) -> IO[bytes]:
    """Open for writing; a FIFO that nobody reads is an error instead of a wait."""
    return open(path, mode, opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))


def _remove_tree(path: Path) -> None:
    """`rmtree`, but not of a FIFO that has a directory's name: that would wait for its writer."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)


def _write(path: Path, data: bytes) -> None:
    with _open(path, "wb") as file:
        file.write(data)


def _without(found: set[tuple[str, int, int]], paths: set[str]) -> set[tuple[str, int, int]]:
    return {one for one in found if one[0] not in paths} | {(path, 0, 0) for path in paths}


def _run(examples: int, steps: int) -> None:
    STEPS.clear()
    run_state_machine_as_test(
        Tree,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],  # a real tree is never twice the same: nothing to shrink
            report_multiple_bugs=False,
        ),
    )
    _tell("model test", STEPS)


def _tell(who: str, steps: Counter[str]) -> None:
    counted = f"{_number(steps)} steps: {dict(steps.most_common())}"
    print(f"\n{who}: {counted}; not drawn: {sorted(_missing(steps))}")  # noqa: T201 - what it is run for


def _number(steps: Counter[str]) -> int:
    return sum(count for step, count in steps.items() if not step.startswith("("))


def _missing(steps: Counter[str]) -> set[str]:
    return {step for step in LISTED if not steps[step]}


def test_the_index_equals_a_fresh_walk_after_hundreds_of_random_steps() -> None:
    _run(examples=20, steps=40)
    assert STEPS["compare"]  # which fails at the first file that differs
    assert _number(STEPS) >= 200


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_the_index_equals_a_fresh_walk_for_an_hour() -> None:
    until_s = time.monotonic() + float(os.environ.get("WATCHER_SOAK_SECONDS", "3600"))
    total: Counter[str] = Counter()
    while time.monotonic() < until_s:
        _run(examples=50, steps=100)
        total += STEPS
    _tell("soak", total)
    assert total["(overflows)"] or not can_shrink()
    assert not _missing(total) or _number(total) < ENOUGH_STEPS
