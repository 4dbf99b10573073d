"""Every reason that the code knows has its sentence; and the table has no reason too many."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import watcher
from watcher.ledger.fingerprint import GROUNDS
from watcher.ledger.verdicts import CIRCUMSTANCES, CONDITIONS, OF_THE_NIGHT
from watcher.replace import steps
from watcher.report.reasons import REASONS, meaning
from watcher.transcode import diagnosis, encode, source

RAISED = {"Refused", "Retryable", "Halt", "Difference", "_WorkerLostError", "RefusedHereError"}
HOUSE = Path(watcher.__file__).parent


def raised() -> dict[str, str]:
    """Reason → where it is raised, read from every call with a literal reason."""
    found: dict[str, str] = {}
    for file in sorted(HOUSE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args and _name(node.func) in RAISED:
                for reason in _literals(node.args[0]):
                    found[reason] = f"{file.relative_to(HOUSE)}:{node.lineno}"
    return found


def _name(called: ast.expr) -> str:
    if isinstance(called, ast.Attribute):
        return called.attr
    return called.id if isinstance(called, ast.Name) else ""


def _literals(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _literals(node.body)
        yield from _literals(node.orelse)


def looked_up() -> set[str]:
    """What is raised by way of a table."""
    return {
        *source.REASONS.values(),
        *encode._HALTS.values(),
        *(reason for reason, _ in steps._HALTS.values()),
        *(kind.value for kind in diagnosis.Kind),
        "encoder_failed",
        "device_failed",
        "gone",
        "restored",
        "retention_first",
        *OF_THE_NIGHT,
    }


def test_each_reason_has_its_sentence() -> None:
    found = raised()
    assert len(found) > 30
    missing = {reason: where for reason, where in found.items() if reason not in REASONS}
    assert not missing
    assert looked_up() <= set(REASONS)


def test_each_reason_that_the_ledger_knows_has_its_sentence_too() -> None:
    assert set(GROUNDS) | CONDITIONS | CIRCUMSTANCES <= set(REASONS)


def test_no_row_is_left_of_a_reason_that_nobody_gives() -> None:
    assert set(REASONS) - set(raised()) - looked_up() == set()
    assert set(GROUNDS) | CONDITIONS | CIRCUMSTANCES <= set(raised()) | looked_up()


@pytest.mark.parametrize("reason", REASONS)
def test_a_sentence_reads_as_one(reason: str) -> None:
    known = REASONS[reason]
    assert known.sentence
    assert not known.sentence.endswith(".")
    assert len(known.sentence) < 70
    assert known.remedy is None or not known.remedy.endswith(".")


def test_a_reason_of_another_version_speaks_for_itself() -> None:
    assert meaning("moon_too_full").sentence == "moon too full"
