"""Tables for a person: what `check` found, and what became of each recording of the demo.

Each has its plain form beside it (JSON, values); rich draws the tables, in colour on a terminal.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from watcher.report import forms

Grade = Literal["ok", "warn", "fail"]
_STYLES: Final[dict[Grade, str]] = {"ok": "green", "warn": "yellow", "fail": "bold red"}


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that `check` looked at. What is not ok says how to mend it."""

    status: Grade
    title: str
    finding: str
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one recording."""

    path: str
    before: int
    after: int | None  # None: it stayed as it was
    verdict: str
    vmaf: float | None = None


def render_rows(rows: Sequence[Row], console: Console | None = None) -> str:
    """Give what `check` found as it is to be printed: in colour where *console* is a terminal."""
    console = console or Console()
    with console.capture() as drawn:
        console.print(_rows_table(rows))
    return drawn.get()


def rows_json(rows: Iterable[Row]) -> list[dict[str, object]]:
    """Give the same as plain values."""
    return [
        {
            "status": row.status,
            "title": forms.name(row.title),
            "finding": forms.text(row.finding),
            "remedy": row.remedy and forms.text(row.remedy),
        }
        for row in rows
    ]


def results_table(results: Sequence[Result]) -> RenderableType:
    """Draw what became of each recording, and the sum of those that were transcoded."""
    table = Table(box=None, pad_edge=False)
    table.add_column("recording", overflow="fold")
    for title in ("before", "after", "saved", "VMAF"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    for result in results:
        table.add_row(
            Text(forms.name(result.path)),
            forms.size(result.before),
            "" if result.after is None else forms.size(result.after),
            "" if result.after is None else _saved(result.before, result.after),
            "" if result.vmaf is None else f"{result.vmaf:.1f}",
            Text(forms.text(result.verdict)),
        )
    done = [(result.before, result.after) for result in results if result.after is not None]
    if done:
        before, after = sum(b for b, _ in done), sum(a for _, a in done)
        table.add_section()
        table.add_row(
            f"{len(done)} of {len(results)} transcoded",
            forms.size(before),
            forms.size(after),
            _saved(before, after),
        )
    return table


def _rows_table(rows: Sequence[Row]) -> RenderableType:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(width=4)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    for row in rows:
        finding = Text(forms.text(row.finding))
        if row.remedy:
            finding.append(f"\nto mend it: {forms.text(row.remedy)}", style="italic")
        table.add_row(Text(row.status, _STYLES[row.status]), Text(forms.name(row.title)), finding)
    return Group(table, Text(_sum(rows)))


def _saved(before: int, after: int) -> str:
    return forms.percent(100 * (before - after) / before) if before else ""


def _sum(rows: Sequence[Row]) -> str:
    number = {status: sum(row.status == status for row in rows) for status in _STYLES}
    if not number["fail"] and not number["warn"]:
        return f"All {len(rows)} checks passed."
    return f"{number['ok']} ok, {number['warn']} to look at, {number['fail']} failing."
