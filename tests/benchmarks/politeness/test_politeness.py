"""The recorder beside us: live cameras alone, beside a bare nice ffmpeg, and beside Watcher.

In turn, several rounds on the same disk, and the figures side by side; then how long it takes from
a step of somebody else's load until Watcher's encoder stands still. Watcher runs twice: by hand,
and in the scheduling group that its systemd slice gives it. `tox -e politeness` prints the table;
WATCHER_POLITENESS_ROUNDS, _SECONDS and _CAMERAS change its size. On a machine that others use
meanwhile the figures mean little (the first column says how quiet it was), and Watcher is held:
WATCHER_POLITENESS_MAX_CPU lets it work nevertheless.
"""

import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import psutil
import pytest
from support import live, loads
from support.idle_group import Unavailable, idle_group

from watcher.transcode.ffmpeg import bundled

ROUNDS = int(os.environ.get("WATCHER_POLITENESS_ROUNDS", "3"))
SECONDS = float(os.environ.get("WATCHER_POLITENESS_SECONDS", "40"))
CAMERAS = int(os.environ.get("WATCHER_POLITENESS_CAMERAS", "3"))
MAX_CPU = float(os.environ.get("WATCHER_POLITENESS_MAX_CPU", "15"))
STEPS = 7
STANDS_WITHIN_S = 2.0
LATE_SHARE = 0.03  # of one core: what the kernel gives an idle group beside a busy one is less
ONE_SLICE_S = 0.01
BY_HAND, IN_ITS_SLICE = "Watcher", "Watcher in its slice"
WARM_UP_S = 8.0
WEEK_S = 9 * 86_400

pytestmark = [pytest.mark.politeness, pytest.mark.timeout(3600)]

CONFIG = """
recordings:
  old:
    path: {old}
  live:
    path: {live}
    segment_seconds: {segment_s}
transcoding:
  run_schedule: "always"
  codec: libx265
  preset: medium
  min_space_savings: 0
  verify_quality: false
  allow_non_exchange: true  # the scratch disk may be one without a journal
  critical_free_space_gb: 1
  max_cpu_percent: {max_cpu}
state_dir: {state}
logging: {{format: json}}
"""


@dataclass
class Beside:
    """What was measured beside one thing, round by round."""

    sites: list[live.Site] = field(default_factory=list)
    worked: list[float] = field(default_factory=list)

    def sum(self, of: Callable[[live.Site], float]) -> float:
        return sum(map(of, self.sites))

    def quantile(self, of: Callable[[live.Site], Sequence[float]], share: float) -> float:
        values = sorted(value for site in self.sites for value in of(site))
        return values[min(len(values) - 1, int(len(values) * share))] if values else float("nan")

    def mean(self, of: Callable[[live.Site], float | None]) -> float:
        values = [value for value in map(of, self.sites) if value is not None]
        return statistics.fmean(values) if values else float("nan")


@pytest.fixture(scope="module")
def ffmpeg() -> str:
    found = bundled()
    assert found is not None
    return found


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("politeness")


@pytest.fixture(scope="module")
def stream(ffmpeg: str, work: Path) -> Path:
    path = work / "camera.ts"
    live.make_stream(ffmpeg, path, WARM_UP_S + SECONDS + 70)  # and until Watcher is at work
    return path


@pytest.fixture(scope="module")
def recording(ffmpeg: str, work: Path) -> Path:
    """One old recording; longer than a measurement takes to encode."""
    path = work / "old.mp4"
    subprocess.run(
        [
            *[ffmpeg, "-hide_banner", "-loglevel", "error", "-y", "-f", "lavfi"],
            *["-i", "testsrc2=s=1280x720:r=25,noise=alls=8:allf=t,format=yuv420p"],
            *["-t", "40", "-c:v", "libx264", "-preset", "ultrafast", "-b:v", "8M", str(path)],
        ],
        check=True,
    )
    return path


