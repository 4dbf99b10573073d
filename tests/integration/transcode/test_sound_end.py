"""A copy's sound is over when the source's is: for players that heed edit lists, and for ffmpeg."""

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from support.clips import bundled_ffmpeg, clip, ffmpeg
from support.damage import poke
from support.proving import STRUCTURE, the_ffmpeg, tools

from watcher.errors import Halt, Refused
from watcher.transcode.command import Job
from watcher.transcode.encode import encode
from watcher.transcode.encoders import Settings, ladder
from watcher.transcode.ending import end_sounds
from watcher.transcode.findings import SoundEnd
from watcher.transcode.media import MediaInfo
from watcher.transcode.probe import Prober
from watcher.transcode.source import judge_source, walk_file
from watcher.transcode.verify import verify_copy

LATE = [
    ("aac", 16000, "mp4", 0.07),  # less than the priming behind the picture: 6 ms are a pause
    ("libmp3lame", 16000, "mp4", 0.1),
    ("ac3", 48000, "mp4", 0.0),  # its last packet is shown in part
    ("pcm_alaw", 8000, "mov", 0.07),
]


@pytest.fixture(scope="module")
def prober() -> Iterator[Prober]:
    with Prober() as one:
        yield one


def source_of(path: Path, codec: str, rate: int, late_s: float) -> Path:
    """Make a recording whose sound begins *late_s* after the picture."""
    picture = ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=2", "-itsoffset", str(late_s))
    sound = ("-f", "lavfi", "-i", f"sine=f=440:r={rate}:d=2", "-map", "0", "-map", "1")
    coded = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "12", "-threads", "1")
    ffmpeg(*picture, *sound, *coded, "-c:a", codec, "-ac", "1", path)
    return path


def judged(prober: Prober, source: Path) -> MediaInfo:
    info = prober.probe(os.fspath(source))
    return replace(info, sounds=judge_source(info, STRUCTURE, tools(prober)).sounds)


def encoded(info: MediaInfo, target: Path) -> Path:
    settings = Settings(preset="ultrafast", quality=28, max_threads=1)
    encode(the_ffmpeg(), ladder("libx265")[0], Job(info, info.path, os.fspath(target), settings))
    return target


def the_end(path: Path) -> SoundEnd:
    (end,) = walk_file(os.fspath(path)).sounds or ()
    assert end is not None
    return end


def heard(path: Path) -> bytes:
    """Give all that ffmpeg would play of a sound."""
    words = [
        bundled_ffmpeg(),
        "-v",
        "error",
        "-i",
        os.fspath(path),
        "-map",
        "0:a",
        "-f",
        "s16le",
        "-",
    ]
    return subprocess.run(words, capture_output=True, check=True, timeout=60).stdout


@pytest.mark.parametrize("late", LATE, ids=[row[0] for row in LATE])
def test_sound_that_begins_late_is_over_when_it_was(
    prober: Prober, tmp_path: Path, late: tuple[str, int, str, float]
) -> None:
    codec, rate, kind, late_s = late
    source = source_of(tmp_path / f"rec.{kind}", codec, rate, late_s)
    info = judged(prober, source)
    copy = encoded(info, tmp_path / f"copy.{kind}")
    assert abs(the_end(copy).until_s - the_end(source).until_s) <= Fraction(1, rate)
    assert the_end(copy).last_s == the_end(source).last_s
    assert heard(copy) == heard(source)
    verify_copy(info, os.fspath(copy), None, tools(prober), STRUCTURE)


def test_a_copy_whose_sound_is_over_too_soon_is_refused(prober: Prober, tmp_path: Path) -> None:
    info = judged(prober, source_of(tmp_path / "rec.mov", "pcm_alaw", 8000, 0.07))
    copy = encoded(replace(info, sounds=()), tmp_path / "copy.mov")  # as the muxer leaves it
    for known in (info, replace(info, sounds=None)):
        with pytest.raises(Refused, match=r"its sound is over -70\.00 ms from where it was") as why:
            verify_copy(known, os.fspath(copy), None, tools(prober), STRUCTURE)
        assert why.value.reason == "end_differs"


def test_an_ordinary_copy_is_left_as_the_muxer_wrote_it(prober: Prober, tmp_path: Path) -> None:
    info = judged(prober, clip())
    copy = encoded(info, tmp_path / "copy.mp4")
    before = copy.read_bytes()
    assert not end_sounds(os.fspath(copy), info.sounds or ())
    assert copy.read_bytes() == before


def test_what_is_no_such_file_is_left_for_the_proof(prober: Prober, tmp_path: Path) -> None:
    sounds = judged(prober, clip()).sounds or ()
    torn = bytearray(clip().read_bytes())
    poke(b"elst", 4, b"\xff\xff\xff\xff")(torn)
    for content in (b"", b"nothing of the kind", bytes(torn)):
        (tmp_path / "copy.mp4").write_bytes(content)
        assert not end_sounds(os.fspath(tmp_path / "copy.mp4"), sounds)
        assert (tmp_path / "copy.mp4").read_bytes() == content
    with pytest.raises(Halt) as why:
        end_sounds(os.fspath(tmp_path / "gone.mp4"), sounds)
    assert why.value.reason == "write_error"


def shorter(path: Path) -> tuple[Path, tuple[SoundEnd, ...]]:
    """Give a file whose sound is to be over sooner than its index says, and when."""
    target = Path(shutil.copyfile(clip(), path))
    end = the_end(target)
    return target, (replace(end, until_s=end.until_s - Fraction(1, 100)),)


def test_an_index_is_written_whole_however_little_the_kernel_takes(tmp_path: Path) -> None:
    copy, sounds = shorter(tmp_path / "copy.mp4")

    def little(fd: int, left: memoryview, at: int) -> int:
        return os.pwrite(fd, left[:7], at)

    assert end_sounds(os.fspath(copy), sounds, write=little)
    assert the_end(copy).is_at(sounds[0])
    assert copy.stat().st_size == clip().stat().st_size


@pytest.mark.parametrize(
    ("number", "reason"),
    [(errno.ENOSPC, "disk_full"), (errno.EDQUOT, "disk_full"), (errno.EIO, "write_error")],
)
def test_an_index_that_can_not_be_written_halts(tmp_path: Path, number: int, reason: str) -> None:
    copy, sounds = shorter(tmp_path / "copy.mp4")

    def failing(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    with pytest.raises(Halt) as why:
        end_sounds(os.fspath(copy), sounds, write=failing)
    assert why.value.reason == reason
