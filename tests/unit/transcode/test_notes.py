"""What a maker has noted is read, or refused by name: nothing of it is lost in silence."""

import struct

import pytest
from support.isobmff import Movie, box, full, numbers

from watcher.transcode.boxes import walk
from watcher.transcode.findings import Problem, Walked
from watcher.transcode.names import VIDEO_ENTRY, cut_out, entry_strangers, strangers

HANDLER = full(b"hdlr", numbers(0), b"mdir", bytes(13))
XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
FRAGMENT_TIME = bytes.fromhex("6d1d9b0542d544e680e2141daff757b2")


def walked(movie: Movie) -> Walked:
    data = movie.file()
    return walk(lambda offset, length: data[offset : offset + length], len(data))


def user(*boxes: bytes) -> Movie:
    return Movie(extends=box(b"udta", *boxes))


def string(text: bytes, language: int = 0x55C4) -> bytes:
    return struct.pack(">HH", len(text), language) + text


def item(kind: bytes, form: int, value: bytes) -> bytes:
    return box(b"ilst", box(kind, box(b"data", numbers(form, 0), value)))


def meta(*parts: bytes) -> bytes:
    return full(b"meta", HANDLER, *parts)


def place(role: int = 0, altitude: int = 0, name: bytes = b"", notes: bytes = b"") -> bytes:
    where = struct.pack(">B3i", role, 13 * 65536 + 32768, 52 * 65536, altitude)
    return full(b"loci", b"\x15\xc7", name + b"\0", where, b"earth\0", notes + b"\0")


MEDIAMTX = full(
    b"mtxi", bytes(range(16)), struct.pack(">QqQ", 3, 7_200_000_000, 1_700_000_000 << 30)
)
"""Its box: a stream's UUID, the segment's number, decode time and wall clock in nanoseconds."""

READ = {
    "a text of QuickTime": (user(box(b"\xa9nam", string(b"yard"))), ["yard"]),
    "in two languages": (
        user(box(b"\xa9nam", string(b"yard") + string(b"Hof", 0x10E5))),
        ["yard", "Hof"],
    ),
    "a text alone": (user(box(b"manu", b"ACME\0")), ["ACME"]),
    "of a kind that nobody knows": (user(box(b"QVMI", b"a camera")), ["a camera"]),
    "a text of iTunes": (user(meta(item(b"\xa9cmt", 1, b"by the gate"))), ["by the gate"]),
    "an integer": (user(meta(item(b"hdvd", 21, b"\2"))), ["2"]),
    "a fraction": (user(meta(item(b"\0\0\0\1", 23, struct.pack(">f", 30)))), ["30.000000"]),
    "a place": (user(place()), ["+52.0000+013.5000/"]),
    "a text of the index": (Movie(extends=meta(item(b"\xa9nam", 1, b"yard"))), ["yard"]),
    "what wrote the file": (user(meta(item(b"\xa9too", 1, b"Lavf"))), []),
    "nothing": (user(box(b"\xa9nam", b"")), []),
    "filling": (user(box(b"free", bytes(100))), []),
    "chapters": (user(box(b"chpl", bytes(9))), []),
}


@pytest.mark.parametrize(("movie", "texts"), READ.values(), ids=READ.keys())
def test_each_text_is_given_to_be_looked_for(movie: Movie, texts: list[str]) -> None:
    found = walked(movie)
    assert found.problems == ()
    assert [note.texts[0] for note in found.notes] == texts


LOST = {
    "telemetry": user(box(b"GPMF", b"DEVC\1\0\0\x20" + bytes(32))),
    "a text that is too long": user(box(b"QVMI", bytes(30 << 20))),
    "a text behind a text": user(box(b"manu", b"ACME\0Model 9")),
    "a picture": user(meta(item(b"covr", 13, b"\xff\xd8\xff"))),
    "a text of 16 bits": user(meta(item(b"\xa9nam", 2, b"\0y\0a"))),
    "a document": user(meta(box(b"xml ", b"<NonRealTimeMeta/>"))),
    "a place with a name": user(place(name=b"gate")),
    "a place with a height": user(place(altitude=65536)),
    "a place with notes": user(place(notes=b"left")),
    "a place of another role": user(place(role=1)),
    "data in free space of the index": Movie(extends=box(b"free", b"GPS +52.0")),
    "data in free space of the user data": user(box(b"skip", b"GPS +52.0")),
    "a document of a maker's own": Movie(extends=box(b"uuid", XMP, b"<x:xmpmeta/>")),
    "the same behind": Movie(behind=[box(b"uuid", XMP, b"<x:xmpmeta/>")]),
    "the same in the user data": user(box(b"uuid", XMP, b"<x:xmpmeta/>")),
    "what is seen of the picture": Movie(extends=box(b"clip", bytes(10))),
    "GPS in free space": Movie(behind=[box(b"free", b"GPS \1\2\3" + bytes(100))]),
    "GPS behind much that is free": Movie(behind=[box(b"free", bytes(2 << 20), b"GPS")]),
    "an event": Movie(behind=[full(b"emsg", b"urn:motion\0")]),
    "the time of day": Movie(behind=[full(b"prft", bytes(20))]),
    "metadata of the file": Movie(behind=[meta(item(b"\xa9nam", 1, b"yard"))]),
    "a text without a box": user(b"recorded at the gate, north side"),
    "a text shorter than a box": user(b"gate"),
    "a text in place of the metadata": user(full(b"meta", b"recorded at the gate, north side")),
    "what MediaMTX keeps to join its segments": user(MEDIAMTX),
    "the same of its first segment, all zeros": user(full(b"mtxi", bytes(40))),
    "user data of the file": Movie(behind=[box(b"udta", box(b"manu", b"ACME"))]),
    "a preview": Movie(behind=[box(b"pnot", bytes(12))]),
}


