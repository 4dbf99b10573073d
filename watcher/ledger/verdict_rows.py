"""Verdicts as rows of the database: reading, writing, and the list of changes.

Every function takes a connection inside a transaction of database.py's. What comes out of a row is
believed only as far as it makes sense: after a flipped bit it may be anything.
"""

import os
import sqlite3
from collections.abc import Iterable
from typing import Final

from watcher.ledger.verdicts import Kind, Remembered, Subject, Verdict

KEEP_CHANGES: Final = 10_000
_INT64: Final = (1 << 63) - 1
KINDS: Final = frozenset(kind.value for kind in Kind)


def find(connection: sqlite3.Connection, path: str) -> Remembered | None:
    """Give what is remembered of *path*."""
    row = connection.execute(
        "SELECT size, mtime_ns, kind, reason, (SELECT text FROM grounds WHERE id = ground),"
        " retry_at_s, attempts, nights, camera, decided_at_s, detail FROM verdicts WHERE path = ?",
        (os.fsencode(path),),
    ).fetchone()
    if row is None:
        return None
    size, mtime_ns, *columns, camera, decided_at_s, detail = row
    verdict = verdict_of(columns)
    if verdict is None or not isinstance(decided_at_s, float):
        return None
    return Remembered(
        Subject(path, size, mtime_ns, str(camera)), verdict, str(detail), decided_at_s
    )


def directly_in(connection: sqlite3.Connection, directory: str) -> list[str]:
    """Give the paths in *directory*, those below it left out, of which something is remembered."""
    top = os.fsencode(directory) + b"/"
    rows = connection.execute(
        "SELECT path FROM verdicts WHERE path > ?1 AND path < ?2"
        " AND typeof(path) = 'blob' AND instr(substr(path, ?3), x'2f') = 0",
        (top, top[:-1] + b"0", len(top) + 1),
    )
    return [os.fsdecode(path) for (path,) in rows]


def write(connection: sqlite3.Connection, remembered: Remembered) -> None:
    """Let this be what is remembered of its path."""
    subject, verdict = remembered.subject, remembered.verdict
    path = os.fsencode(subject.path)
    delete(connection, subject.path)
    connection.execute("INSERT OR IGNORE INTO grounds (text) VALUES (?)", (verdict.ground,))
    connection.execute(
        "INSERT INTO verdicts (path, size, mtime_ns, kind, reason, ground, retry_at_s, attempts,"
        " nights, camera, decided_at_s, detail)"
        " VALUES (?, ?, ?, ?, ?, (SELECT id FROM grounds WHERE text = ?), ?, ?, ?, ?, ?, ?)",
        (
            path,
            subject.size,
            clamped(subject.mtime_ns),
            verdict.kind.value,
            verdict.reason,
            verdict.ground,
            verdict.retry_at_s,
            verdict.attempts,
            verdict.nights,
            printable(subject.camera),
            remembered.decided_at_s,
            printable(remembered.detail),
        ),
    )
    _note_change(connection, path, subject.size, clamped(subject.mtime_ns))


def delete(
    connection: sqlite3.Connection,
    path: str,
    size: int | None = None,
    mtime_ns: int | None = None,
) -> None:
    """Delete the row of *path*; with a size and mtime, only if it is about that very file."""
    raw = os.fsencode(path)
    row = connection.execute(
        "SELECT size, mtime_ns FROM verdicts WHERE path = ?", (raw,)
    ).fetchone()
    if row is None or (
        size is not None and mtime_ns is not None and row != (size, clamped(mtime_ns))
    ):
        return
    connection.execute("DELETE FROM verdicts WHERE path = ?", (raw,))
    _note_change(connection, raw, *row)


def _note_change(connection: sqlite3.Connection, path: bytes, size: int, mtime_ns: int) -> None:
    cursor = connection.execute(
        "INSERT INTO changes (path, size, mtime_ns) VALUES (?, ?, ?)", (path, size, mtime_ns)
    )
    oldest = (cursor.lastrowid or 0) - KEEP_CHANGES
    connection.execute("DELETE FROM changes WHERE revision <= ?", (oldest,))


def log_failure(connection: sqlite3.Connection, remembered: Remembered) -> None:
    """Add one to the failures, of which the last thousands are kept and all are counted."""
    connection.execute(
        "INSERT INTO failures (at_s, path, camera, reason, detail) VALUES (?, ?, ?, ?, ?)",
        (
            remembered.decided_at_s,
            os.fsencode(remembered.subject.path),
            printable(remembered.subject.camera),
            remembered.verdict.reason,
            printable(remembered.detail),
        ),
    )
    connection.execute(
        "DELETE FROM failures WHERE id <= (SELECT max(id) FROM failures) - ?", (KEEP_CHANGES,)
    )


def printable(text: str) -> str:
    """Make *text* fit for a TEXT column: a lone surrogate of a name becomes its escape."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def clamped(mtime_ns: int) -> int:
    """Keep an mtime within 64 bits: some file systems know years beyond 2262."""
    return mtime_ns if -_INT64 <= mtime_ns <= _INT64 else _INT64


def verdict_of(row: Iterable[object]) -> Verdict | None:
    """Make a verdict of a row; None of one that makes no sense, as after a flipped bit."""
    kind, reason, ground, retry_at_s, attempts, nights = row
    if (
        not isinstance(reason, str)
        or not isinstance(ground, str)
        or not isinstance(retry_at_s, float | None)
        or not isinstance(attempts, int)
        or not isinstance(nights, int)
        or kind not in KINDS
    ):
        return None
    return Verdict(Kind(str(kind)), reason, ground, retry_at_s, attempts, nights)
