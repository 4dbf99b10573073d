"""A recording's road where it forks: it looks too bad, or it was damaged before we came."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.box import Box
from support.clips import clip
from support.clock import SetClock
from support.damage import Bend, bent, cut, spoil_sample
from support.nals import NOTE, rewritten, sei, with_units
from support.probing import codec_of

from watcher import job
from watcher.check_camera import CameraTools, camera_rows
from watcher.config import load_config
from watcher.replace.marker import parse
from watcher.transcode.command import Job
from watcher.transcode.encode import Encoded
from watcher.transcode.verify import Report, VerifySettings

DAY_S = 86_400.0
SHOWN: dict[str, Any] = {
    "seconds": 61,
    "fps": "5",
    "gop": 5,
    "crf": 1,
}  # long enough to be measured
LONG: dict[str, Any] = {"seconds": 16, "width": 64, "height": 64, "audio": None, "gop": 2}
MEASURED: dict[str, Any] = {"verify_quality": True, "quality": 40, "min_space_savings": 0}


@pytest.fixture
def qualities(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Give the quality of each encode, in their order."""
    seen: list[int] = []
    encode: Callable[..., Encoded] = vars(job)["encode"]

    def noted(ffmpeg: object, rung: object, work: Job, **words: Any) -> Encoded:
        seen.append(work.settings.quality)
        return encode(ffmpeg, rung, work, **words)

    monkeypatch.setattr(job, "encode", noted)
    return seen


def score(box: Box, name: str, **transcoding: Any) -> float:
    """Have one more recording converted; give how it looks."""
    done = len(box.emitted.named("transcode_finished"))
    box.record("cam1", name, **SHOWN)
    with box.service(**{**MEASURED, "min_vmaf": 10, **transcoding}):
        finished = box.emitted.wait_for("transcode_finished", done + 1)
    return float(str(finished["vmaf"]))


def test_what_looks_too_bad_is_tried_once_more_at_better_quality(
    box: Box, qualities: list[int]
) -> None:
    box.write_config()
    worse, better = score(box, "a.mp4"), score(box, "b.mp4", quality=36)
    assert worse < better
    assert score(box, "c.mp4", min_vmaf=(worse + better) / 2) == better
    assert qualities == [40, 36, 40, 36]
    marker = parse((box.top / "cam1/c.mp4.transcoded").read_bytes(), "c.mp4")
    assert marker.settings["quality"] == 36
    assert marker.report["quality"]["harmonic"] == better


def test_what_looks_too_bad_twice_stays_as_it_was(box: Box, qualities: list[int]) -> None:
    box.write_config()
    path = box.record("cam1", "a.mp4", **SHOWN)
    was = path.read_bytes()
    with box.service(**MEASURED, min_vmaf=99.9):
        rejected = box.emitted.wait_for("transcode_rejected")
    assert (rejected["reason"], qualities) == ("quality_too_low", [40, 36])
    assert box.files("cam1") == {"a.mp4"}
    assert path.read_bytes() == was
    with box.service(**MEASURED, min_vmaf=99.9) as service:
        assert service.watch.index.next_due_s() is None, "it is remembered"


