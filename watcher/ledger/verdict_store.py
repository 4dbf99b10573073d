"""Where verdicts are kept: in the database, and all of them in a flat table in memory.

`load` reads them once, at the service's start; from then on a lookup asks the table alone (a
microsecond at a million verdicts) and `refresh` brings in what other processes (`watcher retry`)
have written since. Without `load`, in a command, each lookup asks the database.
"""

import os
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from watcher.ledger import verdict_rows
from watcher.ledger.database import MAX_PENDING, Change, Database
from watcher.ledger.fingerprint import Fingerprint
from watcher.ledger.table import Table
from watcher.ledger.verdicts import (
    CIRCUMSTANCES,
    Kind,
    Remembered,
    Subject,
    Verdict,
    after_failure,
    after_refusal,
)

_PRUNE_AT_ONCE: Final = 2_000


@dataclass(frozen=True, slots=True)
class Refreshed:
    """The files whose verdicts others changed; *everything* where that can't be told one by one."""

    paths: tuple[str, ...] = ()
    everything: bool = False


class VerdictStore:
    """The verdicts' part of the ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._table: Table | None = None
        self._kinds: list[Verdict] = []
        self._numbers: dict[Verdict, int] = {}
        self._table_lock = threading.Lock()
        self._unwritten: dict[str, Remembered] = {}  # while the disk is full
        self._seen_revision = 0
        self._seen_version = 0
        self._loaded_generation = 0

    def load(self) -> int:
        """Read every verdict into memory; give their number."""
        for _ in range(2):
            self._seen_version = self._database.data_version()
            generation = self._database.generation
            table, kinds, numbers, revision = self._database.read(_read_all, _nothing())
            if generation == self._database.generation:
                break  # else it was damaged and begun anew while we read
        with self._table_lock:
            self._table, self._kinds, self._numbers = table, kinds, numbers
        self._seen_revision = revision
        self._loaded_generation = self._database.generation
        self._catch_up()  # with what this very process wrote while the old table still stood
        for remembered in list(self._unwritten.values()):
            self._enter(remembered)
        return len(table)

    def refresh(self) -> Refreshed:
        """Bring in what others wrote, write what waits; say whose verdicts may have changed.

        Called at each tick and whenever a command may have changed something.
        """
        self._database.refresh()
        if self._database.trouble is None:
            self._unwritten.clear()
        if self._table is None:
            return Refreshed()
        if self._database.generation != self._loaded_generation:
            self.load()
            return Refreshed(everything=True)
        version = self._database.data_version()
        if version == self._seen_version:
            return Refreshed()
        self._seen_version = version
        changed = self._catch_up()
        if changed is None:
            self.load()
            return Refreshed(everything=True)
        return Refreshed(changed)

    def verdict(
        self, path: str, size: int, mtime_ns: int, fingerprint: Fingerprint
    ) -> Verdict | None:
        """Give the verdict on this very file, if there is one that *fingerprint* upholds.

        A failure whose time has come is given too: see `Verdict.stands`.
        """
        if self._table is None:
            found = self._find(path, size, mtime_ns)
        else:
            with self._table_lock:
                number = self._table.get(_key(path, size, mtime_ns))
                found = None if number is None else self._kinds[number]
        if found is None or not fingerprint.upholds(found.ground):
            return None
        return found

    def explain(self, path: str) -> Remembered | None:
        """Give all that is remembered of *path*, whether it still stands or not."""
        unwritten = self._unwritten.get(path)
        if unwritten is not None:
            return unwritten
        return self._database.read(lambda c: verdict_rows.find(c, path), None)

    def remember_refusal(
        self, subject: Subject, reason: str, detail: str, fingerprint: Fingerprint
    ) -> Verdict:
        """Keep that the file stays as it is, and why."""
        now_s = self._database.clock.wall_s()
        previous = self._of_the_same(subject, fingerprint)
        verdict = after_refusal(reason, fingerprint.of(reason), now_s, previous)
        self._remember(Remembered(subject, verdict, detail, now_s))
        return verdict

    def remember_failure(
        self, subject: Subject, reason: str, detail: str, fingerprint: Fingerprint
    ) -> Verdict:
        """Keep that work on the file failed; the verdict says when it is tried again, if ever."""
        now_s = self._database.clock.wall_s()
        previous = self._of_the_same(subject, fingerprint)
        ground = fingerprint.of(reason, failure=True)
        verdict = after_failure(reason, ground, now_s, previous)
        as_failure = reason not in CIRCUMSTANCES
        self._remember(Remembered(subject, verdict, detail, now_s), as_failure=as_failure)
        return verdict

    def remember_restored(self, subject: Subject, detail: str = "") -> bool:
        """Keep that a person wants this original; True once that would outlive a power cut.

        The saving that the outcome had claimed is taken back.
        """
        now_s = self._database.clock.wall_s()
        verdict = after_refusal("restored", Fingerprint({}).of("restored"), now_s)
        remembered = Remembered(subject, verdict, detail, now_s)

        def change(connection: sqlite3.Connection) -> None:
            verdict_rows.write(connection, remembered)
            connection.execute(
                "UPDATE outcomes SET undone_at_s = ? WHERE undone_at_s IS NULL AND id ="
                " (SELECT max(id) FROM outcomes WHERE path = ?)",
                (now_s, os.fsencode(subject.path)),
            )

        return self._keep(remembered, change, durable=True)

    def forget(self, path: str) -> bool:
        """Forget the verdict on *path*; False if there was none."""
        previous = self.explain(path)
        if previous is None:
            return False
        self._unwritten.pop(path, None)
        self._drop_from_table(previous.subject)
        self._database.write(lambda connection: verdict_rows.delete(connection, path))
        return True

    def gone(self, path: str, size: int, mtime_ns: int) -> None:
        """Forget a file that was deleted. For event handlers: never waits for the disk."""
        self._drop_from_table(Subject(path, size, mtime_ns, ""))
        self._database.write_later(
            lambda connection: verdict_rows.delete(connection, path, size, mtime_ns)
        )

    def moved(self, camera: str, old: str, new: str) -> list[str]:
        """Take the verdicts of a directory that was renamed to *new* along; give their paths."""
        paths: list[str] = self._database.read(lambda c: verdict_rows.directly_in(c, old), [])
        before = [found for path in paths if (found := self.explain(path)) is not None]
        after = [
            replace(one, subject=replace(one.subject, path=new + path, camera=camera))
            for one in before
            if (path := one.subject.path.removeprefix(old))
        ]

        def change(connection: sqlite3.Connection) -> None:
            for one in before:
                verdict_rows.delete(connection, one.subject.path)
            for one in after:
                verdict_rows.write(connection, one)

        if before:
            self._database.write(change, durable=True)  # what its owner restored is among them
        for one in before:
            self._drop_from_table(one.subject)
        for one in after:
            self._enter(one)
        return [one.subject.path for one in after]

    def prune(self, stands: Callable[[str], bool]) -> int:
        """Forget the verdicts on files that are no more, by what *stands* says; give their number.

        For files that went while nobody looked. *stands* must be true of what lies on a disk that
        is only not mounted at present, or all that is known of it is lost.
        """
        forgotten, last = 0, b""
        while paths := self._paths_after(last):
            lost = [path for path in map(os.fsdecode, paths) if not stands(path)]
            if lost:
                self._forget_all(lost)
            forgotten, last = forgotten + len(lost), paths[-1]
        return forgotten

    def counts(self, fingerprint: Fingerprint) -> dict[tuple[str, Kind, str], tuple[int, int]]:
        """Count what stands: (camera, kind, reason) → (files, bytes)."""
        rows: list[tuple[tuple[str, Kind, str], str, int, int]] = self._database.ask(
            "SELECT camera, kind, reason, (SELECT text FROM grounds WHERE id = ground),"
            " count(*), sum(size) FROM verdicts GROUP BY camera, kind, reason, ground",
            (),
            lambda rows: [
                ((str(camera), Kind(kind), str(reason)), str(ground), int(files), int(size))
                for camera, kind, reason, ground, files, size in rows
                if kind in verdict_rows.KINDS
            ],
            [],
        )
        found: dict[tuple[str, Kind, str], tuple[int, int]] = {}
        for key, ground, files, size in rows:
            if fingerprint.upholds(ground):
                before = found.get(key, (0, 0))
                found[key] = before[0] + files, before[1] + size
        return found

    # Helpers

    def _paths_after(self, last: bytes) -> list[bytes]:
        return self._database.ask(
            "SELECT path FROM verdicts WHERE path > ? AND typeof(path) = 'blob' ORDER BY path"
            " LIMIT ?",
            (last, _PRUNE_AT_ONCE),
            lambda rows: [bytes(path) for (path,) in rows],
            [],
        )

    def _forget_all(self, paths: list[str]) -> None:
        def change(connection: sqlite3.Connection) -> None:
            for path in paths:
                verdict_rows.delete(connection, path)

        for path in paths:
            previous = self.explain(path)
            if previous is not None:
                self._drop_from_table(previous.subject)
        self._database.write(change)

    def _of_the_same(self, subject: Subject, fingerprint: Fingerprint) -> Remembered | None:
        """Give what is remembered of this very file and still holds."""
        found = self.explain(subject.path)
        wanted = (subject.size, verdict_rows.clamped(subject.mtime_ns))
        if found is None or (found.subject.size, found.subject.mtime_ns) != wanted:
            return None
        return found if fingerprint.upholds(found.verdict.ground) else None

    def _find(self, path: str, size: int, mtime_ns: int) -> Verdict | None:
        found = self.explain(path)
        wanted = (size, verdict_rows.clamped(mtime_ns))
        if found is None or (found.subject.size, found.subject.mtime_ns) != wanted:
            return None
        return found.verdict

    def _remember(self, remembered: Remembered, *, as_failure: bool = False) -> None:
        def change(connection: sqlite3.Connection) -> None:
            verdict_rows.write(connection, remembered)
            if as_failure:
                verdict_rows.log_failure(connection, remembered)

        self._keep(remembered, change)

    def _keep(self, remembered: Remembered, change: Change, *, durable: bool = False) -> bool:
        # The file first, then the table: a `load` meanwhile finds it in the one or the other.
        previous = None if self._table is None else self.explain(remembered.subject.path)
        written = self._database.write(change, durable=durable)
        if written:
            self._unwritten.clear()
        elif len(self._unwritten) < MAX_PENDING:
            self._unwritten[remembered.subject.path] = remembered
        if previous is not None:
            self._drop_from_table(previous.subject)
        self._enter(remembered)
        return written

    def _enter(self, remembered: Remembered) -> None:
        subject = remembered.subject
        with self._table_lock:
            if self._table is not None:
                number = _number(remembered.verdict, self._kinds, self._numbers)
                self._table.put(_key(subject.path, subject.size, subject.mtime_ns), number)

    def _drop_from_table(self, subject: Subject) -> None:
        with self._table_lock:
            if self._table is not None:
                self._table.remove(_key(subject.path, subject.size, subject.mtime_ns))

    def _catch_up(self) -> tuple[str, ...] | None:
        """Read again what the list of changes names; None where it does not reach back so far."""
        seen = self._seen_revision
        changes: list[tuple[int, Subject]] = self._database.ask(
            "SELECT revision, path, size, mtime_ns FROM changes WHERE revision >= ?"
            " ORDER BY revision",
            (seen,),
            lambda rows: [
                (int(row[0]), Subject(os.fsdecode(row[1]), row[2], row[3], "")) for row in rows
            ],
            [],
        )
        if (changes or seen) and (not changes or changes[0][0] != max(seen, 1)):
            return None
        fresh = [subject for revision, subject in changes if revision > seen]
        for subject in fresh:
            self._drop_from_table(subject)
            now = self.explain(subject.path)
            if now is not None:
                self._enter(now)
        if changes:
            self._seen_revision = changes[-1][0]
        return tuple(dict.fromkeys(subject.path for subject in fresh))


_Loaded = tuple[Table, list[Verdict], dict[Verdict, int], int]


def _nothing() -> _Loaded:
    return Table(), [], {}, 0


def _read_all(connection: sqlite3.Connection) -> _Loaded:
    revision = connection.execute("SELECT ifnull(max(revision), 0) FROM changes").fetchone()[0]
    grounds = dict(connection.execute("SELECT id, text FROM grounds"))
    expected = connection.execute("SELECT count(*) FROM verdicts").fetchone()[0]
    table, kinds, numbers = Table(int(expected)), list[Verdict](), dict[Verdict, int]()
    shapes: dict[tuple[object, ...], int | None] = {}
    put, decode = table.put, os.fsdecode
    for row in connection.execute(
        "SELECT path, size, mtime_ns, kind, reason, ground, retry_at_s, attempts, nights"
        " FROM verdicts"
    ):
        shape = row[3:]
        try:
            number = shapes[shape]
        except KeyError:
            verdict = verdict_rows.verdict_of((*shape[:2], grounds.get(shape[2]), *shape[3:]))
            number = shapes[shape] = None if verdict is None else _number(verdict, kinds, numbers)
        path = row[0]
        if number is not None and type(path) is bytes:
            put(hash((decode(path), row[1], row[2])), number)
    return table, kinds, numbers, int(revision)


def _number(verdict: Verdict, kinds: list[Verdict], numbers: dict[Verdict, int]) -> int:
    number = numbers.get(verdict)
    if number is None:
        number = numbers[verdict] = len(kinds)
        kinds.append(verdict)
    return number


def _key(path: str, size: int, mtime_ns: int) -> int:
    """Hash what identifies a file; two of a million files share one with a chance of 10⁻⁷."""
    return hash((path, size, verdict_rows.clamped(mtime_ns)))
