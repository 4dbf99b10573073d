"""Markers for tests: one that is right, to be varied."""

import hashlib
from dataclasses import replace

from support.fake_directory import Inode
from watcher.replace.marker import Held, Identity, Marker, State

HELD = Held(wall_s=1_700_000_000.0, boot_s=1000.0, boot_id="boot-1", keep_s=86_400.0)


def identity_of(inode: Inode) -> Identity:
    """Give the identity of a file in a FakeDirectory."""
    return Identity(
        inode.number,
        inode.birth_ns,
        len(inode.contents),
        inode.attributes.mtime_ns,
        hashlib.sha256(inode.contents).hexdigest(),
    )


def marker(name: str = "seg.mp4", **changes: object) -> Marker:
    """Give a whole marker with *changes*."""
    whole = Marker(
        name=name,
        state=State.DONE,
        original=Identity(11, 1_000, 2_000, 3_000, "a" * 64),
        copy=Identity(12, 1_001, 1_000, 3_000, "b" * 64),
        held=HELD,
        encoder="libx265",
        settings={"preset": "medium"},
        report={"vmaf": 96.5},
    )
    return replace(whole, **changes)  # type: ignore[arg-type]  # the tests' own words
