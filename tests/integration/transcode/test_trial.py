"""An encoder is believed after it has encoded a real second, and its failure is explained."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from support.clips import bundled_ffmpeg
from support.clock import ManualClock
from support.fake_ffmpeg import STANDING, Rule, calls, install, stands
from support.qsv_messages import ROWS, Said

from watcher.errors import Halt
from watcher.transcode.diagnosis import DeviceLook, Kind, Look
from watcher.transcode.encoders import ENCODERS, Settings
from watcher.transcode.ffmpeg import Ffmpeg, inspect
from watcher.transcode.trial import Chooser, Trial, try_encoder, unavailable

OPENS = DeviceLook("/dev/dri/renderD128", Look.OPENS)
ABSENT = DeviceLook(None, Look.ABSENT)
FAST = ENCODERS["hevc_qsv"][0]
QUICK = Settings(preset="ultrafast")


def tool(path: str) -> Ffmpeg:
    found = inspect(path)
    assert found is not None
    return found


def fake(directory: Path, *rules: Rule) -> Ffmpeg:
    return tool(install(directory, *rules))


def sees(device: DeviceLook) -> Chooser:
    return Chooser(look=lambda: device)


@pytest.mark.parametrize("said", ROWS, ids=lambda said: said.stderr.split("]")[-1].strip()[:40])
def test_every_known_failure_is_explained_with_its_remedy(tmp_path: Path, said: Said) -> None:
    broken = fake(tmp_path, Rule(stderr=said.stderr, exit_code=said.exit_code))
    trial = try_encoder(broken, FAST, QUICK, OPENS)
    assert not trial.works
    assert trial.problem is not None
    assert trial.problem.kind is said.kind
    assert said.remedy in unavailable("hevc_qsv", [trial]).figures["remedy"]  # type: ignore[operator]


def test_the_first_rung_that_encodes_a_real_second_is_taken_and_remembered(
    tmp_path: Path,
) -> None:
    working, chooser = fake(tmp_path), sees(OPENS)
    choice = chooser.choose([working], "hevc_qsv", QUICK)
    assert (choice.rung.label, choice.failed) == ("hevc_qsv/fast", ())
    assert choice.trial.psnr_db is not None
    assert choice.trial.psnr_db > 25
    assert choice.trial.speed is not None
    assert chooser.choose([working], "hevc_qsv", QUICK) is choice
    assert len(calls(working.path)) == 1
    chooser.forget()
    chooser.choose([working], "hevc_qsv", QUICK)
    assert len(calls(working.path)) == 2


def test_the_ladder_is_gone_down_until_one_works(tmp_path: Path) -> None:
    no_cqp = Rule(when=("-q:v:0",), stderr="Selected ratecontrol mode is unsupported\n")
    no_decode = Rule(when=("-hwaccel",), stderr="Error decoding header\n")
    choice = sees(OPENS).choose([fake(tmp_path, no_cqp, no_decode)], "hevc_qsv", QUICK)
    assert choice.rung.label == "hevc_qsv/efficient/software-decode"
    assert [trial.rung.label for trial in choice.failed] == [
        "hevc_qsv/fast",
        "hevc_qsv/fast/software-decode",
        "hevc_qsv/efficient",
    ]


def test_a_trial_keeps_to_the_threads_that_are_allowed(tmp_path: Path) -> None:
    log, traced = tmp_path / "log", tmp_path / "ffmpeg"
    traced.write_text(f'#!/bin/sh\necho "$@" >> {log}\nexec {bundled_ffmpeg()} "$@"\n')
    traced.chmod(0o755)
    settings = Settings(preset="ultrafast", max_threads=1)
    assert try_encoder(tool(str(traced)), ENCODERS["libx265"][0], settings, ABSENT).works
    compare = next(line for line in log.read_text().splitlines() if "psnr" in line)
    assert compare.count("-threads 1 -i") == 2


class Hurried(ManualClock):
    """Stands still but while an ffmpeg does: then it runs."""

    def __init__(self, ffmpeg: Ffmpeg) -> None:
        super().__init__()
        self._ffmpeg = ffmpeg

    def monotonic_s(self) -> float:
        if stands(self._ffmpeg.path):
            self.advance(30)
        return super().monotonic_s()


def test_one_that_hangs_has_failed_and_the_next_is_tried(tmp_path: Path) -> None:
    hung = fake(tmp_path, Rule(when=("-q:v:0",), action="hang"))
    chooser = Chooser(look=lambda: OPENS, clock=Hurried(hung))
    choice = chooser.choose([hung], "hevc_qsv", QUICK)
    assert choice.rung.label == "hevc_qsv/efficient"
    assert {trial.problem.kind for trial in choice.failed if trial.problem} == {Kind.HANG}


def test_where_every_rung_hangs_the_service_is_told_so(tmp_path: Path) -> None:
    hung = fake(tmp_path, Rule(action="hang"))
    chooser = Chooser(look=lambda: OPENS, clock=Hurried(hung))
    with pytest.raises(Halt) as halt:
        chooser.choose([hung], "hevc_qsv", QUICK)
    assert halt.value.reason == "encoder_unavailable"
    assert "no progress for 60 s" in halt.value.message
    assert "kernel log" in str(halt.value.figures["remedy"])


def test_of_a_software_encoder_that_hangs_no_driver_is_blamed(tmp_path: Path) -> None:
    script = f"*libx265*) echo $$ > {tmp_path}/{STANDING}; exec sleep 600;; esac"
    path = tmp_path / "ffmpeg"
    path.write_text(f'#!/bin/sh\ncase "$*" in {script}\nexec {bundled_ffmpeg()} "$@"\n')
    path.chmod(0o755)
    hung = tool(str(path))
    trial = try_encoder(hung, ENCODERS["libx265"][0], QUICK, ABSENT, clock=Hurried(hung))
    assert trial.problem is not None
    assert trial.problem.kind is Kind.HANG
    assert "kernel log" in trial.problem.remedy
    assert "driver" not in trial.problem.remedy


def test_an_encoder_that_writes_other_pictures_is_not_believed(tmp_path: Path) -> None:
    trial = try_encoder(fake(tmp_path, Rule(action="garbage")), FAST, QUICK, OPENS)
    assert not trial.works
    assert trial.problem is not None
    assert "not what it was given" in trial.problem.cause


def test_without_a_gpu_no_hardware_is_asked_and_the_reason_is_told(tmp_path: Path) -> None:
    working = fake(tmp_path)
    with pytest.raises(Halt) as halt:
        sees(ABSENT).choose([working], "hevc_qsv", QUICK)
    assert halt.value.reason == "encoder_unavailable"
    assert "/dev/dri" in halt.value.message
    assert "libx265" in str(halt.value.figures["remedy"])
    assert calls(working.path) == []


def test_auto_ends_in_software_that_is_fast_enough() -> None:
    real = tool(bundled_ffmpeg())
    choice = sees(ABSENT).choose([real], "auto", QUICK)
    assert choice.rung.encoder == "libx265"
    assert choice.trial.speed is not None
    assert choice.trial.speed >= 0.5
    assert {trial.problem.kind for trial in choice.failed if trial.problem} == {Kind.NO_GPU}


def test_the_first_ffmpeg_that_can_do_it_is_taken(tmp_path: Path) -> None:
    poor = replace(tool(bundled_ffmpeg()), encoders=frozenset({"mpeg4"}))
    broken = fake(tmp_path / "one", Rule(stderr="strange\n"))
    working = fake(tmp_path / "two")
    choice = sees(OPENS).choose([poor, broken, working], "hevc_qsv", QUICK)
    assert choice.ffmpeg is working
    assert [trial.ffmpeg for trial in choice.failed] == [broken.path]


def test_an_ffmpeg_without_the_encoder_says_so() -> None:
    poor = replace(tool(bundled_ffmpeg()), encoders=frozenset())
    with pytest.raises(Halt, match="no ffmpeg here has libx265"):
        sees(ABSENT).choose([poor], "libx265", QUICK)


def test_a_gpu_that_went_away_is_noticed(tmp_path: Path) -> None:
    here = [OPENS]
    chooser = Chooser(look=lambda: here[0])
    working = fake(tmp_path)
    assert chooser.choose([working], "hevc_qsv", QUICK).rung == FAST
    here[0] = ABSENT
    with pytest.raises(Halt):
        chooser.choose([working], "hevc_qsv", QUICK)


def test_the_device_that_was_tried_is_the_one_that_is_used(tmp_path: Path) -> None:
    second = DeviceLook("/dev/dri/renderD129", Look.OPENS)
    choice = sees(second).choose([fake(tmp_path)], "hevc_qsv", QUICK)
    assert choice.rung.device == "/dev/dri/renderD129"
    assert "vaapi=va:/dev/dri/renderD129,driver=iHD" in calls(choice.ffmpeg.path)[0]


def test_another_makers_device_is_not_told_intels_driver(tmp_path: Path) -> None:
    other = DeviceLook("/dev/dri/renderD128", Look.OPENS, None)
    choice = sees(other).choose([fake(tmp_path)], "hevc_vaapi", QUICK)
    assert "vaapi=va:/dev/dri/renderD128" in calls(choice.ffmpeg.path)[0]


def test_the_most_telling_failure_is_told() -> None:
    halt = unavailable("libx265", [Trial("ffmpeg", ENCODERS["libx265"][0])])
    assert "no ffmpeg here" in halt.message


INSIDE = """
import json, sys
from watcher.transcode.encoders import ENCODERS, Settings
from watcher.transcode.ffmpeg import inspect, look_at_device
from watcher.transcode.trial import try_encoder
device = look_at_device()
trial = try_encoder(inspect(sys.argv[1]), ENCODERS["hevc_qsv"][0], Settings(), device)
print(json.dumps([device.look, trial.problem.kind, trial.problem.remedy, trial.stderr]))
"""
DEV = (
    "mount -t tmpfs none /dev && mkdir /dev/dri && mknod -m 666 /dev/null c 1 3 "
    "&& mknod -m 666 /dev/urandom c 1 9 && {0} && exec {1}"
)

WITHOUT = "-dac_override,-dac_read_search"


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None,
    reason="NOT SHOWN HERE: a /dev of its own needs root, and unshare",
)
@pytest.mark.parametrize(
    ("made", "by", "look", "kinds"),
    [
        ("true", "", Look.ABSENT, {Kind.NO_GPU}),
        ("mknod -m 666 /dev/dri/renderD128 c 226 128", "", Look.NO_DRIVER, {Kind.KERNEL_DRIVER}),
        # still root, because another user may not be able to read this very environment
        (
            "mknod -m 600 /dev/dri/renderD128 c 1 3 && chown 65534:65534 /dev/dri/renderD128",
            f"setpriv --inh-caps={WITHOUT} --bounding-set={WITHOUT}",
            Look.FORBIDDEN,
            {Kind.PERMISSION},
        ),
        # a node that opens and is no GPU: what the real ffmpeg says of the real argv
        (
            "mknod -m 666 /dev/dri/renderD128 c 1 3",
            "",
            Look.OPENS,
            {Kind.DRIVER, Kind.LIBVA, Kind.RUNTIME},
        ),
    ],
    ids=["no node", "no driver", "not allowed", "no GPU behind it"],
)
def test_each_way_of_having_no_gpu_is_told_apart_on_a_real_dev(
    tmp_path: Path, made: str, by: str, look: Look, kinds: set[Kind]
) -> None:
    script = tmp_path / "inside.py"
    script.write_text(INSIDE)
    for directory in [tmp_path, *tmp_path.parents][:3]:
        directory.chmod(0o755)
    run = f"{by} {sys.executable} {script} {bundled_ffmpeg()}"
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", DEV.format(made, run)],
        capture_output=True, check=False, timeout=120, text=True,
    )  # fmt: skip
    if "Operation not permitted" in done.stderr or "permission denied" in done.stderr:
        pytest.skip(f"NOT SHOWN HERE: a /dev of its own ({done.stderr.strip()})")
    assert done.returncode == 0, done.stderr
    found_look, found_kind, remedy, said = json.loads(done.stdout)
    assert found_look == look
    assert found_kind in {kind.value for kind in kinds}, said
    assert remedy
    assert "Unrecognized option" not in said
