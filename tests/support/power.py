"""Power cuts on real file systems, at every change that an operation makes.

The file system is in an image, behind a loop device. What it keeps in memory alone is not in the
image: a copy of that, taken while the operation stands still before its next call, is what a power
cut leaves at this moment. Mounted again, the file system mends itself as after one, and recovery
has to do the rest. Since a file system may write by itself at any time, each moment is taken once
without that, and once with everything written at each change before it.
"""

import ctypes
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from support.filesystems import TrustedDirectory, make_image, mounted_image
from support.swap_trials import Ground, Lost, concerns, judge, run_traced
from support.tracer import Call, Verdict

_PIECE_BYTES = 1 << 16
_libc = ctypes.CDLL(None, use_errno=True)


def cut_everywhere(
    kind: str,
    workshop: Path,
    script: str,
    *,
    directory: type[TrustedDirectory] = TrustedDirectory,
    most_commits: int | None = None,
) -> int:
    """Cut the power before each change, and after each further that was written by itself.

    Gives how many different disks were judged; raises `Lost` for the first that lost something.
    *most_commits*: after so many changes at most everything is written, spread over all of them.
    """
    base, point = make_image(kind, workshop), workshop / "disk"
    point.mkdir()
    try:
        with mounted_image(base, point):
            (point / "recordings").mkdir()
        cuts = _Cuts(base, point, script, directory)
        changes = cuts.run(None)
        step = 1 if most_commits is None else max(1, changes // most_commits)
        for at in range(0, changes, step):
            cuts.run(at)
        return len(cuts.judged)
    finally:
        base.unlink()
        point.rmdir()


class _Cuts:
    """Runs a script again and again, and judges each disk that a cut would have left."""

    def __init__(
        self, base: Path, point: Path, script: str, directory: type[TrustedDirectory]
    ) -> None:
        self._base, self._script = base, script
        self._point, self._ground = point, Ground(point / "recordings", directory)
        self.judged: set[bytes] = set()

    def run(self, commit_at: int | None) -> int:
        """Run once, with everything written before change *commit_at*; give how many there were."""
        work = self._base.with_suffix(".work")
        _copy(self._base, work)
        try:
            with mounted_image(work, self._point):
                cutter = _Cutter(work, self._ground, commit_at, self.judged)
                traced = run_traced(self._ground, self._script, cutter)
                cutter.cut("the end")
            if traced.status not in {0, 3}:
                raise Lost(f"{self._script}: {traced.why}")
            for image, when in cutter.images:
                self._judge(image, f"cut before {when}, all written before change {commit_at}")
            return cutter.changes
        finally:
            for left in self._base.parent.glob("*.work*"):
                left.unlink()

    def _judge(self, image: Path, what: str) -> None:
        with mounted_image(image, self._point):
            try:
                judge(Ground(self._ground.root), self._script)
            except Lost as lost:
                there = Ground(self._ground.root).listing()
                raise Lost(f"{self._script}, {what}: {lost}; there stand {there}") from lost


class _Cutter:
    """Copies the disk before each change."""

    def __init__(
        self, disk: Path, ground: Ground, commit_at: int | None, known: set[bytes]
    ) -> None:
        self._disk, self._ground = disk, ground
        self._commit_at, self._known = commit_at, known
        self._begun = False
        self.changes = 0
        self.images: list[tuple[Path, str]] = []

    def __call__(self, call: Call) -> Verdict:
        if not self._begun:  # what was there before the operation is on disk
            self._begun = True
            self._write_all()
        if call.changes and concerns(self._ground, call):
            if self.changes == self._commit_at:
                self._write_all()
            if self._commit_at is None or self.changes > self._commit_at:
                self.cut(f"change {self.changes}, {call.name} {' '.join(call.paths)}")
            self.changes += 1
        return None

    def cut(self, when: str) -> None:
        """Copy the disk as it is now, unless it is as one that was."""
        image = self._disk.with_suffix(f".work{len(self.images)}")
        digest = _copy(self._disk, image)
        if digest in self._known:
            image.unlink()
            return
        self._known.add(digest)
        self.images.append((image, when))

    def _write_all(self) -> None:
        fd = os.open(self._ground.root, os.O_RDONLY)
        try:
            if _libc.syncfs(fd) != 0:
                raise OSError(ctypes.get_errno(), "syncfs")
        finally:
            os.close(fd)


def _copy(source: Path, target: Path) -> bytes:
    """Copy a file that is mostly holes; give a digest of it."""
    digest = hashlib.blake2b(digest_size=16)
    with source.open("rb") as reading, target.open("wb") as writing:
        writing.truncate(os.fstat(reading.fileno()).st_size)
        for begin, end in _extents(reading.fileno()):
            for at in range(begin, end, _PIECE_BYTES):
                piece = os.pread(reading.fileno(), min(_PIECE_BYTES, end - at), at)
                if piece != bytes(len(piece)):  # mkfs writes zeros where a hole would do
                    digest.update(at.to_bytes(8, "big") + piece)
                    os.pwrite(writing.fileno(), piece, at)
    return digest.digest()


def _extents(fd: int) -> Iterator[tuple[int, int]]:
    at, size = 0, os.fstat(fd).st_size
    while at < size:
        try:
            at = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:  # ENXIO: nothing but a hole behind
            return
        end = os.lseek(fd, at, os.SEEK_HOLE)
        yield at, end
        at = end
