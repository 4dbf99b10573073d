"""The index: oldest first, each state in its place, whatever the order of events."""

import threading
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from support.trees import segment

from watcher.segments.entries import CANDIDATE, OPEN
from watcher.segments.index import SegmentIndex
from watcher.segments.segment import Segment, Settled, State

AGE_S = 100.0


@pytest.fixture
def index() -> SegmentIndex:
    return SegmentIndex(AGE_S)


def names(segments: Iterator[Segment]) -> list[str]:
    return [one.name for one in segments]


def state_of(index: SegmentIndex, path: str = "/c/a.mp4") -> State:
    entry = index.get(path)
    assert entry
    return entry.state


class TestTheLine:
    def test_the_oldest_candidate_of_age_is_next(self, index: SegmentIndex) -> None:
        for name, mtime_s in (("b.mp4", 20), ("a.mp4", 10), ("young.mp4", 500)):
            index.put(segment(name, mtime_s))

        assert index.oldest_due(now_s=109) is None
        assert index.oldest_due(now_s=110) == segment("a.mp4", 10)
        assert names(index.due(now_s=130)) == ["a.mp4", "b.mp4"]
        assert index.next_due_s() == 110

    def test_next_due_is_whichever_comes_first_the_age_of_one_or_the_back_off_of_another(
        self, index: SegmentIndex
    ) -> None:
        index.put(segment("failed.mp4", 10))
        index.settle("/c/failed.mp4", "encoder_failed", until_s=400)
        assert index.next_due_s() == 400
        index.put(segment("young.mp4", 350))
        assert index.next_due_s() == 400
        index.put(segment("older.mp4", 250))
        assert index.next_due_s() == 350

    def test_what_is_put_back_into_the_line_stands_there_once(self, index: SegmentIndex) -> None:
        index.put(segment("a.mp4", 10))
        index.settle("/c/a.mp4", "already_hevc")
        index.unsettle("/c/a.mp4")
        assert names(index.due(1_000)) == ["a.mp4"]
        assert len(index) == index.counts().segments == len(index.snapshot()) == 1
        index.remove("/c/a.mp4")
        assert (len(index), index.snapshot(), names(index.due(1_000))) == (0, [], [])

    def test_what_is_skipped_stays_in_line(self, index: SegmentIndex) -> None:
        for number in range(600):
            index.put(segment(f"{number:03}.mp4", number))
        found = index.oldest_due(10_000, skip=lambda one: one.name < "500.mp4")
        assert found
        assert found.name == "500.mp4"
        assert index.position("/c/500.mp4") == 501
        assert len(names(index.due(10_000))) == 600

    def test_the_line_may_change_while_it_is_walked(self, index: SegmentIndex) -> None:
        for number in range(100):
            index.put(segment(f"{number:02}.mp4", number))
        seen = []
        for one in index.due(10_000):
            seen.append(one.name)
            index.remove(one.path)
            index.settle(f"/c/{int(one.name[:2]) + 50:02}.mp4", "failed")
        assert seen[:20] == [f"{n:02}.mp4" for n in range(20)]
        assert len(index) == 100 - len(seen)

    def test_position_counts_candidates_alone(self, index: SegmentIndex) -> None:
        for number in range(5):
            index.put(segment(f"{number}.mp4", number))
        index.settle("/c/0.mp4", "already_hevc")
        assert index.position("/c/0.mp4") is None
        assert index.position("/c/1.mp4") == 1
        assert index.position("/c/4.mp4") == 4
        assert index.position("/elsewhere.mp4") is None

    def test_min_age_may_change(self, index: SegmentIndex) -> None:
        index.put(segment(mtime_s=10))
        index.min_age_s = 0.0
        assert index.next_due_s() == 10
        assert index.oldest_due(10) == segment(mtime_s=10)

    def test_nothing_is_due_in_an_empty_index(self, index: SegmentIndex) -> None:
        assert index.next_due_s() is None
        assert index.oldest_due(1e12) is None
        assert index.counts(0).segments == len(index) == 0


