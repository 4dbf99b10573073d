"""What stands inside a stream beside its pictures: seen wherever it is, carried, or refused."""

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.clips import clip
from support.nals import CAPTION, NOTE, Change, rewritten, sei, with_units
from support.proving import STRUCTURE, copy_of, proven, the_ffmpeg

from watcher.errors import Refused
from watcher.transcode.ffmpeg import encoder_options
from watcher.transcode.media import UserData, VideoInfo
from watcher.transcode.probe import Prober

DROPPED = dataclasses.replace(STRUCTURE, user_data="drop")


@pytest.fixture(scope="module")
def prober() -> Iterator[Prober]:
    with Prober() as one:
        yield one


def looked_at(prober: Prober, path: Path) -> VideoInfo:
    video = prober.probe(os.fspath(path)).video
    assert video is not None
    return video


def annotated(tmp_path: Path, change: Change, name: str = "rec.mp4", **options: Any) -> Path:
    return rewritten(clip(**{"seconds": 1, **options}), tmp_path / name, change)


def user_data(prober: Prober, path: Path) -> dict[str, UserData]:
    return dict(looked_at(prober, path).user_data or {})


def test_a_note_is_seen_in_every_frame_and_in_a_single_one(prober: Prober, tmp_path: Path) -> None:
    everywhere = annotated(tmp_path, with_units(sei(5, NOTE)), "1.mp4", b_frames=2)
    once = annotated(tmp_path, with_units(sei(5, NOTE), at=lambda number: number == 17), "2.mp4")
    assert user_data(prober, everywhere)["unregistered"].messages == 25
    assert user_data(prober, once)["unregistered"].messages == 1


def test_what_an_encoder_says_of_itself_is_no_content(prober: Prober) -> None:
    assert user_data(prober, clip(seconds=1)) == {}
    assert user_data(prober, clip(seconds=1, codec="libx265")) == {}


def test_another_frame_another_content_and_another_order_are_not_the_same(
    prober: Prober, tmp_path: Path
) -> None:
    other = sei(5, NOTE[:-1] + b"6")
    changes = (
        with_units(sei(5, NOTE), other, at=lambda number: number == 3),
        with_units(other, sei(5, NOTE), at=lambda number: number == 3),
        with_units(sei(5, NOTE), other, at=lambda number: number == 4),
        with_units(sei(5, NOTE), sei(5, NOTE), at=lambda number: number == 3),
    )
    digests = {
        user_data(prober, annotated(tmp_path, change, f"{number}.mp4"))["unregistered"].digest
        for number, change in enumerate(changes)
    }
    assert len(digests) == len(changes)


def test_lost_captions_are_seen_and_dropped_ones_counted(prober: Prober, tmp_path: Path) -> None:
    change = with_units(sei(4, CAPTION), sei(4, CAPTION), at=lambda number: number > 12)
    source = annotated(tmp_path, change, b_frames=3)
    good = copy_of(source, tmp_path / "good.mp4", "-a53cc", "1")
    assert proven(prober, source, good).user_data_dropped == 0
    bare = copy_of(source, tmp_path / "bare.mp4", "-a53cc", "0")
    with pytest.raises(Refused, match="captions") as caught:
        proven(prober, source, bare)
    assert caught.value.reason == "user_data_differs"
    assert proven(prober, source, bare, DROPPED).user_data_dropped == 24


def test_captions_of_other_frames_are_seen(prober: Prober, tmp_path: Path) -> None:
    source = annotated(tmp_path, with_units(sei(4, CAPTION), at=lambda number: number == 3))
    late = annotated(tmp_path, with_units(sei(4, CAPTION), at=lambda number: number == 4), "2.mp4")
    copy = copy_of(late, tmp_path / "copy.mp4", "-a53cc", "1")
    with pytest.raises(Refused) as caught:
        proven(prober, source, copy)
    assert caught.value.reason == "user_data_differs"


def test_x265_names_every_note_after_itself(prober: Prober, tmp_path: Path) -> None:
    """Why notes are not carried over by it; where this fails, they can be."""
    source = annotated(tmp_path, with_units(sei(5, NOTE)))
    copy = copy_of(source, tmp_path / "copy.mp4", "-udu_sei", "1")
    assert user_data(prober, copy) == {}
    assert NOTE[16:] in copy.read_bytes()


def test_an_encoders_options_are_asked_of_this_build() -> None:
    assert {"a53cc", "crf"} <= encoder_options(the_ffmpeg(), "libx265")
    assert "a53cc" not in encoder_options(the_ffmpeg(), "libsvtav1")
    assert encoder_options(the_ffmpeg(), "no_such") == frozenset()
