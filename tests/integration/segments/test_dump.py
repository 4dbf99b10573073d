"""The index dump: whole or not at all, one at a time, and events go on."""

import errno
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.clock import ManualClock
from support.emitted import Emitted
from support.mounts import mounted
from support.trees import segment

from watcher.segments.dump import NAME, Dumped, DumpFailed, write_dump
from watcher.segments.index import SegmentIndex
from watcher.segments.segment import Entry

NOW_S = 1_700_000_000.0
DAY_S = 86_400.0


@pytest.fixture
def index() -> SegmentIndex:
    index = SegmentIndex(7 * DAY_S)
    index.put(segment("old.mp4", NOW_S - 9 * DAY_S, 9))
    index.put(segment("hevc.mp4", NOW_S - 8 * DAY_S, 8))
    index.put(segment("young.mp4", NOW_S - 1 * DAY_S, 7))
    index.put(segment("open.mp4", NOW_S, 6), is_open=True)
    index.put(segment("\udcff.mp4", NOW_S - 10 * DAY_S, 5))
    index.settle("/c/hevc.mp4", "already_hevc")
    return index


def dump(where: Path, index: SegmentIndex, emitted: Emitted | None = None) -> Dumped:
    return write_dump(
        os.fspath(where),
        index,
        service={"pid": 7},
        window={"is_open": False},
        gate="hold",
        codec_of=lambda entry: "hevc" if "hevc" in entry.segment.path else None,
        clock=ManualClock(NOW_S),
        emit=emitted or Emitted(),
    )


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_a_first_line_about_the_service_then_a_line_a_segment(
    tmp_path: Path, index: SegmentIndex
) -> None:
    emitted = Emitted()
    dumped = dump(tmp_path, index, emitted)

    first, *rest = lines(tmp_path / NAME)
    assert first == {
        "generated_at": "2023-11-14T22:13:20Z",
        "service": {"pid": 7},
        "window": {"is_open": False},
        "gate": "hold",
        "counts": {
            "segments": 5,
            "size_bytes": 35,
            "due": 2,
            "candidate": 3,
            "open": 1,
            "replaced": 0,
            "settled": 1,
            "by_reason": {"already_hevc": 1},
        },
    }
    assert [row["path"] for row in rest] == [
        "/c/\\xff.mp4",
        "/c/old.mp4",
        "/c/hevc.mp4",
        "/c/young.mp4",
        "/c/open.mp4",
    ]
    assert rest[1] == {
        "path": "/c/old.mp4",
        "camera": "cam",
        "size_bytes": 9,
        "mtime": "2023-11-05T22:13:20Z",
        "age_days": 9.0,
        "state": "candidate",
        "codec": None,
        "eligible_at": "2023-11-12T22:13:20Z",
        "reason": None,
    }
    assert [(row["state"], row["codec"], row["reason"]) for row in rest[2:]] == [
        ("settled", "hevc", "already_hevc"),
        ("candidate", None, "too_young"),
        ("open", None, "open"),
    ]
    assert (dumped.path, dumped.count) == (str(tmp_path / NAME), 5)
    assert emitted.named("index_dumped")[0]["count"] == 5
    assert [one.name for one in tmp_path.iterdir()] == [NAME]


def test_an_mtime_that_no_calendar_has_is_null(tmp_path: Path) -> None:
    index = SegmentIndex(0.0)
    index.put(segment("a.mp4", 9e9))
    index.put(segment("b.mp4", -9e9))
    dump(tmp_path, index)
    assert len(lines(tmp_path / NAME)) == 3


def test_asked_for_twice_at_once_it_says_so(tmp_path: Path, index: SegmentIndex) -> None:
    writing, go_on = threading.Event(), threading.Event()

    def codec_of(_entry: Entry) -> str | None:
        writing.set()
        assert go_on.wait(30)
        return None

    def first() -> None:
        write_dump(str(tmp_path), index, codec_of=codec_of, emit=Emitted())

    thread = threading.Thread(target=first)
    thread.start()
    assert writing.wait(30)
    with pytest.raises(DumpFailed, match="being written") as raised:
        dump(tmp_path, index)
    assert raised.value.reason == "dump_running"
    index.put(segment("new.mp4"))  # events go on meanwhile
    go_on.set()
    thread.join(30)

    assert dump(tmp_path, index).count == 6, "afterwards it works again"


def test_a_reader_never_sees_half_of_it(tmp_path: Path, index: SegmentIndex) -> None:
    dump(tmp_path, index)
    before = (tmp_path / NAME).read_bytes()

    def codec_of(_entry: Entry) -> str | None:
        assert (tmp_path / NAME).read_bytes() == before
        return None

    write_dump(str(tmp_path), index, codec_of=codec_of, emit=Emitted())
    assert (tmp_path / NAME).read_bytes() != before


def test_what_a_crash_left_is_no_hindrance(tmp_path: Path, index: SegmentIndex) -> None:
    (tmp_path / f".{NAME}.writing").write_bytes(b"half a line" * 10_000)
    dump(tmp_path, index)
    assert len(lines(tmp_path / NAME)) == 6


def test_a_state_directory_that_is_gone_is_one_clear_error(
    tmp_path: Path, index: SegmentIndex
) -> None:
    with pytest.raises(DumpFailed, match="No such file or directory") as raised:
        dump(tmp_path / "gone", index)
    assert raised.value.reason == "state_dir"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "state").mkdir()
    with mounted(tmp_path / "state", "-o", "size=64k"):
        yield tmp_path / "state"


def test_a_full_disk_is_one_clear_error_and_the_last_dump_stays(
    small_disk: Path, index: SegmentIndex
) -> None:
    dump(small_disk, index)
    before = (small_disk / NAME).read_bytes()
    for number in range(1_000):
        index.put(segment(f"{number}.mp4", number))

    with pytest.raises(DumpFailed, match=os.strerror(errno.ENOSPC)) as raised:
        dump(small_disk, index)

    assert raised.value.reason == "state_dir"
    assert (small_disk / NAME).read_bytes() == before
    assert [one.name for one in small_disk.iterdir()] == [NAME], "nothing half-made stays behind"