class Service:
    """A real `watcher run` over old and live recordings."""

    def __init__(
        self,
        top: Path,
        recording: Path,
        max_cpu: float,
        segment_s: int | None = None,
        *,
        inside: Sequence[str] = (),
    ) -> None:
        self._inside = inside
        self.log = top / "log.jsonl"
        old = top / "old"
        old.mkdir()
        aged_s = time.time() - WEEK_S
        for number in range(4):
            path = old / f"{number}.mp4"
            path.write_bytes(recording.read_bytes())
            os.utime(path, (aged_s + number, aged_s + number))
        config = top / "watcher.yaml"
        config.write_text(
            CONFIG.format(
                old=old,
                live=top / "live",
                segment_s="null" if segment_s is None else segment_s,
                state=top / "state",
                max_cpu=max_cpu,
            ),
            encoding="utf-8",
        )
        self._config = config
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    *self._inside,
                    *[sys.executable, "-m", "watcher", "--config", str(self._config), "run"],
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=0.5)
        self.process.send_signal(signal.SIGTERM)  # twice: at once
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def events(self) -> list[dict[str, Any]]:
        found = []
        for line in self.log.read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
        return found

    def encoder(self) -> psutil.Process | None:
        """The encoder under way, if any."""
        assert self.process is not None
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(self.process.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    if "libx265" in child.cmdline() and "ffmpeg" in child.name():
                        return child
        return None


def stands(encoder: psutil.Process) -> bool:
    """Every thread of it is stopped."""
    try:
        tasks = list(Path(f"/proc/{encoder.pid}/task").iterdir())
        states = [(task / "stat").read_text(encoding="ascii") for task in tasks]
    except OSError:
        return False
    return bool(states) and all(one.rpartition(")")[2].split()[0] in "Tt" for one in states)


def until(condition: Callable[[], bool], timeout_s: float, every_s: float = 0.2) -> bool:
    wake = threading.Event()
    end_s = time.monotonic() + timeout_s
    while time.monotonic() < end_s:
        if condition():
            return True
        wake.wait(every_s)
    return False


def runs(service: Service) -> bool:
    encoder = service.encoder()
    return encoder is not None and not stands(encoder)


def encoders_cpu_s(service: Service) -> float:
    """CPU seconds that Watcher's whole tree has used."""
    assert service.process is not None
    times = psutil.Process(service.process.pid).cpu_times()
    used = times.user + times.system + times.children_user + times.children_system
    for child in psutil.Process(service.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            of = child.cpu_times()
            used += of.user + of.system + of.children_user + of.children_system
    return used


@contextlib.contextmanager
def nothing() -> Iterator[None]:
    yield


def test_the_recorder_cannot_tell(ffmpeg: str, work: Path, stream: Path, recording: Path) -> None:
    """Alone, beside a bare loop, beside Watcher: nothing dropped, nothing late."""
    with contextlib.ExitStack() as stack:
        inside = {BY_HAND: list[str](), **in_its_slice(stack)}
        columns = {name: Beside() for name in ("alone", "bare nice ffmpeg", *inside)}
        for number in range(ROUNDS):
            for name, column in columns.items():
                here = work / f"round{number}" / name.replace(" ", "-")
                here.mkdir(parents=True)
                with contextlib.ExitStack() as beside:
                    rig = beside.enter_context(live.Rig(ffmpeg, stream, here / "live", CAMERAS))
                    if name in inside:
                        service = Service(
                            here, recording, MAX_CPU, live.SEGMENT_S, inside=inside[name]
                        )
                        measure_beside(beside.enter_context(service), rig, column)
                        continue
                    if name != "alone":
                        beside.enter_context(
                            live.bare_ffmpeg_loop(ffmpeg, [recording], here / "out.mp4")
                        )
                    threading.Event().wait(WARM_UP_S)
                    column.sites.append(rig.measure(SECONDS))
    print(table(columns))  # noqa: T201 - the proof
    dropped = {name: column.sum(lambda site: site.dropped) for name, column in columns.items()}
    assert columns["alone"].sum(lambda site: site.frames) > 0
    for name in inside:
        worked_s = sum(columns[name].worked)
        assert worked_s > 0.1 * SECONDS * ROUNDS, "Watcher was held: nothing was compared"
        assert dropped[name] <= dropped["alone"]


def in_its_slice(stack: contextlib.ExitStack) -> dict[str, list[str]]:
    """Give the second way of running the service, where this machine lets us."""
    try:
        return {IN_ITS_SLICE: stack.enter_context(idle_group())}
    except Unavailable as why:
        print(f"\nnot as its unit runs it: {why}")  # noqa: T201 - part of the proof
        return {}


def measure_beside(service: Service, rig: live.Rig, column: Beside) -> None:
    """Measure while *service* works; nothing is compared while it is held."""
    assert until(lambda: runs(service), 60), service.log.read_text()[-3000:]
    threading.Event().wait(WARM_UP_S)
    before_s = encoders_cpu_s(service)
    column.sites.append(rig.measure(SECONDS))
    column.worked.append(encoders_cpu_s(service) - before_s)


def table(columns: dict[str, Beside]) -> str:
    rows: list[tuple[str, Callable[[Beside], str]]] = [
        ("frames recorded", lambda of: f"{of.sum(lambda site: site.frames):.0f}"),
        ("frames dropped", lambda of: f"{of.sum(lambda site: site.dropped):.0f}"),
        ("frames late (over 80 ms)", lambda of: f"{of.sum(lambda site: site.late):.0f}"),
        (
            "latest frame, ms",
            lambda of: f"{1000 * max(site.worst_frame_s for site in of.sites):.1f}",
        ),
        (
            "segment close lateness p50, ms",
            lambda of: ms(of, lambda site: site.close_lateness_s, 0.5),
        ),
        (
            "segment close lateness p99, ms",
            lambda of: ms(of, lambda site: site.close_lateness_s, 0.99),
        ),
        ("4 kB fsync p50, ms", lambda of: ms(of, lambda site: site.fsync_s, 0.5)),
        ("4 kB fsync p99, ms", lambda of: ms(of, lambda site: site.fsync_s, 0.99)),
        (
            "recorders' wait for a CPU, ms a second",
            lambda of: f"{of.mean(lambda site: site.recorder_wait_ms_per_s):.2f}",
        ),
        (
            "CPU pressure (some), %",
            lambda of: f"{of.mean(lambda site: site.cpu_pressure_percent):.1f}",
        ),
    ]
    lines = [f"{ROUNDS} rounds of {SECONDS:g} s, {CAMERAS} cameras, {os.cpu_count()} CPUs"]
    lines.append(f"{'':40}" + "".join(f"{name:>21}" for name in columns))
    lines += [
        f"{name:40}" + "".join(f"{of(column):>21}" for column in columns.values())
        for name, of in rows
    ]
    used = {name: sum(column.worked) for name, column in columns.items() if column.worked}
    lines += [f"{name} used {cpu_s:.0f} CPU seconds meanwhile" for name, cpu_s in used.items()]
    return "\n" + "\n".join(lines)


def ms(of: Beside, what: Callable[[live.Site], Sequence[float]], share: float) -> str:
    return f"{1000 * of.quantile(what, share):.1f}"


@pytest.mark.parametrize("cpus", [1, os.cpu_count() or 1], ids=["one CPU", "every CPU"])
@pytest.mark.parametrize("how", [BY_HAND, IN_ITS_SLICE])
def test_from_a_step_of_load_until_the_encoder_stands_still(
    ffmpeg: str, work: Path, recording: Path, how: str, cpus: int
) -> None:
    """Somebody else needs a CPU, or all: how long until every thread of the encoder is stopped."""
    del ffmpeg
    top = work / f"steps-{how.replace(' ', '-')}-{cpus}"
    (top / "live").mkdir(parents=True)
    took_s: list[float] = []
    late_s: list[float] = []
    with contextlib.ExitStack() as stack:
        ways = {BY_HAND: list[str](), **in_its_slice(stack)}
        if how not in ways:
            pytest.skip("NOT SHOWN HERE: a slice of its own needs a writable cgroup with cpu.idle")
        service = stack.enter_context(Service(top, recording, 15.0, inside=ways[how]))
        for _ in range(STEPS):
            steady = 0
            while steady < 6:  # it has run for three seconds
                assert until(lambda: runs(service), 120), service.log.read_text()[-3000:]
                steady = steady + 1 if runs(service) else 0
                threading.Event().wait(0.5)
            with contextlib.ExitStack() as load:
                for _ in range(cpus):
                    load.enter_context(loads.stranger(60))
                encoder = service.encoder()
                assert encoder is not None
                took, late = step(encoder)
                took_s.append(took)
                late_s.append(late)
    held = [event for event in service.events() if event.get("event") == "gate_held"]
    print(  # noqa: T201 - the proof
        f"\n{how}, from a load step on {cpus} CPUs to standing still, {STEPS} times:"
        f" median {statistics.median(took_s):.2f} s, worst {max(took_s):.2f} s;"
        f" CPU it had after {STANDS_WITHIN_S:g} s: {1000 * max(late_s):.1f} ms at most;"
        f" held {len(held)} times"
    )
    # In an idle group whose CPUs are all taken, whoever looks waits too; but so does the encoder,
    # which the kernel has stopped long before our SIGSTOP makes it official.
    assert all(
        late <= LATE_SHARE * max(0.0, took - STANDS_WITHIN_S) + ONE_SLICE_S
        for took, late in zip(took_s, late_s, strict=True)
    )


def step(encoder: psutil.Process) -> tuple[float, float]:
    """Give the seconds until *encoder* is stopped, and the CPU seconds it had after two of them."""
    start_s = time.monotonic()
    if until(lambda: stands(encoder), STANDS_WITHIN_S, every_s=0.002):
        return time.monotonic() - start_s, 0.0
    before_s = ran_s(encoder)
    assert until(lambda: stands(encoder), 30, every_s=0.002)
    return time.monotonic() - start_s, ran_s(encoder) - before_s


def ran_s(process: psutil.Process) -> float:
    """Give the CPU seconds of all its threads, to the nanosecond."""
    tasks = Path(f"/proc/{process.pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text("ascii").split()[0]) for task in tasks) / 1e9
