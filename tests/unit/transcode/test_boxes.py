"""The walk of a container: damage is named, ordinary files pass, and it always ends."""

import struct
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.isobmff import FTYP, Movie, box, fragment, full, numbers

from watcher.transcode.boxes import walk
from watcher.transcode.findings import Walked

NORMAL = 1 << 16


def walked(data: bytes) -> Walked:
    return walk(lambda offset, length: data[offset : offset + length], len(data))


def names(movie: Movie) -> set[str]:
    return set(walked(movie.file()).names)


def test_a_whole_file_has_no_problem_and_its_frames_are_counted() -> None:
    found = walked(Movie().file())
    assert found.problems == ()
    assert (found.container, found.video_frames) == ("iso", 4)
    assert (found.moov_first, found.fragmented) == (False, False)


def test_the_index_may_come_first() -> None:
    movie = Movie()
    data_at = len(FTYP) + len(movie.moov(0)) + 8
    found = walked(FTYP + movie.moov(data_at) + box(b"mdat", bytes(sum(movie.sizes))))
    assert found.problems == ()
    assert found.moov_first is True


ORDINARY = {
    "empty edit and priming": Movie(edits=[(40, -1, NORMAL), (160, 0, NORMAL)]),
    "media time is the delay of B-frames": Movie(
        shifts=(80, 200, 80, 80), edits=[(160, 80, NORMAL)]
    ),
    "64-bit edits": Movie(edits=[(160, 0, NORMAL)], wide_edits=True),
    "64-bit chunk offsets": Movie(wide_offsets=True),
    "a chunk a frame": Movie(per_sample=True),
    "audio with priming": Movie(
        handler=b"soun", entry=b"mp4a", timescale=8000, delta=1024, edits=[(3072, 1024, NORMAL)]
    ),
    "audio with the priming of another encoder, at 8 kHz": Movie(
        handler=b"soun", entry=b"mp4a", timescale=8000, delta=1024, edits=[(2048, 2048, NORMAL)]
    ),
    "a large free box behind": Movie(behind=[box(b"free", bytes(70_000))]),
    "a large uuid box behind": Movie(behind=[box(b"uuid", bytes(70_000))]),
    "an edit to the end": Movie(edits=[(0, 0, NORMAL)]),
    "a header that is a little generous": Movie(claimed=1700),
}


@pytest.mark.parametrize("movie", ORDINARY.values(), ids=ORDINARY.keys())
def test_what_is_ordinary_passes(movie: Movie) -> None:
    assert names(movie) == set()


DAMAGED = {
    "a frame hidden at the head": (Movie(edits=[(120, 40, NORMAL)]), "hidden_frames"),
    "a frame hidden at the tail": (Movie(edits=[(100, 0, NORMAL)]), "hidden_frames"),
    "sound hidden": (
        Movie(handler=b"soun", entry=b"mp4a", sizes=(9,) * 50, edits=[(1000, 1000, NORMAL)]),
        "hidden_frames",
    ),
    "played at double speed": (Movie(edits=[(160, 0, 2 * NORMAL)]), "edit_list"),
    "shown twice": (Movie(edits=[(160, 0, NORMAL), (160, 0, NORMAL)]), "edit_list"),
    "a pause in between": (
        Movie(edits=[(80, 0, NORMAL), (9, -1, NORMAL), (80, 80, NORMAL)]),
        "edit_list",
    ),
    "frames without data": (Movie(sizes=(100, 0, 50)), "empty_samples"),
    "more times than frames": (Movie(stts_count=9), "tables_disagree"),
    "shifts for some frames only": (Movie(shifts=(0, 40)), "tables_disagree"),
    "frames that no chunk holds": (Movie(per_chunk=3), "tables_disagree"),
    "chunks that hold more than there is": (Movie(per_chunk=5), "tables_disagree"),
    "media behind the end": (Movie(chunk_at=10_000), "samples_outside"),
    "media before the data": (Movie(chunk_at=8), "samples_outside"),
    "a header that claims an hour": (Movie(claimed=3_600_000), "claims_more"),
    "encrypted": (Movie(entry=b"encv"), "encrypted"),
    "two formats": (Movie(entries=2), "format_changes"),
    "media in another file": (Movie(dref_flags=0), "external_data"),
    "a second file behind": (Movie(behind=[Movie().file()]), "several_ftyp"),
    "a second index": (Movie(behind=[Movie().moov(24)]), "several_moov"),
    "a key system's header": (Movie(behind=[box(b"pssh", bytes(24))]), "encrypted"),
    "three bytes behind": (Movie(behind=[b"abc"]), "unknown_tail"),
    "zeros behind": (Movie(behind=[bytes(512)]), "unknown_tail"),
    "an unknown box behind": (Movie(behind=[box(b"evil", bytes(8))]), "unknown_box"),
    "a box without a name behind": (Movie(behind=[box(b"\1\2\3\4", bytes(8))]), "unknown_tail"),
    "an unknown box that is cut": (Movie(behind=[box(b"evil", bytes(8))[:-1]]), "truncated"),
    "media that no table names": (
        Movie(behind=[box(b"mdat", bytes(2 << 20))]),
        "unreferenced_data",
    ),
}


