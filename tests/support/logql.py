"""A reader of LogQL, as far as our dashboard and rules use it; what it does not know is an error.

It follows the grammar of Loki 3 (pkg/logql/syntax) for selectors, pipelines, unwrap, ranges,
aggregations with grouping and binary operations, and gives what a query leans on, so that a test
can hold it to what Watcher writes.
"""

import re
from dataclasses import dataclass, field

RANGE_OPS = {
    "count_over_time", "rate", "sum_over_time", "avg_over_time", "min_over_time", "max_over_time",
    "first_over_time", "last_over_time", "quantile_over_time", "absent_over_time",
}  # fmt: skip
NO_GROUPING = {"sum_over_time", "absent_over_time", "rate", "count_over_time"}
VECTOR_OPS = {"sum", "avg", "min", "max", "count", "topk", "bottomk", "sort", "sort_desc"}
LOOSE = [("or",), ("and", "unless"), ("==", "!=", "<", "<=", ">", ">="), ("+", "-"), ("*", "/")]
"""Binary operators, the loosest first."""

TOKEN = re.compile(
    r"""\s*(?:
    (?P<string>"(?:[^"\\]|\\.)*"|`[^`]*`)
  | (?P<range>\[(?:\d+(?:ms|[smhdwy]))+\])
  | (?P<number>\d+(?:\.\d+)?)
  | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<sign>\|=|\|~|=~|!~|!=|==|<=|>=|[|=<>(){},+\-*/])
    )""",
    re.VERBOSE,
)


class LogQLError(ValueError):
    """A query that Loki would not take, or that this reader does not know."""


@dataclass
class Pipeline:
    """One selector and what is done to its lines."""

    matchers: dict[str, str] = field(default_factory=dict)
    extracted: dict[str, str] = field(default_factory=dict)
    """Label → the field of the line that it is taken from."""
    filters: list[tuple[str, str, str]] = field(default_factory=list)
    formatted: set[str] = field(default_factory=set)
    """Labels that a template makes."""
    templates: list[str] = field(default_factory=list)
    unwrap: str | None = None
    guarded: bool = False
    """Whether lines whose value is no number are left out rather than failing the query."""
    range: str | None = None

    def events(self) -> set[str]:
        """Give the events that get through its filters."""
        for label, op, value in self.filters:
            if label == "event" and op in {"=", "=~"}:
                return set(value.split("|"))
        return set()


@dataclass
class Query:
    """What a whole query leans on."""

    pipelines: list[Pipeline] = field(default_factory=list)
    grouped_by: list[str] = field(default_factory=list)
    is_metric: bool = False


def parse(text: str) -> Query:
    """Read *text*; raises `LogQLError`."""
    reader = _Reader(_tokens(text))
    if reader.peek() == ("sign", "{"):
        reader.pipeline(with_range=False)
    else:
        reader.query.is_metric = True
        reader.expression(0)
    if reader.peek() != ("end", ""):
        raise LogQLError(f"not understood from {reader.peek()[1]!r} on: {text}")
    return reader.query


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    at = 0
    while at < len(text.rstrip()):
        found = TOKEN.match(text, at)
        if found is None or found.end() == at or found.lastgroup is None:
            raise LogQLError(f"no token at {text[at : at + 20]!r}")
        tokens.append((found.lastgroup, found[found.lastgroup]))
        at = found.end()
    return [*tokens, ("end", "")]


