"""The scheduling group that the unit's slice puts the service in, made here by hand.

`CPUWeight=idle` sets `cpu.idle` of the slice's cgroup: whoever else wakes up has the CPU at once.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_TOPS: Final = tuple(
    map(
        Path,
        (
            "/sys/fs/cgroup",
            "/sys/fs/cgroup/unified",
            "/sys/fs/cgroup/cpu",
            "/sys/fs/cgroup/cpu,cpuacct",
        ),
    )
)


class Unavailable(Exception):  # noqa: N818 - a finding
    """No such group can be made here; the message says why."""


@contextlib.contextmanager
def idle_group() -> Iterator[list[str]]:
    """Make one at the top of the hierarchy; give the words that put a command into it."""
    group = _made()
    try:
        yield ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(group / "cgroup.procs")]
    finally:
        with contextlib.suppress(OSError):
            group.rmdir()


def _made() -> Path:
    for top in _TOPS:
        group = top / "watcher-politeness"
        with contextlib.suppress(OSError), (top / "cgroup.subtree_control").open("r+") as control:
            control.write("+cpu")  # version 1 has no such file, and needs none
        try:
            group.mkdir(exist_ok=True)
        except OSError:
            continue
        if (group / "cpu.idle").exists():
            (group / "cpu.idle").write_text("1", "ascii")
            return group
        group.rmdir()
    raise Unavailable("no writable cgroup hierarchy here has cpu.idle (Linux 5.15)")