@pytest.mark.parametrize(("movie", "name"), DAMAGED.values(), ids=DAMAGED.keys())
def test_damage_is_named(movie: Movie, name: str) -> None:
    assert name in names(movie)


def test_every_cut_of_a_file_is_found() -> None:
    """Whatever the byte at which a recording was cut off, the walk says so."""
    data = Movie().file()
    assert all(walked(data[:end]).problems for end in range(len(data)))


def test_a_single_missing_byte_is_called_truncated() -> None:
    assert "truncated" in walked(Movie(behind=[box(b"free", bytes(9))]).file()[:-1]).names


def test_64_bit_sizes_and_size_zero_are_understood() -> None:
    movie = Movie()
    media = bytes(sum(movie.sizes))
    wide = struct.pack(">I4sQ", 1, b"mdat", 16 + len(media)) + media
    assert walked(FTYP + wide + movie.moov(len(FTYP) + 16)).problems == ()
    head = FTYP + movie.moov(len(FTYP) + len(movie.moov(0)) + 8)
    assert walked(head + struct.pack(">I4s", 0, b"mdat") + media).problems == ()


def test_no_index_is_said() -> None:
    assert "no_moov" in walked(FTYP + box(b"mdat", bytes(100))).names


MVEX = box(b"mvex", full(b"trex", numbers(1, 1, 0, 0, 0)))


def fragmented(**more: object) -> bytes:
    movie = replace(Movie(sizes=(), extends=MVEX, claimed=0), **more)  # type: ignore[arg-type]  # test
    return FTYP + movie.moov(0) + fragment((60, 20)) + fragment((60, 20), at=80)


def test_fragments_are_added_up() -> None:
    found = walked(fragmented())
    assert found.problems == ()
    assert (found.fragmented, found.video_frames) == (True, 4)


def test_a_file_cut_between_a_fragment_and_its_data_is_found() -> None:
    """The last box ends at the end of file, and yet its frames are missing."""
    mdat = len(box(b"mdat", bytes(80)))
    assert walked(fragmented()[:-mdat]).names == {"samples_outside"}


def test_a_file_cut_behind_a_whole_fragment_is_found_where_the_header_said_more() -> None:
    mehd = full(b"mehd", numbers(60_000))
    extends = box(b"mvex", mehd, full(b"trex", numbers(1, 1, 0, 0, 0)))
    assert walked(fragmented(extends=extends)).names == {"claims_more"}


def test_hidden_frames_of_fragments_are_found() -> None:
    assert walked(fragmented(edits=[(0, 40, NORMAL)])).names == {"hidden_frames"}


def test_encrypted_fragments_are_found() -> None:
    traf = box(b"traf", full(b"tfhd", numbers(1)), full(b"senc", numbers(0)))
    assert "encrypted" in walked(fragmented() + box(b"moof", traf)).names


def test_absurd_counts_cost_nothing() -> None:
    """A table that claims four thousand million entries is refused before memory is asked for."""
    data = bytearray(Movie().file())
    at = data.index(b"stsz") + 12
    data[at : at + 4] = b"\xff\xff\xff\xff"
    assert walked(bytes(data)).names == {"bad_box"}


def test_ts_and_its_damage() -> None:
    packet = b"\x47" + bytes(187)
    assert walked(packet * 40).problems == ()
    assert walked(packet * 40).container == "mpegts"
    assert walked(packet * 40 + b"\x47ab").names == {"truncated"}
    assert walked(packet * 20 + bytes(188) + packet * 20).names == {"out_of_step"}


