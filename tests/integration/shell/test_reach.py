"""What could not be finished in a night: remembered over restarts, told, never first."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.box import Box
from support.clock import ManualClock
from support.emitted import Emitted
from support.probing import codec_of

from watcher.answers import skipped
from watcher.gate.window import Window
from watcher.job import subject
from watcher.ledger.ledger import Ledger, fingerprint
from watcher.reach import COSTLY_S, LONGEST_S, Reach
from watcher.report.reasons import meaning
from watcher.segments.index import SegmentIndex
from watcher.segments.segment import S_PER_DAY, Segment, Settled
from watcher.settings import Transcoding

NIGHT = 1_700_006_400.0 + 2 * 3600  # a Wednesday, 02:00 UTC
HOUR_S = 3600.0
FILE = Segment("cam1", "/c", "long.mp4", 1000, round((NIGHT - 9 * S_PER_DAY) * 1e9))


class Life:
    """One life of the service: its ledger is the earlier one's."""

    def __init__(self, ledger: Ledger, clock: ManualClock, **settings: object) -> None:
        self.settings = Transcoding().model_copy(update=settings)
        self.decides = fingerprint(self.settings, encoder="libx265", ffmpeg_build="9.0")
        self.ledger, self.clock, self.emitted = ledger, clock, Emitted()
        self.index = SegmentIndex(7 * S_PER_DAY, verdict_of=self._verdict_of)
        window = Window.parse(self.settings.run_schedule, "UTC")
        self.reach = Reach(
            self.settings, window, self.index, ledger, clock=clock, emit=self.emitted
        )
        self.reach.takes("libx265", self.decides)
        self.index.put(FILE)

    def _verdict_of(self, path: str, size: int, mtime_ns: int) -> Settled | None:
        verdict = self.ledger.verdict(path, size, mtime_ns, self.decides)
        if verdict is None or not verdict.stands(self.clock.wall_s()):
            return None
        return Settled(verdict.reason, verdict.retry_at_s)

    @property
    def waits(self) -> bool:
        """Whether the file is a candidate that may be begun."""
        return FILE in list(self.index.due(self.clock.wall_s())) and not self.reach.is_out(FILE)

    @property
    def reason(self) -> str | None:
        entry = self.index.get(FILE.path)
        return entry.reason if entry else None


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NIGHT)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "ledger.sqlite")


@contextmanager
def life(path: str, clock: ManualClock, **settings: object) -> Iterator[Life]:
    with Ledger(path, clock=clock) as ledger:
        yield Life(ledger, clock, **settings)


def test_what_takes_longer_than_any_window_is_not_begun_again_after_a_restart_and_that_is_told(
    path: str, clock: ManualClock
) -> None:
    with life(path, clock) as one:
        one.reach.cut_short(FILE, "window", 9 * HOUR_S, 4 * HOUR_S)
        assert not one.waits
        (told,) = one.emitted.named("transcode_rejected")
        assert told["reason"] == "too_slow"
        assert "9 h 00 min" in str(told["detail"])
        assert "4 h 10 min" in str(told["detail"])
    clock.advance(20 * S_PER_DAY)
    with life(path, clock) as another:
        assert (another.waits, another.reason) == (False, "too_slow")
        assert skipped(another.ledger, another.decides) == {"too_slow": (1, 1000)}
        known = another.ledger.explain(FILE.path)
        assert known is not None
        assert "9 h 00 min" in known.detail
        assert meaning("too_slow").remedy


@pytest.mark.parametrize(
    ("change", "waits"),
    [
        ({"run_schedule": "02:00-12:00"}, True),
        ({"run_schedule": "02:00-06:00, Sun 00:00-10:00"}, True),
        ({"run_schedule": "02:00-07:00"}, False),
        ({"run_schedule": "always"}, True),
        ({"preset": "fast"}, True),
        ({"min_vmaf": 70}, False),
    ],
)
def test_a_window_that_is_long_enough_or_another_way_to_work_lets_it_begin(
    path: str, clock: ManualClock, change: dict[str, object], waits: bool
) -> None:
    with life(path, clock) as one:
        one.reach.cut_short(FILE, "window", 9 * HOUR_S, 4 * HOUR_S)
    with life(path, clock, **change) as another:
        assert another.waits is waits


def test_another_file_at_its_name_is_judged_by_itself(path: str, clock: ManualClock) -> None:
    with life(path, clock) as one:
        one.reach.cut_short(FILE, "window", 9 * HOUR_S, 4 * HOUR_S)
        longer = Segment(FILE.camera, FILE.directory, FILE.name, 1001, FILE.mtime_ns)
        assert one.reach.expected_work_s(longer) is None
        assert not one.reach.is_out(longer)


