"""What the service saw and would otherwise forget at each restart.

How long recordings live (deletions by others), what was learned of a camera, since when an original
is an orphan, how long each one was watched, and the last tick of the clocks. Lost, each of it is
learned anew. What could end a safety period early is sealed, row by row: a damaged one counts for
lost, however sensible it looks.
"""

import hashlib
import os
import sqlite3
from collections.abc import Mapping
from typing import Final

from watcher.ledger.database import Database, Row
from watcher.ledger.verdict_rows import printable
from watcher.replace.marker import Held
from watcher.replace.memory import Tick, Watched

_KEEP_DELETIONS: Final = 200
_LONGEST_S: Final = 1e11
"""Three thousand years: every clock and every period is well below."""


class ObservationStore:
    """The observations' part of the ledger; what `replace.originals` calls its `Memory`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._last_tick: Tick | None = None

    def observe_deletion(self, camera: str, age_s: float, size: int) -> None:
        """Keep at which age somebody else deleted a recording. Never waits for the disk."""
        row = (printable(camera), self._database.clock.wall_s(), age_s, size)

        def change(connection: sqlite3.Connection) -> None:
            cursor = connection.execute(
                "INSERT INTO deletions (camera, at_s, age_s, size) VALUES (?, ?, ?, ?)", row
            )
            if (cursor.lastrowid or 0) % 100 == 0:  # now and then is enough
                connection.execute(
                    "DELETE FROM deletions WHERE camera = ?1 AND id <= (SELECT id FROM deletions"
                    " WHERE camera = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
                    (row[0], _KEEP_DELETIONS),
                )

        self._database.write_later(change)

    def deletion_ages_s(self, camera: str) -> list[float]:
        """Give the ages at which the last recordings were deleted, the latest first."""
        return self._database.ask(
            "SELECT age_s FROM deletions WHERE camera = ? ORDER BY id DESC LIMIT ?",
            (printable(camera), _KEEP_DELETIONS),
            lambda rows: [float(row[0]) for row in rows],
            [],
        )

    def learn(self, camera: str, name: str, value: float) -> None:
        """Keep a figure about a camera (its segment_seconds, say)."""
        row = (printable(camera), name, value)

        def change(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT OR REPLACE INTO learned VALUES (?, ?, ?)", row)

        self._database.write_later(change)

    def learned(self, camera: str, name: str) -> float | None:
        """Give that figure."""
        return self._database.ask(
            "SELECT value FROM learned WHERE camera = ? AND name = ?",
            (printable(camera), name),
            lambda rows: float(rows[0][0]) if rows else None,
            None,
        )

    def orphan_first_seen(self, path: str, place: str) -> Held | None:
        """Say since when the original of *path*, in that directory, has been seen orphaned."""
        return self._database.ask(
            "SELECT * FROM sealed_orphans WHERE path = ? AND place = ?",
            (os.fsencode(path), place),
            lambda rows: _held(_whole(rows[0])) if rows else None,
            None,
        )

    def remember_orphan(self, path: str, place: str, held: Held) -> None:
        """Remember since when."""
        times = (float(held.wall_s), float(held.boot_s), held.boot_id, float(held.keep_s))
        row = _sealed(os.fsencode(path), *times, place)

        def change(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT OR REPLACE INTO sealed_orphans VALUES (?, ?, ?, ?, ?, ?, ?)", row
            )

        self._database.write(change)

    def forget_orphan(self, path: str) -> None:
        """Forget it: the recording is back, or the original has gone."""
        raw = os.fsencode(path)

        def change(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM sealed_orphans WHERE path = ?", (raw,))

        self._database.write(change)

    def watched(self, path: str) -> Watched | None:
        """Say how long the original of *path* has been watched."""
        raw = os.fsencode(path)
        return self._database.read(lambda connection: _watched_there(connection, raw), None)

    def remember_watched(self, watched: Mapping[str, Watched]) -> None:
        """Remember it, by path; less than another process has of the same holding is not taken."""
        new = {os.fsencode(path): one for path, one in watched.items()}

        def change(connection: sqlite3.Connection) -> None:
            for path, one in new.items():
                known = _believed(connection, path)
                if known and known.same_holding(one) and known.watched_s > one.watched_s:
                    continue
                row = _sealed(path, *_columns(one))
                connection.execute(
                    "INSERT OR REPLACE INTO sealed_held VALUES (?, ?, ?, ?, ?, ?, ?)", row
                )

        self._database.write(change)

    def forget_watched(self, path: str) -> None:
        """Forget it: the original has gone."""
        raw = os.fsencode(path)

        def change(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM sealed_held WHERE path = ?", (raw,))

        self._database.write(change)

    def remember_tick(self, tick: Tick) -> None:
        """Keep what the clocks say now."""
        self._last_tick = tick
        times = (float(tick.wall_s), float(tick.boot_s), tick.boot_id)
        row = _sealed(1, *times, int(tick.in_doubt), float(tick.run_s))

        def change(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT OR REPLACE INTO sealed_ticks VALUES (?, ?, ?, ?, ?, ?, ?)", row
            )

        self._database.write(change)

    def last_tick(self) -> Tick | None:
        """Give what the clocks said at the last tick, the one before a restart included."""
        if self._last_tick is not None:
            return self._last_tick
        return self._database.ask(
            "SELECT * FROM sealed_ticks",
            (),
            lambda rows: _tick(_whole(rows[0])) if rows else None,
            None,
        )


# What makes no sense, after a flipped bit, is a ValueError: to the database that is no answer.


def _sealed(*values: object) -> Row:
    """Give a row with the seal by which `_whole` knows it: a flipped bit may make sense."""
    seal = hashlib.blake2b(repr(values).encode(errors="backslashreplace"), digest_size=8)
    return (*values, seal.hexdigest())


def _whole(row: Row) -> Row:
    if _sealed(*row[:-1]) != row:
        raise ValueError("a row is not what was written: what it told counts anew")
    return row


def _held(row: Row) -> Held:
    _path, wall_s, boot_s, boot_id, keep_s, _place, _seal = row
    return Held(_time_s(wall_s), _time_s(boot_s), str(boot_id), _time_s(keep_s))


def _watched_there(connection: sqlite3.Connection, path: bytes) -> Watched | None:
    row = connection.execute("SELECT * FROM sealed_held WHERE path = ?", (path,)).fetchone()
    return _watched(_whole(row)) if row is not None else None


def _believed(connection: sqlite3.Connection, path: bytes) -> Watched | None:
    try:
        return _watched_there(connection, path)
    except ValueError:
        return None  # it is written anew


def _columns(one: Watched) -> Row:
    """Give them as SQLite gives them back: a seal is of what is read."""
    return (one.place, float(one.wall_s), one.boot_id, float(one.watched_s), int(one.trusted))


def _watched(row: Row) -> Watched:
    _path, place, wall_s, boot_id, watched_s, trusted, _seal = row
    return Watched(
        str(place), _time_s(wall_s), str(boot_id), _time_s(watched_s), trusted=trusted == 1
    )


def _tick(row: Row) -> Tick:
    _id, wall_s, boot_s, boot_id, in_doubt, run_s, _seal = row
    return Tick(
        _time_s(wall_s), _time_s(boot_s), str(boot_id), in_doubt=in_doubt != 0, run_s=_time_s(run_s)
    )


def _time_s(value: object) -> float:
    if not isinstance(value, int | float) or not 0 <= value <= _LONGEST_S:
        raise ValueError(f"no time: {value!r}")
    return float(value)
