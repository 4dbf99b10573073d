"""Is the source whole? Judged before an hour is spent on it, and before garbage encodes cleanly.

Three looks, the cheapest first: what the probe counted and complained of; the walk of the
container's boxes; the key frames decoded. What only a full decode can find is found by the encode
itself, or by `verify`. Every refusal has a reason of its own where one exists; what can't be judged
is refused as `unverifiable`.
"""

import os
import stat
from collections.abc import Callable, Mapping, Sequence
from operator import eq
from typing import Final

from watcher.errors import Refused, Retryable
from watcher.transcode.boxes import walk
from watcher.transcode.compare import copied_streams
from watcher.transcode.damage import judge_lines
from watcher.transcode.decode import (
    KEY_FRAMES,
    NUMBERED,
    Decoded,
    Looks,
    decode,
    decode_words,
    thread_words,
)
from watcher.transcode.findings import Problem, Walked
from watcher.transcode.held import open_to_read
from watcher.transcode.media import MediaInfo
from watcher.transcode.notes import NOT_CARRIED
from watcher.transcode.tools import Tools, VerifySettings

REASONS: Final[Mapping[str, str]] = {
    "encrypted": "encrypted",
    "hidden_frames": "hidden_frames",
    "edit_list": "hidden_frames",
    "format_changes": "format_changes",
    "external_data": "external_data",
    "too_large": "unverifiable",
    "too_many_boxes": "unverifiable",
    "unknown_container": "unverifiable",
    "unknown_box": "unverifiable",
    "out_of_order": "unverifiable",
    NOT_CARRIED: NOT_CARRIED,
    "times_disagree": "unverifiable",
}
"""The reason for which a file with each problem stays; all others are `damaged_source`."""

_GENTLE: Final = ("encrypted", "external_data", "hidden_frames", "edit_list", "format_changes")
_MANY: Final = 5


def judge_source(info: MediaInfo, settings: VerifySettings, tools: Tools | None = None) -> Walked:
    """Raise `Refused` where the source is not whole; give what the walk of its boxes found.

    Without *tools* no frame is decoded: for a plan, which costs no more than a look.
    """
    found = walk_file(info.path, tools.leash.check if tools else None)
    strict = settings.damaged_sources == "skip"
    problems = tuple(p for p in found.problems if strict or p.name != "checksum")
    if problems:
        _refuse(problems)
    _counted(info, found)
    if strict:
        _in_order(info)
    _words_are_read(info, found)
    if info.complaints and settings.damaged_sources == "skip":
        raise Refused("damaged_source", f"the parser complains: {info.complaints[0]}")
    if tools is not None:
        _key_frames(info, tools, settings)
    return found


def walk_file(path: str, check: Callable[[], None] | None = None) -> Walked:
    """Walk the boxes of the file at *path*, as `open_to_read` opens it; *check* as in `walk`."""
    try:
        fd = open_to_read(path)
    except OSError as error:
        raise Retryable("unreadable", f"can't be opened: {error.strerror}") from error
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise Refused("not_a_recording", "is not a regular file")
        return walk(lambda offset, length: os.pread(fd, length, offset), status.st_size, check)
    except OSError as error:
        raise Retryable("read_error", f"can't be read: {error.strerror}") from error
    finally:
        os.close(fd)


def _refuse(problems: tuple[Problem, ...]) -> None:
    """Refuse for the problem that says most: encryption explains what else looks broken."""

    def rank(problem: Problem) -> int:
        if problem.name == NOT_CARRIED:
            return _MANY + 1  # of a damaged file that is not what matters
        return _GENTLE.index(problem.name) if problem.name in _GENTLE else _MANY

    telling = sorted(problems, key=rank)
    first = telling[0]
    reason = REASONS.get(first.name, "damaged_source")
    # The reason stands before the message wherever it is shown: not a second time here.
    told = "; ".join(
        problem.detail if problem.name == reason else f"{problem.name}: {problem.detail}"
        for problem in telling[:_MANY]
    )
    raise Refused(reason, told, problems=sorted({problem.name for problem in problems}))


def _counted(info: MediaInfo, found: Walked) -> None:
    """Hold what the probe counted against itself and against the boxes."""
    packets = info.video.packets if info.video else None
    if packets is None:
        raise Refused("unverifiable", "its packets were not read")
    if packets.hidden and packets.frames != found.video_frames:
        raise Refused("hidden_frames", f"{packets.hidden} frames are there and not shown")
    if packets.untimed or not packets.timestamps:
        raise Refused("unverifiable", f"{packets.untimed} frames carry no time")
    if not packets.first_is_key:
        raise Refused("damaged_source", "its first frame is no key frame")
    corrupt = sum(s.packets.corrupt for s in info.streams if s.packets)
    if corrupt:
        raise Refused("damaged_source", f"{corrupt} packets are marked as damaged", packets=corrupt)
    if found.video_frames is not None and found.video_frames != packets.frames:
        detail = f"its index names {found.video_frames} frames, {packets.frames} are there"
        raise Refused("damaged_source", detail)
    _tracks_are_read(info, found)
    _tracks_are_played(info)
    if found.video_times and not _in_step(found.video_times, packets.timestamps):
        raise Refused("unverifiable", "its frames are read at other times than its index says")
    if len(set(packets.timestamps)) != len(packets.timestamps):
        raise Refused("unverifiable", "several of its frames are to be shown at the same time")


