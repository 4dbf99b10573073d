"""`why FILE`: for each standing a sentence, and for each verdict what can be done."""

import json
from datetime import UTC, datetime

import pytest

from watcher.report.why import Standing, Why, render_why, why_json

WHEN_S = datetime(2024, 11, 12, 4, 23, 15, tzinfo=UTC).timestamp()


def said(**known: object) -> str:
    return render_why(Why("/cams/a.mp4", **known), UTC)  # type: ignore[arg-type] # values of any field


def test_a_file_that_is_too_young() -> None:
    assert said(
        standing=Standing.TOO_YOUNG,
        camera="cam1",
        size_bytes=1_500_000_000,
        mtime_s=WHEN_S,
        until_s=WHEN_S + 7 * 86_400,
    ) == (
        "/cams/a.mp4\n"
        "  camera: cam1\n"
        "  1.5 GB, written 2024-11-12 04:23:15\n"
        "  too young: a candidate from 2024-11-19 04:23:15\n"
    )


def test_a_candidate_says_its_place_and_its_night() -> None:
    assert said(
        standing=Standing.NEXT,
        position=1204,
        expected_at_s=WHEN_S,
        expected_work_s=200,
        held_by="the schedule window",
    ) == (
        "/cams/a.mp4\n"
        "  of age: number 1,204 in line\n"
        "  expected about 2024-11-12 04:23\n"
        "  expected to take 3 min 20 s\n"
        "  waits for: the schedule window\n"
    )
    assert "the next in line" in said(standing=Standing.NEXT, position=1)
    assert "not known before the first" in said(standing=Standing.NEXT, position=2)
    late = said(standing=Standing.NEXT, position=2, expected_work_s=200)
    assert "expected: not within a year" in late


def test_without_a_service_nothing_is_said_of_place_and_night_but_who_knows_them() -> None:
    text = said(standing=Standing.NEXT, service_runs=False)
    assert "  its place in line and its night: only a running service knows them\n" in text
    assert "a running service" not in said(standing=Standing.NEXT, position=1)


def test_a_refusal_says_why_with_what_and_what_to_do() -> None:
    assert said(
        standing=Standing.REFUSED,
        reason="savings_too_small",
        detail="saves 3.1 % where 10 % are wanted",
        decided_at_s=WHEN_S,
        decided_by='{"encoder":"hevc_qsv","quality":23,"rules":1,"preset":null,"codecs":["h264"],"x":true}',
    ) == (
        "/cams/a.mp4\n"
        "  refused: HEVC saves less than `min_space_savings` (savings_too_small)\n"
        "  saves 3.1 % where 10 % are wanted\n"
        "  decided 2024-11-12 04:23:15\n"
        "  decided with: encoder hevc_qsv, quality 23, codecs h264, x true\n"
        "  what can be done: a lower `min_space_savings` or a higher `quality` figure has it tried"
        " again\n"
    )


@pytest.mark.parametrize("ground", [None, "", "{}", "nonsense", "[1]", '{"rules":1}', "[" * 5000])
def test_a_verdict_that_rests_on_the_file_alone_names_no_settings(ground: str | None) -> None:
    text = said(standing=Standing.REFUSED, reason="interlaced", decided_by=ground)
    assert "decided with" not in text


def test_a_failure_says_how_often_and_when_next() -> None:
    text = said(standing=Standing.FAILED, reason="stalled", attempts=2, until_s=WHEN_S)
    assert "failed 2 times; next try from 2024-11-12 04:23:15" in text
    assert "failed once" in said(standing=Standing.FAILED, reason="stalled", attempts=1)
    text = said(standing=Standing.QUARANTINED, reason="stalled", attempts=3)
    assert "left alone until it changes or `watcher retry FILE`" in text


def test_a_path_under_no_camera_is_told_which_there_are() -> None:
    text = said(standing=Standing.NO_CAMERA, cameras={"cam1": "/srv/cam1", "cam2": "/srv/\udcff"})
    assert text.endswith("these are:\n    cam1: /srv/cam1\n    cam2: /srv/\\udcff\n")


def test_a_transcoded_one_says_how_long_it_can_be_restored() -> None:
    text = said(
        standing=Standing.TRANSCODED, decided_at_s=WHEN_S, saved_bytes=10**9, until_s=WHEN_S + 60
    )
    assert "transcoded 2024-11-12 04:23:15, 1.0 GB saved" in text
    assert "its original is kept until 2024-11-12 04:24:15: `watcher restore FILE`" in text


@pytest.mark.parametrize("standing", Standing)
def test_each_standing_has_an_answer_even_if_nothing_else_is_known(standing: Standing) -> None:
    for detail in (None, "some detail"):
        text = said(standing=standing, detail=detail)
        assert text.count("\n") >= 2
        assert "None" not in text.replace("(None)", "")


@pytest.mark.parametrize("standing", Standing)
def test_each_answer_has_a_json_form(standing: Standing) -> None:
    answer = Why("/\udcff", standing, reason="stalled", detail="\udcfe", until_s=WHEN_S)
    again = json.loads(json.dumps(why_json(answer), ensure_ascii=False).encode("utf-8"))
    assert again["state"] == standing.value
    assert again["path"] == "/\\udcff"
    assert again["until"] == "2024-11-12T04:23:15+00:00"


def test_without_a_service_it_says_so() -> None:
    assert "no service has answered" in said(standing=Standing.NEXT, service_runs=False)


def test_a_name_cannot_act_upon_the_terminal() -> None:
    answer = Why("/\x1b]0;x\x07\n", Standing.FAILED, reason="x", detail="\x1b[31m")
    assert "\x1b" not in render_why(answer, UTC)
