"""What the gate knows and what it says: the values that pass between this room's modules.

Pure. Everything here is a number with its unit in the name, or a sentence for a person. Unset is
not zero: a figure that this machine can't give (no GPU, no sensor, no PSI) is None.
"""

from dataclasses import dataclass
from enum import StrEnum

from watcher.settings import Transcoding

GB = 10**9
"""Bytes in a gigabyte, as disks are sold and as the configuration counts."""


class Reason(StrEnum):
    """Why work is held; in the order in which one reason is told rather than another."""

    HALTED = "halted"
    DISABLED = "disabled"
    WINDOW = "window"
    DISK = "disk"
    RECORDER = "recorder"
    TEMPERATURE = "temperature"
    CPU = "cpu"
    GPU = "gpu"
    IO = "io"


@dataclass(frozen=True, slots=True)
class Load:
    """What everybody else uses, since the sample before; our own process tree taken off.

    I/O figures can't be told apart by process: they are the whole machine's, and the gate finds out
    whose they are by letting our child stand still. *unread*: how many samples running could not be
    read; the figures are then the last ones known.
    """

    interval_s: float
    others_cpu_percent: float
    own_cpu_percent: float = 0.0
    io_wait_percent: float = 0.0
    io_pressure_percent: float | None = None
    memory_pressure_percent: float | None = None
    gpu_others_percent: float | None = None
    gpu_engine: str | None = None
    temperature_c: float | None = None
    unread: int = 0

    @property
    def io_percent(self) -> float:
        """The worst of the three ways in which waiting for the disk shows."""
        return self.io_worst[1]

    @property
    def io_worst(self) -> tuple[str, float]:
        """That figure and what a person calls it. Thrashing is waiting for the disk as well."""
        return max(
            ("I/O wait", self.io_wait_percent),
            ("I/O pressure", self.io_pressure_percent or 0.0),
            ("memory pressure", self.memory_pressure_percent or 0.0),
            key=lambda named: named[1],
        )


@dataclass(frozen=True, slots=True)
class Space:
    """A file system's room, as an ordinary user sees it."""

    free_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True)
class WindowState:
    """Whether work is allowed at an instant, since when, and until when.

    *next_edge_s* is None where no change will ever come (`always`), *since_s* where the change was
    days ago.
    """

    is_open: bool
    since_s: float | None = None
    next_edge_s: float | None = None

    @property
    def closes_s(self) -> float | None:
        """When the window that is open now closes."""
        return self.next_edge_s if self.is_open else None

    @property
    def opens_s(self) -> float | None:
        """When the window that is closed now opens."""
        return None if self.is_open else self.next_edge_s


@dataclass(frozen=True, slots=True)
class Trouble:
    """A camera that produces nothing, and by what that shows."""

    camera: str
    reason: str
    silent_s: float | None = None
    expected_s: float | None = None


@dataclass(frozen=True, slots=True)
class Readings:
    """Everything that one step of the gate looks at.

    *child*: a job of ours is under way, running or frozen, in a child or in this process.
    *window* is None where it does not apply (a file by hand). *closed_for_s*: how long ago the
    window closed, 0 while it is open. *absent*: the cameras that hold no more, whether or not they
    have ever done so. *unanswered*: what hangs, as a sentence, and so lets nothing be known of it.
    """

    load: Load
    child: bool = False
    enabled: bool = True
    halted: str | None = None
    window: WindowState | None = None
    closed_for_s: float = 0.0
    recorder: Trouble | None = None
    absent: frozenset[str] = frozenset()
    space: Space | None = None
    unanswered: str | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What the configuration allows; None: that signal is not looked at."""

    cpu_percent: float = 15.0
    io_percent: float = 5.0
    gpu_percent: float | None = 50.0
    temperature_c: float | None = None
    critical_bytes: int = 5 * GB
    max_pause_s: float = 3600.0
    overrun_s: float = 600.0

    @classmethod
    def of(cls, configured: Transcoding) -> "Limits":
        """Take them from the configuration."""
        return cls(
            cpu_percent=configured.max_cpu_percent,
            io_percent=configured.max_io_wait,
            gpu_percent=configured.max_gpu_percent,
            temperature_c=configured.max_temperature_c,
            critical_bytes=round(configured.critical_free_space_gb * GB),
            max_pause_s=configured.max_pause_minutes * 60.0,
            overrun_s=configured.overrun_minutes * 60.0,
        )


@dataclass(frozen=True, slots=True)
class Go:
    """Work may begin or go on.

    *run* False: the child stands still for this step alone, to find out whose the I/O wait is or
    because its share is lowered; that is no hold, and nobody is told. *duty*: its share just now.
    """

    run: bool = True
    duty: float = 1.0
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """Nothing begins, and a running child is frozen; *since_s* is when this hold began."""

    reason: Reason
    detail: str
    value: float | None = None
    limit: float | None = None
    since_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Abort(Hold):
    """As `Hold`, and the running child is ended: its file stays a candidate."""


Decision = Go | Hold
