"""Where VMAF looks, how its figures are put together, and which recordings it leaves out."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.errors import Refused
from watcher.transcode.media import MediaInfo, PacketFacts, VideoInfo
from watcher.transcode.planes import Planes
from watcher.transcode.quality import (
    QualitySettings,
    Sample,
    _cut,
    _Rows,
    _sample,
    _Side,
    _spread,
    _video,
    harmonic_mean,
    is_measured,
    sample_places,
    summary,
    vmaf_words,
)


def recording(path: str, frames: int, fps: int = 10) -> MediaInfo:
    times = tuple(range(frames))
    packets = PacketFacts(frames, frames, 0, frames, frames=frames, timestamps=times)
    video = VideoInfo(0, "h264", None, None, 64, 64, "yuv420p", 8, Fraction(1, fps), fps, 0, None,
                      packets=packets)  # fmt: skip
    return MediaInfo(path, "mp4", 1, 1, None, None, (), video)


def sample(mean: float, harmonic: float, minimum: float) -> Sample:
    return Sample(0, 10, worst_place=False, mean=mean, harmonic=harmonic, minimum=minimum)


def test_the_worst_sample_counts() -> None:
    found = summary([sample(95, 94, 90), sample(80, 70, 40), sample(98, 98, 97)])
    assert (found.mean, found.harmonic, found.minimum) == (91, 70, 40)
    assert len(found.to_json()["samples"]) == 3  # type: ignore[arg-type]  # a list, as JSON has it


def test_a_samples_first_frame_does_not_count_unless_it_is_the_only_one() -> None:
    """VMAF knows no motion there."""
    found = _sample(7, 3, {0: 10.0, 3: 90.0, 6: 80.0}, Planes(2.34567, 1.23456, 8.0), is_worst=True)
    assert (found.frame, found.frames, found.worst_place) == (7, 3, True)
    assert (found.mean, found.minimum, found.harmonic) == (85.0, 80.0, 84.709)
    assert (found.light_error, found.color_error, found.color_signal) == (2.346, 1.235, 8.0)
    single = _sample(0, 1, {0: 70.0}, Planes(0.0, 0.0, 0.0), is_worst=True)
    assert (single.mean, single.minimum, single.harmonic) == (70.0, 70.0, 70.0)


def test_a_frames_weight_is_its_bytes_and_a_key_frame_has_none() -> None:
    """However the listing is cut into pieces."""
    said = (
        b"#tb 0: 1/25\n0,          0,          0,        1,    900, 0x1\n"
        b"0,          1,          2,        1,     70, 0x2, F=0x0\n"
        b"0,          2,          1,        1,     30, 0x3, S=1, 8, F=0x0\n\n0, 1\n"
    )
    for cut in range(len(said)):
        rows = _Rows()
        rows.add(said[:cut])
        rows.add(said[cut:])
        assert rows.weights == [(0, 0), (2, 70), (1, 30)]


def test_each_plane_is_judged_by_what_its_filter_says_last() -> None:
    said = (
        "[psnr@error @ 0x1] [info] PSNR y:1 u:1 v:1 average:1\n"
        "[psnr@error @ 0x1] [info] PSNR y:48.130804 u:inf v:28.130804 average:30\n"
        "[psnr@signal @ 0x2] [info] PSNR y:18.130804 u:38.130804 v:48.130804 average:50\n"
    )
    found = Planes.told(said)
    assert found.light_error == pytest.approx(1)
    assert found.color_error == pytest.approx(100)
    assert found.color_signal == pytest.approx(11)
    with pytest.raises(ValueError, match="signal"):
        Planes.told(said.replace("@signal", "@other"))


def test_the_harmonic_mean_feels_one_bad_frame() -> None:
    assert harmonic_mean([90, 90, 90]) == pytest.approx(90)
    assert harmonic_mean([99, 99, 0]) < 3
    assert harmonic_mean([0]) == 0


@given(
    count=st.integers(1, 5000),
    length=st.integers(1, 60),
    spread=st.integers(1, 8),
    seed=st.integers(0, 99),
)
def test_samples_lie_within_the_file_and_one_is_the_worst(
    count: int, length: int, spread: int, seed: int
) -> None:
    weights = [(number * 7919 + seed) % 1000 for number in range(count)]
    places = sample_places(count, weights, length, spread)
    assert sum(is_worst for _, is_worst in places) == 1
    assert all(0 <= frame <= count - min(length, count) for frame, _ in places)
    assert len({frame for frame, _ in places}) == len(places)


def test_samples_reach_from_the_first_frame_to_the_last() -> None:
    """What goes wrong while an encoder begins, or is emptied, shows nowhere else."""
    weights = [1] * 1000
    weights[500:520] = [9] * 20
    assert [frame for frame, _ in sample_places(1000, weights, 20, 3)] == [0, 490, 500, 980]
    assert [frame for frame, _ in sample_places(1000, weights, 20, 1)] == [490, 500]


def test_the_worst_place_has_the_heaviest_frames() -> None:
    weights = [1] * 1000
    weights[600:620] = [50] * 20
    assert (600, True) in sample_places(1000, weights, 20, 3)


@pytest.mark.parametrize(("count", "samples"), [(99, 1), (100, 4)])
def test_a_file_hardly_longer_than_its_samples_has_its_worst_place_alone(
    count: int, samples: int
) -> None:
    weights = [1] * count
    weights[50:52] = [9, 9]
    assert len(sample_places(count, weights, 20, 3)) == samples


@pytest.mark.parametrize(("frames", "samples"), [(600, 1), (601, 4)])
def test_a_recording_as_long_as_long_ones_has_the_samples_of_a_long_one(
    frames: int, samples: int
) -> None:
    video = recording("a.mp4", frames).video
    assert video is not None
    assert _spread(video, QualitySettings(short_s=60, spread=4, short_spread=1)) == samples


def test_a_sample_is_cut_half_way_between_two_frames() -> None:
    video = recording("a.mp4", 10).video
    assert video is not None
    assert video.packets is not None
    times = (100, 140, 180, 181, 260)
    video = replace(video, packets=replace(video.packets, timestamps=times))
    assert _cut(video, 0, 5) == (100, 90, 270)  # a second before the first, and behind the last
    assert _cut(video, 1, 2) == (100, 120, 181)
    assert _cut(video, 3, 2) == (100, 181, 270)
    assert _cut(video, 4, 1) == (100, 221, 270)
    assert _cut(video, 2, 2) == (100, 160, 221)


def test_what_has_no_times_can_not_be_paired() -> None:
    ordinary = recording("a.mp4", 10)
    timeless = recording("a.mp4", 0)
    assert _video(ordinary) is ordinary.video
    for info in (timeless, replace(ordinary, video=None)):
        with pytest.raises(Refused) as refused:
            _video(info)
        assert refused.value.reason == "unverifiable"


def test_without_weights_the_middle_is_taken() -> None:
    assert (490, True) in sample_places(1000, (), 20, 3)


def test_long_recordings_are_all_measured_and_short_ones_by_their_share() -> None:
    settings = QualitySettings(short_s=60, short_share=0.1)
    assert all(is_measured(recording(f"{n}.mp4", 700), settings) for n in range(20))
    short = [is_measured(recording(f"{n}.mp4", 100), settings) for n in range(1000)]
    assert 60 <= sum(short) <= 140
    assert is_measured(recording("as long as that.mp4", 601), QualitySettings(short_share=0))
    assert not is_measured(recording("a frame less.mp4", 600), QualitySettings(short_share=0))
    assert short == [is_measured(recording(f"{n}.mp4", 100), settings) for n in range(1000)]


def test_what_saves_surprisingly_much_is_always_measured() -> None:
    none = QualitySettings(short_share=0)
    assert not is_measured(recording("a.mp4", 100), none, 89.9)
    assert is_measured(recording("a.mp4", 100), none, 90.0)


def test_all_or_no_short_recordings_may_be_measured() -> None:
    whole, none = QualitySettings(short_share=1), QualitySettings(short_share=0)
    assert all(is_measured(recording(f"{n}.mp4", 100), whole) for n in range(50))
    assert not any(is_measured(recording(f"{n}.mp4", 100), none) for n in range(50))


def test_both_decoders_and_vmaf_keep_to_the_threads_that_are_allowed() -> None:
    cut, base = (0, 1, 2), Fraction(1)
    sides = [_Side(path, "mp4", cut, base, color_is_full=False) for path in ("/copy", "/source")]
    words = vmaf_words(sides, 1, 3)
    inputs = [at for at, word in enumerate(words) if word == "-i"]
    at = [at for at, word in enumerate(words) if word == "-threads"]
    assert [words[one + 1] for one in at] == ["1", "1"]
    assert at[0] < inputs[0] < at[1] < inputs[1]
    assert "n_threads=1:" in words[words.index("-filter_complex") + 1]
    assert "-threads" not in vmaf_words(sides, None, 3)
