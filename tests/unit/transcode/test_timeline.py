"""Single bits in the times of MP4 files: what a witness tells is found, ordinary files pass."""

import os
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.clips import clip, ffmpeg, remux
from support.damage import Bend, bent
from support.proving import STRUCTURE

from watcher.errors import Refused
from watcher.transcode.clocks import USUAL, is_strange, unbent
from watcher.transcode.probe import Prober
from watcher.transcode.source import judge_source, walk_file

FRAGMENTS = "frag_keyframe+empty_moov+default_base_moof"
ALONE = FRAGMENTS + "+skip_trailer"  # no table of the fragments' times behind them
_90K = ("-video_track_timescale", "90000")


def fragmented(directory: Path, flags: str, *words: str, **options: Any) -> Path:
    source = clip(**{"seconds": 4, **options})
    return remux(source, directory / "whole.mp4", "-movflags", flags, *words)


def found(path: Path) -> set[str]:
    return set(walk_file(os.fspath(path)).names)


def bit_of(kind: bytes, number: int, offset: int, bit: int) -> Bend:
    """Flip *bit* of the 32 bits so far behind the name of box *number* of *kind*; -1: the last."""

    def bend(data: bytearray) -> None:
        at = [one.end() for one in re.finditer(re.escape(kind), data)][number] + offset
        (value,) = struct.unpack(">I", data[at : at + 4])
        data[at : at + 4] = struct.pack(">I", value ^ 1 << bit)

    return bend


def video_time(number: int, bit: int, low: int = 8) -> Bend:
    return bit_of(b"tfdt", number, low, bit)


def both(*bends: Bend) -> Bend:
    def bend(data: bytearray) -> None:
        for one in bends:
            one(data)

    return bend


CLOCK = 12  # of mdhd, behind its name
FIRST_SAMPLE = 12 + 4  # of a run with an offset and the first sample's flags
DEFAULT = 8  # how long each sample of a fragment lasts, in tfhd

DAMAGED: dict[str, tuple[str, dict[str, Any], tuple[str, ...], Bend]] = {
    "the last time of the picture": (ALONE, {}, (), video_time(-2, 14)),
    "the last time of the picture, by hours": (ALONE, {}, (), video_time(-2, 30)),
    "the last time of the sound": (ALONE, {}, (), video_time(-1, 13)),
    "the first time of the picture": (ALONE, {}, (), video_time(0, 14)),
    "a time that a table behind knows": (FRAGMENTS, {"audio": None}, (), video_time(-1, 14)),
    "a time that a segment index knows": (
        ALONE + "+dash+global_sidx",
        {"audio": None},
        (),
        video_time(-1, 15),
    ),
    "the picture's clock, a little": (ALONE, {"audio": None}, (), bit_of(b"mdhd", 0, CLOCK, 4)),
    "the picture's clock, by much": (ALONE, {"audio": None}, (), bit_of(b"mdhd", 0, CLOCK, 30)),
    "the picture's clock, by a fiftieth": (
        ALONE,
        {"audio": None},
        (),
        bit_of(b"mdhd", 0, CLOCK, 8),
    ),
    "the sound's clock": (ALONE, {}, (), bit_of(b"mdhd", 1, CLOCK, 0)),
    "a clock that becomes another usual one, beside sound": (
        ALONE,
        {"seconds": 8},
        (),
        bit_of(b"mdhd", 0, CLOCK, 13),
    ),
    "the clock of a plain file, a little": ("write_colr", {}, (), bit_of(b"mdhd", 0, CLOCK, 6)),
    "the clock of a plain file, to another that could be": (
        "write_colr",
        {},
        (),
        bit_of(b"mdhd", 0, CLOCK, 8),
    ),
    "the clock of a plain file's sound": ("write_colr", {}, (), bit_of(b"mdhd", 1, CLOCK, 3)),
    "how long the frames of the last fragment last": (
        ALONE,
        {"audio": None},
        (),
        bit_of(b"tfhd", -1, DEFAULT, 7),
    ),
    "how long the frames of a fragment last, which leaves a gap": (
        ALONE,
        {"audio": None},
        _90K,
        bit_of(b"tfhd", 2, DEFAULT, 11),
    ),
    "how long the frames of the first fragment last, which leaves a gap": (
        ALONE,
        {"audio": None},
        _90K,
        bit_of(b"tfhd", 0, DEFAULT, 11),
    ),
    "how long one frame lasts": (ALONE, {}, (), bit_of(b"trun", 0, FIRST_SAMPLE + 8, 8)),
    "how long one frame lasts, where the next fragment begins a tick late": (
        ALONE,
        {},
        (),
        both(video_time(2, 0), bit_of(b"trun", 0, FIRST_SAMPLE + 8, 8)),
    ),
    "how long one packet of the last sound lasts": (ALONE, {}, (), bit_of(b"trun", -1, 28, 9)),
    "where the sound begins, to before all times": (
        "write_colr",
        {},
        (),
        bit_of(b"elst", 1, 12, 31),
    ),
}


