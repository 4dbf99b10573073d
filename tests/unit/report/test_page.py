"""The statistics page: its first part is a contract, character for character."""

import json
from datetime import UTC, datetime

import pytest

from watcher.ledger.forecast import CameraFigures, Night, forecast
from watcher.ledger.stats import Soundness, TranscodingStats
from watcher.report.page import (
    Activity,
    Backlog,
    LastError,
    Originals,
    StatsPage,
    Status,
    render_stats,
    stats_json,
    status_line,
)

NOW_S = datetime(2024, 11, 12, 12, tzinfo=UTC).timestamp()

DESIGNED = """\
=== Transcoding Statistics ===

Files transcoded: 145
Space saved: 68.5 GB (42.3% reduction)
Total original: 161.8 GB
Total transcoded: 93.3 GB

Last transcoded: 2024-11-12 04:23:15
Status: Running (paused - outside schedule window)
Current file: None

Next scheduled run: 2024-11-13 02:00:00
"""


def page(**changes: object) -> StatsPage:
    values: dict[str, object] = {
        "now_s": NOW_S,
        "stats": TranscodingStats(
            files_transcoded=145,
            space_saved=68_500_000_000,
            total_original_size=161_800_000_000,
            total_transcoded_size=93_300_000_000,
            errors=0,
            last_transcoded=datetime(2024, 11, 12, 4, 23, 15, tzinfo=UTC),
        ),
        "status": Status(Activity.OUTSIDE_WINDOW),
        "current_file": None,
        "next_run_s": datetime(2024, 11, 13, 2, tzinfo=UTC).timestamp(),
        "min_age_days": 7,
    }
    return StatsPage(**{**values, **changes})  # type: ignore[arg-type] # values of any field


def test_the_first_part_is_the_designed_one_character_for_character() -> None:
    assert render_stats(page(), UTC).startswith(DESIGNED)


def test_a_fresh_box_has_a_page_without_divisions_by_zero() -> None:
    text = render_stats(page(stats=TranscodingStats()), UTC)
    assert "Space saved: 0.0 GB (0.0% reduction)" in text
    assert "Last transcoded: never" in text
    assert "Forecast: not known before the first file has been transcoded" in text


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (Status(Activity.OUTSIDE_WINDOW), "Running (paused - outside schedule window)"),
        (Status(Activity.TRANSCODING), "Running (transcoding)"),
        (Status(Activity.HELD, "cpu: 43 %, limit 15 %"), "Running (held - cpu: 43 %, limit 15 %)"),
        (Status(Activity.HELD), "Running (held)"),
        (Status(Activity.HALTED, "the disk is full"), "Running (halted - the disk is full)"),
        (Status(Activity.STARTING), "Running (starting)"),
        (Status(Activity.IDLE), "Running (idle - nothing to do)"),
        (Status(Activity.DISABLED), "Disabled"),
        (Status(Activity.NOT_RUNNING), "Not running"),
        (Status(Activity.SILENT), "Running (it does not answer)"),
    ],
)
def test_each_activity_has_its_status_line(status: Status, line: str) -> None:
    assert status_line(status) == line
    assert f"\nStatus: {line}\n" in render_stats(page(status=status), UTC)


def test_every_activity_has_a_line() -> None:
    assert all(status_line(Status(activity)) for activity in Activity)


