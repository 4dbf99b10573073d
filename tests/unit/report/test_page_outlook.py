"""The forecast in sentences."""

from dataclasses import replace

import pytest

from watcher.ledger.forecast import Forecast, Limit
from watcher.report import outlook

KNOWN = Forecast(
    backlog_files=10,
    backlog_bytes=60_000_000_000,
    inflow_bytes_per_day=12e9,
    can_do_bytes_per_night=30e9,
    nights_to_clear=4,
    lost_share=0.0,
    window_needed_s=5760.0,
    reach_days=6.3,
    could_reach_days=11.2,
    limit=Limit.NOTHING,
    days_around_the_clock=1,
    reach_in_time_days=14.1,
)
NEVER = replace(
    KNOWN,
    can_do_bytes_per_night=9e9,
    nights_to_clear=None,
    window_needed_s=19_200.0,
    lost_share=0.25,
    limit=Limit.WINDOW,
)


def test_never_is_said_as_designed() -> None:
    assert outlook.lines(NEVER) == [
        "never: 12 GB a day come in, 9 GB a night can be done",
        "a window of 5 h 20 min a night would keep up; around the clock: cleared in 1 day",
        "retention deletes 25.0% of what comes due in a month before its turn",
    ]


def test_what_no_window_can_do_is_said_too() -> None:
    assert outlook.lines(replace(NEVER, window_needed_s=90_000.0))[1].startswith("no window is")


def test_nights_to_clear() -> None:
    assert outlook.lines(KNOWN) == [
        "cleared in 4 nights: 12 GB a day come in, 30 GB a night can be done"
    ]
    assert outlook.lines(replace(KNOWN, nights_to_clear=1))[0].startswith("cleared in 1 night:")
    assert outlook.lines(replace(KNOWN, nights_to_clear=0))[0].startswith("nothing waits:")


def test_before_the_first_file() -> None:
    unmeasured = replace(KNOWN, can_do_bytes_per_night=None, nights_to_clear=None, lost_share=None)
    for unknown in (None, unmeasured):
        assert outlook.lines(unknown) == ["not known before the first file has been transcoded"]


LONGER = (
    "What would change that: the recorder deletes by age; a longer retention there would use the"
    " space."
)


@pytest.mark.parametrize(
    ("forecast", "said"),
    [
        (None, []),
        (replace(KNOWN, reach_days=None), []),
        (replace(KNOWN, could_reach_days=None), ["Recordings reach back 6.3 days."]),
        (KNOWN, ["Recordings reach back 6.3 days; they could reach back 11.2 days."]),
        (
            replace(NEVER, window_needed_s=90_000.0),
            [
                "Recordings reach back 6.3 days; they could reach back 11.2 days.",
                "What would change that: a faster encoder.",
            ],
        ),
        (
            replace(KNOWN, limit=Limit.RETENTION),
            [
                "Recordings reach back 6.3 days; they could reach back 11.2 days.",
                LONGER,
            ],
        ),
    ],
)
def test_the_headline_is_in_days(forecast: Forecast | None, said: list[str]) -> None:
    assert outlook.headline(forecast, {}, 7) == said


def test_nothing_comes_of_age_is_said_in_the_designs_words() -> None:
    sentence = "recordings live 4.2 days, min_age_days is 7: nothing will ever come of age"
    assert outlook.never_of_age(4.2, 7) == sentence
    assert outlook.headline(None, {"cam1": 4.2, "cam2": 30.0}, 7) == [
        f"cam1: {sentence}",
        "What would change that: a lower `min_age_days`, or a longer retention in the recorder.",
    ]


def test_what_a_wider_window_would_change_is_said_in_days() -> None:
    assert outlook.headline(NEVER, {}, 7)[-1] == (
        "What would change that: a window of 5 h 20 min a night (14.1 days), or a faster encoder."
    )


def test_a_long_backlog_is_told_what_it_would_be_around_the_clock() -> None:
    long = replace(KNOWN, nights_to_clear=40, days_around_the_clock=3)
    assert outlook.lines(long)[1] == "around the clock: cleared in 3 days"
    assert len(outlook.lines(KNOWN)) == 1


def test_no_saving_that_ever_counts_is_said() -> None:
    (said, _) = outlook.headline(None, {"cam1": 7.5, "cam2": 8.5}, 7, 1)
    assert said == (
        "cam1: recordings live 7.5 days, min_age_days is 7 and originals stay 1 day:"
        " no saving will ever count, so none is made"
    )


def test_a_window_that_was_wholly_held_asks_for_other_hours() -> None:
    assert "run_schedule" in outlook.headline(replace(NEVER, window_needed_s=None), {}, 7)[-1]
