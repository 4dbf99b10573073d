"""Tables and progress: on a terminal, in a pipe, and with names of any bytes."""

import io
import json
import threading

from rich.console import Console

from watcher.report.progress import JobProgress
from watcher.report.tables import Result, Row, render_rows, results_table, rows_json

ROWS = [
    Row("ok", "configuration", "/etc/watcher/watcher.yaml; cameras: cam1"),
    Row("warn", "inotify", "8192 watches, 9000 directories", "sysctl fs.inotify.max_user_watches"),
    Row("fail", "/cams/\udcff [bold]x", "not\nthere", "mkdir it"),
]


def console(*, terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=100, color_system=None)


def written(to: Console) -> str:
    assert isinstance(to.file, io.StringIO)
    return to.file.getvalue()


def test_every_failing_row_says_how_to_mend_it() -> None:
    text = render_rows(ROWS, console())
    assert "to mend it: sysctl fs.inotify.max_user_watches" in text
    assert "to mend it: mkdir it" in text
    assert "/cams/\\udcff [bold]x" in text
    assert text.rstrip().endswith("1 ok, 1 to look at, 1 failing.")
    text.encode("utf-8")


def test_all_well_is_said_in_one_line() -> None:
    assert render_rows(ROWS[:1], console()).rstrip().endswith("All 1 checks passed.")


def test_the_rows_are_json() -> None:
    again = json.loads(json.dumps(rows_json(ROWS), ensure_ascii=False).encode("utf-8"))
    assert [row["status"] for row in again] == ["ok", "warn", "fail"]
    assert again[0]["remedy"] is None


def test_what_became_of_each_recording_adds_up() -> None:
    to = console()
    to.print(
        results_table(
            [
                Result("a.mp4", 1_000_000, 400_000, "HEVC", 95.12),
                Result("\udcff.mp4", 3_000_000, 1_000_000, "HEVC"),
                Result("c.mp4", 5_000_000, None, "untouched: 3 days old"),
            ]
        )
    )
    text = written(to)
    assert "60.0%" in text
    assert "95.1" in text
    assert "2 of 3 transcoded" in text
    assert "65.0%" in text
    text.encode("utf-8")


def test_a_table_of_nothing_has_no_sum() -> None:
    to = console()
    to.print(results_table([]))
    assert "transcoded" not in written(to)


def run(to: Console) -> str:
    with JobProgress(to) as progress:
        progress.begin("/cams/[red]\udcff.mp4", "encode")
        for step in range(101):
            progress.update(step / 100, speed=1.5, remaining_s=100.0 - step)
        progress.paused("cpu")
        progress.paused("cpu")
        progress.paused(None)
        progress.begin("/cams/[red]\udcff.mp4", "verify")
        progress.update(2.0)
        progress.update(-1.0)
        progress.done("60.0% saved")
    return written(to)


def test_in_a_pipe_progress_is_a_line_a_tenth() -> None:
    lines = run(console()).splitlines()
    assert lines[0] == "[red]\\udcff.mp4: encode"
    assert lines[1] == "[red]\\udcff.mp4: 10 %, 1.5 times real time, 1 min 30 s left"
    assert sum("%, 1.5 times" in line for line in lines) == 10
    assert lines[11:13] == ["[red]\\udcff.mp4: paused: cpu", "[red]\\udcff.mp4: goes on"]
    assert lines[-1] == "[red]\\udcff.mp4: 60.0% saved"


def test_on_a_terminal_it_is_a_bar_that_goes_away() -> None:
    text = run(console(terminal=True))
    assert "60.0% saved" in text
    assert "\x1b[?25h" in text  # the cursor is back


def test_what_was_refused_at_once_has_no_name_before_it() -> None:
    to = console()
    with JobProgress(to) as progress:
        progress.done("refused: it is HEVC already")
    assert written(to) == "refused: it is HEVC already\n"


def test_the_gate_may_pause_while_the_job_goes_to_its_next_stage() -> None:
    to = console(terminal=True)
    with JobProgress(to) as progress:
        stop = threading.Event()

        def gate() -> None:
            while not stop.is_set():
                progress.paused("cpu")
                progress.paused(None)

        thread = threading.Thread(target=gate)
        thread.start()
        for number in range(200):
            progress.begin("/a.mp4", f"stage {number}")
            progress.update(0.5)
        stop.set()
        thread.join()
        progress.done("done")
    assert "done" in written(to)