@pytest.mark.parametrize(
    ("flags", "options", "words", "bend"), DAMAGED.values(), ids=DAMAGED.keys()
)
def test_a_bit_in_a_time_is_found_where_anything_tells(
    flags: str, options: dict[str, Any], words: tuple[str, ...], bend: Bend, tmp_path: Path
) -> None:
    whole = fragmented(tmp_path, flags, *words, **options)
    assert found(whole) == set()
    assert found(bent(whole, tmp_path / "bent.mp4", bend)) == {"times_disagree"}


def test_a_file_whose_last_fragment_has_moved_is_refused(tmp_path: Path) -> None:
    whole = fragmented(tmp_path, ALONE)
    with Prober() as prober:
        judge_source(prober.probe(os.fspath(whole)), STRUCTURE)
        moved = prober.probe(os.fspath(bent(whole, tmp_path / "rec.mp4", video_time(-2, 20))))
        with pytest.raises(Refused, match="lies apart") as refused:
            judge_source(moved, STRUCTURE)
    assert refused.value.reason == "unverifiable"


def _both(directory: Path, *words: str | Path) -> Path:
    path = directory / "made.mkv"
    ffmpeg(*words, "-map", "0:v", "-map", "1:a", "-c", "copy", path)
    return path


def late_sound(seconds: str) -> Callable[[Path], Path]:
    silent, whole = clip(seconds=6, audio=None), clip(seconds=6)
    return lambda to: _both(to, "-i", silent, "-itsoffset", seconds, "-i", whole)


def late_picture(to: Path) -> Path:
    words = ("-itsoffset", "3.1", "-i", clip(seconds=6, audio=None))
    return _both(to, *words, "-i", clip(seconds=6))


def short_sound(to: Path) -> Path:
    return _both(to, "-i", clip(seconds=6, audio=None), "-t", "2.7", "-i", clip(seconds=6))


def short_picture(to: Path) -> Path:
    return _both(to, "-t", "3", "-i", clip(seconds=6, audio=None), "-i", clip(seconds=6))


def filtered(picture: str | None, sound: str | None = None) -> Callable[[Path], Path]:
    words = ("-vf", picture, "-fps_mode", "vfr") if picture else ()
    more = ("-af", sound) if sound else ()
    return lambda _: clip(seconds=6, video=(*words, *more))


def half_late(_: Path) -> Path:
    words = ("-vf", "settb=1/12800,setpts='512*N+256*gt(N\\,30)'", "-enc_time_base", "1/12800")
    return clip(seconds=6, video=(*words, "-fps_mode", "passthrough"))


