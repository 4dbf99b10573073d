"""Whatever is wrong with the file, the ledger goes on, and no caller sees an exception of it."""

import contextlib
import fcntl
import os
import random
import signal
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.clock import ManualClock
from support.emitted import Emitted
from support.markers import marker
from support.mounts import mounted
from support.verdicts import PRINT, outcome, subject

from watcher.ledger import schema
from watcher.ledger.database import MAX_PENDING, Database
from watcher.ledger.ledger import Damage, Ledger
from watcher.replace.marker import Held
from watcher.replace.memory import Tick, Watched
from watcher.replace.originals import Originals

ROWS = 400


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "ledger.sqlite")


@pytest.fixture
def filled(path: str) -> str:
    """A ledger of many pages, closed properly."""
    with Ledger(path, clock=ManualClock()) as ledger:
        for number in range(ROWS):
            ledger.remember_refusal(subject(number), "interlaced", "x" * 100, PRINT)
            ledger.record_outcome(outcome(number))
        ledger.remember_failure(subject(ROWS), "stalled", "", PRINT)
    return path


NEW = subject(ROWS + 1)


def knows(ledger: Ledger) -> bool:
    return ledger.verdict(NEW.path, NEW.size, NEW.mtime_ns, PRINT) is not None


def use(ledger: Ledger) -> None:
    """Ask and tell everything once; what was just told must be known."""
    ask_and_tell(ledger)
    assert knows(ledger)
    assert ledger.outcome_of(NEW.path) is not None


def ask_and_tell(ledger: Ledger) -> None:
    ledger.load()
    ledger.totals()
    ledger.counts(PRINT)
    ledger.soundness()
    ledger.speed("cam1", "libx265")
    ledger.outcome_of(subject(3).path)
    ledger.last_failure()
    ledger.last_tick()
    ledger.explain(subject(7).path)
    ledger.record_source(NEW.path, "cam1", Damage.NONE)
    ledger.remember_failure(subject(8), "stalled", "", PRINT)
    ledger.forget(subject(9).path)
    ledger.prune(lambda _: True)
    ledger.remember_refusal(NEW, "already_hevc", "", PRINT)
    ledger.record_outcome(outcome(ROWS + 1))
    ledger.refresh()


def whole(path: str) -> bool:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return bool(connection.execute("PRAGMA integrity_check").fetchone() == ("ok",))


def aside(path: str) -> list[str]:
    directory, name = os.path.split(path)
    return sorted(
        entry
        for entry in os.listdir(directory)
        if entry.startswith(f"{name}.set-aside-") and not entry.endswith(("-wal", "-shm"))
    )


def zeros(data: bytearray, first: int, length: int) -> None:
    data[first : first + length] = bytes(length)


def noise(data: bytearray, first: int, length: int) -> None:
    data[first : first + length] = random.Random(first).randbytes(length)


def every_page_header(data: bytearray) -> None:
    for at in range(PAGE, len(data), PAGE):
        noise(data, at, 12)


