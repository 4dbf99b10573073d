"""How long a recording needs that could not be finished, by what its aborted job has shown.

One row a recording, until it is done: of that very file, and by the settings and the encoder that
were at work. Few, so all of them are kept in memory between two ticks.
"""

import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from watcher.ledger.database import Database, Row
from watcher.ledger.fingerprint import Fingerprint
from watcher.ledger.verdict_rows import clamped
from watcher.ledger.verdicts import Subject

CUT_SHORT: Final = "cut_short"
"""The reason on whose ground a need rests: another encoder, or other settings, void it."""


_ALL: Final = "SELECT path, work_s, attempts, size, mtime_ns, ground FROM needs"


@dataclass(frozen=True, slots=True)
class Need:
    """What a file takes; *work_s* of its own time, *attempts* have been in vain."""

    work_s: float
    attempts: int


@dataclass(frozen=True, slots=True)
class _Kept:
    need: Need
    size: int
    mtime_ns: int
    ground: str


class NeedStore:
    """The needs' part of the ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._needs: dict[str, _Kept] | None = None

    def reread_needs(self) -> None:
        """Read them anew at the next question: at each tick, for what others have forgotten."""
        self._needs = None

    def need(self, path: str, size: int, mtime_ns: int, fingerprint: Fingerprint) -> Need | None:
        """Give what this very file needs, if its last job was cut short and that still holds."""
        known = self._needs
        if known is None:
            known = self._needs = self._read()
        kept = known.get(path)
        if kept is None or (kept.size, kept.mtime_ns) != (size, clamped(mtime_ns)):
            return None
        return kept.need if fingerprint.upholds(kept.ground) else None

    def remember_need(self, subject: Subject, need: Need, fingerprint: Fingerprint) -> None:
        """Keep what *subject* needs."""
        row = (
            os.fsencode(subject.path),
            need.work_s,
            need.attempts,
            subject.size,
            clamped(subject.mtime_ns),
            fingerprint.of(CUT_SHORT),
        )

        def change(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT OR REPLACE INTO needs VALUES (?, ?, ?, ?, ?, ?)", row)

        self._database.write(change)
        self.reread_needs()

    def forget_need(self, path: str) -> None:
        """Forget it: its job came to an end, or a person wants it tried."""
        raw = os.fsencode(path)

        def change(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM needs WHERE path = ?", (raw,))

        self._database.write_later(change)
        self.reread_needs()

    def prune_needs(self, stands: Callable[[str], bool]) -> None:
        """Forget those of files that are no more; see `VerdictStore.prune`."""
        for path in self._read():
            if not stands(path):
                self.forget_need(path)

    def _read(self) -> dict[str, _Kept]:
        nothing: dict[str, _Kept] = {}
        return self._database.ask(_ALL, (), _all, nothing)


def _all(rows: list[Row]) -> dict[str, _Kept]:
    return {
        os.fsdecode(path): _Kept(
            Need(float(work_s), int(attempts)), int(size), int(mtime), str(ground)
        )
        for path, work_s, attempts, size, mtime, ground in rows
    }
