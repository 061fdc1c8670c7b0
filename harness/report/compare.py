"""What changed between two runs, on a terminal, as Markdown and as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pandas as pd
from rich.console import Console
from rich.text import Text

from harness.analysis import compare_runs
from harness.analysis.compare_runs import Change, Changes
from harness.analysis.context_diff import Difference
from harness.outcomes import EQUIVALENCE, EQUIVALENT, LOWER, SLOWER
from harness.report import content, markdown, printing, provenance
from harness.results import serialise, store, tables
from harness.results.metrics import BY_COLUMN
from harness.results.tables import number
from harness.text import SYMBOLS, Tone, count, listed, plain

SCHEMA = 3
"""Raised when a reader of the last schema would misread the JSON (schema/changes.schema.json)."""

DIFFERENCES = ("what", "where", "A", "B")
REFUSED = ("where", "what", "why it is not compared")

_JUDGED = (*compare_runs.SPEEDS.values(), compare_runs.ACCURACY)
_VALUE, _PLACES = 32, 3  # letters of a value that differs; cells that are named one by one


@dataclass(frozen=True)
class Sheet:
    """A table with its heading; the columns from `numbers` on stand to the right."""

    heading: str
    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: range = range(0)


@dataclass(frozen=True)
class Page:
    """Everything that is shown, in order: sentences, then tables."""

    title: str
    notes: tuple[tuple[Tone, str], ...]
    sheets: tuple[Sheet, ...]


def build(before: store.Record, after: store.Record) -> Page:
    """Return what is to be said of the changes from run `before` to run `after`."""
    changes = compare_runs.compare(before, after)
    notes = [
        *_warnings("A", before),
        *_warnings("B", after),
        *_verdicts(changes),
        *_caveats(changes),
    ]
    sheets = [*_figures(changes)]
    if changes.refused:
        sheets.append(Sheet("not compared", REFUSED, tuple(_refusals(changes))))
    for kind, differences in groupby(changes.differences, key=lambda difference: difference.kind):
        sheets.append(
            Sheet(f"not the same: {kind}", DIFFERENCES, tuple(map(_difference, differences)))
        )
    return Page(
        f"samestep: from A, {plain(changes.a)}, to B, {plain(changes.b)}",
        tuple(notes),
        tuple(sheets),
    )


def show(before: store.Record, after: store.Record, console: Console) -> None:
    """Print what changed."""
    page = build(before, after)
    console.print(Text(page.title, "bold"), overflow="fold")
    for tone, sentence in page.notes:
        printing.say(console, tone, sentence)
    for sheet in page.sheets:
        console.print(Text(f"\n{sheet.heading}", "bold"), overflow="fold")
        printing.table(console, sheet.titles, sheet.rows)


def render(before: store.Record, after: store.Record) -> str:
    """Return what changed as Markdown."""
    page = build(before, after)
    lines = [f"# {markdown.escape(page.title)}", ""]
    lines += (f"- {SYMBOLS[tone]} {markdown.escape(sentence)}" for tone, sentence in page.notes)
    for sheet in page.sheets:
        lines += ["", f"## {markdown.escape(sheet.heading)}", ""]
        lines += markdown.table(sheet.titles, sheet.rows, sheet.numbers)
    return "\n".join(lines) + "\n"


def document(before: store.Record, after: store.Record) -> str:
    """Return what changed as JSON."""
    fields = {"schema": SCHEMA, **dataclasses.asdict(compare_runs.compare(before, after))}
    return json.dumps(serialise.strict(fields), indent=2, allow_nan=False) + "\n"


def _warnings(name: str, record: store.Record) -> Iterator[tuple[Tone, str]]:
    yield from (("warn", f"{name}: {warning}") for warning in provenance.warnings(record))
    if record.running:
        yield "warn", f"{name} goes on: what is here is partial"
    elif record.end is None or record.end.get("status") == tables.INTERRUPTED:
        yield "warn", f"{name} did not come to its end: what is here is partial"
    table = store.summary(record)
    unsteady = table[table["steady"].eq(False) & (table["status"] == tables.OK)]["cell"]
    if len(unsteady):
        cells = listed(map(plain, unsteady))
        yield "warn", f"{name}: {cells} did not reach steady state: throughput is unreliable"


def _verdicts(changes: Changes) -> Iterator[tuple[Tone, str]]:
    """Yield a sentence a figure: how many cells went where."""
    unjudged: dict[str, None] = {}
    for (figure, relative), family in _families(changes.changes):
        tally = Counter(change.verdict for change in family if change.verdict)
        if not tally:
            unjudged[_name(figure)] = None
            continue
        verdicts = listed(f"{count(n, 'cell')} {verdict}" for verdict, n in tally.most_common())
        worse = tally[SLOWER] + tally[LOWER]
        tone: Tone = "bad" if worse else "note"
        yield tone, f"{_name(figure)}{' over the control cell' if relative else ''}: {verdicts}"
    if unjudged:
        yield "warn", f"{listed(unjudged)}: at least 2 launches a run are needed: nothing is judged"
    if not changes.changes:
        yield "bad", "nothing can be compared: see below"


def _families(changes: Sequence[Change]) -> Iterator[tuple[tuple[str, bool], list[Change]]]:
    """Yield what is judged together: of one figure, of all cells, absolute or over the control cell's."""
    families: dict[tuple[str, bool], list[Change]] = {}
    for change in changes:
        families.setdefault((change.figure, change.anchor is not None), []).append(change)
    order = [(figure, relative) for figure in _JUDGED for relative in (False, True)]
    yield from ((key, families[key]) for key in order if key in families)


