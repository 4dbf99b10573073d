"""Find ffmpeg, ask what it is, and run it: progress, pause, stop, stall.

`run` is the one road from an argv to its end: a child that nobody notices, on the job's leash,
its progress read as it comes, its stderr kept within bounds, killed where it stands still for
longer than it may (`stall`), reaped whatever happens. What its end means is judged by
those who asked for it.
"""

import errno
import functools
import glob
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import imageio_ffmpeg

from watcher.clock import Clock, SystemClock
from watcher.errors import Halt, Retryable
from watcher.transcode.child import Child, Limits, spawn
from watcher.transcode.diagnosis import DeviceLook, Look
from watcher.transcode.h264 import NO_CLOCK
from watcher.transcode.leash import Leash
from watcher.transcode.progress import Progress, ProgressParser
from watcher.transcode.stall import Watch

JELLYFIN: Final = "/usr/lib/jellyfin-ffmpeg/ffmpeg"
RENDER_NODES: Final = "/dev/dri/renderD*"
_INTEL = "0x8086"
_SLICE_S = 0.25
_TICK_EVERY_S = 1.0
_QUESTION_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Ffmpeg:
    """One ffmpeg, and what it lists. Listed does not mean that it works here."""

    path: str
    version: str
    encoders: frozenset[str]
    filters: frozenset[str]


@dataclass(frozen=True, slots=True)
class Finished:
    """How a run ended. *stderr* holds its first and last words, 32 kB at most."""

    argv: tuple[str, ...]
    exit_code: int
    stderr: str
    progress: Progress | None
    wall_s: float
    paused_s: float
    cpu_s: float

    @property
    def ok(self) -> bool:
        """True where it ended with 0, which proves nothing yet."""
        return self.exit_code == 0


def places(
    configured: str | None = None, *, path: str | None = None, jellyfin: str = JELLYFIN
) -> list[str]:
    """Say where an ffmpeg may be, in the order of preference; a configured one stands alone.

    *path* is searched in the place of $PATH.
    """
    if configured:
        found = configured if os.sep in configured else shutil.which(configured, path=path)
        return [os.path.abspath(found)] if found else []
    on_path = shutil.which("ffmpeg", path=path)
    candidates = [jellyfin, os.path.abspath(on_path) if on_path else None, bundled()]
    usable = [one for one in candidates if one and os.access(one, os.X_OK)]
    return list(dict.fromkeys(usable))


def bundled() -> str | None:
    """Name the ffmpeg inside the imageio-ffmpeg wheel, whatever PATH and environment say."""
    inside = Path(imageio_ffmpeg.__file__).parent / "binaries"
    return next((str(path) for path in sorted(inside.glob("ffmpeg-*"))), None)


def find(configured: str | None = None) -> list[Ffmpeg]:
    """Give every ffmpeg that answers, in the order of preference; raise `Halt` where none does."""
    found = [one for one in map(inspect, places(configured)) if one is not None]
    if not found:
        where = configured or f"{JELLYFIN}, on PATH or in the imageio-ffmpeg package"
        raise Halt(
            "no_ffmpeg",
            f"no ffmpeg that runs: {where}",
            remedy="install jellyfin-ffmpeg7 or the imageio-ffmpeg package, or set `ffmpeg`",
        )
    return found


def inspect(path: str) -> Ffmpeg | None:
    """Ask the ffmpeg at *path* what it is; None where it does not answer. Asked once a build."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return _inspect(path, status.st_mtime_ns, status.st_size)


def encoder_options(found: Ffmpeg, encoder: str) -> frozenset[str]:
    """Name the options that *encoder* has in this build; none where it does not answer."""
    return _options(found.path, found.version, encoder)


def look_at_device(nodes: str = RENDER_NODES, classes: str = "/sys/class/drm") -> DeviceLook:
    """Open the render nodes, Intel's first; say what the best of them answers."""
    vendors = {path: _vendor(path, classes) for path in sorted(glob.glob(nodes))}
    ranked = sorted(vendors, key=lambda path: vendors[path] != _INTEL)
    looks = [_look(path, vendors[path]) for path in ranked]
    opens = next((look for look in looks if look.look is Look.OPENS), None)
    return opens or next(iter(looks), DeviceLook(None, Look.ABSENT))


