"""The walk of a container: damage is named, ordinary files pass, and it always ends."""

import struct
import time
import zlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.isobmff import FTYP, Movie, box, fragment, full, numbers
from support.matroska import BLOCK, CLUSTER, HEAD, MKV, TRACKS, ebml

from watcher.transcode.boxes import walk
from watcher.transcode.findings import Budget, TooLargeError, Walked
from watcher.transcode.fragments import Fragments
from watcher.transcode.matroska import walk_matroska
from watcher.transcode.moov import parse_moov

NORMAL = 1 << 16


def walked(data: bytes) -> Walked:
    return walk(lambda offset, length: data[offset : offset + length], len(data))


def a_second_of_g711(claimed: int) -> Movie:
    return Movie(
        handler=b"soun",
        entry=b"alaw",
        channels=1,
        timescale=8000,
        sizes=(1,) * 8000,
        delta=1,
        claimed=claimed,
    )


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
    "a 64-bit pause": Movie(edits=[(40, -1, NORMAL), (160, 0, NORMAL)], wide_edits=True),
    "64-bit chunk offsets": Movie(wide_offsets=True),
    "a chunk a frame": Movie(per_sample=True),
    "audio with priming": Movie(
        handler=b"soun", entry=b"mp4a", timescale=8000, delta=1024, edits=[(3072, 1024, NORMAL)]
    ),
    "zeros between two chunks": Movie(per_sample=True, gap=bytes(40)),
    "a free box between two chunks": Movie(per_sample=True, gap=box(b"free", b"\x11" * 40)),
    "a fragment's header between two chunks": Movie(
        per_sample=True, gap=box(b"moof", b"\x11" * 40) + box(b"mdat")
    ),
    "an index that GStreamer hid when it wrote the last one": Movie(
        per_sample=True, gap=box(b"hoov", b"\x11" * 40)
    ),
    "G.711 whose header counts ffmpeg's last packet less, for it begins late": a_second_of_g711(
        7232
    ),
    "audio with the priming of another encoder, at 8 kHz": Movie(
        handler=b"soun", entry=b"mp4a", timescale=8000, delta=1024, edits=[(2048, 2048, NORMAL)]
    ),
    "a large free box behind": Movie(behind=[box(b"free", bytes(70_000))]),
    "a large box behind that is free": Movie(behind=[box(b"skip", b"\xff" * (3 << 20))]),
    "what a writer calls itself": Movie(
        behind=[box(b"free", b"IsoMedia File Produced with GPAC 0.5\0")]
    ),
    "the remains of an index": Movie(behind=[box(b"free", box(b"mvhd", bytes(100)))]),
    "codecs, as Sony lists them": Movie(
        behind=[box(b"uuid", bytes.fromhex("50524f4621d24fcebb88695cfac9c740"), bytes(9))]
    ),
    "an edit to the end": Movie(edits=[(0, 0, NORMAL)]),
    "parts that touch": Movie(edits=[(80, 0, NORMAL), (80, 80, NORMAL)]),
    "parts that touch where no frame begins": Movie(edits=[(80, 0, NORMAL), (81, 79, NORMAL)]),
    "a header that counts the last frame twice": Movie(claimed=200),
    "a header that leaves the last frame out": Movie(claimed=120),
    "a header that says how long it is shown": Movie(
        edits=[(40, -1, NORMAL), (160, 0, NORMAL)], presented=200
    ),
    "a header that leaves the pause out": Movie(
        edits=[(40, -1, NORMAL), (160, 0, NORMAL)], presented=160
    ),
    "a header that does not know how long it is shown": Movie(
        edits=[(160, 0, NORMAL)], presented=(1 << 32) - 1
    ),
    "a header that does not know how long it lasts": Movie(claimed=(1 << 32) - 1),
    "a clock of nobody's, as the movie's clock bears out": Movie(
        sizes=(9,) * 100, delta=3600, track_timescale=90_000 ^ 1, presented=4000
    ),
    "64-bit times": Movie(wide_times=True, edits=[(160, 0, NORMAL)], presented=160),
    "64-bit times that are not known": Movie(
        wide_times=True,
        edits=[(160, 0, NORMAL)],
        claimed=(1 << 64) - 1,
        presented=(1 << 64) - 1,
    ),
    "a last frame that is not the last in the file": Movie(
        shifts=(40, 120, 40, -40), edits=[(160, 40, NORMAL)]
    ),
}


