"""The designed page, from a real ledger that holds what it tells."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from support.clock import ManualClock
from support.emitted import Emitted
from support.verdicts import PRINT, outcome, subject

from watcher.ledger.ledger import Ledger
from watcher.report.page import Activity, LastError, StatsPage, Status, render_stats

LAST_S = datetime(2024, 11, 12, 4, 23, 15, tzinfo=UTC).timestamp()


def test_145_outcomes_make_the_designed_page(tmp_path: Path) -> None:
    clock = ManualClock(LAST_S)
    with Ledger(str(tmp_path / "ledger.sqlite"), clock=clock, emit=Emitted()) as ledger:
        for number in range(145):
            ledger.record_outcome(
                replace(
                    outcome(number),
                    finished_at_s=LAST_S - 60 * (144 - number),
                    original_size=1_115_862_069,
                    new_size=643_448_276,
                )
            )
        ledger.record_outcome(replace(outcome(999), finished_at_s=LAST_S + 9))
        ledger.remember_restored(subject(999))
        ledger.remember_failure(subject(7), "stalled", "no progress for 120 s", PRINT)
        last = ledger.last_failure()
        assert last is not None
        text = render_stats(
            StatsPage(
                now_s=LAST_S,
                stats=ledger.totals(),
                status=Status(Activity.OUTSIDE_WINDOW),
                current_file=None,
                next_run_s=datetime(2024, 11, 13, 2, tzinfo=UTC).timestamp(),
                min_age_days=7,
                last_error=LastError(last.at_s, last.path, last.reason, last.detail),
            ),
            UTC,
        )
    assert text.startswith(
        "=== Transcoding Statistics ===\n"
        "\n"
        "Files transcoded: 145\n"
        "Space saved: 68.5 GB (42.3% reduction)\n"
        "Total original: 161.8 GB\n"
        "Total transcoded: 93.3 GB\n"
        "\n"
        "Last transcoded: 2024-11-12 04:23:15\n"
        "Status: Running (paused - outside schedule window)\n"
        "Current file: None\n"
        "\n"
        "Next scheduled run: 2024-11-13 02:00:00\n"
    )
    assert (
        "Errors: 1 (last 2024-11-12 04:23:15: stalled, /cams/cam1/000007.mp4:"
        " no progress for 120 s)\n"
    ) in text
