"""The nasty corpus on the real road: probe, suitability, boxes, encode, verify.

`pytest -s -k matrix` prints which check catches which damage.
"""

import functools
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.corpus import CASES, DAMAGED, TAKEN, Case
from support.proving import MEASURED, the_ffmpeg, tools

from watcher.errors import Refused, WatcherError
from watcher.transcode.command import Job
from watcher.transcode.compare import copied_streams
from watcher.transcode.damage import judge_lines
from watcher.transcode.decode import decode, decode_words
from watcher.transcode.encode import Encoded, encode
from watcher.transcode.encoders import Settings, ladder
from watcher.transcode.ffmpeg import encoder_options
from watcher.transcode.leash import Leash
from watcher.transcode.media import MediaInfo, suitability
from watcher.transcode.probe import Prober
from watcher.transcode.source import judge_source, walk_file
from watcher.transcode.user_data import ensure_carried
from watcher.transcode.verify import Report, verify_copy


@pytest.fixture(scope="module")
def prober() -> Iterator[Prober]:
    with Prober() as one:
        yield one


def encoded(info: MediaInfo, output: Path, *, tolerate: bool = False) -> Encoded:
    settings = Settings(preset="ultrafast", quality=28, max_threads=1, tolerate_damage=tolerate)
    job = Job(info, info.path, os.fspath(output), settings)
    return encode(the_ffmpeg(), ladder("libx265")[0], job, project=False)


def travelled(prober: Prober, path: Path, output: Path) -> Report:
    """Go the road from probe to proof."""
    info = prober.probe(os.fspath(path))
    suitability(info, {"h264"})
    assert info.video is not None
    ensure_carried("libx265", info.video, lambda: encoder_options(the_ffmpeg(), "libx265"))
    info = replace(info, sounds=judge_source(info, MEASURED, tools(prober)).sounds)
    made = encoded(info, output)
    return verify_copy(info, os.fspath(output), made, tools(prober), MEASURED)


def test_the_corpus_is_large_and_every_case_has_a_name_of_its_own() -> None:
    assert len(CASES) >= 100
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_verdict(case: Case, prober: Prober, tmp_path: Path) -> None:
    path = case.make(tmp_path)
    before = path.read_bytes() if path.is_file() else b""
    assert verdict(prober, path, tmp_path / ".output") == case.verdict
    assert (path.read_bytes() if path.is_file() else b"") == before


def verdict(prober: Prober, path: Path, output: Path) -> str:
    """Give how the road ends: `TAKEN` with a proof worth the name, or the reason."""
    try:
        report = travelled(prober, path, output)
    except Refused as refusal:
        return refusal.reason
    proven = report.vmaf is not None and report.max_timestamp_error_s < 0.001
    return TAKEN if proven else "not proven"


# ---- damage and checks --------------------------------------------------------------------------


class Evidence:
    """What each check sees of one file; what several of them need is made once."""

    def __init__(self, prober: Prober, path: Path, output: Path) -> None:
        self.prober, self.path, self.output = prober, path, output

    @functools.cached_property
    def info(self) -> MediaInfo:
        return self.prober.probe(os.fspath(self.path))

    @functools.cached_property
    def made(self) -> MediaInfo:
        """The copy that ffmpeg makes where nobody asks it to be strict."""
        encoded(self.info, self.output, tolerate=True)
        return self.prober.probe(os.fspath(self.output))

    def decodes_badly(self, info: MediaInfo, before: tuple[str, ...] = ()) -> bool:
        words = decode_words(info.path, info.container, before=before)
        seen = decode(the_ffmpeg().path, info.path, words, Leash())
        sound = [s.codec for s in copied_streams(info) if s.kind == "audio"]
        return bool(
            seen.exit_code or seen.format_changes or judge_lines(seen.lines, sound).of_source
        )


def by_suitability(seen: Evidence) -> bool:
    suitability(seen.info, {"h264"})
    return False


def by_counting(seen: Evidence) -> bool:
    packets = seen.info.video.packets if seen.info.video else None
    corrupt = sum(s.packets.corrupt for s in seen.info.streams if s.packets)
    return not packets or bool(packets.hidden or corrupt or not packets.first_is_key)


def by_strict_encode(seen: Evidence) -> bool:
    return bool(encoded(seen.info, seen.output.with_name(".strict")).source_errors)


def by_the_copy_alone(seen: Evidence) -> bool:
    """What is found by looking at the output only: it decodes, and lasts as long as it should."""
    lasts = abs((seen.made.duration_s or 0) - (seen.info.duration_s or 0)) < 0.1
    return not lasts or seen.decodes_badly(seen.made)


CHECKS: dict[str, Callable[[Evidence], bool]] = {
    "probe": lambda seen: bool(seen.info.complaints),
    "suitable": by_suitability,
    "counting": by_counting,
    "boxes": lambda seen: bool(walk_file(os.fspath(seen.path)).problems),
    "key frames": lambda seen: seen.decodes_badly(seen.info, ("-skip_frame", "nokey")),
    "decode": lambda seen: seen.decodes_badly(seen.info),
    "encode": by_strict_encode,
    # what others rely on, for comparison: the exit code, and the output by itself
    "exit code": lambda seen: seen.made.size_bytes == 0,
    "copy alone": by_the_copy_alone,
}
OURS = frozenset(CHECKS) - {"exit code", "copy alone"}


def caught(check: Callable[[Evidence], bool], seen: Evidence) -> bool:
    try:
        return check(seen)
    except (WatcherError, OSError):
        return True


@pytest.mark.timeout(900)  # 200 children at idle priority: 15 s alone, minutes on a busy machine
def test_matrix_of_damage_and_checks(prober: Prober, tmp_path: Path) -> None:
    """No single check is enough, and none is there for nothing; together they miss nothing."""
    rows: dict[str, list[str]] = {}
    for number, case in enumerate(case for case in DAMAGED if case.verdict != TAKEN):
        directory = tmp_path / str(number)
        directory.mkdir()
        seen = Evidence(prober, case.make(directory), directory / ".output")
        rows[case.name] = [name for name, check in CHECKS.items() if caught(check, seen)]
    print("\n" + table(rows))  # noqa: T201 - the table is what `-s` is for
    assert [name for name, found in rows.items() if not OURS & set(found)] == []
    for check in CHECKS:
        assert any(check not in found for found in rows.values()), f"{check} alone is enough?"
    for check in OURS:
        assert any(check in found for found in rows.values()), f"{check} finds nothing"


def table(rows: dict[str, list[str]]) -> str:
    """Draw the matrix."""
    wide = max(map(len, rows))
    head = f"{'damage':{wide}}  " + "  ".join(CHECKS)
    lines = [
        f"{name:{wide}}  "
        + "  ".join(f"{'x' if check in found else '.':^{len(check)}}" for check in CHECKS)
        for name, found in rows.items()
    ]
    return "\n".join([head, *lines])