@pytest.mark.parametrize("movie", ORDINARY.values(), ids=ORDINARY.keys())
def test_what_is_ordinary_passes(movie: Movie) -> None:
    assert names(movie) == set()


DAMAGED = {
    "G.711 whose header counts much less": (
        a_second_of_g711(6900),
        "times_disagree",
    ),
    "a frame hidden at the head": (Movie(edits=[(120, 40, NORMAL)]), "hidden_frames"),
    "a frame hidden at the tail": (Movie(edits=[(100, 0, NORMAL)]), "hidden_frames"),
    "the last frame hidden, which is not the last in the file": (
        Movie(shifts=(40, 120, 40, -40), edits=[(110, 40, NORMAL)]),
        "hidden_frames",
    ),
    "sound hidden": (
        Movie(handler=b"soun", entry=b"mp4a", sizes=(9,) * 50, edits=[(1000, 1000, NORMAL)]),
        "hidden_frames",
    ),
    "played at double speed": (Movie(edits=[(160, 0, 2 * NORMAL)]), "edit_list"),
    "shown twice": (Movie(edits=[(160, 0, NORMAL), (160, 0, NORMAL)]), "edit_list"),
    "parts that overlap by a tick": (
        Movie(edits=[(81, 0, NORMAL), (80, 80, NORMAL)]),
        "edit_list",
    ),
    "parts that overlap by a tick, frames reordered": (
        Movie(shifts=(0, 80, -40, -40), edits=[(81, 0, NORMAL), (80, 80, NORMAL)]),
        "edit_list",
    ),
    "parts that leave a frame out by a tick": (
        Movie(edits=[(80, 0, NORMAL), (79, 81, NORMAL)]),
        "hidden_frames",
    ),
    "parts out of order": (Movie(edits=[(80, 80, NORMAL), (80, 0, NORMAL)]), "edit_list"),
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
    "a header that is a little generous": (Movie(claimed=1700), "times_disagree"),
    "a header that claims less": (Movie(claimed=100), "times_disagree"),
    "one bit in the time of a frame": (
        Movie(delta=40 ^ 64, claimed=160),
        "times_disagree",
    ),
    "one bit in a track's timescale": (
        Movie(sizes=(9,) * 100, edits=[(4000, 0, NORMAL)], timescale=1000, track_timescale=1512),
        "times_disagree",
    ),
    "one bit in the timescale of a track without edits": (
        Movie(sizes=(9,) * 100, presented=4000, track_timescale=1512),
        "times_disagree",
    ),
    "the least bit in a timescale, as the movie's clock tells": (
        Movie(sizes=(9,) * 100, presented=4000, track_timescale=1000 ^ 1),
        "times_disagree",
    ),
    "one bit in a pause": (
        Movie(edits=[(40 ^ 64, -1, NORMAL), (160, 0, NORMAL)], presented=200),
        "times_disagree",
    ),
    "a header that claims an hour": (Movie(claimed=3_600_000), "claims_more"),
    "a 64-bit header that claims an hour": (
        Movie(claimed=3_600_000, wide_times=True),
        "claims_more",
    ),
    "one bit in a pause, 64-bit times": (
        Movie(edits=[(40 ^ 64, -1, NORMAL), (160, 0, NORMAL)], presented=200, wide_times=True),
        "times_disagree",
    ),
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
    "media that no table names, a little": (
        Movie(behind=[box(b"mdat", b"\x11" * 9)]),
        "unreferenced_data",
    ),
    "a gap between two chunks": (Movie(per_sample=True, gap=b"\x11" * 40), "unreferenced_data"),
    "two chunks that overlap": (Movie(per_sample=True, chunk_shift=-4), "samples_overlap"),
    "chunks out of order": (Movie(per_sample=True, chunk_shift=-130), "out_of_order"),
    "more edits than can be judged": (Movie(edits=[(0, 0, NORMAL)] * 1001), "too_large"),
    "media that no table names": (
        Movie(behind=[box(b"mdat", bytes(2 << 20))]),
        "unreferenced_data",
    ),
}


