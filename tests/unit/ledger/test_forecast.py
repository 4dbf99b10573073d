"""The forecast: nights to clear, what retention takes first, how far recordings reach."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.ledger.forecast import CameraFigures, Forecast, Limit, Night, forecast, with_window
from watcher.ledger.stats import DAY_S

GB = 1e9
NIGHT_S = 4 * 3600.0
NIGHT = Night(NIGHT_S)


def camera(**changes: object) -> CameraFigures:
    values: dict[str, object] = {
        "camera": "cam1",
        "inflow_bytes_per_day": 12 * GB,
        "bytes_on_disk": int(100 * GB),
        "oldest_age_days": 8.3,
        "kept_share": 0.5,
        "bytes_per_s": 30 * GB / NIGHT_S,
    }
    return CameraFigures(**{**values, **changes})  # type: ignore[arg-type] # values of any field


def foretold(*cameras: CameraFigures, night: Night = NIGHT, min_age: float = 7) -> Forecast:
    return forecast(list(cameras), night, min_age_days=min_age)


def test_a_backlog_clears_by_what_a_night_does_beyond_a_days_inflow() -> None:
    found = foretold(camera(backlog=[(8.0, int(6 * GB))] * 10))
    assert found.can_do_bytes_per_night == pytest.approx(30 * GB)
    assert found.nights_to_clear == math.ceil(60 / (30 - 12))
    assert not found.never
    assert found.lost_share == 0.0


def test_never_says_what_window_would_do() -> None:
    found = foretold(camera(bytes_per_s=9 * GB / NIGHT_S, backlog=[(8.0, int(6 * GB))]))
    assert found.never
    assert found.nights_to_clear is None
    assert found.limit is Limit.WINDOW
    assert found.window_needed_s == pytest.approx(NIGHT_S * 12 / 9)
    assert found.window_needed_s is not None
    wider = with_window(Night(NIGHT_S), found.window_needed_s * 1.1)
    assert not foretold(
        camera(bytes_per_s=9 * GB / NIGHT_S, backlog=[(8.0, int(6 * GB))]), night=wider
    ).never


def test_what_no_window_at_all_would_do() -> None:
    found = foretold(camera(bytes_per_s=9 * GB / NIGHT_S, backlog=[(8.0, int(420 * GB))]))
    assert found.days_around_the_clock == 10  # 54 GB a day, less the 12 that come in
    assert found.reach_in_time_days == pytest.approx(7 + 16 / 6)
    assert found.could_reach_days is not None
    assert found.could_reach_days < 7 + 16 / 6


def test_holds_by_others_count_as_a_shorter_night() -> None:
    found = foretold(camera(), night=Night(NIGHT_S, usable_share=0.5))
    assert found.can_do_bytes_per_night == pytest.approx(15 * GB)


def test_before_the_first_file_nothing_is_guessed() -> None:
    found = foretold(camera(bytes_per_s=None, kept_share=None, backlog=[(8.0, 5)]))
    assert found.can_do_bytes_per_night is None
    assert found.nights_to_clear is None
    assert not found.never
    assert found.lost_share is None
    assert found.limit is Limit.UNMEASURED
    assert found.reach_days == 8.3


def test_an_unmeasured_camera_takes_the_speed_of_the_measured_ones() -> None:
    found = foretold(camera(), camera(camera="cam2", bytes_per_s=None))
    assert found.can_do_bytes_per_night == pytest.approx(30 * GB)
    assert found.inflow_bytes_per_day == pytest.approx(24 * GB)


def test_speeds_of_cameras_are_mixed_by_their_times() -> None:
    found = foretold(
        camera(bytes_per_s=10 * GB / NIGHT_S),
        camera(camera="cam2", bytes_per_s=30 * GB / NIGHT_S),
    )
    assert found.can_do_bytes_per_night == pytest.approx(15 * GB)


def test_what_never_comes_of_age_is_no_inflow() -> None:
    found = foretold(camera(retention_days=4.2))
    assert found.inflow_bytes_per_day == 0
    assert found.limit is Limit.AGE


def test_retention_takes_what_the_nights_cannot_do() -> None:
    slow = camera(bytes_per_s=6 * GB / NIGHT_S, retention_days=10.0)
    found = foretold(slow)
    # Half of the inflow can be done; the first three days' rest still waits for its end.
    assert found.lost_share == pytest.approx(0.45, abs=0.06)
    assert foretold(camera(bytes_per_s=6 * GB / NIGHT_S)).lost_share == 0.0


def test_old_ones_first_saves_what_retention_would_take_next() -> None:
    backlog = [(9.5, int(5 * GB)), (8.0, int(5 * GB))]
    found = foretold(camera(backlog=backlog, retention_days=10.0))
    assert found.lost_share == 0.0


def test_a_million_files_are_told_as_sums() -> None:
    found = foretold(camera(backlog=[(8.0, int(60 * GB))], backlog_files=1_000_000))
    assert found.backlog_files == 1_000_000
    assert found.nights_to_clear == 4


def test_how_far_recordings_could_reach() -> None:
    found = foretold(camera())
    # 84 GB are seven young days; the other 16 GB hold days of 6 GB each.
    assert found.could_reach_days == pytest.approx(7 + 16 / 6)
    assert found.limit is Limit.NOTHING


def test_a_recorder_that_deletes_by_age_leaves_the_space_unused() -> None:
    found = foretold(camera(retention_days=8.3, bytes_on_disk=int(200 * GB)))
    assert found.limit is Limit.RETENTION


def test_every_camera_has_to_reach_back() -> None:
    found = foretold(camera(oldest_age_days=30.0), camera(camera="cam2", oldest_age_days=3.0))
    assert found.reach_days == 3.0


def test_an_empty_box_forecasts_nothing() -> None:
    found = foretold()
    assert found.backlog_bytes == 0
    assert found.reach_days is None
    assert found.limit is Limit.NO_INFLOW
    assert foretold(camera(inflow_bytes_per_day=0.0)).limit is Limit.NO_INFLOW


SIZES = st.integers(0, 10**12)
CAMERAS = st.builds(
    CameraFigures,
    camera=st.just("cam"),
    inflow_bytes_per_day=st.floats(0, 1e12),
    bytes_on_disk=SIZES,
    oldest_age_days=st.one_of(st.none(), st.floats(0, 1e4)),
    backlog=st.lists(st.tuples(st.floats(0, 1e4), SIZES), max_size=5),
    retention_days=st.one_of(st.none(), st.floats(0.1, 1e4)),
    kept_share=st.one_of(st.none(), st.floats(0.01, 1.2)),
    bytes_per_s=st.one_of(st.none(), st.floats(1, 1e9)),
)


@given(
    st.lists(CAMERAS, max_size=3),
    st.floats(0, DAY_S),
    st.floats(0, 1),
    st.floats(0.1, 30),
)
def test_every_answer_is_possible(
    cameras: list[CameraFigures], open_s: float, usable: float, min_age: float
) -> None:
    found = foretold(*cameras, night=Night(open_s, usable), min_age=min_age)
    assert found.lost_share is None or -1e-9 <= found.lost_share <= 1 + 1e-9
    assert found.nights_to_clear is None or found.nights_to_clear >= 0
    assert found.could_reach_days is None or found.could_reach_days >= 0
    assert found.can_do_bytes_per_night is None or found.can_do_bytes_per_night >= 0
    if found.nights_to_clear:
        assert found.can_do_bytes_per_night is not None
        cleared = found.nights_to_clear * (
            found.can_do_bytes_per_night - found.inflow_bytes_per_day
        )
        assert cleared >= found.backlog_bytes * (1 - 1e-9)


@given(st.lists(CAMERAS, min_size=1, max_size=3), st.floats(1, DAY_S / 2), st.floats(0.1, 30))
def test_a_wider_window_never_makes_it_worse(
    cameras: list[CameraFigures], open_s: float, min_age: float
) -> None:
    night = Night(open_s)
    narrow = foretold(*cameras, night=night, min_age=min_age)
    wide = foretold(*cameras, night=with_window(night, 2 * open_s), min_age=min_age)
    if narrow.nights_to_clear is not None:
        assert wide.nights_to_clear is not None
        assert wide.nights_to_clear <= narrow.nights_to_clear
    if narrow.lost_share is not None:
        assert wide.lost_share is not None
        assert wide.lost_share <= narrow.lost_share + 1e-9


def test_what_retention_deletes_before_its_saving_counts_is_no_inflow_and_is_lost() -> None:
    late = camera(retention_days=7.5, backlog=[(7.25, int(6 * GB))])
    found = forecast([late], NIGHT, min_age_days=7, keep_original_days=1)
    assert found.inflow_bytes_per_day == 0
    assert found.limit is Limit.AGE
    assert found.lost_share == 1.0


def test_a_window_that_was_wholly_held_can_do_nothing() -> None:
    found = foretold(camera(backlog=[(8.0, int(6 * GB))]), night=Night(NIGHT_S, usable_share=0.0))
    assert found.never
    assert found.limit is Limit.WINDOW
    assert found.window_needed_s is None
