"""How much of the GPU everybody else uses, where the kernel shows it.

Every process that has a DRM device open tells in /proc/PID/fdinfo/FD for how long each engine
has worked for it (`drm-engine-video: 123 ns`; the xe driver counts `drm-cycles-vcs` against
`drm-total-cycles-vcs`). One client may be open in several descriptors and processes: it is counted
once, by device and `drm-client-id`, and not at all where one of ours has it open.

Looking through every descriptor of every process at each sample would itself be a load: processes
seen for the first time lately are looked through each time, the others in turn, all within two
seconds; and a machine without /dev/dri costs nothing. Other users' processes are visible to root or
with CAP_SYS_PTRACE alone; where nothing is visible there is no figure.
"""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_LINE = re.compile(r"^drm-([a-z0-9-]+):\s+(\S+)", re.MULTILINE)
_TURNS = 4  # known processes are looked through in so many parts
_YOUNG_S = 5.0


@dataclass(frozen=True, slots=True)
class GpuShare:
    """The busiest engine, and the share of its time that others took."""

    percent: float
    engine: str


@dataclass(frozen=True, slots=True)
class Client:
    """One open use of a GPU: engine -> how far its counter is, of how much, on how many engines."""

    key: tuple[str, str]
    engines: dict[str, "Tally"]


@dataclass(frozen=True, slots=True)
class Tally:
    """One engine's counter. *whole* is the clock it is measured by; None: nanoseconds of time."""

    used: int
    whole: int | None
    capacity: int


@dataclass(slots=True)
class _Seen:
    first_s: float
    files: tuple[Path, ...] = ()


class GpuMeter:
    """Compares each call's counters with the call before."""

    def __init__(self, proc: Path = Path("/proc"), devices: Path = Path("/dev/dri")) -> None:
        self._proc = proc
        self._devices = devices
        self._processes: dict[int, _Seen] = {}
        self._before: dict[tuple[str, str], Client] = {}
        self._at_s: float | None = None
        self._turn = 0

    def sample(self, now_s: float, own: Iterable[int]) -> GpuShare | None:
        """Give the busiest engine's share by others since the call before; None: nothing to see."""
        try:
            if not self._devices.exists():
                return None
            self._look(now_s)
        except OSError:  # no descriptor is left: nothing to see until one is
            return None
        ours: set[tuple[str, str]] = set()
        clients: dict[tuple[str, str], Client] = {}
        mine = set(own)
        for pid, seen in self._processes.items():
            for client in _clients(seen.files):
                clients[client.key] = client
                if pid in mine:
                    ours.add(client.key)
        elapsed_s = 0.0 if self._at_s is None else now_s - self._at_s
        before, self._before, self._at_s = self._before, clients, now_s
        others = {key: one for key, one in clients.items() if key not in ours}
        return busiest(before, others, elapsed_s) if clients else None

    def _look(self, now_s: float) -> None:
        """Find out which descriptors are open on a GPU."""
        self._turn = (self._turn + 1) % _TURNS
        alive = {int(name) for name in os.listdir(self._proc) if name.isdigit()}
        for gone in self._processes.keys() - alive:
            del self._processes[gone]
        for pid in alive:
            seen = self._processes.setdefault(pid, _Seen(now_s))
            if now_s - seen.first_s < _YOUNG_S or pid % _TURNS == self._turn:
                seen.files = tuple(self._open_on_gpu(pid))

    def _open_on_gpu(self, pid: int) -> Iterator[Path]:
        inside = f"{self._devices}/"
        try:
            for number in os.listdir(self._proc / f"{pid}/fd"):
                if os.readlink(self._proc / f"{pid}/fd/{number}").startswith(inside):
                    yield self._proc / f"{pid}/fdinfo/{number}"
        except OSError:
            return  # another user's, or gone meanwhile


def _clients(files: Iterable[Path]) -> Iterator[Client]:
    for path in files:
        try:
            client = parse_fdinfo(path.read_text(encoding="ascii", errors="replace"))
        except OSError:
            continue
        if client is not None:
            yield client


def parse_fdinfo(text: str) -> Client | None:
    """Read one fdinfo; None where it is no DRM client's. Never raises."""
    fields = dict(_LINE.findall(text))
    if "client-id" not in fields:
        return None
    engines: dict[str, Tally] = {}
    for name, value in fields.items():
        for prefix, whole in (("engine-", None), ("cycles-", "total-cycles-")):
            engine = name.removeprefix(prefix)
            if name.startswith(prefix) and not engine.startswith("capacity-"):
                total = _number(fields.get(f"{whole}{engine}")) if whole else None
                capacity = _number(fields.get(f"engine-capacity-{engine}")) or 1
                engines[engine] = Tally(_number(value) or 0, total, capacity)
    return Client((fields.get("pdev", ""), fields["client-id"]), engines)


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None


def busiest(
    before: dict[tuple[str, str], Client], now: dict[tuple[str, str], Client], elapsed_s: float
) -> GpuShare:
    """Add the clients up, engine by engine and device by device, and give the busiest engine."""
    shares: dict[tuple[str, str], float] = {}
    for key, client in now.items():
        for engine, tally in client.engines.items():
            old = before[key].engines.get(engine) if key in before else None
            place = (key[0], engine)
            shares[place] = shares.get(place, 0.0) + _share(old, tally, elapsed_s)
    place, share = max(shares.items(), key=lambda one: one[1], default=(("", ""), 0.0))
    return GpuShare(min(100.0, 100.0 * share), place[1])


def _share(old: Tally | None, now: Tally, elapsed_s: float) -> float:
    """What a client had done before it was first seen is not known, and counts as nothing."""
    if old is None:
        return 0.0
    whole = elapsed_s * 1e9
    if now.whole is not None:
        whole = 0 if old.whole is None else now.whole - old.whole
    return max(0.0, (now.used - old.used) / whole / now.capacity) if whole > 0 else 0.0
