"""How sound each camera's recordings are, judged by the last ones: for `check` and `stats`.

One row a recording, the last thousand of each camera, whether or not it still exists: a camera that
always loses a little shows in the share, and so does what `damaged_sources: convert` has taken.
"""

import os
import sqlite3
from enum import StrEnum
from typing import Final

from watcher.ledger.database import Database, Row
from watcher.ledger.stats import Soundness
from watcher.ledger.verdict_rows import printable

KEPT: Final = 1_000
"""So many of a camera's last recordings count."""


class Damage(StrEnum):
    """What was found of a recording whose frames were all decoded."""

    NONE = "none"
    CONVERTED = "converted"  # with its damage, by `damaged_sources: convert`
    REFUSED = "refused"


class SoundnessStore:
    """The soundness' part of the ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record_source(self, path: str, camera: str, damage: Damage) -> None:
        """Keep what was found of a recording; the last finding counts."""
        row = (os.fsencode(path), printable(camera), self._database.clock.wall_s(), damage.value)

        def change(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT OR REPLACE INTO sources VALUES (?, ?, ?, ?)", row)
            connection.execute(
                "DELETE FROM sources WHERE camera = ?1 AND at_s < (SELECT at_s FROM sources"
                " WHERE camera = ?1 ORDER BY at_s DESC LIMIT 1 OFFSET ?2)",
                (row[1], KEPT - 1),
            )

        self._database.write(change)

    def soundness(self) -> dict[str, Soundness]:
        """Give what was found, by camera."""
        return self._database.ask(
            "SELECT camera, count(*), sum(damage = 'refused'), sum(damage = 'converted')"
            " FROM sources GROUP BY camera",
            (),
            lambda rows: dict(map(_by_camera, rows)),
            {},
        )


def _by_camera(row: Row) -> tuple[str, Soundness]:
    camera, judged, refused, converted = row
    return str(camera), Soundness(int(judged), int(refused), int(converted))
