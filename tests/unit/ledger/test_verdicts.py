"""Back-off: once a night; three nights' failures quarantine; a projection is retried once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.ledger.verdicts import (
    ANOTHER_NIGHT_AFTER_S,
    BACK_OFF_S,
    CONDITIONS,
    Kind,
    Remembered,
    Subject,
    Verdict,
    after_failure,
    after_refusal,
)

NOW_S = 1_700_000_000.0
DAY_S = 86_400.0
SUBJECT = Subject("/a.mp4", 1, 2, "cam1")


def failed(reason: str, at_s: float, previous: Remembered | None) -> Remembered:
    verdict = after_failure(reason, "{}", at_s, previous)
    return Remembered(SUBJECT, verdict, "", at_s)


def test_a_refusal_stands_for_ever() -> None:
    verdict = after_refusal("already_hevc", "{}", NOW_S)
    assert verdict == Verdict(Kind.REFUSED, "already_hevc", "{}", None)
    assert verdict.stands(NOW_S + 100 * 365 * DAY_S)


def test_a_condition_outside_the_file_is_looked_at_again_the_next_night() -> None:
    for reason in CONDITIONS:
        verdict = after_refusal(reason, "{}", NOW_S)
        assert verdict.stands(NOW_S + 6 * 3600)
        assert not verdict.stands(NOW_S + 21 * 3600)


def test_a_failure_is_tried_again_the_next_night_wherever_in_the_window_it_was() -> None:
    window_s = 4 * 3600
    for into_s in (0, 1, window_s // 2, window_s):
        verdict = failed("encode_failed", NOW_S + into_s, None).verdict
        assert verdict.kind is Kind.FAILED
        assert verdict.stands(NOW_S + window_s)
        assert not verdict.stands(NOW_S + DAY_S + into_s)


def test_three_nights_quarantine() -> None:
    first = failed("encode_failed", NOW_S, None)
    second = failed("stalled", NOW_S + DAY_S, first)
    third = failed("encode_failed", NOW_S + 2 * DAY_S, second)
    assert [r.verdict.kind for r in (first, second, third)] == [
        Kind.FAILED,
        Kind.FAILED,
        Kind.QUARANTINED,
    ]
    assert third.verdict.retry_at_s is None
    assert third.verdict.attempts == third.verdict.nights == 3


def test_many_tries_in_one_night_quarantine_nothing() -> None:
    last = None
    for attempt in range(10):
        last = failed("encode_failed", NOW_S + attempt * 60, last)
    assert last is not None
    assert (last.verdict.kind, last.verdict.attempts, last.verdict.nights) == (Kind.FAILED, 10, 1)


def test_a_projection_is_retried_once_and_then_refused() -> None:
    first = failed("projected", NOW_S, None)
    assert first.verdict.kind is Kind.FAILED
    second = failed("projected", NOW_S + DAY_S, first)
    assert second.verdict.kind is Kind.REFUSED
    assert second.verdict.stands(NOW_S + 1000 * DAY_S)


def test_a_projection_after_another_failure_is_still_retried_once() -> None:
    first = failed("stalled", NOW_S, None)
    second = failed("projected", NOW_S + DAY_S, first)
    assert second.verdict.kind is Kind.FAILED


def test_a_refusal_of_before_is_no_failure() -> None:
    before = Remembered(SUBJECT, after_refusal("open_for_writing", "{}", NOW_S), "", NOW_S)
    assert failed("stalled", NOW_S + DAY_S, before).verdict.attempts == 1


def test_a_clock_that_was_set_back_does_not_postpone_for_years() -> None:
    verdict = failed("encode_failed", NOW_S + 365 * DAY_S, None).verdict
    assert not verdict.stands(NOW_S)


@given(st.lists(st.floats(-3 * DAY_S, 3 * DAY_S), min_size=1, max_size=30))
def test_no_road_through_time_loses_a_file_for_ever_before_three_nights(steps: list[float]) -> None:
    at_s, last, nights = NOW_S, None, 1
    for index, step in enumerate(steps):
        if index and step >= ANOTHER_NIGHT_AFTER_S:
            nights += 1
        at_s += step if index else 0.0
        last = failed("encode_failed", at_s, last)
        assert last.verdict.attempts == index + 1
        assert (last.verdict.kind is Kind.QUARANTINED) == (last.verdict.nights >= 3)
        assert last.verdict.nights == nights
        if last.verdict.kind is Kind.FAILED:
            assert not last.verdict.stands(at_s + BACK_OFF_S)


def test_a_condition_is_looked_at_ever_more_rarely_but_always_again() -> None:
    at_s, last, waits = NOW_S, None, []
    for _ in range(6):
        verdict = after_refusal("hard_link", "{}", at_s, last)
        assert verdict.retry_at_s is not None
        assert verdict.stands(at_s)
        waits.append((verdict.retry_at_s - at_s + 4 * 3600) / DAY_S)
        last = Remembered(SUBJECT, verdict, "", at_s)
        at_s = verdict.retry_at_s
    assert waits == pytest.approx([1, 2, 4, 7, 7, 7], abs=0.001)


def test_a_circumstance_is_no_failure_and_quarantines_nothing() -> None:
    at_s, last = NOW_S, None
    for _ in range(10):
        last = failed("open_for_writing", at_s, last)
        assert last.verdict.kind is Kind.FAILED
        assert last.verdict.stands(at_s)
        at_s += DAY_S
    assert last is not None
    assert last.verdict.nights == 0
    assert failed("stalled", at_s, last).verdict.nights == 1


def test_a_circumstance_between_failures_forgets_none_of_them() -> None:
    last = None
    for night, reason in enumerate(("stalled", "in_progress", "stalled", "vanished", "stalled")):
        last = failed(reason, NOW_S + night * DAY_S, last)
    assert last is not None
    assert last.verdict.kind is Kind.QUARANTINED
