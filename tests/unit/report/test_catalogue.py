"""Every log call is held to the catalogue, and the catalogue to the log calls and to EVENTS.md."""

import ast
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from watcher import errors
from watcher.events import CATALOGUE, COMMON_FIELDS, as_markdown

PACKAGE = Path(__file__).parents[3] / "watcher"
MODULES = {
    str(path.relative_to(PACKAGE)): ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted(PACKAGE.rglob("*.py"))
}
WORD = re.compile(r"[a-z]+(_[a-z]+)*")


@dataclass(frozen=True)
class Call:
    """A call with an event's name in it, or one to an `emit` whose event is not written there."""

    where: str
    event: str | None
    fields: frozenset[str]
    words: frozenset[str]
    """Every text in the call, or in its function where fields are spread: they may be names."""


def is_emit(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else None
    name = call.func.id if isinstance(call.func, ast.Name) else name
    return name is not None and name.lstrip("_") == "emit"


def is_error(call: ast.Call) -> bool:
    """Say whether *call* makes an error: some reasons are called like the event that tells them."""
    return isinstance(call.func, ast.Name) and call.func.id in {*vars(errors)}


def constants(node: ast.expr) -> set[str]:
    """Give the texts that *node* may be: itself, or either side of a conditional."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return {node.value}
    if isinstance(node, ast.IfExp):
        return constants(node.body) | constants(node.orelse)
    return set()


def assigned(function: ast.AST, name: str) -> set[str]:
    """Give the texts that *name* is given in *function*."""
    found: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == name for target in node.targets
        ):
            found |= constants(node.value)
    return found


def inner(node: ast.AST, function: ast.FunctionDef) -> Iterator[tuple[ast.FunctionDef, ast.Call]]:
    """Give every call below *node* with the innermost function that it stands in."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Call):
            yield function, child
        yield from inner(child, child if isinstance(child, ast.FunctionDef) else function)


def events_of(call: ast.Call, function: ast.FunctionDef) -> set[str | None]:
    """Give the events that *call* may tell; None for one that can't be read from the code."""
    if not is_emit(call):
        named = {text for arg in call.args for text in constants(arg)}
        return set() if is_error(call) else {*named & CATALOGUE.keys()}
    first = call.args[0]
    if not isinstance(first, ast.Name):
        return {*constants(first)} or {None}
    parameters = {each.arg for each in function.args.posonlyargs + function.args.args}
    told = assigned(function, first.id)
    if not told and first.id in parameters:
        return set()  # a wrapper: its callers are looked at instead
    return {*told} or {None}


def texts(node: ast.AST) -> Iterator[str]:
    for each in ast.walk(node):
        if isinstance(each, ast.Constant) and isinstance(each.value, str):
            yield each.value


def calls(modules: Mapping[str, ast.Module]) -> Iterator[Call]:
    for module, tree in modules.items():
        nowhere = ast.parse("def nowhere(): pass").body[0]
        assert isinstance(nowhere, ast.FunctionDef)
        for function, node in inner(tree, nowhere):
            if node.args:
                fields = frozenset(word.arg for word in node.keywords if word.arg)
                spread = any(word.arg is None for word in node.keywords)
                words = frozenset(texts(function if spread else node))
                for event in events_of(node, function):
                    yield Call(f"{module}:{node.lineno}", event, fields, words)


CALLS = sorted(
    (call for call in set(calls(MODULES)) if not call.where.startswith("events.py")),
    key=lambda call: (call.where, call.event or ""),
)


TEXTS = {text for module, tree in MODULES.items() if module != "events.py" for text in texts(tree)}


def test_the_reader_of_calls_finds_them() -> None:
    assert len(CALLS) > 40


def problem(call: Call) -> str | None:
    """Say what the catalogue has against *call*."""
    if call.event is None:
        return "an event whose name can't be read from the code"
    if call.event not in CATALOGUE:
        return "no such event"
    unknown = call.fields - CATALOGUE[call.event].fields - COMMON_FIELDS
    return f"unknown fields: {sorted(unknown)}" if unknown else None


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.where} {call.event}")
def test_every_call_names_an_event_and_fields_of_the_catalogue(call: Call) -> None:
    assert problem(call) is None


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("emit('segment_closed', size_bytes=1)", None),
        ("emit('segment_shut')", "no such event"),
        ("self._emit('segment_closed', bytes=1)", "unknown fields: ['bytes']"),
        ("shop.emit(names[0])", "an event whose name can't be read from the code"),
        ("tell(emit, 'segment_closed', bytes=1)", "unknown fields: ['bytes']"),
        ("partial(self.emit, 'segment_closed', bytes=1)", "unknown fields: ['bytes']"),
        ("e = 'segment_closed' if x else 'shut'\n  emit(e)", "no such event"),
        ("self._tell('segment_closed', camera='c')", None),
    ],
)
def test_a_wrong_call_is_found(code: str, found: str | None) -> None:
    tree = ast.parse(f"def f(self):\n  {code}")
    assert found in {problem(call) for call in calls({"snippet.py": tree})}


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_every_event_is_emitted_somewhere(name: str) -> None:
    """By a call with its name, or by a function that returns the name of what to tell."""
    told = name in TEXTS
    assert told


@pytest.mark.parametrize("name", sorted(CATALOGUE.keys() & {call.event for call in CALLS}))
def test_every_field_is_told_by_some_call(name: str) -> None:
    """Where the event's name and its fields stand in one call; else a field can't be traced."""
    told = {word for call in CALLS if call.event == name for word in call.fields | call.words}
    assert CATALOGUE[name].fields <= told


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_a_row_is_well_formed(name: str) -> None:
    row = CATALOGUE[name]
    assert WORD.fullmatch(name)
    assert row.level in {logging.INFO, logging.WARNING, logging.ERROR}
    assert row.meaning
    assert not row.meaning.endswith(".")
    assert all(WORD.fullmatch(field) for field in row.fields)
    assert not row.fields & (COMMON_FIELDS | {"ts", "level", "event", "exception"})


def test_the_page_of_events_is_the_catalogue() -> None:
    """To write it anew: python -m watcher.events > watcher/EVENTS.md"""
    assert (PACKAGE / "EVENTS.md").read_text(encoding="utf-8") == as_markdown()
