"""What a proof concludes from what its passes saw; the passes are made up, the conclusions not."""

import os
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from support.media_values import BASE, FACTS, SOUND, info, video
from support.proving import STRUCTURE, encode_that

from watcher.errors import Refused, Retryable, WatcherError
from watcher.transcode.damage import Damage
from watcher.transcode.decode import Decoded
from watcher.transcode.encode import Encoded
from watcher.transcode.encoders import Decode
from watcher.transcode.leash import Leash
from watcher.transcode.media import MediaInfo, UserData
from watcher.transcode.quality import Quality, QualitySettings, Sample
from watcher.transcode.thumbnails import Paired, Spoilt
from watcher.transcode.tools import Tools, VerifySettings
from watcher.transcode.verify import _Judge

SOURCE = info(streams=(info().streams[0], replace(SOUND, packets=replace(FACTS, packets=10_000))))
MADE = info(path="/copy.mp4", video=video(codec="hevc"))
CLEAN = Decoded(0, BASE, FACTS.timestamps, (), complete=True, format_changes=False)
LATE = replace(CLEAN, timestamps=tuple(time + 600 for time in FACTS.timestamps))
KEYS = replace(CLEAN, timestamps=(0, 1))  # numbered, of two key frames
PICTURE = ("[h264 @ 0x1] [error] co located POCs unavailable",)
HEVC = ("[hevc @ 0x1] [error] Could not find ref with POC 3",)
HEARD = ("[aac @ 0x1] [error] Number of bands (31) exceeds limit (29).",)
BOX = ("[in#0/mov @ 0x1] [error] stream 0, offset 0x2c: partial file",)
BROKEN = replace(CLEAN, exit_code=1)
SAMPLED = replace(STRUCTURE, decode="sampled")
CONVERT = replace(STRUCTURE, damaged_sources="convert")
HARDWARE = encode_that(in_hardware=True, decode=Decode.HARDWARE, encoder="hevc_qsv")


@dataclass(frozen=True)
class Judge(_Judge):
    """One whose passes see what the test says, in turn, and that measures what it says."""

    sees: list[Decoded] = field(default_factory=list)
    passes: list[tuple[str, list[str]]] = field(default_factory=list)
    measures: list[Quality] = field(default_factory=list)

    def _decode(self, path: str, words: list[str]) -> Decoded:
        self.passes.append((path, words))
        return self.sees.pop(0)

    def _measure(self, made: MediaInfo, wanted: QualitySettings) -> Quality:
        return self.measures.pop(0) if self.measures else super()._measure(made, wanted)


def judge(*sees: Decoded, settings: VerifySettings = STRUCTURE) -> Judge:
    nobody: Any = None
    return Judge("/copy.mp4", SOURCE, Tools(nobody, nobody, Leash()), settings, list(sees))


def reason(one: Judge, encoded: Encoded | None = None) -> str:
    with pytest.raises(WatcherError) as raised:
        one.decoded_copy(MADE, encoded)
    return raised.value.reason


