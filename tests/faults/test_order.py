"""The order of fsyncs, read from a trace of the system calls; and a swap broken on purpose.

No name points to data that is not on disk, no original goes before its successor is durable, and
no unlink follows a rename before the directory was written (SWAP invariant 6).
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.attack import kill_everywhere
from support.broken_directories import NeverSyncs, NeverSyncsFiles, RenamesTwice, SyncsTooLate
from support.filesystems import TrustedDirectory, Unavailable, shared_memory
from support.swap_trials import (
    MARKER,
    NAME,
    ORIG,
    SCRIPTS,
    TMP,
    Ground,
    Lost,
    concerns,
    run_traced,
)
from support.tracer import Call, Made, can_trace

_EXCHANGE = 2


@pytest.fixture
def root() -> Iterator[Path]:
    reason = can_trace()
    if reason:
        pytest.skip(f"system calls can't be traced here: {reason}")
    try:
        with shared_memory() as directory:
            yield directory
    except Unavailable as reason_not:
        pytest.skip(str(reason_not))


class Order:
    """Follows a trace, and says where a promise about fsyncs is broken."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._unwritten: set[str] = set()
        self._directory_is_written = True
        self._renamed = False
        self.changes: list[str] = []

    def follow(self, made: Made) -> None:
        call = made.call
        if made.result is None or made.result < 0 or not concerns(self._ground, call):
            return
        step = getattr(self, f"_{call.name}", None)
        if step is not None:
            step(call)

    def _openat(self, call: Call) -> None:
        if call.creates:
            self._unwritten.add(self._bare(call.paths[0]))
            self._directory_is_written = False
            self.changes.append(f"create {self._bare(call.paths[0])}")

    def _write(self, call: Call) -> None:
        self._unwritten.add(self._bare(call.paths[0]))

    _fchmod = _fchown = _utimensat = _fsetxattr = _write

    def _fsync(self, call: Call) -> None:
        name = self._bare(call.paths[0])
        self.changes.append(f"fsync {name}")
        if name == ".":
            self._directory_is_written, self._renamed = True, False
        self._unwritten.discard(name)

    def _renameat2(self, call: Call) -> None:
        self._rename(call.paths, exchange=bool(call.arguments[4] & _EXCHANGE))

    def _renameat(self, call: Call) -> None:
        self._rename(call.paths, exchange=False)

    def _rename(self, paths: tuple[str, ...], *, exchange: bool) -> None:
        if "watcher-trial" in paths[0]:
            return
        for path in paths if exchange else paths[:1]:
            if path in self._unwritten:
                raise Lost(f"{paths[1]} is to point to data that is not on disk")
        if not self._directory_is_written and exchange:
            raise Lost("an exchange before what leads to it is on disk")
        if paths[1] == ORIG and not self._directory_is_written:
            raise Lost("the copy is moved before its marker is on disk")
        self._directory_is_written, self._renamed = False, True
        self.changes.append(f"{'exchange' if exchange else 'rename'} {' '.join(paths)}")

    def _unlinkat(self, call: Call) -> None:
        name = call.paths[0]
        if name in {ORIG, MARKER} and not self._directory_is_written:
            raise Lost(f"{name} is unlinked before what went before is on disk")
        self._directory_is_written = False
        self.changes.append(f"unlink {name}")

    def end(self) -> None:
        if not self._directory_is_written:
            raise Lost("the end is not on disk")
        if self._unwritten & {NAME, ORIG, MARKER}:
            raise Lost(f"{self._unwritten} is not on disk")

    def _bare(self, path: str) -> str:
        root = str(self._ground.root)
        return "." if path == root else os.path.basename(path)


def _ordered(ground: Ground, script: str) -> list[str]:
    traced = run_traced(ground, script)
    assert traced.status == 0, traced.why
    order = Order(ground)
    for made in traced.calls:
        order.follow(made)
    order.end()
    return [change for change in order.changes if "watcher-trial" not in change]


@pytest.mark.parametrize("script", SCRIPTS)
def test_nothing_is_relied_on_before_it_is_on_disk(root: Path, script: str) -> None:
    """In every operation."""
    assert _ordered(Ground(root), script)


def test_the_swaps_own_order(root: Path) -> None:
    """Step by step, as SWAP.md numbers them."""
    changes = _ordered(Ground(root), "transcode")
    swap = changes[changes.index(f"create {MARKER}") - 1 :]
    assert swap == [
        f"fsync {TMP}",  # 3
        f"create {MARKER}",  # 5
        f"fsync {MARKER}",
        "fsync .",
        f"rename {TMP} {ORIG}",  # 6
        "fsync .",
        f"exchange {NAME} {ORIG}",  # 8
        "fsync .",  # 10
        f"create {TMP}",  # 11
        f"fsync {TMP}",
        f"rename {TMP} {MARKER}",
        "fsync .",
    ]


def test_the_deletions_own_order(root: Path) -> None:
    """The copy on disk and proven, then the original, then the marker."""
    changes = _ordered(Ground(root), "cleanup")
    assert changes[-6:] == [
        "fsync .",
        f"fsync {NAME}",
        f"unlink {ORIG}",
        "fsync .",
        f"unlink {MARKER}",
        "fsync .",
    ]


@pytest.mark.parametrize("broken", [NeverSyncs, NeverSyncsFiles, SyncsTooLate])
def test_a_broken_swap_is_caught_by_its_trace(root: Path, broken: type[TrustedDirectory]) -> None:
    """An fsync left out kills nobody in a test; the order shows it."""
    with pytest.raises(Lost):
        _ordered(Ground(root, broken), "transcode")


def test_a_broken_swap_is_caught_by_the_killer(root: Path) -> None:
    """Two renames leave a moment without a name, and the sweep finds it."""
    with pytest.raises(Lost):
        kill_everywhere(Ground(root, RenamesTwice), "transcode", all_calls=False)
