"""Whatever is logged comes out as one line of JSON that a log can carry."""

import dataclasses
import enum
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.report.clean import MAX_LINE_BYTES, encode, text

SURROGATES = st.text(st.characters(min_codepoint=0xDC80, max_codepoint=0xDFFF), max_size=5)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**80), max_value=2**80)
    | st.floats()
    | st.text(max_size=20)
    | SURROGATES
    | st.binary(max_size=20)
    | st.just(b"x" * 70_000)
    | st.just("\x00" * 30_000)
)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=5) | st.integers() | SURROGATES, inner, max_size=4)
        | st.sets(st.integers(), max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=8) | SURROGATES, ANYTHING, max_size=8))
def test_anything_becomes_one_bounded_line_of_json(fields: dict[str, object]) -> None:
    line = encode({"ts": "t", "level": "info", "event": "log", **fields})
    assert len(line) <= MAX_LINE_BYTES
    assert b"\n" not in line
    assert "event" in json.loads(line.decode("utf-8"))


@given(ANYTHING, st.integers(min_value=2, max_value=100))
def test_text_is_encodable_and_bounded(value: object, limit: int) -> None:
    shown = text(value, limit)
    shown.encode()
    assert len(shown) <= 6 * (limit + 40)


def test_a_name_that_is_not_utf8_keeps_its_bytes_readable() -> None:
    line = json.loads(encode({"path": "/srv/cam\udcff/a\n.mp4"}))
    assert line == {"path": "/srv/cam\\xff/a\n.mp4"}


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (2**64, str(2**64)),
        (2**63, 2**63),
        (-(2**63) - 1, str(-(2**63) - 1)),
        (float("nan"), None),
        (b"\xffa", "\\xffa"),
        (Path("/a/b"), "/a/b"),
        ({1: 2}, {"1": 2}),
        (ValueError("no"), "ValueError: no"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_json_does_not_know(value: object, told: object) -> None:
    assert json.loads(encode({"v": value}))["v"] == told


def test_a_cycle_and_a_hostile_value_do_not_raise() -> None:
    class Hostile:
        def __repr__(self) -> str:
            raise RuntimeError

    cycle: list[object] = []
    cycle.append(cycle)
    line = json.loads(encode({"cycle": cycle, "hostile": Hostile()}))
    assert line["hostile"] == "<Hostile that cannot be shown>"


def test_values_with_a_shape_of_their_own_keep_it_beside_a_bad_neighbour() -> None:
    @dataclasses.dataclass
    class Pair:
        left: int
        right: str

    class Kind(enum.Enum):
        ONE = "one"

    line = json.loads(encode({"pair": Pair(1, "\udc80"), "kind": Kind.ONE, "set": frozenset({1})}))
    assert line == {"pair": {"left": 1, "right": "\\x80"}, "kind": "one", "set": [1]}


def test_a_long_text_keeps_its_beginning_and_its_end() -> None:
    line = json.loads(encode({"stderr_tail": "begin" + "x" * 60_000 + "the error"}))
    assert line["stderr_tail"].startswith("begin")
    assert line["stderr_tail"].endswith("the error")
    assert "characters cut" in line["stderr_tail"]


def test_thousands_of_fields_still_make_a_line() -> None:
    line = json.loads(encode({"event": "log", **{f"k{n}": "\x00" * 200 for n in range(5000)}}))
    assert line["event"] == "log"
