"""The report of a matrix as Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from harness.report.markdown import escape, fence, table
from harness.report.matrix.content import ABOUT, SCORES, SPEEDS, UNITS, Report, Section
from harness.text import SYMBOLS


def render(report: Report) -> str:
    """Return the whole report."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield from [f"# {escape(report.title)}", ""]
    yield f"{SYMBOLS[report.tone]} **{escape(report.verdict)}**"
    for warning in report.warnings:
        yield from ["", f"> ! **{escape(warning)}**"]
    for section in report.sections:
        yield from _section(section)
    yield from ["", escape(ABOUT), "", "## Units", ""]
    yield from table(UNITS, (texts for _, texts in report.units))
    yield ""
    yield from (f"- {escape(word)}: {escape(sentence)}" for word, sentence in report.provenance)
    for unit, lines in report.logs:
        yield from ["", f"The last lines of {escape(unit)}:", "", *fence(lines)]


def _section(section: Section) -> Iterator[str]:
    yield from ["", f"## {escape(section.title)}"]
    if section.notes:
        yield ""
        yield from (f"- {SYMBOLS[tone]} {escape(note)}" for tone, note in section.notes)
    for machines in section.machines:
        yield from ["", f"### {escape(machines.title)}", ""]
        yield from table(SPEEDS, machines.rows, numbers=range(2, 6))
    yield ""
    yield from table(SCORES, section.scores, numbers=range(1, 5))