class TestTheCopy:
    def test_every_frame_of_it_is_decoded_and_held_against_the_source(self) -> None:
        one = judge(CLEAN)
        error, damage = one.decoded_copy(MADE, encode_that())
        assert (error.max_s, damage) == (0.0, Damage())
        ((path, words),) = one.passes
        assert path == "/copy.mp4"
        assert "-skip_frame" not in words
        assert reason(judge(LATE)) == "timestamps_differ"
        assert reason(judge(replace(CLEAN, timestamps=CLEAN.timestamps[:-1]))) == "frames_differ"
        assert reason(judge(replace(CLEAN, time_base=Fraction(1, 6400)))) == "timestamps_differ"

    @pytest.mark.parametrize(
        "seen", [replace(CLEAN, lines=HEVC), replace(CLEAN, lines=BOX), BROKEN]
    )
    @pytest.mark.parametrize("settings", [STRUCTURE, CONVERT, SAMPLED])
    def test_one_that_does_not_decode_is_a_failure_whatever_is_tolerated(
        self, seen: Decoded, settings: VerifySettings
    ) -> None:
        assert reason(judge(seen, settings=settings)) == "copy_damaged"

    @pytest.mark.parametrize("exit_code", [0, 1])
    def test_sound_that_does_not_decode_is_the_sources_own(self, exit_code: int) -> None:
        """Its packets are the source's: what is told depends on what its owner tolerates."""
        heard = replace(CLEAN, lines=HEARD, exit_code=exit_code)
        assert reason(judge(heard)) == "damaged_source"
        _, damage = judge(heard, settings=CONVERT).decoded_copy(MADE, encode_that())
        assert (damage.sound, damage.packets) == (HEARD, 1)

    def test_of_key_frames_alone_the_times_are_those_of_its_packets(self) -> None:
        one = judge(KEYS, settings=SAMPLED)
        assert one.decoded_copy(MADE, encode_that())[0].max_s == 0.0
        ((_, words),) = one.passes
        assert "-skip_frame" in words
        late = replace(MADE, video=video(packets=replace(FACTS, timestamps=LATE.timestamps)))
        with pytest.raises(Refused) as refused:
            judge(KEYS, settings=SAMPLED).decoded_copy(late, encode_that())
        assert refused.value.reason == "timestamps_differ"

    @pytest.mark.parametrize(
        ("encoder", "kind"),
        [("hevc_qsv", "vaapi"), ("hevc_vaapi", "vaapi"), ("hevc_nvenc", "cuda")],
    )
    def test_where_hardware_decodes_every_frame_is_decoded_after_all(
        self, encoder: str, kind: str
    ) -> None:
        encoded = replace(HARDWARE, encoder=encoder)
        one = judge(KEYS, CLEAN, settings=SAMPLED)
        assert one.decoded_copy(MADE, encoded)[0].max_s == 0.0
        words = one.passes[1][1]
        assert words[words.index("-hwaccel") + 1] == kind
        assert "-skip_frame" not in words
        assert reason(judge(KEYS, LATE, settings=SAMPLED), encoded) == "timestamps_differ"

    @pytest.mark.parametrize("failing", [BROKEN, replace(CLEAN, timestamps=())])
    def test_where_hardware_can_not_software_does(self, failing: Decoded) -> None:
        one = judge(KEYS, failing, CLEAN, settings=SAMPLED)
        assert one.decoded_copy(MADE, HARDWARE)[0].max_s == 0.0
        words = one.passes[2][1]
        assert "-hwaccel" not in words
        assert "-skip_frame" not in words
        assert reason(judge(KEYS, failing, LATE, settings=SAMPLED), HARDWARE) == "timestamps_differ"


class TestTheSource:
    def test_what_was_decoded_in_software_is_judged_by_what_was_said_then(self) -> None:
        one = judge()
        assert one.decoded_source(encode_that()) == ("full", Damage())
        how, damage = one.decoded_source(encode_that(stderr="\n".join(PICTURE)))
        assert (how, damage.picture) == ("full", PICTURE)
        assert one.passes == []

    def test_where_not_all_was_kept_of_it_what_is_counted_is_decoded_again(self) -> None:
        """To be refused it is enough; to be tolerated it has to be counted."""
        encoded = encode_that(stderr="… 9 bytes left out …\n" + "\n".join(PICTURE))
        how, damage = judge().decoded_source(encoded)
        assert (how, damage.countable) == ("full", False)
        one = judge(CLEAN, settings=CONVERT)
        assert one.decoded_source(encoded) == ("full", Damage())
        assert [path for path, _ in one.passes] == [SOURCE.path]

    @pytest.mark.parametrize(
        ("encoded", "settings", "how"),
        [
            (None, STRUCTURE, "full"),
            (None, SAMPLED, "full"),  # nobody has decoded it so far
            (HARDWARE, STRUCTURE, "full"),
            (HARDWARE, SAMPLED, "sampled"),
        ],
    )
    def test_what_hardware_decoded_is_decoded_once_more(
        self, encoded: Encoded | None, settings: VerifySettings, how: str
    ) -> None:
        one = judge(CLEAN, settings=settings)
        assert one.decoded_source(encoded) == (how, Damage())
        ((path, words),) = one.passes
        assert path == SOURCE.path
        assert ("-skip_frame" in words) is (how == "sampled")

    def test_what_was_decoded_beside_its_copy_without_a_word_is_not_decoded_again(self) -> None:
        one = judge()
        assert one.decoded_source(HARDWARE, Paired(True, 3, None)) == ("full", Damage())
        assert one.passes == []
        again = judge(CLEAN)
        again.decoded_source(HARDWARE, Paired(False, 3, None))
        assert [path for path, _ in again.passes] == [SOURCE.path]

    def test_a_decoder_that_ends_without_a_word_proves_nothing(self) -> None:
        with pytest.raises(Refused) as refused:
            judge(BROKEN).decoded_source(None)
        assert refused.value.reason == "unverifiable"
        told = replace(BROKEN, lines=PICTURE)
        assert judge(told).decoded_source(None)[1].picture == PICTURE


