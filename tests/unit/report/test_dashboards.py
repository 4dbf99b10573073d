"""What stands in etc/ for Loki, Alloy and Grafana is held to what Watcher writes and sends."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.logql import LogQLError, Pipeline, parse

from watcher.events import CATALOGUE, COMMON_FIELDS, EventKind
from watcher.report import push
from watcher.report.clean import MAX_LINE_BYTES
from watcher.segments.changes import LIMITS

ETC = Path(__file__).parents[3] / "etc"
DASHBOARD = json.loads((ETC / "grafana/watcher.json").read_text(encoding="utf-8"))
RULES = yaml.safe_load((ETC / "loki/rules.yaml").read_text(encoding="utf-8"))
LOKI = yaml.safe_load((ETC / "loki/loki.yaml").read_text(encoding="utf-8"))
ALLOY = (ETC / "alloy/config.alloy").read_text(encoding="utf-8")

LABELS = {"service_name", "host"}
METADATA = {"camera", "level", "job"}
EVERY_LINE = {"ts", "level", "event"}


def panels() -> Iterator[dict[str, Any]]:
    for panel in DASHBOARD["panels"]:
        yield panel
        yield from panel.get("panels", [])


def panel_queries() -> list[tuple[str, str]]:
    return [
        (f"{panel['title']} {target['refId']}", target["expr"])
        for panel in panels()
        for target in panel.get("targets", [])
    ]


def alerts() -> list[dict[str, Any]]:
    return [rule for group in RULES["groups"] for rule in group["rules"]]


QUERIES = panel_queries() + [(rule["alert"], rule["expr"]) for rule in alerts()]


def concrete(query: str) -> str:
    """Put values for Grafana's own variables of time."""
    return re.sub(r"\$__(interval|range|auto)", "5m", query)


def kinds(pipeline: Pipeline) -> list[EventKind]:
    return [CATALOGUE[name] for name in pipeline.events()]


def problems(query: str) -> list[str]:
    """Say everything that is wrong with *query*."""
    try:
        read = parse(concrete(query))
    except LogQLError as error:
        return [str(error)]
    found: list[str] = []
    labels: set[str] = set(LABELS | METADATA)
    for pipeline in read.pipelines:
        unknown = pipeline.events() - CATALOGUE.keys()
        if unknown:
            found.append(f"no such events: {sorted(unknown)}")
            continue
        found += pipeline_problems(pipeline)
        labels |= pipeline.extracted.keys() | pipeline.formatted
    return found + [f"grouped by {name}" for name in read.grouped_by if name not in labels]


def pipeline_problems(pipeline: Pipeline) -> Iterator[str]:
    if pipeline.matchers.keys() - LABELS or pipeline.matchers.get("service_name") != "watcher":
        yield f"no selector of ours: {pipeline.matchers}"
    told = kinds(pipeline)
    every = set().union(*(kind.fields for kind in told or CATALOGUE.values()))
    for field in {*pipeline.extracted.values()} - every - COMMON_FIELDS - EVERY_LINE:
        yield f"no such field: {field}"
    known = pipeline.extracted.keys() | pipeline.formatted | LABELS | METADATA
    words = {word for text in pipeline.templates for word in re.findall(r"\.([a-z_]+)", text)}
    for word in ({label for label, _, _ in pipeline.filters} | words) - known:
        yield f"uses {word}, which is not taken from the line"
    if pipeline.unwrap is not None:
        yield from unwrap_problems(pipeline, pipeline.unwrap, told)


def unwrap_problems(pipeline: Pipeline, label: str, told: list[EventKind]) -> Iterator[str]:
    field = pipeline.extracted.get(label)
    if field is None and label not in pipeline.formatted:
        yield f"unwraps {label}, which is not taken from the line"
    if field is not None and not all(field in kind.fields for kind in told):
        yield f"unwraps {field}, which not every one of its events has"
    if not pipeline.guarded:
        yield "a value that is no number would fail the whole query"


@pytest.mark.parametrize(("where", "query"), QUERIES, ids=[name for name, _ in QUERIES])
def test_every_query_parses_and_leans_on_what_exists(where: str, query: str) -> None:
    assert problems(query) == [], where


