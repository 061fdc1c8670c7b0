"""What a check said: on a terminal, as Markdown for a pull request, as JSON, and to GitHub."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.gate.findings import (
    INCONCLUSIVE,
    MISSING,
    NOT_COMPARED,
    NOT_MEASURABLE,
    REGRESSED,
    SAME,
    Finding,
    Verdict,
)
from harness.report import printing
from harness.report.content import Tone
from harness.report.gate import github, junit, wording
from harness.report.markdown import escape
from harness.results import serialise, store
from harness.text import SYMBOLS, count, plain

SCHEMA = 3
"""Raised when a reader of the last schema would misread the JSON (schema/check.schema.json)."""

MARK = "<!-- samestep check"
"""How the Markdown begins: a comment is found again by it; what follows differs where verdicts do."""

_TITLES = ("cell", "metric", "before → after", "change (interval)", "within")
_WORST = (REGRESSED, MISSING)
_FOLDED = (SAME, NOT_COMPARED)  # on a terminal, a line a cell does
_ROOM = 25_000  # letters of each half of the Markdown: GitHub takes 65,536 for a comment
_TEXT = 400  # letters of a name or of a note in it
_CALL = re.compile(r"([@#])(?=\w)")
_BAR = "\\|"


def show(verdict: Verdict, console: Console) -> None:
    """Print the verdict: its sentence, what became of what, and what to do next."""
    printing.say(console, wording.overall(verdict), plain(verdict.sentence))
    for caveat in wording.caveats(verdict):
        printing.say(console, "warn", caveat)
    if not verdict.findings:
        return
    shared, parts = wording.common(finding.cell for finding in verdict.findings)
    console.print(Text(f"\n{shared}", "bold"), overflow="fold")
    findings = wording.ordered(verdict)
    _rows(
        verdict, [finding for finding in findings if finding.verdict not in _FOLDED], parts, console
    )
    for kind in _FOLDED:
        _folded(
            verdict, [finding for finding in findings if finding.verdict == kind], parts, console
        )
    if notes := wording.noted((finding for finding in findings if finding.note), parts):
        console.print()
    for kind, note in notes:
        printing.say(console, wording.tone(verdict, kind), note)


def _rows(
    verdict: Verdict, findings: Sequence[Finding], parts: Sequence[str], console: Console
) -> None:
    """Print a line a finding, under its verdict and its cell; what was not decided is dim."""
    if not findings:
        return
    texts = [_TITLES[1:], *map(_figures, findings)]
    room = [max(len(row[place]) for row in texts) for place in range(len(texts[0]))]
    gap = "  " if sum(room) + 4 + 2 * 3 <= console.width else " "

    def line(row: Sequence[str]) -> str:
        metric, values, change, within = row
        padded = (f"{metric:<{room[0]}}", f"{values:>{room[1]}}", f"{change:<{room[2]}}", within)
        return _letters(console, f"    {gap.join(padded)}")

    console.print(Text(line(texts[0]), "dim"), overflow="fold")
    for kind, of_kind in groupby(findings, key=lambda finding: finding.verdict):
        console.print(printing.mark(console, wording.tone(verdict, kind), kind))
        for cell, rows in _by_cell(of_kind).items():
            console.print(Text(f"  {wording.label(cell, parts)}"), overflow="fold")
            for finding in rows:
                style = "dim" if kind in (INCONCLUSIVE, NOT_MEASURABLE) else ""
                console.print(Text(line(_figures(finding)), style), overflow="fold")


def _figures(finding: Finding) -> tuple[str, ...]:
    values = wording.values(finding).replace("samples/s", "/s")
    return finding.metric.name, values, wording.change(finding), wording.within(finding)


def _folded(
    verdict: Verdict, findings: Sequence[Finding], parts: Sequence[str], console: Console
) -> None:
    """Print a line a cell with all its metrics of one verdict."""
    if not findings:
        return
    console.print(
        printing.mark(console, wording.tone(verdict, findings[0].verdict), findings[0].verdict)
    )
    grid = Table.grid(padding=(0, 2))
    grid.add_column(overflow="fold")
    grid.add_column(overflow="fold")
    for cell, rows in _by_cell(findings).items():
        names = ", ".join(finding.metric.name for finding in rows)
        grid.add_row(Text(f"  {wording.label(cell, parts)}"), Text(names))
    console.print(grid)


def _by_cell(findings: Iterable[Finding]) -> dict[str, list[Finding]]:
    """The findings by cell, in the order in which cells come first."""
    cells: dict[str, list[Finding]] = {}
    for finding in findings:
        cells.setdefault(finding.cell, []).append(finding)
    return cells


def _letters(console: Console, text: str) -> str:
    """The text with no arrow and no sign that the terminal has no letter for."""
    if printing.has_all_letters(console):
        return text
    return text.replace("→", "->").replace("±", "+-")


def markdown(verdict: Verdict) -> str:
    """Return the verdict for a pull request: what got worse in sight, all else folded.

    It begins with MARK and a digest of what became of what, so that a comment is written anew only
    where that changed. What a comment has no room for is left out, and said to be.
    """
    findings = wording.ordered(verdict)
    worst = [finding for finding in findings if finding.verdict in _WORST]
    folded = [finding for finding in findings if finding.verdict not in _WORST]
    lines = [_mark(verdict), _marked(wording.overall(verdict), f"**{_text(verdict.sentence)}**")]
    for caveat in wording.caveats(verdict):
        lines += ["", f"> {_marked('warn', _text(caveat))}"]
    lines += _fitting(_part(verdict, worst))
    if folded:
        lines += ["", "<details><summary>Everything else</summary>"]
        lines += [*_fitting(_part(verdict, folded)), "", "</details>"]
    return "\n".join(lines) + "\n"


def _mark(verdict: Verdict) -> str:
    outcomes = sorted(
        (finding.cell, finding.metric.name, finding.verdict) for finding in verdict.findings
    )
    return f"{MARK} {serialise.digest([verdict.status, outcomes], 16)} -->"


def _part(verdict: Verdict, findings: Sequence[Finding]) -> Iterator[str]:
    """Yield a table of findings, and their notes."""
    if not findings:
        return
    yield from ["", _row([*_TITLES, "verdict"]), _row(["---", "---", "---:", "---", "---", "---"])]
    for finding in findings:
        verdict_text = _marked(wording.tone(verdict, finding.verdict), finding.verdict)
        figures = wording.values(finding), wording.change(finding), wording.within(finding)
        yield _row([_code(finding.cell), escape(finding.metric.name), *figures, verdict_text])
    yield ""
    places: dict[str, dict[str, list[str]]] = {}
    for finding in findings:
        if finding.note:
            cells = places.setdefault(finding.note, {})
            cells.setdefault(_code(finding.cell), []).append(escape(finding.metric.name))
    for note, cells in places.items():
        yield f"- {wording.named(cells)}: {_text(note)}"


def _row(texts: Iterable[str]) -> str:
    """A row of a table, in which a bar ends a cell even within code."""
    return f"| {' | '.join(text.replace('|', _BAR) for text in texts)} |"


def _marked(tone: Tone, words: str) -> str:
    return f"{SYMBOLS[tone]} {words}"


def _code(text: str) -> str:
    """The text as code, which nothing in it can end."""
    bare = _short(text) or "?"
    fence = "`" * (1 + max(map(len, re.findall("`+", bare)), default=0))
    pad = " " if "`" in (bare[0], bare[-1]) else ""
    return f"{fence}{pad}{bare}{pad}{fence}"


def _text(text: str) -> str:
    """The text as it is, which mentions no user and links to no issue."""
    return escape(_CALL.sub("\\1\u200b", _short(text)))


def _short(text: str) -> str:
    bare = plain(text)
    return bare if len(bare) <= _TEXT else f"{bare[:_TEXT]}…"


def _fitting(lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines that there is room for, and how many there was none for."""
    room, out = _ROOM, 0
    for line in lines:
        room -= len(line) + 1
        if room >= 0:
            yield line
        else:
            out += 1
    if out:
        yield from ["", f"{count(out, 'more line')} had no room here: check.json has all."]


