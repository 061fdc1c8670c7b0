"""A check, from a run's record to its verdict: what is held against what, and what came of it.

The run's manifest says what was to be checked, so the store alone is enough, while it goes and after.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.gate import baseline
from harness.gate.baseline import Baseline
from harness.gate.decide import AccuracyChange, Comparison, accuracy_change, judge
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
from harness.results import store
from harness.results.launches import Cell, Measures
from harness.results.metrics import ACCURACY, DEVICE_MEMORY, FIRST_STEP, IN_GATE, MEMORY, PARITY
from harness.results.tables import INTERRUPTED, OK, RUNNING
from harness.stats import intervals
from harness.stats.intervals import LOOKS
from harness.text import with_reason
from harness.verdicts import EQUIVALENT, NOT_EQUIVALENT, UNDECIDED
from workloads.places import program

LEVEL = intervals.level_at_looks(len(LOOKS) + 2)
"""Of a check's intervals: it looks at each of LOOKS, when its budget is spent, and at its end."""

_GONE = "it no longer exists in this project or on this machine; if intended, save a new baseline"

TRIM = 0.1
"""The part of the launches that is left out on either side: a trimmed mean, for launches may be outliers.

Of fewer than ten none is: what is left would have bounds too wide to decide anything."""

SUSPECT = 0.7
"""A part of the threshold: what is worse by more than this is measured again, whatever the metric."""


@dataclass(frozen=True)
class Check:
    """What a run was to check, as its manifest holds it.

    `pairs` are a cell and what it is held against: another cell of the run, or itself in the baseline.
    `threshold` is a part of a figure, `margin` one of the accuracy.
    """

    against: str
    pairs: Sequence[tuple[str, str]]
    threshold: float
    margin: float
    stored: bool = False

    @classmethod
    def of(cls, record: store.Record) -> Check:
        """Raises StoreError where the run was no check."""
        entry = record.manifest.get("check")
        if not isinstance(entry, Mapping):
            name = record.manifest.get("run", record.folder.name)
            raise store.StoreError(f"{name} was no check: make one with `{program()} check`")
        pairs = [(head, base) for head, base in entry["pairs"]]
        return cls(entry["against"], pairs, entry["threshold"], entry["margin"], entry["stored"])


def verdict(record: store.Record) -> Verdict:
    """Return all findings of a check. Raises StoreError where the run was none."""
    check, measures = Check.of(record), Measures(record)
    stored = baseline.read(record.folder / baseline.COPY) if check.stored else None
    unlike = stored.unlike(record) if stored else []
    findings: list[Finding] = []
    compared: list[Comparison] = []
    accuracies: list[AccuracyChange] = []
    running = {OK, NOT_EQUIVALENT, UNDECIDED} | (
        {RUNNING, INTERRUPTED} if record.end is None else set()
    )
    for head, base in check.pairs:
        before = stored.cells.get(base) if stored else measures.cells.get(base)
        presence = list(_presence(head, base, measures.cells.get(head), before, running))
        lost = any(finding.verdict != SAME for finding in presence)
        reason = stored.incomparable(base, record) if stored and not lost else None
        findings += [Finding(head, base, PARITY, NOT_COMPARED, note=reason)] if reason else presence
        if lost or reason:
            continue
        compared += (
            _stored(measures, stored, head, not unlike) if stored else _paired(measures, head, base)
        )
        accuracies += _accuracy(measures.cells[head], before, head, base)
    findings += judge(
        compared, accuracies, check.threshold, check.margin, LEVEL, measures.seconds_a_launch
    )
    advisory = f"the baseline is of another machine ({'; '.join(unlike)})" if unlike else ""
    variables = (record.manifest.get("options") or {}).get("kept_variables") or {}
    return Verdict(findings, check.against, advisory, unlike, variables)


def undecided(run: Path, timed: set[str]) -> tuple[set[str], set[str]]:
    """Return the cells of a check that more launches may decide, and the suspects among them.

    Of those that are `timed` at present: other workloads' launches are over, or to come. With what they
    are held against. A cell that has got worse for certain needs no more launches.
    """
    record = store.read(run)
    findings = verdict(record).findings
    left, suspected = unsettled([f for f in findings if {f.cell, f.base} <= timed])
    stored = Check.of(record).stored

    def cells(findings: Sequence[Finding]) -> set[str]:
        names = {cell for finding in findings for cell in (finding.cell, finding.base)}
        return timed if names and stored else names  # in their launches the control cells too

    return cells(left), cells(suspected)


