"""A run's report on a terminal: colour and a symbol, never colour alone, and never wider than it.

Where the width does not do, the columns that matter least go first, and the report says which.
Colour follows the console: none where NO_COLOR is set or the output is no terminal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.doctor import Finding
from harness.report import content, parity_tables
from harness.report.content import Failure, Report, Section
from harness.results import store
from harness.results.metric import Metric
from harness.runner.profile import Profiled
from harness.text import Tone, plain
from harness.verdicts import NOT_EQUIVALENT

STYLES: dict[Tone, str] = {
    "good": "green",
    "warn": "yellow",
    "bad": "red",
    "off": "dim",
    "note": "cyan",
}
"""How rich shows a tone."""

_SYMBOLS: dict[Tone, str] = {"good": "✓", "warn": "!", "bad": "✗", "off": "·", "note": "•"}
_PLAIN: dict[Tone, str] = {"good": "+", "warn": "!", "bad": "x", "off": "-", "note": "*"}
_LEVELS: dict[str, Tone] = {"ok": "good", "warning": "warn", "error": "bad"}

_LABEL, _STATUS = 28, 9  # letters: longer ones are cut before a column goes
_STATUS_GOES = 7  # when the status goes, among the metrics
# A profile: letters of an operator's name at least, and of its numbers; how many are shown.
_OPERATOR, _TIMES, _LINES = 24, 46, 15
_TAIL = 3  # lines of a failed cell's log; report.md has all


def show(record: store.Record, console: Console | None = None) -> None:
    """Print a run's report."""
    console = console or Console()
    report = content.build(record)
    _line(console, Text(report.title, "bold"))
    say(console, report.tone, report.verdict)
    for warning in report.warnings:
        say(console, "warn", warning)
    shown = [metric for section in report.sections for metric in _section(console, section)]
    for name, reason in report.absent:
        say(console, "off", f"{name}: {reason}")
    for failure in report.failures:
        _failure(console, failure)
    _foot(console, report, dict.fromkeys(shown))


def table(console: Console, titles: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a plain table, its cells wrapped where the width asks for it."""
    shown = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="underline")
    for title in titles:
        shown.add_column(title, overflow="fold")
    for row in rows:
        shown.add_row(*(Text(plain(cell)) for cell in row))
    console.print(shown)


def parity(record: store.Record, console: Console) -> None:
    """Print every cell's parity check, and the tensors of those that are not equivalent or undecided."""
    report = content.build(record)
    _line(console, Text(report.title, "bold"))
    say(console, report.tone, report.verdict)
    for warning in report.warnings:
        say(console, "warn", warning)
    for workload, rows in groupby(report.parity, key=lambda row: row[0]):
        _line(console, Text(f"\n{workload}", "bold"))
        table(console, parity_tables.TITLES[1:], (row[1:] for row in rows))
    for tone, words, tensors in report.unsettled:
        say(console, tone, words)
        table(console, parity_tables.TENSORS, tensors)
    for name, reason in report.absent:
        say(console, "off", f"{name}: {reason}")
    for failure in report.failures:
        if failure.status != NOT_EQUIVALENT:
            _failure(console, failure)


def profile(found: Profiled, console: Console) -> None:
    """Print the operators of a profile that took longest, and where its trace is."""
    _line(console, Text(f"{found.cell.id}: {found.steps} training steps", "bold"))
    shown = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="underline")
    shown.add_column("operator")
    for title in ("calls", "total ms", "self ms", "self %"):
        shown.add_column(title, justify="right", no_wrap=True)
    room = max(_OPERATOR, console.width - _TIMES)
    everything = sum(one["self_us"] for one in found.operators) or 1
    for one in found.operators[:_LINES]:
        times = (f"{one[unit] / 1000:,.3f}" for unit in ("total_us", "self_us"))
        share = f"{one['self_us'] / everything:.1%}"
        name = Text(plain(one["name"]))
        name.truncate(room, overflow="ellipsis")
        shown.add_row(name, f"{one['calls']:,}", *times, share)
    console.print(shown)
    if rest := found.operators[_LINES:]:
        share = sum(one["self_us"] for one in rest) / everything
        say(console, "off", f"{len(rest)} more, {share:.1%} of self time")
    trace = f"the trace: {found.trace} (opens in chrome://tracing or ui.perfetto.dev)"
    _line(console, Text(trace))


def findings(console: Console, found: Iterable[Finding]) -> None:
    """Print what an examination found, each with how to mend it."""
    for one in found:
        mend = f"\n{plain(one.mend)}" if one.mend else ""
        say(console, _LEVELS[one.level], f"{plain(one.what)}{mend}")


def _section(console: Console, section: Section) -> list[Metric]:
    """Print a workload's table and notes; return the columns that there was room for."""
    console.print()
    heading = Text(section.workload, "bold")
    _line(console, heading.append(f"  {section.about}" if section.about else "", "not bold dim"))
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
        first = Text(f"{_symbol(console, row.tone)} {row.label}", tone)
        table.add_row(first, *(Text(column.texts[place], style) for column in columns[1:]))
    console.print(table)
    for each, note in section.notes:
        say(console, each, note)
    shown = {column.title for column in columns}
    if left_out := [one.title for one in _columns(section) if one.title not in shown]:
        say(console, "off", f"no room here for: {', '.join(left_out)}; see report.md")
    return [metric for metric in section.columns if metric.short in shown]


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
    kept = _columns(section)
    while len(kept) > 1:
        cut = [replace(column, width=column.least) for column in kept]
        for columns, gap in ((kept, 2), (kept, 1), (cut, 1)):
            if sum(column.width + gap for column in columns) - gap <= room:
                return columns, gap
        last = max(column.goes for column in kept)
        kept = [column for column in kept if column.goes < last]
    return kept, 1


def _failure(console: Console, failure: Failure) -> None:
    console.print()
    say(console, failure.tone, f"{failure.cell} {failure.status} {failure.reason}")
    for line in failure.tail[-_TAIL:]:
        _line(console, Text(f"    {line}", "dim"), cut=True)
    if failure.log:
        _line(console, Text(f"    the whole log: {failure.log}", "dim"))


def _foot(console: Console, report: Report, shown: Iterable[Metric]) -> None:
    console.print()
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(style="dim", no_wrap=True, max_width=16, overflow="ellipsis")
    table.add_column(overflow="fold")
    if legend := [
        f"{metric.short}: {metric.title}" for metric in shown if metric.short != metric.title
    ]:
        table.add_row("columns", Text("; ".join(legend)))
    for name, sentence in report.facts:
        table.add_row(Text(name), Text(sentence))
    if report.again:
        table.add_row("again", Text(report.again))
    console.print(table)


def mark(console: Console, tone: Tone, words: str) -> Text:
    """Some words in their tone, after its symbol."""
    return Text(f"{_symbol(console, tone)} {words}", STYLES[tone])


def say(console: Console, tone: Tone, sentence: str) -> None:
    """A sentence with its symbol, wrapped under itself."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(Text(_symbol(console, tone), STYLES[tone]), Text(sentence, STYLES[tone]))
    console.print(grid)


def _line(console: Console, text: Text, *, cut: bool = False) -> None:
    console.print(text, no_wrap=cut, overflow="ellipsis" if cut else "fold", highlight=False)


def _symbol(console: Console, tone: Tone) -> str:
    return (_SYMBOLS if console.encoding.lower().startswith("utf") else _PLAIN)[tone]
