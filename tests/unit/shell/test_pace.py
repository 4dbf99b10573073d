"""How long a running job still takes."""

import pytest

from watcher.job import Stage, Step
from watcher.pace import VERIFY_SHARE, begun, left_s, stepped
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
