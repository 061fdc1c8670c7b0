"""The report and the state of a matrix on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from harness.matrix.plan import Plan
from harness.matrix.status import MatrixState
from harness.report import printing
from harness.report.matrix import content
from harness.report.matrix.content import SCORES, SPEEDS, TONES, UNITS, Report

MOST_UNITS = 40
"""Units that are shown one by one; of more, those without a result."""


def show(report: Report, console: Console) -> None:
    """Print the report."""
    printing.line(console, Text(f"\n{report.title}", "bold"))
    printing.say(console, report.tone, report.verdict)
    for warning in report.warnings:
        printing.say(console, "warn", warning)
    for section in report.sections:
        printing.line(console, Text(f"\n{section.title}", "bold"))
        for tone, note in section.notes:
            printing.say(console, tone, note)
        for machines in section.machines:
            printing.line(console, Text(machines.title, "dim"))
            printing.table(console, SPEEDS, machines.rows)
        printing.table(console, SCORES, section.scores)
    printing.say(console, "note", content.ABOUT)
    for word, sentence in report.provenance:
        printing.say(console, "note", f"{word}: {sentence}")
    _map(report, console)


def status(plan: Plan, state: MatrixState, console: Console) -> None:
    """Print how many units are in which state, and those that need a look."""
    printing.say(console, "note", f"{plan.name}: {content.verdict(state)}")
    for problem in state.silent_engines:
        printing.say(console, "warn", problem)
    shown = [
        u for u in state.units if len(state.units) <= MOST_UNITS or u.state not in TONES or u.log
    ]
    rows = [content.unit_row(plan, unit)[1] for unit in shown[:MOST_UNITS]]
    printing.table(console, UNITS, rows)
    for unit in state.units:
        for line in unit.log if unit in shown[:MOST_UNITS] else ():
            printing.line(console, Text(f"  unit {unit.number}: {line}", "dim"))


def _map(report: Report, console: Console) -> None:
    """The units: all of a small matrix, of a large one those without a result."""
    rows = report.units
    if len(rows) > MOST_UNITS:
        rows = tuple(row for row in rows if row[0] != "good")[:MOST_UNITS]
    console.print()
    printing.table(console, UNITS, [texts for _, texts in rows])
    for unit, lines in report.logs[:MOST_UNITS]:
        for line in lines:
            printing.line(console, Text(f"  {unit}: {line}", "dim"))
