"""The segments' figures of DESIGN section 9, as ratios measured in one run; none fails by time.

WATCHER_BENCH_SEGMENTS says how many: 20,000, which is what `tox -e bench` runs; the rows of a
million need WATCHER_BENCH_SEGMENTS=1000000, some ten minutes and 5 GB of inodes. WATCHER_FOOTAGE
names a directory with a clip: without it there is nothing to probe, and that figure is left out.
WATCHER_BENCH_DIR says where the trees are made (a temporary directory).
"""

import gc
import glob
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.plot import plot
from support.trees import CameraOf, recording_of, wait_for
from support.verdicts import PRINT, remember_hevc
from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from watcher.dumping import codecs
from watcher.ledger.ledger import Ledger
from watcher.segments.dump import write_dump
from watcher.segments.files import Hooks
from watcher.segments.index import SegmentIndex
from watcher.segments.observer import SegmentObserver
from watcher.segments.segment import Segment, Settled

pytestmark = [pytest.mark.bench, pytest.mark.timeout(0)]

MANY = int(os.environ.get("WATCHER_BENCH_SEGMENTS", "20000"))
A_MILLION = 1_000_000
PER_DIRECTORY = 100
_DAYS = 30
"""What is recorded in so many days is there."""
OLD_S = time.time() - 30 * 86_400
NOW_S = time.time()


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - printing is what a benchmark does


def timed(work: Callable[[], object]) -> float:
    started_s = time.perf_counter()
    work()
    return time.perf_counter() - started_s


def silent(_event: str, /, **_fields: object) -> None:
    """Log nothing: the log's own cost is measured elsewhere."""


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def make_tree(top: Path, count: int) -> None:
    """Empty recordings of the last month, a hundred to a directory, as a recorder names them."""
    for number in range(0, count, PER_DIRECTORY):
        directory = top / f"{number // 2_400 // PER_DIRECTORY:03}/{number // PER_DIRECTORY:06}"
        directory.mkdir(parents=True)
        descriptor = os.open(directory, os.O_RDONLY)
        for one in range(number, min(number + PER_DIRECTORY, count)):
            name = f"2026-10-{one % 28 + 1:02}_{one:09}.mp4"
            os.mknod(name, 0o644, dir_fd=descriptor)
            os.utime(name, (OLD_S + one, OLD_S + one), dir_fd=descriptor)
        os.close(descriptor)


@pytest.fixture(scope="module")
def tree() -> Iterator[Path]:
    top = Path(tempfile.mkdtemp(prefix="watcher-bench-", dir=os.environ.get("WATCHER_BENCH_DIR")))
    say(f"\nmaking {MANY:,} segments in {MANY // PER_DIRECTORY:,} directories …")
    make_tree(top / "cam", MANY)
    yield top / "cam"
    shutil.rmtree(top, ignore_errors=True)


def observe(camera: Path, index: SegmentIndex, hooks: Hooks | None = None) -> SegmentObserver:
    cameras = [CameraOf("cam", str(camera))]
    observer = SegmentObserver(cameras, index, sidecar_of=recording_of, hooks=hooks, emit=silent)
    observer.start()
    return observer


def test_cost_of_each_operation_by_size() -> None:
    """Flat or logarithmic: a million costs little more than a thousand. CPU time, each."""
    say(
        f"\n{'segments':>10} {'bytes each':>10} {'insert':>8} {'remove':>8} {'rename':>8}"
        f" {'oldest':>8} {'next due':>8} {'position':>8}   (µs)"
    )
    costs: dict[str, dict[int, float]] = {}
    size = 1_000
    while size <= max(MANY, A_MILLION):  # in memory alone: half a minute
        bytes_each, costs_s = _costs(size)
        figures = " ".join(f"{cost_s * 1e6:>8.2f}" for cost_s in costs_s.values())
        say(f"{size:>10,} {bytes_each:>10.0f} {figures}")
        for name, cost_s in costs_s.items():
            costs.setdefault(name, {})[size] = cost_s * 1e6
        size *= 10
    say("\n" + plot(costs, "µs"))


