"""A Debian of its own that systemd has booted: debootstrap makes it, systemd-nspawn runs it."""

import contextlib
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil
import pytest

_MIRROR: Final = "http://deb.debian.org/debian"
_PACKAGES: Final = "systemd,systemd-sysv,dbus,udev,python3,python3-venv,procps,ca-certificates,sudo"
_NEEDED: Final = ("debootstrap", "systemd-nspawn", "nsenter", "unshare")
_CERTIFICATES: Final = "etc/ssl/certs/ca-certificates.crt"
_BOOTED_WITHIN_S: Final = 120.0

# Hosts that still mount version 1 of control groups show version 2 in a namespace of their own.
_GROUPS: Final = """
set -e
if [ "$(stat -f -c %T /sys/fs/cgroup)" != cgroup2fs ]; then
    umount -R /sys/fs/cgroup
    mount -t cgroup2 none /sys/fs/cgroup
fi
group=/sys/fs/cgroup/watcher-install
if [ -d $group ]; then find $group -depth -type d -exec rmdir {} +; fi
"""
_BOOT: Final = f"""{_GROUPS}
for controller in cpu io; do
    echo "+$controller" > /sys/fs/cgroup/cgroup.subtree_control || true
done
mkdir $group
echo $$ > $group/cgroup.procs
mkdir -p /run/systemd/system
exec systemd-nspawn --quiet --register=no --keep-unit --machine=watcher-install -D "$1" -b
"""
_ALONE: Final = ("unshare", "-m", "--propagation", "private", "sh", "-c")


class Debian:
    """The running system; *root* is where its files lie for us."""

    def __init__(self, root: Path, leader: int) -> None:
        self.root = root
        self._leader = leader

    def ask(self, *words: str, timeout_s: float = 300.0) -> subprocess.CompletedProcess[str]:
        """Run a command inside, with nothing of our environment."""
        inside = ["nsenter", "-t", str(self._leader), "-m", "-u", "-i", "-p", "-n"]
        clean = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8"]
        return subprocess.run(
            [*inside, *clean, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def do(self, *words: str, timeout_s: float = 300.0) -> str:
        """Run a command that has to succeed; give what it printed."""
        done = self.ask(*words, timeout_s=timeout_s)
        assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def at(self, path: str) -> Path:
        """Give an absolute *path* of its as one of ours."""
        return self.root / path.lstrip("/")


@contextmanager
def booted(root: Path) -> Iterator[Debian]:
    """Make and boot one below *root*; the test is skipped, saying so, where that can't be done."""
    missing = [name for name in _NEEDED if shutil.which(name) is None]
    if os.geteuid() != 0 or missing:
        pytest.skip(f"NOT SHOWN HERE: needs root, and {', '.join(missing) or 'nothing else'}")
    _make(root)
    with _nspawn(root) as nspawn:
        debian = Debian(root, _leader(root))
        try:
            yield debian
        finally:
            debian.ask("systemctl", "poweroff")
            nspawn.wait(timeout=60)
    subprocess.run([*_ALONE, _GROUPS], check=True)
    shutil.rmtree(root)


def _make(root: Path) -> None:
    command = ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", "bookworm", str(root)]
    done = subprocess.run([*command, _MIRROR], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"NOT SHOWN HERE: debootstrap failed: {done.stdout[-500:]}")
    shutil.copyfile(f"/{_CERTIFICATES}", root / _CERTIFICATES)


@contextmanager
def _nspawn(root: Path) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [*_ALONE, _BOOT, "sh", str(root)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
        start_new_session=True,
    ) as nspawn:
        try:
            yield nspawn
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(nspawn.pid, signal.SIGTERM)  # nspawn kills what runs inside it


def _leader(root: Path) -> int:
    """Wait for its systemd, and for that to have booted; give its process as we see it."""
    wake, tries = threading.Event(), int(_BOOTED_WITHIN_S * 2)
    for _ in range(tries):
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                is_systemd = process.name() == "systemd"
                if is_systemd and os.path.samefile(f"/proc/{process.pid}/root", root):
                    found = Debian(root, process.pid)
                    is_up = found.ask("systemctl", "is-system-running").stdout.strip()
                    if is_up in ("running", "degraded"):
                        return process.pid
        wake.wait(0.5)
    pytest.fail("systemd did not boot")
