"""Real load on a real machine: a child of ours that burns CPU, and a stranger that does."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")

# Ends by itself, whatever becomes of the test.
_BURN = """
import sys, time
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    sum(range(1000))
"""

# Double fork: the stranger's parent ends at once, and init (or whoever reaps here) takes it over.
_ESTRANGE = """
import os, sys
pid = os.fork()
if pid:
    print(pid, flush=True)
    os._exit(0)
os.setsid()
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or whoever reads our answer waits for its end
os.execv(sys.executable, [sys.executable, "-c", sys.argv[1], sys.argv[2]])
"""


@contextlib.contextmanager
def burning(seconds: float = 20.0) -> Iterator[int]:
    """Burn one CPU in a child of this process; its pid. Killed at the end."""
    with subprocess.Popen([sys.executable, "-c", _BURN, str(seconds)]) as child:
        try:
            yield child.pid
        finally:
            child.kill()


@contextlib.contextmanager
def stranger(seconds: float = 20.0) -> Iterator[int]:
    """Burn one CPU in a process that is not under this one; its pid. Killed at the end."""
    answer = subprocess.run(
        [sys.executable, "-c", _ESTRANGE, _BURN, str(seconds)],
        stdout=subprocess.PIPE,
        check=True,
    )
    pid = int(answer.stdout)
    try:
        yield pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def cpu_s(pid: int) -> float:
    """CPU seconds that one process has used by itself."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def parent(pid: int) -> int:
    """Who a process's parent is."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return int(fields[1])