def _costs(size: int) -> tuple[float, dict[str, float]]:
    gc.collect()
    before_mb = resident_mb()
    segments = _segments(size)
    random.Random(7).shuffle(segments)
    index = SegmentIndex(0.0)
    insert_s = timed_cpu(lambda: [index.put(segments.pop()) for _ in range(size)]) / size
    gc.collect()
    bytes_each = (resident_mb() - before_mb) * 1e6 / size
    some = random.Random(8).sample([e.segment for e in index.snapshot()], 1_000)
    remove_s = timed_cpu(lambda: [index.remove(one.path) for one in some]) / 1_000
    for one in some:
        index.put(one)
    directories = list({one.directory for one in some})[:20]
    moved = sum(index.move_directory(one, one + "x") for one in directories)
    rename_s = timed_cpu(lambda: [index.move_directory(d + "x", d) for d in directories]) / moved
    oldest_s = timed_cpu(lambda: [index.oldest_due(NOW_S) for _ in range(1_000)]) / 1_000
    due_s = timed_cpu(lambda: [index.next_due_s() for _ in range(1_000)]) / 1_000
    position_s = timed_cpu(lambda: [index.position(one.path) for one in some]) / 1_000
    return bytes_each, {
        "insert": insert_s,
        "remove": remove_s,
        "rename": rename_s,
        "oldest": oldest_s,
        "next due": due_s,
        "position": position_s,
    }


def _segments(size: int) -> list[Segment]:
    found = []
    for number in range(0, size, PER_DIRECTORY):
        directory = f"/srv/recordings/cam1/{number:09}"
        for one in range(number, number + PER_DIRECTORY):
            name = f"2026-10-{one % 28 + 1:02}_{one:09}.mp4"
            found.append(Segment("cam1", directory, name, 900_000_000 + one, 10**18 + one))
    return found


def test_start_against_find(tree: Path) -> None:
    """At most 2 times `find -printf` over the same tree, under 400 MB."""
    find = ["find", str(tree), "-type", "f", "-printf", "%T@ %s %p\n"]
    find_s = min(
        timed(lambda: subprocess.run(find, check=True, stdout=subprocess.DEVNULL)) for _ in range(3)
    )
    code = (
        f"import sys, gc; sys.path[:0] = {[str(Path(__file__).parents[2])]!r}\n"
        f"import importlib.util as u\n"
        f"s = u.spec_from_file_location('bench', {__file__!r}); b = u.module_from_spec(s)\n"
        f"s.loader.exec_module(b)\n"
        f"from pathlib import Path\n"
        f"before = b.resident_mb()\n"
        f"i = b.SegmentIndex(0.0)\n"
        f"t = b.timed(lambda: b.observe(Path({str(tree)!r}), i))\n"
        f"print(len(i), t, before, b.resident_mb())\n"
    )
    runs = []
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        runs.append([float(word) for word in done.stdout.split()])
    count, walk_s, before_mb, after_mb = min(runs, key=lambda run: run[1])
    say(
        f"\nstart at {count:,.0f} segments: {walk_s:.2f} s; find -printf {find_s:.2f} s:"
        f" {walk_s / find_s:.2f} times; resident {after_mb:.0f} MB (before: {before_mb:.0f} MB)"
    )
    assert count == MANY


def test_restart_with_a_verdict_for_each(tree: Path, tmp_path: Path) -> None:
    index = SegmentIndex(0.0)
    observe(tree, index).stop()
    path = str(tmp_path / "ledger.sqlite")
    every = (entry.segment for entry in index.snapshot())
    remember_hevc(path, ((one.path, one.size_bytes, one.mtime_ns) for one in every))
    with Ledger(path, emit=silent) as ledger:
        load_s = timed(ledger.load)

        def verdict_of(path: str, size: int, mtime_ns: int) -> Settled | None:
            verdict = ledger.verdict(path, size, mtime_ns, PRINT)
            return Settled(verdict.reason) if verdict else None

        again = SegmentIndex(0.0, verdict_of)
        took_s = timed(lambda: observe(tree, again).stop())
    assert again.counts().by_reason == {"already_hevc": MANY}
    say(
        f"\nrestart with {MANY:,} verdicts in the ledger: {load_s:.2f} s to load them,"
        f" {took_s:.2f} s to walk and ask for each; nothing is left to be probed"
    )


def _write(top: str, count: int, directories: int) -> None:
    for number in range(directories):
        os.makedirs(f"{top}/{number:04}", exist_ok=True)
    for number in range(count):
        descriptor = os.open(
            f"{top}/{number % directories:04}/{number:07}.mp4", os.O_WRONLY | os.O_CREAT
        )
        os.write(descriptor, b"x")
        os.close(descriptor)