@pytest.mark.parametrize(("movie", "name"), DAMAGED.values(), ids=DAMAGED.keys())
def test_damage_is_named(movie: Movie, name: str) -> None:
    assert name in names(movie)


NAMES = [b"mvhd", b"trak", b"tkhd", b"edts", b"elst", b"mdia", b"mdhd", b"hdlr", b"minf", b"dinf"]
NAMES += [b"dref", b"stbl", b"stsd", b"avc1", b"stts", b"ctts", b"stsc", b"stsz", b"stco"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bit", range(32))
def test_any_flipped_bit_in_a_name_of_the_index_is_found(name: bytes, bit: int) -> None:
    """A box that every reader skips is lost in the copy: nothing else would tell."""
    movie = Movie(shifts=(80, 200, 80, 80), edits=[(160, 80, NORMAL)])
    data = bytearray(movie.file())
    data[data.index(name) + bit // 8] ^= 1 << bit % 8
    assert walked(bytes(data)).problems or name == b"avc1"  # an entry's name: the decoder tells


def test_a_box_that_is_named_like_another_is_found() -> None:
    stss = full(b"stsc", numbers(1, 1, 4, 1))
    data = Movie().file().replace(b"stts", b"ctts")
    assert walked(data).problems
    twice = bytearray(Movie().file())
    at = twice.index(b"stsc") - 4
    twice[at:at] = stss
    for parent in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
        head = twice.index(parent) - 4
        longer = struct.unpack(">I", twice[head : head + 4])[0] + len(stss)
        twice[head : head + 4] = struct.pack(">I", longer)
    assert walked(bytes(twice)).names == {"bad_box"}


@pytest.mark.parametrize("name", [b"mfhd", b"traf", b"tfhd", b"tfdt", b"trun"])
def test_a_misnamed_box_of_a_fragment_is_found(name: bytes) -> None:
    data = bytearray(fragmented())
    data[data.index(name) + 1] ^= 1
    assert walked(bytes(data)).names & {"unknown_box", "bad_box"}


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
    inside = walked(FTYP + wide + movie.moov(len(FTYP) + 8))
    assert "samples_outside" in inside.names  # what is inside the wider header is no media
    head = FTYP + movie.moov(len(FTYP) + len(movie.moov(0)) + 8)
    assert walked(head + struct.pack(">I4s", 0, b"mdat") + media).problems == ()


def test_an_index_without_tracks_or_with_more_than_anybody_records_is_damage() -> None:
    moov = Movie().moov(len(FTYP) + 8)
    at = moov.index(b"trak") - 4
    head, track = moov[8:at], moov[at:]
    media = FTYP + box(b"mdat", b"\x11" * sum(Movie().sizes))
    assert "bad_box" in walked(media + box(b"moov", head)).names
    assert "bad_box" not in walked(media + box(b"moov", head, track * 64)).names
    assert "bad_box" in walked(media + box(b"moov", head, track * 65)).names


def test_no_index_is_said() -> None:
    assert "no_moov" in walked(FTYP + box(b"mdat", bytes(100))).names


MVEX = box(b"mvex", full(b"trex", numbers(1, 1, 0, 0, 0)))


def fragmented(**more: object) -> bytes:
    movie = replace(Movie(sizes=(), extends=MVEX, claimed=0), **more)  # type: ignore[arg-type]  # test
    return FTYP + movie.moov(0) + fragment((60, 20)) + fragment((60, 20), at=80)


@pytest.mark.parametrize("bit", range(32))
@pytest.mark.parametrize("sample", range(3))
def test_any_flipped_bit_in_a_size_of_a_fragment_is_found(sample: int, bit: int) -> None:
    """Every byte belongs to one sample: of sound cut by a byte some decoders say nothing."""
    data = bytearray(fragmented() + fragment((63, 31, 15), at=160))
    assert walked(bytes(data)).problems == ()
    at = data.rindex(b"trun") + 4 + 12 + 8 * sample + 4
    size = struct.unpack(">I", data[at : at + 4])[0]
    data[at : at + 4] = struct.pack(">I", size ^ 1 << bit)
    assert walked(bytes(data)).names & {"unreferenced_data", "samples_outside", "bad_box"}


def test_times_of_no_samples_are_an_oddity_before_fragments_and_damage_without() -> None:
    """ffmpeg tells of the first fragment's PCM in an index that it writes late."""
    assert walked(fragmented(stts_count=8192)).problems == ()
    assert "tables_disagree" in names(Movie(sizes=(), stts_count=8192))


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


def test_a_file_cut_between_two_fragments_is_found_by_its_movie_header() -> None:
    movie = replace(Movie(sizes=(), extends=MVEX), claimed=8_000)
    whole = [fragment((60,) * 25, at=second * 1000) for second in range(8)]
    head = FTYP + movie.moov(0)
    assert walked(head + b"".join(whole)).problems == ()
    for fragments in (7, 6, 1):
        assert walked(head + b"".join(whole[:fragments])).names == (
            {"claims_more"} if fragments < 7 else set()
        )


def test_a_file_cut_between_two_fragments_that_promised_nothing_is_all_that_there_is() -> None:
    """Nothing in it says that more was recorded, and the copy has all that it has."""
    whole = fragmented()
    cut = whole[: whole.rindex(b"moof") - 4]
    assert (walked(whole).problems, walked(whole).video_frames) == ((), 4)
    assert (walked(cut).problems, walked(cut).video_frames) == ((), 2)


@pytest.mark.parametrize("wide", [False, True])
def test_a_file_cut_between_two_fragments_is_found_by_its_segment_index(wide: bool) -> None:
    one = fragment((60, 20))
    zero = bytes(16 if wide else 8)
    rows = numbers(len(one), 80, 0) + numbers(len(one), 80, 0)
    sidx = full(b"sidx", numbers(1, 1000), zero, numbers(2), rows, version=int(wide))
    head = FTYP + replace(Movie(sizes=(), extends=MVEX), claimed=0).moov(0) + sidx
    assert walked(head + one + fragment((60, 20), at=80)).problems == ()
    assert walked(head + one).names == {"truncated"}


def test_hidden_frames_of_fragments_are_found() -> None:
    assert walked(fragmented(edits=[(0, 40, NORMAL)])).names == {"hidden_frames"}


def test_encrypted_fragments_are_found() -> None:
    traf = box(b"traf", full(b"tfhd", numbers(1)), full(b"senc", numbers(0)))
    assert "encrypted" in walked(fragmented() + box(b"moof", traf)).names


def test_tracks_that_together_claim_more_than_can_be_judged_are_no_damage() -> None:
    """Each of them alone would be judged; memory is asked for all of them."""
    movie = Movie(handler=b"soun", entry=b"sowt", shifts=(0,) * 4).moov(24)
    data = bytearray(movie)
    for mark, offset in ((b"stsz", 8), (b"stts", 8), (b"stsc", 12), (b"ctts", 8)):
        at = data.index(mark) + 4 + offset
        data[at : at + 4] = struct.pack(">I", 3_000_000)
    at = data.index(b"stsz") + 8
    data[at : at + 4] = struct.pack(">I", 4)
    at = data.index(b"ctts") + 8
    data[at : at + 4] = struct.pack(">I", 1)
    trak = bytes(data[data.index(b"trak") - 4 :])
    mvhd = bytes(data[8 : data.index(b"trak") - 4])
    for count, name in ((2, "samples_outside"), (3, "too_large")):
        file = FTYP + box(b"mdat", b"\x11" * 250) + box(b"moov", mvhd, trak * count)
        assert name in walked(file).names


def test_the_walk_can_be_ended_between_two_bites() -> None:
    class EndError(Exception):
        pass

    data, calls = fragmented(), []

    def check() -> None:
        calls.append(1)
        if len(calls) == limit:
            raise EndError

    limit = 0
    read = lambda offset, length: data[offset : offset + length]  # noqa: E731
    assert walk(read, len(data), check).problems == ()
    assert len(calls) > 8
    calls.clear()
    limit = 8
    with pytest.raises(EndError):
        walk(read, len(data), check)


def test_many_edits_are_judged_in_no_time() -> None:
    """A thousand parts of a hundred thousand frames: not each of one against each of the other."""
    movie = Movie(
        sizes=(1,) * 100_000, delta=1, edits=[(100, at * 100, NORMAL) for at in range(1_000)]
    )
    began = time.process_time()
    walked(movie.file())
    assert time.process_time() - began < 5


def test_a_file_that_becomes_shorter_while_it_is_read_is_damage() -> None:
    """A recorder that cuts it meanwhile: half an index is no index."""
    data = Movie().file()
    index = data.index(b"moov")

    def read(offset: int, length: int) -> bytes:
        return (
            data[offset : min(offset + length, index + 60)] if length > 16 else data[offset:][:16]
        )

    assert walk(read, len(data)).names == {"bad_box"}


@pytest.mark.parametrize("at", [(1 << 62) - 250, 1 << 62, (1 << 63) - 250, (1 << 64) - 250])
def test_media_where_no_file_reaches_is_damage_and_no_overflow(at: int) -> None:
    assert names(Movie(wide_offsets=True, chunk_at=at)) >= {"bad_box"}


def test_absurd_counts_cost_nothing() -> None:
    """A table that claims four thousand million entries is refused before memory is asked for."""
    data = bytearray(Movie().file())
    at = data.index(b"stsz") + 12
    data[at : at + 4] = b"\xff\xff\xff\xff"
    assert walked(bytes(data)).names == {"bad_box"}


@pytest.mark.parametrize(
    "packet", [b"\x47" + bytes(187), bytes(4) + b"\x47" + bytes(187), b"\x47" + bytes(203)]
)
def test_ts_and_its_damage(packet: bytes) -> None:
    """Packets of 188 bytes, with a time before each as cameras' memory cards have, with parity."""
    assert walked(packet * 40).problems == ()
    assert walked(packet * 40).container == "mpegts"
    assert walked(packet * 40 + packet[:7]).names == {"truncated"}
    assert walked(packet * 20 + bytes(len(packet)) + packet * 20).names == {"out_of_step"}


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
    live = ebml("1F43B675", ebml("E7", b"\0") + BLOCK, unknown=True)
    assert walked(HEAD + ebml("18538067", TRACKS + live + live, unknown=True)).problems == ()


def matroska(*clusters: bytes, lasts: float = 0.0, tracks: bytes = TRACKS) -> Walked:
    info = ebml("1549A966", ebml("4489", struct.pack(">d", lasts)))
    return walked(HEAD + ebml("18538067", info + tracks + b"".join(clusters)))


@pytest.mark.parametrize("bit", range(30))
def test_ticks_one_bit_from_what_is_usual_are_found(bit: int) -> None:
    """The copy would run at another speed, and agree with its source."""

    def found(scale_ns: int) -> frozenset[str]:
        info = ebml("1549A966", ebml("2AD7B1", scale_ns.to_bytes(4, "big")))
        return walked(HEAD + ebml("18538067", info + TRACKS + CLUSTER)).names

    assert found(1_000_000 ^ 1 << bit) == {"times_disagree"}
    for ordinary in (1_000_000, 10_000, 1_000, 500_000, 11_111, 22_675, 1_000_000_000):
        assert found(ordinary) == set()


@pytest.mark.parametrize("named", [b"matros\x6ba", b"webm", b"webm\0\0"])
def test_a_file_is_taken_by_the_name_that_readers_know(named: bytes) -> None:
    assert walked(MKV.replace(HEAD, ebml("1A45DFA3", ebml("4282", named)))).problems == ()


@pytest.mark.parametrize("head", [ebml("4282", b"mat2oska"), ebml("4286", b"\1"), b"", b"\x42\x82"])
def test_a_file_of_no_name_that_readers_know_is_told_before_the_encode(head: bytes) -> None:
    assert walked(MKV.replace(HEAD, ebml("1A45DFA3", head))).names == {"bad_box"}


def at(time: int, *blocks: bytes) -> bytes:
    return ebml("1F43B675", ebml("E7", time.to_bytes(4, "big")) + b"".join(blocks or (BLOCK,)))


GROUP = ebml("A0", ebml("A1", b"\x81\0\0\0" + bytes(9)) + ebml("9B", b"\x0b\xb8"))


def test_a_block_that_every_reader_skips_is_found() -> None:
    """A flipped bit in an id, in a track's number or in a group takes frames away in silence."""
    assert matroska(at(0, BLOCK, GROUP)).problems == ()
    assert matroska(at(0, BLOCK, ebml("A2", BLOCK[9:]))).names == {"bad_box"}
    assert matroska(at(0, ebml("A3", b"\x85\0\0\x80" + bytes(46)))).names == {"bad_box"}
    assert matroska(at(0, ebml("A0", ebml("A5", b"\x81\0\0\0")))).names == {"bad_box"}
    assert matroska(at(0, ebml("A0", ebml("9B", b"\1")))).names == {"bad_box"}
    assert matroska(at(0, BLOCK[:-1])).names == {"bad_box"}
    assert matroska(at(0, ebml("A3", b"\x81\0"))).names == {"bad_box"}


def test_a_live_block_that_every_reader_skips_is_found() -> None:
    live = ebml("1F43B675", ebml("E7", b"\0") + ebml("A3", b"\x85\0\0\x80"), unknown=True)
    assert walked(HEAD + ebml("18538067", TRACKS + live, unknown=True)).names == {"bad_box"}


def test_a_checksum_is_computed_again() -> None:
    content = ebml("E7", b"\0") + BLOCK
    good = zlib.crc32(content).to_bytes(4, "little")
    assert matroska(ebml("1F43B675", ebml("BF", good) + content)).problems == ()
    for spoiled in (bytes(4), good[::-1]):
        assert matroska(ebml("1F43B675", ebml("BF", spoiled) + content)).names == {"checksum"}
    assert matroska(ebml("1F43B675", ebml("BF", good[:3]) + content)).names == {"bad_box"}


def test_a_matroska_whose_last_clusters_are_missing_is_found() -> None:
    whole = [at(time) for time in range(0, 10_000, 500)]
    assert matroska(*whole, lasts=10_000).problems == ()
    assert matroska(*whole, lasts=10_400).problems == ()
    assert matroska(*whole[:-3], lasts=10_000).names == {"claims_more"}
    assert matroska(at(0, GROUP), lasts=3_400).problems == ()
    assert matroska(at(0, GROUP), lasts=3_600).names == {"claims_more"}
    assert matroska(*whole, lasts=float("nan")).problems == ()
    later = ebml("A3", b"\x81\x0b\xb8\x80" + bytes(46))  # three seconds into its cluster
    assert matroska(at(0, BLOCK, later), lasts=6_000).problems == ()
    assert matroska(at(0, BLOCK, later), lasts=600_000).names == {"claims_more"}
    before = ebml("A3", b"\x81\xf4\x48\x80" + bytes(46))  # and three before it
    assert matroska(at(9_000, before), lasts=6_000).problems == ()
    assert matroska(at(9_000, before), lasts=9_000).names == {"claims_more"}


@pytest.mark.parametrize(
    ("scale_ns", "ticks", "more"),
    [(100_000, 4_000, False), (10_000_000, 400, True), (0, 400, False), (0, 1_000, True)],
)
@pytest.mark.parametrize("double", [False, True])
def test_a_matroskas_length_is_counted_in_its_own_ticks(
    scale_ns: int, ticks: int, more: bool, double: bool
) -> None:
    """Which are milliseconds where it does not say; a single frame is there."""
    duration = struct.pack(">d" if double else ">f", ticks)
    scale = ebml("2AD7B1", scale_ns.to_bytes(4, "big"))
    info = ebml("1549A966", scale + ebml("4489", duration))
    found = walked(HEAD + ebml("18538067", info + TRACKS + at(0)))
    assert found.names == ({"claims_more"} if more else set())


@pytest.mark.parametrize("data", [b"", b"x", b"just text, named .mp4", bytes(4096)])
def test_what_is_no_recording_is_said(data: bytes) -> None:
    assert walked(data).names & {"empty", "unknown_container"}


def indexed() -> bytes:
    """Give two fragments that a segment index and a table tell of, too."""
    one, two = fragment((60, 20)), fragment((60, 20), at=80)
    rows = numbers(len(one), 80, 0) + numbers(len(two), 80, 0)
    sidx = full(b"sidx", numbers(1, 1000, 0, 0, 2), rows)
    head = FTYP + replace(Movie(sizes=(), extends=MVEX), claimed=0).moov(0) + sidx
    entries = numbers(0, len(head)) + b"\1\1\1" + numbers(80, len(head + one)) + b"\1\1\1"
    return head + one + two + box(b"mfra", full(b"tfra", numbers(1, 0, 2), entries))


def test_a_fragment_that_its_indexes_know_at_another_time_is_found() -> None:
    assert walked(indexed()).problems == ()
    for kind, offset in ((b"tfdt", 4), (b"sidx", 28), (b"tfra", 16)):
        data = bytearray(indexed())
        data[data.rindex(kind) + 4 + offset + 2] ^= 0x10  # four seconds
        assert walked(bytes(data)).names == {"times_disagree"}, kind


def test_indexes_that_name_no_fragment_tell_nothing() -> None:
    data = bytearray(indexed())
    data[data.rindex(b"tfra") + 4 + 7] = 9  # of another track
    data[data.rindex(b"sidx") + 4 + 7] = 9
    assert walked(bytes(data)).problems == ()
    data = bytearray(indexed())
    for entry in (0, 1):
        data[data.rindex(b"tfra") + 4 + 16 + 11 * entry + 7] ^= 1
    assert walked(bytes(data)).problems == ()


BASES = [Movie().file(), fragmented(), indexed(), MKV, (b"\x47" + bytes(187)) * 20]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(BASES), st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255))))
def test_no_bytes_make_the_walk_raise(data: bytes, changes: list[tuple[int, int]]) -> None:
    """Hostile files are judged too: any change gives a report, never an exception."""
    bent = bytearray(data)
    for at, value in changes:
        bent[at % len(bent)] = value
    assert walked(bytes(bent)).container in {"iso", "matroska", "mpegts", "unknown"}


