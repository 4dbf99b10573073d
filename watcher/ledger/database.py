"""One SQLite file that is a memory, not the truth, and behaves like one.

Promises: nothing that goes wrong with the file ever reaches the caller. Damaged (a torn page, a
foreign file, a schema of the future), it is set aside under a dated name and begun anew, with the
event `ledger_set_aside`. Deleted or replaced under our feet, it is opened again. Not writable
(disk full, permission, I/O error), work goes on: changes wait in memory, bounded, and are written
when that is possible again (`ledger_unwritable`, `ledger_writable`). No recording is harmed by any
of it: the worst is that a file is looked at once more.

Durability: WAL with synchronous=NORMAL, so a commit costs no fsync and a power cut costs at most
the last commits, never the file; a change that must survive is written `durable`.

What the rows mean is left to verdicts, outcomes and observations.
"""

import contextlib
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from watcher import events
from watcher.clock import Clock, SystemClock
from watcher.ledger import schema, sqlitefile

_T = TypeVar("_T")
Row = tuple[Any, ...]
"""What comes out of SQLite: of any type, after a flipped bit."""
Change = Callable[[sqlite3.Connection], None]
"""Writes values that were decided before; it may be run again, so it must not read-and-add."""

MAX_PENDING: Final = 50_000
"""Changes that wait in memory at most, some 20 MB; then the oldest are forgotten."""
_REOPEN_AFTER_S: Final = 30.0


@dataclass(slots=True)
class _Waiting:
    """A change that is not in the file yet; *in_stand_in* numbers the stand-in that has it."""

    change: Change
    in_stand_in: int = 0


