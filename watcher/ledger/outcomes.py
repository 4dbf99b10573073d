"""What came of each transcode, and what that teaches: totals, speeds, savings, nights.

One row an outcome, for ever: a hundred a day are a few megabytes a year. A restored recording's
outcome stays, but counts no more.
"""

import dataclasses
import os
import sqlite3
from dataclasses import dataclass
from typing import Final

from watcher.ledger.database import Database, Row
from watcher.ledger.stats import Speed, TranscodingStats, local_time
from watcher.ledger.verdict_rows import printable

_RECENT: Final = 20
_RECENT_NIGHTS: Final = 14
_SPEED_OF_CAMERA: Final = """
SELECT count(*), sum(media_s), sum(original_size), sum(encode_s + verify_s) FROM (
    SELECT media_s, original_size, encode_s, verify_s FROM outcomes
    WHERE camera = ? AND encoder = ? ORDER BY id DESC LIMIT ?)
"""
_SPEED_OF_ENCODER: Final = """
SELECT count(*), sum(media_s), sum(original_size), sum(encode_s + verify_s) FROM (
    SELECT media_s, original_size, encode_s, verify_s FROM outcomes
    WHERE encoder = ? ORDER BY id DESC LIMIT ?)
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One recording that was replaced by its copy. Work times exclude pauses."""

    path: str
    camera: str
    encoder: str
    finished_at_s: float
    original_size: int
    new_size: int
    media_s: float
    encode_s: float
    verify_s: float
    paused_s: float = 0.0
    vmaf: float | None = None
    by_hand: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """The last thing that went wrong."""

    at_s: float
    path: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Night:
    """What became of one window's time."""

    opened_at_s: float
    closed_at_s: float
    work_s: float
    held_s: float
    idle_s: float
    files: int
    bytes_before: int
    bytes_after: int


_Sums = tuple[int, int, int, float | None]


class OutcomeStore:
    """The outcomes' part of the ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._speeds: dict[tuple[str, str], Speed | None] = {}

    def forget_speeds(self) -> None:
        """Measure speeds anew at the next question: at each tick, for what others have done."""
        self._speeds = {}

    def record_outcome(self, outcome: Outcome) -> None:
        """Keep what came of a transcode."""
        row = (
            os.fsencode(outcome.path),
            printable(outcome.camera),
            outcome.encoder,
            outcome.finished_at_s,
            outcome.original_size,
            outcome.new_size,
            outcome.media_s,
            outcome.encode_s,
            outcome.verify_s,
            outcome.paused_s,
            outcome.vmaf,
            int(outcome.by_hand),
        )

        def change(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO outcomes (path, camera, encoder, finished_at_s, original_size,"
                " new_size, media_s, encode_s, verify_s, paused_s, vmaf, by_hand)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            )

        self._database.write(change)
        self.forget_speeds()

    def totals(self) -> TranscodingStats:
        """Sum up everything so far."""
        nothing: _Sums = (0, 0, 0, None)
        files, before, after, last_s = self._database.ask(
            "SELECT count(*), sum(original_size), sum(new_size), max(finished_at_s) FROM outcomes"
            " WHERE undone_at_s IS NULL",
            (),
            lambda rows: _sums(rows[0]),
            nothing,
        )
        return TranscodingStats(
            files_transcoded=files,
            space_saved=before - after,
            total_original_size=before,
            total_transcoded_size=after,
            errors=self.failures(),
            last_transcoded=None if last_s is None else local_time(last_s),
        )

    def outcome_of(self, path: str) -> Outcome | None:
        """Give the last outcome of *path* that was not undone."""
        return self._database.ask(
            "SELECT camera, encoder, finished_at_s, original_size, new_size, media_s, encode_s,"
            " verify_s, paused_s, vmaf, by_hand FROM outcomes"
            " WHERE path = ? AND undone_at_s IS NULL ORDER BY id DESC LIMIT 1",
            (os.fsencode(path),),
            lambda rows: _outcome(path, rows[0]) if rows else None,
            None,
        )

    def failures(self) -> int:
        """Count the failures so far, those that are no longer listed included."""
        return self._database.ask(
            "SELECT ifnull(max(id), 0) FROM failures", (), lambda rows: int(rows[0][0]), 0
        )

    def last_failure(self) -> Failure | None:
        """Give the last failure."""
        return self._database.ask(
            "SELECT at_s, path, reason, detail FROM failures ORDER BY id DESC LIMIT 1",
            (),
            lambda rows: (
                Failure(rows[0][0], os.fsdecode(rows[0][1]), *rows[0][2:]) if rows else None
            ),
            None,
        )

    def speed(self, camera: str, encoder: str) -> Speed | None:
        """Give the measured speed of the camera's last files; else of any camera's; else None."""
        known, key = self._speeds, (camera, encoder)
        if key not in known:  # asked of every candidate that may not fit into the night
            known[key] = self._database.ask(
                _SPEED_OF_CAMERA, (printable(camera), encoder, _RECENT), _speed, None
            ) or self._database.ask(_SPEED_OF_ENCODER, (encoder, _RECENT), _speed, None)
        return known[key]

    def last_encoder(self) -> str | None:
        """Name the encoder of the last outcome; None before the first."""
        return self._database.ask(
            "SELECT encoder FROM outcomes ORDER BY id DESC LIMIT 1",
            (),
            lambda rows: str(rows[0][0]) if rows else None,
            None,
        )

    def kept_share(self, camera: str) -> float | None:
        """Give what remains of the camera's files, new size by old, from the last ones."""
        return self._database.ask(
            "SELECT sum(original_size), sum(new_size) FROM (SELECT original_size, new_size"
            " FROM outcomes WHERE camera = ? AND undone_at_s IS NULL ORDER BY id DESC LIMIT ?)",
            (printable(camera), _RECENT),
            lambda rows: float(rows[0][1] / rows[0][0]) if rows[0][0] else None,
            None,
        )

    def transcoded_per_camera(self) -> dict[str, int]:
        """Count the files of each camera that were transcoded."""
        return self._database.ask(
            "SELECT camera, count(*) FROM outcomes WHERE undone_at_s IS NULL GROUP BY camera",
            (),
            lambda rows: {str(camera): int(files) for camera, files in rows},
            {},
        )

    def record_night(self, night: Night) -> None:
        """Keep what became of a window's time."""
        row = (
            night.opened_at_s,
            night.closed_at_s,
            night.work_s,
            night.held_s,
            night.idle_s,
            night.files,
            night.bytes_before,
            night.bytes_after,
        )

        def change(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT OR REPLACE INTO nights VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)

        self._database.write(change)

    def recent_nights(self) -> list[Night]:
        """Give the last fortnight's nights, the latest first."""
        return self._database.ask(
            "SELECT opened_at_s, closed_at_s, work_s, held_s, idle_s, files, bytes_before,"
            " bytes_after FROM nights ORDER BY opened_at_s DESC LIMIT ?",
            (_RECENT_NIGHTS,),
            lambda rows: [Night(*row) for row in rows],
            [],
        )


def _outcome(path: str, row: Row) -> Outcome:
    *most, by_hand = row
    return dataclasses.replace(Outcome(path, *most), by_hand=bool(by_hand))


def _sums(row: Row) -> _Sums:
    files, before, after, last_s = row
    return int(files), int(before or 0), int(after or 0), None if last_s is None else float(last_s)


def _speed(rows: list[Row]) -> Speed | None:
    files, media_s, size, work_s = rows[0]
    return Speed(int(files), float(media_s / work_s), float(size / work_s)) if work_s else None