def unsettled(findings: Sequence[Finding]) -> tuple[list[Finding], list[Finding]]:
    """Return what more launches may decide, and what of it is suspect.

    A cell that has got worse for certain needs no more launches.
    """
    done = {finding.cell for finding in findings if finding.verdict == REGRESSED}
    launches = {finding.cell: 0 for finding in findings}
    for finding in findings:
        launches[finding.cell] = max(launches[finding.cell], finding.launches)
    open_ = [
        finding
        for finding in findings
        if finding.cell not in done
        and finding.verdict in (INCONCLUSIVE, NOT_MEASURABLE)
        and _may_be_decided(finding, launches[finding.cell])
    ]
    return open_, [
        finding for finding in open_ if finding.verdict == INCONCLUSIVE and _suspect(finding)
    ]


def _may_be_decided(finding: Finding, launches: int) -> bool:
    """Say whether one more launch may narrow a figure of a cell that had so many."""
    if finding.metric is PARITY:
        return False
    if finding.metric is ACCURACY:
        return finding.launches == launches  # the first ones alone train
    if finding.metric in (MEMORY, DEVICE_MEMORY):
        # Of those the very first one's peak does not count.
        return finding.launches >= launches - 1
    if finding.metric is FIRST_STEP and finding.verdict == INCONCLUSIVE:
        return _suspect(finding)  # one value a launch: to be sure takes longer than anyone waits
    return True


def _suspect(finding: Finding) -> bool:
    if finding.change is None or finding.threshold is None:
        return False
    worse = -finding.change if finding.metric.higher_is_better else finding.change
    return worse > SUSPECT * finding.threshold


def _presence(
    head: str, base: str, after: Cell | None, before: Cell | None, running: set[str]
) -> Iterator[Finding]:
    """Yield what of the cell itself is lost: that it runs, that it is equivalent to the reference.

    `running` are the statuses of cells that run.
    """
    if before is None or before.status not in running:
        why = "not there" if before is None else with_reason(before.status, before.reason)
        yield Finding(head, base, PARITY, MISSING, note=f"the base of the comparison: {why}")
    elif after is None:
        yield Finding(head, base, PARITY, MISSING, note=_GONE)
    elif after.status not in running:
        yield Finding(head, base, PARITY, MISSING, note=with_reason(after.status, after.reason))
    else:
        yield from _parity(head, base, after, before)


def _parity(head: str, base: str, after: Cell, before: Cell) -> Iterator[Finding]:
    """Yield what became of the equivalence of a cell that runs; nothing where neither was checked."""

    def finding(verdict: str, note: str = "") -> Finding:
        return Finding(head, base, PARITY, verdict, note=note)

    if before.status == NOT_EQUIVALENT:
        yield finding(NOT_COMPARED, "the base is not equivalent itself")
    elif after.status == NOT_EQUIVALENT:
        yield finding(REGRESSED, f"no longer equivalent: {after.reason}")
    elif before.parity == UNDECIDED:
        both = "the base and this cell are" if after.parity == UNDECIDED else "the base is"
        yield finding(NOT_COMPARED, f"{both} undecided; {before.reason}")
    elif after.parity == UNDECIDED:
        yield finding(
            INCONCLUSIVE, f"nothing was shown for it, so nothing is compared; {after.reason}"
        )
    elif before.parity == EQUIVALENT and after.parity != EQUIVALENT:
        yield finding(REGRESSED, "it was equivalent before; its parity was not checked now")
    elif after.parity == EQUIVALENT:
        yield finding(SAME)


def _paired(measures: Measures, head: str, base: str) -> Iterator[Comparison]:
    """Yield every metric of two cells of one run."""
    for metric in IN_GATE:
        logs = measures.pair(metric, head, base)
        if len(logs):
            floor = measures.floor(metric, head)
            ratio = intervals.ratio(logs, level=LEVEL, trim=TRIM)
            before, after = measures.value(metric, base), measures.value(metric, head)
            yield Comparison(metric, head, base, ratio, floor, before, after)


def _stored(measures: Measures, stored: Baseline, cell: str, alike: bool) -> Iterator[Comparison]:
    """Yield every metric of a cell and of itself in a baseline, of a machine that is `alike` or not."""
    for metric in IN_GATE:
        sides = stored.against_control(metric, cell, measures.calibrated(metric), alike)
        if sides is not None:
            floor = max(measures.floor(metric, cell), stored.floor(metric))
            ratio = intervals.change(*sides, level=LEVEL, trim=TRIM)
            before, after = stored.value(metric, cell), measures.value(metric, cell)
            yield Comparison(metric, cell, cell, ratio, floor, before, after)


def _accuracy(after: Cell, before: Cell | None, head: str, base: str) -> Iterator[AccuracyChange]:
    held = before.correct if before else {}
    seeds = [
        seed
        for seed in sorted({*after.correct} & {*held})
        if after.correct[seed].size == held[seed].size > 0
    ]
    if seeds:
        old, new = ([side[seed] for seed in seeds] for side in (held, after.correct))
        yield accuracy_change(head, base, old, new, LEVEL)
