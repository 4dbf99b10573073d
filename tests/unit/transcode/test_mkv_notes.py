"""What a maker has noted in Matroska is read, or refused by name: nothing is lost in silence."""

import pytest
from support.matroska import BLOCK, CLUSTER, HEAD, ebml

from watcher.transcode.boxes import walk
from watcher.transcode.findings import Walked

NUMBER = ebml("D7", b"\1")


def walked(*elements: bytes, track: bytes = b"", cluster: bytes = CLUSTER) -> Walked:
    tracks = ebml("1654AE6B", ebml("AE", NUMBER + track))
    data = HEAD + ebml("18538067", tracks + b"".join(elements) + cluster)
    return walk(lambda offset, length: data[offset : offset + length], len(data))


def tag(*parts: bytes, target: bytes = b"") -> bytes:
    simple = ebml("67C8", ebml("45A3", b"TITLE") + b"".join(parts))
    return ebml("1254C367", ebml("7373", ebml("63C0", target) + simple))


def chapters(*parts: bytes, edition: bytes = b"") -> bytes:
    atom = ebml("B6", ebml("91", b"\0") + b"".join(parts))
    return ebml("1043A770", ebml("45B9", edition + atom))


def display(text: bytes) -> bytes:
    return ebml("80", ebml("85", text) + ebml("437C", b"eng"))


READ = {
    "a title": (walked(ebml("1549A966", ebml("7BA9", b"yard"))), ["yard"]),
    "a tag": (walked(tag(ebml("4487", b"yard"))), ["yard"]),
    "a tag in a tag": (walked(tag(ebml("67C8", ebml("4487", b"yard")))), ["yard"]),
    "a track's name": (walked(track=ebml("536E", b"sub stream")), ["sub stream"]),
    "a language": (walked(track=ebml("22B59C", b"deu") + ebml("22B59D", b"de")), ["deu"]),
    "a language of a region": (walked(track=ebml("22B59D", b"de-AT")), ["de-AT"]),
    "no language": (walked(track=ebml("22B59C", b"und")), []),
    "a chapter in two languages": (
        walked(chapters(display(b"gate") + display(b"Tor"))),
        ["gate", "Tor"],
    ),
    "an attachment": (
        walked(ebml("1941A469", ebml("61A7", ebml("466E", b"a.txt") + ebml("465C", bytes(9))))),
        ["a.txt"],
    ),
    "nothing": (walked(ebml("1549A966", ebml("73A4", bytes(16)) + ebml("EC", bytes(9)))), []),
}


@pytest.mark.parametrize(("found", "texts"), READ.values(), ids=READ.keys())
def test_each_text_is_given_to_be_looked_for(found: Walked, texts: list[str]) -> None:
    assert found.problems == ()
    assert sorted(note.texts[0] for note in found.notes) == sorted(texts)


GROUP = ebml("A1", b"\x81\0\0\0" + bytes(9))
MORE = ebml("75A1", ebml("A6", ebml("A5", b"telemetry")))
LOST = {
    "the file that comes before": walked(ebml("1549A966", ebml("3CB923", bytes(16)))),
    "a tag that is no text": walked(tag(ebml("4485", b"\1\2\3"))),
    "a tag of an edition": walked(tag(ebml("4487", b""), target=ebml("63C9", b"\1"))),
    "what is added to each frame": walked(track=ebml("41E4", ebml("41E7", b"\4"))),
    "tracks that make one": walked(track=ebml("E2", b"")),
    "a picture that is cut": walked(track=ebml("E0", ebml("54AA", b"\x08"))),
    "a transparent picture": walked(track=ebml("E0", ebml("53C0", b"\1"))),
    "a chapter in a chapter": walked(chapters(ebml("B6", display(b"gate")))),
    "chapters in another order": walked(chapters(edition=ebml("45DD", b"\1"))),
    "a hidden chapter": walked(chapters(ebml("98", b"\1"))),
    "a second edition": walked(ebml("1043A770", ebml("45B9", b"") + ebml("45B9", b""))),
    "telemetry beside a frame": walked(
        cluster=ebml("1F43B675", ebml("E7", b"\0") + ebml("A0", GROUP + MORE) * 3)
    ),
    "a text that is too long": walked(tag(ebml("4487", b"a" * 70_000))),
}


@pytest.mark.parametrize("found", LOST.values(), ids=LOST.keys())
def test_what_no_copy_would_have_is_refused_by_name(found: Walked) -> None:
    assert [problem.name for problem in found.problems] == ["metadata_not_carried"]


def test_an_encrypted_block_is_no_block_that_may_be_left_out() -> None:
    cluster = ebml("1F43B675", ebml("E7", b"\0") + BLOCK + ebml("AF", bytes(9)))
    assert walked(cluster=cluster).names == {"encrypted"}


@pytest.mark.parametrize(
    ("element", "ident"),
    [
        (ebml("1549A966", ebml("7BA9", b"yard")), "7BA9"),
        (tag(ebml("4487", b"yard")), "4487"),
        (chapters(display(b"gate")), "85"),
        (ebml("1941A469", ebml("61A7", ebml("466E", b"a.txt"))), "466E"),
    ],
    ids=["title", "tag", "chapter", "attachment"],
)
def test_any_flipped_bit_in_the_id_of_a_text_is_found(element: bytes, ident: str) -> None:
    """It may become a text of another kind, but none that is passed over."""
    at = element.index(bytes.fromhex(ident))
    for bit in range(8 * len(ident) // 2):
        bent = bytearray(element)
        bent[at + bit // 8] ^= 1 << bit % 8
        found = walked(bytes(bent))
        assert found.problems or len(found.notes) == 1