@pytest.mark.parametrize("off", [-508, 1000, 1 << 8, 1 << 9, -(1 << 10)])
def test_a_header_that_counts_a_packet_of_pcm_otherwise_is_right_where_the_edit_list_says_so(
    off: int,
) -> None:
    """One bit in the header alone is damage, ffmpeg's own way of counting is none."""
    whole = a_second_of_g711(claimed=8000 + off)
    shown = (whole.claimed or 0, 0, NORMAL)
    assert names(replace(whole, edits=[shown])) == set()
    assert names(replace(whole, edits=[(80, -1, NORMAL), shown])) == set()
    assert names(whole) == set()  # nothing else says how long it lasts
    assert names(replace(whole, edits=[(8000, 0, NORMAL)])) == {"times_disagree"}
    late = [(max(0, -off), -1, NORMAL), (8000, 0, NORMAL)]  # by what ffmpeg took off; put right
    assert names(replace(whole, edits=late)) == ({"times_disagree"} if off > 0 else set())
    assert names(replace(whole, presented=8000)) == {"times_disagree"}


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
    assert walked(pcm(172_800_000)).names == {"samples_outside", "times_disagree"}
    assert walked(pcm(8)).problems == ()


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


def test_a_small_file_may_not_have_the_parts_of_a_whole_day() -> None:
    """What a walk may cost grows with the file: a day has gigabytes, a trap need not."""
    day_of_blocks = 24 * 3600 * (60 + 47)
    assert Budget.for_file(20 << 30).parts > day_of_blocks + 2 * 24 * 3600
    assert Budget.for_file(15 * 12_000_000).parts < 3_000_000
    blocks = ebml("1F43B675", ebml("E7", b"\0") + BLOCK * 50)
    data = HEAD + ebml("18538067", TRACKS + blocks)
    read = lambda offset, length: data[offset : offset + length]  # noqa: E731
    assert walk_matroska(read, len(data), Budget(parts=70)).problems == ()
    found = walk_matroska(read, len(data), Budget(parts=40))
    assert found.names == {"too_large"}


