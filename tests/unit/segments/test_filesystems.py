"""Which file systems raise events for everything that happens on them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.segments.filesystems import (
    file_system_of,
    mount_of,
    mounts_below,
    parse_mountinfo,
    read_mounts,
)

MOUNTINFO = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:25 / /srv/nas rw - nfs4 nas:/export rw,vers=4.2
31 22 0:26 / /srv/nas\040two rw - cifs //nas/two rw
32 22 8:2 /cams /srv/cams rw shared:3 - xfs /dev/sdb1 rw
33 32 0:27 / /srv/cams/vm rw - 9p host rw
34 22 0:28 / /srv/pool rw - fuse.mergerfs a:b rw
35 22 0:29 / /srv/usb rw - fuseblk /dev/sdc1 rw
36 22 0:30 / /srv/over rw master:1 propagate_from:2 - overlay overlay rw,lowerdir=/a
37 22 8:3 / /srv/cams rw - btrfs /dev/sdd1 rw
38 22 0:31 / /srv/box rw - vboxsf share rw
39 22 0:32 / /srv/orange rw - orangefs tcp://host:3334/o rw
"""
MOUNTS = parse_mountinfo(MOUNTINFO)


@pytest.mark.parametrize(
    ("path", "kind", "word"),
    [
        ("/srv/nas/cam1", "nfs4", "NFS"),
        ("/srv/nas two", "cifs", "SMB"),
        ("/srv/cams/vm/x", "9p", "9p"),
        ("/srv/pool/cam", "fuse.mergerfs", "FUSE"),
        ("/srv/usb/cam", "fuseblk", "FUSE"),
        ("/srv/over/cam", "overlay", "overlay"),
        ("/srv/box/cam", "vboxsf", "VirtualBox"),
        ("/srv/orange/cam", "orangefs", "OrangeFS"),
    ],
)
def test_odd_file_systems_are_recognised_and_explained(path: str, kind: str, word: str) -> None:
    system = file_system_of(path, MOUNTS)
    assert system
    assert system.mount.kind == kind
    assert word in str(system.problem)
    assert "watch: poll" in str(system.remedy)
    assert "costs" in str(system.remedy)


@pytest.mark.parametrize(("path", "kind"), [("/srv/nasty", "ext4"), ("/srv/cams/1", "btrfs")])
def test_ordinary_ones_are_fine(path: str, kind: str) -> None:
    system = file_system_of(path, MOUNTS)
    assert system
    assert (system.mount.kind, system.problem, system.remedy) == (kind, None, None)


def test_a_containers_own_root_is_an_overlay_that_sees_its_own_writes() -> None:
    root = parse_mountinfo("22 1 0:30 / / rw - overlay overlay rw")
    system = file_system_of("/data/cam1", root)
    assert system
    assert system.problem is None


def test_of_two_mounts_on_one_point_the_later_counts() -> None:
    mount = mount_of("/srv/cams/1", MOUNTS)
    assert mount
    assert mount.source == "/dev/sdd1"


def test_bind_mounts_are_told_apart() -> None:
    assert [m.source for m in MOUNTS if m.is_bind] == ["/dev/sdb1"]


def test_mounts_below_a_camera() -> None:
    assert [m.point for m in mounts_below("/srv/cams", MOUNTS)] == ["/srv/cams/vm"]
    assert "/srv/nas" not in [m.point for m in mounts_below("/srv/na", MOUNTS)]


@pytest.mark.parametrize("odd", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\r", "\x1c"])
def test_a_mount_may_have_any_other_line_break_in_its_path(odd: str) -> None:
    """Only space, tab, newline and backslash are escaped by the kernel."""
    (mount,) = parse_mountinfo(f"36 22 0:50 / /mnt/cam{odd}x rw - nfs4 h:/e rw\n")
    assert mount.point == f"/mnt/cam{odd}x"


@given(st.text())
def test_whatever_mountinfo_says_it_is_read(text: str) -> None:
    assert len(parse_mountinfo(text)) <= len(text.split("\n"))


def test_a_kernel_that_does_not_tell_refuses_nothing(tmp_path: Path) -> None:
    assert read_mounts(tmp_path / "mountinfo") == ()
    assert file_system_of("/srv", ()) is None