@pytest.mark.parametrize("movie", LOST.values(), ids=LOST.keys())
def test_what_no_copy_would_have_is_refused_by_name(movie: Movie) -> None:
    assert walked(movie).names == {"metadata_not_carried"}


def test_a_recording_of_mediamtx_is_left_to_its_playback_and_says_so() -> None:
    """Its server joins segments by stream and number, and reads nothing but fragments."""
    (problem,) = walked(user(MEDIAMTX)).problems
    assert "MediaMTX" in problem.detail


@pytest.mark.parametrize(("said", "problems"), [(b"en-GB", 1), (b"und", 0), (b"", 0)])
def test_a_language_that_has_no_place_in_a_copy_is_refused_by_name(
    said: bytes, problems: int
) -> None:
    found = list(strangers(b"mdia", memoryview(full(b"elng", said + b"\0"))))
    assert [one.name for one in found if isinstance(one, Problem)] == (
        ["metadata_not_carried"] * problems
    )


def test_a_camera_s_field_of_view_is_refused_by_name() -> None:
    found = entry_strangers(b"hvc1", VIDEO_ENTRY, memoryview(box(b"hfov", bytes(4))))
    assert [one.name for one in found] == ["metadata_not_carried"]


@pytest.mark.parametrize(
    ("said", "problems"),
    [
        ((160, 1, 120, 1, 0, 1, 0, 1), 0),
        ((480, 3, 240, 2, 0, 1, 0, 7), 0),
        ((158, 1, 120, 1, 0, 1, 0, 1), 1),
        ((160, 1, 112, 1, 0, 1, 0, 1), 1),
        ((160, 1, 120, 1, 2, 1, 0, 1), 1),
        ((160, 1, 120, 1, 0, 1, -4, 1), 1),
        ((0, 0, 0, 0, 0, 0, 0, 0), 1),
    ],
)
def test_a_part_that_is_cut_out_of_the_picture_is_told_before_the_encode(
    said: tuple[int, ...], problems: int
) -> None:
    entry = memoryview(bytes(24) + struct.pack(">HH", 160, 120) + bytes(50))
    found = list(cut_out(b"avc1", entry, memoryview(box(b"clap", numbers(*said)))))
    assert [one.name for one in found] == ["metadata_not_carried"] * problems
    assert list(cut_out(b"avc1", entry, memoryview(b""))) == []


def test_xmp_is_called_by_its_name() -> None:
    behind = Movie(behind=[box(b"uuid", XMP, b"<x:xmpmeta/>")])
    assert [problem.detail for problem in walked(behind).problems] == ["XMP metadata in the file"]


_PACKET = (
    b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="GStreamer">\n'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/#" xmlns:dc="http://purl.org/dc/">\n'
    b'<rdf:Description rdf:about="">\n%s</rdf:Description>\n</rdf:RDF>\n</x:xmpmeta>\n'
    b'<?xpacket end="r"?>%s'
)


@pytest.mark.parametrize(
    ("said", "behind", "problems"),
    [(b"", b"\n\0", 0), (b"<dc:title>gate</dc:title>", b"", 1), (b"", b" " * 5000 + b"x", 1)],
)
def test_xmp_that_says_nothing_is_no_loss(said: bytes, behind: bytes, problems: int) -> None:
    packet = _PACKET % (said, behind)
    as_box = Movie(behind=[box(b"uuid", XMP, packet)])
    assert len(walked(as_box).problems) == problems
    as_text = walked(user(box(b"XMP_", packet)))
    assert len(as_text.notes) + len(as_text.problems) == problems


@pytest.mark.parametrize("of", [b"<x:xmpmeta", b"<?xpacket", b"<rdf:RDF", b"<rdf:Description"])
def test_xmp_that_says_something_in_an_attribute_is_not_carried(of: bytes) -> None:
    packet = (_PACKET % (b"", b"")).replace(of, of + b' exif:GPSLatitude="52,31.2N"', 1)
    walk = walked(Movie(behind=[box(b"uuid", XMP, packet)]))
    assert [problem.name for problem in walk.problems] == ["metadata_not_carried"]


def test_what_is_structure_alone_is_ordinary() -> None:
    behind = [box(b"styp", b"msdh\0\0\0\0"), box(b"mfra"), box(b"uuid", FRAGMENT_TIME, bytes(20))]
    assert walked(Movie(behind=behind)).problems == ()


def test_gps_between_two_frames_is_found() -> None:
    gap = box(b"free", b"GPS \1\2\3" + bytes(100))
    assert walked(Movie(per_sample=True, gap=gap)).names == {"unreferenced_data"}
    assert walked(Movie(per_sample=True, gap=box(b"free", bytes(100)))).problems == ()


@pytest.mark.parametrize(
    ("scheme", "role", "is_read"),
    [
        (b"urn:mpeg:dash:role:2011", b"forced-subtitle", True),
        (b"urn:mpeg:dash:role:2011", b"main", False),
        (b"urn:acme:role", b"dub", False),
    ],
)
def test_a_tracks_role_is_its_disposition_where_ffmpeg_knows_it(
    scheme: bytes, role: bytes, is_read: bool
) -> None:
    told = walked(user(full(b"kind", scheme + b"\0" + role + b"\0")))
    assert [one.name for one in told.problems] == ([] if is_read else ["metadata_not_carried"])