class _Reader:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._at = 0
        self.query = Query()

    def peek(self) -> tuple[str, str]:
        return self._tokens[self._at]

    def take(self, *wanted: str, kind: str | None = None) -> str:
        """Take the next token, which must be one of *wanted* or of *kind*."""
        found, text = self.peek()
        if (wanted and text not in wanted) or (kind is not None and found != kind):
            raise LogQLError(f"{' or '.join(wanted) or kind} expected, not {text!r}")
        self._at += 1
        return text

    def taken(self, *wanted: str) -> bool:
        """Take the next token if it is one of *wanted*."""
        if self.peek()[0] != "string" and self.peek()[1] in wanted:
            self._at += 1
            return True
        return False

    def string(self) -> str:
        quoted = self.take(kind="string")
        return quoted[1:-1] if quoted[0] == "`" else re.sub(r"\\(.)", r"\1", quoted[1:-1])

    def expression(self, level: int) -> None:
        if level == len(LOOSE):
            self.operand()
            return
        self.expression(level + 1)
        while self.taken(*LOOSE[level]):
            if self.taken("on", "ignoring"):
                self.labels()
            self.expression(level + 1)

    def operand(self) -> None:
        kind, text = self.peek()
        if kind == "number":
            self.take()
        elif text == "(":
            self.take()
            self.expression(0)
            self.take(")")
        elif text in RANGE_OPS:
            self.range_aggregation(self.take())
        elif text in VECTOR_OPS:
            self.vector_aggregation(self.take())
        else:
            raise LogQLError(f"{text!r} begins no expression")

    def range_aggregation(self, op: str) -> None:
        self.take("(")
        if op == "quantile_over_time":
            self.take(kind="number")
            self.take(",")
        pipeline = self.pipeline(with_range=True)
        self.take(")")
        if (pipeline.unwrap is None) != (op in {"count_over_time", "rate", "absent_over_time"}):
            raise LogQLError(f"{op} and unwrap do not go together like this")
        if self.peek()[1] in {"by", "without"}:
            if op in NO_GROUPING:
                raise LogQLError(f"{op} takes no grouping")
            self.grouping()

    def vector_aggregation(self, op: str) -> None:
        if self.peek()[1] in {"by", "without"}:
            self.grouping()
        self.take("(")
        if op in {"topk", "bottomk"}:
            self.take(kind="number")
            self.take(",")
        self.expression(0)
        self.take(")")
        if self.peek()[1] in {"by", "without"}:
            self.grouping()

    def grouping(self) -> None:
        self.take("by", "without")
        self.query.grouped_by += self.labels()

    def labels(self) -> list[str]:
        self.take("(")
        names = []
        while not self.taken(")"):
            names.append(self.take(kind="word"))
            self.taken(",")
        return names

    def pipeline(self, *, with_range: bool) -> Pipeline:
        pipeline = Pipeline()
        self.query.pipelines.append(pipeline)
        self.take("{")
        while not self.taken("}"):
            name = self.take(kind="word")
            self.take("=", "=~", "!=", "!~")
            pipeline.matchers[name] = self.string()
            self.taken(",")
        while self.peek()[1] in {"|", "|=", "|~", "!=", "!~"}:
            if self.take() == "|":
                self.stage(pipeline)
            else:
                self.string()
        if with_range:
            pipeline.range = self.take(kind="range")
            if self.taken("offset"):
                self.take(kind="number")
                self.take(kind="word")
        return pipeline

    def stage(self, pipeline: Pipeline) -> None:
        word = self.take(kind="word")
        if word == "json":
            while self.peek()[0] == "word":
                label = self.take()
                pipeline.extracted[label] = self.string() if self.taken("=") else label
                self.taken(",")
        elif word == "unwrap":
            pipeline.unwrap = self.take(kind="word")
        elif word == "label_format":
            while self.peek()[0] == "word":
                pipeline.formatted.add(self.take())
                self.take("=")
                pipeline.templates.append(self.string())
                self.taken(",")
        elif word == "line_format":
            pipeline.templates.append(self.string())
        elif word in {"keep", "drop"}:
            while self.peek()[0] == "word":
                self.take()
                self.taken(",")
        else:
            self.filter(pipeline, word)

    def filter(self, pipeline: Pipeline, label: str) -> None:
        op = self.take("=", "=~", "!=", "!~", "==", ">", "<", ">=", "<=")
        value = self.string() if self.peek()[0] == "string" else self.take(kind="number")
        if (label, op, value) == ("__error__", "=", "") and pipeline.unwrap is not None:
            pipeline.guarded = True
            return
        pipeline.filters.append((label, op, value))