class TestStates:
    def test_an_open_one_is_no_candidate_until_closed(self, index: SegmentIndex) -> None:
        index.put(segment(), is_open=True)
        assert state_of(index) is State.OPEN
        assert index.oldest_due(1e12) is None
        assert index.open_segments() == [segment()]

        index.put(segment())
        assert state_of(index) is State.CANDIDATE
        assert index.open_segments() == []

    def test_nothing_beside_our_own_file_is_a_candidate(self, index: SegmentIndex) -> None:
        index.put_sidecar("/c", "a.mp4", "a.mp4.original")
        index.put(segment())
        index.put_sidecar("/c", "a.mp4", "a.mp4.transcoded")
        assert state_of(index) is State.REPLACED
        assert index.sidecars("/c/a.mp4") == {"a.mp4.original", "a.mp4.transcoded"}

        index.remove_sidecar("/c", "a.mp4", "a.mp4.original")
        assert state_of(index) is State.REPLACED
        index.settle("/c/a.mp4", "already_hevc")
        index.unsettle("/c/a.mp4")
        assert state_of(index) is State.REPLACED

        index.remove_sidecar("/c", "a.mp4", "a.mp4.transcoded")
        assert state_of(index) is State.CANDIDATE

    def test_after_the_last_of_our_files_the_ledger_is_asked(self) -> None:
        index = SegmentIndex(AGE_S, lambda *_: Settled("restored"))
        index.put_sidecar("/c", "a.mp4", "a.mp4.original")
        index.put(segment())
        index.remove_sidecar("/c", "a.mp4", "a.mp4.original")
        entry = index.get("/c/a.mp4")
        assert entry
        assert (entry.state, entry.reason) == (State.SETTLED, "restored")

    def test_a_verdict_lasts_until_its_time(self, index: SegmentIndex) -> None:
        index.put(segment(mtime_s=10))
        index.settle("/c/a.mp4", "failed", until_s=1_000)
        assert index.next_due_s() == 1_000
        assert index.oldest_due(999) is None
        assert index.counts(999).by_reason == {"failed": 1}
        assert index.oldest_due(1_000) == segment(mtime_s=10)
        assert state_of(index) is State.CANDIDATE

    def test_a_back_off_never_makes_a_young_one_due(self, index: SegmentIndex) -> None:
        index.put(segment(mtime_s=10))
        index.settle("/c/a.mp4", "failed", until_s=50)
        assert index.next_due_s() == 110
        assert index.oldest_due(60) is None

    def test_of_two_back_offs_the_one_that_comes_due_first_counts(
        self, index: SegmentIndex
    ) -> None:
        index.put(segment("young.mp4", 900))
        index.put(segment("old.mp4", 0))
        index.settle("/c/young.mp4", "failed", until_s=150)
        index.settle("/c/old.mp4", "failed", until_s=160)
        assert index.next_due_s() == 160
        index.min_age_s = 0.0
        assert index.next_due_s() == 160
        assert [one.name for one in index.due(900)] == ["old.mp4", "young.mp4"]

    @pytest.mark.parametrize("before", ["nothing", "sidecar", "verdict", "another size", "all"])
    def test_a_whole_directory_at_once_is_judged_as_one_file_is(self, before: str) -> None:
        """As the first walk puts it in: what was decided and what was done is not done again."""
        known = {before} if before != "all" else {"sidecar", "verdict", "another size"}
        hevc = ("/c/07.mp4", 1, 7 * 10**9)
        decided = {hevc: Settled("already_hevc")} if "verdict" in known else {}
        index = SegmentIndex(AGE_S, lambda *file: decided.get(file))
        special = {"09.mp4": State.OPEN}
        if decided:
            special["07.mp4"] = State.SETTLED
        if "sidecar" in known:
            index.put_sidecar("/c", "08.mp4", "08.mp4.original")
            special["08.mp4"] = State.REPLACED
        if "another size" in known:
            index.put(segment("06.mp4", 6, 999))
        found = [
            (number * 10**9, 1, "/c", f"{number:02}.mp4", OPEN if number == 9 else CANDIDATE)
            for number in range(40)
        ]
        assert index.put_many("cam", "/c", found) == 40
        assert {entry.segment.size_bytes for entry in index.snapshot()} == {1}
        for entry in index.snapshot():
            assert entry.state is special.get(entry.segment.name, State.CANDIDATE), entry
        assert len(names(index.due(1_000))) == len(index) - len(special) == 40 - len(special)

    def test_a_verdict_is_asked_for_what_is_new_or_changed_alone(self) -> None:
        asked = []

        def verdict_of(path: str, size: int, mtime_ns: int) -> Settled | None:
            asked.append((path, size, mtime_ns))
            return Settled("already_hevc") if size == 1 else None

        index = SegmentIndex(AGE_S, verdict_of)
        index.put(segment(), is_open=True)
        assert asked == []
        index.put(segment())
        index.put(segment())
        assert asked == [("/c/a.mp4", 1, 0)]
        assert state_of(index) is State.SETTLED

        index.put(segment(size=2))
        assert state_of(index) is State.CANDIDATE, "another file, another verdict"

    def test_changed_limits_void_verdicts(self) -> None:
        verdicts: dict[str, Settled] = {"/c/a.mp4": Settled("saves_too_little")}
        index = SegmentIndex(AGE_S, lambda path, *_: verdicts.get(path))
        index.put(segment())
        index.put(segment("b.mp4"))
        verdicts.clear()
        verdicts["/c/b.mp4"] = Settled("codec_not_listed", until_s=7)

        index.rejudge()

        assert state_of(index, "/c/a.mp4") is State.CANDIDATE
        assert state_of(index, "/c/b.mp4") is State.SETTLED

    def test_the_ledger_may_ask_the_index_back(self) -> None:
        """No lock is held while a caller's function runs, on whatever thread it asks."""
        answers: list[int] = []

        def verdict_of(*_: object) -> Settled:
            asking = threading.Thread(target=lambda: answers.append(len(mine.snapshot())))
            asking.start()
            asking.join(30)
            return Settled("already_hevc")

        mine = SegmentIndex(AGE_S, verdict_of)
        mine.put(segment())
        mine.move_directory("/c", "/d")
        mine.rejudge()
        assert answers == [0, 0, 1]


