"""Is the copy as good as the original? The proof without which nothing is replaced.

`verify_copy` holds a copy against its source itself, never against a tolerance of its own making:
what it saves, its boxes, its streams and packets, the number and time of its frames, what they
look like, that every frame of it decodes, that the source decoded cleanly when it was encoded, and
how good it looks. The cheapest check comes first, and the first that fails ends it. Whatever can't
be judged is refused as `unverifiable`. What was proven goes into the `Report`, and with it into
the marker.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from types import MappingProxyType
from typing import Literal

from watcher.errors import Refused, Retryable
from watcher.transcode.compare import (
    Difference,
    copied_streams,
    differences,
    lost_user_data,
    same_frames,
    sound_ends,
)
from watcher.transcode.damage import Damage, judge_lines, spread, tolerable
from watcher.transcode.decode import (
    KEY_FRAMES,
    NUMBERED,
    Decoded,
    decode,
    decode_words,
    looked_at,
    thread_words,
    was_complete,
    without_name,
)
from watcher.transcode.encode import Encoded
from watcher.transcode.encoders import Decode
from watcher.transcode.media import MediaInfo
from watcher.transcode.quality import Quality, QualitySettings, is_measured, measure
from watcher.transcode.source import judge_source, sound_codecs, walk_file
from watcher.transcode.thumbnails import File, Paired, side_by_side
from watcher.transcode.times import TimeError
from watcher.transcode.tools import Tools, VerifySettings

__all__ = ["Report", "Tools", "VerifySettings", "judge_source", "verify_copy"]


@dataclass(frozen=True, slots=True)
class Report:
    """What was proven of one copy.

    *decode*: whether every frame of the copy was decoded, or its key frames and all packets;
    *source_decode*: the same of the source. *packets*: the digest of each copied stream.
    *user_data_dropped*: messages that `sei_user_data: drop` let go.
    *quality*: None where VMAF was switched off, or left this short recording out.
    """

    frames: int
    max_timestamp_error_s: float
    mean_timestamp_error_s: float
    savings_percent: float
    decode: Literal["full", "sampled"]
    source_decode: Literal["full", "sampled"]
    damaged_frames: int = 0
    user_data_dropped: int = 0
    packets: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))
    quality: Quality | None = None

    @property
    def source_errors(self) -> int:
        """How much of the source is damaged and was converted all the same: keep it longer."""
        return self.damaged_frames

    @property
    def vmaf(self) -> float | None:
        """The harmonic mean of the worst sample: what `min_vmaf` is held against."""
        return self.quality.harmonic if self.quality else None

    @property
    def vmaf_min(self) -> float | None:
        """The worst frame of all samples."""
        return self.quality.minimum if self.quality else None

    def to_json(self) -> dict[str, object]:
        """Give it as it is kept in the marker."""
        plain = {name: getattr(self, name) for name in Report.__slots__}
        plain["packets"] = {str(index): digest for index, digest in self.packets.items()}
        plain["quality"] = self.quality.to_json() if self.quality else None
        return plain


def verify_copy(
    info: MediaInfo,
    copy: str,
    encoded: Encoded | None,
    tools: Tools,
    settings: VerifySettings,
    *,
    codec: str = "hevc",
) -> Report:
    """Prove the file *copy* against its source, of which *info* is what the probe has said.

    *copy* is best the path of a handle that holds it, which no other file can take the place of.
    *encoded* is what the encode left behind: a source decoded in software was decoded whole there.
    Raises `Refused` (savings_too_small, no_saving, …_differ, damaged_source, quality_too_low,
    unverifiable), `Retryable` (copy_damaged, stalled, read_error, …) and `Aborted`.
    """
    judge = _Judge(copy, info, tools, settings)
    savings = judge.savings()
    made = judge.probed()
    _refuse_first(list(differences(info, made, encoded.codec if encoded else codec)))
    judge.ends(made)
    lost = judge.user_data(made)
    paired = judge.side_by_side(made, encoded)
    if paired is not None and paired.clean:
        error, copy_damage = judge.packet_times(made), Damage()
    else:
        error, copy_damage = judge.decoded_copy(made, encoded)
    source_decode, damage = judge.decoded_source(encoded, paired)
    damage = spread(damage, len(_timestamps(info)), _longest_run(info))
    judge.tolerated(damage, copy_damage)
    if paired is not None and not damage.of_source:
        judge.frames(paired)  # else each decoder conceals the damage in its own way
    return Report(
        frames=len(info.video.timestamps or ()) if info.video else 0,
        max_timestamp_error_s=round(error.max_s, 6),
        mean_timestamp_error_s=round(error.mean_s, 6),
        savings_percent=round(savings, 2),
        decode=settings.decode,
        source_decode=source_decode,
        damaged_frames=damage.frames + copy_damage.packets,
        user_data_dropped=lost,
        packets={s.index: s.packets.digest or "" for s in copied_streams(made) if s.packets},
        quality=judge.quality(made, savings),
    )


@dataclass(frozen=True, slots=True)
class _Judge:
    """One copy before its judge; each method is one check."""

    copy: str
    info: MediaInfo
    tools: Tools
    settings: VerifySettings

    def savings(self) -> float:
        """Give the percentage saved, by the sizes as they are now."""
        before, after = self.info.size_bytes, _size(self.copy)
        percent = 100.0 * (before - after) / before
        wanted = self.settings.min_space_savings
        if after >= before or percent < wanted:
            raise Refused(
                "no_saving" if after >= before else "savings_too_small",
                f"saves {percent:.1f} % where {wanted:g} % are wanted",
                savings_percent=round(percent, 1),
            )
        return percent

    def probed(self) -> MediaInfo:
        """Give what the copy is by its own bytes."""
        found = walk_file(self.copy, self.tools.leash.check)
        if found.problems:
            problems = found.problems
            told = f"the copy's container is damaged: {problems[0].name}, {problems[0].detail}"
            raise Retryable("copy_damaged", told)
        try:
            made = self.tools.prober.probe(self.copy, self.tools.leash)
        except Refused as why:
            raise Retryable("copy_damaged", f"the copy can't be read: {why.message}") from why
        if made.complaints:
            raise Retryable("copy_damaged", f"the copy does not parse: {made.complaints[0]}")
        return replace(made, sounds=found.sounds)

    def ends(self, made: MediaInfo) -> None:
        """Refuse sound that would be over sooner or later than it was."""
        if not self.info.isobmff:
            return
        ours = self.info.sounds
        if ours is None:
            ours = walk_file(self.info.path, self.tools.leash.check).sounds
        _refuse_first(list(sound_ends(ours, made.sounds)))

    def user_data(self, made: MediaInfo) -> int:
        """Refuse lost user data, or give how many messages `sei_user_data: drop` let go."""
        lost = list(lost_user_data(self.info, made))
        if self.settings.user_data == "keep":
            _refuse_first(lost)
        held = (self.info.video.user_data or {}) if self.info.video else {}
        return sum(one.messages for one in held.values()) if lost else 0

    def side_by_side(self, made: MediaInfo, encoded: Encoded | None) -> Paired | None:
        """Look at both files together; None where they are not decoded whole.

        And of copies that were made in software: there no frame becomes another picture, and their
        source has been decoded once already.
        """
        by_software = encoded is not None and not encoded.in_hardware
        if self.settings.decode != "full" or by_software:
            return None
        if self.info.video is None or made.video is None:
            return None
        return side_by_side(
            File(self.info.path, self.info.container, self.info.video),
            File(self.copy, made.container, made.video),
            ffmpeg=self.tools.ffmpeg.path,
            leash=self.tools.leash,
            max_threads=self.settings.max_threads,
            stall_timeout_s=self.settings.stall_timeout_s,
            clock=self.tools.clock,
        )

    def packet_times(self, made: MediaInfo) -> TimeError:
        """Give by how much frames are off, by their packets' times: `differences` holds them."""
        both = (_timestamps(self.info), _base(self.info), _timestamps(made), _base(made))
        return same_frames(*both)[1]

    def decoded_copy(self, made: MediaInfo, encoded: Encoded | None) -> tuple[TimeError, Damage]:
        """Decode the copy, sound to its end; its frames must be the source's, each at its time."""
        seen = self._pass(self.copy, made, whole=self.settings.decode == "full")
        damage = judge_lines(seen.lines, sound_codecs(made), complete=seen.complete)
        if damage.container or damage.picture or (seen.exit_code and not damage.sound):
            told = (*damage.container, *damage.picture, f"exit {seen.exit_code}")[0]
            raise Retryable("copy_damaged", f"the copy does not decode cleanly: {told}")
        if damage.sound and self.settings.damaged_sources == "skip":  # its packets are the source's
            self.tolerated(Damage(), damage)
        times, base = seen.timestamps, seen.time_base
        if self.settings.decode == "sampled":
            times, base = _timestamps(made), _base(made)
            if encoded is not None and encoded.decode is Decode.HARDWARE:
                seen = self._hardware_pass(made, encoded)
                times, base = seen.timestamps, seen.time_base
        found, error = same_frames(_timestamps(self.info), _base(self.info), times, base)
        _refuse_first(found)
        return error, damage

    def decoded_source(
        self, encoded: Encoded | None, paired: Paired | None = None
    ) -> tuple[Literal["full", "sampled"], Damage]:
        """Give how the source decoded: in the encode, where that was in software, or now."""
        if encoded is not None and encoded.decode is Decode.SOFTWARE:
            lines, complete = (
                looked_at(without_name(encoded.stderr, self.info.path)),
                was_complete(encoded.stderr),
            )
            damage = judge_lines(lines, sound_codecs(self.info), complete=complete)
            if complete or self.settings.damaged_sources == "skip":
                return "full", damage
        if paired is not None and paired.clean:
            return "full", Damage()
        whole = self.settings.decode == "full" or encoded is None
        seen = self._pass(self.info.path, self.info, whole=whole, sound=False)
        damage = judge_lines(seen.lines, sound_codecs(self.info), complete=seen.complete)
        if seen.exit_code and not damage.of_source:
            raise Refused("unverifiable", f"the source's decoder ended with {seen.exit_code}")
        return "full" if whole else "sampled", damage

    def tolerated(self, picture: Damage, sound: Damage) -> None:
        """Refuse a damaged source, but for what `damaged_sources: convert` takes."""
        lines = (*picture.of_source, *sound.sound)
        if not lines:
            return
        merged = Damage(
            container=picture.container,
            picture=picture.picture,
            sound=sound.sound,
            frames=picture.frames,
            packets=sound.packets,
            countable=picture.countable and sound.countable,
        )
        frames, packets = len(_timestamps(self.info)), _sound_packets(self.info)
        if self.settings.damaged_sources == "convert" and tolerable(merged, frames, packets):
            return
        raise Refused(
            "damaged_source",
            f"does not decode cleanly: {lines[0]}",
            damaged_frames=merged.frames,
            damaged_packets=merged.packets,
            frames=frames,
        )

    def frames(self, paired: Paired) -> None:
        """Refuse a copy with a frame that is another picture, wherever in the file it is."""
        frames, found = len(_timestamps(self.info)), paired.spoilt
        if paired.pairs != frames:
            told = f"only {paired.pairs} of {frames} frames come out beside the source's"
            raise Retryable("copy_damaged", told)
        if found is not None:
            told = f"off by {found.light_error:g} in light, by {found.color_error:g} in colour"
            raise Retryable("copy_damaged", f"its frame {found.frame} is another picture: {told}")

    def quality(self, made: MediaInfo, savings_percent: float) -> Quality | None:
        """Measure how good the copy looks, and refuse what looks worse than it may."""
        wanted = self.settings.quality
        if wanted is None or not is_measured(self.info, wanted, savings_percent):
            return None
        found = self._measure(made, wanted)
        if found.harmonic < wanted.min_vmaf:
            raise Refused(
                "quality_too_low",
                f"looks like VMAF {found.harmonic:.1f} where {wanted.min_vmaf:g} is wanted",
                vmaf=found.mean,
                vmaf_harmonic=found.harmonic,
                vmaf_min=found.minimum,
            )
        if not found.keeps_color:
            worst = max(found.samples, key=lambda sample: sample.color_error)
            raise Refused(
                "quality_too_low",
                f"has lost its colours: off by {worst.color_error:g} of {worst.color_signal:g}",
                vmaf=found.mean,
            )
        if not found.keeps_light:
            worst = max(found.samples, key=lambda sample: sample.light_error)
            raise Refused(
                "quality_too_low",
                f"is brighter, darker or flatter: off by {worst.light_error:g} in the mean square",
                vmaf=found.mean,
            )
        return found

    def _measure(self, made: MediaInfo, wanted: QualitySettings) -> Quality:
        if self.tools.vmaf_ffmpeg is None:
            raise Retryable("no_vmaf", "no ffmpeg here has libvmaf; `verify_quality` can't be done")
        return measure(
            self.info.path,
            self.copy,
            self.info,
            made,
            ffmpeg=self.tools.vmaf_ffmpeg,
            settings=wanted,
            leash=self.tools.leash,
            clock=self.tools.clock,
        )

    def _pass(self, path: str, info: MediaInfo, *, whole: bool, sound: bool = True) -> Decoded:
        strict = self.settings.damaged_sources == "skip"
        before = [
            *thread_words(self.settings.max_threads),
            *([] if whole else KEY_FRAMES),
        ]
        filters = [] if whole else [NUMBERED]
        words = decode_words(
            path, info.container, strict=strict, audio=sound, before=before, filters=filters
        )
        return self._decode(path, words)

    def _hardware_pass(self, made: MediaInfo, encoded: Encoded) -> Decoded:
        """Decode every frame where it is cheap; where hardware does not, in software after all."""
        kind = "cuda" if "nvenc" in encoded.encoder else "vaapi"
        before = ["-hwaccel", kind, "-hwaccel_output_format", kind]
        before += thread_words(self.settings.max_threads)
        words = decode_words(self.copy, made.container, audio=False, before=before)
        seen = self._decode(self.copy, words)
        if seen.exit_code or not seen.timestamps:
            return self._pass(self.copy, made, whole=True, sound=False)
        return seen

    def _decode(self, path: str, words: list[str]) -> Decoded:
        return decode(
            self.tools.ffmpeg.path,
            path,
            words,
            self.tools.leash,
            stall_timeout_s=self.settings.stall_timeout_s,
            clock=self.tools.clock,
        )


def _refuse_first(found: list[Difference]) -> None:
    if found:
        told = "; ".join(difference.detail for difference in found[:5])
        raise Refused(found[0].name, told, differences=[difference.name for difference in found])


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size  # of what a handle leads to; a link is refused by the walk
    except OSError as error:
        raise Retryable("copy_damaged", f"the copy can't be read: {error.strerror}") from error


def _timestamps(info: MediaInfo) -> tuple[int, ...]:
    return (info.video.timestamps or ()) if info.video else ()


def _base(info: MediaInfo) -> Fraction:
    return info.video.time_base if info.video else Fraction(1)


def _longest_run(info: MediaInfo) -> int | None:
    return info.video.packets.longest_run if info.video and info.video.packets else None


def _sound_packets(info: MediaInfo) -> int:
    return sum(s.packets.packets for s in info.streams if s.kind == "audio" and s.packets)
