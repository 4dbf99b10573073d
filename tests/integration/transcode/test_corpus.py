"""The nasty corpus on the real road: probe, suitability, boxes, encode, verify.

`pytest -s -k matrix` prints which check catches which damage.
"""

import os
from collections.abc import Callable, Iterator
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
from watcher.transcode.leash import Leash
from watcher.transcode.media import MediaInfo, suitability
from watcher.transcode.probe import Prober
from watcher.transcode.source import judge_source, walk_file
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
    judge_source(info, MEASURED, tools(prober))
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

Check = Callable[[Prober, Path, Path], bool]


def by_probe(prober: Prober, path: Path, _output: Path) -> bool:
    return bool(prober.probe(os.fspath(path)).complaints)


def by_suitability(prober: Prober, path: Path, _output: Path) -> bool:
    suitability(prober.probe(os.fspath(path)), {"h264"})
    return False


def by_counting(prober: Prober, path: Path, _output: Path) -> bool:
    info = prober.probe(os.fspath(path))
    packets = info.video.packets if info.video else None
    corrupt = sum(s.packets.corrupt for s in info.streams if s.packets)
    return not packets or bool(packets.hidden or corrupt or not packets.first_is_key)


def by_boxes(_prober: Prober, path: Path, _output: Path) -> bool:
    return bool(walk_file(os.fspath(path)).problems)


def by_key_frames(prober: Prober, path: Path, _output: Path) -> bool:
    return _decodes_badly(prober, path, before=["-skip_frame", "nokey"])


def by_decoding(prober: Prober, path: Path, _output: Path) -> bool:
    return _decodes_badly(prober, path)


def _decodes_badly(prober: Prober, path: Path, before: tuple[str, ...] | list[str] = ()) -> bool:
    info = prober.probe(os.fspath(path))
    words = decode_words(info.path, info.container, before=before)
    seen = decode(the_ffmpeg().path, info.path, words, Leash())
    sound = [s.codec for s in copied_streams(info) if s.kind == "audio"]
    damage = judge_lines(seen.lines, sound)
    return bool(seen.exit_code or seen.format_changes or damage.of_source)


def by_exit_code(prober: Prober, path: Path, output: Path) -> bool:
    """What a transcoder finds that trusts ffmpeg's exit code, as most do."""
    encoded(prober.probe(os.fspath(path)), output, tolerate=True)
    return False


def by_strict_encode(prober: Prober, path: Path, output: Path) -> bool:
    return bool(encoded(prober.probe(os.fspath(path)), output).source_errors)


def by_the_copy_alone(prober: Prober, path: Path, output: Path) -> bool:
    """What is found by looking at the output only: it decodes, and lasts as long as it should."""
    info = prober.probe(os.fspath(path))
    encoded(info, output, tolerate=True)
    made = prober.probe(os.fspath(output))
    lasts = abs((made.duration_s or 0) - (info.duration_s or 0)) < 0.1
    return not lasts or _decodes_badly(prober, output)


CHECKS: dict[str, Check] = {
    "probe": by_probe,
    "suitable": by_suitability,
    "counting": by_counting,
    "boxes": by_boxes,
    "key frames": by_key_frames,
    "decode": by_decoding,
    "exit code": by_exit_code,
    "encode": by_strict_encode,
    "copy alone": by_the_copy_alone,
}


def caught(check: Check, prober: Prober, path: Path, output: Path) -> bool:
    try:
        return check(prober, path, output)
    except (WatcherError, OSError):
        return True
    finally:
        output.unlink(missing_ok=True)


def test_matrix_of_damage_and_checks(prober: Prober, tmp_path: Path) -> None:
    """No single check is enough, and none is there for nothing; together they miss nothing."""
    cases = [case for case in DAMAGED if case.verdict != TAKEN]
    rows: dict[str, list[str]] = {}
    for number, case in enumerate(cases):
        directory = tmp_path / str(number)
        directory.mkdir()
        path = case.make(directory)
        output = directory / ".output"
        rows[case.name] = [
            name for name, check in CHECKS.items() if caught(check, prober, path, output)
        ]
    print("\n" + table(rows))  # noqa: T201 - the table is what `-s` is for
    ours = set(CHECKS) - {"exit code", "copy alone"}
    assert [name for name, found in rows.items() if not ours & set(found)] == []
    for check in CHECKS:
        assert any(check not in found for found in rows.values()), f"{check} alone is enough?"
    for check in ("boxes", "decode", "counting"):
        assert any(check in found for found in rows.values())


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
