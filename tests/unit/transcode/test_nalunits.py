"""Units, their messages and parameter sets, bit by bit."""

import pytest
from support.nals import NOTE, escaped, sei

from watcher.transcode.h264 import Timing, has_clock, named_by_slice, parameter_set
from watcher.transcode.nalunits import header_units, length_bytes, messages, plain, units

SPS = bytes.fromhex("6764001eacd940a02ff9610000030001000003003c8f162d96")
"""x264's, 640x360, 30 fps."""
PPS = bytes.fromhex("68ebe3cb22c0")


def record(*, length: int = 4) -> bytes:
    """Give the header that an MP4 keeps of H.264."""
    head = bytes([1, 0x64, 0, 0x1E, 0xFC | length - 1, 0xE1])
    return head + len(SPS).to_bytes(2, "big") + SPS + b"\1" + len(PPS).to_bytes(2, "big") + PPS


def test_units_stand_behind_their_length_or_behind_start_codes() -> None:
    lengths = b"".join(len(unit).to_bytes(4, "big") + unit for unit in (SPS, PPS))
    assert [bytes(u) for u in units(lengths, length_bytes(record(), "h264"))] == [SPS, PPS]
    codes = b"\0\0\0\1" + SPS + b"\0\0\1" + PPS
    assert [bytes(u) for u in units(codes, length_bytes(codes, "h264"))] == [SPS, PPS]
    assert header_units(record(), "h264") == header_units(codes, "h264") == [SPS, PPS]


@pytest.mark.parametrize("cut", range(len(record())))
def test_a_header_that_is_cut_short_is_read_as_far_as_it_goes(cut: int) -> None:
    for unit in header_units(record()[:cut], "h264"):
        assert (SPS + PPS).find(unit) >= 0 or (b"\1" + SPS + PPS).find(unit) >= 0


def test_messages_are_read_through_escapes_and_lengths_over_254() -> None:
    long, zeros = NOTE + bytes(range(256)) * 3, bytes(40)
    both = sei(5, long)[:-1] + sei(4, zeros)[1:]
    assert list(messages(both, "h264")) == [(5, long), (4, zeros)]
    assert plain(escaped(b"\6" + zeros)) == b"\6" + zeros


@pytest.mark.parametrize(
    "data", [b"\6", b"\6\5", b"\6\xff\xff\xff", b"\6\5\xff\xff", b"\6\5\x20ab"]
)
def test_a_torn_message_ends_the_reading_and_nothing_else(data: bytes) -> None:
    assert len(list(messages(data, "h264"))) <= 1


def test_a_parameter_set_says_what_is_shown() -> None:
    told = parameter_set(SPS)
    assert told.shown.size == (640, 360)
    assert not told.fields


@pytest.mark.parametrize("cut", range(len(SPS)))
def test_a_parameter_set_that_is_cut_short_is_an_error_or_shorter_but_never_a_crash(
    cut: int,
) -> None:
    try:
        assert parameter_set(SPS[:cut]).ident == 0
    except ValueError:
        assert cut < len(SPS)


def test_the_time_of_day_is_seen_in_a_picture_s_timing() -> None:
    timing = Timing(delay_bits=16, has_struct=True)
    assert not has_clock(bytes([0, 0, 0b0000_0100]), timing)
    assert has_clock(bytes([0, 0, 0b0000_1000]), timing)
    assert has_clock(bytes([0, 0, 0b0011_0100]), timing)  # two fields: the second has one
    assert not has_clock(bytes([0, 0, 0b0000_1000]), Timing(delay_bits=16))


def test_a_slice_names_its_parameter_set() -> None:
    assert named_by_slice(bytes([0x65, 0b1_0001000, 0b1000_0000])) == 0
    assert named_by_slice(bytes([0x65, 0b1_0001000, 0b0110_0000])) == 2
