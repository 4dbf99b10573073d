"""Which original goes next, and which can't wait.

Inside the window those go whose time is over, or that their disk wants gone; the switch does not
stop them, because it is about transcoding. Where a disk is below what is critical its recorder is
about to lose recordings, or is silent already: there an original that may go early goes at once,
whatever holds other work, and at any hour.
"""

from dataclasses import dataclass

from watcher.barred import BARRED_S, Places
from watcher.errors import Halt
from watcher.foreman import Kept
from watcher.replace.originals import Waiting
from watcher.tending import Tender


@dataclass(frozen=True, slots=True)
class Release:
    """An original that is to go, and why."""

    waiting: Waiting
    reason: str

    @property
    def directory(self) -> str:
        """Where it lies."""
        return self.waiting.path.rpartition("/")[0] or "/"


class Releases:
    """Picks originals; which may go at all is `replace.originals`' to say."""

    def __init__(self, tender: Tender, places: Places) -> None:
        self._tender = tender
        self._places = places

    def next(self, *, is_open: bool) -> Release | None:
        """Give the next one; *is_open*: the window lets more go than what can't wait."""
        urgent = self._urgent()
        return urgent if urgent is not None or not is_open else self._ordinary()

    def pressed(self) -> Release | None:
        """Give the next whose disk wants room back, due or not."""
        while True:
            pressed = self._tender.pressed()
            if pressed is None:
                return None
            release = Release(pressed, "disk_pressure")
            if self._places.opens(release.directory):
                return release
            self._tender.originals.postpone(pressed.path, BARRED_S)

    def cannot_wait(self, directory: str) -> bool:
        """Say whether *directory*'s disk is below what is critical."""
        return self._tender.is_critical(directory)

    def failed(self, release: Release, halt: Halt) -> bool:
        """Take what stopped a deletion; False where it concerns more than that place."""
        if isinstance(halt, Kept):
            self._places.bar_while(release.directory, halt, halt.lasts)
        elif not self._places.bar(release.directory, halt):
            return False
        self._tender.originals.postpone(release.waiting.path, BARRED_S)
        return True

    def _urgent(self) -> Release | None:
        asked: dict[str, bool] = {}
        for one in self._tender.originals.releasable() if self._tender.rules.release_early else ():
            release = Release(one, "disk_pressure")
            where = release.directory
            if where not in asked:
                asked[where] = self._places.opens(where) and self.cannot_wait(where)
            if asked[where]:
                return release
        return None

    def _ordinary(self) -> Release | None:
        for one in self._tender.originals.due():
            release = Release(one, "owner_deleted" if one.orphan else "safety_period_over")
            if self._places.opens(release.directory) and self._answers(release):
                return release
        return self.pressed()

    def _answers(self, release: Release) -> bool:
        """Say whether its disk answers: a deletion that the kernel keeps would hold all work."""
        if self._tender.answers(release.directory):
            return True
        self._tender.originals.postpone(release.waiting.path, BARRED_S)
        return False