def test_each_fragment_has_its_price() -> None:
    moof = memoryview(box(b"traf", full(b"tfhd", numbers(1)), full(b"trun", numbers(0))))
    movie = parse_moov(memoryview(Movie().moov(0))[8:])
    fragments = Fragments(movie, Budget(parts=100))
    for start in range(9):
        fragments.add(moof, start)
    fragments = Fragments(movie, Budget(parts=8))
    with pytest.raises(TooLargeError):
        fragments.add(moof, 0)


def test_more_notes_than_anybody_writes_are_not_looked_for() -> None:
    item = box(b"\xa9nam", *[box(b"data", numbers(1, 0) + b"x")] * 5_000)
    listed = full(b"meta", full(b"hdlr", bytes(20)), box(b"ilst", *[item] * 21))
    assert walked(Movie(extends=box(b"udta", listed)).file()).names == {"too_large"}


@pytest.mark.parametrize("entry", [0, 2, 1 << 24])
def test_samples_of_a_description_that_is_not_there_are_found(entry: int) -> None:
    """Every reader skips them without a word: one bit, and there is a minute of silence."""
    run = full(b"trun", numbers(0))

    def found(trex: int, tfhd: bytes) -> set[str]:
        extends = box(b"mvex", full(b"trex", numbers(1, trex, 0, 0, 0)))
        moof = box(b"moof", full(b"mfhd", numbers(1)), box(b"traf", tfhd, run))
        return set(walked(Movie(extends=extends, behind=[moof]).file()).names)

    plain = full(b"tfhd", numbers(1))
    assert found(1, plain) == set()
    assert found(entry, plain) == {"bad_box"}
    assert found(entry, full(b"tfhd", numbers(1, 1), flags=2)) == set()
    assert found(1, full(b"tfhd", numbers(1, entry), flags=2)) == {"bad_box"}
    for handler in (b"vide", b"soun"):
        movie = Movie(handler=handler, entry=b"avc1" if handler == b"vide" else b"mp4a")
        assert walked(movie.file()).names == set()
        data = bytearray(movie.file())
        at = data.index(b"stsc") + 20  # behind version, count, first chunk and samples in each
        data[at : at + 4] = numbers(entry)
        assert walked(bytes(data)).names == {"bad_box"}
