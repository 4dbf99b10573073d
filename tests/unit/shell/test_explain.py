"""Why a file is not known although it is there: what is mounted on its way."""

from watcher.config import Config, parse_config
from watcher.explain import mounted_where
from watcher.segments.filesystems import FileSystem, Mount

PATH = "/srv/cam1/disk/a.mp4"


def told(system: FileSystem | None, more: str = "") -> str | None:
    config: Config = parse_config(f"recordings: {{cam1: {{path: /srv/cam1{more}}}}}")
    return mounted_where(PATH, "cam1", config.cameras, lambda _directory: system)


def mount(root: str = "/", kind: str = "ext4") -> Mount:
    return Mount("/srv/cam1/disk", root, "8:1", kind, "/dev/sda1")


def test_a_share_below_a_camera_says_what_would_help() -> None:
    share = FileSystem(mount(kind="nfs4"), "it is an NFS share", "set `watch: poll`")
    assert told(share) == "it is an NFS share; set `watch: poll`"
    assert told(share, ", watch: poll") is None


def test_a_bind_mount_below_a_camera_is_named() -> None:
    assert "/srv/cam1/disk is mounted from elsewhere" in (
        told(FileSystem(mount("/other"), None, None)) or ""
    )


def test_an_ordinary_place_explains_nothing() -> None:
    assert told(FileSystem(mount(), None, None)) is None
    assert told(None) is None
