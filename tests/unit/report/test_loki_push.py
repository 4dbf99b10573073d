"""Whatever is put in, a request to Loki keeps Loki's limits."""

import gzip
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.loki_server import Limits

from watcher.report.push import (
    MOST_LABELS,
    LokiSettings,
    Meaning,
    body,
    expired,
    labels_of,
    meaning_of,
    stamps,
)
from watcher.report.spool import Entry

HOUR_NS = 3600 * 10**9
NOW_NS = 1_800_000_000 * 10**9
ANY = st.characters()  # surrogates too
AROUND = st.integers(-9 * 24 * HOUR_NS, 9 * 24 * HOUR_NS) | st.integers(-5, 5)


@given(
    st.lists(st.tuples(AROUND, st.text(max_size=5)), min_size=1, max_size=30),
    st.integers(-9 * 24 * HOUR_NS, HOUR_NS // 10),
)
def test_no_entry_is_sent_that_loki_would_refuse_for_its_time(
    told: list[tuple[int, str]], highest: int
) -> None:
    """The clock may have been set to anything between the lines, and before the first of them."""
    limits = Limits(now_ns=lambda: NOW_NS, highest_ns=NOW_NS + highest)
    entries = [Entry(NOW_NS + offset, text, {}) for offset, text in told]
    sent: list[int] = []
    while entries:
        given_ns = stamps(entries, NOW_NS, limits.highest_ns)
        assert 1 <= len(given_ns) <= len(entries)
        assert all(a < b for a, b in itertools.pairwise(given_ns))
        for ts_ns, entry in zip(given_ns, entries, strict=False):
            assert limits.problem({}, ts_ns, entry.text) is None
        entries = entries[len(given_ns) :]
        sent += given_ns
    assert len(sent) == len(told)


@given(st.lists(st.integers(0, 50 * 60 * 10**9), min_size=1, max_size=30))
def test_within_the_window_order_is_kept_and_true_times_are_sent(offsets: list[int]) -> None:
    ordered = sorted(set(offsets))
    entries = [Entry(NOW_NS - HOUR_NS + offset, "x", {}) for offset in ordered]
    assert stamps(entries, NOW_NS, 0) == [entry.ts_ns for entry in entries]


def test_the_same_lines_are_sent_again_with_the_same_times() -> None:
    """Loki drops exact duplicates: sending again after a lost answer must be one."""
    entries = [Entry(NOW_NS - offset, "x", {}) for offset in (5, 5, 4, 4, 9)]
    first = stamps(entries, NOW_NS, NOW_NS - 3)
    assert stamps(entries, NOW_NS + 60 * 10**9, NOW_NS - 3) == first


@given(
    st.dictionaries(st.text(max_size=30), st.text(ANY, max_size=3000), max_size=40),
    st.text(ANY, max_size=300),
)
def test_there_are_never_more_labels_than_loki_takes(labels: dict[str, str], host: str) -> None:
    given_labels = labels_of(LokiSettings("http://x", labels=labels, host=host))
    assert len(given_labels) <= MOST_LABELS
    assert {"service_name", "host"} <= given_labels.keys()
    body(given_labels, [])
    assert all(name.isascii() and name.isidentifier() for name in given_labels)
    assert all(0 < len(value.encode()) <= 2048 for value in given_labels.values())


@given(st.text(max_size=50), st.integers(0, 90_000))
def test_no_line_is_longer_than_loki_takes(word: str, times: int) -> None:
    entry = Entry(1, word * times, {"camera": "c"})
    sent = json.loads(gzip.decompress(body({"a": "b"}, [(1, entry)])))
    (stream,) = sent["streams"]
    ((ts, line, metadata),) = stream["values"]
    assert (ts, metadata, stream["stream"]) == ("1", {"camera": "c"}, {"a": "b"})
    assert len(line.encode()) <= 256 * 1024
    assert line == entry.text or len(entry.text.encode()) > 256 * 1024 - 4


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (204, Meaning.TAKEN),
        (200, Meaning.TAKEN),
        (400, Meaning.REFUSED),
        (413, Meaning.TOO_LARGE),
        (408, Meaning.LATER),
        (429, Meaning.LATER),
        (500, Meaning.LATER),
        (503, Meaning.LATER),
        (401, Meaning.MISCONFIGURED),
        (403, Meaning.MISCONFIGURED),
        (404, Meaning.MISCONFIGURED),
        (301, Meaning.MISCONFIGURED),
    ],
)
def test_what_an_answer_means(status: int, meaning: Meaning) -> None:
    assert meaning_of(status) is meaning


@given(st.integers(100, 999))
def test_every_status_means_something_and_only_two_refuse(status: int) -> None:
    assert (meaning_of(status) is Meaning.REFUSED) == (status in {400, 422})


def test_a_week_is_too_old() -> None:
    assert expired(Entry(NOW_NS - 7 * 24 * HOUR_NS, "x", {}), NOW_NS)
    assert not expired(Entry(NOW_NS - 6 * 24 * HOUR_NS, "x", {}), NOW_NS)