def _tracks_are_read(info: MediaInfo, found: Walked) -> None:
    """Refuse what a copy would not have either: a track, or all of a sound, that is not read."""
    if found.tracks not in (None, sum(s.kind != "attachment" for s in info.streams)):
        raise Refused("unverifiable", f"of its {found.tracks} tracks some are not read")
    heard = [s.packets.packets for s in info.streams if s.kind == "audio" and s.packets]
    if found.silent is not None and heard.count(0) > found.silent:
        raise Refused("unverifiable", "none of its sound is read, though there is some")


def _tracks_are_played(info: MediaInfo) -> None:
    """Refuse a sound of which nothing is played, as far as its times say: a single packet, say."""
    for stream in info.streams:
        packets = stream.packets if stream.kind in {"audio", "subtitle"} else None
        if packets and packets.packets and not packets.timestamps:
            before = min(packets.hidden_timestamps, default=0)
            if before >= 0:
                told = f"track {stream.index} ({stream.kind}): none of its packets is to be played"
                raise Refused("unverifiable", told)


def _in_order(info: MediaInfo) -> None:
    """Refuse sound that no muxer takes as it is: packets whose times go back.

    In MP4 and MOV two at one time are as bad. Subtitles may share a time.
    """
    least = 1 if info.isobmff else 0
    for stream in info.streams:
        step = stream.packets.least_step if stream.packets else None
        if stream.kind == "audio" and step is not None and step < least:
            back = f"its times overlap, or go back, by {-step} ticks"
            told = back if step else "two of its packets are to be heard at one time"
            raise Refused("unverifiable", f"track {stream.index} ({stream.kind}): {told}")


def _in_step(times: Sequence[int], read: Sequence[int]) -> bool:
    """Say whether frames are read as far from one another as the index says, in the same ticks."""
    begin = read[0] - times[0]
    return len(times) == len(read) and all(map(eq, read, map(begin.__add__, times)))


def _words_are_read(info: MediaInfo, found: Walked) -> None:
    """Look for each text that stands in the file among those that the probe has read."""
    read = set(info.metadata.values())
    for stream in info.streams:
        read.update(stream.metadata.values())
    read.update(title for _, _, title in info.chapters)
    lost = [note for note in found.notes if read.isdisjoint(note.texts)]
    if lost:
        told = f"a copy would lose {lost[0].where}: {lost[0].texts[0][:100]!r}"
        raise Refused(NOT_CARRIED, told, notes=len(lost))


def _key_frames(info: MediaInfo, tools: Tools, settings: VerifySettings) -> None:
    """Decode every key frame: a change of format shows in no header, much damage here already."""
    strict = settings.damaged_sources == "skip"
    seen = _pass(info, tools, settings, strict=strict)
    if seen.format_changes:
        raise Refused("format_changes", "the picture changes its size or format in the middle")
    damage = judge_lines(seen.lines, sound_codecs(info), complete=seen.complete)
    broken = damage.container or (strict and (damage.of_source or seen.exit_code))
    if broken:
        told = (*damage.of_source, f"the decoder ended with {seen.exit_code}")[0]
        raise Refused("damaged_source", f"its key frames do not decode cleanly: {told}")
    # In a pass of its own, for what it says may break a decoder's line in two; over all frames
    # where parameter sets allow for fields: key frames may be the only ones that have none.
    looks = Looks()
    _pass(info, tools, settings, strict=False, looks=looks)
    _same_looks(looks)


def _pass(
    info: MediaInfo,
    tools: Tools,
    settings: VerifySettings,
    *,
    strict: bool,
    looks: Looks | None = None,
) -> Decoded:
    whole = looks is not None and info.video is not None and info.video.maybe_interlaced
    words = decode_words(
        info.path,
        info.container,
        strict=strict,
        audio=False,
        before=[*thread_words(settings.max_threads), *([] if whole else KEY_FRAMES)],
        filters=[NUMBERED, *([Looks.FILTER] if looks else [])],
    )
    return decode(
        tools.ffmpeg.path,
        info.path,
        words,
        tools.leash,
        on_stderr=looks.add if looks else None,
        stall_timeout_s=settings.stall_timeout_s,
        clock=tools.clock,
    )


def _same_looks(looks: Looks) -> None:
    """Refuse what becomes interlaced, or changes its shape or colours, without a new size."""
    if any(look.interlaced for look in looks.seen):
        raise Refused("interlaced", "is interlaced in places, which HEVC in hardware does not keep")
    if len(looks.seen) > 1:
        first, other, *_ = looks.seen
        told = f"from {first.aspect} {first.color} to {other.aspect} {other.color}"
        raise Refused("format_changes", f"the picture changes in the middle, {told}")


def sound_codecs(info: MediaInfo) -> frozenset[str]:
    """Name the codecs whose decoders may speak of the sound."""
    return frozenset(s.codec for s in copied_streams(info) if s.kind == "audio")