def run(
    argv: Sequence[str],
    leash: Leash | None = None,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    on_output: Callable[[bytes], None] | None = None,
    on_tick: Callable[[], None] | None = None,
    on_stderr: Callable[[bytes], None] | None = None,
    stall_timeout_s: float = 120.0,
    limits: Limits | None = None,
    env: Mapping[str, str] | None = None,
    clock: Clock | None = None,
) -> Finished:
    """Run *argv* to its end. Its stdout is `-progress` lines, or *on_output*'s where given.

    *on_stderr* sees all of what is said there, by another thread; begin and end alone are kept, and
    nothing of parameter sets without a clock, which is said at each key frame. *on_tick*
    is called once a second while it lives, whether it says anything or not: at its end ffmpeg may
    rewrite a gigabyte in silence.

    Raises `Aborted` where the leash says so and `Retryable("stalled")` where it made no progress
    for *stall_timeout_s*; what *on_progress* and *on_output* raise ends the child too; and
    `Halt("child_stuck")` where it does not end though it was killed.
    """
    clock = clock or SystemClock()
    leash = leash or Leash(clock)
    leash.check()
    began_s, paused_s = clock.monotonic_s(), leash.paused_s()
    # the child gets no clock of ours: its end is real, however a test turns the time
    with spawn(
        argv,
        leash=leash,
        stdout=True,
        limits=limits,
        env=env,
        on_stderr=on_stderr,
        leave_out=NO_CLOCK.encode("ascii"),
    ) as child:
        watch = Watch(child, leash, clock, stall_timeout_s, tick=_Beat(clock, on_tick))
        progress = _follow(child, watch, on_progress, on_output)
        exit_code = child.wait()
        leash.check()
    now_paused_s = leash.paused_s() - paused_s
    return Finished(
        argv=tuple(argv),
        exit_code=-1 if exit_code is None else exit_code,
        stderr=child.stderr_tail(),
        progress=progress,
        wall_s=max(0.0, clock.monotonic_s() - began_s),
        paused_s=now_paused_s,
        cpu_s=child.cpu_s,
    )


class _Beat:
    """Calls *act* about once a second, however often it is called itself."""

    def __init__(self, clock: Clock, act: Callable[[], None] | None) -> None:
        self._clock, self._act = clock, act
        self._last_s = clock.monotonic_s()

    def __call__(self) -> None:
        now_s = self._clock.monotonic_s()
        if self._act is not None and now_s - self._last_s >= _TICK_EVERY_S:
            self._last_s = now_s
            self._act()


def _follow(
    child: Child,
    watch: Watch,
    on_progress: Callable[[Progress], None] | None,
    on_output: Callable[[bytes], None] | None,
) -> Progress | None:
    """Read what the child says until it closes its stdout; give the last progress."""
    parser, latest, received = ProgressParser(), None, 0
    while (chunk := child.read(_SLICE_S)) != b"":
        if chunk and on_output is not None:
            received += len(chunk)
            on_output(chunk)
        elif chunk:
            for latest in parser.feed(chunk):
                if on_progress is not None:
                    on_progress(latest)
        watch.check((received, latest and (latest.frame, latest.size_bytes, latest.time_s)))
    while child.wait(_SLICE_S) is None:  # it closed stdout, but has not ended
        watch.check((received, "closing"))
    return latest


def _look(path: str, vendor: str | None) -> DeviceLook:
    driver = "iHD" if vendor in (_INTEL, None) else None
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK))
    except PermissionError:
        return DeviceLook(path, Look.FORBIDDEN, driver)
    except OSError as error:
        gone = error.errno in (errno.ENXIO, errno.ENODEV)
        return DeviceLook(path, Look.NO_DRIVER if gone else Look.BROKEN, driver)
    return DeviceLook(path, Look.OPENS, driver)


def _vendor(path: str, classes: str) -> str | None:
    try:
        described = Path(classes, os.path.basename(path), "device", "vendor")
        return described.read_text("ascii").strip()
    except (OSError, ValueError):
        return None


@functools.lru_cache(maxsize=16)
def _inspect(path: str, _mtime_ns: int, _size: int) -> Ffmpeg | None:
    version = _ask(path, "-version").splitlines()
    if not version or not version[0].startswith("ffmpeg version"):
        return None
    return Ffmpeg(
        path=path,
        version=version[0].removeprefix("ffmpeg version").split(" Copyright")[0].strip(),
        encoders=_names(_ask(path, "-encoders")),
        filters=_names(_ask(path, "-filters")),
    )


@functools.lru_cache(maxsize=16)
def _options(path: str, _version: str, encoder: str) -> frozenset[str]:
    rows = _ask(path, "-h", f"encoder={encoder}").splitlines()
    return frozenset(row.split()[0][1:] for row in rows if row.startswith("  -"))


def _ask(path: str, *question: str) -> str:
    said: list[bytes] = []
    try:
        run([path, "-hide_banner", *question], on_output=said.append,
            stall_timeout_s=_QUESTION_TIMEOUT_S)  # fmt: skip
    except Retryable:
        return ""
    return b"".join(said).decode("utf-8", "replace")


def _names(listing: str) -> frozenset[str]:
    """Take the second word of each row of `-encoders` or `-filters`."""
    rows = (line.split() for line in listing.splitlines() if line.startswith(" "))
    return frozenset(row[1] for row in rows if len(row) > 2 and row[1] != "=")  # noqa: PLR2004
