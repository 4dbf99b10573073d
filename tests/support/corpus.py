"""The nasty corpus: recordings of every kind that has hurt somebody, and what becomes of each.

A `Case` makes its file in a directory of its own and says the verdict that the whole chain (probe,
suitability, boxes, encode, verify) must give: `TAKEN`, or the reason by which it is refused.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.clips import clip, ffmpeg, remux
from support.damage import (
    Bend,
    bent,
    cut,
    flip,
    insert,
    misname,
    misname_block,
    misplace,
    more_frames,
    poke,
    slow_a_frame,
    spoil_sample,
    swap,
    unmark_sound,
    without,
    without_last_clusters,
    without_last_fragments,
    zero,
)
from support.nals import (
    CAPTION,
    NOTE,
    Change,
    parameter_sets,
    renumbered,
    rewritten,
    sei,
    with_units,
    without_clock,
)

TAKEN = "taken"
Words = list[str | Path]


@dataclass(frozen=True, slots=True)
class Case:
    """One file of the corpus."""

    name: str
    verdict: str
    make: Callable[[Path], Path]


def made(name: str, verdict: str = TAKEN, file: str = "rec.mp4", **options: Any) -> Case:
    """A file that ffmpeg makes as it is."""

    def make(directory: Path) -> Path:
        return Path(shutil.copyfile(clip(**{"seconds": 1, **options}), directory / file))

    return Case(name, verdict, make)


def hurt(name: str, verdict: str, *bends: Bend, **options: Any) -> Case:
    """A good file and what is done to its bytes."""

    def make(directory: Path) -> Path:
        def bend(data: bytearray) -> None:
            for one in bends:
                one(data)

        kind = options.get("container", "mp4")
        return bent(clip(**{"seconds": 1, **options}), directory / f"rec.{kind}", bend)

    return Case(name, verdict, make)


def copied(
    name: str, verdict: str, *words: str, file: str = "rec.mp4", before: Any = (), **options: Any
) -> Case:
    """A good file, copied by ffmpeg with *words*."""

    def make(directory: Path) -> Path:
        return remux(clip(**{"seconds": 1, **options}), directory / file, *words, before=before)

    return Case(name, verdict, make)


def annotated(name: str, verdict: str, change: Change, **options: Any) -> Case:
    """A good file with something between the pictures of its stream."""

    def make(directory: Path) -> Path:
        source = clip(**{"seconds": 1, **options})
        return rewritten(source, directory / f"rec{source.suffix}", change)

    return Case(name, verdict, make)


def written(name: str, verdict: str, content: bytes) -> Case:
    """A file of these very bytes."""

    def make(directory: Path) -> Path:
        path = directory / "rec.mp4"
        path.write_bytes(content)
        return path

    return Case(name, verdict, make)


def named(name: str, file: bytes) -> Case:
    """A good recording under a bad name."""

    def make(directory: Path) -> Path:
        return Path(shutil.copyfile(clip(seconds=1), directory / os.fsdecode(file)))

    return Case(name, TAKEN, make)


def dated(name: str, mtime_s: float) -> Case:
    """A good recording of a strange time."""

    def make(directory: Path) -> Path:
        path = Path(shutil.copyfile(clip(seconds=1), directory / "rec.mp4"))
        os.utime(path, (mtime_s, mtime_s))
        return path

    return Case(name, TAKEN, make)


def edited(name: str, verdict: str, *parts: tuple[int, int]) -> Case:
    """Two seconds of video that are shown in *parts*: how long, from where."""

    def make(directory: Path) -> Path:
        rows = [0, len(parts), *(field for part in parts for field in (*part, 1 << 16))]
        table = b"".join(row.to_bytes(4, "big") for row in rows)
        data = bytearray(clip(seconds=2, audio=None).read_bytes())
        at = data.index(b"elst") + 4
        insert(data, at, bytes(12 * len(parts) - 12), (b"elst", b"edts", b"trak", b"moov"))
        data[at : at + len(table)] = table
        path = directory / "rec.mp4"
        path.write_bytes(data)
        return path

    return Case(name, verdict, make)


def noted(name: str, verdict: str, box: bytes, *, file: str = "rec.mp4", top: bool = False) -> Case:
    """A recording with one more *box* in its index, or behind it."""

    def make(directory: Path) -> Path:
        def note(data: bytearray) -> None:
            insert(data, len(data), box, () if top else (b"moov",))

        return bent(clip(seconds=1, container=file[-3:]), directory / file, note)

    return Case(name, verdict, make)


def _box(kind: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return (8 + len(content)).to_bytes(4, "big") + kind + content


def built(name: str, verdict: str = TAKEN) -> Callable[[Callable[[Path], Path]], Case]:
    """Say name and verdict of a case that has a function of its own."""
    return lambda make: Case(name, verdict, make)


# ---- cases that take more than one step ---------------------------------------------------------


@built("concatenated: two recordings in one file", "damaged_source")
def concatenated(directory: Path) -> Path:
    path = directory / "rec.mp4"
    path.write_bytes(clip(seconds=1).read_bytes() * 2)
    return path


@built("two fragmented recordings in one file", "damaged_source")
def concatenated_fragments(directory: Path) -> Path:
    one = remux(clip(seconds=1), directory / "one.mp4", *FRAGMENTS)
    path = directory / "rec.mp4"
    path.write_bytes(one.read_bytes() * 2)
    return path


@built("matroska, two in one file", "damaged_source")
def concatenated_matroska(directory: Path) -> Path:
    path = directory / "rec.mkv"
    path.write_bytes(clip(seconds=1, container="mkv").read_bytes() * 2)
    return path


def _resized(directory: Path, file: str, *words: str) -> Path:
    """A stream that brings other parameter sets half way, under one sample description."""
    both, path = directory / "both.h264", directory / file
    parts = []
    for width in (160, 320):
        part = directory / f"{width}.h264"
        remux(clip(seconds=1, width=width, audio=None), part, "-bsf:v", "h264_mp4toannexb")
        parts.append(part.read_bytes())
    both.write_bytes(b"".join(parts))
    ffmpeg("-f", "h264", "-r", "25", "-i", both, "-c", "copy", *words, path)
    return path


def _two_kinds(directory: Path, *kinds: Words) -> Path:
    """One stream in two halves, of one size, each made by ffmpeg with words of its own."""
    both, path = directory / "both.h264", directory / "rec.mp4"
    parts = []
    source = ["-f", "lavfi", "-i", "testsrc2=s=320x240:r=25:d=1"]
    for words in kinds:
        part = directory / "part.h264"
        made_by = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "25"]
        ffmpeg(*source, *made_by, "-threads", "1", "-crf", "14", *words, part)
        parts.append(part.read_bytes())
    both.write_bytes(b"".join(parts))
    ffmpeg("-f", "h264", "-r", "25", "-i", both, "-c", "copy", "-tag:v", "avc3", path)
    return path


@built("the second half is interlaced", "interlaced")
def interlaced_later(directory: Path) -> Path:
    return _two_kinds(directory, [], ["-x264-params", "tff=1", "-flags", "+ildct+ilme"])


@built("the second half is in other colours", "format_changes")
def recoloured(directory: Path) -> Path:
    marked = "h264_metadata=colour_primaries={0}:transfer_characteristics={0}"
    return _two_kinds(directory, ["-bsf:v", marked.format(1)], ["-bsf:v", marked.format(6)])


def _described(path: Path, kind: bytes, payload: bytes) -> Path:
    """A second of video whose sample description has one more box."""
    data = bytearray(clip(seconds=1, audio=None).read_bytes())
    box = (8 + len(payload)).to_bytes(4, "big") + kind + payload
    parents = (b"avc1", b"stsd", b"stbl", b"minf", b"mdia", b"trak", b"moov")
    insert(data, data.index(b"btrt") - 4, box, parents)
    path.write_bytes(data)
    return path


@built("Dolby Vision in Matroska", "dolby_vision")
def dolby_matroska(directory: Path) -> Path:
    profile = bytes([1, 0, 0x10, 0x0D, 0x10]) + bytes(19)
    described = _described(directory / "rec.mp4", b"dvvC", profile)
    return remux(described, directory / "rec.mkv", "-strict", "unofficial")


@built("two pictures in one, for both eyes", "spatial")
def stereoscopic(directory: Path) -> Path:
    return _described(directory / "rec.mp4", b"st3d", bytes([0, 0, 0, 0, 1]))


@built("a text attached in Matroska", TAKEN)
def with_a_text(directory: Path) -> Path:
    note = directory / "note.txt"
    note.write_text("by the gate")
    kind = ["-metadata:s:t", "mimetype=text/plain", "-metadata:s:t", "filename=note.txt"]
    source, path = clip(seconds=1, container="mkv"), directory / "rec.mkv"
    ffmpeg("-i", source, "-map", "0", "-c", "copy", "-attach", note, *kind, path)
    return path


@built("the picture changes size in the middle (MP4)", "format_changes")
def resized(directory: Path) -> Path:
    return _resized(directory, "rec.mp4", "-tag:v", "avc3")


@built("the picture changes size in the middle (TS)", "container_not_carried")
def resized_ts(directory: Path) -> Path:
    return _resized(directory, "rec.ts")


@built("TS of two recordings, one behind the other", "container_not_carried")
def concatenated_ts(directory: Path) -> Path:
    path = directory / "rec.ts"
    path.write_bytes(clip(seconds=1, container="ts").read_bytes() * 2)
    return path


@built("two video tracks", "several_video")
def two_videos(directory: Path) -> Path:
    path = directory / "rec.mp4"
    other = clip(seconds=1, width=320)
    ffmpeg("-i", clip(seconds=1), "-i", other, "-map", "0", "-map", "1:v", "-c", "copy", path)
    return path


@built("cover art", "several_video")
def cover(directory: Path) -> Path:
    path, picture = directory / "rec.mp4", directory / "cover.png"
    ffmpeg("-f", "lavfi", "-i", "color=red:s=32x32", "-frames:v", "1", picture)
    words: Words = ["-i", clip(seconds=1), "-i", picture, "-map", "0", "-map", "1", "-c", "copy"]
    ffmpeg(*words, "-disposition:v:1", "attached_pic", path)
    return path


@built("three audio tracks")
def audios(directory: Path) -> Path:
    path = directory / "rec.mp4"
    words: Words = [
        "-i",
        clip(seconds=1),
        "-map",
        "0:v",
        "-map",
        "0:a",
        "-map",
        "0:a",
        "-map",
        "0:a",
    ]
    languages = ["-metadata:s:a:1", "language=deu", "-metadata:s:a:2", "language=fra"]
    ffmpeg(*words, "-c", "copy", *languages, path)
    return path


@built("two sounds, neither of them the default")
def no_default(directory: Path) -> Path:
    path = directory / "rec.mkv"
    words: Words = ["-i", clip(seconds=1), "-map", "0:v", "-map", "0:a", "-map", "0:a"]
    ffmpeg(*words, "-c", "copy", "-disposition:a", "0", "-disposition:v", "default", path)
    return path


@built("subtitles that are forced, of a language")
def forced(directory: Path) -> Path:
    subtitled = _subtitled(directory, "mov_text", "made.mp4")
    words = ["-disposition:s:0", "forced", "-metadata:s:s:0", "language=deu"]
    return remux(subtitled, directory / "rec.mp4", *words)


@built("audio ends before the video")
def short_audio(directory: Path) -> Path:
    path = directory / "rec.mp4"
    words: Words = ["-i", clip(seconds=2, audio=None), "-t", "0.7", "-i", clip(seconds=2)]
    ffmpeg(*words, "-map", "0:v", "-map", "1:a", "-c", "copy", path)
    return path


@built("audio begins after the video")
def late_audio(directory: Path) -> Path:
    path = directory / "rec.mp4"
    words: Words = ["-i", clip(seconds=1, audio=None), "-itsoffset", "0.37", "-i", clip(seconds=1)]
    ffmpeg(*words, "-map", "0:v", "-map", "1:a", "-c", "copy", path)
    return path


@built("fragmented, the picture begins after the audio")
def late_picture(directory: Path) -> Path:
    path = directory / "rec.mp4"
    words: Words = ["-itsoffset", "1.7", "-i", clip(seconds=1, audio=None), "-i", clip(seconds=3)]
    ffmpeg(*words, "-map", "0:v", "-map", "1:a", "-c", "copy", *FRAGMENTS, path)
    return path


def _subtitled(directory: Path, codec: str, file: str) -> Path:
    text, path = directory / "text.srt", directory / file
    text.write_text("1\n00:00:00,100 --> 00:00:00,600\nmotion\n", "utf-8")
    words: Words = ["-i", clip(seconds=1), "-i", text, "-map", "0", "-map", "1", "-c", "copy"]
    ffmpeg(*words, "-c:s", codec, path)
    return path


@built("subtitles")
def subtitles(directory: Path) -> Path:
    return _subtitled(directory, "mov_text", "rec.mp4")


@built("subtitles in matroska")
def subtitles_mkv(directory: Path) -> Path:
    return _subtitled(directory, "srt", "rec.mkv")


def _chaptered(directory: Path, file: str) -> Path:
    notes, path = directory / "notes", directory / file
    rows: tuple[str, ...] = ("[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=400\ntitle=door\n",)
    rows += ("[CHAPTER]\nTIMEBASE=1/1000\nSTART=400\nEND=1000\ntitle=gate\n",)
    notes.write_text(";FFMETADATA1\ntitle=the yard\n" + "".join(rows), "utf-8")
    words: Words = ["-i", clip(seconds=1), "-i", notes, "-map_metadata", "1", "-map_chapters", "1"]
    ffmpeg(*words, "-map", "0", "-c", "copy", path)
    return path


@built("chapters and a title")
def chapters(directory: Path) -> Path:
    return _chaptered(directory, "rec.mp4")


@built("chapters in matroska")
def chapters_mkv(directory: Path) -> Path:
    return _chaptered(directory, "rec.mkv")


@built("a copy that Watcher itself has made", "made_by_watcher")
def own(directory: Path) -> Path:
    words = ["-movflags", "+use_metadata_tags", "-metadata", "watcher=1"]
    return remux(clip(seconds=1), directory / "rec.mp4", *words)


@built("sparse: the tail was never written", "damaged_source")
def sparse(directory: Path) -> Path:
    path = Path(shutil.copyfile(clip(seconds=1), directory / "rec.mp4"))
    os.truncate(path, 1 << 24)
    return path


@built("sparse inside: a hole in the media", "damaged_source")
def hole(directory: Path) -> Path:
    return bent(clip(seconds=1), directory / "rec.mp4", zero(0.4, 0.6))


@built("FIFO", "not_a_recording")
def fifo(directory: Path) -> Path:
    os.mkfifo(directory / "rec.mp4")
    return directory / "rec.mp4"


@built("directory", "not_a_recording")
def folder(directory: Path) -> Path:
    (directory / "rec.mp4").mkdir()
    return directory / "rec.mp4"


@built("symbolic link", "not_a_recording")
def link(directory: Path) -> Path:
    (directory / "rec.mp4").symlink_to(clip(seconds=1))
    return directory / "rec.mp4"


@built("dangling symbolic link", "not_a_recording")
def dangling(directory: Path) -> Path:
    (directory / "rec.mp4").symlink_to(directory / "nowhere")
    return directory / "rec.mp4"


@built("hard link (this chain takes it; the swap refuses it by name)")
def hard_link(directory: Path) -> Path:
    shutil.copyfile(clip(seconds=1), directory / "other.mp4")
    os.link(directory / "other.mp4", directory / "rec.mp4")
    return directory / "rec.mp4"


@built("read-only")
def read_only(directory: Path) -> Path:
    path = Path(shutil.copyfile(clip(seconds=1), directory / "rec.mp4"))
    path.chmod(0o400)
    return path


@built("the first frame is no key frame", "damaged_source")
def headless(directory: Path) -> Path:
    """Cut out of the middle of a stream: its first frames refer to what is not there."""
    words = ["-bsf:v", r"noise=drop=lt(n\,5)", "-copyinkf"]
    return remux(clip(seconds=2), directory / "rec.mp4", *words)


@built("one bit in the name of a fragment's track", "unverifiable")
def unfragmented(directory: Path) -> Path:
    whole = remux(clip(seconds=1), directory / "whole.mp4", *FRAGMENTS)
    return bent(whole, directory / "rec.mp4", misname(b"traf", 1, behind=b"moof"))


@built("one bit in the time of the last fragment, and its sound tells", "unverifiable")
def moved(directory: Path) -> Path:
    whole = remux(clip(seconds=3), directory / "whole.mp4", *FRAGMENTS)

    def later(data: bytearray) -> None:
        time = data.rindex(b"tfdt", 0, data.rindex(b"tfdt")) + 4 + 8  # the picture's, low 32 bits
        data[time + 1] ^= 4

    return bent(whole, directory / "rec.mp4", later)


@built("MOV of a thrifty muxer: tracks not enabled, made since 1970, of no language, late G.711")
def thrifty(directory: Path) -> Path:
    picture, sound = (clip(seconds=1, container="mov", audio=a) for a in (None, "pcm_alaw"))
    path = directory / "rec.mov"
    words: Words = ["-i", picture, "-itsoffset", "0.1", "-i", sound, "-map", "0", "-map", "1:a"]
    ffmpeg(*words, "-c", "copy", path)
    data = bytearray(path.read_bytes())
    for track in range(2):
        header = media = data.rindex(b"moov")
        for _ in range(track + 1):
            header, media = data.index(b"tkhd", header + 1), data.index(b"mdhd", media + 1)
        data[header + 7] = 0
        data[media + 8 : media + 12] = (1_700_000_000 + track).to_bytes(4, "big")
        data[media + 24 : media + 26] = b"\x55\xc4"
    path.write_bytes(data)
    return path


@built("its last fragments are missing, and a segment index tells", "damaged_source")
def indexed(directory: Path) -> Path:
    words = ("-movflags", "frag_keyframe+empty_moov+default_base_moof+dash+global_sidx")
    whole = remux(clip(seconds=6), directory / "whole.mp4", *words)
    return bent(whole, directory / "rec.mp4", without_last_fragments)


@built("a decompression bomb: frames of 16384 x 16384 in a few bytes", "damaged_source")
def bomb(directory: Path) -> Path:
    path = directory / "rec.mp4"
    source = "color=black:s=16384x4352:r=1:d=1"
    words: Words = ["-f", "lavfi", "-i", source, "-c:v", "libx264", "-preset", "ultrafast"]
    ffmpeg(*words, "-threads", "1", path)
    return path


# ---- the table ----------------------------------------------------------------------------------

FRAGMENTS = ("-movflags", "frag_keyframe+empty_moov+default_base_moof")
SILENT = ("-bsf:a", "noise=drop=1")
EVERY_FRAME = "cmaf+frag_every_frame"
NOT_CARRIED = "metadata_not_carried"
XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
KEY = "00112233445566778899aabbccddeeff"
SECRET = ("-encryption_scheme", "cenc-aes-ctr", "-encryption_key", KEY, "-encryption_kid", KEY)
PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n%s\n#EXT-X-ENDLIST\n"
CONCAT = b"ffconcat version 1.0\nfile '%s'\n"
SDP = b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video %s RTP/AVP 96\n"

_MATRIX = "h264_metadata=matrix_coefficients={}"

ORDINARY = (
    made("plain"),
    made("no audio", audio=None),
    made("moov first", faststart=True),
    made("open GOP of few B-frames", b_frames=3, seconds=3, video=("-x264-params", "open-gop=1")),
    made("many B-frames, open GOP", b_frames=8, video=("-x264-params", "open-gop=1:b-adapt=0")),
    made("variable frame rate", video=("-vf", "select='not(eq(mod(n,7),2))'", "-fps_mode", "vfr")),
    made("1 fps", fps="1", gop=2, seconds=6),
    made("one frame: its container weighs more than its picture", "no_saving", fps="1"),
    made("29.97 fps", fps="30000/1001"),
    made("60 fps", fps="60"),
    made("full range", pix_fmt="yuvj420p", video=("-color_range", "pc")),
    made("10 bit", pix_fmt="yuv420p10le"),
    made("4:2:2", pix_fmt="yuv422p"),
    made("4:4:4", pix_fmt="yuv444p"),
    made("monochrome", pix_fmt="gray"),
    made("odd dimensions", pix_fmt="yuv444p", width=161, height=121),
    made("dimensions of no multiple", width=166, height=122),
    made("anamorphic", video=("-vf", "setsar=16/11")),
    made(
        "BT.709",
        video=("-color_primaries", "bt709", "-color_trc", "bt709", "-colorspace", "bt709"),
    ),
    made(
        "BT.2020 PQ, 10 bit",
        pix_fmt="yuv420p10le",
        video=("-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc"),
    ),
    copied("rotated by 90", TAKEN, before=("-display_rotation", "90")),
    copied("rotated by 180", TAKEN, before=("-display_rotation", "180")),
    copied("mirrored", TAKEN, before=("-display_hflip",)),
    copied("timescale of 10 million", TAKEN, "-video_track_timescale", "10000000"),
    copied("starts at 6.128 s", TAKEN, "-output_ts_offset", "6.128"),
    copied("starts at 24 h", TAKEN, "-output_ts_offset", "86400"),
    copied("starts at 24 h, matroska", TAKEN, "-output_ts_offset", "86400", file="rec.mkv"),
    copied(
        "negative start: an edit list hides what is before 0", "hidden_frames",
        "-output_ts_offset", "-0.2", "-avoid_negative_ts", "disabled",
    ),
    copied("fragmented", TAKEN, *FRAGMENTS),
    copied("fragmented, base offsets", TAKEN, "-movflags", "frag_keyframe+empty_moov"),
    copied("fragmented behind an index", TAKEN, "-movflags", "frag_keyframe"),
    copied("several fragments behind an index", TAKEN, "-movflags", "frag_keyframe", seconds=3),
    copied(
        "fragmented, its edit list written late", TAKEN,
        "-movflags", "frag_keyframe+delay_moov", b_frames=2,
    ),
    copied("a fragment for each frame", TAKEN, "-movflags", EVERY_FRAME, audio=None),
    copied(
        "a fragment for each frame beside sound: ffmpeg puts two frames at one time",
        "hidden_frames", "-movflags", EVERY_FRAME,
    ),
    *(
        copied(
            f"{sound} in fragments, {when}", TAKEN, "-movflags", f"frag_keyframe+{flag}",
            file="rec.mov", container="mov", audio=sound,
        )
        for sound in ("pcm_s16le", "pcm_alaw")
        for when, flag in (("index first", "empty_moov"), ("index late", "delay_moov"))
    ),
    edited("parts of an edit list that touch", TAKEN, (1000, 0), (1000, 12800)),
    edited("parts of an edit list a tick too long", "damaged_source", (1001, 0), (1000, 12800)),
    edited("parts of an edit list a tick apart", "damaged_source", (1000, 0), (1000, 12801)),
    copied("with a timecode", "track_not_carried", "-timecode", "01:02:03:04", file="rec.mov"),
    *(
        noted(f"{what} in the user data", verdict, _box(b"udta", box), file="rec.mov")
        for what, verdict, box in (
            ("a maker", TAKEN, _box(b"\xa9mak", b"\0\4\x55\xc4ACME")),
            ("a maker's second word", NOT_CARRIED, _box(b"\xa9mak", b"\0\1\x55\xc4A\0\1\x15\xc7B")),
            ("a word of no known kind", NOT_CARRIED, _box(b"QVMI", b"a camera")),
            ("telemetry", NOT_CARRIED, _box(b"GPMF", bytes(range(64)))),
        )
    ),
    noted("XMP", NOT_CARRIED, _box(b"uuid", XMP, b"<x:xmpmeta/>")),
    noted("XMP behind", NOT_CARRIED, _box(b"uuid", XMP, b"<x:xmpmeta/>"), top=True),
    noted("GPS in free space", NOT_CARRIED, _box(b"free", b"GPS \1\2\3"), top=True),
    copied("a place", TAKEN, "-metadata", "location=+52.5+013.4/"),
    copied(
        "notes by name", TAKEN,
        "-metadata", "com.camera.serial=17", "-movflags", "use_metadata_tags",
    ),
    copied(
        "the time of day of each fragment", NOT_CARRIED,
        *FRAGMENTS, "-write_prft", "wallclock", seconds=2,
    ),
    copied(
        "tracks that have names", TAKEN,
        "-metadata:s:v", "title=gate", "-metadata:s:a", "title=mic 1",
    ),
    copied("title and location", TAKEN, "-metadata", "title=yard", "-metadata", "comment=gate 2"),
    made("MOV", file="rec.mov", container="mov"),
    made("matroska", file="rec.mkv", container="mkv"),
    hurt(
        "matroska, whose sound has no key frame", TAKEN, unmark_sound,
        container="mkv", output=("-write_crc32", "0"),
    ),
    thrifty,
    copied("sound announced that never came, fragmented", TAKEN, *SILENT, *FRAGMENTS),
    copied("sound announced that never came, matroska", TAKEN, *SILENT, file="rec.mkv"),
    made("PCM in MOV", file="rec.mov", container="mov", audio="pcm_s16le"),
    made("G.711 in MOV", file="rec.mov", container="mov", audio="pcm_alaw"),
    made("G.711 in matroska", file="rec.mkv", container="mkv", audio="pcm_mulaw"),
    made("Opus", audio="libopus"),
    made("MP3", audio="libmp3lame", output=("-ar", "44100")),
    hurt(
        "G.711 in MP4", "audio_not_carried", swap(b"ftypqt  ", b"ftypisom"), container="mov",
        audio="pcm_alaw",
    ),
    made("G.722 in matroska", file="rec.mkv", container="mkv", audio="g722"),
    made("matroska named .mp4", container="mkv"),
    audios,
    no_default,
    forced,
    short_audio,
    late_audio,
    late_picture,
    *(
        made(f"colour matrix {number}", output=("-bsf:v", _MATRIX.format(number)))
        for number in (11, 14)
    ),
    subtitles,
    subtitles_mkv,
    chapters,
    chapters_mkv,
    hard_link,
    read_only,
    named("leading dash", b"-y rec.mp4"),
    named("newline", b"a\nb.mp4"),
    named("quotes", b"it's \"a\" $(rec) `x`;.mp4"),
    named("percent and digits", b"rec%03d.mp4"),
    named("colon: a protocol?", b"concat:http:rec.mp4"),
    named("not UTF-8", b"caf\xe9\xff.mp4"),
    named("255 bytes long", b"n" * 251 + b".mp4"),
    dated("of 1970", 0),
    dated("of 2099", 4_070_908_800),
)  # fmt: skip

DAMAGED = (
    hurt("second half zeroed", "damaged_source", zero(0.5, 1.0)),
    hurt("a page zeroed", "damaged_source", zero(0.5, 0.5001), poke(b"mdat", 9000, bytes(4096))),
    hurt("39 bits flipped", "damaged_source", flip(39)),
    hurt("a sample spoiled", "damaged_source", spoil_sample(12)),
    hurt("an audio packet spoiled", "damaged_source", spoil_sample(3, track=1)),
    hurt("one byte missing at the end", "damaged_source", cut(1)),
    hurt("tail missing", "damaged_source", cut(4000)),
    hurt("tail missing, moov first", "damaged_source", cut(4000), faststart=True),
    hurt("one byte missing, moov first", "damaged_source", cut(1), faststart=True),
    hurt("moov missing", "damaged_source", without(b"moov")),
    hurt("more frames claimed than there are", "damaged_source", more_frames(3)),
    hurt("four thousand million frames claimed", "damaged_source", poke(b"stsz", 8, b"\xff" * 4)),
    hurt("an hour claimed", "damaged_source", poke(b"mdhd", 16, b"\x7f\0\0\0")),
    hurt("absurd dimensions in the header alone", TAKEN, poke(b"avc1", 24, b"\xff" * 4)),
    hurt("media in another file", "external_data", poke(b"url ", 0, bytes(4))),
    hurt("a key system's header", "encrypted", lambda d: d.extend(b"\0\0\0\x20pssh" + bytes(24))),
    hurt("one bit in the name of the sound's track", "unverifiable", misname(b"trak", 1)),
    hurt("one bit in the name of an edit list", "unverifiable", misname(b"edts")),
    hurt("one bit in the name of the metadata", "unverifiable", misname(b"udta")),
    hurt(
        "one bit in the name of the pixels' shape",
        "unverifiable",
        misname(b"pasp"),
        video=("-vf", "setsar=16/11"),
    ),
    unfragmented,
    moved,
    hurt(
        "one bit in the time of every frame",
        "unverifiable",
        slow_a_frame(1, 0x40),
        output=("-use_editlist", "0"),
    ),
    indexed,
    hurt(
        "one bit in the place of some sound",
        "damaged_source",
        misplace(1, 5, 0x800),
        seconds=3,
        audio="pcm_s16le",
        container="mov",
    ),
    copied("encrypted", "encrypted", *SECRET),
    copied("hidden frames", "hidden_frames", before=("-ss", "0.5")),
    *(
        hurt(
            f"matroska, one bit in {what} of a frame, {sums}",
            "damaged_source",
            bend,
            container="mkv",
            output=output,
        )
        for what, bend in (
            ("the id", misname_block(9)),
            ("the track", misname_block(9, track=True)),
        )
        for sums, output in (
            ("no checksums", ("-write_crc32", "0")),
            ("checksums", ("-write_crc32", "1")),
        )
    ),
    hurt(
        "matroska, its second half missing",
        "damaged_source",
        without_last_clusters,
        seconds=6,
        container="mkv",
        output=("-cluster_time_limit", "1000"),
    ),
    hurt("matroska cut by a byte", "damaged_source", cut(1), container="mkv"),
    hurt("TS cut by a byte", "container_not_carried", cut(1), container="ts"),
    concatenated,
    concatenated_fragments,
    concatenated_matroska,
    concatenated_ts,
    resized,
    resized_ts,
    sparse,
    hole,
    headless,
    bomb,
)

FOREIGN = (
    made("HEVC already", "already_hevc", codec="libx265"),
    made("MPEG-4 part 2", "codec_not_listed", codec="mpeg4"),
    made("Motion JPEG", "codec_not_listed", codec="mjpeg", pix_fmt="yuvj420p"),
    made(
        "interlaced", "interlaced", video=("-x264-params", "interlaced=1", "-flags", "+ildct+ilme")
    ),
    two_videos,
    cover,
    own,
    copied(
        "two pictures in one, in Matroska",
        "spatial",
        *("-metadata:s:v:0", "stereo_mode=top_bottom"),
        file="rec.mkv",
    ),
    hurt("Dolby Vision", "dolby_vision", swap(b"btrt", b"dvvC")),
    made("MPEG-TS named .mp4", "container_not_carried", container="ts"),
    made("FLV named .mp4", "not_a_recording", container="flv", fps="25", audio=None),
    made("raw MJPEG named .mp4", "not_a_recording", container="mjpeg", codec="mjpeg", audio=None),
    written("text", "not_a_recording", b"no recording at all\n" * 20),
    written("zeros", "not_a_recording", bytes(65536)),
    written("empty", "damaged_source", b""),
    written("one byte", "not_a_recording", b"\0"),
    written("only a header", "damaged_source", b"\0\0\0\x10ftypisom\0\0\2\0"),
    written("playlist", "not_a_recording", PLAYLIST % b"/etc/hostname"),
    written("concat script", "not_a_recording", CONCAT % b"/etc/hostname"),
    written("SDP", "not_a_recording", SDP % b"5004"),
    fifo,
    folder,
    link,
    dangling,
)

CHANGING = (interlaced_later, recoloured, dolby_matroska, stereoscopic, with_a_text)


def told_anew(name: str, verdict: str, what: str, *, at: tuple[int, ...] = (25,)) -> Case:
    """A stream that says something else of its pictures on the way, or than its header says."""

    def make(directory: Path) -> Path:
        source = clip(audio=None)
        other = remux(source, directory / "other.mp4", "-bsf:v", f"h264_metadata={what}")
        change = with_units(*parameter_sets(other), at=at.__contains__)
        return rewritten(source, directory / "rec.mp4", change)

    return Case(name, verdict, make)


@built("its header's parameter sets again at each key frame, and one that nobody uses")
def repeated_sets(directory: Path) -> Path:
    sequence, picture = parameter_sets(clip())
    again = with_units(sequence, picture, renumbered(picture), at=(0, 25).__contains__)
    return rewritten(clip(), directory / "rec.mp4", again)


@built("parameter sets whose clock is 0, at each key frame")
def clockless(directory: Path) -> Path:
    sequence, picture = parameter_sets(clip())
    again = with_units(without_clock(sequence), picture, at=(0, 25).__contains__)
    return rewritten(clip(), directory / "rec.mp4", again)


_FIELDS = ("-x264-params", "fake-interlaced=1:pic-struct=1")
_NO_STRUCT, _TOP_FIELD, _CLOCK = (b"\6\1\1" + bytes([said]) for said in (0x04, 0x14, 0x0C))


def _retold(struct: bytes) -> Change:
    """Say of one frame, which is no key frame, how it is shown."""
    return lambda number, content: content.replace(_NO_STRUCT, struct) if number == 7 else content


_LATER = with_units(sei(4, CAPTION), at=lambda number: number > 12)
_LATE = with_units(sei(5, NOTE), at=lambda number: number == 17)
_OF_CODING = with_units(sei(6, b"\x84"), sei(200, b"\0"), at=lambda number: number == 17)
ANNOTATED = (
    annotated("closed captions", TAKEN, with_units(sei(4, CAPTION)), b_frames=3),
    annotated("closed captions in two messages", TAKEN, with_units(*[sei(4, CAPTION)] * 2)),
    annotated(
        "captions from the middle on",
        TAKEN,
        with_units(sei(4, CAPTION), at=lambda number: number > 12),
    ),
    annotated("a camera's own notes", "user_data_not_carried", with_units(sei(5, NOTE))),
    annotated("a camera's note in one frame, no key frame", "user_data_not_carried", _LATE),
    annotated("a camera's note, matroska", "user_data_not_carried", _LATE, container="mkv"),
    annotated(
        "registered user data that is no caption",
        "user_data_not_carried",
        with_units(sei(4, b"\xb5\0\x3bxyz")),
    ),
    annotated("a display orientation", "sei_not_carried", with_units(sei(47, b"\x20\x08"))),
    annotated("both eyes in one frame", "spatial", with_units(sei(45, bytes(8)))),
    annotated("pictures of a second view", "layers_not_carried", with_units(b"\x74\xff\xff\x80")),
    annotated("messages about coding alone", TAKEN, _OF_CODING),
)

RETOLD = (
    repeated_sets,
    clockless,
    *(
        told_anew(f"{what} {when}", "format_changes", what, at=at)
        for what in (
            "sample_aspect_ratio=16/11",
            "matrix_coefficients=6:colour_primaries=6:transfer_characteristics=6",
            "video_full_range_flag=1",
            "crop_right=8",
        )
        for when, at in (("from its second half on", (25,)), ("but for its header", (0, 25)))
    ),
    told_anew("another frame rate from its second half on", TAKEN, "tick_rate=60", at=(25,)),
    annotated("frames that might be fields", TAKEN, _retold(_NO_STRUCT), video=_FIELDS),
    annotated(
        "fields in one frame, no key frame", "interlaced", _retold(_TOP_FIELD), video=_FIELDS
    ),
    annotated("the time of day", "user_data_not_carried", _retold(_CLOCK), video=_FIELDS),
)

CASES = ORDINARY + DAMAGED + FOREIGN + CHANGING + ANNOTATED + RETOLD