PAGE = 4096
DAMAGE: dict[str, Callable[[bytearray], None]] = {
    "the magic": lambda d: noise(d, 0, 16),
    "the page size": lambda d: zeros(d, 16, 2),
    "the header's rest": lambda d: noise(d, 18, 82),
    "the schema page": lambda d: noise(d, 100, PAGE - 100),
    "the schema page zeroed": lambda d: zeros(d, 0, PAGE),
    "the second page": lambda d: noise(d, PAGE, PAGE),
    "every page header": every_page_header,
    "the second half zeroed": lambda d: zeros(d, len(d) // 2, len(d) - len(d) // 2),
    "the second half gone": lambda d: d.__delitem__(slice(len(d) // 2, None)),
    "all but a byte gone": lambda d: d.__delitem__(slice(1, None)),
    "all but the header gone": lambda d: d.__delitem__(slice(100, None)),
    "everything gone": lambda d: d.clear(),
    "text": lambda d: d.__setitem__(slice(None), b"recordings:\n  cam1: /srv\n"),
}


def damage(path: str, how: Callable[[bytearray], None]) -> None:
    data = bytearray(Path(path).read_bytes())
    how(data)
    Path(path).write_bytes(data)


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_file_is_set_aside_and_begun_anew(filled: str, how: str) -> None:
    damage(filled, DAMAGE[how])
    emitted = Emitted()
    with Ledger(filled, clock=ManualClock(), emit=emitted) as ledger:
        use(ledger)
        assert ledger.trouble() is None
    assert whole(filled)
    if how in ("everything gone", "all but a byte gone"):  # to SQLite an empty file is a new one
        assert emitted.events == []
    else:
        assert [event for event, _ in emitted.events] == ["ledger_set_aside"]
        assert len(aside(filled)) == 1


@pytest.mark.parametrize("how", DAMAGE)
def test_damage_while_it_is_open_is_no_other(filled: str, how: str) -> None:
    emitted = Emitted()
    with Ledger(filled, clock=ManualClock(), emit=emitted) as ledger:
        ledger.load()
        damage(filled, DAMAGE[how])
        use(ledger)
        use(ledger)
    # What was in the page cache may have hidden it until here.
    with Ledger(filled, clock=ManualClock(), emit=emitted) as ledger:
        use(ledger)
    assert whole(filled)


@pytest.mark.parametrize("seed", range(60))
def test_damage_anywhere_never_reaches_the_caller(filled: str, seed: int) -> None:
    chance = random.Random(seed)
    data = bytearray(Path(filled).read_bytes())
    for _ in range(chance.choice((1, 1, 5, 50))):
        at, length = chance.randrange(len(data)), chance.choice((1, 1, 8, 200))
        data[at : at + length] = chance.randbytes(len(data[at : at + length]))
    Path(filled).write_bytes(data)
    with Ledger(filled, clock=ManualClock(), emit=Emitted()) as ledger:
        with contextlib.suppress(AssertionError):  # an outcome's row may be the damaged one
            use(ledger)
        ledger.load()
        ledger.remember_refusal(subject(ROWS + 2), "already_hevc", "", PRINT)
        new = subject(ROWS + 2)
        assert ledger.verdict(new.path, new.size, new.mtime_ns, PRINT) is not None


@pytest.mark.parametrize("seed", range(10))
def test_a_damaged_log_costs_at_most_what_was_in_it(path: str, seed: int) -> None:
    # A process that is killed leaves its log; its tail may be torn by the power cut.
    kept = Ledger(path, clock=ManualClock())
    for number in range(50):
        kept.remember_refusal(subject(number), "interlaced", "", PRINT)
    copy = path + ".copy"
    for suffix in ("", "-wal"):
        Path(copy + suffix).write_bytes(Path(path + suffix).read_bytes())
    kept.close()
    log = bytearray(Path(copy + "-wal").read_bytes())
    chance = random.Random(seed)
    noise(log, chance.randrange(len(log)), chance.choice((1, 30, 5000)))
    Path(copy + "-wal").write_bytes(log)
    with Ledger(copy, clock=ManualClock(), emit=Emitted()) as ledger:
        use(ledger)
    assert whole(copy)


def test_a_row_that_makes_no_sense_is_passed_over(filled: str) -> None:
    with contextlib.closing(sqlite3.connect(filled)) as connection, connection:
        one, two, three, four = (os.fsencode(subject(number).path) for number in range(4))
        update = "UPDATE verdicts SET {} WHERE path = ?"
        connection.execute(update.format("kind = 'nonsense'"), (one,))
        connection.execute(update.format("ground = 99"), (two,))
        connection.execute(update.format("retry_at_s = x'00'"), (three,))
        connection.execute(update.format("path = 'text'"), (four,))
        connection.execute("UPDATE outcomes SET path = 5, new_size = 'many' WHERE id = 1")
    emitted = Emitted()
    with Ledger(filled, clock=ManualClock(), emit=emitted) as ledger:
        assert ledger.load() == ROWS + 1 - 4
        for number in range(4):
            one_subject = subject(number)
            key = (one_subject.path, one_subject.size, one_subject.mtime_ns)
            assert ledger.verdict(*key, PRINT) is None
        ledger.totals()
        use(ledger)
    assert emitted.events == []


@pytest.mark.parametrize("value", ["'much'", "x'00'", "1e300", "-1.0"])
@pytest.mark.parametrize(
    "column",
    [
        *(
            "sealed_ticks.wall_s",
            "sealed_ticks.boot_s",
            "sealed_ticks.run_s",
            "sealed_held.wall_s",
            "sealed_held.watched_s",
        ),
        *("sealed_orphans.wall_s", "sealed_orphans.boot_s", "sealed_orphans.keep_s"),
    ],
)
def test_a_clock_that_makes_no_sense_keeps_no_service_from_its_work_and_ends_no_period(
    path: str, column: str, value: str
) -> None:
    clock, emitted = ManualClock(), Emitted()

    def lived() -> Originals:
        """Go through one life of a service."""
        originals = Originals(ledger, keep_original_s=86_400.0, clock=clock, emit=emitted)
        originals.add("/held", marker(), "1.2")
        originals.add_orphan("/orphan", marker(), "1.2")
        clock.advance(600)
        originals.tick()
        return originals

    with Ledger(path, clock=clock, emit=emitted) as ledger:
        lived()
    table, _, name = column.partition(".")
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE {table} SET {name} = {value}")
    clock.boot = "boot-2"
    with Ledger(path, clock=clock, emit=emitted) as ledger:
        assert lived().releasable() == lived().due() == []
        known = ledger.watched("/held")
        assert known is not None
        assert 600 <= known.watched_s < 3600
        assert ledger.orphan_first_seen("/orphan", "1.2") is not None
        assert ledger.last_tick() is not None


def flipped(value: object, bit: int) -> object:
    """Give what one flipped bit makes of a value, as SQLite keeps it."""
    if isinstance(value, float):
        (word,) = struct.unpack(">Q", struct.pack(">d", value))
        return struct.unpack(">d", struct.pack(">Q", word ^ 1 << bit))[0]
    if isinstance(value, int):
        return value ^ 1 << min(bit, 62)
    raw = bytearray(value if isinstance(value, bytes) else str(value).encode())
    raw[bit // 8 % len(raw)] ^= 1 << bit % 7  # still ASCII
    return bytes(raw) if isinstance(value, bytes) else raw.decode()


@pytest.mark.parametrize("table", ["sealed_held", "sealed_orphans", "sealed_ticks"])
def test_a_row_of_a_safety_period_is_believed_with_no_bit_flipped(path: str, table: str) -> None:
    """However sensible it looks: a day of watching is a bit away from a second of it."""
    held = Held(wall_s=1.7e9, boot_s=2.5, boot_id="boot", keep_s=86_400.0)
    with Ledger(path, clock=ManualClock(), emit=Emitted()) as ledger:
        ledger.remember_watched({"/o": Watched("1.2", 1.7e9, "boot", 600.0)})
        ledger.remember_orphan("/o", "1.2", held)
        ledger.remember_tick(Tick(1.7e9, 2.5, "boot", in_doubt=True, run_s=5.0))
    ask: dict[str, Callable[[Ledger], object]] = {
        "sealed_held": lambda ledger: ledger.watched("/o"),
        "sealed_orphans": lambda ledger: ledger.orphan_first_seen("/o", "1.2"),
        "sealed_ticks": lambda ledger: ledger.last_tick(),
    }
    with (
        contextlib.closing(sqlite3.connect(path, isolation_level=None)) as by_hand,
        Ledger(path, clock=ManualClock(), emit=Emitted()) as ledger,
    ):
        by_hand.execute("PRAGMA synchronous=OFF")
        by_hand.execute("PRAGMA ignore_check_constraints=ON")
        asked = by_hand.execute(f"SELECT * FROM {table}")
        columns, row = [one[0] for one in asked.description], asked.fetchone()
        truth = ask[table](ledger)
        assert truth is not None
        for column, value in zip(columns, row, strict=True):
            for bit in range(64):
                change = f"UPDATE {table} SET {column} = ?"
                by_hand.execute(change, (flipped(value, bit),))
                assert ask[table](ledger) is None, (column, bit)
                by_hand.execute(change, (value,))
                assert ask[table](ledger) == truth


def test_evidence_that_was_damaged_is_no_evidence_and_is_gathered_anew(path: str) -> None:
    clock, emitted = ManualClock(), Emitted()
    with Ledger(path, clock=clock, emit=emitted) as ledger:
        Originals(ledger, clock=clock, emit=emitted).add("/held", marker(), "1.2")
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE sealed_held SET watched_s = 90000.0, trusted = 1")
    clock.boot = "boot-2"
    with Ledger(path, clock=clock, emit=emitted) as ledger:
        originals = Originals(ledger, clock=clock, emit=emitted)
        originals.add("/held", marker(), "1.2")
        assert originals.releasable() == originals.due() == []
        clock.advance(700)
        originals.tick()
        known = ledger.watched("/held")
        assert known is not None
        assert known.watched_s == 700


def test_a_ledger_of_a_later_version_is_set_aside_whole(filled: str) -> None:
    with contextlib.closing(sqlite3.connect(filled)) as connection:
        connection.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    emitted = Emitted()
    with Ledger(filled, clock=ManualClock(), emit=emitted) as ledger:
        assert ledger.load() == 0
    (old,) = aside(filled)
    assert whole(str(Path(filled).with_name(old)))
    assert f"version {schema.VERSION + 1}" in str(emitted.named("ledger_set_aside")[0]["detail"])


def test_somebody_elses_database_is_set_aside(path: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE verdicts (x)")
    with Ledger(path, clock=ManualClock(), emit=Emitted()) as ledger:
        use(ledger)
    assert len(aside(path)) == 1


def test_only_the_newest_of_what_was_set_aside_are_kept(path: str) -> None:
    clock = ManualClock()
    for _ in range(4):
        Path(path).write_bytes(b"no database, and long enough to be looked at" * 100)
        with Ledger(path, clock=clock, emit=Emitted()) as ledger:
            use(ledger)
        clock.advance(60)
    assert len(aside(path)) == 2


def test_a_ledger_that_was_deleted_is_begun_anew_at_once(filled: str) -> None:
    emitted = Emitted()
    with Ledger(filled, clock=ManualClock(), emit=emitted) as service:
        assert service.load() == ROWS + 1
        for suffix in ("", "-wal", "-shm"):
            Path(filled + suffix).unlink()
        with Ledger(filled, clock=ManualClock(), emit=Emitted()) as command:
            command.remember_refusal(subject(1), "restored", "", PRINT)
            assert service.refresh().everything
            assert service.totals().files_transcoded == 0
            use(service)
            use(command)
    assert len(emitted.named("ledger_set_aside")) == 1
    assert whole(filled)


def test_leaving_a_replaced_file_does_not_take_the_new_ones_log(filled: str) -> None:
    # SQLite removes the log by its name when the last connection closes; by now it is another's.
    old = Ledger(filled, clock=ManualClock(), emit=Emitted())
    old.remember_refusal(subject(1), "restored", "", PRINT)
    for suffix in ("", "-wal", "-shm"):
        Path(filled + suffix).rename(filled + ".moved" + suffix)
    new = Ledger(filled, clock=ManualClock(), emit=Emitted())
    new.remember_refusal(subject(2), "restored", "", PRINT)
    old.close()
    assert Path(filled + "-wal").stat().st_size > 0
    new.remember_refusal(subject(3), "restored", "", PRINT)
    new.close()
    with Ledger(filled, clock=ManualClock(), emit=Emitted()) as again:
        assert again.load() == 2


def test_two_services_find_the_same_damage_and_one_sets_it_aside(filled: str) -> None:
    first, second = (Ledger(filled, clock=ManualClock(), emit=Emitted()) for _ in range(2))
    first.load()
    second.load()
    damage(filled, DAMAGE["every page header"])
    for ledger in (first, second, first, second):
        use(ledger)
    first.close()
    second.close()
    assert len(aside(filled)) == 1
    assert whole(filled)


def test_damage_that_another_has_already_mended_is_not_mended_again(filled: str) -> None:
    late = Ledger(filled, clock=ManualClock(), emit=Emitted())
    first = Ledger(filled, clock=ManualClock(1.6e9), emit=Emitted())
    late.load()
    damage(filled, DAMAGE["every page header"])
    use(first)
    late._database._set_aside("what it had read before the other was done")
    use(late)
    assert late.outcome_of(subject(ROWS + 1).path) is not None
    assert first.refresh() is not None
    first.close()
    late.close()
    assert len(aside(filled)) == 1


def test_where_no_file_can_be_the_ledger_works_in_memory_and_writes_it_later(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "not yet"
    clock, emitted = ManualClock(), Emitted()
    with Ledger(str(directory / "ledger.sqlite"), clock=clock, emit=emitted) as ledger:
        use(ledger)
        assert ledger.trouble()
        assert len(emitted.named("ledger_unwritable")) == 1
        directory.mkdir()
        clock.advance(31)
        assert ledger.refresh().everything
        assert ledger.trouble() is None
        assert len(emitted.named("ledger_writable")) == 1
        new = subject(ROWS + 1)
        assert ledger.verdict(new.path, new.size, new.mtime_ns, PRINT) is not None
        assert ledger.outcome_of(new.path) is not None
    with Ledger(str(directory / "ledger.sqlite"), clock=clock, emit=emitted) as ledger:
        assert ledger.load() == 2
        assert ledger.totals().files_transcoded == 1


def test_in_memory_nothing_is_counted_twice(tmp_path: Path) -> None:
    directory, clock = tmp_path / "not yet", ManualClock()
    with Ledger(str(directory / "l"), clock=clock, emit=Emitted()) as ledger:
        for number in range(5):
            ledger.record_outcome(outcome(number))
            assert ledger.totals().files_transcoded == number + 1
        clock.advance(31)
        ledger.refresh()
        assert ledger.totals().files_transcoded == 5
        directory.mkdir()
        clock.advance(31)
        ledger.refresh()
        assert ledger.totals().files_transcoded == 5
        (directory / "l").unlink()
        (directory / "l").mkdir()
        ledger.record_outcome(outcome(6))
        assert ledger.totals().files_transcoded == 1


def test_a_directory_in_its_place_is_left_alone(path: str) -> None:
    Path(path).mkdir()
    emitted = Emitted()
    with Ledger(path, clock=ManualClock(), emit=emitted) as ledger:
        use(ledger)
    assert Path(path).is_dir()
    assert [event for event, _ in emitted.events] == ["ledger_unwritable"]


class Bounded:
    """Connects to a file that may not grow beyond some pages, until `bound` is lifted."""

    def __init__(self) -> None:
        self.connections: list[sqlite3.Connection] = []

    def __call__(self, *arguments: object, **options: object) -> sqlite3.Connection:
        connection = sqlite3.connect(*arguments, **options)  # type: ignore[call-overload] # passed through
        assert isinstance(connection, sqlite3.Connection)
        self.connections.append(connection)
        return connection

    def bound(self, pages: int) -> None:
        for connection in self.connections:
            connection.execute(f"PRAGMA max_page_count = {pages}")


def test_a_full_disk_loses_no_verdict_and_is_said_once(path: str) -> None:
    clock, emitted, connect = ManualClock(), Emitted(), Bounded()
    with Ledger(path, clock=clock, emit=emitted, connect=connect) as ledger:
        ledger.load()
        connect.bound(1)
        for number in range(300):
            ledger.remember_refusal(subject(number), "interlaced", "x" * 100, PRINT)
            ledger.record_outcome(outcome(number))
        assert ledger.trouble()
        assert [event for event, _ in emitted.events] == ["ledger_unwritable"]
        for number in range(300):
            one = subject(number)
            assert ledger.verdict(one.path, one.size, one.mtime_ns, PRINT) is not None
        assert ledger.remember_failure(subject(7), "stalled", "", PRINT).attempts == 1
        clock.advance(86_400)
        assert ledger.remember_failure(subject(7), "stalled", "", PRINT).attempts == 2
        assert not ledger.remember_restored(subject(8))
        connect.bound(2**30)
        ledger.refresh()
        assert ledger.trouble() is None
        assert len(emitted.named("ledger_writable")) == 1
    with Ledger(path, clock=clock, emit=emitted) as ledger:
        assert ledger.load() == 300
        assert ledger.totals().files_transcoded == 299  # one was restored
        assert ledger.explain(subject(7).path).verdict.attempts == 2  # type: ignore[union-attr] # None fails as well


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system of half a megabyte."""
    where = tmp_path / "tiny"
    where.mkdir()
    with mounted(where, "-o", "size=512k"):
        yield where


def test_a_file_system_filled_to_the_last_byte(tiny: Path) -> None:
    path = str(tiny / "ledger.sqlite")
    clock, emitted = ManualClock(), Emitted()
    with Ledger(path, clock=clock, emit=emitted) as ledger:
        ledger.load()
        ledger.remember_refusal(subject(0), "interlaced", "", PRINT)
        ballast = tiny / "ballast"
        fill(ballast)
        for number in range(1, 200):
            ledger.remember_refusal(subject(number), "interlaced", "x" * 500, PRINT)
        assert ledger.trouble()
        assert len(emitted.named("ledger_unwritable")) == 1
        with Ledger(path, clock=clock, emit=emitted) as command:
            command.totals()
            command.forget(subject(0).path)
        ballast.unlink()
        ledger.refresh()
        assert ledger.trouble() is None
        one = subject(150)
        assert ledger.verdict(one.path, one.size, one.mtime_ns, PRINT) is not None
    assert not emitted.named("ledger_set_aside")
    assert whole(path)
    with Ledger(path, clock=clock, emit=emitted) as ledger:
        assert ledger.load() >= 199


def test_a_ledger_first_opened_on_a_full_file_system(tiny: Path) -> None:
    fill(tiny / "ballast")
    clock, emitted = ManualClock(), Emitted()
    with Ledger(str(tiny / "ledger.sqlite"), clock=clock, emit=emitted) as ledger:
        use(ledger)
        assert ledger.trouble()
        (tiny / "ballast").unlink()
        clock.advance(31)
        ledger.refresh()
        assert ledger.trouble() is None
        use(ledger)
    assert not emitted.named("ledger_set_aside")


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for size in (4096, 512, 1):
            with contextlib.suppress(OSError):  # ENOSPC, sooner or later
                while file.write(bytes(size)):
                    pass


def test_what_waits_in_memory_is_bounded(tmp_path: Path) -> None:
    with contextlib.closing(
        Database(str(tmp_path / "no" / "db"), clock=ManualClock(), emit=Emitted())
    ) as database:
        for _ in range(MAX_PENDING + 10):
            database.write_later(lambda _: None)
        database.write(lambda _: None)
        assert len(database._pending) == MAX_PENDING


def test_a_stopped_process_that_holds_the_write_lock_stops_nobody(path: str) -> None:
    emitted = Emitted()
    with Ledger(path, clock=ManualClock(), emit=emitted, busy_timeout_s=0.05) as ledger:
        ledger.load()
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            ledger.remember_refusal(subject(1), "interlaced", "", PRINT)
            assert ledger.trouble()
            one = subject(1)
            assert ledger.verdict(one.path, one.size, one.mtime_ns, PRINT) is not None
            assert ledger.totals().files_transcoded == 0
            other.execute("ROLLBACK")
        ledger.refresh()
        assert ledger.trouble() is None
    with Ledger(path, clock=ManualClock(), emit=emitted) as ledger:
        assert ledger.load() == 1


def test_a_stopped_process_that_holds_the_opening_lock_stops_nobody(path: str) -> None:
    with Path(path + ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        clock = ManualClock()
        with Ledger(path, clock=clock, emit=Emitted()) as ledger:
            use(ledger)
        assert sum(wait or 0 for wait in clock.waits) == pytest.approx(5.0)


CODES = {
    "full": sqlite3.SQLITE_FULL,
    "io": sqlite3.SQLITE_IOERR,
    "corrupt": sqlite3.SQLITE_CORRUPT,
    "busy": sqlite3.SQLITE_BUSY,
    "read-only": sqlite3.SQLITE_READONLY,
    "no such table": sqlite3.SQLITE_ERROR,
}


class Failing:
    """Connects so that the Nth statement fails, once or for ever, on a file but not in memory."""

    def __init__(self, at: int, code: int, *, for_ever: bool) -> None:
        self.count = 0
        failing = self

        class Connection(sqlite3.Connection):
            def execute(self, *arguments: Any) -> sqlite3.Cursor:
                failing.count += 1
                if failing.count == at or (for_ever and failing.count > at):
                    error = sqlite3.OperationalError("made to fail")
                    error.sqlite_errorcode = code
                    raise error
                return super().execute(*arguments)

        self._factory = Connection

    def __call__(self, path: str, **options: Any) -> sqlite3.Connection:
        if path != ":memory:":
            options["factory"] = self._factory
        connection = sqlite3.connect(path, **options)
        assert isinstance(connection, sqlite3.Connection)
        return connection


@pytest.mark.parametrize("step", [3, pytest.param(1, marks=pytest.mark.attack)])
@pytest.mark.parametrize("for_ever", [False, True])
@pytest.mark.parametrize("code", CODES)
def test_whichever_statement_fails_nobody_hears_of_it_and_the_next_start_is_sound(
    tmp_path: Path, code: str, for_ever: bool, step: int
) -> None:
    damaged = code in ("corrupt", "no such table")  # then it is begun anew, and knows nothing
    for at in range(1, 1000, step):
        path = str(tmp_path / f"{at}.sqlite")
        connect = Failing(at, CODES[code], for_ever=for_ever)
        clock = ManualClock()
        with Ledger(path, clock=clock, emit=Emitted(), connect=connect) as ledger:
            ask_and_tell(ledger)
            assert knows(ledger) or damaged
            clock.advance(31)
            ledger.refresh()
            ledger.refresh()
            if not for_ever:
                assert ledger.trouble() is None
            if not for_ever and connect.count >= at:  # it has failed, and fails no more
                use(ledger)
        with Ledger(path, clock=clock, emit=Emitted()) as ledger:
            assert for_ever or damaged or knows(ledger)
            use(ledger)
            assert ledger.trouble() is None
        assert whole(path)
        if connect.count < at:
            return
    raise AssertionError("it never came to an end")


def breaks_a_rule(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO verdicts (path) VALUES (NULL)")


def does_not_fit(connection: sqlite3.Connection) -> None:
    connection.execute("SELECT ?", (2**70,))


def test_a_bad_change_is_dropped_and_the_others_are_kept(path: str) -> None:
    emitted = Emitted()
    with Ledger(path, clock=ManualClock(), emit=emitted) as ledger:
        ledger._database.write_later(breaks_a_rule)
        ledger._database.write_later(does_not_fit)
        ledger.record_outcome(outcome())
        assert ledger.totals().files_transcoded == 1
        assert ledger.trouble() is None
    assert len(emitted.named("unexpected")) == 2


def test_only_a_durable_write_waits_for_the_disk(path: str) -> None:
    said: list[str] = []

    def connect(*arguments: object, **options: object) -> sqlite3.Connection:
        connection = sqlite3.connect(*arguments, **options)  # type: ignore[call-overload] # passed through
        assert isinstance(connection, sqlite3.Connection)
        connection.set_trace_callback(said.append)
        return connection

    with Ledger(path, clock=ManualClock(), connect=connect) as ledger:
        ledger.record_outcome(outcome())
        assert "PRAGMA synchronous=FULL" not in said
        said.clear()
        assert ledger.remember_restored(subject())
        order = [line for line in said if line.startswith(("PRAGMA sync", "BEGIN", "COMMIT"))]
        assert order == [
            "PRAGMA synchronous=FULL",
            "BEGIN IMMEDIATE",
            "COMMIT",
            "PRAGMA synchronous=NORMAL",
        ]


WRITER = """
import sys
from support.verdicts import PRINT, outcome, subject
from watcher.ledger.ledger import Ledger

path, first, number = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with Ledger(path) as ledger:
    for one in range(first, first + number):
        ledger.remember_refusal(subject(one), "interlaced", "", PRINT)
        ledger.record_outcome(outcome(one))
        print(one, flush=True)
    assert ledger.trouble() is None
"""


def writer(path: str, first: int, number: int) -> "subprocess.Popen[str]":
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, path, str(first), str(number)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )


def test_two_processes_write_at_once_and_nothing_is_missing(path: str) -> None:
    writers = [writer(path, first, 300) for first in (0, 1000)]
    for process in writers:
        process.communicate(timeout=120)
        assert process.returncode == 0
    with Ledger(path) as ledger:
        assert ledger.load() == 600
        assert ledger.totals().files_transcoded == 600
    assert whole(path)


def test_kill_9_loses_nothing_that_was_acknowledged(path: str) -> None:
    for attempt in range(4):
        first = attempt * 100_000
        process = writer(path, first, 100_000)
        assert process.stdout is not None
        told = first
        for line, _ in zip(process.stdout, range(20 + 13 * attempt), strict=False):
            told = int(line)
        process.send_signal(signal.SIGKILL)
        rest = process.communicate()[0]
        told = max([told, *map(int, rest.split("\n")[:-1])])
        emitted = Emitted()
        with Ledger(path, emit=emitted) as ledger:
            ledger.load()
            for number in range(first, told + 1):
                one = subject(number)
                assert ledger.verdict(one.path, one.size, one.mtime_ns, PRINT) is not None
                assert ledger.outcome_of(one.path) is not None
        assert emitted.events == []
    assert whole(path)
