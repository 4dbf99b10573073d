"""Every message that is known is told by its cause, and what is unknown is said to be."""

import pytest
from support.qsv_messages import ROWS, Said

from watcher.transcode.diagnosis import (
    DeviceLook,
    Kind,
    Look,
    before,
    diagnose,
    last_words,
    source_errors,
)

OPENS = DeviceLook("/dev/dri/renderD128", Look.OPENS)
FLIPPED = """[h264 @ 0x5618578d9580] [error] top block unavailable for requested intra mode -1
[h264 @ 0x5618578d9580] [error] error while decoding MB 8 0
[vist#0:0/h264 @ 0x56] [dec:h264 @ 0x561] [fatal] corrupt decoded frame
[vist#0:0/h264 @ 0x56] [dec:h264 @ 0x561] [error] Error processing packet in decoder: Invalid data
"""


@pytest.mark.parametrize("said", ROWS, ids=lambda said: said.stderr.split("]")[-1].strip()[:40])
def test_every_known_message_has_its_cause_and_remedy(said: Said) -> None:
    found = diagnose(said.stderr, OPENS)
    assert found.kind is said.kind
    assert said.remedy in found.remedy
    assert found.cause


@pytest.mark.parametrize(
    ("look", "kind"),
    [
        (Look.ABSENT, Kind.NO_GPU),
        (Look.FORBIDDEN, Kind.PERMISSION),
        (Look.NO_DRIVER, Kind.KERNEL_DRIVER),
        (Look.BROKEN, Kind.KERNEL_DRIVER),
    ],
)
def test_the_node_is_asked_before_ffmpegs_words_are_believed(look: Look, kind: Kind) -> None:
    device = DeviceLook(None, look)
    same_for_all = ROWS[0].stderr
    assert diagnose(same_for_all, device).kind is kind
    only = before(device)
    assert only is not None
    assert only.kind is kind
    assert only.remedy


def test_a_node_that_opens_says_nothing_beforehand() -> None:
    assert before(OPENS) is None


def test_a_missing_node_does_not_hide_a_full_disk() -> None:
    said = "[out#0/mp4 @ 0x5] [error] Error muxing a packet: No space left on device\n"
    assert diagnose(said, DeviceLook(None, Look.ABSENT)).kind is Kind.DISK_FULL


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (
            "[out#0/mp4 @ 0x5] [error] Error writing trailer: No space left on device",
            Kind.DISK_FULL,
        ),
        ("[out#0/mp4 @ 0x5] [error] Error muxing a packet: Disk quota exceeded", Kind.DISK_FULL),
        ("[out#0/mp4 @ 0x5] [error] Error muxing a packet: Input/output error", Kind.WRITE_ERROR),
        ("[in#0/mov @ 0x5] [error] Error during demuxing: Input/output error", Kind.READ_ERROR),
        ("[in#0 @ 0x5] [error] Error opening input: No such file or directory", Kind.GONE),
        ("[in#0 @ 0x5] [error] Error opening input: Permission denied", Kind.READ_ERROR),
        ("[fatal] Error opening output files: Read-only file system", Kind.WRITE_ERROR),
        ("[libx265 @ 0x5] [error] Cannot allocate memory", Kind.MEMORY),
        ("[vost#0:0/libx265 @ 0x5] [error] Non-monotonic DTS; previous: 3", Kind.ORDER),
        ("[aost#0:1/copy @ 0x5] [error] Non-monotonic DTS; previous: 3", Kind.ORDER),
        ("[vost#0:0/hevc_qsv @ 0x5] [error] Non-monotonic DTS; previous: 3", Kind.UNKNOWN),
        (FLIPPED, Kind.SOURCE),
        ("[in#0 @ 0x5] [error] moov atom not found", Kind.SOURCE),
        ("[libx265 @ 0x5] [error] x265 gave up", Kind.UNKNOWN),
        (
            "[h264 @ 0x5] [error] mmco: unref short failure\n[libx265 @ 0x5] [error] x265 gave up",
            Kind.UNKNOWN,
        ),
        (
            (
                "[h264 @ 0x5] [error] error while decoding MB 8 0\n"
                "[error] Error while decoding stream #0:0: Invalid data found when processing input"
            ),
            Kind.SOURCE,
        ),
        ("", Kind.UNKNOWN),
    ],
)
def test_whose_fault_it_is(said: str, kind: Kind) -> None:
    assert diagnose(said).kind is kind


def test_the_sources_errors_are_counted_and_nobody_elses() -> None:
    assert source_errors(FLIPPED) == 4
    assert source_errors("[libx265 @ 0x5] [error] no\n[hevc_qsv @ 0x5] [error] no\n") == 0
    assert source_errors("[h264_qsv @ 0x5] [error] Error decoding header\n") == 0
    assert source_errors("[h264 @ 0x5] [warning] only a warning\n") == 0


def test_what_is_unknown_is_told_by_its_last_words() -> None:
    assert last_words("one\ntwo\nConversion failed!\n\n") == "two"
    assert last_words("") == "it said nothing"
    assert diagnose("strange\n").cause == "strange"