def document(verdict: Verdict) -> str:
    """Return the verdict as JSON."""
    findings = [
        {
            **{field.name: getattr(finding, field.name) for field in dataclasses.fields(finding)},
            "metric": finding.metric.name,
            "unit": finding.metric.gate_unit,
            "higher_is_better": finding.metric.higher_is_better,
        }
        for finding in wording.ordered(verdict)
    ]
    contents = {
        "schema": SCHEMA,
        "status": verdict.status,
        "sentence": verdict.sentence,
        "against": verdict.against,
        "advisory": verdict.advisory,
        "unlike": list(verdict.unlike),
        "kept_variables": verdict.kept_variables,
        "findings": findings,
    }
    return json.dumps(serialise.strict(contents), indent=2, allow_nan=False) + "\n"


def write(folder: Path, verdict: Verdict) -> None:
    """Write check.json, check.md and check.xml into the run's folder. Raises StoreError."""
    store.write(folder / "check.json", document(verdict))
    store.write(folder / "check.md", markdown(verdict))
    store.write(folder / "check.xml", junit.render(verdict))


def announce(verdict: Verdict, environ: Mapping[str, str], echo: Callable[[str], object]) -> None:
    """Tell GitHub, where this runs in its Actions: annotations, and the step's summary."""
    if environ.get("GITHUB_ACTIONS") == "true":
        for line in github.commands(verdict):
            echo(line)
    if path := environ.get("GITHUB_STEP_SUMMARY"):
        try:
            with Path(path).open("a", encoding="utf-8", errors="replace") as summary:
                summary.write(markdown(verdict))
        except OSError as error:
            why = f"cannot be written ({error.strerror})"
            echo(
                f"GITHUB_STEP_SUMMARY: {plain(path)} {why}; check.md in the run's folder has the same"
            )
