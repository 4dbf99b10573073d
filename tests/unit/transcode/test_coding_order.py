"""A frame whose own time has one bit flipped is found; ordinary orders of coding pass."""

import os
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from support.clips import clip, remux
from support.damage import bent, element_bit
from support.proving import STRUCTURE

from watcher.errors import Refused
from watcher.transcode.coding_order import REORDERED, behind_end, order_problems
from watcher.transcode.cues import Cues
from watcher.transcode.probe import Prober
from watcher.transcode.source import judge_source, walk_file

PLAIN = [40 * n for n in range(60)]
B_FRAMES = [40 * (n + (2 if n % 3 == 1 else -1) * (n > 0)) for n in range(61)]  # I PBB PBB
BLOCK, CLUSTER_TIME = 0xA3, 0xE7


def found(times: Sequence[int]) -> list[str]:
    return [problem.name for problem in order_problems(1, times)]


def flipped(times: Sequence[int], at: int, bit: int) -> list[int]:
    return [time ^ (at == n) << bit for n, time in enumerate(times)]


@pytest.mark.parametrize(
    "times",
    [
        PLAIN,
        B_FRAMES,
        range(0, 400, 40),
        [0, 40, 40, 80],
        [*PLAIN[:20], *PLAIN[40:]],  # a second was lost
        [40 * n + (n * n) % 37 for n in range(60)],  # it measures
        list(accumulate(30 + n % 90 for n in range(60))),  # fewer frames at night
        [40 * REORDERED, *PLAIN[:REORDERED], 40 * (REORDERED + 1)],
        [0, 40, 120, 80, 160],  # two have changed places: no bit does that
        [0, 20, 10],  # I P B, and no more
        [10, 30, 20],
        [1000 * n // 30 for n in (*range(58), 59, 58)],  # a single B-frame, the last of all
        [1000 * n // 30 for n in (1, 0, *range(2, 60))],
        [],
    ],
)
def test_an_order_that_a_codec_can_code_is_taken(times: Sequence[int]) -> None:
    assert found(times) == []


@pytest.mark.parametrize("bit", range(6, 16))
@pytest.mark.parametrize("at", [0, 1, 30, 58, 59])
def test_a_frame_whose_time_has_a_bit_flipped_is_found_where_none_is_held_back(
    at: int, bit: int
) -> None:
    times = flipped(PLAIN, at, bit)
    believed = sorted(times) == times  # it is the last one still, or the first
    assert found(times) == ([] if believed else ["times_disagree"])


def test_a_frame_moved_to_where_the_next_would_be_leaves_a_hole_that_a_single_b_frame_fills() -> (
    None
):
    assert found(flipped([round(1000 * n / 24) for n in range(60)], 57, 7)) == ["times_disagree"]


@pytest.mark.parametrize("bit", range(9, 16))
@pytest.mark.parametrize("at", [1, 31, len(B_FRAMES) - 5])
def test_a_frame_is_found_beside_b_frames_too(at: int, bit: int) -> None:
    assert found(flipped(B_FRAMES, at, bit)) == ["times_disagree"]


@pytest.mark.parametrize(
    ("times", "until", "problems"),
    [
        (PLAIN, 2400, []),
        (PLAIN, 0, []),  # it does not say
        ([*PLAIN, 60 * 40 + 2048], 2440, ["times_disagree"]),
        ([*PLAIN, 60 * 40 + 2000], 2440, []),  # no single bit
        ([*PLAIN, 60 * 40 + 2048], 0, []),
        ([*PLAIN, 61 * 40 + 128], 2440, []),  # a header that counts the sound
        ([40], 20, []),
    ],
)
def test_a_last_frame_far_behind_the_end_that_is_said_is_found_by_its_bit(
    times: Sequence[int], until: float, problems: list[str]
) -> None:
    assert [problem.name for problem in behind_end(1, times, until)] == problems


@pytest.fixture(scope="module")
def prober() -> Iterator[Prober]:
    with Prober() as prober:
        yield prober


def bare(directory: Path, audio: str | None = None) -> Path:
    """Without checksums, as mkvmerge and GStreamer write, a cluster each second."""
    source = clip(seconds=4, container="mkv", audio=audio)
    words = ("-write_crc32", "0", "-cluster_time_limit", "1000", "-output_ts_offset", "20")
    return remux(source, directory / "whole.mkv", *words)


def test_one_bit_in_a_blocks_time_is_refused_by_name_before_the_encode(
    prober: Prober, tmp_path: Path
) -> None:
    """It failed in the encoder, night after night."""
    whole = bare(tmp_path, audio="aac")
    assert judge_source(prober.probe(os.fspath(whole)), STRUCTURE).problems == ()
    for number, bit in ((3, 6), (10, 8), (2, 14)):
        path = bent(whole, tmp_path / "bent.mkv", element_bit(BLOCK, number, bit))
        with pytest.raises(Refused) as refused:
            judge_source(prober.probe(os.fspath(path)), STRUCTURE)
        assert refused.value.reason == "unverifiable", (number, bit)


@pytest.mark.parametrize("bit", [4, 8, 9, 11])
@pytest.mark.parametrize("number", [0, 1, -1])
def test_one_bit_in_a_clusters_time_is_found_by_its_cue(
    number: int, bit: int, tmp_path: Path
) -> None:
    whole = bare(tmp_path)
    assert walk_file(os.fspath(whole)).problems == ()
    path = bent(whole, tmp_path / "bent.mkv", element_bit(CLUSTER_TIME, number, bit))
    assert "times_disagree" in walk_file(os.fspath(path)).names


def test_cues_that_are_wrong_in_several_places_are_no_witness(tmp_path: Path) -> None:
    whole = bare(tmp_path)
    path = bent(whole, tmp_path / "one.mkv", element_bit(0xB3, 1, 4))
    assert walk_file(os.fspath(path)).names == {"times_disagree"}
    path = bent(path, tmp_path / "two.mkv", element_bit(0xB3, 2, 4))
    assert walk_file(os.fspath(path)).problems == ()


def test_cues_that_cannot_be_read_are_no_damage_of_the_recording(tmp_path: Path) -> None:
    path = tmp_path / "whole.mkv"
    data = bytearray(bare(tmp_path).read_bytes())
    at = data.rindex(bytes.fromhex("1C53BB6B")) + 5
    data[at : at + 2] = b"\xbb\x89"  # its first cue is longer than all of them
    data[at + 1] = 0xFE
    path.write_bytes(data)
    assert walk_file(os.fspath(path)).problems == ()


class Counted(list[int]):
    """Frames' times that count how many of them were read."""

    read = 0

    def __getitem__(self, at: Any) -> Any:
        part = super().__getitem__(at)
        self.read += len(part) if isinstance(at, slice) else 1
        return part


@pytest.mark.parametrize("off", [0, 16])
def test_a_cluster_is_read_once_however_often_cues_name_it(off: int) -> None:
    """A file of hostile make may have a million of both: each with each would never end."""
    cues, times = Cues(), Counted(range(0, 40_000, 40))
    cues.cluster(0, 0)
    cues.told = [(0, 1, 400 + off)] * 1000
    assert list(cues.problems(1, times)) == []
    assert times.read == len(times)
