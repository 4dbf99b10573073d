"""Which file systems tell of changes, by /proc/self/mountinfo. Pure but for reading that file.

inotify reports what is done through this kernel's own view of a file system. What another machine
writes to a network share, or a FUSE daemon does by itself, raises no event: such a camera would
look asleep for ever. These are recognised and refused, unless the camera is polled.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

_MOUNTINFO = Path("/proc/self/mountinfo")
_REMOTE = {
    "nfs": "an NFS share",
    "nfs4": "an NFS share",
    "cifs": "a Windows (SMB) share",
    "smb3": "a Windows (SMB) share",
    "smbfs": "a Windows (SMB) share",
    "9p": "a 9p share of a virtual machine's host",
    "virtiofs": "a virtiofs share of a virtual machine's host",
    "afs": "an AFS share",
    "ceph": "a Ceph share",
    "glusterfs": "a Gluster share",
    "lustre": "a Lustre share",
    "gfs2": "a cluster file system",
    "ocfs2": "a cluster file system",
    "beegfs": "a BeeGFS share",
    "orangefs": "an OrangeFS share",
    "vboxsf": "a VirtualBox share of a virtual machine's host",
}
_ESCAPE = re.compile(r"\\([0-7]{3})")
_FEWEST_FIELDS = 6


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of mountinfo."""

    point: str
    root: str  # which part of the file system is mounted here
    device: str
    kind: str
    source: str

    @property
    def is_bind(self) -> bool:
        """Whether a part of a file system is mounted here (btrfs subvolumes too)."""
        return self.root != "/"


@dataclass(frozen=True, slots=True)
class FileSystem:
    """What lies under a path, and whether it can be watched."""

    mount: Mount
    problem: str | None
    """Why inotify does not see everything here; None where it does."""
    remedy: str | None


def read_mounts(path: Path = _MOUNTINFO) -> tuple[Mount, ...]:
    """What is mounted; empty where the kernel does not tell."""
    try:
        return parse_mountinfo(os.fsdecode(path.read_bytes()))
    except OSError:
        return ()


def parse_mountinfo(text: str) -> tuple[Mount, ...]:
    """Read mountinfo's lines; those that are none are left out. Never raises."""
    # the kernel escapes no other line break, and a path may hold each of those
    mounts = (_mount(line) for line in text.split("\n"))
    return tuple(mount for mount in mounts if mount)


def mount_of(path: str, mounts: tuple[Mount, ...]) -> Mount | None:
    """The mount that *path* lies on: the longest point above it, of equals the latest."""
    best: Mount | None = None
    for mount in mounts:
        if is_below(path, mount.point) and (best is None or len(mount.point) >= len(best.point)):
            best = mount
    return best


def mounts_below(path: str, mounts: tuple[Mount, ...]) -> tuple[Mount, ...]:
    """Those whose point lies strictly below *path*."""
    return tuple(m for m in mounts if m.point != path and is_below(m.point, path))


def file_system_of(path: str, mounts: tuple[Mount, ...] | None = None) -> FileSystem | None:
    """What *path* (resolved) lies on, and whether inotify sees all that happens there."""
    mount = mount_of(os.path.realpath(path), read_mounts() if mounts is None else mounts)
    if mount is None:
        return None
    problem = problem_of(mount)
    remedy = None
    if problem:
        remedy = (
            "set `watch: poll` for this camera: every minute each of its directories is read and"
            " each file looked at, which costs the server that much"
        )
    return FileSystem(mount, problem, remedy)


def problem_of(mount: Mount) -> str | None:
    """Why inotify does not see everything on *mount*; None where it does."""
    if mount.kind in _REMOTE:
        what = _REMOTE[mount.kind]
        return f"{mount.point} is {what} ({mount.kind}): what others write raises no events here"
    if mount.kind.partition(".")[0] in ("fuse", "fuseblk"):
        return (
            f"{mount.point} is a FUSE file system ({mount.kind}): what its daemon or another"
            " machine changes raises no events here"
        )
    if mount.kind == "overlay" and mount.point != "/":  # a container's own root sees its own writes
        return (
            f"{mount.point} is an overlay: what is written below it, in its upper or lower"
            " directory or by another container, raises no events here"
        )
    return None


def _mount(line: str) -> Mount | None:
    left, separator, right = line.partition(" - ")
    fields, rest = left.split(" "), right.split(" ")
    if not separator or len(fields) < _FEWEST_FIELDS or len(rest) < 2:  # noqa: PLR2004 - type, source
        return None
    return Mount(_plain(fields[4]), _plain(fields[3]), fields[2], rest[0], _plain(rest[1]))


def _plain(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)


def is_below(path: str, top: str) -> bool:
    """Whether *path* is *top*, or lies below it."""
    return path == top or path.startswith(top.rstrip("/") + "/")
