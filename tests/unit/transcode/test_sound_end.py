"""When a sound is over by an index's own word, and saying that again in another index."""

import struct
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import pytest
from support.isobmff import FTYP, Movie, box, fragment, full, numbers
from support.media_values import FACTS, info, track

from watcher.transcode.boxes import walk
from watcher.transcode.command import Job, argv
from watcher.transcode.compare import sound_ends
from watcher.transcode.encoders import ENCODERS, Settings
from watcher.transcode.findings import Malformed, SoundEnd, child
from watcher.transcode.moov import parse_moov
from watcher.transcode.sound_end import say_ends

NORMAL = 1 << 16
TICK_S = Fraction(1, 1000)
HEAD = len(FTYP) + 8

SOUND = Movie(  # ten packets of 1024 samples: 1.28 s
    handler=b"soun", entry=b"mp4a", channels=1, track_timescale=8000, sizes=(9,) * 10, delta=1024
)


def sound(*edits: tuple[int, int], **changes: object) -> Movie:
    return replace(SOUND, edits=[(*edit, NORMAL) for edit in edits], **changes)  # type: ignore[arg-type]  # any field


def end_of(data: bytes) -> SoundEnd:
    found = walk(lambda offset, length: data[offset : offset + length], len(data))
    (end,) = found.sounds or ()
    assert end is not None
    return end


def at(seconds: str, *, tick_s: Fraction = TICK_S) -> SoundEnd:
    return SoundEnd(Fraction(seconds), tick_s, Fraction(1024, 8000))


ENDS = [
    ((), "1.28"),
    (((1280, 0),), "1.28"),
    (((70, -1), (1280, 0)), "1.35"),
    (((1152, 1024),), "1.152"),  # priming
    (((1200, 0),), "1.2"),  # the last packet in part
    (((9000, 1024),), "1.152"),  # more than there is
    (((70, -1), (0, 0)), "1.35"),  # to the end
    (((70, -1), (640, 0), (600, 5120)), "1.31"),
]


@pytest.mark.parametrize(("edits", "seconds"), ENDS)
def test_a_sound_is_over_where_its_edit_list_ends_or_its_samples(
    edits: tuple[tuple[int, int], ...], seconds: str
) -> None:
    for wide in (False, True):
        assert end_of(sound(*edits, wide_edits=wide).file()) == at(seconds)


def test_a_last_sample_without_a_length_lasts_as_long_as_the_one_before() -> None:
    assert end_of(sound(last=0).file()) == at("1.28")
    assert end_of(sound((1200, 0), last=0).file()) == at("1.2")
    hidden = end_of(sound((1000, 0), last=500).file())  # the last two are not heard at all
    assert hidden == at("1")
    assert end_of(sound(last=500).file()) == replace(at("1.2145"), last_s=Fraction(500, 8000))


def test_in_fragments_a_sound_is_over_with_its_last_sample() -> None:
    bare = Movie(handler=b"soun", entry=b"mp4a", channels=1, track_timescale=8000, sizes=())
    trex = full(b"trex", numbers(1, 1, 0, 0, 0))
    begun = replace(bare, edits=[(70, -1, NORMAL), (0, 0, NORMAL)], extends=box(b"mvex", trex))
    pieces = (fragment((9, 9), delta=1024), fragment((9,), delta=500, at=2048))
    data = b"".join((FTYP, begun.moov(0), *pieces))
    assert end_of(data) == SoundEnd(Fraction(70, 1000) + Fraction(2548, 8000), TICK_S,
                                    Fraction(500, 8000))  # fmt: skip


def test_in_fragments_too_a_last_sample_may_have_no_length() -> None:
    bare = Movie(handler=b"soun", entry=b"mp4a", channels=1, track_timescale=8000, sizes=())
    begun = replace(bare, extends=box(b"mvex", full(b"trex", numbers(1, 1, 0, 0, 0))))
    pieces = (fragment((9, 9), delta=1024), fragment((9,), delta=0, at=2048))
    assert end_of(b"".join((FTYP, begun.moov(0), *pieces))) == at("0.384")


def test_a_picture_has_no_end_of_sound_and_an_empty_sound_none() -> None:
    for movie, sounds in ((Movie(), ()), (replace(SOUND, sizes=()), (None,))):
        data = movie.file()
        found = walk(lambda offset, length, data=data: data[offset : offset + length], len(data))  # type: ignore[misc]  # bound now
        assert found.sounds == sounds


def payload(movie: Movie) -> bytearray:
    return bytearray(movie.moov(HEAD)[8:])


def said(moov: bytearray) -> tuple[int, int, int]:
    """Give how long the sound's last part, its track and the movie last, as headers say."""
    movie = parse_moov(memoryview(moov))
    return movie.tracks[0].edits[-1].duration, movie.tracks[0].presented, movie.claimed


