"""The marker: names, file form, and what is not taken for one."""

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.markers import HELD, marker

from watcher.clock import utc
from watcher.replace.marker import (
    Foreign,
    Held,
    Identity,
    State,
    Torn,
    marker_name,
    original_name,
    parse,
    recording_of,
    serialise,
    temporary_name,
)

NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=()), min_size=1)
ODD = ["-rf", "a\nb.mp4", "%03d.mp4", "caf\udce9.mp4", "'\".mp4", ".hidden.mp4", "a.original"]


@given(NAMES.filter(lambda name: name not in {".", ".."}))
@example(".hidden.mp4")
@example(".transcoding")
def test_our_names_lead_back_to_the_recording(name: str) -> None:
    """Whatever the recording is called."""
    for ours in (temporary_name(name), original_name(name), marker_name(name)):
        assert recording_of(ours) == name


@pytest.mark.parametrize(
    "name",
    ["seg.mp4", ".seg.mp4", "seg.transcoding", ".original", ".transcoded", "..transcoding"],
)
def test_no_other_name_is_ours(name: str) -> None:
    """A recording, and names that would lead back to none."""
    assert recording_of(name) is None


@pytest.mark.parametrize("name", ["seg.mp4", *ODD])
@pytest.mark.parametrize("state", list(State))
def test_parse_takes_back_what_serialise_gave(name: str, state: State) -> None:
    """Odd names, bytes that are not UTF-8 among them, come back as they were."""
    whole = marker(name, state=state)
    assert parse(serialise(whole), name) == whole


def test_a_file_system_that_keeps_no_birth_times_has_markers_too() -> None:
    known = marker()
    whole = replace(
        known,
        original=replace(known.original, birth_ns=None),
        copy=replace(known.copy, birth_ns=None),
    )
    assert parse(serialise(whole), "seg.mp4") == whole


def test_the_file_says_what_the_design_promises() -> None:
    """The fields that others may read (DESIGN, section 3)."""
    body = json.loads(serialise(marker()))
    assert body["original_file"] == "seg.mp4.original"
    assert (body["original_size"], body["new_size"], body["savings_bytes"]) == (2000, 1000, 1000)
    assert body["delete_after"] == body["transcoded_at"] + HELD.keep_s
    assert {"encoder", "settings", "report", "original", "copy"} <= body.keys()


@pytest.mark.parametrize("how", ["flipped", "inverted", "zeroed", "blank", "digit", "left out"])
def test_any_changed_byte_is_seen_or_means_the_same(how: str) -> None:
    """Every bit of it flipped, and every byte put in another's place, one after the other."""
    whole, taken = serialise(marker()), 0
    for changed in _changed(whole, how):
        try:
            assert parse(changed, "seg.mp4") == marker()
            taken += 1
        except (Torn, Foreign):
            pass
    assert taken <= 6, "only the newline at its end says nothing"


def _changed(whole: bytes, how: str) -> Iterator[bytes]:
    """Give the marker changed at every place, wherever that is a change."""
    others = {"inverted": 0xFF, "zeroed": 0, "blank": ord(" "), "digit": ord("7")}
    for at, byte in enumerate(whole):
        before, after = whole[:at], whole[at + 1 :]
        if how == "left out":
            yield before + after
        elif how == "flipped":
            yield from (before + bytes([byte ^ 1 << bit]) + after for bit in range(8))
        elif (other := byte ^ 0xFF if how == "inverted" else others[how]) != byte:
            yield before + bytes([other]) + after


@given(st.integers(0, 2000))
def test_any_beginning_of_one_is_torn(length: int) -> None:
    """As a power cut leaves it: short, or its tail all zeros."""
    contents = serialise(marker())
    length %= len(contents) - 1
    for cut in (contents[:length], contents[:length] + bytes(len(contents) - length)):
        with pytest.raises(Torn):
            parse(cut, "seg.mp4")


@given(st.binary(max_size=400))
def test_any_bytes_at_all_are_judged(contents: bytes) -> None:
    """Nothing else is ever raised."""
    with pytest.raises((Torn, Foreign)):
        parse(contents, "seg.mp4")


