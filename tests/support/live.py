"""A live recording site: cameras that send at a real rate, recorders, and probes.

The cameras stand for what is outside the box: they send over UDP whatever happens, as real ones do,
so a recorder that is kept waiting loses packets. The recorders stamp each frame with the time at
which they got it; what they wrote tells afterwards how many frames are missing and how late the
others came, and when each segment was closed.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import av
import psutil

FPS: Final = 25
SEGMENT_S: Final = 5
_LATE_S: Final = 2.0 / FPS  # a frame is late if it comes a whole frame after its own turn was over
_SIZE: Final = "640x360"
_HEARS_INT: Final = ("env", "--default-signal=INT")
"""Begun in the background of a shell, the tests ignore an interrupt; what they start must not."""

_FSYNC_PROBE = """
import json, os, sys, time
took = []
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
block = os.urandom(4096)
try:
    while True:
        start = time.perf_counter()
        os.pwrite(fd, block, 0)
        os.fsync(fd)
        took.append(time.perf_counter() - start)
        time.sleep(0.1)
except KeyboardInterrupt:
    print(json.dumps(took))
"""


def make_stream(ffmpeg: str, path: Path, seconds: float) -> None:
    """Make what a camera sends: H.264 without B-frames, a key frame a second."""
    subprocess.run(
        [
            *[ffmpeg, "-hide_banner", "-loglevel", "error", "-y", "-f", "lavfi"],
            *["-i", f"testsrc2=s={_SIZE}:r={FPS},noise=alls=6:allf=t,format=yuv420p"],
            *["-t", f"{seconds:g}", "-c:v", "libx264", "-preset", "ultrafast"],
            *["-tune", "zerolatency", "-b:v", "1M", "-maxrate", "1M", "-bufsize", "1M"],
            *["-g", str(FPS), "-f", "mpegts", str(path)],
        ],
        check=True,
    )


@dataclass(frozen=True, slots=True)
class Site:
    """What the recorders and probes of one measurement saw."""

    frames: int
    dropped: int
    late: int
    worst_frame_s: float
    close_lateness_s: tuple[float, ...]
    fsync_s: tuple[float, ...]
    cpu_pressure_percent: float | None
    recorder_wait_ms_per_s: float
    measured_s: float


class Rig:
    """Cameras, recorders and probes over one directory; use as a context manager."""

    def __init__(self, ffmpeg: str, stream: Path, directory: Path, cameras: int) -> None:
        self._ffmpeg = ffmpeg
        self._stream = stream
        self._directory = directory
        self._cameras = cameras
        self._senders: list[subprocess.Popen[bytes]] = []
        self._recorders: list[subprocess.Popen[bytes]] = []
        self._probe: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start everything."""
        for number in range(self._cameras):
            port = _free_port()
            where = self._directory / f"cam{number}"
            where.mkdir(parents=True, exist_ok=True)
            self._recorders.append(self._record(port, where))
            self._senders.append(self._send(port))
        return self

    def __exit__(self, *_: object) -> None:
        """Stop everything."""
        for process in (*self._senders, *self._recorders, self._probe):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()

    def measure(self, seconds: float) -> Site:
        """Measure for so long, then stop the site and look at what was written."""
        self._probe = subprocess.Popen(
            [*_HEARS_INT, sys.executable, "-c", _FSYNC_PROBE, str(self._directory / "probe")],
            stdout=subprocess.PIPE,
        )
        began_s = time.time()
        pressure_s, waited_s = _cpu_pressure_s(), self._waited_s()
        threading.Event().wait(seconds)
        pressure_s = None if pressure_s is None else (_cpu_pressure_s() or 0.0) - pressure_s
        waited_s = self._waited_s() - waited_s
        self._probe.send_signal(signal.SIGINT)
        fsync_s = json.loads(self._probe.communicate()[0])
        for recorder in self._recorders:
            recorder.send_signal(signal.SIGINT)  # ffmpeg ends its last segment properly
        for recorder in self._recorders:
            recorder.wait(timeout=30)
        seen = [_look(self._directory / f"cam{n}", began_s, seconds) for n in range(self._cameras)]
        return Site(
            frames=sum(one.frames for one in seen),
            dropped=sum(one.dropped for one in seen),
            late=sum(one.late for one in seen),
            worst_frame_s=max(one.worst_s for one in seen),
            close_lateness_s=tuple(late for one in seen for late in one.closes_s),
            fsync_s=tuple(fsync_s),
            cpu_pressure_percent=None if pressure_s is None else 100 * pressure_s / seconds,
            recorder_wait_ms_per_s=1000 * waited_s / seconds,
            measured_s=seconds,
        )

    def _send(self, port: int) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [
                *[self._ffmpeg, "-hide_banner", "-loglevel", "error"],
                # a camera that was late for once is in time with its next frame, not in a minute
                *["-readrate", "1", "-readrate_catchup", "20"],
                *["-i", str(self._stream), "-c", "copy", "-f", "mpegts"],
                f"udp://127.0.0.1:{port}?pkt_size=1316",
            ],
            stdin=subprocess.DEVNULL,
        )
        with contextlib.suppress(OSError):  # outside the box, in truth: nothing here slows it
            psutil.Process(process.pid).nice(-10)
        return process

    def _record(self, port: int, where: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [
                *_HEARS_INT,
                *[self._ffmpeg, "-hide_banner", "-loglevel", "fatal"],
                *["-use_wallclock_as_timestamps", "1", "-f", "mpegts"],
                *["-probesize", "500000", "-analyzeduration", "1000000"],
                *["-i", f"udp://127.0.0.1:{port}?overrun_nonfatal=1", "-map", "0:v", "-c", "copy"],
                *["-f", "segment", "-segment_time", str(SEGMENT_S), "-segment_format", "mp4"],
                # cut at the key frame that is due, not at the one after it
                *["-segment_time_delta", "0.5"],
                f"{where}/live-%05d.mp4",
            ],
            stdin=subprocess.DEVNULL,
        )

    def _waited_s(self) -> float:
        return sum(_run_delay_s(process.pid) for process in self._recorders)