def ebml(ident: str, payload: bytes, *, unknown: bool = False) -> bytes:
    size = b"\x01\xff\xff\xff\xff\xff\xff\xff" if unknown else struct.pack(">Q", len(payload))
    return bytes.fromhex(ident) + (size if unknown else b"\x01" + size[1:]) + payload


HEAD = ebml("1A45DFA3", b"\x42\x82\x88matroska")
CLUSTER = ebml("1F43B675", ebml("E7", b"\0") + ebml("A3", bytes(50)))
TRACKS = ebml("1654AE6B", ebml("AE", ebml("D7", b"\1")))
MKV = HEAD + ebml("18538067", TRACKS + CLUSTER + CLUSTER)
SECRET = ebml("AE", ebml("6D80", ebml("6240", ebml("5035", b"\0"))))


def test_matroska_and_its_damage() -> None:
    assert walked(MKV).problems == ()
    assert walked(MKV).container == "matroska"
    assert all(walked(MKV[:end]).problems for end in range(len(MKV)))
    assert walked(MKV + MKV).names == {"several_ftyp"}
    assert walked(MKV + b"tail").names == {"unknown_tail"}
    secret = HEAD + ebml("18538067", ebml("1654AE6B", SECRET) + CLUSTER)
    assert walked(secret).names == {"encrypted"}


def test_live_matroska_of_unknown_size_passes() -> None:
    live = ebml("1F43B675", ebml("E7", b"\0") + ebml("A3", bytes(50)), unknown=True)
    assert walked(HEAD + ebml("18538067", TRACKS + live + live, unknown=True)).problems == ()


@pytest.mark.parametrize("data", [b"", b"x", b"just text, named .mp4", bytes(4096)])
def test_what_is_no_recording_is_said(data: bytes) -> None:
    assert walked(data).names & {"empty", "unknown_container"}


BASES = [Movie().file(), fragmented(), MKV, (b"\x47" + bytes(187)) * 20]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(BASES), st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255))))
def test_no_bytes_make_the_walk_raise(data: bytes, changes: list[tuple[int, int]]) -> None:
    """Hostile files are judged too: any change gives a report, never an exception."""
    bent = bytearray(data)
    for at, value in changes:
        bent[at % len(bent)] = value
    walked(bytes(bent))


def pcm(count: int) -> bytes:
    """A track of *count* sound samples of four bytes each, in one chunk, at the media's begin."""
    movie = Movie(handler=b"soun", entry=b"sowt", timescale=48_000, delta=1, sizes=(4,) * 8)
    data = bytearray(movie.file())
    for mark, offset in ((b"stsz", 8), (b"stts", 8), (b"stsc", 12)):
        at = data.index(mark) + 4 + offset
        data[at : at + 4] = struct.pack(">I", count)
    at = data.index(b"stsz") + 8
    data[at : at + 4] = struct.pack(">I", 4)  # all of one size: the table behind is not read
    return bytes(data)


def test_an_hour_of_pcm_needs_no_table_of_its_samples() -> None:
    """172 million samples, each said once: judged in no time, by where they would have to lie."""
    assert walked(pcm(172_800_000)).names == {"samples_outside"}
    assert walked(pcm(8)).names <= {"claims_more"}


def test_a_claim_of_four_thousand_million_video_frames_is_not_counted_one_by_one() -> None:
    data = pcm(4_000_000_000).replace(b"soun", b"vide").replace(b"sowt", b"avc1")
    assert walked(data).names == {"too_large"}


def test_a_fragment_at_the_end_of_time_is_no_overflow() -> None:
    tfdt = full(b"tfdt", b"\xff" * 8, version=1)
    run = full(b"trun", numbers(1))
    traf = box(b"traf", full(b"tfhd", numbers(1), flags=0x20000), tfdt, run)
    assert "bad_box" in walked(fragmented() + box(b"moof", traf)).names


def test_fragments_that_claim_more_than_can_be_judged_are_no_damage() -> None:
    """They are refused as what can't be judged, not called broken."""
    trun = full(b"trun", numbers(9_000_000), flags=0)
    traf = box(b"traf", full(b"tfhd", numbers(1), flags=0x20000), trun)
    assert "too_large" in walked(fragmented() + box(b"moof", traf)).names
