"""The prober tells what a file is; a hostile one costs a worker and opens nothing."""

import os
import shutil
import struct
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import pytest
from support.clips import clip, clip_at, ffmpeg, remux

from watcher.errors import Aborted, Halt, Refused, Retryable
from watcher.transcode.leash import Leash
from watcher.transcode.media import suitability
from watcher.transcode.probe import Prober


@pytest.fixture(scope="module")
def prober() -> Iterator[Prober]:
    with Prober() as one:
        yield one


def reason_of(prober: Prober, path: Path) -> str:
    with pytest.raises((Refused, Retryable)) as raised:
        prober.probe(str(path))
    return raised.value.reason


def test_a_recording_is_told_from_its_packets(prober: Prober) -> None:
    found = prober.probe(str(clip()))
    video = found.video
    assert video is not None
    assert (found.container, found.moov_first, found.fragmented) == ("mp4", False, False)
    assert (video.codec, video.width, video.height, video.pix_fmt) == ("h264", 160, 120, "yuv420p")
    assert (video.frames, video.keyframe_distance, video.fps) == (50, 25, 25.0)
    assert video.timestamps is not None
    assert [t * video.time_base for t in video.timestamps] == [Fraction(n, 25) for n in range(50)]
    assert [s.codec for s in found.streams] == ["h264", "aac"]
    sound = found.streams[1].packets
    assert sound is not None
    assert sound.digest is not None
    assert (found.complaints, found.made_by_watcher) == ((), False)
    assert found.size_bytes == clip().stat().st_size
    suitability(found, ["h264"])


def test_a_quick_look_reads_no_packets(prober: Prober) -> None:
    found = prober.probe(str(clip()), packets=False)
    assert found.video is not None
    assert (found.video.codec, found.video.frames, found.video.timestamps) == ("h264", None, None)
    assert found.video.frames_claimed == 50


def test_what_is_not_wanted_is_not_read_to_its_end(prober: Prober) -> None:
    hevc = prober.probe(str(clip(codec="libx265")), codecs=["h264"])
    assert hevc.video is not None
    assert (hevc.video.codec, hevc.video.packets) == ("hevc", None)
    h264 = prober.probe(str(clip()), codecs=["h264"])
    assert h264.video is not None
    assert h264.video.frames == 50


@pytest.mark.parametrize(
    ("options", "container"),
    [
        ({"container": "mov"}, "mov"),
        ({"container": "mkv"}, "matroska"),
        ({"container": "ts"}, "mpegts"),
    ],
)
def test_each_container_is_told_by_its_first_bytes(
    prober: Prober, tmp_path: Path, options: dict[str, Any], container: str
) -> None:
    misnamed = clip_at(tmp_path / "seg.mp4", **options)
    assert prober.probe(str(misnamed)).container == container


def test_order_and_fragments_are_told(prober: Prober) -> None:
    assert prober.probe(str(clip(faststart=True))).moov_first is True
    pieces = prober.probe(str(clip(output=("-movflags", "frag_keyframe+empty_moov"))))
    assert (pieces.fragmented, pieces.moov_first) == (True, True)


def test_b_frames_and_a_late_start_are_told(prober: Prober) -> None:
    found = prober.probe(str(clip(b_frames=2, start_s=6.0, video=("-profile:v", "main"))))
    assert found.video is not None
    assert found.video.has_b_frames
    assert found.start_s == pytest.approx(6.0, abs=0.2)
    assert found.video.timestamps == tuple(sorted(found.video.timestamps or ()))


def test_colour_aspect_and_rotation_are_told(prober: Prober, tmp_path: Path) -> None:
    said = "setparams=range=pc:color_primaries=bt709:color_trc=bt709:colorspace=bt709"
    source = clip(video=("-vf", said, "-aspect", "2:1"))
    turned = remux(source, tmp_path / "turned.mp4", before=("-display_rotation", "90"))
    video = prober.probe(str(turned)).video
    assert video is not None
    colour = (video.color_range, video.color_primaries, video.color_transfer, video.color_matrix)
    assert colour == ("pc", "bt709", "bt709", "bt709")
    assert video.sar == Fraction(3, 2)
    assert video.rotation == 90
    assert video.display_matrix is not None


def test_interlaced_material_is_told(prober: Prober) -> None:
    found = prober.probe(str(clip(video=("-flags", "+ildct+ilme", "-x264-params", "tff=1"))))
    assert found.video is not None
    assert found.video.interlaced


def test_our_own_copies_are_told(prober: Prober, tmp_path: Path) -> None:
    for container in ("mp4", "mov", "mkv"):
        flags = () if container == "mkv" else ("-movflags", "+use_metadata_tags")
        source, target = clip(container=container), tmp_path / f"ours.{container}"
        ours = remux(source, target, "-metadata", "watcher=libx265", *flags)
        assert prober.probe(str(ours)).made_by_watcher