class TestEveryFrame:
    def test_what_software_has_encoded_is_not_compared_frame_by_frame(self) -> None:
        assert judge().side_by_side(MADE, encode_that()) is None
        assert judge(settings=SAMPLED).side_by_side(MADE, None) is None

    def test_each_has_its_pair_and_none_is_another_picture(self) -> None:
        frames = len(SOURCE.video.timestamps or ()) if SOURCE.video else 0
        judge().frames(Paired(True, frames, None))
        for paired, told in (
            (Paired(False, frames - 1, None), f"only {frames - 1} of {frames} frames"),
            (Paired(True, frames, Spoilt(2, 812.0, 3.5)), "its frame 2 is another picture"),
        ):
            with pytest.raises(Retryable, match=told) as why:
                judge().frames(paired)
            assert why.value.reason == "copy_damaged"


class TestDamage:
    @pytest.mark.parametrize(
        ("picture", "sound", "tolerated"),
        [
            (Damage(), Damage(), True),
            (Damage(container=BOX), Damage(), False),
            (Damage(), Damage(sound=HEARD, packets=50), True),
            (Damage(), Damage(sound=HEARD, packets=51), False),
            (Damage(), Damage(sound=HEARD, packets=1, countable=False), False),
            (Damage(picture=PICTURE, frames=1, countable=False), Damage(), False),
            (Damage(picture=PICTURE, frames=1), Damage(), False),  # of fifty
            (Damage(picture=PICTURE, frames=0), Damage(), True),
        ],
    )
    def test_half_a_percent_of_what_can_be_counted_is_tolerated_where_that_is_wanted(
        self, picture: Damage, sound: Damage, tolerated: bool
    ) -> None:
        if tolerated:
            judge(settings=CONVERT).tolerated(picture, sound)
        else:
            with pytest.raises(Refused) as refused:
                judge(settings=CONVERT).tolerated(picture, sound)
            assert refused.value.reason == "damaged_source"
        if picture.of_source or sound.sound:
            with pytest.raises(Refused):
                judge().tolerated(picture, sound)


@pytest.mark.parametrize(
    ("size", "wanted", "why"),
    [
        (900_000, 10.0, None),
        (900_001, 10.0, "savings_too_small"),
        (999_999, 0.0, None),
        (1_000_000, 0.0, "no_saving"),
        (1_000_001, 0.0, "no_saving"),
    ],
)
def test_a_copy_saves_what_is_wanted_and_something_at_all(
    tmp_path: Path, size: int, wanted: float, why: str | None
) -> None:
    copy = tmp_path / "copy"
    with copy.open("wb") as file:
        file.truncate(size)
    one = replace(
        judge(settings=replace(STRUCTURE, min_space_savings=wanted)), copy=os.fspath(copy)
    )
    if why is None:
        assert one.savings() == pytest.approx(100 - size / 10_000)
        return
    with pytest.raises(Refused) as refused:
        one.savings()
    assert refused.value.reason == why


