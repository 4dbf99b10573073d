"""The ledger's file on the disk: created, told from another, locked, set aside; SQLite's errors.

Everything here is stateless; when to do which is database.py's business.
"""

import contextlib
import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from watcher.clock import Clock, utc

_KEEP_SET_ASIDE: Final = 2
_LOCK_TRIES: Final = 100

# What says nothing against the content of the file: it may work again in a moment.
_PASSING: Final = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_INTERRUPT,
    }
)
# What says that one change is wrong, not the file.
_BAD_CHANGE: Final = frozenset(
    {
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_TOOBIG,
        sqlite3.SQLITE_RANGE,
        sqlite3.SQLITE_MISUSE,
    }
)

Identity = tuple[int, int]


def identity(path: str) -> Identity | None:
    """Give what tells the file that is at *path* now from any other."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def create(path: str) -> Identity | None:
    """Make the file if there is none, for everybody in the service's group, and tell which it is.

    SQLite gives its log the mode of the file, so the mode is set here and nowhere else.
    """
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o660)
        try:
            os.fchmod(descriptor, 0o660)
        finally:
            os.close(descriptor)
        _sync_directory(path)  # or a durable verdict could be lost with the whole file
    return identity(path)


def set_aside(path: str, damaged: Identity | None, clock: Clock) -> str | None:
    """Rename the damaged file and its log; None if somebody else did so while we waited."""
    with locked(path, clock):
        if identity(path) != damaged:
            return None
        stamp = utc(clock.wall_s()).strftime("%Y%m%dT%H%M%S.%fZ")
        aside = f"{path}.set-aside-{stamp}"
        for suffix in ("-wal", "-shm", ""):
            with contextlib.suppress(FileNotFoundError):
                Path(path + suffix).rename(aside + suffix)
        _forget_old_ones(path)
        return aside


def is_damage(error: sqlite3.Error) -> bool:
    """Tell a wrong content from a passing fault; what says nothing of itself is content."""
    return _code(error) not in _PASSING


def is_bad_change(error: sqlite3.Error) -> bool:
    """Say whether one change is wrong, not the file."""
    return _code(error) in _BAD_CHANGE


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Make everything inside one transaction, or none of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def locked(path: str, clock: Clock) -> Iterator[None]:
    """Hold the lock under which the file is opened or set aside; go on without it if need be.

    A process that was stopped while it held the lock must not stop all others: after five seconds
    the race, which costs at most a memory, is the lesser evil.
    """
    descriptor = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o660)
    try:
        with contextlib.suppress(OSError):
            os.fchmod(descriptor, 0o660)
        for _ in range(_LOCK_TRIES):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                clock.wait(threading.Event(), 0.05)
        yield
    finally:
        os.close(descriptor)


def _sync_directory(path: str) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _forget_old_ones(path: str) -> None:
    """Keep the newest of what was set aside: a ledger of a million verdicts is not small."""
    directory, name = os.path.split(path)
    aside = sorted(
        entry.name
        for entry in Path(directory or ".").iterdir()
        if entry.name.startswith(f"{name}.set-aside-") and not entry.name.endswith(("-wal", "-shm"))
    )
    for old in aside[:-_KEEP_SET_ASIDE]:
        for suffix in ("-wal", "-shm", ""):
            Path(directory, old + suffix).unlink(missing_ok=True)


def _code(error: sqlite3.Error) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else int(code) & 0xFF  # the low byte is the primary code
