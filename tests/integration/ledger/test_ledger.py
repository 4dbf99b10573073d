"""The ledger over a real SQLite file: what is kept comes back, in this process and the next."""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.clock import ManualClock
from support.emitted import Emitted
from support.verdicts import PRINT, outcome, subject

from watcher.ledger import schema, verdict_rows
from watcher.ledger.fingerprint import Fingerprint, fingerprint
from watcher.ledger.ledger import (
    Damage,
    Kind,
    Ledger,
    Need,
    Night,
    Refreshed,
    Soundness,
    Speed,
    Subject,
)
from watcher.ledger.soundness import KEPT
from watcher.replace.marker import Held
from watcher.replace.memory import Memory, Tick, VolatileMemory, Watched
from watcher.settings import Transcoding

NAMES = [
    "/cams/plain.mp4",
    "/cams/-rf.mp4",
    "/cams/new\nline.mp4",
    "/cams/%03d 'quoted\" \\.mp4",
    "/cams/\udcff\udcfe.mp4",
    "/cams/ü😀.mp4",
    "/cams/" + "x" * 250 + ".mp4",
    "",
]


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "ledger.sqlite")


@pytest.mark.parametrize("loaded", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_a_verdict_on_any_name_comes_back(path: str, name: str, loaded: bool) -> None:
    one = Subject(name, 123, -5, "cam\udc80")
    with Ledger(path) as ledger:
        if loaded:
            ledger.load()
        verdict = ledger.remember_refusal(one, "already_hevc", f"is HEVC: {name}", PRINT)
        assert ledger.verdict(name, 123, -5, PRINT) == verdict
        assert ledger.verdict(name, 124, -5, PRINT) is None
        assert ledger.verdict(name, 123, -4, PRINT) is None
    with Ledger(path) as ledger:
        if loaded:
            assert ledger.load() == 1
        assert ledger.verdict(name, 123, -5, PRINT) == verdict
        kept = ledger.explain(name)
        assert kept is not None
        kept.detail.encode("utf-8")
        assert kept.subject.camera == "cam\\udc80"


def test_an_mtime_beyond_64_bits_is_remembered_too(path: str) -> None:
    with Ledger(path) as ledger:
        for loaded in (False, True):
            if loaded:
                ledger.load()
            ledger.remember_refusal(Subject("/y2500", 1, 2**64, "cam1"), "interlaced", "", PRINT)
            assert ledger.verdict("/y2500", 1, 2**64, PRINT) is not None


@pytest.mark.parametrize("loaded", [False, True])
def test_another_fingerprint_voids_a_verdict(path: str, loaded: bool) -> None:
    other = fingerprint(
        Transcoding().model_copy(update={"quality": 30}), encoder="libx265", ffmpeg_build="9.0"
    )
    one = subject()
    with Ledger(path) as ledger:
        if loaded:
            ledger.load()
        ledger.remember_refusal(one, "savings_too_small", "3 %", PRINT)
        assert ledger.verdict(one.path, one.size, one.mtime_ns, other) is None
        assert ledger.verdict(one.path, one.size, one.mtime_ns, PRINT) is not None


@pytest.mark.parametrize("loaded", [False, True])
def test_three_nights_failures_quarantine_and_retry_forgets(path: str, loaded: bool) -> None:
    clock, one = ManualClock(), subject()
    with Ledger(path, clock=clock) as ledger:
        if loaded:
            ledger.load()
        kinds = []
        for _ in range(3):
            kinds.append(ledger.remember_failure(one, "stalled", "no progress", PRINT).kind)
            clock.advance(86_400)
        assert kinds == [Kind.FAILED, Kind.FAILED, Kind.QUARANTINED]
        assert ledger.failures() == 3
        assert ledger.forget(one.path)
        assert not ledger.forget(one.path)
        assert ledger.verdict(one.path, one.size, one.mtime_ns, PRINT) is None
        assert ledger.remember_failure(one, "stalled", "", PRINT).attempts == 1


def test_a_changed_file_starts_anew(path: str) -> None:
    clock, one = ManualClock(), subject()
    changed = Subject(one.path, one.size + 1, one.mtime_ns, one.camera)
    with Ledger(path, clock=clock) as ledger:
        ledger.load()
        ledger.remember_failure(one, "stalled", "", PRINT)
        assert ledger.remember_failure(changed, "stalled", "", PRINT).attempts == 1
        assert ledger.verdict(one.path, one.size, one.mtime_ns, PRINT) is None


def test_a_new_ffmpeg_wipes_the_failures_of_the_old(path: str) -> None:
    newer = fingerprint(Transcoding(), encoder="libx265", ffmpeg_build="10.0")
    with Ledger(path, clock=ManualClock()) as ledger:
        ledger.remember_failure(subject(), "stalled", "", PRINT)
        assert ledger.remember_failure(subject(), "stalled", "", newer).attempts == 1


def test_what_a_command_forgets_the_service_hears_at_its_next_refresh(path: str) -> None:
    with Ledger(path) as service, Ledger(path) as command:
        for number in range(3):
            service.remember_refusal(subject(number), "interlaced", "", PRINT)
        assert service.load() == 3
        assert service.refresh() == Refreshed()
        one, two = subject(1), subject(2)
        command.forget(one.path)
        command.remember_refusal(two, "restored", "", PRINT)
        command.remember_refusal(subject(9), "already_hevc", "", PRINT)
        assert set(service.refresh().paths) == {one.path, two.path, subject(9).path}
        assert service.verdict(one.path, one.size, one.mtime_ns, PRINT) is None
        assert service.verdict(two.path, two.size, two.mtime_ns, PRINT).reason == "restored"  # type: ignore[union-attr] # None fails as well
        assert service.verdict(*_key(9), PRINT) is not None
        assert service.refresh() == Refreshed()


def _key(number: int) -> tuple[str, int, int]:
    one = subject(number)
    return one.path, one.size, one.mtime_ns


def test_changes_too_many_to_list_are_read_as_a_whole(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The bound is a constant, and 10,000 real changes would take seconds.
    monkeypatch.setattr(verdict_rows, "KEEP_CHANGES", 5)
    with Ledger(path) as service, Ledger(path) as command:
        service.remember_refusal(subject(0), "interlaced", "", PRINT)
        service.load()
        for number in range(1, 20):
            command.remember_refusal(subject(number), "interlaced", "", PRINT)
        assert service.refresh() == Refreshed(everything=True)
        assert all(service.verdict(*_key(number), PRINT) for number in range(20))
        assert service.refresh() == Refreshed()


@pytest.mark.parametrize("loaded", [True, False])
def test_verdicts_go_with_a_directory_that_is_renamed_and_with_no_other(
    path: str, loaded: bool
) -> None:
    names = ("/c/day/a.mp4", "/c/day/\udcff.mp4", "/c/day/below/a.mp4", "/c/day0/a.mp4", "/c/da/y")
    with Ledger(path, clock=ManualClock()) as ledger:
        for name in names:
            ledger.remember_refusal(Subject(name, 1, 2, "c"), "already_hevc", "", PRINT)
        if loaded:
            ledger.load()
        assert sorted(ledger.moved("d", "/c/day", "/d/x")) == ["/d/x/a.mp4", "/d/x/\udcff.mp4"]
        for name in ("/d/x/a.mp4", "/d/x/\udcff.mp4", *names[2:]):
            assert ledger.verdict(name, 1, 2, PRINT) is not None
        for name in names[:2]:
            assert ledger.verdict(name, 1, 2, PRINT) is None
        moved = ledger.explain("/d/x/a.mp4")
        assert moved is not None
        assert moved.subject.camera == "d"
        assert ledger.moved("d", "/nowhere", "/d/x") == []


def test_files_that_went_are_forgotten(path: str) -> None:
    with Ledger(path) as ledger:
        ledger.load()
        for number in range(10):
            ledger.remember_refusal(subject(number), "interlaced", "", PRINT)
        ledger.gone(*_key(0))
        ledger.gone(subject(1).path, 1, 1)  # another file of that name: this verdict stays
        assert ledger.verdict(*_key(0), PRINT) is None
        assert ledger.verdict(*_key(1), PRINT) is not None
        alive = {subject(number).path for number in (1, 2, 3)}
        assert ledger.prune(alive.__contains__) == 6
        assert ledger.explain(subject(0).path) is None
        assert ledger.verdict(*_key(5), PRINT) is None
    with Ledger(path) as ledger:
        assert ledger.load() == 3


def test_outcomes_add_up_and_a_restored_one_counts_no_more(path: str) -> None:
    clock = ManualClock()
    with Ledger(path, clock=clock) as ledger:
        assert ledger.totals().files_transcoded == 0
        for number in range(3):
            ledger.record_outcome(outcome(number))
        stats = ledger.totals()
        assert (stats.files_transcoded, stats.space_saved) == (3, 180)
        assert (stats.total_original_size, stats.total_transcoded_size) == (300, 120)
        assert stats.last_transcoded is not None
        assert stats.last_transcoded.timestamp() == 1_700_000_002.0
        assert ledger.outcome_of(subject(1).path) == outcome(1)
        assert ledger.remember_restored(subject(1), "by hand")
        assert ledger.totals().files_transcoded == 2
        assert ledger.outcome_of(subject(1).path) is None
        assert ledger.explain(subject(1).path).verdict.reason == "restored"  # type: ignore[union-attr] # None fails as well
        assert ledger.transcoded_per_camera() == {"cam1": 2}


def test_speed_is_the_last_files_of_the_camera_else_of_the_encoder(path: str) -> None:
    with Ledger(path) as ledger:
        assert ledger.speed("cam1", "libx265") is None
        assert ledger.kept_share("cam1") is None
        for number in range(25):
            ledger.record_outcome(outcome(number))
        speed = ledger.speed("cam1", "libx265")
        assert speed is not None
        assert (speed.files, speed.media_s_per_s, speed.bytes_per_s) == (20, 6.0, 10.0)
        assert ledger.speed("cam2", "libx265") == speed
        assert ledger.speed("cam1", "hevc_qsv") is None
        assert ledger.kept_share("cam1") == pytest.approx(0.4)


def test_a_speed_is_measured_anew_after_each_outcome_and_each_refresh(path: str) -> None:
    slower = replace(outcome(1), encode_s=18.0)
    with Ledger(path) as service, Ledger(path) as command:
        service.record_outcome(outcome())
        first = service.speed("cam1", "libx265")
        command.record_outcome(slower)
        assert service.speed("cam1", "libx265") == first
        service.refresh()
        assert service.speed("cam1", "libx265") == Speed(2, 120 / 30, 200 / 30)
        service.record_outcome(slower)
        assert service.speed("cam1", "libx265") == Speed(3, 180 / 50, 300 / 50)


def test_verdicts_are_counted_as_they_stand(path: str) -> None:
    other = fingerprint(
        Transcoding().model_copy(update={"damaged_sources": "convert"}), encoder="libx265"
    )
    with Ledger(path) as ledger:
        for number in range(3):
            ledger.remember_refusal(subject(number), "damaged_source", "", PRINT)
        ledger.remember_refusal(subject(0, "cam2"), "already_hevc", "", PRINT)
        assert ledger.counts(PRINT) == {
            ("cam1", Kind.REFUSED, "damaged_source"): (3, 3003),
            ("cam2", Kind.REFUSED, "already_hevc"): (1, 1000),
        }
        assert ("cam1", Kind.REFUSED, "damaged_source") not in ledger.counts(other)


class TestSoundness:
    """How many of a camera's recordings are damaged, whatever became of them."""

    def test_what_was_refused_and_what_was_converted_with_its_damage_both_count(
        self, path: str
    ) -> None:
        with Ledger(path, clock=ManualClock(5.0)) as ledger:
            for number, damage in enumerate([Damage.NONE, Damage.CONVERTED, Damage.REFUSED]):
                ledger.record_source(f"/cams/{number}.mp4", "cam1", damage)
            ledger.record_source("/\udcff", "cam\udcff", Damage.NONE)
            assert ledger.soundness() == {
                "cam1": Soundness(judged=3, refused=1, converted=1),
                "cam\\udcff": Soundness(judged=1),
            }
            assert ledger.soundness()["cam1"].damaged == 2

    def test_the_last_finding_of_a_recording_counts(self, path: str) -> None:
        with Ledger(path) as ledger:
            ledger.record_source("/a.mp4", "cam1", Damage.REFUSED)
            ledger.record_source("/a.mp4", "cam1", Damage.CONVERTED)
            assert ledger.soundness() == {"cam1": Soundness(judged=1, converted=1)}

    def test_the_last_thousand_of_each_camera_count(self, path: str) -> None:
        clock = ManualClock(5.0)
        with Ledger(path, clock=clock) as ledger:
            ledger.record_source("/other.mp4", "cam2", Damage.REFUSED)
            for number in range(KEPT + 7):
                clock.advance(1)
                damage = Damage.REFUSED if number < 10 else Damage.NONE
                ledger.record_source(f"/{number}.mp4", "cam1", damage)
            assert ledger.soundness() == {
                "cam1": Soundness(judged=KEPT, refused=3),
                "cam2": Soundness(judged=1, refused=1),
            }


def test_a_ledger_of_the_version_before_is_brought_up_with_all_that_it_remembers(
    path: str,
) -> None:
    held = Held(wall_s=1.5, boot_s=2.5, boot_id="b", keep_s=3600.0)
    with Ledger(path) as ledger:
        ledger.remember_refusal(subject(1), "damaged_source", "", PRINT)
        ledger.remember_refusal(subject(2), "already_hevc", "", PRINT)
        ledger.record_outcome(outcome(3))
        ledger.record_outcome(outcome(3))
        ledger.remember_orphan("/o", "1.2", held)
    with contextlib.closing(sqlite3.connect(path)) as before:
        before.executescript(
            "DROP TABLE sources; DROP TABLE sealed_held; DROP TABLE needs;"
            "DROP TABLE sealed_orphans; DROP TABLE sealed_ticks;"
            "PRAGMA user_version=1"
        )
    with Ledger(path) as ledger:
        assert ledger.explain(subject(2).path) is not None
        assert ledger.totals().files_transcoded == 2
        assert ledger.soundness() == {"cam1": Soundness(judged=2, refused=1)}
        assert ledger.watched("/o") is None
        ledger.remember_watched({"/o": Watched("1.2", 3.0, "b")})
        assert ledger.orphan_first_seen("/o", "1.2") is None, "it counts anew"
        ledger.remember_orphan("/o", "1.2", held)
        assert ledger.orphan_first_seen("/o", "1.2") == held
    with contextlib.closing(sqlite3.connect(path)) as after:
        assert after.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)


def test_a_service_of_the_version_before_still_writes_to_what_was_brought_up(path: str) -> None:
    """What it can't write is damage to it: it set the file aside, with every verdict in it."""
    with Ledger(path) as ledger:
        ledger.remember_restored(subject(1))
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as before:
        for table in ("held", "orphans", "ticks"):
            before.execute(f"DROP TABLE IF EXISTS {table}")
            before.execute(f"DROP TABLE IF EXISTS sealed_{table}")
        before.executescript(
            "CREATE TABLE held (path BLOB PRIMARY KEY, place TEXT NOT NULL, wall_s REAL NOT NULL,"
            " boot_id TEXT NOT NULL, watched_s REAL NOT NULL, trusted INTEGER NOT NULL)"
            " WITHOUT ROWID;"
            "CREATE TABLE orphans (path BLOB PRIMARY KEY, wall_s REAL NOT NULL,"
            " boot_s REAL NOT NULL, boot_id TEXT NOT NULL, keep_s REAL NOT NULL,"
            " place TEXT NOT NULL);"
            "CREATE TABLE ticks (id INTEGER PRIMARY KEY CHECK (id = 1), wall_s REAL NOT NULL,"
            " boot_s REAL NOT NULL, boot_id TEXT NOT NULL, in_doubt INTEGER NOT NULL,"
            " run_s REAL NOT NULL);"
            "PRAGMA user_version=3"
        )
        with Ledger(path) as ledger:
            assert ledger.explain(subject(1).path) is not None
            assert ledger.last_tick() is None
            ledger.remember_tick(Tick(1.0, 2.0, "b"))
        before.execute("INSERT OR REPLACE INTO orphans VALUES (x'2f', 1, 2, 'b', 3, '1.2')")
        before.execute("INSERT OR REPLACE INTO held VALUES (x'2f', '1.2', 1, 'b', 3, 1)")
        before.execute("INSERT OR REPLACE INTO ticks VALUES (1, 9, 9, 'b', 0, 0)")
    with Ledger(path) as ledger:
        assert ledger.last_tick() == Tick(1.0, 2.0, "b"), "what has no seal is not believed"


def by(quality: int) -> Fingerprint:
    return fingerprint(Transcoding(quality=quality), encoder="libx265", ffmpeg_build="9.0")


class TestWhatARecordingNeeds:
    """What an aborted job has shown of it."""

    def need(self, ledger: Ledger, size: int = 5, quality: int = 23) -> Need | None:
        return ledger.need("/a", size, 7, by(quality))

    def test_outlives_a_restart(self, path: str) -> None:
        with Ledger(path) as ledger:
            assert self.need(ledger) is None
            known = Need(5400.0, 2)
            ledger.remember_need(Subject("/a", 5, 7, "cam1"), known, by(23))
            assert self.need(ledger) == known
        with Ledger(path) as ledger:
            assert self.need(ledger) == known

    def test_is_of_that_very_file_and_of_what_worked_on_it(self, path: str) -> None:
        with Ledger(path) as ledger:
            known = Need(5400.0, 2)
            ledger.remember_need(Subject("/a", 5, 7, "cam1"), known, by(23))
            assert self.need(ledger, size=6) is None
            assert self.need(ledger, quality=28) is None

    def test_is_forgotten_by_retry_in_another_process_and_with_the_file(self, path: str) -> None:
        with Ledger(path) as service:
            service.load()
            for retried in (True, False):
                subject = Subject("/a", 5, 7, "cam1")
                service.remember_need(subject, Need(5400.0, 2), by(23))
                assert self.need(service) is not None
                with Ledger(path) as command:
                    if retried:
                        command.forget("/a")
                    else:
                        command.prune(lambda _: False)
                service.refresh()
                assert self.need(service) is None


def test_the_last_failure_is_told(path: str) -> None:
    with Ledger(path, clock=ManualClock(5.0)) as ledger:
        assert ledger.last_failure() is None
        ledger.remember_failure(Subject("/\udcff", 1, 1, "c"), "stalled", "why\udcfe", PRINT)
        last = ledger.last_failure()
        assert last is not None
        assert (last.at_s, last.path, last.reason) == (5.0, "/\udcff", "stalled")
        assert last.detail == "why\\udcfe"


def test_nights_deletions_and_what_was_learned(path: str) -> None:
    with Ledger(path) as ledger:
        for day in range(20):
            ledger.record_night(Night(day * 86_400.0, day * 86_400.0 + 9, 5, 3, 1, 2, 100, 40))
        assert len(ledger.recent_nights()) == 14
        assert ledger.recent_nights()[0].opened_at_s == 19 * 86_400.0
        for age in range(450):
            ledger.observe_deletion("cam1", float(age), 10)
        ledger.observe_deletion("cam2", 7.0, 10)
        ages = ledger.deletion_ages_s("cam1")
        assert ages[0] == 449.0
        assert len(ages) == 200
        ledger.learn("cam1", "segment_seconds", 1800.0)
        ledger.learn("cam1", "segment_seconds", 900.0)
        assert ledger.learned("cam1", "segment_seconds") == 900.0
        assert ledger.learned("cam2", "segment_seconds") is None
    with Ledger(path) as ledger:
        assert ledger.deletion_ages_s("cam2") == [7.0]
        assert ledger.learned("cam1", "segment_seconds") == 900.0


@pytest.mark.parametrize("kind", ["ledger", "volatile"])
def test_both_memories_of_the_safety_period_behave_alike(path: str, kind: str) -> None:
    memory: Memory = Ledger(path) if kind == "ledger" else VolatileMemory()
    held = Held(wall_s=1.5, boot_s=2.5, boot_id="b", keep_s=3600.0)
    assert memory.last_tick() is None
    assert memory.orphan_first_seen("/o\udcff", "1.2") is None
    memory.remember_orphan("/o\udcff", "1.2", held)
    assert memory.orphan_first_seen("/o\udcff", "1.2") == held
    assert memory.orphan_first_seen("/o\udcff", "1.3") is None, "another directory at that path"
    memory.forget_orphan("/o\udcff")
    memory.forget_orphan("/o\udcff")
    assert memory.orphan_first_seen("/o\udcff", "1.2") is None
    watched = Watched("1.2", 1.5, "b", 10.0, trusted=True)
    assert memory.watched("/o\udcff") is None
    for new in (watched, replace(watched, watched_s=9.0)):
        memory.remember_watched({"/o\udcff": new, "/p": new})
        assert memory.watched("/o\udcff") == watched, "another process has seen more of it"
    another = Watched("1.2", 99.0, "c", 1.0, trusted=False)
    memory.remember_watched({"/o\udcff": another})
    assert memory.watched("/o\udcff") == another
    memory.forget_watched("/o\udcff")
    assert memory.watched("/o\udcff") is None
    assert memory.watched("/p") == watched
    for tick in (Tick(1.0, 2.0, "b"), Tick(3.0, 4.0, "b", in_doubt=True, run_s=5.0)):
        memory.remember_tick(tick)
        assert memory.last_tick() == tick
    if isinstance(memory, Ledger):
        memory.close()


def test_a_tick_outlives_the_process(path: str) -> None:
    tick = Tick(3.0, 4.0, "b", in_doubt=True, run_s=5.0)
    with Ledger(path) as ledger:
        ledger.remember_tick(tick)
    with Ledger(path) as ledger:
        assert ledger.last_tick() == tick


def test_threads_share_one_ledger(path: str) -> None:
    emitted = Emitted()
    with Ledger(path, emit=emitted) as ledger:
        ledger.load()

        def work(thread: int) -> None:
            for number in range(thread * 50, thread * 50 + 50):
                ledger.remember_refusal(subject(number), "interlaced", "", PRINT)
                ledger.record_outcome(outcome(number))
                assert ledger.verdict(*_key(number), PRINT) is not None
                ledger.observe_deletion("cam1", 1.0, 1)
                ledger.refresh()

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert ledger.totals().files_transcoded == 200
        assert all(ledger.verdict(*_key(number), PRINT) for number in range(200))
    assert emitted.events == []


class Interrupting:
    """A lock at whose first taking something else happens just before."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        self._meanwhile: Callable[[], object] | None = meanwhile
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        meanwhile, self._meanwhile = self._meanwhile, None
        if meanwhile is not None:
            meanwhile()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def test_what_is_told_while_all_is_read_again_is_not_forgotten(path: str) -> None:
    with Ledger(path) as ledger:
        ledger.remember_refusal(subject(0), "interlaced", "", PRINT)
        ledger.load()

        def meanwhile() -> None:
            ledger.remember_refusal(subject(1), "interlaced", "", PRINT)
            ledger.forget(subject(0).path)

        ledger._table_lock = Interrupting(meanwhile)  # type: ignore[assignment] # used as a lock
        ledger.load()
        assert ledger.verdict(*_key(1), PRINT) is not None
        assert ledger.verdict(*_key(0), PRINT) is None


def test_after_close_every_question_has_an_empty_answer(path: str) -> None:
    emitted = Emitted()
    ledger = Ledger(path, emit=emitted)
    ledger.remember_refusal(subject(), "interlaced", "", PRINT)
    ledger.close()
    ledger.close()
    assert ledger.verdict(*_key(0), PRINT) is None
    assert ledger.totals().files_transcoded == 0
    ledger.record_outcome(outcome())
    ledger.refresh()
    assert emitted.events == []


def test_the_group_may_share_the_file(path: str) -> None:
    before = os.umask(0o077)
    try:
        with Ledger(path) as ledger:
            ledger.remember_refusal(subject(), "interlaced", "", PRINT)
            for suffix in ("", "-wal", "-shm"):
                assert Path(path + suffix).stat().st_mode & 0o777 == 0o660
    finally:
        os.umask(before)


def test_close_leaves_one_file(path: str) -> None:
    with Ledger(path) as ledger:
        ledger.remember_refusal(subject(), "interlaced", "", PRINT)
        ledger.checkpoint()
    assert sorted(entry.name for entry in Path(path).parent.iterdir()) == [
        "ledger.sqlite",
        "ledger.sqlite.lock",
    ]


def test_what_is_nobodys_fault_is_not_counted_as_an_error(path: str) -> None:
    with Ledger(path, clock=ManualClock()) as ledger:
        ledger.remember_failure(subject(), "open_for_writing", "", PRINT)
        assert ledger.failures() == 0
        ledger.remember_failure(subject(), "stalled", "", PRINT)
        assert ledger.failures() == 1


def test_a_condition_is_remembered_with_its_tries(path: str) -> None:
    clock = ManualClock()
    with Ledger(path, clock=clock) as ledger:
        for tries in (1, 2, 3):
            verdict = ledger.remember_refusal(subject(), "hard_link", "", PRINT)
            assert verdict.attempts == tries
            clock.advance(8 * 86_400)