def test_a_copy_that_is_gone_is_a_failure_of_this_night_alone() -> None:
    with pytest.raises(Retryable) as failed:
        judge().savings()
    assert failed.value.reason == "copy_damaged"


WANTED = QualitySettings(min_vmaf=80.0, short_s=1.0)  # the two seconds of ours are long
MEASURED = replace(STRUCTURE, quality=WANTED)


def looks(harmonic: float, *, color_error: float = 0.0, light_error: float = 0.0) -> Quality:
    sample = Sample(0, 31, False, 95.0, harmonic, 70.0, color_error, 8.0, light_error)
    return Quality(95.0, harmonic, 70.0, (sample,))


class TestHowGoodItLooks:
    def test_no_place_may_look_worse_than_its_owner_wants(self) -> None:
        good = looks(80.0)
        assert replace(judge(settings=MEASURED), measures=[good]).quality(MADE, 50.0) is good
        with pytest.raises(Refused) as refused:
            replace(judge(settings=MEASURED), measures=[looks(79.9)]).quality(MADE, 50.0)
        assert refused.value.reason == "quality_too_low"
        assert refused.value.figures["vmaf_harmonic"] == 79.9

    def test_nor_have_lost_its_colours_of_which_vmaf_sees_nothing(self) -> None:
        grey = looks(99.0, color_error=9.0)
        with pytest.raises(Refused, match="colours: off by 9 of 8") as refused:
            replace(judge(settings=MEASURED), measures=[grey]).quality(MADE, 50.0)
        assert refused.value.reason == "quality_too_low"

    def test_nor_be_brighter_or_darker_of_which_vmaf_sees_nothing_either(self) -> None:
        ordinary = looks(99.0, light_error=12.0)
        assert replace(judge(settings=MEASURED), measures=[ordinary]).quality(MADE, 50.0)
        bright = looks(99.0, light_error=12.1)
        with pytest.raises(Refused, match=r"brighter, darker or flatter: off by 12\.1") as refused:
            replace(judge(settings=MEASURED), measures=[bright]).quality(MADE, 50.0)
        assert refused.value.reason == "quality_too_low"

    def test_without_an_ffmpeg_that_can_measure_nothing_is_replaced(self) -> None:
        class Blind(Tools):
            vmaf_ffmpeg = None

        nobody: Any = None
        blind = Blind(nobody, nobody, Leash())
        with pytest.raises(Retryable) as failed:
            replace(judge(settings=MEASURED), tools=blind).quality(MADE, 50.0)
        assert failed.value.reason == "no_vmaf"

    def test_where_it_is_not_wanted_nothing_is_measured(self) -> None:
        assert judge().quality(MADE, 99.0) is None

    def test_short_recordings_are_left_out_but_for_a_share_and_what_surprises(self) -> None:
        few = replace(MEASURED, quality=replace(WANTED, short_s=2.0, short_share=0.0))
        assert judge(settings=few).quality(MADE, 89.9) is None
        good = looks(90.0)
        assert replace(judge(settings=few), measures=[good]).quality(MADE, 90.0) is good


HELD = {"captions": UserData(7, "one"), "unregistered": UserData(5, "two")}


@pytest.mark.parametrize(
    ("has", "dropped"),
    [
        (HELD, 0),
        ({"captions": HELD["captions"]}, 12),
        ({**HELD, "captions": UserData(7, "other")}, 12),
        (None, 12),
    ],
)
def test_user_data_is_kept_or_its_loss_is_counted_where_its_owner_lets_it_go(
    has: dict[str, UserData] | None, dropped: int
) -> None:
    made = replace(MADE, video=video(user_data=has))
    source = replace(SOURCE, video=video(user_data=HELD))
    keeping = replace(judge(), info=source)
    dropping = replace(keeping, settings=replace(STRUCTURE, user_data="drop"))
    assert dropping.user_data(made) == dropped
    if not dropped:
        assert keeping.user_data(made) == 0
        return
    with pytest.raises(Refused) as refused:
        keeping.user_data(made)
    assert refused.value.reason == "user_data_differs"
