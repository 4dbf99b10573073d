"""Whose fault a line of ffmpeg's is, and how many frames a log comes to."""

import pytest

from watcher.transcode.damage import Damage, judge_lines, spread, tolerable
from watcher.transcode.decode import Looks, decode_words, looked_at, without_name

FRAME = [
    "[h264 @ 0x55] [error] cbp too large (125) at 7 5",
    "[h264 @ 0x55] [error] error while decoding MB 7 5",
    "[vist#0:0/h264 @ 0x55] [dec:h264 @ 0x56] [warning] corrupt decoded frame",
]
LOST = [
    "[h264 @ 0x55] [error] Invalid NAL unit size (0 > 2144).",
    "[h264 @ 0x55] [error] missing picture in access unit with size 2148",
    "[vist#0:0/h264 @ 0x1] [dec:h264 @ 0x2] [error] Error submitting packet to decoder: Invalid",
]
SOUND = [
    "[aac @ 0x1] [error] Input buffer exhausted before END element found",
    "[aist#0:1/aac @ 0x1] [dec:aac @ 0x2] [error] Error submitting packet to decoder: Invalid",
]


def test_a_damaged_frame_is_one_whatever_is_said_of_it() -> None:
    assert judge_lines(FRAME).frames == 1
    assert judge_lines(FRAME * 7 + LOST).frames == 8


def test_a_line_that_stands_for_itself_counts_as_a_frame() -> None:
    odd = "[h264 @ 0x1] [error] co located POCs unavailable"
    assert judge_lines([*FRAME, odd, odd]).frames == 3


def test_details_without_a_summary_are_a_frame_at_least() -> None:
    assert judge_lines(FRAME[:2]).frames == 1


def test_sound_is_told_from_the_picture() -> None:
    found = judge_lines(FRAME + SOUND, ["aac"])
    assert (found.frames, found.packets) == (1, 1)
    assert len(found.sound) == 2


@pytest.mark.parametrize(
    "line",
    [
        "[in#0/mov,mp4,m4a,3gp,3g2,mj2 @ 0x1] [warning] Packet corrupt (stream = 0, dts = 1).",
        "[in#0 @ 0x1] [warning] Found duplicated MOOV Atom. Skipped it",
        "[matroska,webm @ 0x1] [error] File ended prematurely",
        "[error] Truncating packet of size 24 to 23",
        "something that nobody knows",
    ],
)
def test_what_is_neither_picture_nor_sound_is_the_container(line: str) -> None:
    assert judge_lines([line]).container == (line,)


@pytest.mark.parametrize(
    "line",
    [
        "[mp4 @ 0x1] [warning] track 1: codec frame size is not set",
        "[out#0/mp4 @ 0x1] [warning] something about the output",
        "[libx265 @ 0x1] [warning] slow",
        "x265 [warning]: slow",
        "Svt[info]: fast",
        "[vost#0:0/libx265 @ 0x1] [warning] something",
    ],
)
def test_what_wrote_the_copy_speaks_of_the_copy(line: str) -> None:
    assert judge_lines([line]) == Damage()


def test_half_a_percent_is_taken_and_no_more() -> None:
    assert tolerable(judge_lines(FRAME), 200, 0)
    assert not tolerable(judge_lines(FRAME), 199, 0)
    assert tolerable(judge_lines(SOUND, ["aac"]), 200, 200)
    assert not tolerable(judge_lines(SOUND, ["aac"]), 200, 100)


def test_a_damaged_frame_damages_all_up_to_the_next_key_frame() -> None:
    found = judge_lines(FRAME * 2)
    assert spread(found, 1000, 25).frames == 50
    assert spread(found, 40, 25).frames == 40
    assert spread(found, 1000, None).frames == 1000
    assert spread(Damage(), 1000, None).frames == 0


def test_what_can_not_be_counted_is_not_taken() -> None:
    assert not tolerable(judge_lines(FRAME, complete=False), 10_000, 0)
    assert not tolerable(judge_lines(["[in#0 @ 0x1] [warning] odd"]), 10_000, 0)


def test_every_line_of_warning_or_worse_is_looked_at() -> None:
    log = """[info] Input #0, mov, from 'file:a
b.mp4':
[info]   Duration: 00:00:02.00
[aist#0:1/pcm_mulaw @ 0x1] [warning] Guessed Channel Layout: mono
[h264 @ 0x1] [error] cbp too large
[in#0 @ 0x1] [warning] Detected creation time before 1970, parsing as unix timestamp.
[af#1:0 @ 0x1] [warning] No filtered frames for output stream, trying to initialize anyway.
[in#0 @ 0x1] [warning] UDTA parsing failed retrying raw
[in#0 @ 0x1] [warning] nAvgBytesPerSec 1000 inconsistent with other fields (expected 8000), over.
[warning] odd
"""
    assert looked_at(log) == ["[h264 @ 0x1] [error] cbp too large", "[warning] odd"]
    assert looked_at("implib-gen: failed\n") == ["implib-gen: failed"]


def test_a_decoder_that_speaks_in_the_middle_of_a_line_changes_no_color() -> None:
    look = (
        b"[Parsed_showinfo_1 @ 0x1] [info] n:0 pts:0 fmt:yuv420p sar:1/1 s:8x8 i:P iskey:1 type:I\n"
        b"[Parsed_showinfo_1 @ 0x1] [info] color_range:tv color_space:bt709"
        b" color_primaries:bt709 color_trc:bt709"
    )
    looks = Looks()
    looks.add(look + b"\n" + look + b"[h264 @ 0x1] [error] cbp too large\n\n" + look)
    looks.add(b" \r\n")
    assert len(looks.seen) == 1
    looks.add(look.replace(b"trc:bt709", b"trc:linear") + b"\n")
    assert len(looks.seen) == 2


def test_a_name_can_not_speak_for_ffmpeg() -> None:
    log = "[info] Input #0, mov, from 'file:/r/x\n[h264 @ 0x1] [error] y.mp4':\n"
    assert looked_at(without_name(log, "/r/x\n[h264 @ 0x1] [error] y.mp4")) == []


def test_a_pass_reads_one_file_as_one_container_and_nothing_else() -> None:
    words = decode_words("/r/-y %03d.mp4", "mov")
    at = words.index("-i")
    assert words[at - 4 : at + 2] == [
        "-protocol_whitelist", "file", "-f", "mov", "-i", "file:/r/-y %03d.mp4",
    ]  # fmt: skip
    assert "-xerror" in words
    assert "-xerror" not in decode_words("/x", "mov", strict=False)