class TestDirectories:
    def test_a_renamed_directory_keeps_everything(self, index: SegmentIndex) -> None:
        index.put(segment("a.mp4", 1))
        index.put(segment("b.mp4", 2), is_open=True)
        index.put(segment("d.mp4", 3))
        index.put_sidecar("/c", "d.mp4", "d.mp4.original")

        index.move_directory("/c", "/d")

        assert [(e.segment.path, e.state) for e in index.snapshot()] == [
            ("/d/a.mp4", State.CANDIDATE),
            ("/d/b.mp4", State.OPEN),
            ("/d/d.mp4", State.REPLACED),
        ]
        assert index.get("/c/a.mp4") is None

    def test_a_renamed_directorys_verdicts_are_its_new_paths(self) -> None:
        index = SegmentIndex(AGE_S, lambda p, *_: Settled("x") if p == "/c/a.mp4" else None)
        index.put(segment())
        index.move_directory("/c", "/d")
        assert state_of(index, "/d/a.mp4") is State.CANDIDATE

    def test_a_directory_goes_alone(self, index: SegmentIndex) -> None:
        index.put(segment("a.mp4"))
        index.put(segment("b.mp4", at="/c/d"))
        assert [e.segment.path for e in index.remove_directory("/c")] == ["/c/a.mp4"]
        assert [e.segment.path for e in index.snapshot()] == ["/c/d/b.mp4"]
        assert index.remove_directory("/c") == []
        assert index.move_directory("/c", "/e") == 0


def test_slices_give_each_once_while_states_change(index: SegmentIndex) -> None:
    for number in range(50):
        index.put(segment(f"{number:02}.mp4", number))
    seen = []
    for items in index.slices(7):
        seen += [item[3] for item in items]
        for item in items:
            index.settle(f"/c/{item[3]}", "already_hevc")
    assert seen == [f"{number:02}.mp4" for number in range(50)]


NAMES = st.sampled_from([f"{letter}.mp4" for letter in "abcdef"])
PLACES = st.sampled_from(["/c", "/c/d"])
TIMES_S = st.integers(0, 300)