def test_segments_closed_as_fast_as_the_disk_can(tmp_path: Path) -> None:
    """Every one indexed, none lost, overflow included."""
    count = min(MANY, 100_000)
    (tmp_path / "cam").mkdir()
    index = SegmentIndex(0.0)
    observer = observe(tmp_path / "cam", index)
    writer = multiprocessing.get_context("spawn").Process(
        target=_write, args=(str(tmp_path / "cam"), count, 1_000)
    )
    started_s = time.perf_counter()
    writer.start()
    writer.join()
    wrote_s = time.perf_counter() - started_s
    wait_for(observer.is_idle, 600)
    indexed_s = time.perf_counter() - started_s
    pause, known_s = threading.Event(), 0.0
    for _ in range(60):  # whose close was lost is asked for, once it is not too fresh
        observer.tick()
        wait_for(observer.is_idle, 600)
        candidates = sum(str(entry.state) == "candidate" for entry in index.snapshot())
        known_s = time.perf_counter() - started_s
        if candidates == count:
            break
        pause.wait(1.0)
    statistics = observer.statistics()
    observer.stop()
    say(
        f"\n{count:,} segments closed in {wrote_s:.2f} s ({count / wrote_s:,.0f}/s); all indexed"
        f" after {indexed_s:.2f} s; {len(index):,} indexed, {candidates:,} known to be closed"
        f" after {known_s:.2f} s;"
        f" overflows {statistics.losses.get('overflow', 0)}, directories read again"
        f" {statistics.directories_read - 1_001}"
    )
    assert len(index) == count
    assert candidates == count


class _Stock(FileSystemEventHandler):
    """The plain handler of a first try: what was closed is a segment."""

    def __init__(self) -> None:
        self.closed: set[str] = set()

    def on_closed(self, event: FileSystemEvent) -> None:
        self.closed.add(os.fsdecode(event.src_path))


def test_the_same_with_watchdog_as_it_comes(tmp_path: Path) -> None:
    """How many of the same files a plain handler is told of; the rest waits for a nightly walk."""
    count = min(MANY, 100_000)
    (tmp_path / "cam").mkdir()
    handler, observer = _Stock(), Observer()
    observer.schedule(handler, str(tmp_path / "cam"), recursive=True)
    observer.start()
    writer = multiprocessing.get_context("spawn").Process(
        target=_write, args=(str(tmp_path / "cam"), count, 1_000)
    )
    writer.start()
    writer.join()
    quiet = threading.Event()
    before = -1
    while before != len(handler.closed):
        before = len(handler.closed)
        quiet.wait(3.0)
    observer.stop()
    observer.join()
    say(
        f"\nwatchdog as it comes, all its events asked for: {len(handler.closed):,} of {count:,}"
        f" closes told ({count - len(handler.closed):,} lost, without a word)"
    )


def test_dump_while_events_go_on(tree: Path, tmp_path: Path) -> None:
    index = SegmentIndex(0.0)
    late: list[float] = []
    wrote_s = [0.0]
    hooks = Hooks(closed=lambda _segment: late.append(time.perf_counter() - wrote_s[0]))
    observer = observe(tree, index, hooks)
    stopping = threading.Event()

    def keep_recording() -> None:
        number = 0
        while not stopping.wait(0.01):
            path = tree / f"new{number}.mp4"
            wrote_s[0] = time.perf_counter()
            path.write_bytes(b"x")
            number += 1

    recorder = threading.Thread(target=keep_recording)
    recorder.start()
    for number, entry in enumerate(index.snapshot()):  # verdicts, as a service of some age has them
        if number % 3 == 0:
            index.settle(entry.segment.path, "already_hevc")
        elif number % 30 == 1:
            index.settle(entry.segment.path, "savings_too_small")
    codec_of = codecs(lambda _path: None, ("h264",))
    wait_for(lambda: len(late) >= 100)
    usual = sorted(late)
    late.clear()
    took_s = timed(lambda: write_dump(str(tmp_path), index, codec_of=codec_of, emit=silent))
    during = sorted(late)
    stopping.set()
    recorder.join()
    observer.stop()
    for path in tree.glob("new*.mp4"):
        path.unlink()
    size_mb = (tmp_path / "index-dump.jsonl").stat().st_size / 1e6
    say(
        f"\ndump of {len(index):,}: {took_s:.2f} s, {size_mb:.0f} MB; close to index, median and"
        f" longest: {usual[len(usual) // 2] * 1e3:.1f} and {usual[-1] * 1e3:.1f} ms before,"
        f" {during[len(during) // 2] * 1e3:.1f} and {during[-1] * 1e3:.1f} ms while it writes"
        f" ({len(during)} events)"
        if during
        else "\ndump was over before an event came"
    )


