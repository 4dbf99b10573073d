"""The tables, and how a connection is made ready for them.

Paths are BLOBs: the bytes that the file system uses, whatever they are. A file made by an earlier
version is brought up to this one, step by step, with all that it remembers but for the clocks of
safety periods, which count anew; one made by a later version, or whose tables are not these, raises
`sqlite3.DatabaseError`: it is set aside. No step changes a table that is there: a service of the
earlier version may still be at work on it, and would set the whole file aside.
"""

import sqlite3
from typing import Final

VERSION: Final = 5

_SOURCES: Final = """
CREATE TABLE sources (                  -- how sound each camera's recordings are, the last ones
    path BLOB PRIMARY KEY,
    camera TEXT NOT NULL,
    at_s REAL NOT NULL,
    damage TEXT NOT NULL                -- none, converted, refused: see soundness.py
) WITHOUT ROWID;
CREATE INDEX sources_by_camera ON sources (camera, at_s);
"""

_CLOCKS: Final = """
CREATE TABLE sealed_held (              -- how long each original was watched, over all boots
    path BLOB PRIMARY KEY,
    place TEXT NOT NULL,                -- with the next two: which holding this is told of
    wall_s REAL NOT NULL,
    boot_id TEXT NOT NULL,
    watched_s REAL NOT NULL,
    trusted INTEGER NOT NULL,           -- the wall clock was synchronised when it was noted
    seal TEXT NOT NULL                  -- of the whole row; so in the next two: see observations.py
) WITHOUT ROWID;
CREATE TABLE sealed_orphans (
    path BLOB PRIMARY KEY,
    wall_s REAL NOT NULL,
    boot_s REAL NOT NULL,
    boot_id TEXT NOT NULL,
    keep_s REAL NOT NULL,
    place TEXT NOT NULL,                -- the directory; another one at that path counts anew
    seal TEXT NOT NULL
);
CREATE TABLE sealed_ticks (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    wall_s REAL NOT NULL,
    boot_s REAL NOT NULL,
    boot_id TEXT NOT NULL,
    in_doubt INTEGER NOT NULL,
    run_s REAL NOT NULL,
    seal TEXT NOT NULL
);
"""

_NEEDS: Final = """
CREATE TABLE needs (                    -- what could not be finished, and what it has shown to take
    path BLOB PRIMARY KEY,
    work_s REAL NOT NULL,
    attempts INTEGER NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    ground TEXT NOT NULL                -- the settings and the encoder that it was shown by
) WITHOUT ROWID;
"""

_TABLES: Final = f"""
{_SOURCES}
{_CLOCKS}
{_NEEDS}
CREATE TABLE grounds (
    id INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE           -- what decided a verdict: see fingerprint.py
);
CREATE TABLE verdicts (
    path BLOB PRIMARY KEY,              -- one a path: a file has one size and mtime at a time
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    kind TEXT NOT NULL,
    reason TEXT NOT NULL,
    ground INTEGER NOT NULL,
    retry_at_s REAL,                    -- NULL: stands until the file or its ground changes
    attempts INTEGER NOT NULL,
    nights INTEGER NOT NULL,
    camera TEXT NOT NULL,
    decided_at_s REAL NOT NULL,
    detail TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE changes (                  -- what other processes have to read again, the last few
    revision INTEGER PRIMARY KEY AUTOINCREMENT,
    path BLOB NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL
);
CREATE TABLE outcomes (
    id INTEGER PRIMARY KEY,
    path BLOB NOT NULL,
    camera TEXT NOT NULL,
    encoder TEXT NOT NULL,
    finished_at_s REAL NOT NULL,
    original_size INTEGER NOT NULL,
    new_size INTEGER NOT NULL,
    media_s REAL NOT NULL,
    encode_s REAL NOT NULL,
    verify_s REAL NOT NULL,
    paused_s REAL NOT NULL,
    vmaf REAL,
    by_hand INTEGER NOT NULL,
    undone_at_s REAL                    -- restored: nothing was saved after all
);
CREATE INDEX outcomes_by_path ON outcomes (path);
CREATE INDEX outcomes_by_speed ON outcomes (camera, encoder, id);
CREATE TABLE failures (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- the highest ever is how many there were
    at_s REAL NOT NULL,
    path BLOB NOT NULL,
    camera TEXT NOT NULL,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE TABLE nights (
    opened_at_s REAL PRIMARY KEY,
    closed_at_s REAL NOT NULL,
    work_s REAL NOT NULL,
    held_s REAL NOT NULL,
    idle_s REAL NOT NULL,
    files INTEGER NOT NULL,
    bytes_before INTEGER NOT NULL,
    bytes_after INTEGER NOT NULL
);
CREATE TABLE deletions (                -- by others: how long recordings live
    id INTEGER PRIMARY KEY,
    camera TEXT NOT NULL,
    at_s REAL NOT NULL,
    age_s REAL NOT NULL,
    size INTEGER NOT NULL
);
CREATE INDEX deletions_by_camera ON deletions (camera, id);
CREATE TABLE learned (
    camera TEXT NOT NULL,
    name TEXT NOT NULL,
    value REAL NOT NULL,
    PRIMARY KEY (camera, name)
);
"""


_SOURCES_SO_FAR: Final = """
INSERT INTO sources SELECT path, camera, decided_at_s, 'refused' FROM verdicts
    WHERE reason = 'damaged_source';
INSERT OR IGNORE INTO sources SELECT path, camera, max(finished_at_s), 'none' FROM outcomes
    WHERE undone_at_s IS NULL GROUP BY path;
"""

_STEPS: Final = {1: _SOURCES + _SOURCES_SO_FAR, 2: _NEEDS, 3: "", 4: _CLOCKS}
"""By the version that a file has: what makes the next one of it."""


def prepare(connection: sqlite3.Connection) -> None:
    """Set the connection up, and make the tables where the file is new."""
    try:
        _prepare(connection)
    except UnicodeDecodeError as error:  # the message quotes a damaged schema, byte by byte
        raise sqlite3.DatabaseError(f"its schema is no text: {error.reason}") from error


def _prepare(connection: sqlite3.Connection) -> None:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if connection.execute("PRAGMA journal_mode").fetchone()[0] not in ("wal", "memory"):
        connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA cell_size_check=ON")
    connection.execute("PRAGMA journal_size_limit=16777216")
    if version == 0:
        connection.executescript(f"BEGIN IMMEDIATE;{_TABLES}PRAGMA user_version={VERSION};COMMIT;")
        return
    while version in _STEPS:
        step = f"BEGIN IMMEDIATE;{_STEPS[version]}PRAGMA user_version={version + 1};COMMIT;"
        connection.executescript(step)
        version += 1
    if version != VERSION:
        raise sqlite3.DatabaseError(f"its schema is version {version}, this Watcher's is {VERSION}")
