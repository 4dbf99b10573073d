"""How long a running job still takes."""

import pytest

from watcher.job import Stage, Step
from watcher.pace import VERIFY_SHARE, begun, left_s, needed_s, stepped
from watcher.segments.segment import Segment

SEGMENT = Segment("cam1", "/c", "a.mp4", 1000, 0)


def test_before_it_shows_any_progress_the_ledgers_measure_is_taken() -> None:
    job = begun(SEGMENT, 100.0)
    assert left_s(job, 105.0, 60.0) == 60.0
    assert left_s(job, 105.0, None) is None
    probing = stepped(job, Step(Stage.PROBE), 101.0)
    assert left_s(probing, 105.0, 60.0) == 60.0


def test_while_encoding_its_own_speed_counts_and_the_proof_comes_on_top() -> None:
    job = stepped(begun(SEGMENT, 0.0), Step(Stage.ENCODE, 0.0), 10.0)
    job = stepped(job, Step(Stage.ENCODE, 0.25), 30.0)
    assert left_s(job, 30.0, 5.0) == pytest.approx(60.0 + 80.0 * VERIFY_SHARE)


def test_while_proving_what_is_left_shrinks_to_nothing_and_not_below() -> None:
    job = stepped(begun(SEGMENT, 0.0), Step(Stage.ENCODE, 0.5), 0.0)
    job = stepped(job, Step(Stage.SEAL), 100.0)
    assert left_s(job, 100.0, None) == pytest.approx(100.0 * VERIFY_SHARE)
    job = stepped(job, Step(Stage.VERIFY), 110.0)
    assert left_s(job, 1000.0, None) == 0.0


def test_a_stage_keeps_its_beginning_over_its_steps() -> None:
    job = stepped(begun(SEGMENT, 0.0), Step(Stage.ENCODE, 0.1), 5.0)
    assert stepped(job, Step(Stage.ENCODE, 0.2), 50.0).stage_since_s == 5.0


class TestWhatAnAbortedJobHasShown:
    def test_its_whole_length_by_the_share_that_it_has_done_proof_included(self) -> None:
        job = stepped(begun(SEGMENT, 100.0), Step(Stage.ENCODE, 0.0), 110.0)
        job = stepped(job, Step(Stage.ENCODE, 0.5), 300.0)
        assert needed_s(job, 310.0) == pytest.approx(10.0 + 400.0 * (1 + VERIFY_SHARE))

    @pytest.mark.parametrize("fraction", [None, 0.0, 0.01])
    def test_at_least_twice_what_was_worked_where_that_tells_nothing(
        self, fraction: float | None
    ) -> None:
        job = begun(SEGMENT, 100.0)
        assert needed_s(job, 200.0) == 200.0
        assert needed_s(stepped(job, Step(Stage.ENCODE, fraction), 150.0), 200.0) == 200.0

    def test_more_than_was_worked_even_where_nothing_seems_to_be_left(self) -> None:
        job = stepped(begun(SEGMENT, 0.0), Step(Stage.ENCODE, 0.5), 0.0)
        job = stepped(job, Step(Stage.VERIFY), 100.0)
        assert needed_s(job, 5000.0) == 5000.0 + 4900.0
        assert needed_s(job, 160.0) == 160.0 + 60.0  # the encode is not done a second time
        endless = stepped(begun(SEGMENT, 0.0), Step(Stage.ENCODE, 1.0), 0.0)
        assert needed_s(endless, 1000.0) == 1000.0 * (1 + VERIFY_SHARE)