def test_a_second_try_is_measured_whatever_it_saves(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short recording may have been measured only because it shrank surprisingly much."""
    shares = []
    verify_copy: Callable[..., Report] = vars(job)["verify_copy"]

    def noted(
        info: object, copy: object, made: object, tools: object, proof: VerifySettings
    ) -> Report:
        assert proof.quality
        shares.append(proof.quality.short_share)
        return verify_copy(info, copy, made, tools, proof)

    monkeypatch.setattr(job, "verify_copy", noted)
    box.write_config()
    box.record("cam1", "a.mp4", crf=1, width=320, height=240)
    with box.service(**MEASURED, min_vmaf=99.9):
        box.emitted.wait_for("transcode_rejected")
    assert shares == [0.1, 1.0]


def test_a_copy_that_is_exchanged_by_name_is_neither_proven_nor_put_in_place(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is proven is what was made and is held; what then stands under its name is refused."""
    verify_copy: Callable[..., Report] = vars(job)["verify_copy"]
    proven = []

    def exchanged(info: object, copy: object, made: object, tools: object, proof: object) -> Report:
        (temporary,) = (box.top / "cam1").glob(".*.transcoding")
        temporary.rename(box.top / "aside")
        temporary.write_bytes(b"another file")
        report = verify_copy(info, copy, made, tools, proof)
        proven.append(report)
        return report

    monkeypatch.setattr(job, "verify_copy", exchanged)
    box.write_config()
    path = box.record("cam1", "a.mp4")
    was = path.read_bytes()
    with box.service():
        failed = box.emitted.wait_for("transcode_failed")
    assert len(proven) == 1
    assert failed["reason"] == "output_replaced"
    assert path.read_bytes() == was


def test_a_cameras_notes_are_kept_or_dropped_as_its_owner_says_and_never_in_silence(
    box: Box,
) -> None:
    box.write_config()
    path = box.record("cam1", "a.mp4", age_days=8)
    mtime_ns = path.stat().st_mtime_ns
    path.unlink()
    rewritten(clip(seconds=1), path, with_units(sei(5, NOTE)))
    os.utime(path, ns=(mtime_ns, mtime_ns))
    was = path.read_bytes()
    with box.service() as service:
        rejected = box.emitted.wait_for("transcode_rejected")
        config = load_config(str(box.config_path))
        rows, _ = camera_rows(config.cameras[0], config.transcoding, service.ledger, CameraTools())
    assert rejected["reason"] == "user_data_not_carried"
    assert str(rejected["detail"]).endswith("can't carry over: 25 of unregistered")
    assert path.read_bytes() == was
    (told,) = (row for row in rows if row.title == "camera cam1: user data")
    assert (told.status, told.finding.partition(",")[0]) == ("warn", "1 file")
    with box.service(sei_user_data="drop"):
        box.emitted.wait_for("transcode_finished")
    marker = parse(path.with_name("a.mp4.transcoded").read_bytes(), "a.mp4")
    assert marker.report["user_data_dropped"] == 25


def damaged(box: Box, *bends: Bend, **options: Any) -> Path:
    """Put a recording there that was damaged before it came of age."""

    def bend(data: bytearray) -> None:
        for one in bends:
            one(data)

    path = box.record("cam1", "a.mp4")
    mtime_ns = path.stat().st_mtime_ns
    bent(clip(**options), path, bend)
    os.utime(path, ns=(mtime_ns, mtime_ns))
    return path


def test_slight_damage_is_converted_where_its_owner_says_so_and_its_original_kept_seven_times(
    box: Box,
) -> None:
    box.write_config()
    path, clock = damaged(box, spoil_sample(331), **LONG), SetClock()
    was = path.read_bytes()
    with box.service(clock=clock, damaged_sources="convert") as service:
        box.emitted.wait_for("transcode_finished")
        box.wait_until(lambda: len(service.watch.tender.originals) == 1)
        marker = parse(path.with_name("a.mp4.transcoded").read_bytes(), "a.mp4")
        assert (marker.report["damaged_frames"], marker.report["frames"]) == (2, 400)
        assert marker.held.keep_s == 7 * DAY_S
        config = load_config(str(box.config_path))
        rows, _ = camera_rows(config.cameras[0], config.transcoding, service.ledger, CameraTools())
        (told,) = (row for row in rows if row.title == "camera cam1: damage")
        assert told.finding == (
            "1 of the last 1 judged do not decode cleanly (100.0%): 0 left alone, 1 converted"
        )
        clock.advance(7 * DAY_S - 3600)
        service.tick()
        assert service.watch.tender.originals.due() == []
        assert path.with_name("a.mp4.original").read_bytes() == was
        clock.advance(3600)
        service.tick()
        box.emitted.wait_for("original_deleted")
    assert codec_of(path) == "hevc"


@pytest.mark.parametrize(
    ("tolerance", "bends", "options"),
    [
        ("skip", [spoil_sample(331)], LONG),
        ("convert", [spoil_sample(number) for number in (30, 90, 150, 210)], LONG),
        ("convert", [cut(1)], {**LONG, "faststart": True}),
    ],
    ids=["slight damage", "more than half a percent", "a byte is missing"],
)
def test_other_damage_stays_as_it_is_and_check_tells_its_share(
    box: Box, tolerance: str, bends: list[Bend], options: dict[str, Any]
) -> None:
    box.write_config()
    path = damaged(box, *bends, **options)
    was = path.read_bytes()
    box.record("cam1", "whole.mp4", age_days=8)
    with box.service(damaged_sources=tolerance) as service:
        rejected = box.emitted.wait_for("transcode_rejected")
        box.emitted.wait_for("transcode_finished")
        config = load_config(str(box.config_path))
        rows, _ = camera_rows(config.cameras[0], config.transcoding, service.ledger, CameraTools())
    assert (rejected["reason"], rejected["path"]) == ("damaged_source", str(path))
    assert path.read_bytes() == was
    assert box.files("cam1") == {"a.mp4"} | {
        f"whole.mp4{ending}" for ending in ("", ".original", ".transcoded")
    }
    (told,) = (row for row in rows if row.title == "camera cam1: damage")
    assert told.finding == (
        "1 of the last 2 judged do not decode cleanly (50.0%): 1 left alone, 0 converted"
    )
    assert told.status == ("warn" if tolerance == "skip" else "ok")


@pytest.mark.parametrize("kind", ["link", "symlink"])
def test_a_link_put_under_the_output_name_has_no_other_recording_overwritten(
    box: Box, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The encoder is given the file that was created, and not a name that others may move."""
    box.write_config()
    source = box.record("cam1", "a.mp4")
    victim = source.with_name("b.txt")
    victim.write_bytes(b"another recording" * 999)
    encode: Callable[..., Encoded] = vars(job)["encode"]

    def raced(ffmpeg: object, rung: object, work: Job, **words: Any) -> Encoded:
        temporary = source.with_name(".a.mp4.transcoding")
        temporary.unlink()
        (os.link if kind == "link" else os.symlink)(victim, temporary)
        return encode(ffmpeg, rung, work, **words)

    monkeypatch.setattr(job, "encode", raced)
    with box.service():
        failed = box.emitted.wait_for("transcode_failed", 1)
    assert failed["reason"] == "output_replaced"
    assert victim.read_bytes() == b"another recording" * 999
    assert codec_of(source) == "h264"
