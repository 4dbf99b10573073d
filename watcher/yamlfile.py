"""YAML text to plain values, with the line of each, and without YAML's traps.

What a person writes is what is read: `22:00` stays the text 22:00 (YAML 1.1 makes the number 1320
of it), a date stays text, a camera may be called `on` or `1`, a key given twice is a mistake
instead of the last one winning in silence. Hostile text (aliases that multiply, nesting without
end, foreign tags) is a mistake too, never a traceback. Pure; knows no key of the configuration.
"""

import re
from dataclasses import dataclass, field

import yaml

from watcher.mistakes import KeyPath, Mistake, dotted, shown

_DEEPEST = 20
_MOST_VALUES = 20_000
_LONGEST_FILE = 1_000_000
_MARK = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True)
class Tree:
    """The values of a file, the line of each, and what could not be read."""

    value: object
    lines: dict[KeyPath, int]
    mistakes: tuple[Mistake, ...]
    broken: frozenset[KeyPath] = frozenset()
    """Where a value stands that could not be read: nothing else is to be said about it."""


def read_yaml(text: str) -> Tree:
    """Read *text*; whatever it is, a `Tree` comes back."""
    if len(text) > _LONGEST_FILE:
        return _unreadable(None, "is longer than a megabyte", "give the configuration's own file")
    try:
        node = yaml.compose(text, Loader=_Loader)
    except Exception as error:  # noqa: BLE001 - PyYAML raises a dozen kinds for hostile text
        return _unreadable(*_explained(text, error))
    if node is None:
        return Tree(None, {}, ())
    walk = _Walk()
    value = walk.value(node, ())
    return Tree(value, walk.lines, tuple(walk.mistakes), frozenset(walk.broken))


def _explained(text: str, error: Exception) -> tuple[int | None, str, str]:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        said = ", ".join(filter(None, (error.context, error.problem)))
        return mark.line + 1 if mark else None, said or "is no YAML", "mend the YAML there"
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return line, "has a character that YAML does not allow", "remove it"
    if isinstance(error, RecursionError):
        return None, "is nested without end", "three levels will do"
    return None, f"can't be read ({error})", "mend the YAML"


def _unreadable(line: int | None, problem: str, remedy: str) -> Tree:
    return Tree(None, {}, (Mistake(line, "YAML", "", problem, remedy),))


class _Loader(yaml.SafeLoader):
    """Resolves only null, booleans, decimal numbers; everything else is the text as written."""


_Loader.yaml_implicit_resolvers = {}
for _kind, _first, _pattern in (
    ("null", ["~", "n", "N", ""], r"~|null|Null|NULL|"),
    ("bool", list("yYnNtTfFoO"), r"(?i:yes|no|true|false|on|off)"),
    ("int", list("-+0123456789"), r"[-+]?[0-9]{1,18}"),
    (
        "float",
        list("-+0123456789."),
        r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)([eE][-+]?[0-9]{1,3})?",
    ),
):
    _Loader.add_implicit_resolver(f"{_MARK}{_kind}", re.compile(f"^(?:{_pattern})$"), _first)


@dataclass(slots=True)
class _Walk:
    lines: dict[KeyPath, int] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)
    broken: set[KeyPath] = field(default_factory=set)
    count: int = 0

    def value(self, node: yaml.Node, path: KeyPath) -> object:
        self.lines.setdefault(path, node.start_mark.line + 1)
        self.count += 1
        if self.count > _MOST_VALUES or len(path) > _DEEPEST:
            return self._wrong(node, path, "too many or too deeply nested values", "fewer will do")
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_MARK}map":
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_MARK}seq":
            return [self.value(item, (*path, at)) for at, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        return self._wrong(
            node, path, f"the tag {shown(node.tag)} is not read here", "leave it out"
        )

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, object]:
        found: dict[str, object] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._say(key_node, path, "a key that is no word", "write `key: value`")
                continue
            key = str(key_node.value)
            place = (*path, key)
            if key in found:
                first = self.lines[place]
                self._say(key_node, place, f"given twice, first in line {first}", "remove one")
                continue
            self.lines[place] = key_node.start_mark.line + 1
            found[key] = self.value(value_node, place)
        return found

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> object:
        text = str(node.value)
        kind = node.tag.removeprefix(_MARK)
        if kind == "null":
            return None
        if kind == "bool" and text.lower() in {"yes", "no", "true", "false", "on", "off"}:
            return text.lower() in {"yes", "true", "on"}
        if kind in {"int", "float"}:
            try:
                return int(text) if kind == "int" else float(text)
            except ValueError:
                return self._wrong(node, path, f"{shown(text)} is no number", "mend it")
        if kind == "str":
            return text
        return self._wrong(
            node, path, f"the tag {shown(node.tag)} is not read here", "leave it out"
        )

    def _wrong(self, node: yaml.Node, path: KeyPath, problem: str, remedy: str) -> object:
        self.broken.add(path)
        self._say(node, path, problem, remedy)
        return None

    def _say(self, node: yaml.Node, path: KeyPath, problem: str, remedy: str) -> None:
        if self.count <= _MOST_VALUES + 1:  # once is enough for a file that multiplies itself
            line = node.start_mark.line + 1
            self.mistakes.append(Mistake(line, dotted(path) or "YAML", "", problem, remedy))
