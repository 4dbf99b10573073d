"""A frame that a driver left grey, torn or green between two samples is found, wherever it is."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.clips import clip, ffmpeg
from support.proving import STRUCTURE, copy_of, encode_that, proven

from watcher.errors import Retryable
from watcher.transcode.encoders import Decode
from watcher.transcode.probe import Prober

MOVING: dict[str, Any] = {"seconds": 4, "source": "testsrc2", "audio": None, "crf": 4}

SPOILT = {
    "grey": "drawbox=c=gray:t=fill:w=iw:h=ih:enable='eq(n,57)'",
    "green": "lutyuv=y=0:u=0:v=0:enable='eq(n,57)'",
    "torn": "drawbox=y=ih*3/4:c=black:t=fill:w=iw:h=ih/4:enable='eq(n,57)'",
    "of swapped colours": "swapuv=enable='eq(n,57)'",
    "darker": "lutyuv=y=val-24:enable='eq(n,57)'",
}


@pytest.fixture(scope="module")
def prober() -> Iterator[Prober]:
    with Prober() as one:
        yield one


@pytest.mark.parametrize("filters", SPOILT.values(), ids=SPOILT)
def test_one_spoilt_frame_is_found(prober: Prober, tmp_path: Path, filters: str) -> None:
    source = clip(**MOVING)
    copy = copy_of(source, tmp_path / "copy.mp4", "-vf", filters)
    with pytest.raises(Retryable, match="its frame 57 is another picture") as why:
        proven(prober, source, copy)
    assert why.value.reason == "copy_damaged"


def test_a_picture_that_stands_still_while_the_source_moves_is_found(
    prober: Prober, tmp_path: Path
) -> None:
    source = clip(**MOVING)
    frozen = "split[a][b];[a][b]freezeframes=first=40:last=90:replace=40"
    copy = tmp_path / "copy.mp4"
    coded = ("-c:v", "libx265", "-preset", "ultrafast", "-crf", "24", "-tag:v", "hvc1")
    quiet = ("-x265-params", "log-level=none:pools=1:frame-threads=1")
    exact = ("-fps_mode", "passthrough", "-enc_time_base", "demux")
    ffmpeg(
        "-copyts", "-i", source, "-filter_complex", f"[0:v]{frozen}", *coded, *quiet, *exact, copy
    )
    with pytest.raises(Retryable, match="is another picture"):
        proven(prober, source, copy)


KINDS: dict[str, dict[str, Any]] = {
    "10 bit": {"pix_fmt": "yuv420p10le"},
    "full range": {"pix_fmt": "yuvj420p"},
    "4:4:4, odd": {"pix_fmt": "yuv444p", "width": 63, "height": 47},
    "B-frames, a frame a second": {"fps": "1", "b_frames": 2, "seconds": 8},
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_ordinary_copies_have_no_spoilt_frame(
    prober: Prober, tmp_path: Path, kind: dict[str, Any]
) -> None:
    source = clip(**{**MOVING, **kind})
    report = proven(prober, source, copy_of(source, tmp_path / "copy.mp4"))
    assert report.decode == "full"


def test_where_the_copy_is_not_decoded_whole_no_frame_is_compared(
    prober: Prober, tmp_path: Path
) -> None:
    source = clip(**MOVING)
    copy = copy_of(source, tmp_path / "copy.mp4", "-vf", SPOILT["grey"])
    report = proven(prober, source, copy, replace(STRUCTURE, decode="sampled"))
    assert report.decode == "sampled"
    assert os.path.exists(copy)


def test_a_copy_that_hardware_made_is_looked_at(prober: Prober, tmp_path: Path) -> None:
    source = clip(**MOVING)
    copy = copy_of(source, tmp_path / "copy.mp4", "-vf", SPOILT["green"])
    made = encode_that(encoder="hevc_qsv", decode=Decode.HARDWARE, in_hardware=True)
    with pytest.raises(Retryable, match="its frame 57 is another picture"):
        proven(prober, source, copy, encoded=made)