class Database:
    """A connection that several threads share and that mends itself."""

    def __init__(
        self,
        path: str,
        *,
        clock: Clock | None = None,
        emit: events.Emit = events.emit,
        busy_timeout_s: float = 5.0,
        connect: Callable[..., sqlite3.Connection] = sqlite3.connect,
    ) -> None:
        self.path = path
        self.clock = clock or SystemClock()
        self.generation = 0
        self._emit = emit
        self._busy_timeout_s = busy_timeout_s
        self._connect = connect
        self._lock = threading.RLock()
        self._pending: deque[_Waiting] = deque()
        self._pending_lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._in_memory_since_s: float | None = None
        self._stand_ins = 0
        self._trouble: str | None = None
        self._closed = False

    @property
    def trouble(self) -> str | None:
        """Why nothing can be written at present; None while all is well."""
        return self._trouble

    def read(self, question: Callable[[sqlite3.Connection], _T], otherwise: _T) -> _T:
        """Ask; *otherwise* is the answer of a file that can't be read."""
        with self._lock:
            if self._pending and self._trouble is None:
                self.flush()
            for _ in range(2):
                try:
                    return self._answer(question)
                except sqlite3.Error as error:
                    if not self._mend(error):
                        break
                except (ValueError, TypeError, OverflowError) as error:
                    self._emit("unexpected", where="ledger", detail=repr(error))
                    break
        return otherwise

    def ask(
        self, question: str, values: tuple[object, ...], make: Callable[[list[Row]], _T], other: _T
    ) -> _T:
        """Ask *question* and *make* something of its rows; *other* where that can't be."""
        return self.read(lambda c: make(c.execute(question, values).fetchall()), other)

    def write(self, change: Change, *, durable: bool = False) -> bool:
        """Make *change*, with all that waits, in one transaction; True once it is in the file."""
        with self._lock:  # or another thread's flush could take it, and not make it durable
            self._wait_for_a_place(change)
            return self.flush(durable=durable)

    def write_later(self, change: Change) -> None:
        """Make *change* with the next write, read or flush (each tick's): never waits itself."""
        self._wait_for_a_place(change)

    def flush(self, *, durable: bool = False) -> bool:
        """Write what waits; True if nothing waits any more."""
        with self._lock:
            with self._pending_lock:
                batch, self._pending = list(self._pending), deque()
            for _ in range(2):
                try:
                    return self._write_all(batch, durable=durable)
                except sqlite3.Error as error:
                    if not self._mend(error):
                        break
            self._put_back(batch)
            return False

    def refresh(self) -> bool:
        """Open the file again if it was replaced or could not be opened; True if it is another."""
        with self._lock:
            before = self.generation
            with contextlib.suppress(sqlite3.Error):
                self._ready()
            if self._pending:
                self.flush()
            return self.generation != before

    def data_version(self) -> int:
        """Change whenever another process has committed something."""
        return self.ask("PRAGMA data_version", (), lambda rows: int(rows[0][0]), 0)

    def checkpoint(self) -> None:
        """Bring the write-ahead log into the file and both to the disk."""
        self.flush()
        self.ask("PRAGMA wal_checkpoint(TRUNCATE)", (), lambda _: None, None)

    def close(self) -> None:
        """Write what waits and close; afterwards every question is answered with `otherwise`."""
        with self._lock:
            if self._closed:
                return
            if self._pending:
                self.flush()
            self._closed = True
            self._let_go()

    # Below: the helpers, all called with the lock held.

    def _answer(self, question: Callable[[sqlite3.Connection], _T]) -> _T:
        answer = question(self._ready())
        if self._in_memory_since_s is None and not self._pending:
            self._all_is_well(0)
        return answer

    def _wait_for_a_place(self, change: Change) -> None:
        with self._pending_lock:
            self._pending.append(_Waiting(change))
            while len(self._pending) > MAX_PENDING:
                self._pending.popleft()

    def _put_back(self, batch: list[_Waiting]) -> None:
        with self._pending_lock:
            self._pending.extendleft(reversed(batch))
            while len(self._pending) > MAX_PENDING:
                self._pending.popleft()

    def _write_all(self, batch: list[_Waiting], *, durable: bool) -> bool:
        connection = self._ready()
        in_file = self._in_memory_since_s is None
        if durable:
            connection.execute("PRAGMA synchronous=FULL")
        try:
            with sqlitefile.transaction(connection):
                for waiting in batch:
                    if in_file or waiting.in_stand_in != self._stand_ins:
                        self._apply(waiting.change, connection)
        finally:
            if durable:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("PRAGMA synchronous=NORMAL")
        if not in_file:
            for waiting in batch:  # the file has still to hear of it
                waiting.in_stand_in = self._stand_ins
            self._put_back(batch)
            return False
        self._all_is_well(len(batch))
        return True

    def _apply(self, change: Change, connection: sqlite3.Connection) -> None:
        try:
            change(connection)
        except sqlite3.Error as error:
            if not sqlitefile.is_bad_change(error):
                raise
            self._emit("unexpected", where="ledger", detail=repr(error))
        except (ValueError, TypeError, OverflowError) as error:
            self._emit("unexpected", where="ledger", detail=repr(error))

    def _ready(self) -> sqlite3.Connection:
        """Give the connection: to the file that is at the name now, or to the stand-in."""
        if self._closed:
            raise sqlite3.ProgrammingError("the ledger is closed")
        if self._connection is not None:
            if self._in_memory_since_s is not None:
                if self.clock.monotonic_s() - self._in_memory_since_s < _REOPEN_AFTER_S:
                    return self._connection
            elif sqlitefile.identity(self.path) == self._identity:
                return self._connection
            else:
                self._let_go()
                self.generation += 1
                self._emit("ledger_set_aside", detail=f"{self.path} was deleted or replaced")
        return self._open()

    def _open(self) -> sqlite3.Connection:
        for last_try in (False, True):
            try:
                connection = self._open_file()
            except sqlite3.Error as error:
                if not last_try and sqlitefile.is_damage(error):
                    self._set_aside(str(error))
                    continue
                return self._stand_in(error)
            except OSError as error:
                return self._stand_in(error)
            if self._in_memory_since_s is not None:
                self._in_memory_since_s = None
                self.generation += 1
            self._connection = connection
            return connection
        raise AssertionError  # the second try returns

    def _open_file(self) -> sqlite3.Connection:
        with sqlitefile.locked(self.path, self.clock):
            self._identity = sqlitefile.create(self.path)
            connection = self._connect(
                self.path,
                timeout=self._busy_timeout_s,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=64,
            )
            try:
                schema.prepare(connection)
            except BaseException:
                connection.close()
                raise
            return connection

    def _stand_in(self, error: Exception) -> sqlite3.Connection:
        """Go on in memory, with what waits in it, until the file can be opened."""
        self._say_trouble(error)
        if self._connection is None:
            self._connection = self._connect(
                ":memory:", isolation_level=None, check_same_thread=False
            )
            schema.prepare(self._connection)
            self._stand_ins += 1
        self._in_memory_since_s = self.clock.monotonic_s()
        return self._connection

    def _mend(self, error: sqlite3.Error) -> bool:
        """Do what *error* asks for; True if it is worth another try."""
        if self._closed:
            return False
        if sqlitefile.is_damage(error):
            if self._in_memory_since_s is None:
                self._set_aside(str(error))
                self._let_go()
                self.generation += 1
            return True
        self._say_trouble(error)
        return False

    def _set_aside(self, why: str) -> None:
        """Rename the damaged file, unless somebody else did so while we waited."""
        try:
            aside = sqlitefile.set_aside(self.path, self._identity, self.clock)
        except OSError:
            return  # it can't be opened either, then: the stand-in says so
        kept = f"; kept as {aside}" if aside else ""
        self._emit("ledger_set_aside", detail=f"{self.path}: {why}{kept}")

    def _let_go(self) -> None:
        """Close; of a file that is no longer at its name SQLite then leaves the log alone."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def _say_trouble(self, error: Exception) -> None:
        if self._trouble is None:
            self._emit(
                "ledger_unwritable",
                detail=f"{self.path}: {error}",
                remedy="free space, or make the state directory writable for the service;"
                " until then the ledger goes on in memory",
            )
        self._trouble = str(error)

    def _all_is_well(self, written: int) -> None:
        if self._trouble is not None:
            self._trouble = None
            self._emit("ledger_writable", pending=written)