@pytest.mark.parametrize("contents", [b"seg.mp4 done\n", b'{"version": 1}', b"\x00\x00x"])
def test_what_never_was_ours_is_foreign(contents: bytes) -> None:
    """So that it is reported, and not removed as a torn marker would be."""
    with pytest.raises(Foreign):
        parse(contents, "seg.mp4")


def _forged(**changes: object) -> bytes:
    """Give a marker whose checksum is right and whose contents are not."""
    from watcher.replace.marker import _checksum, _dumps  # noqa: PLC0415 - the forger's tools

    body = json.loads(serialise(marker()))
    del body["checksum"]
    body |= changes
    return _dumps({**body, "checksum": _checksum(body)})


WHOLE = json.loads(serialise(marker()))


@pytest.mark.parametrize(
    "changes",
    [
        {"recording": "other.mp4"},
        {"original_file": "../seg.mp4.original"},
        {"original_file": "/etc/passwd"},
        {"original_file": "other.mp4.original"},
        {"watcher": 2},
        {"state": "finished"},
        {"original": {**WHOLE["original"], "inode": "11"}},
        {"original": {**WHOLE["original"], "inode": True}},
        {"original": {**WHOLE["original"], "size": -1}},
        {"original": {**WHOLE["original"], "sha256": "A" * 64}},
        {"original": {**WHOLE["original"], "sha256": ["a"] * 64}},
        {"original": {**WHOLE["original"], "path": "/etc/passwd"}},
        {"copy": WHOLE["original"]},
        {"copy": {**WHOLE["copy"], "size": 5000}},
        {"copy": None},
        {"held": {**WHOLE["held"], "keep_s": -1}},
        {"held": {**WHOLE["held"], "wall_s": "now"}},
        {"held": {**WHOLE["held"], "keep_s": True}},
        {"held": {**WHOLE["held"], "boot_id": 5}},
        *(
            {"held": {**WHOLE["held"], key: value}}
            for key in ("wall_s", "boot_s", "keep_s")
            for value in (1e300, 10**400, -1.0, -(10**400), 2e11)
        ),
        *(
            {"original": {**WHOLE["original"], key: value}}
            for key in ("inode", "size", "mtime_ns", "birth_ns")
            for value in (10**400, -(10**400), 1 << 64)
        ),
        {"encoder": 3},
        {"settings": []},
        {"report": "fine"},
    ],
    ids=str,
)
def test_a_forged_marker_is_torn(changes: dict[str, object]) -> None:
    """Pointing elsewhere, claiming what cannot be, or of another version."""
    with pytest.raises(Torn):
        parse(_forged(**changes), "seg.mp4")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_none_is_torn(number: str) -> None:
    """JSON as Python reads it has more of them than JSON."""
    contents = serialise(marker()).replace(b'"keep_s":86400.0', f'"keep_s":{number}'.encode())
    with pytest.raises(Torn):
        parse(contents, "seg.mp4")


def test_no_marker_within_the_bounds_overflows() -> None:
    """What is at the very edge can be shown as a date, and written again."""
    edge = Held(wall_s=1e11, boot_s=1e11, boot_id="b", keep_s=1e11)
    parsed = parse(serialise(marker(held=edge)), "seg.mp4")
    assert utc(parsed.held.until_s).year < 9999


def test_a_marker_of_another_recording_is_torn() -> None:
    """Copied beside another one, it says nothing."""
    with pytest.raises(Torn):
        parse(serialise(marker("other.mp4")), "seg.mp4")


def test_deep_nesting_is_torn() -> None:
    """And not a way to stop the service."""
    with pytest.raises(Torn):
        parse(b'{"watcher":' + b"[" * 100_000, "seg.mp4")


def test_a_copy_with_the_originals_digest_is_none() -> None:
    """They could not be told apart."""
    same = replace(marker(), copy=Identity(12, 1, 1000, 3, "a" * 64))
    with pytest.raises(Torn):
        parse(serialise(same), "seg.mp4")