_LOST = "lt(t,2)+gt(t,4.048)"
ORDINARY: dict[str, Callable[[Path], Path]] = {
    "sound that begins late by a power of two": late_sound("2.048"),
    "sound that begins very late": late_sound("4.096"),
    "sound that begins late": late_sound("2.37"),
    "a picture that begins late": late_picture,
    "sound that ends early": short_sound,
    "a picture that ends early": short_picture,
    "sound that is lost and found": filtered(None, f"aselect='{_LOST}'"),
    "a picture that is lost and found": filtered(f"select='{_LOST}'"),
    "a camera that is lost and found": filtered(f"select='{_LOST}'", f"aselect='{_LOST}'"),
    "a variable frame rate": filtered("select='not(eq(mod(n,7),2))'"),
    "a clock in milliseconds": filtered("settb=1/1000,setpts='N*40+mod(N*7\\,13)'"),
    "29 fps": lambda _: clip(seconds=6, fps="29"),
    "17 fps without sound": lambda _: clip(seconds=6, fps="17", audio=None),
    "29.97 fps, many B-frames": lambda _: clip(seconds=6, fps="30000/1001", b_frames=5),
    "1 fps": lambda _: clip(seconds=6, fps="1", gop=2),
    "a frame that comes half an interval late, as do all that follow": half_late,
    "from Matroska": lambda _: clip(seconds=6, container="mkv"),
    "48 kHz": lambda _: clip(seconds=6, output=("-ar", "48000")),
}
WAYS = {
    "fragments": ("-movflags", FRAGMENTS),
    "indexed": ("-movflags", FRAGMENTS + "+dash+global_sidx"),
    "behind an index": ("-movflags", "frag_keyframe"),
    "by time": ("-movflags", "empty_moov+default_base_moof", "-frag_duration", "700000"),
    "at 24 h": ("-movflags", FRAGMENTS, "-output_ts_offset", "86400"),
    "plain": (),
}


@pytest.mark.parametrize("make", ORDINARY.values(), ids=ORDINARY.keys())
def test_what_is_ordinary_passes(make: Callable[[Path], Path], tmp_path: Path) -> None:
    source = make(tmp_path)
    ways = WAYS.items()
    told = {way: found(remux(source, tmp_path / "rec.mp4", *words)) for way, words in ways}
    assert [way for way, names in told.items() if names] == []


def test_an_index_that_is_wrong_in_many_places_is_no_witness(tmp_path: Path) -> None:
    """Some recorder may count there by another clock than in its fragments."""
    whole = fragmented(tmp_path, ALONE + "+dash+global_sidx", audio=None)
    assert found(bent(whole, tmp_path / "other.mp4", bit_of(b"sidx", 0, 8, 13))) == set()


def test_no_usual_clock_is_strange_or_taken_for_a_sound_s_own() -> None:
    rates = (8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
    assert not any(is_strange(clock, rate) for clock in USUAL for rate in rates)
    assert not any(is_strange(n << k) for n in range(1, 32) for k in range(14))
    assert not is_strange(96_000, 96_000 & 0xFFFF)  # the entry has no room for more
    assert unbent(96_000, 96_000 & 0xFFFF) == unbent(96_000)
    assert is_strange(8_001, 8_000)
    assert is_strange(12_816)
    assert (unbent(8_001, 8_000), unbent(12_816)) == (frozenset({8_000}), frozenset({12_800}))


LENGTH = 16  # of mdhd, behind its name


def test_g711_whose_packets_were_lost_is_ordinary_and_one_bit_in_it_is_not(tmp_path: Path) -> None:
    """In MOV ffmpeg writes no pause between samples, but how long it took, in three places."""
    whole = clip(seconds=2, container="mov", audio="pcm_alaw")
    drop = ("-bsf:a", "noise=drop=between(n\\,5\\,8)")
    lossy = remux(whole, tmp_path / "lossy.mov", *drop)
    assert found(lossy) == set()
    for kind, number, offset, bit in (
        (b"mdhd", 1, LENGTH, 11),
        (b"mdhd", 1, CLOCK, 12),
        (b"elst", 1, 8, 13),
        (b"tkhd", 1, 20, 14),
        (b"stts", 1, 12, 1),
    ):
        path = bent(lossy, tmp_path / "bent.mov", bit_of(kind, number, offset, bit))
        assert found(path) & {"times_disagree", "tables_disagree"}, kind