@pytest.mark.parametrize(
    "query",
    [
        '{service_name="watcher"} | json event="event" | event="transcode_done"',
        '{service_name="watcher", unit="x"} | json event="event" | event="halted"',
        '{host="a"} | json event="event" | event="halted"',
        '{service_name="watcher"} | json event="event", size="bytes" | event="segment_closed"',
        '{service_name="watcher"} | json event="event" | event="halted" | reason="disk"',
        '{service_name="watcher"} | json event="event" | event="halted" | line_format `{{.why}}`',
        'sum by (why) (count_over_time({service_name="watcher"} [1d]))',
        'sum_over_time({service_name="watcher"} | unwrap files [1d])',
        (
            'sum_over_time({service_name="watcher"} | json event="event", f="files"'
            ' | event="halted" | unwrap f | __error__="" [1d])'
        ),
        (
            'sum_over_time({service_name="watcher"} | json event="event", f="files"'
            ' | event="night_summary" | unwrap f [1d])'
        ),
        (
            'sum_over_time({service_name="watcher"} | json event="event", f="files"'
            ' | event=~"night_summary|halted" | unwrap f | __error__="" [1d])'
        ),
        'count_over_time({service_name="watcher"} [1d]',
        'count_over_time({service_name="watcher"})',
        'count_over_time({service_name="watcher"} [1d]) by (host)',
        'sum_over_time({service_name="watcher"} [1d])',
        '{service_name="watcher"} | jason',
        '{service_name="watcher} | json',
        'sum(count_over_time({service_name="watcher"} [1d])) > ',
    ],
)
def test_a_wrong_query_is_found(query: str) -> None:
    assert problems(query)


def test_no_panel_covers_another_and_each_has_a_number_of_its_own() -> None:
    seen: set[tuple[int, int]] = set()
    for panel in panels():
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert at["x"] + at["w"] <= 24
        assert not cells & seen, panel["title"]
        seen |= cells
    ids = [panel["id"] for panel in panels()]
    assert len(set(ids)) == len(ids)


def test_the_dashboard_shows_what_the_issue_asks_for() -> None:
    """By what the panels draw on: saved, timeline, backlog, speed, quality, faults, originals."""
    text = json.dumps(DASHBOARD)
    for word in (
        "savings_bytes", "transcode_paused", "backlog_bytes", "nights_to_clear", "speed", "vmaf",
        "transcode_failed", "transcode_rejected", "recorder_unhealthy", "originals_bytes",
        "original_deleted", "free_bytes", "$host", "$camera",
    ):  # fmt: skip
        assert word in text, word


def test_every_alert_says_what_to_do() -> None:
    names = [rule["alert"] for rule in alerts()]
    assert len(set(names)) == len(names)
    for rule in alerts():
        assert set(rule["annotations"]) == {"summary", "action"}
        assert len(rule["annotations"]["action"]) > 60
        assert rule["labels"]["severity"] in {"page", "ticket", "info"}
        named = set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"])))
        assert named <= set(parse(rule["expr"]).grouped_by), rule["alert"]


def test_a_limit_that_is_said_once_is_alerted_of_at_once() -> None:
    (rule,) = [one for one in alerts() if one["alert"] == "WatcherEventsLost"]
    (causes,) = re.findall(r'cause=~"([^"]+)"', rule["expr"])
    assert set(causes.split("|")) == {
        *LIMITS, "remote_file_system", "same_directory", "root_absent", "unmounted", "permission",
        "unreadable", "silent",
    }  # fmt: skip


def test_words_of_ours_in_the_alerts_texts_exist() -> None:
    for rule in alerts():
        for word in re.findall(r"`([a-z]+(?:_[a-z]+)+)`", json.dumps(rule["annotations"])):
            assert word in CATALOGUE, word


def seconds(text: str) -> int:
    return int(text[:-1]) * {"s": 1, "m": 60, "h": 3600}[text[-1]]


def test_the_pusher_keeps_the_limits_of_our_loki() -> None:
    limits = LOKI["limits_config"]
    assert seconds(limits["reject_old_samples_max_age"]) > push.OLDEST_NS / 1e9
    assert seconds(limits["creation_grace_period"]) > push.AHEAD_NS / 1e9
    assert seconds(LOKI["ingester"]["max_chunk_age"]) / 2 > push.BEHIND_NS / 1e9
    assert limits["max_label_names_per_series"] == push.MOST_LABELS
    assert limits["max_line_size"] == "256KB"
    assert MAX_LINE_BYTES < push.MOST_LINE_BYTES <= 256 * 1024