@pytest.mark.parametrize("wide", [False, True])
def test_an_end_is_said_in_the_edit_list_and_in_both_headers(wide: bool) -> None:
    short = sound((70, -1), (1210, 0), presented=1280, wide_edits=wide, wide_times=wide)
    moov = payload(short)
    assert say_ends(moov, [at("1.35")])
    assert said(moov) == (1280, 1350, 1350)
    right = replace(short, edits=[(70, -1, NORMAL), (1280, 0, NORMAL)], presented=1350)
    claims = bytearray(payload(right))
    struct.pack_into(">Q" if wide else ">I", _mvhd(claims), 24 if wide else 16, 1350)
    assert moov == claims  # and not a byte beside


def part(movie: Movie, kind: bytes) -> bytes:
    found = child(memoryview(payload(movie)), kind)
    assert found is not None
    return box(kind, bytes(found))


def _mvhd(moov: bytearray) -> memoryview:
    found = child(memoryview(moov), b"mvhd")
    assert found is not None
    return found


def test_an_end_is_said_sooner_too_and_to_the_sound_that_it_belongs_to() -> None:
    edits = ((1280, 0),)
    files = (Movie(presented=160), *[sound(*edits, presented=1280)] * 2)
    picture, *traks = (part(movie, b"trak") for movie in files)
    mvhd = part(files[1], b"mvhd")
    moov = bytearray(mvhd + picture + b"".join(traks))
    assert say_ends(moov, [at("1.28"), None, at("1.2")])  # of the one without a sample none is kept
    movie = parse_moov(memoryview(moov))
    assert [one.presented for one in movie.tracks] == [160, 1280, 1200]
    assert movie.claimed == 1280


LEFT = {
    "the clocks of their movies can't tell": (sound((1280, 0)), at("1.282")),
    "the source's clock is a coarse one": (sound((1280, 0)), at("1.26", tick_s=Fraction(1, 30))),
    "the last sample would be hidden": (sound((1280, 0), last=0), at("1.1")),
    "there are no samples for it": (sound((1280, 0)), at("1.3")),
    "a sample that is there would be hidden": (sound((1280, 0)), at("1.152")),
    "there is no edit list": (sound(), at("1.2")),
    "the edit list ends in a pause": (sound((1280, 0), (70, -1)), at("1.2")),
}


@pytest.mark.parametrize(("movie", "end"), LEFT.values(), ids=LEFT)
def test_an_index_is_left_as_it_is_where(movie: Movie, end: SoundEnd) -> None:
    moov = payload(movie)
    before = bytes(moov)
    assert not say_ends(moov, [end])
    assert not say_ends(moov, [])  # another number of sounds
    assert moov == before


def test_an_index_that_contradicts_itself_is_no_index() -> None:
    with pytest.raises(Malformed):
        say_ends(bytearray(box(b"mvhd", bytes(4))), [])


def test_two_sounds_end_together_within_a_millisecond_and_what_clocks_round() -> None:
    same, late = (at("1.28"), at("1.283")), at("1.2831")
    assert list(sound_ends([same[0], None], [same[1]])) == []
    (found,) = sound_ends([same[0]], [late])
    assert found.name == "end_differs"
    assert "+3.10 ms" in found.detail
    assert [one.name for one in sound_ends([same[0]], [])] == ["streams_differ"]
    for pair in ((None, [late]), ([late], None)):
        assert [one.name for one in sound_ends(*pair)] == ["unverifiable"]


def last_packets(last_s: Fraction, codec: str = "aac") -> list[str]:
    """Give what a command says of sound whose last packet is read to last 1024 of 8000 a second."""
    facts = replace(FACTS, timestamps=(0, 1024), end_pts=2048)
    heard = replace(track(1, "audio", codec, packets=facts), time_base=Fraction(1, 8000))
    ends = (SoundEnd(Fraction(1), TICK_S, last_s),)
    media = info(streams=(info().streams[0], heard), sounds=ends)
    words = argv("/usr/bin/ffmpeg", ENCODERS["libx265"][0], Job(media, "/s", "/o", Settings()))
    return [word for option, word in pairwise(words) if "-bsf:a" in option]


def test_how_long_the_last_packet_of_sound_lasts_is_said_only_where_it_is_read_otherwise() -> None:
    assert last_packets(Fraction(1024, 8000)) == []
    assert last_packets(Fraction(1, 8000), "pcm_alaw") == []  # a sample, not a packet
    (said_of_it,) = last_packets(Fraction(500, 8000))
    assert said_of_it == "setts=duration=if(eq(NEXT_DTS\\,NOPTS)\\,round(1/16/TB)\\,DURATION)"
