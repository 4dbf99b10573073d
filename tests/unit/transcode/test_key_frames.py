"""What the decoder of the key frames says, and what becomes of it: with one that is made up."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.media_values import info as ordinary
from support.media_values import video
from support.proving import STRUCTURE

from watcher.errors import Refused
from watcher.transcode.decode import Look, Looks
from watcher.transcode.ffmpeg import Ffmpeg
from watcher.transcode.leash import Leash
from watcher.transcode.media import MediaInfo
from watcher.transcode.source import _key_frames, _same_looks
from watcher.transcode.tools import Tools

CONVERT = replace(STRUCTURE, damaged_sources="convert")
PICTURE = "[h264 @ 0x1] [error] error while decoding MB 1 1"
CONTAINER = "[mov,mp4,m4a,3gp,3g2,mj2 @ 0x1] [error] stream 0, offset 0x30: partial file"
SHOWN = (
    "[Parsed_showinfo_1 @ 0x1] [info] n:   0 pts:      0 sar:{sar} s:64x64 i:{fields} iskey:1\n"
    "[Parsed_showinfo_1 @ 0x1] [info] color_range:tv color_space:bt709 color_primaries:bt709"
    " color_trc:bt709\n"
)


class Decoder:
    """A stand-in for ffmpeg that says *said*, what it *shows* where it is asked, and ends so."""

    def __init__(
        self, directory: Path, said: str = "", exit_code: int = 0, shows: str = ""
    ) -> None:
        self.calls = directory / "calls"
        for name, content in (("said", said), ("shows", shows)):
            (directory / name).write_text(content, "utf-8")
        path = directory / "ffmpeg"
        path.write_text(
            f'#!/bin/sh\ncd {directory} && echo "$*" >> calls\necho "#tb 0: 1/25"\n'
            'case "$*" in *showinfo*) cat shows >&2; exit 0;; esac\n'
            f"cat said >&2; exit {exit_code}\n",
            "utf-8",
        )
        path.chmod(0o755)
        nobody: Any = None
        self.tools = Tools(
            Ffmpeg(os.fspath(path), "ffmpeg", frozenset(), frozenset()), nobody, Leash()
        )

    def words(self) -> list[str]:
        """Give each call's words."""
        return self.calls.read_text("utf-8").splitlines()


def look(source: MediaInfo, decoder: Decoder, settings: Any = STRUCTURE) -> None:
    _key_frames(source, decoder.tools, settings)


def reason(source: MediaInfo, decoder: Decoder, settings: Any = STRUCTURE) -> str:
    with pytest.raises(Refused) as refused:
        look(source, decoder, settings)
    return refused.value.reason


SOURCE = replace(ordinary(), video=video())


def test_key_frames_that_decode_in_silence_are_whole(tmp_path: Path) -> None:
    decoder = Decoder(tmp_path, shows=2 * SHOWN.format(sar="1/1", fields="P"))
    look(SOURCE, decoder)
    assert [("showinfo" in call, "-skip_frame" in call) for call in decoder.words()] == [
        (False, True),
        (True, True),
    ]


@pytest.mark.parametrize(
    ("said", "exit_code", "strictly", "tolerated"),
    [
        (PICTURE, 0, "damaged_source", True),
        ("", 1, "damaged_source", True),
        (PICTURE, 1, "damaged_source", True),
        (CONTAINER, 0, "damaged_source", False),
    ],
)
def test_a_word_or_an_exit_code_is_enough_and_convert_bears_those_of_the_picture(
    tmp_path: Path, said: str, exit_code: int, strictly: str, *, tolerated: bool
) -> None:
    decoder = Decoder(tmp_path, said, exit_code)
    assert reason(SOURCE, decoder) == strictly
    if tolerated:
        look(SOURCE, decoder, CONVERT)
    else:
        assert reason(SOURCE, decoder, CONVERT) == strictly


def test_what_the_decoder_shows_is_judged(tmp_path: Path) -> None:
    fields = SHOWN.format(sar="1/1", fields="P") + SHOWN.format(sar="1/1", fields="T")
    assert reason(SOURCE, Decoder(tmp_path, shows=fields)) == "interlaced"
    shapes = SHOWN.format(sar="1/1", fields="P") + SHOWN.format(sar="4/3", fields="P")
    assert reason(SOURCE, Decoder(tmp_path, shows=shapes)) == "format_changes"


def test_all_frames_are_looked_at_where_only_they_can_tell_fields(tmp_path: Path) -> None:
    decoder = Decoder(tmp_path)
    look(replace(SOURCE, video=video(maybe_interlaced=True)), decoder)
    assert ["-skip_frame" in call for call in decoder.words()] == [True, False]


@pytest.mark.parametrize(
    ("seen", "refused"),
    [
        ((Look("1/1", color="a"),), None),
        ((), None),
        ((Look("1/1", color="a"), Look("1/1", color="b")), "format_changes"),
        ((Look("1/1"), Look("4/3")), "format_changes"),
        ((Look("1/1", interlaced=True),), "interlaced"),
        ((Look("1/1"), Look("1/1", interlaced=True)), "interlaced"),
    ],
)
def test_all_frames_have_to_look_alike(seen: tuple[Look, ...], refused: str | None) -> None:
    looks = Looks()
    looks.seen = dict.fromkeys(seen)
    if refused is None:
        _same_looks(looks)
    else:
        with pytest.raises(Refused) as caught:
            _same_looks(looks)
        assert caught.value.reason == refused