def test_a_need_counts_for_the_next_choice_over_what_others_took(
    path: str, clock: ManualClock
) -> None:
    with life(path, clock) as one:
        one.reach.cut_short(FILE, "shutdown", 2 * HOUR_S, HOUR_S)
    with life(path, clock) as another:
        assert another.waits
        assert another.reach.expected_work_s(FILE) == 2 * HOUR_S


def test_what_is_cut_short_again_and_again_is_tried_ever_more_rarely(
    path: str, clock: ManualClock
) -> None:
    """It would fit into a night, but for what holds it: in four weeks others have most nights."""
    begun = []
    for night in range(28):
        clock.set_wall(NIGHT + night * S_PER_DAY)
        with life(path, clock) as one:
            if one.waits:
                begun.append(night)
                clock.advance(4 * HOUR_S)
                one.reach.cut_short(FILE, "window", 3 * HOUR_S, HOUR_S)
                assert one.reason == "cut_short"
    assert begun == [0, 1, 3, 7, 14, 21]


def test_after_a_first_pause_that_was_too_long_it_waits_behind_the_others_of_that_night(
    path: str, clock: ManualClock
) -> None:
    with life(path, clock) as one:
        one.reach.cut_short(FILE, "cpu", 3 * HOUR_S, HOUR_S)
        assert (one.waits, one.reach.goes_behind(FILE)) == (True, True)
        one.reach.cut_short(FILE, "cpu", 3 * HOUR_S, HOUR_S)
        assert (one.waits, one.reason) == (False, "cut_short")


def test_the_next_night_it_has_its_turn_again_though_others_are_still_in_line(
    path: str, clock: ManualClock
) -> None:
    """Once switched off in its midst, in a backlog of months it would never have its turn."""
    with life(path, clock) as one:
        one.reach.cut_short(FILE, "disabled", HOUR_S, HOUR_S / 2)
        clock.set_wall(NIGHT + 4 * HOUR_S - 1)
        assert one.reach.goes_behind(FILE)
        clock.set_wall(NIGHT + S_PER_DAY)
        assert (one.waits, one.reach.goes_behind(FILE)) == (True, False)


def test_in_a_window_that_never_closes_it_waits_behind_the_others_for_a_day(
    path: str, clock: ManualClock
) -> None:
    with life(path, clock, run_schedule="always") as one:
        one.reach.cut_short(FILE, "disabled", HOUR_S, HOUR_S / 2)
        clock.advance(S_PER_DAY - 1)
        assert one.reach.goes_behind(FILE)
        clock.advance(1)
        assert not one.reach.goes_behind(FILE)


def test_an_attempt_that_cost_little_is_not_held_against_it(path: str, clock: ManualClock) -> None:
    with life(path, clock) as one:
        for _ in range(5):
            one.reach.cut_short(FILE, "shutdown", 900.0, COSTLY_S - 1)
        assert (one.waits, one.reach.goes_behind(FILE)) == (True, False)


def test_in_a_window_that_never_closes_a_day_is_the_limit(path: str, clock: ManualClock) -> None:
    with life(path, clock, run_schedule="always") as one:
        assert one.reach.limit_s(FILE) == LONGEST_S
        one.reach.cut_short(FILE, "too_slow", 2 * LONGEST_S, LONGEST_S)
        assert (one.waits, one.reason) == (False, "too_slow")


def test_what_ends_after_all_needs_nothing_any_more(path: str, clock: ManualClock) -> None:
    with life(path, clock) as one:
        one.reach.cut_short(FILE, "shutdown", 2 * HOUR_S, HOUR_S)
        one.reach.ended(FILE)
        assert one.reach.expected_work_s(FILE) is None
        assert not one.reach.goes_behind(FILE)


def test_a_person_may_transcode_by_hand_what_no_night_is_long_enough_for(box: Box) -> None:
    config = box.write_config(run_schedule="02:00-06:00")
    path = box.record("cam1", "a.mp4")
    status = path.stat()
    segment = Segment("cam1", str(path.parent), path.name, status.st_size, status.st_mtime_ns)
    box.state.mkdir(exist_ok=True)
    with Ledger(str(box.state / "ledger.sqlite")) as ledger:
        decides = fingerprint(config.transcoding)
        ledger.remember_refusal(subject(segment), "too_slow", "takes 9 h", decides)
    code, said, _ = box.command("why", path)
    assert (code, "longer than any window" in said) == (0, True)
    assert box.command("transcode", path)[0] == 0
    assert codec_of(path) == "hevc"
