"""`watcher demo`, whole but small: real service, real recorder, each claim found on the disk."""

import io
import json
from dataclasses import replace
from pathlib import Path

import av
import pytest
from rich.console import Console
from support.log_lines import problems

from watcher.demo import fresh_directory, run_demo
from watcher.demo_box import PLANS
from watcher.errors import WatcherError

SMALL = [
    replace(PLANS[1], length_s=3),  # of age: transcoded
    replace(PLANS[3], length_s=1),  # too young
    replace(next(plan for plan in PLANS if plan.special == "hevc"), length_s=1),
]


def test_the_whole_demo(tmp_path: Path) -> None:
    printed = io.StringIO()
    console = Console(file=printed, width=110)
    code = run_demo(str(tmp_path / "demo"), console=console, plans=SMALL)
    said = printed.getvalue()
    assert code == 0, said
    old, young, hevc = sorted((tmp_path / "demo").glob("[gy]*/*/*.mp4"))
    with av.open(str(old)) as container:
        assert container.streams.video[0].codec_context.name == "hevc"
    assert old.with_name(f"{old.name}.original").exists()
    assert "45 frames at the same times" in said
    assert not young.with_name(f"{young.name}.original").exists()
    assert not hevc.with_name(f"{hevc.name}.original").exists()
    assert "=== Transcoding Statistics ===" in said
    assert "0 dropped, 0 duplicated, 0 out of time" in said
    assert "It lost nothing." in said
    lines = (tmp_path / "demo/service.log").read_text(encoding="utf-8").splitlines()
    assert problems(lines) == []
    events = [json.loads(line) for line in lines]
    (finished,) = [one for one in events if one["event"] == "transcode_finished"]
    (night,) = [one for one in events if one["event"] == "night_summary"]
    assert (night["files"], night["failed"], night["rejected"]) == (1, 0, 1)
    assert night["bytes_before"] == finished["original_size_bytes"]
    assert night["bytes_after"] == finished["new_size_bytes"]
    assert night["savings_bytes"] == finished["savings_bytes"]
    assert night["work_s"] > 0
    assert (night["backlog_files"], night["originals_waiting"]) == (0, 1)
    assert night["free_bytes"] > night["floor_bytes"]


class TestItsDirectory:
    def test_it_is_named_by_the_time(self, tmp_path: Path) -> None:
        made = fresh_directory(None, str(tmp_path), 1_700_000_000.0)
        assert Path(made).name == "watcher-demo-20231114-221320"
        with pytest.raises(WatcherError):
            fresh_directory(None, str(tmp_path), 1_700_000_000.0)

    def test_an_empty_one_may_be_given_and_a_full_one_may_not(self, tmp_path: Path) -> None:
        assert fresh_directory(str(tmp_path), "/", 0.0) == str(tmp_path)
        (tmp_path / "mine.mp4").touch()
        with pytest.raises(WatcherError, match="not empty"):
            fresh_directory(str(tmp_path), "/", 0.0)

    @pytest.mark.parametrize("name", ["file/demo", "\udcff"])
    def test_one_that_can_not_be_made(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(WatcherError):
            fresh_directory(name, str(tmp_path), 0.0)