class Model(RuleBasedStateMachine):
    """The index against a dictionary that is sorted anew for each question."""

    def __init__(self) -> None:
        super().__init__()
        self.index = SegmentIndex(AGE_S)
        self.files: dict[str, tuple[Segment, bool]] = {}
        self.verdicts: dict[str, tuple[str, float | None]] = {}
        self.beside: set[tuple[str, str]] = set()

    @rule(at=PLACES, name=NAMES, mtime_s=TIMES_S, size=st.integers(0, 2), is_open=st.booleans())
    def put(self, at: str, name: str, mtime_s: int, size: int, is_open: bool) -> None:
        one = segment(name, mtime_s, size, at)
        before = self.files.get(one.path)
        self.index.put(one, is_open=is_open)
        beside = (at, name) in self.beside
        if before is None or before[0] != one or (before[1] != is_open and not beside):
            self.verdicts.pop(one.path, None)
        self.files[one.path] = (one, is_open)

    @rule(at=PLACES, name=NAMES)
    def remove(self, at: str, name: str) -> None:
        self.index.remove(f"{at}/{name}")
        self.files.pop(f"{at}/{name}", None)
        self.verdicts.pop(f"{at}/{name}", None)

    @rule(at=PLACES, name=NAMES, until_s=st.none() | TIMES_S)
    def settle(self, at: str, name: str, until_s: int | None) -> None:
        path = f"{at}/{name}"
        self.index.settle(path, f"because{until_s}", until_s)
        if path in self.files and not self.files[path][1] and (at, name) not in self.beside:
            self.verdicts[path] = (f"because{until_s}", until_s)

    @rule(at=PLACES, name=NAMES)
    def unsettle(self, at: str, name: str) -> None:
        self.index.unsettle(f"{at}/{name}")
        if (at, name) not in self.beside:
            self.verdicts.pop(f"{at}/{name}", None)

    @rule(at=PLACES, name=NAMES)
    def put_sidecar(self, at: str, name: str) -> None:
        self.index.put_sidecar(at, name, f"{name}.original")
        self.beside.add((at, name))
        self.verdicts.pop(f"{at}/{name}", None)

    @rule(at=PLACES, name=NAMES)
    def remove_sidecar(self, at: str, name: str) -> None:
        path = f"{at}/{name}"
        self.index.remove_sidecar(at, name, f"{name}.original")
        if (at, name) in self.beside and path in self.files:
            self.files[path] = (self.files[path][0], False)
        self.beside.discard((at, name))

    @rule(now_s=st.integers(0, 500))
    def ask(self, now_s: int) -> None:
        due = names(self.index.due(now_s))
        for path, (_, until_s) in list(self.verdicts.items()):
            of_age_s = self.files[path][0].mtime_s + AGE_S
            if until_s is not None and max(until_s, of_age_s) <= now_s:
                del self.verdicts[path]  # not before it can be due: nobody has asked for it
        expected = [s.name for s in self.line() if s.mtime_s + AGE_S <= now_s]
        assert due == expected
        assert self.index.counts(now_s).due == len(expected)

    @invariant()
    def agrees(self) -> None:
        everything = oldest_first(s for s, _ in self.files.values())
        assert [entry.segment for entry in self.index.snapshot()] == everything
        assert len(self.index) == len(everything)
        counts = self.index.counts()
        assert counts.size_bytes == sum(s.size_bytes for s in everything)
        assert counts.by_state[State.CANDIDATE] == len(self.line())
        assert sum(counts.by_state.values()) == counts.segments == len(everything)
        times = [s.mtime_s + AGE_S for s in self.line()]
        for path, (_, until_s) in self.verdicts.items():
            if until_s is not None:
                times.append(max(until_s, self.files[path][0].mtime_s + AGE_S))
        assert self.index.next_due_s() == min(times, default=None)
        for position, one in enumerate(self.line(), 1):
            assert self.index.position(one.path) == position

    def line(self) -> list[Segment]:
        found = [
            one
            for path, (one, is_open) in self.files.items()
            if not is_open and path not in self.verdicts
            if (one.directory, one.name) not in self.beside
        ]
        return oldest_first(found)


def oldest_first(segments: Iterable[Segment]) -> list[Segment]:
    return sorted(segments, key=lambda s: (s.mtime_ns, s.size_bytes, s.directory, s.name))


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=60, stateful_step_count=40, deadline=None, database=None)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([f"{number}.mp4" for number in range(60)]),
            st.integers(0, 99),
            st.integers(0, 99),
            st.booleans(),
        ),
        min_size=17,
        max_size=90,
    )
)
def test_a_whole_listing_at_once_is_what_its_files_are_one_by_one(
    found: list[tuple[str, int, int, bool]],
) -> None:
    """Whatever a listing says, and though it says a name twice: the last word counts."""
    at_once, one_by_one = SegmentIndex(0.0), SegmentIndex(0.0)
    items = [(mtime, size, "/cams", name, int(is_open)) for name, size, mtime, is_open in found]
    at_once.put_many("cam1", "/cams", items)
    for name, size_bytes, mtime_ns, is_open in {one[0]: one for one in found}.values():
        one_by_one.put(Segment("cam1", "/cams", name, size_bytes, mtime_ns), is_open=is_open)
    assert at_once.snapshot() == one_by_one.snapshot()
    assert at_once.counts() == one_by_one.counts()
    assert at_once.open_segments() == one_by_one.open_segments()