@dataclass(frozen=True, slots=True)
class _Seen:
    frames: int
    dropped: int
    late: int
    worst_s: float
    closes_s: tuple[float, ...]


def _look(where: Path, began_s: float, seconds: float) -> _Seen:
    """Read the segments begun since *began_s*; the last is cut by our own stop."""
    closed = [(path, path.stat().st_mtime) for path in sorted(where.glob("live-*.mp4"))]
    segments = [path for path, at_s in closed if at_s >= began_s + SEGMENT_S][:-1]
    stamps = [stamp for path in segments for stamp in _stamps(path)]
    if len(stamps) < FPS:
        return _Seen(0, round(seconds * FPS), 0, seconds, ())
    # The schedule is the one that no frame is ahead of; the camera's own rate is exact.
    base_s = min(at_s - number / FPS for number, at_s in enumerate(stamps))
    expected = round((stamps[-1] - stamps[0]) * FPS) + 1
    lags = [at_s - number / FPS - base_s for number, at_s in enumerate(stamps)]
    closes = [path.stat().st_mtime_ns / 1e9 for path in segments]
    first_s = min(at_s - number * SEGMENT_S for number, at_s in enumerate(closes))
    return _Seen(
        frames=len(stamps),
        dropped=max(0, expected - len(stamps)),
        late=sum(lag > _LATE_S for lag in lags),
        worst_s=max(lags),
        closes_s=tuple(at_s - n * SEGMENT_S - first_s for n, at_s in enumerate(closes)),
    )


def _stamps(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        base = float(stream.time_base or 0)
        return [
            float(packet.pts) * base for packet in container.demux(stream) if packet.pts is not None
        ]


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _cpu_pressure_s() -> float | None:
    try:
        text = Path("/proc/pressure/cpu").read_text(encoding="ascii")
    except OSError:
        return None
    return int(text.splitlines()[0].rpartition("total=")[2]) / 1e6


def _run_delay_s(pid: int) -> float:
    """How long a process's threads have waited for a CPU that somebody else had."""
    waited = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            waited += int((task / "schedstat").read_text(encoding="ascii").split()[1])
    return waited / 1e9


@contextlib.contextmanager
def bare_ffmpeg_loop(ffmpeg: str, recordings: Sequence[Path], scratch: Path) -> Iterator[None]:
    """Transcode again and again the way a cron job does: nice, and nothing else."""
    loop = (
        'out=$1; shift; while :; do for file in "$@"; do'
        f' nice -n 19 {ffmpeg} -hide_banner -loglevel error -nostdin -y -i "$file" -map 0 -c copy'
        ' -c:v:0 libx265 -preset medium -crf 23 -x265-params log-level=error -f mp4 "$out";'
        " done; done"
    )
    process = subprocess.Popen(
        ["sh", "-c", loop, "loop", str(scratch), *map(str, recordings)],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