def test_our_loki_forgets_and_takes_structured_metadata() -> None:
    assert LOKI["compactor"]["retention_enabled"] is True
    assert LOKI["compactor"]["delete_request_store"] == "filesystem"
    assert seconds(LOKI["limits_config"]["retention_period"]) >= 365 * 86_400
    assert LOKI["limits_config"]["allow_structured_metadata"] is True
    assert LOKI["schema_config"]["configs"][-1]["schema"] == "v13"
    assert LOKI["ruler"]["storage"]["local"]["directory"] == "/etc/loki/rules"


def test_grafana_finds_its_source_and_its_dashboard() -> None:
    provisioning = ETC / "grafana/provisioning"
    source = yaml.safe_load((provisioning / "datasources/loki.yaml").read_text(encoding="utf-8"))
    assert source["datasources"][0]["type"] == "loki"
    boards = yaml.safe_load((provisioning / "dashboards/watcher.yaml").read_text(encoding="utf-8"))
    assert boards["providers"][0]["type"] == "file"
    variables = {one["name"] for one in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z]\w*)\}?", json.dumps(DASHBOARD["panels"])))
    assert used <= variables


def blocks(text: str) -> list[tuple[str, str]]:
    """Give the top-level blocks of an Alloy file as (head, body); they must be well formed."""
    plain = re.sub(r"^\s*//.*$|(?<=\s)//.*$", "", text, flags=re.MULTILINE)
    found: list[tuple[str, str]] = []
    depth, start, head = 0, 0, ""
    for at, sign in enumerate(re.sub(r'"[^"\n]*"', lambda m: "_" * len(m[0]), plain)):
        if sign == "{":
            if depth == 0:
                head, start = plain[start:at].strip(), at + 1
            depth += 1
        elif sign == "}":
            depth -= 1
            assert depth >= 0
            if depth == 0:
                found.append((head, plain[start:at]))
                start = at + 1
    assert depth == 0
    return found


def test_every_component_of_alloy_hands_on_to_one_that_exists() -> None:
    heads = dict(blocks(ALLOY))
    names = {head.replace('"', "").replace(" ", ".") for head in heads}
    for body in heads.values():
        for target in re.findall(r"=\s*\[?((?:loki|local)\.[\w.]+)\.(?:receiver|targets)", body):
            assert target in names


def pairs(text: str) -> dict[str, str]:
    return dict(re.findall(r'"(\w+)"\s*=\s*"?([\w.]*)"?', text))


def last_stages() -> dict[str, str]:
    """Give each stage's body; what stands before a stage's head on its lines is no part of it."""
    body = dict(blocks(ALLOY))['loki.process "watcher"']
    return {head.split()[-1]: inner for head, inner in blocks(body)}


def test_alloy_makes_the_same_stream_as_the_pusher() -> None:
    stages = last_stages()
    extracted = pairs(stages["stage.json"])
    fields = {name: field or name for name, field in extracted.items()}
    assert set(fields.values()) <= EVERY_LINE | COMMON_FIELDS
    metadata = pairs(stages["stage.structured_metadata"])
    assert {name: fields[source or name] for name, source in metadata.items()} == {
        "level": "level",
        "camera": "camera",
        "job": "job",
    }
    labels = pairs(stages["stage.static_labels"])
    assert labels == {"service_name": "watcher", "host": "constants.hostname"}
    assert set(re.findall(r'"(\w+)"', stages["stage.label_keep"])) == LABELS
    assert push.labels_of(push.LokiSettings("http://x", host="h")).keys() == LABELS
    assert re.search(r'source\s*=\s*"ts"', stages["stage.timestamp"])
    assert "RFC3339Nano" in stages["stage.timestamp"]


def test_alloy_tries_for_ever() -> None:
    assert re.search(r"max_backoff_retries\s*=\s*0\b", ALLOY)
    assert re.search(r"wal\s*{\s*enabled\s*=\s*true", ALLOY)
