"""The spool against a model, over restarts, and against what a power cut leaves."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watcher.report.backlog import Backlog
from watcher.report.spool import Entry, Spool

BOUND = 1024 * 1024
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 5)),
        st.tuples(st.just("take"), st.integers(1, 4)),
        st.tuples(st.just("settle"), st.integers(1, 4)),
        st.tuples(st.just("restart"), st.just(0)),
    ),
    max_size=40,
)


def entry(number: int) -> Entry:
    return Entry(number, f'{{"n":{number},"name":"é\\n"}}', {"level": "info"})


def told(entries: list[Entry]) -> list[int]:
    return [one.ts_ns for one in entries]


@settings(deadline=None, max_examples=60)
@given(STEPS)
def test_it_gives_in_order_what_was_appended_and_not_settled(steps: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        spool = Spool(directory, BOUND)
        appended, settled = 0, 0
        taken: list[Entry] = []
        for step, number in steps:
            if step == "append":
                spool.append([entry(appended + n) for n in range(number)])
                appended += number
            elif step == "take":
                more = spool.take(10**6, number)
                assert told(more) == list(range(appended))[settled + len(taken) :][:number]
                taken += more
            elif step == "settle" and taken:
                done, taken = taken[:number], taken[number:]
                settled += len(done)
                assert done[-1].place
                spool.settle(done[-1].place, done[-1].ts_ns)
            elif step == "restart":
                spool.close()
                spool = Spool(directory, BOUND)
                taken = []
            assert spool.unread == appended - settled - len(taken)
        rest = spool.take(10**6, 10**6)
        assert told(taken + rest) == list(range(settled, appended))
        assert spool.highest_ns == max(0, settled - 1)
        spool.close()


def filled(directory: Path, number: int = 10) -> Path:
    spool = Spool(str(directory), BOUND)
    spool.append([entry(n) for n in range(number)])
    spool.close()
    (path,) = directory.glob("*.spool")
    return path


@pytest.mark.parametrize("cut", [1, 5, 20, 40])
def test_a_torn_end_costs_the_torn_record_alone(tmp_path: Path, cut: int) -> None:
    path = filled(tmp_path)
    path.write_bytes(path.read_bytes()[:-cut])
    spool = Spool(str(tmp_path), BOUND)
    spool.append([entry(10)])
    assert told(spool.take(10**6, 100)) == [*range(10 if cut == 1 else 9), 10]
    assert spool.unreadable == (0 if cut == 1 else 1)


@given(st.binary(max_size=300))
def test_no_content_of_a_segment_or_cursor_breaks_it(junk: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "0000000000000003.spool").write_bytes(junk)
        (directory / "cursor").write_bytes(junk)
        (directory / "not a number.spool").write_bytes(junk)
        spool = Spool(name, BOUND)
        spool.append([entry(1)])
        assert told(spool.take(10**6, 100))[-1] == 1
        spool.close()


@pytest.mark.parametrize("fill", [b"\x00" * 3_000_000, b"\x00" * 1000, b"\n" * 50])
def test_a_segment_of_nothing_is_passed_over(tmp_path: Path, fill: bytes) -> None:
    filled(tmp_path).write_bytes(fill)
    spool = Spool(str(tmp_path), BOUND)
    spool.append([entry(1)])
    assert told(spool.take(10**6, 100)) == [1]
    assert spool.unread == 0


def test_a_segment_deleted_under_it_is_counted(tmp_path: Path) -> None:
    path = filled(tmp_path)
    spool = Spool(str(tmp_path), BOUND)
    path.unlink()
    assert spool.take(10**6, 100) == []
    assert spool.unreadable == 10


def test_a_directory_deleted_under_it_is_made_again(tmp_path: Path) -> None:
    directory = tmp_path / "spool"
    path = filled(directory)
    spool = Spool(str(directory), BOUND)
    path.unlink()
    (directory / "cursor").unlink()
    directory.rmdir()
    spool.append([entry(20)])
    assert told(spool.take(10**6, 100)) == [20]


class Failing(Spool):
    """A spool whose disk is full for some appends."""

    def __init__(self, directory: str, full_for: int) -> None:
        super().__init__(directory, BOUND)
        self.full_for = full_for

    def append(self, entries: object) -> int:
        if self.full_for > 0:
            self.full_for -= 1
            raise OSError(28, "No space left on device")
        return super().append(entries)  # type: ignore[arg-type] # passed through


@pytest.mark.parametrize("full_for", range(6))
def test_a_disk_that_is_full_for_a_while_changes_no_order(tmp_path: Path, full_for: int) -> None:
    lost: list[tuple[str, int]] = []
    spool = Failing(str(tmp_path), full_for)
    backlog = Backlog(lambda: spool, lambda reason, number: lost.append((reason, number)))
    seen: list[int] = []
    for number in range(0, 24, 2):
        backlog.add([entry(number), entry(number + 1)])
        if number % 6 == 0:
            taken = backlog.take(10**6, 3)
            seen += told(taken)
            backlog.settle(taken)
    while taken := backlog.take(10**6, 5):
        seen += told(taken)
        backlog.settle(taken)
    assert seen == list(range(24))
    assert backlog.waiting == 0
    assert lost == []


def test_memory_has_a_bound_too() -> None:
    lost: list[tuple[str, int]] = []
    backlog = Backlog(
        lambda: None, lambda reason, number: lost.append((reason, number)), memory_bytes=1000
    )
    for number in range(100):
        backlog.add([entry(number)])
    taken = told(backlog.take(10**6, 1000))
    assert taken == list(range(100 - len(taken), 100))
    assert sum(number for _, number in lost) == 100 - len(taken)
    assert {reason for reason, _ in lost} == {"memory_full"}


def test_what_is_in_flight_at_a_stop_goes_back_to_the_disk(tmp_path: Path) -> None:
    spool = Failing(str(tmp_path), 1)
    backlog = Backlog(lambda: spool, lambda *_: None)
    backlog.add([entry(0), entry(1)])
    in_flight = backlog.take(10**6, 1)
    backlog.close(in_flight)
    again = Spool(str(tmp_path), BOUND)
    assert told(again.take(10**6, 10)) == [0, 1]
