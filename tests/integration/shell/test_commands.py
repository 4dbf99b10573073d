"""Each command, its output and its exit code; bad input is a sentence, never a traceback."""

import contextlib
import errno
import io
import json
import os
import re
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.box import Box, make_box
from support.clips import clip_at
from support.mounts import run_limited
from support.probing import codec_of

from watcher import cli


@pytest.fixture(scope="module")
def done() -> Iterator[Box]:
    """A box in which one recording was transcoded by hand."""
    for box in make_box():
        box.write_config()
        path = box.record("cam1", "a.mp4")
        assert box.command("transcode", path)[0] == 0
        yield box


def test_transcode_says_what_was_saved_and_how_long_the_original_stays(box: Box) -> None:
    box.write_config()
    path = box.record("cam1", "a.mp4", age_days=0.1)
    code, said, shown = box.command("transcode", path)
    assert code == 0
    assert said == ""
    assert "saved" in shown
    assert "the original is kept until" in shown
    assert codec_of(path) == "hevc"


def test_what_is_hevc_already_is_refused_for_no_fault(box: Box) -> None:
    box.write_config()
    path = box.record("cam1", "a.mp4", codec="libx265")
    for _ in range(2):  # the second time it is remembered
        code, _, shown = box.command("transcode", path)
        assert code == 3
        assert "HEVC already" in shown


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("missing.mp4", "there is no such file"),
        ("directory.mp4", "no regular file"),
        ("link.mp4", "symbolic link"),
        ("text.mp4", "not_a_recording"),
        ("empty.mp4", "is empty"),
        ("fifo.mp4", "no regular file"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_1(box: Box, name: str, said: str) -> None:
    box.write_config()
    camera = box.top / "cam1"
    (camera / "directory.mp4").mkdir()
    (camera / "link.mp4").symlink_to(clip_at(box.top / "elsewhere.mp4"))
    (camera / "text.mp4").write_text("this is a text\n" * 100, encoding="utf-8")
    (camera / "empty.mp4").touch()
    os.mkfifo(camera / "fifo.mp4")
    before = box.files("cam1")
    code, out, shown = box.command("transcode", camera / name)
    assert code == 1
    assert said in out + shown
    assert "Traceback" not in out + shown
    assert box.files("cam1") == before


def test_several_files_are_all_tried_and_the_worst_is_the_exit_code(box: Box) -> None:
    box.write_config()
    good = box.record("cam1", "a.mp4")
    code, out, _ = box.command("transcode", box.top / "missing.mp4", good)
    assert code == 1
    assert "missing.mp4: there is no such file" in out
    assert codec_of(good) == "hevc"


def test_a_running_job_is_named_and_not_waited_for_where_asked(box: Box) -> None:
    box.write_config()
    path = box.record("cam1", "a.mp4")
    with box.service(enabled=False) as service, service.state.job_lock("/c/x.mp4", wait=False):
        code, said, _ = box.command("transcode", path, "--no-wait")
    assert code == 3
    assert "/c/x.mp4" in said


def test_stats_is_the_page_of_the_design(done: Box) -> None:
    code, said, _ = done.command("stats")
    assert code == 0
    assert said.startswith("=== Transcoding Statistics ===\n\nFiles transcoded: 1\nSpace saved: ")
    assert "\nStatus: Not running\nCurrent file: None\n" in said
    code, said, _ = done.command("stats", "--json")
    assert json.loads(said)["files_transcoded"] == 1


def test_stats_and_why_tell_of_a_camera_that_nothing_is_heard_of(box: Box) -> None:
    with box.service():
        (box.top / "cam2").rmdir()
        assert box.emitted.wait_for("events_lost")["count"] == 1
        path = box.top / "cam2/a.mp4"
        _, said, _ = box.command("stats")
        _, as_json, _ = box.command("stats", "--json")
        _, answer, _ = box.command("why", path)
    assert "Events lost since the start: 1 (root_absent 1)" in said
    assert "  cam2: nothing is heard of it (No such file or directory)" in said
    assert json.loads(as_json)["events_lost"] == {"root_absent": 1}
    assert "nothing is heard of its camera: No such file or directory" in answer


def test_where_the_cameras_use_up_the_limits_of_inotify_stats_still_answers_and_says_so() -> None:
    """Who is told to look at `stats` must not find that the service can't hear the question."""
    script = """
from support.box import make_box
for box in make_box():
    for number in range(5):
        (box.top / f"cam1/{number}").mkdir(parents=True)
    with box.service():
        print(box.command("stats")[1])
"""
    said = run_limited(script, instances=1)
    assert "(instance_limit " in said
    assert "directories without a watch, compared every 30 s: 7" in said
    said = run_limited(script, watches=3)
    assert "(watch_limit " in said
    assert "directories without a watch, compared every 30 s: 5" in said


def test_a_service_that_does_not_answer_is_not_said_to_be_stopped(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watcher.commands._ANSWER_S", 0.2)
    monkeypatch.setattr("watcher.answers.Answers.give", lambda _self, _name: None)
    path = box.record("cam1", "young.mp4", age_days=1)
    with box.service():
        assert "Status: Running (it does not answer)\n" in box.command("stats")[1]
        assert "no service has answered" in box.command("why", path)[1]


def test_a_full_state_directory_says_so_and_keeps_nobody_from_what_can_be_told(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Path, _body: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    box.write_config()
    young = box.record("cam1", "young.mp4", age_days=1)
    with box.service() as service:
        monkeypatch.setattr("watcher.control.write_whole", full)
        assert "Status: Running (it does not answer)\n" in box.command("stats")[1]
        assert "too young" in box.command("why", young)[1]
        code, _, said = box.command("dump")
        assert service.running
    assert (code, said.count("\n")) == (1, 1)
    assert "No space left on device; make some room there" in said


def test_why_looks_at_the_file_itself_before_it_answers(box: Box) -> None:
    """`touch` and `truncate` raise no event: the index has the file as it was."""
    path = box.record("cam1", "a.mp4", age_days=9)
    with box.service(enabled=False) as service:
        assert "too young" not in box.command("why", path)[1]
        os.utime(path)
        assert "too young" in box.command("why", path)[1]
        os.truncate(path, 1)
        box.command("why", path)
        entry = service.watch.index.get(str(path))
        assert entry is not None
        assert entry.segment.size_bytes == 1


def test_why_answers_without_a_service_too(done: Box) -> None:
    young = done.record("cam2", "young.mp4", age_days=1)
    elsewhere = clip_at(done.top / "elsewhere.mp4")
    for path, words in (
        (done.top / "cam1" / "a.mp4", "transcoded"),
        (young, "too young"),
        (elsewhere, "under no configured camera"),
        (done.top / "cam1" / "none.mp4", "no such file"),
        (done.top / "cam1" / "a.mp4.transcoded", "Watcher made it"),
    ):
        code, said, _ = done.command("why", path)
        assert code == 0
        assert words in said
        assert "no service has answered" in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_transcode_that_is_killed_or_loses_its_terminal_removes_what_is_half_made(
    box: Box, number: signal.Signals
) -> None:
    box.write_config()
    box.record("cam1", "long.mp4", seconds=60, width=320, height=240)
    process = box.process("transcode", str(box.top / "cam1" / "long.mp4"))
    box.wait_until(lambda: ".long.mp4.transcoding" in box.files("cam1"))
    process.send_signal(number)
    _, complaint = process.communicate(timeout=120)
    assert process.returncode == 130
    assert complaint.endswith(b"watcher: interrupted; what was half made has been removed\n")
    assert box.files("cam1") == {"long.mp4"}


def test_retry_says_that_the_ledger_cannot_be_used(box: Box) -> None:
    box.write_config()
    path = box.record("cam1", "a.mp4")
    (box.state / "ledger.sqlite").mkdir(parents=True)
    code, said, complaint = box.command("retry", path)
    assert (code, said) == (1, "")
    assert "the ledger can't be used" in complaint


class _Full(io.StringIO):
    def write(self, _text: str) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_an_output_that_takes_no_more_is_told_in_a_sentence(box: Box) -> None:
    box.write_config()
    complaint = io.StringIO()
    with contextlib.redirect_stdout(_Full()), contextlib.redirect_stderr(complaint):
        code = cli.main(["--config", str(box.config_path), "stats"])
    assert (code, complaint.getvalue()) == (1, "watcher: output: No space left on device\n")


def test_retry_forgets_a_verdict(box: Box) -> None:
    box.write_config()
    path = box.record("cam1", "a.mp4", codec="libx265")
    box.command("transcode", path)
    assert "already" in box.command("why", path)[1]
    code, said, _ = box.command("retry", path)
    assert (code, "forgotten" in said) == (0, True)
    assert "already" not in box.command("why", path)[1]


def test_dump_needs_a_service(done: Box) -> None:
    code, _, complaint = done.command("dump")
    assert code == 1
    assert "no service is running" in complaint


def test_transcode_all_plans_without_doing_and_then_does_what_it_planned(box: Box) -> None:
    box.write_config()
    old = box.record("cam1", "old.mp4")
    hevc = box.record("cam1", "hevc.mp4", codec="libx265")
    young = box.record("cam2", "young.mp4", age_days=1)
    code, said, _ = box.command("transcode-all", "--dry-run")
    assert code == 0
    assert f"convert  {old}" in said
    assert f"keep     {hevc}" in said
    assert str(young) not in said
    assert codec_of(old) == "h264"
    assert box.command("transcode-all")[0] == 0
    assert (codec_of(old), codec_of(young)) == ("hevc", "h264")
    assert box.command("transcode-all", "--any-age")[0] == 0
    assert codec_of(young) == "hevc"


def test_transcode_all_outside_the_window_says_when_and_how(box: Box) -> None:
    box.write_config(run_schedule="Mon 00:00-00:01")
    path = box.record("cam1", "a.mp4")
    code, said, _ = box.command("transcode-all")
    assert code == 3
    assert "outside the schedule window" in said
    assert box.command("transcode-all", "--force")[0] == 0
    assert codec_of(path) == "hevc"


def test_restore_takes_a_file_a_glob_and_a_camera(box: Box) -> None:
    box.write_config()
    paths = [box.record("cam1", f"{name}.mp4") for name in "abc"]
    for words in ([str(paths[0])], [f"{box.top}/cam1/b*.mp4"], ["cam1"], [f"{box.top}/cam1"]):
        box.command("transcode", "--force", *paths)
        code, said, _ = box.command("restore", *words)
        assert code == 0
        assert "back in its place" in said
    assert {codec_of(path) for path in paths} == {"h264"}


def test_restore_of_what_was_never_transcoded_says_so(box: Box) -> None:
    box.write_config()
    path = box.record("cam1", "a.mp4")
    code, said, _ = box.command("restore", path)
    assert (code, "it is its original" in said) == (0, True)
    code, said, _ = box.command("restore", box.top / "cam1" / "none.mp4")
    assert code == 1
    assert "neither a recording nor an original" in said


def test_restore_in_what_is_no_directory_says_so_and_goes_on(box: Box) -> None:
    box.write_config()
    path = box.record("cam1", "a.mp4")
    code, said, complaint = box.command("restore", path / "b.mp4", box.top / "no" / "c.mp4", path)
    assert (code, complaint) == (1, "")
    assert "Not a directory" in said
    assert "there is no such directory" in said
    assert "it is its original" in said


def test_cleanup_keeps_what_is_not_due(done: Box) -> None:
    code, said, _ = done.command("cleanup")
    assert code == 0
    assert "0 due; 1 file still kept, the next until" in said
    assert "a.mp4.original" in done.files("cam1")


def test_cleanup_removes_what_is_in_the_way_by_the_line_that_check_gives(box: Box) -> None:
    """Recovery touches nothing that it does not know; `check` names it, its owner removes it."""
    box.write_config()
    stranger = box.record("cam1", "a.mp4").with_name("a.mp4.original")
    stranger.write_bytes(b"a stranger's")
    _, rows, _ = box.command("check", "--json")
    line = re.search(r"`watcher (cleanup [^`]*)`", rows)
    assert line, rows
    code, said, _ = box.command(*shlex.split(line[1]))
    assert (code, said) == (0, f"{stranger}: removed\n")
    assert box.files("cam1") == {"a.mp4"}


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_cleanup_of_a_held_original_that_is_not_due_says_what_it_waits_for(
    done: Box, force: list[str]
) -> None:
    before = done.files("cam1")
    code, said, _ = done.command("cleanup", done.top / "cam1/a.mp4.original", *force)
    assert (code, "in its safety period" in said) == (3, True)
    assert done.files("cam1") == before


def test_cleanup_of_a_recording_or_of_nothing_says_so(done: Box) -> None:
    before = done.files("cam1")
    for name, wanted in [("a.mp4", 3), ("none.mp4.original", 1), ("nowhere/b.mp4.original", 1)]:
        code, said, _ = done.command("cleanup", done.top / "cam1" / name)
        assert (code, said.count("\n")) == (wanted, 1), said
    assert done.files("cam1") == before


def test_a_configuration_with_five_mistakes_tells_all_five_with_their_lines(box: Box) -> None:
    box.config_path.write_text(
        "recordings:\n"
        "  cam1: relative/path\n"
        "transcoding:\n"
        "  min_age_days: minus one\n"
        "  run_schedule: 2am\n"
        "  qualty: 20\n"
        "  max_cpu_percent: 500\n",
        encoding="utf-8",
    )
    for command in (["stats"], ["run"], ["check"], ["why", "x"]):
        code, said, complaint = box.command(*command)
        assert (code, said) == (2, "")
        for line in (2, 4, 5, 6, 7):
            assert f"line {line}" in complaint
        assert "quality" in complaint


def test_no_configuration_says_where_it_was_looked_for(box: Box) -> None:
    code, _, complaint = box.command("stats")
    assert code == 2
    assert str(box.config_path) in complaint


@pytest.mark.parametrize("words", [[], ["fly"], ["transcode"], ["dump", "--format", "xml"]])
def test_wrong_usage_is_exit_code_2(box: Box, words: list[str]) -> None:
    box.write_config()
    code, _, complaint = box.command(*words)
    assert code == 2
    assert "usage:" in complaint


def test_the_first_designs_spellings_still_work(
    box: Box, capsys: pytest.CaptureFixture[str]
) -> None:
    box.write_config()
    path = box.record("cam1", "a.mp4")
    config = ["--config", str(box.config_path)]
    assert cli.camera_recorder([*config, "--transcode-file", str(path)]) == 0
    assert codec_of(path) == "hevc"
    assert cli.camera_recorder([*config, "--transcode-stats"]) == 0
    assert "Files transcoded: 1" in capsys.readouterr().out
    assert cli.camera_recorder([*config, "--transcode-all", "--force"]) == 0
    assert cli.camera_recorder([*config, "--transcode", "disable"]) == 1


def test_run_with_directories_needs_no_file(box: Box, tmp_path: Path) -> None:
    camera = box.top / "cam1"
    camera.mkdir()
    process = box.process()
    process.communicate(timeout=60)
    assert process.returncode == 2
    code, _, complaint = box.command("run", str(tmp_path / "nowhere"))
    assert code == 2
    assert "nowhere" in complaint
