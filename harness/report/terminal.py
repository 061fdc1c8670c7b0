"""A run's report on a terminal: colour and a symbol, never colour alone, and never wider than it.

It has what a reader needs first: a table and a few sentences a workload. The details are on demand.
Where the width does not do, the columns that matter least go first, and the details say which. Colour
follows the console: none where NO_COLOR is set or the output is no terminal.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import groupby

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.report import content, parity_tables
from harness.report.content import Failure, Report, Section
from harness.report.printing import STYLES, line, say, symbol, table
from harness.report.sweeps import SweepTable
from harness.results import store
from harness.results.metric import Metric
from harness.text import Tone, plain, with_reason
from harness.verdicts import NOT_EQUIVALENT
from workloads.places import program

_LABEL, _STATUS = 28, 9  # letters: longer ones are cut before a column goes
_STATUS_GOES = 7  # when the status goes, among the metrics
_MOST_NOTES = 5  # a workload has more of them in the details only, but for warnings
_TAIL = 3  # lines of a failed cell's log; report.md has all


def show(record: store.Record, console: Console, details: bool = False) -> None:
    """Print a run's report; with `details`, all notes, the columns' titles and how it was measured."""
    report = content.build(record)
    line(console, Text(report.title, "bold"))
    say(console, report.tone, report.verdict)
    for warning in report.warnings:
        say(console, "warn", warning)
    shown = [metric for part in report.sections for metric in _section(console, part, details)]
    for swept in report.sweeps:
        _sweep(console, swept)
    for name, reason in report.absent:
        say(console, "off", f"{name}: {reason}")
    for failure in report.failures:
        _failure(console, failure)
    if details:
        _foot(console, report, dict.fromkeys(shown))
    else:
        name = plain(record.manifest.get("run") or record.folder.name)
        console.print()
        say(
            console,
            "off",
            f"all notes, how and where it was measured: {program()} report {name} --details",
        )


def parity(record: store.Record, console: Console) -> None:
    """Print every cell's parity check, and the tensors of those that are not equivalent or undecided."""
    report = content.build(record)
    line(console, Text(report.title, "bold"))
    say(console, report.tone, report.verdict)
    for warning in report.warnings:
        say(console, "warn", warning)
    for workload, rows in groupby(report.parity, key=lambda row: row[0]):
        line(console, Text(f"\n{workload}", "bold"))
        table(console, parity_tables.TITLES[1:], (row[1:] for row in rows))
    for tone, words, tensors in report.unsettled:
        say(console, tone, words)
        table(console, parity_tables.TENSORS, tensors)
    for name, reason in report.absent:
        say(console, "off", f"{name}: {reason}")
    for failure in report.failures:
        if failure.status != NOT_EQUIVALENT:
            _failure(console, failure)


def _section(console: Console, section: Section, details: bool) -> list[Metric]:
    """Print a workload's table and notes; return the columns that there was room for."""
    console.print()
    heading = Text(section.workload, "bold")
    line(console, heading.append(f"  {section.about}" if section.about else "", "not bold dim"))
    columns, gap = _fit(section, console.width)
    table = Table(box=None, padding=(0, gap, 0, 0), pad_edge=False, header_style="underline")
    for column in columns:
        table.add_column(
            column.title,
            justify="right" if column.number else "left",
            no_wrap=True,
            overflow="ellipsis",
            max_width=column.width,
        )
    for place, row in enumerate(section.rows):
        tone = STYLES[row.tone]
        style = tone if row.tone in ("bad", "off") else ""
        first = Text(f"{symbol(console, row.tone)} {row.label}", tone)
        table.add_row(first, *(Text(column.texts[place], style) for column in columns[1:]))
    console.print(table)
    for note_tone, note in section.notes if details else _first_notes(section):
        say(console, note_tone, note)
    shown = {column.title for column in columns}
    left_out = [column.title for column in _columns(section) if column.title not in shown]
    if details and left_out:
        say(console, "off", f"no room here for: {', '.join(left_out)}; see report.md")
    return [metric for metric in section.columns if metric.short in shown]


def _first_notes(section: Section) -> list[tuple[Tone, str]]:
    """The headlines, every warning, and as many of the other notes as there is room for."""
    warnings = [note for note in section.other_notes if note[0] in ("bad", "warn")]
    unremarkable = [note for note in section.other_notes if note not in warnings]
    room = _MOST_NOTES - len(section.headlines) - len(warnings)
    return [*section.headlines, *warnings, *unremarkable[: max(0, room)]]


def _sweep(console: Console, swept: SweepTable) -> None:
    """Print the curves of a sweep in training; report.md and report.html have those of inference."""
    if swept.kind == "train":
        console.print()
        line(console, Text(swept.title, "bold"))
        table(console, swept.titles, swept.rows)
        for tone, note in swept.notes:
            say(console, tone, note)


@dataclass(frozen=True)
class _Column:
    """A column as it is set: its `width` in letters, the `least` of it, how soon it goes."""

    title: str
    texts: tuple[str, ...]
    width: int
    least: int
    goes: int
    number: bool


def _columns(section: Section) -> list[_Column]:
    """Every column of the section, as wide as its texts."""

    def column(title: str, texts: Iterable[str], goes: int, least: int = 0) -> _Column:
        rows = tuple(texts)
        width = max(cell_len(text) for text in (title, *rows))
        return _Column(title, rows, width, min(width, least or width), goes, number=not least)

    first = column("", (f"  {row.label}" for row in section.rows), -1, _LABEL)
    numbers = [
        column(metric.short, (row.texts[place] for row in section.rows), metric.priority or 0)
        for place, metric in enumerate(section.columns)
    ]
    status = column("status", (row.status for row in section.rows), _STATUS_GOES, _STATUS)
    return [first, *numbers, status]


def _fit(section: Section, room: int) -> tuple[list[_Column], int]:
    """The columns that fit into `room` letters, and the gap between them: 2, or 1 if need be."""
    remaining = _columns(section)
    while len(remaining) > 1:
        cut = [replace(column, width=column.least) for column in remaining]
        for columns, gap in ((remaining, 2), (remaining, 1), (cut, 1)):
            if sum(column.width + gap for column in columns) - gap <= room:
                return columns, gap
        last = max(column.goes for column in remaining)
        remaining = [column for column in remaining if column.goes < last]
    return remaining, 1


def _failure(console: Console, failure: Failure) -> None:
    console.print()
    what = with_reason(failure.status, failure.reason, between=" ")
    say(console, failure.tone, f"{failure.cell} {what}")
    for text in failure.tail[-_TAIL:]:
        line(console, Text(f"    {text}", "dim"), cut=True)
    if failure.log:
        line(console, Text(f"    the whole log: {failure.log}", "dim"))


def _foot(console: Console, report: Report, shown: Iterable[Metric]) -> None:
    console.print()
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(style="dim", no_wrap=True, max_width=16, overflow="ellipsis")
    table.add_column(overflow="fold")
    if legend := [
        f"{metric.short}: {metric.title}" for metric in shown if metric.short != metric.title
    ]:
        table.add_row("columns", Text("; ".join(legend)))
    for name, sentence in report.provenance:
        table.add_row(Text(name), Text(sentence))
    if report.again:
        table.add_row("again", Text(report.again))
    console.print(table)