def test_idle_costs_nothing(tree: Path) -> None:
    index = SegmentIndex(0.0)
    observer = observe(tree, index)
    before = observer.statistics().directories_read
    cpu_s = timed_cpu(lambda: threading.Event().wait(3.0))
    tick_s = timed_cpu(lambda: _tick(observer))
    read = observer.statistics().directories_read - before
    observer.stop()
    say(
        f"\nidle at {len(index):,}: {cpu_s / 3.0:.3%} of a core, a tick {tick_s * 1e3:.1f} ms"
        f" of CPU ({tick_s / 30:.3%} of a core at one in 30 s); directories read: {read}"
    )
    assert read == 0


def _tick(observer: SegmentObserver) -> None:
    observer.tick()
    wait_for(observer.is_idle)


def timed_cpu(work: Callable[[], object]) -> float:
    before_s = time.process_time()
    work()
    return time.process_time() - before_s


def test_mending_after_an_overflow(tree: Path) -> None:
    """What it costs to be sure again: nothing was lost, but that has to be found out."""
    index = SegmentIndex(0.0)
    observer = observe(tree, index)
    observer._mender.overflown()
    started_s = time.perf_counter()
    wait_for(observer.is_idle, 600)
    took_s = time.perf_counter() - started_s
    statistics = observer.statistics()
    observer.stop()
    say(
        f"\nmended at {len(index):,} after an overflow: {took_s:.2f} s;"
        f" directories read {statistics.directories_read - statistics.directories_read_at_start}"
    )


def test_what_peers_would_cost(tree: Path) -> None:
    """The first design (glob, stat, probe, hourly), and a plain handler with a nightly walk.

    The time of probing is that of one clip, the shortest of 20 tries, times the number of files.
    """
    glob_s = timed(
        lambda: [os.stat(path) for path in glob.iglob(f"{tree}/**/*.mp4", recursive=True)]
    )
    walk_s = timed(lambda: _walk(tree))
    import av  # noqa: PLC0415 - for the peer alone

    clip = _clip()
    if clip:

        def probe() -> None:
            with av.open(str(clip)) as container:
                assert container.streams.video

        probe_s = min(timed(probe) for _ in range(20))
        probing = (
            f"{glob_s + probe_s * MANY:,.0f} s with a probe of each, in process (extrapolated:"
            f" {probe_s * 1e3:.1f} ms of one clip times {MANY:,})"
        )
    else:
        probing = "no clip to probe (WATCHER_FOOTAGE)"
    index = SegmentIndex(0.0)
    observer = observe(tree, index)
    tick_s = timed_cpu(lambda: _tick(observer))
    close_s = _cost_of_a_close(tree / "today", observer)
    observer.stop()
    a_day = MANY / _DAYS
    ours_s = (tick_s * 2_880 + close_s * a_day) / 24
    say(
        f"\nevery hour, glob and stat {MANY:,}: {glob_s:.2f} s; {probing};"
        f" nightly os.walk and stat: {walk_s:.2f} s;"
        f" ours in an hour: {ours_s:.2f} s of CPU, no directory read (120 ticks of"
        f" {tick_s * 1e3:.1f} ms and a 24th of a day's {a_day:,.0f} segments,"
        f" {close_s * 1e6:.0f} µs each); {glob_s / ours_s:.0f} times less than glob and stat alone"
    )


def _cost_of_a_close(directory: Path, observer: SegmentObserver) -> float:
    """CPU of all of an event's handling, from the kernel to the index; somebody else writes."""
    closes, directories = 5_000, 10
    code = f"import runpy; runpy.run_path({__file__!r})['_write']({str(directory)!r}, {closes}, 10)"
    path = os.pathsep.join(str(Path(__file__).parents[up]) for up in (2, 3))
    environment = {**os.environ, "PYTHONPATH": path}

    def record() -> None:
        subprocess.run([sys.executable, "-c", code], env=environment, check=True)
        wait_for(observer.is_idle, 600)

    _write(str(directory), 0, directories)  # the directories are there before
    wait_for(observer.is_idle)
    cost_s = timed_cpu(record) / closes
    shutil.rmtree(directory)
    return cost_s


def _walk(tree: Path) -> int:
    found = 0
    for above, _, names in os.walk(tree):
        for name in names:
            os.stat(os.path.join(above, name))
            found += 1
    return found


def _clip() -> Path | None:
    footage = os.environ.get("WATCHER_FOOTAGE")
    return next(iter(sorted(Path(footage).glob("*.mp4"))), None) if footage else None
