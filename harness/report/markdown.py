"""A run's report as Markdown: report.md, made to be read in a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from harness.report import content, parity_tables, timing_notes
from harness.report.content import Failure, Report, Section
from harness.report.sweeps import SweepTable
from harness.results import store
from harness.text import SYMBOLS

# An underscore within a word is no markup; anywhere else it may be.
_SPECIAL = re.compile(r"([\\`*\[\]<>|~#&]|_(?![^\W_])|(?<![^\W_])_)")


def render(record: store.Record) -> str:
    """Return the whole report of a run."""
    return "\n".join(_lines(content.build(record))) + "\n"


def escape(text: str) -> str:
    """The text with nothing in it that Markdown, HTML or a table's cell would take for itself."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _lines(report: Report) -> Iterator[str]:
    yield f"# {escape(report.title)}"
    yield ""
    yield f"{SYMBOLS[report.tone]} **{escape(report.verdict)}**"
    for warning in report.warnings:
        yield ""
        yield f"> ! **{escape(warning)}**"
    for swept in report.sweeps:
        yield from _sweep(swept)
    for section in report.sections:
        yield from _section(section)
    if report.absent:
        yield from ["", "## Not here", ""]
        yield from (f"- **{escape(name)}**: {escape(reason)}" for name, reason in report.absent)
    if report.failures:
        yield from ["", "## What failed"]
        for failure in report.failures:
            yield from _failure(failure)
    yield from _parity(report)
    yield from ["", "## How it was measured", ""]
    yield from table(("what", ""), report.provenance)
    if report.settings:
        yield from ["", "<details><summary>The settings in force in every worker</summary>", ""]
        yield from table(("cell", "settings"), report.settings)
        yield from ["", "</details>"]
    if report.again:
        yield from ["", "To run it again:", "", *fence([report.again], "sh")]


def _parity(report: Report) -> Iterator[str]:
    if not report.parity:
        return
    yield from ["", "<details><summary>The parity check, cell by cell</summary>", ""]
    yield from table(parity_tables.TITLES, report.parity, numbers=range(4, 7))
    yield from ["", "</details>"]
    for _, words, tensors in report.unsettled:
        yield from ["", f"**{escape(words)}**", ""]
        yield from table(parity_tables.TENSORS, tensors, numbers=range(2, 6))


def _sweep(swept: SweepTable) -> Iterator[str]:
    yield from ["", f"## {escape(swept.title)}", ""]
    yield from table(swept.titles, swept.rows, numbers=range(1, len(swept.titles)))
    yield ""
    yield from (f"- {SYMBOLS[tone]} {escape(note)}" for tone, note in swept.notes)
    if swept.pairs:
        yield from ["", "<details><summary>Where each pair of cells crosses</summary>", ""]
        yield from table(swept.pair_titles, swept.pairs)
        yield from ["", "</details>"]


def _section(section: Section) -> Iterator[str]:
    yield from ["", f"## {escape(section.workload)}", ""]
    if section.about:
        yield from [escape(section.about), ""]
    titles = ["framework", *(metric.title for metric in section.columns), "status"]
    rows = ((row.label, *row.texts, f"{SYMBOLS[row.tone]} {row.status}") for row in section.rows)
    yield from table(titles, rows, numbers=range(1, len(titles) - 1))
    yield ""
    yield from (f"- {SYMBOLS[tone]} {escape(note)}" for tone, note in section.notes)
    if section.pairs:
        yield from ["", "<details><summary>Every pair of cells</summary>", ""]
        yield from table(timing_notes.PAIRS, section.pairs, numbers=range(2, 5))
        yield from ["", "</details>"]


def table(
    titles: Sequence[str], rows: Iterable[Sequence[str]], numbers: range = range(0)
) -> Iterator[str]:
    """A table whose columns in `numbers` stand to the right."""
    yield _row(titles)
    yield _row(["---:" if place in numbers else "---" for place in range(len(titles))], str)
    for row in rows:
        yield _row(row)


def _row(texts: Iterable[str], write: type[str] | None = None) -> str:
    return f"| {' | '.join(map(write or escape, texts))} |"


def _failure(failure: Failure) -> Iterator[str]:
    yield from ["", f"### {escape(failure.cell)}: {escape(failure.status)}", ""]
    yield escape(failure.reason)
    if failure.log:
        yield from ["", f"The whole log: {escape(failure.log)}"]
    if failure.tail:
        yield from ["", "<details><summary>The last lines of its log</summary>", ""]
        yield from fence(failure.tail)
        yield from ["", "</details>"]


def fence(lines: Sequence[str], language: str = "text") -> list[str]:
    """The lines as they are, in a fence that none of them can close."""
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", *lines, fence]