def test_chapters_are_told(prober: Prober, tmp_path: Path) -> None:
    meta = tmp_path / "meta"
    meta.write_text(
        ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1000\ntitle=Door opens\n"
    )
    target = tmp_path / "chapters.mp4"
    ffmpeg("-i", clip(), "-i", meta, "-map", "0", "-map_chapters", "1", "-c", "copy", target)
    found = prober.probe(str(target))
    assert found.chapters == ((0.0, 1.0, "Door opens"),)
    suitability(found, ["h264"])


def test_any_name_is_only_a_name(prober: Prober, tmp_path: Path) -> None:
    for raw in (b"-i %03d:'\n\".mp4", b"caf\xe9.mp4", b"x" * 251 + b".mp4"):
        path = os.fsencode(tmp_path) + b"/" + raw
        shutil.copyfile(os.fsencode(clip()), path)
        found = prober.probe(os.fsdecode(path))
        assert found.path == os.fsdecode(path)
        assert found.video is not None


def test_what_is_no_recording_is_refused(prober: Prober, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no recording at all\n" * 50)
    (tmp_path / "zeros.mp4").write_bytes(bytes(4096))
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "one.mp4").write_bytes(b"x")
    (tmp_path / "directory.mp4").mkdir()
    (tmp_path / "link.mp4").symlink_to(clip())
    (tmp_path / "dangling.mp4").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "fifo.mp4")
    clip_at(tmp_path / "flv.mp4", container="flv", audio=None)
    clip_at(tmp_path / "avi.mp4", container="avi", audio=None)
    reasons = {path.name: reason_of(prober, path) for path in sorted(tmp_path.iterdir())}
    assert reasons.pop("empty.mp4") == "damaged_source"
    assert set(reasons.values()) == {"not_a_recording"}
    assert len(reasons) == 9


def test_what_is_cut_or_torn_is_damaged(prober: Prober, tmp_path: Path) -> None:
    whole = clip().read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: len(whole) // 2])
    assert reason_of(prober, cut) == "damaged_source"
    only_type = tmp_path / "ftyp.mp4"
    only_type.write_bytes(whole[:32])
    assert reason_of(prober, only_type) == "damaged_source"


def test_a_file_that_went_away_may_come_back(prober: Prober, tmp_path: Path) -> None:
    assert reason_of(prober, tmp_path / "gone.mp4") == "gone"


PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{0}\n#EXT-X-ENDLIST\n"
CONCAT = "ffconcat version 1.0\nfile '{0}'\n"
SDP = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n"
DASH = '<?xml version="1.0"?><MPD><Period><AdaptationSet><BaseURL>{0}</BaseURL></AdaptationSet>'


@pytest.mark.parametrize(
    "disguise", [PLAYLIST, CONCAT, SDP, DASH], ids=["hls", "concat", "sdp", "dash"]
)
def test_a_playlist_in_disguise_opens_nothing(
    prober: Prober, tmp_path: Path, disguise: str
) -> None:
    hostile = tmp_path / "seg.mp4"
    hostile.write_text(disguise.format(clip()))
    assert reason_of(prober, hostile) == "not_a_recording"


def test_a_small_file_of_enormous_frames_is_refused(prober: Prober, tmp_path: Path) -> None:
    whole = bytearray(
        clip(codec="mjpeg", pix_fmt="yuvj420p", audio=None, container="mov").read_bytes()
    )
    at = whole.find(b"jpeg", whole.find(b"stsd")) + 28
    whole[at : at + 4] = struct.pack(">HH", 12_000, 10_000)
    at = 0
    while (at := whole.find(b"\xff\xc0\x00\x11\x08", at) + 5) > 5:  # each frame's own header
        whole[at : at + 4] = struct.pack(">HH", 10_000, 12_000)
    bomb = tmp_path / "bomb.mp4"
    bomb.write_bytes(whole)
    with pytest.raises(Refused, match="absurd"):
        prober.probe(str(bomb))


def test_a_header_that_claims_four_thousand_million_samples_meets_a_limit(tmp_path: Path) -> None:
    whole = bytearray(clip(audio=None, seconds=1).read_bytes())
    at = whole.find(b"stsz") + 8  # fixed size 1, 2^32-1 samples
    whole[at : at + 8] = b"\x00\x00\x00\x01\xff\xff\xff\xfe"
    at = whole.find(b"stsc") + 12  # all of them in the first chunk
    whole[at : at + 8] = b"\x00\x00\x00\x01\xff\xff\xff\xfe"
    at = whole.find(b"stts") + 8  # one run of as many
    whole[at : at + 12] = b"\x00\x00\x00\x01\xff\xff\xff\xfe\x00\x00\x02\x00"
    bomb = tmp_path / "bomb.mp4"
    bomb.write_bytes(whole)
    with Prober(memory_bytes=300_000_000, cpu_s=5) as small:
        with pytest.raises((Refused, Retryable)) as raised:
            suitability(small.probe(str(bomb)), ["h264"])
        assert raised.value.reason in ("damaged_source", "probe_limit", "probe_crashed")
        assert small.probe(str(clip())).video is not None  # the next file does not notice


