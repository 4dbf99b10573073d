"""The progress parser understands ffmpeg, and bears everything else."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from watcher.transcode.progress import Progress, ProgressParser

REPORT = b"""frame=50
fps=24.50
stream_0_0_q=29.0
bitrate=N/A
total_size=42908
out_time_us=2000000
out_time_ms=2000000
out_time=00:00:02.000000
dup_frames=0
drop_frames=0
speed=28.6x
progress=continue
"""


def test_a_report_becomes_a_value() -> None:
    assert ProgressParser().feed(REPORT) == [
        Progress(frame=50, fps=24.5, size_bytes=42908, time_s=2.0)
    ]


def test_the_last_report_says_so() -> None:
    assert ProgressParser().feed(b"progress=end\n")[0].done


def test_what_ffmpeg_does_not_know_is_none() -> None:
    (report,) = ProgressParser().feed(b"total_size=N/A\nout_time_us=N/A\nfps=nan\nprogress=end\n")
    assert report == Progress(done=True)


@given(st.lists(st.integers(0, len(REPORT) * 2), max_size=8))
def test_it_does_not_matter_where_the_stream_is_cut(cuts: list[int]) -> None:
    stream = REPORT * 2
    edges = [0, *sorted(cuts), len(stream)]
    parser = ProgressParser()
    whole = [r for a, b in itertools.pairwise(edges) for r in parser.feed(stream[a:b])]
    assert whole == ProgressParser().feed(stream)


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_no_bytes_make_it_raise(chunks: list[bytes]) -> None:
    parser = ProgressParser()
    for chunk in chunks:
        for report in parser.feed(chunk):
            assert isinstance(report, Progress)


LINE = st.sampled_from([b"frame", b"fps", b"total_size", b"out_time_us", b"progress"])


@given(st.lists(st.tuples(LINE, st.binary(max_size=30)), max_size=30))
def test_no_value_makes_it_raise(lines: list[tuple[bytes, bytes]]) -> None:
    parser = ProgressParser()
    for report in parser.feed(b"".join(key + b"=" + value + b"\n" for key, value in lines)):
        assert report.frame is None or report.frame >= 0
        assert report.size_bytes is None or report.size_bytes >= 0
        assert report.fps is None or report.fps >= 0


def test_a_line_without_end_is_not_kept() -> None:
    parser = ProgressParser()
    for _ in range(100):
        parser.feed(b"x" * 1000)
    assert len(parser._rest) <= 5096
    assert parser.feed(b"\nframe=3\nprogress=end\n") == [Progress(frame=3, done=True)]