def test_below_it_stands_all_else() -> None:
    text = render_stats(
        page(
            stats=TranscodingStats(145, 68_500_000_000, 161_800_000_000, 93_300_000_000, 3),
            last_error=LastError(NOW_S, "/cams/a\n.mp4", "encode_failed", "exit 1"),
            backlog=Backlog(212, 310_400_000_000, 40),
            forecast=forecast(
                [
                    CameraFigures(
                        "cam1",
                        inflow_bytes_per_day=12e9,
                        bytes_on_disk=100_000_000_000,
                        oldest_age_days=8.3,
                        backlog=[(8.0, 12_000_000_000)],
                        kept_share=0.5,
                        bytes_per_s=9e9 / 14_400,
                    )
                ],
                Night(open_s_per_day=14_400),
                min_age_days=7,
            ),
            retention_days={"cam2": 4.2},
            originals=Originals(14, 21_300_000_000, NOW_S + 60, overdue=1),
            skipped={"already_hevc": (1100, 80_200_000_000), "damaged_source": (1, 5)},
            soundness={"cam1": Soundness(300, 3), "cam2": Soundness(4), "cam3": Soundness(8, 1, 1)},
            lost={"overflow": 1200, "root_absent": 1},
            resyncs=1201,
            unheard={"cam3": "No such file or directory"},
            partly_unheard={"cam1": "/srv/cam1/nas is an NFS share"},
            unwatched=2,
            status=Status(Activity.HELD, "cpu"),
        ),
        UTC,
    )
    assert text.partition("02:00:00\n")[2] == (
        "\n"
        "Recordings reach back 8.3 days; they could reach back 9.1 days.\n"
        "cam2: recordings live 4.2 days, min_age_days is 7: nothing will ever come of age\n"
        "What would change that: a lower `min_age_days`, or a longer retention in the recorder.\n"
        "What would change that: a window of 5 h 20 min a night (9.7 days), or a faster encoder.\n"
        "\n"
        "Errors: 3 (last 2024-11-12 12:00:00: encode_failed, /cams/a\\n.mp4: exit 1)\n"
        "Backlog: 212 files, 310.4 GB (40 not yet probed)\n"
        "Forecast: never: 12 GB a day come in, 9 GB a night can be done\n"
        "  a window of 5 h 20 min a night would keep up; around the clock: cleared in 1 day\n"
        "Originals waiting: 14 files, 21.3 GB, next deletion 2024-11-12 12:01:00"
        " (1 overdue: `watcher check` says why)\n"
        "Skipped: 1,101 files\n"
        "  already_hevc      1,100 files     80.2 GB  it is HEVC already\n"
        "  damaged_source         1 file      0.0 GB  the recording itself is damaged and stays"
        " exactly as it is\n"
        "  damaged recordings of cam1: 3 of the last 300 (1.0%)\n"
        "  damaged recordings of cam3: 2 of the last 8 (25.0%), 1 of them converted\n"
        "Events lost since the start: 1,201 (overflow 1,200, root_absent 1);"
        " the index was made true again 1,201 times\n"
        "  cam3: nothing is heard of it (No such file or directory)\n"
        "  cam1: nothing is heard of a part of it (/srv/cam1/nas is an NFS share)\n"
        "  directories without a watch, compared every 30 s: 2\n"
        "Held now: cpu\n"
    )


def test_a_loss_that_is_not_mended_yet_and_a_mending_without_a_loss_are_told() -> None:
    said = "Events lost since the start: "
    once = "the index was made true again once"
    assert f"{said}1 (overflow 1)\n" in render_stats(page(lost={"overflow": 1}), UTC)
    assert f"{said}0; {once}\n" in render_stats(page(lost={}, resyncs=1), UTC)
    assert said not in render_stats(page(lost={}), UTC)
    assert stats_json(page(lost={"overflow": 1}, resyncs=2))["index_resynced"] == 2
    assert stats_json(page())["index_resynced"] is None


def test_what_only_a_running_service_knows_is_said_to_be_unknown() -> None:
    text = render_stats(page(status=Status(Activity.NOT_RUNNING), next_run_s=None), UTC)
    assert "Next scheduled run: None" in text
    assert "Backlog: not known (only a running service knows)" in text
    assert "Originals waiting: not known (only a running service knows)" in text


def test_figures_of_a_ledger_that_cannot_be_read_are_not_told_as_whole() -> None:
    text = render_stats(page(ledger_trouble="unable to open database file"), UTC)
    assert "Ledger: can't be used (unable to open database file)" in text


def test_an_open_window_is_the_next_run() -> None:
    assert "Next scheduled run: now (the window is open)" in render_stats(
        page(next_run_s=NOW_S), UTC
    )


def test_the_json_form_is_json_whatever_the_names() -> None:
    said = stats_json(
        page(current_file="/cams/\udcff.mp4", last_error=LastError(NOW_S, "/\udcfe", "x", "y"))
    )
    again = json.loads(json.dumps(said, ensure_ascii=False).encode("utf-8"))
    assert again["space_saved_bytes"] == 68_500_000_000
    assert again["current_file"] == "/cams/\\udcff.mp4"
    assert again["last_transcoded"] == "2024-11-12T04:23:15+00:00"
    assert again["backlog"] is None