def test_no_mutation_of_a_header_gets_past_the_worker(prober: Prober, tmp_path: Path) -> None:
    random = Random(20)
    path = tmp_path / "mutant.mp4"
    verdicts: set[str] = set()
    for kind in ({"faststart": True}, {"output": ("-movflags", "frag_keyframe+empty_moov")}):
        whole = clip(**kind).read_bytes()
        for _ in range(60):
            mutant = bytearray(whole)
            for _ in range(random.choice((1, 4, 30))):
                at = random.randrange(min(len(whole), 4000))
                mutant[at] = random.choice((0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)))
            path.write_bytes(mutant)
            try:
                prober.probe(str(path))
                verdicts.add("taken")
            except (Refused, Retryable) as verdict:
                verdicts.add(verdict.reason)
    assert verdicts <= {"taken", "damaged_source", "not_a_recording", "probe_limit"}, verdicts
    assert prober.probe(str(clip())).video is not None


READY = "print('{\"ready\": 1}', flush=True)\n"
SEGV = "import os, signal; input(); os.kill(os.getpid(), signal.SIGSEGV)"
SPIN = SEGV.replace("SIGSEGV", "SIGXCPU")  # what the kernel does when its CPU time is used up
MUTE = "import time; input(); time.sleep(600)"
LIAR = 'input(); print(\'{"info": {"streams": 3}}\', flush=True); input()'
GIBBERISH = "input(); print('\\x00not json', flush=True); input()"
FLOOD = "input()\nwhile True: print('{\"alive\": 1', end='')"


@pytest.mark.parametrize(
    ("worker", "reason"),
    [
        (SEGV, "probe_crashed"),
        (SPIN, "probe_limit"),
        (MUTE, "probe_timeout"),
        (LIAR, "probe_crashed"),
        (GIBBERISH, "probe_crashed"),
        (FLOOD, "probe_timeout"),
    ],
    ids=["crash", "spin", "mute", "liar", "gibberish", "flood"],
)
def test_a_worker_that_a_file_has_broken_breaks_nothing_else(
    tmp_path: Path, worker: str, reason: str
) -> None:
    script = tmp_path / "worker.py"
    script.write_text(READY + worker)
    with Prober(worker=str(script), timeout_s=0.5 if reason == "probe_timeout" else 60) as broken:
        for _ in range(2):  # each time with a fresh worker
            assert reason_of(broken, clip()) == reason


@pytest.mark.parametrize("worker", ["import no_such_module", "raise SystemExit(3)"])
def test_a_worker_that_can_not_be_started_is_no_fault_of_the_file(
    tmp_path: Path, worker: str
) -> None:
    script = tmp_path / "worker.py"
    script.write_text(worker)
    with Prober(worker=str(script)) as broken, pytest.raises(Halt) as halt:
        broken.probe(str(clip()))
    assert halt.value.reason == "probe_broken"
    assert halt.value.figures["remedy"]


def test_a_pause_is_no_time_out_and_an_abort_ends_it(tmp_path: Path) -> None:
    script = tmp_path / "worker.py"
    script.write_text(MUTE)
    leash = Leash()
    raised: list[BaseException] = []

    def work() -> None:
        try:
            probing.probe(str(clip()), leash)
        except (Aborted, Retryable) as error:
            raised.append(error)

    with Prober(worker=str(script), timeout_s=0.6) as probing:
        thread = threading.Thread(target=work)
        thread.start()
        leash.pause("cpu")
        thread.join(1.5)
        assert thread.is_alive()
        leash.abort("window")
        thread.join(30)
    assert [type(error) for error in raised] == [Aborted]


def test_after_a_pause_it_goes_on(prober: Prober) -> None:
    leash = Leash()
    leash.pause("cpu")
    thread_done = threading.Event()

    def work() -> None:
        assert prober.probe(str(clip()), leash).video is not None
        thread_done.set()

    threading.Thread(target=work).start()
    assert not thread_done.wait(0.05)
    leash.resume()
    assert thread_done.wait(30)


def test_the_worker_may_write_no_file(tmp_path: Path) -> None:
    target = tmp_path / "written"
    script = tmp_path / "worker.py"
    script.write_text(f"{READY}input()\nopen({str(target)!r}, 'w').write('x')")
    with Prober(worker=str(script)) as probing:
        assert reason_of(probing, clip()) == "probe_crashed"
    assert target.stat().st_size == 0
