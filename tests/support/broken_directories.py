"""Directories whose swap is broken on purpose: each has to be caught by somebody."""

import os

from support.filesystems import TrustedDirectory
from support.swap_trials import ORIG, TMP
from watcher.replace.directory import LinuxHandle
from watcher.replace.files import Handle


class NeverSyncs(TrustedDirectory):
    """fsync of the directory left out."""

    def sync(self) -> None:
        return


class _Unsynced(LinuxHandle):
    def sync(self) -> None:
        return


class NeverSyncsFiles(TrustedDirectory):
    """fsync of the files left out."""

    def create(self, name: str, *, writable: bool = False) -> Handle:
        made = super().create(name, writable=writable)
        try:
            return _Unsynced(os.dup(_descriptor(made)))
        finally:
            made.close()


def _descriptor(handle: Handle) -> int:
    assert isinstance(handle, LinuxHandle)
    return handle._fd


class RenamesTwice(TrustedDirectory):
    """The exchange replaced by two renames, with a gap between them."""

    def exchange(self, one: str, other: str) -> None:
        self.move(one, f"{one}.aside")
        self.move(other, one)
        self.move(f"{one}.aside", other)


class SyncsTooLate(TrustedDirectory):
    """The first fsyncs left out and the last one made."""

    def sync(self) -> None:
        if self.look(ORIG) is not None and self.look(TMP) is None:
            super().sync()
