"""Totals, expected times, and how long recordings live."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.ledger.stats import (
    Speed,
    TranscodingStats,
    expected_s,
    nothing_comes_of_age,
    observed_retention_days,
    retention_comes_first,
)

DAY_S = 86_400.0


def test_the_first_designs_figures() -> None:
    stats = TranscodingStats(145, 68_500_000_000, 161_800_000_000, 93_300_000_000)
    assert round(stats.percent_saved, 1) == 42.3
    assert TranscodingStats().percent_saved == 0.0


def test_nothing_is_expected_before_something_was_measured() -> None:
    assert expected_s(None, 10**9) is None
    assert expected_s(Speed(1, 0.0, 0.0), 10**9) is None


def test_the_longer_of_two_estimates_counts() -> None:
    speed = Speed(20, media_s_per_s=2.0, bytes_per_s=1e6)
    assert expected_s(speed, 600_000_000) == 600
    assert expected_s(speed, 600_000_000, media_s=1800) == 900
    assert expected_s(speed, 600_000_000, media_s=10) == 600
    assert expected_s(Speed(20, 0.0, 1e6), 1_000_000, media_s=10) == 1


@pytest.mark.parametrize(
    ("ages_days", "retention"),
    [
        ([], None),
        ([7.0] * 7, None),
        ([7.0] * 8, 7.0),
        ([7.0, 7.1, 6.9, 7.0, 0.01, 7.0, 300.0, 7.0], 7.0),
        ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], None),
        ([math.inf, math.nan, -1.0, *[7.0] * 7], None),
    ],
)
def test_retention_is_the_median_of_enough_deletions_that_agree(
    ages_days: list[float], retention: float | None
) -> None:
    found = observed_retention_days([age * DAY_S for age in ages_days])
    assert found == pytest.approx(retention) if retention else found is None


@pytest.mark.parametrize(
    ("age", "retention", "keep", "first"),
    [
        (7.0, None, 1.0, False),
        (7.0, 30.0, 1.0, False),
        (29.5, 30.0, 1.0, True),
        (28.9, 30.0, 1.0, False),
        (29.0, 30.0, 1.0, True),
        (20.0, 30.0, 14.0, True),
    ],
)
def test_a_recording_must_outlive_its_own_original(
    age: float, retention: float | None, keep: float, first: bool
) -> None:
    assert retention_comes_first(age, retention, keep) is first


def test_long_work_counts_against_retention() -> None:
    assert not retention_comes_first(28.99, 30.0, 1.0)
    assert retention_comes_first(28.99, 30.0, 1.0, expected_work_s=2 * 3600)


def test_nothing_comes_of_age() -> None:
    assert nothing_comes_of_age(4.2, 7)
    assert nothing_comes_of_age(7, 7)
    assert not nothing_comes_of_age(7.1, 7)
    assert not nothing_comes_of_age(None, 7)


def test_what_comes_of_age_too_late_to_pay_counts_as_never() -> None:
    assert nothing_comes_of_age(7.5, 7, 1)
    assert retention_comes_first(7.0, 7.5, 1.0)
    assert not nothing_comes_of_age(8.1, 7, 1)
    assert not nothing_comes_of_age(None, 7, 1)


@given(st.floats(0, 1e6), st.one_of(st.none(), st.floats(0, 1e6)), st.floats(0, 100))
def test_what_is_passed_over_at_one_age_is_passed_over_at_every_later_one(
    age: float, retention: float | None, keep: float
) -> None:
    if retention_comes_first(age, retention, keep):
        assert retention_comes_first(age + 1, retention, keep)
