"""What decided a verdict, and which changes void it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.ledger.fingerprint import GROUNDS, Fingerprint, fingerprint
from watcher.settings import Transcoding

NOW = Transcoding()


def taken(
    encoder: str | None = "libx265", build: str | None = "9.0", **changes: object
) -> Fingerprint:
    changed = NOW.model_copy(update=changes)
    return fingerprint(changed, encoder=encoder, ffmpeg_build=build)


@pytest.mark.parametrize(
    ("reason", "change", "still"),
    [
        ("savings_too_small", {"quality": 28}, False),
        ("savings_too_small", {"min_space_savings": 5}, False),
        ("savings_too_small", {"encoder": "hevc_qsv"}, False),
        ("savings_too_small", {"min_vmaf": 70}, True),
        ("savings_too_small", {"build": "10.0"}, True),
        ("savings_too_small", {"max_cpu_percent": 50}, True),
        ("projected", {"quality": 28}, False),
        ("already_hevc", {"quality": 28, "encoder": "hevc_qsv", "build": "10"}, True),
        ("already_hevc", {"source_codecs": ("h264", "hevc")}, False),
        ("damaged_source", {"damaged_sources": "convert"}, False),
        ("damaged_source", {"quality": 28}, True),
        ("quality_too_low", {"min_vmaf": 70}, False),
        ("restored", {"quality": 28, "encoder": "x", "build": "10"}, True),
    ],
)
def test_what_voids_a_refusal(reason: str, change: dict[str, object], still: bool) -> None:
    ground = taken().of(reason)
    assert taken().upholds(ground)
    assert taken(**change).upholds(ground) is still  # type: ignore[arg-type] # of any setting


@pytest.mark.parametrize(
    ("change", "still"),
    [
        ({"build": "10.0"}, False),
        ({"encoder": "hevc_qsv"}, False),
        ({"min_space_savings": 20}, True),
    ],
)
def test_what_voids_a_failure(change: dict[str, object], still: bool) -> None:
    ground = taken().of("encode_failed", failure=True)
    assert taken(**change).upholds(ground) is still  # type: ignore[arg-type] # of any setting


def test_a_failed_projection_is_voided_by_what_decides_the_saving_too() -> None:
    ground = taken().of("projected", failure=True)
    assert not taken(min_space_savings=2).upholds(ground)
    assert not taken(build="10").upholds(ground)


def test_an_unknown_reason_rests_on_every_setting() -> None:
    ground = taken().of("something_new")
    assert taken().upholds(ground)
    for change in ({"quality": 28}, {"min_vmaf": 1}, {"damaged_sources": "convert"}):
        assert not taken(**change).upholds(ground)


def test_what_is_not_known_yet_voids_nothing() -> None:
    ground = taken().of("savings_too_small")
    assert taken(encoder=None, build=None).upholds(ground)
    early = taken(encoder=None).of("savings_too_small")
    assert taken(encoder="hevc_qsv").upholds(early)


@given(
    st.one_of(st.text(), st.sampled_from(["null", "[]", "3", '{"rules":0}', '{"gone":1}', "[" * 9]))
)
def test_a_ground_that_cannot_be_read_upholds_nothing_and_never_raises(ground: str) -> None:
    assert not taken().upholds(ground) or ground == "{}"


def test_why_can_name_what_changed() -> None:
    ground = taken().of("savings_too_small")
    assert taken(quality=28).differences(ground) == {"quality": (23, 28)}


def test_a_fingerprint_is_the_same_in_every_process() -> None:
    assert taken().of("savings_too_small") == (
        '{"codec":"hevc_qsv","encoder":"libx265","min_space_savings":10,"preset":"medium",'
        '"qsv_mode":"fast","quality":23,"rules":1}'
    )


def test_every_setting_that_a_ground_names_exists() -> None:
    names = {name for ground in GROUNDS.values() for name in ground}
    assert names - {"encoder", "ffmpeg_build"} <= set(Transcoding.model_fields)


def test_ten_and_ten_point_nought_are_one_limit() -> None:
    assert taken(min_space_savings=10.0).upholds(taken(min_space_savings=10).of("projected"))