def _caveats(changes: Changes) -> Iterator[tuple[Tone, str]]:
    """Yield how far the figures can be relied upon."""
    if any(change.verdict is not None for change in changes.changes):
        yield (
            "note",
            f"intervals are 95%; {EQUIVALENT}: the interval lies within {EQUIVALENCE.relative:.0%}"
            f" (accuracy: {EQUIVALENCE.points:g}); faster or slower by Holm's rule over all"
            " cells of a figure",
        )
    if changes.advisory:
        yield (
            "warn",
            "absolute speeds are advisory: A and B were not timed in the same rounds, and how the"
            " machine drifted between them is in no interval (Welch's, over each run's launches)",
        )
    yield from _caveats_of_ratios(changes)
    if single := [change for change in changes.changes if change.figure not in _JUDGED]:
        yield (
            "note",
            f"figures that have one value a run are not judged: {sum(map(_moved, single))} of"
            f" {len(single)} moved by more than {EQUIVALENCE.relative:.0%}",
        )
    if any(change.figure == compare_runs.ACCURACY for change in changes.changes):
        yield (
            "note",
            "accuracy's interval is Newcombe's, on the number of test examples; what another seed"
            " would have given is not in it",
        )


def _caveats_of_ratios(changes: Changes) -> Iterator[tuple[Tone, str]]:
    """Yield how far the ratios to each control cell can be relied upon."""
    controls = dict.fromkeys(change.anchor for change in changes.changes if change.anchor)
    if controls and not changes.advisory:
        yield "warn", "this was another machine: ratios may have changed for that alone"
    versions = [difference for difference in changes.differences if difference.kind == "versions"]
    changed = {place for difference in versions for place in difference.where}
    for control in controls:
        if tables.split(control)["framework"] in changed:
            yield (
                "warn",
                f"the control cell {plain(control)} did not stay as it was: ratios to it hide that",
            )
        else:
            yield "note", f"ratios to {plain(control)} were taken within each run's rounds"


def _figures(changes: Changes) -> Iterator[Sheet]:
    for workload, group in groupby(changes.changes, key=lambda change: _part(change, "workload")):
        in_workload = list(group)
        # The reference has an arithmetic of its own, and no speed to compare.
        timed = [
            change for change in in_workload if change.figure in compare_runs.SPEEDS.values()
        ] or in_workload
        differ = [
            part for part in content.PLACE if len({_part(change, part) for change in timed}) > 1
        ]
        parts = ("framework", "mode", *differ)
        for (figure, _), rows in _families(in_workload):
            yield _sheet(plain(workload), figure, rows, parts)
        if moved := [change for change in in_workload if _moved(change)]:
            titles = ("cell", "what", "A", "B", "B over A")
            texts = (
                (_label(change.cell, parts), _name(change.figure), *_values(change))
                for change in moved
            )
            heading = f"{plain(workload)}: what has one value a run, and moved"
            yield Sheet(heading, titles, tuple(texts), range(2, 5))


def _sheet(workload: str, figure: str, rows: Sequence[Change], parts: Sequence[str]) -> Sheet:
    controls = dict.fromkeys(_label(change.anchor, parts) for change in rows if change.anchor)
    over = f" over {listed(controls)}'s" if controls else ""
    change_title = "B minus A" if figure == compare_runs.ACCURACY else "B over A"
    titles = ("cell", "A", "B", change_title, "95% interval", "so B is")
    texts = (
        (
            _label(change.cell, parts),
            *_values(change),
            _interval(change),
            change.verdict or "not judged: one launch",
        )
        for change in rows
    )
    return Sheet(f"{workload}: {_name(figure)}{over}", titles, tuple(texts), range(1, 5))


def _moved(change: Change) -> bool:
    """Whether a figure that has one value a run is worth a line."""
    most = 1 + EQUIVALENCE.relative
    return change.figure not in _JUDGED and not 1 / most <= change.change <= most


def _part(change: Change, part: str) -> str:
    return tables.split(change.cell)[part]


def _label(cell: str, parts: Sequence[str]) -> str:
    identity = tables.split(cell)
    return plain(" ".join(identity[part] for part in parts))


def _name(figure: str) -> str:
    return BY_COLUMN[figure].title


def _values(change: Change) -> tuple[str, str, str]:
    write = BY_COLUMN[change.figure].write if change.anchor is None else "{:.3f}".format
    return write(change.before), write(change.after), _signed(change, change.change)


def _signed(change: Change, value: float) -> str:
    return f"{value:+.4f}" if change.figure == compare_runs.ACCURACY else f"{value:.3f}"


def _interval(change: Change) -> str:
    if change.low is None or change.high is None:
        return "-"
    return f"{_signed(change, change.low)} to {_signed(change, change.high)}"


def _refusals(changes: Changes) -> Iterator[tuple[str, ...]]:
    places_by_reason: dict[tuple[str, str], list[str]] = {}
    for refusal in changes.refused:
        places_by_reason.setdefault((refusal.what, refusal.reason), []).append(refusal.where)
    for (what, reason), places in places_by_reason.items():
        yield _places(places), plain(what), plain(reason)


def _difference(difference: Difference) -> tuple[str, ...]:
    return (
        plain(difference.what),
        _places(difference.where),
        _value(difference.before),
        _value(difference.after),
    )


def _places(names: Sequence[str]) -> str:
    shown = names if len(names) <= _PLACES else [f"{len(names)} of them, as {names[0]}"]
    return plain(", ".join(shown))


def _value(value: Any) -> str:
    if value is None or (
        number(value) is None and pd.api.types.is_scalar(value) and pd.isna(value)
    ):
        return "-"
    text = plain(value)
    return text if len(text) <= _VALUE else f"{text[: _VALUE - 1]}…"
