"""Whether the nights are long enough is said before the first one, as an estimate."""

from dataclasses import replace
from fractions import Fraction

import pytest

from watcher.check_pace import Flow, flow_of, pace_row
from watcher.survey import Survey
from watcher.transcode.media import MediaInfo, VideoInfo

DAY_S = 86_400.0


def media(length_s: float | None = 1800.0, fps: float | None = 60.0) -> MediaInfo:
    video = VideoInfo(
        index=0, codec="h264", profile="High", level=51, width=2560, height=1440,
        pix_fmt="yuv420p", bit_depth=8, time_base=Fraction(1, 90000), fps=fps, start=0,
        duration_s=length_s,
    )  # fmt: skip
    return MediaInfo("/x.mp4", "mp4", 1, 0, length_s, 0.0, (), video)


def seen(recordings: int = 48 * 7 + 1, days: float = 7) -> Survey:
    return Survey(recordings=recordings, oldest_s=0.0, newest_s=days * DAY_S)


def test_a_camera_that_records_around_the_clock_brings_a_day_a_day() -> None:
    flow = flow_of("cam1", seen(), media())
    assert flow == Flow("cam1", DAY_S, 2560, 1440, 60.0)
    assert str(flow) == "cam1 24.0 h of 2560x1440 at 60 fps"


def test_a_camera_that_records_on_motion_brings_less() -> None:
    flow = flow_of("cam1", seen(recordings=22, days=7), media(length_s=600.0))
    assert flow is not None
    assert flow.media_s_per_day == pytest.approx(3 * 600)


def test_no_day_has_more_than_a_day() -> None:
    flow = flow_of("cam1", seen(recordings=10_000), media())
    assert flow is not None
    assert flow.media_s_per_day == DAY_S


@pytest.mark.parametrize(
    ("survey", "info"),
    [
        (seen(recordings=1), media()),
        (seen(days=0.2), media()),
        (seen(), media(length_s=None)),
        (Survey(recordings=9), media()),
        (seen(), replace(media(), video=None)),
    ],
)
def test_what_says_nothing_yet_is_left_out(survey: Survey, info: MediaInfo) -> None:
    assert flow_of("cam1", survey, info) is None


def test_the_reference_machine_can_not_clear_two_cameras_in_a_night() -> None:
    flows = [Flow(name, DAY_S, 2560, 1440, 60.0) for name in ("cam1", "cam2")]
    # half of real time at 1440p60 is 4.8 times real time at the trial's 720p25
    row = pace_row(flows, 4.8, 4.0)
    assert row.status == "warn"
    assert "about 96.0 h" in row.finding
    assert "about 4 %" in (row.remedy or "")


def test_a_quiet_camera_fits() -> None:
    assert pace_row([Flow("cam1", 3600.0, 1280, 720, 25.0)], 1.0, 4.0).status == "ok"
