"""What came out, case by case and cell by cell: counted in a Markdown table, listed, and as JSON."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from benchmarks.parity.cases import Case, as_toml
from benchmarks.parity.check import EQUIVALENT, NOT_EQUIVALENT, UNDECIDED, Outcome

FAILED = "failed"
"""The framework gave no answers."""

VALUES = (EQUIVALENT, UNDECIDED, NOT_EQUIVALENT, FAILED)

SHARE, SECONDS = "largest share of a bound", "s"
COLUMNS = ("workloads", "framework", "mode", *VALUES, SHARE, "where", SECONDS)
NUMBERS = (*VALUES, SHARE, SECONDS)


@dataclass(frozen=True)
class Result:
    """One case in one cell; `seconds` are the cell's, its building included."""

    case: Case
    framework: str
    mode: str
    outcome: Outcome
    seconds: float

    @property
    def share(self) -> float | None:
        """The largest share of a bound; None where it is not finite."""
        return self.outcome.share if math.isfinite(self.outcome.share) else None


@dataclass
class Results:
    """All that came out so far. `refused` are cases without a reference, and why."""

    results: list[Result] = field(default_factory=list)
    refused: list[tuple[Case, str]] = field(default_factory=list)

    def counts(self) -> Counter[str]:
        """Return how many results there are of each value."""
        return Counter(result.outcome.value for result in self.results)

    def markdown(self) -> Iterator[str]:
        """Yield the table's lines, then those of what was refused or undecided, then each alarm's."""
        yield f"| {' | '.join(COLUMNS)} |"
        yield f"| {' | '.join('---:' if name in NUMBERS else '---' for name in COLUMNS)} |"
        yield from map(_row, self._rows())
        if self.refused:
            yield f"\n{len(self.refused)} workloads were refused:\n"
            yield from (f"- {case.rows}, {case.label}: {why}" for case, why in self.refused)
        yield from self._undecided()
        yield from self._alarms()

    def _rows(self) -> list[list[Result]]:
        rows: dict[tuple[str, str, str], list[Result]] = {}
        for result in self.results:
            key = (result.case.rows, result.framework, result.mode)
            rows.setdefault(key, []).append(result)
        return list(rows.values())

    def _undecided(self) -> Iterator[str]:
        """Yield each case that is undecided somewhere, with the first such cell's sentence."""
        undecided = [r for r in self.results if r.outcome.value == UNDECIDED]
        if undecided:
            yield "\nUndecided:\n"
        for case, group in groupby(undecided, key=lambda result: result.case):
            results = list(group)
            cells = f"{len(results)} {'cell' if len(results) == 1 else 'cells'}"
            yield f"- {case.rows}, {case.label}, {cells}: {results[0].outcome.sentence}"

    def _alarms(self) -> Iterator[str]:
        """Yield each case that failed somewhere: its cells, and the case as a file to run alone."""
        alarms = [r for r in self.results if r.outcome.value in (NOT_EQUIVALENT, FAILED)]
        for case, results in groupby(alarms, key=lambda result: result.case):
            yield f"\n## {case.rows}, {case.label}\n"
            yield from (f"- {r.framework} {r.mode}: {r.outcome.sentence}" for r in results)
            yield f"\n```toml\n{as_toml(case.workload)}```"

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain tables; a share that is not finite is None."""
        cases = {id(r.case): r.case for r in self.results} | {id(c): c for c, _ in self.refused}
        return {
            "cases": [
                {
                    "rows": case.rows,
                    "label": case.label,
                    "steps": case.steps,
                    "workload": case.workload.to_dict(),
                }
                for case in cases.values()
            ],
            "refused": [
                {"rows": case.rows, "label": case.label, "why": why} for case, why in self.refused
            ],
            "results": [
                {
                    "rows": result.case.rows,
                    "label": result.case.label,
                    "framework": result.framework,
                    "mode": result.mode,
                    "seconds": result.seconds,
                    **dataclasses.asdict(result.outcome),
                    "share": result.share,
                }
                for result in self.results
            ],
        }


def _row(results: list[Result]) -> str:
    counts = Counter(result.outcome.value for result in results)
    answered = [result for result in results if result.outcome.value != FAILED]
    share, where = "", ""
    if answered:
        worst = max(answered, key=lambda result: result.outcome.share)
        share = f"{worst.outcome.share:.2f}"
        where = f"{worst.outcome.where} ({worst.case.label})"
    seconds = sum(result.seconds for result in results) / len(results)
    first = results[0]
    cells = [first.case.rows, first.framework, first.mode]
    cells += [str(counts[value]) for value in VALUES]
    return f"| {' | '.join(cells)} | {share} | {where} | {seconds:.1f} |"
