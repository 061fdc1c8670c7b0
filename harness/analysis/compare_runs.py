"""What changed from one run, A, to another, B: its figures, cell by cell. Pure functions on two records.

Cells are matched by their ids. Two runs did not share their rounds: what the machine did between them
is in no interval of an absolute speed. So these are compared only on what looks like the same machine,
and are advisory even there; the ratio to a control cell, which both runs have, was taken within each
run's rounds, and holds on any machine. What is around the figures is `harness.analysis.context_diff`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.analysis.context_diff import Difference, differences, flat
from harness.outcomes import EQUIVALENCE, EQUIVALENT, FASTER, HIGHER, INCONCLUSIVE, LOWER, SLOWER
from harness.results import identity, metrics, pairwise, store, tables
from harness.results.metric import Speed
from harness.results.metrics import IN_COMPARE
from harness.results.pairwise import GROUP
from harness.results.tables import OK, number
from harness.stats import intervals
from harness.verdicts import UNDECIDED

SPEEDS = {
    metric.source.kind: metric.column for metric in IN_COMPARE if isinstance(metric.source, Speed)
}
TIMES = tuple(
    metric.column for metric in IN_COMPARE if metric.timed and metric.column not in SPEEDS.values()
)
ACCURACY, PARITY = metrics.ACCURACY.column, metrics.PARITY.column
MEMORY = tuple(
    metric.column
    for metric in IN_COMPARE
    if not metric.timed and metric.column not in (ACCURACY, PARITY)
)
"""What the machine's speed does not move: memory, and whatever is counted."""


@dataclass(frozen=True)
class Change:
    """One figure of one cell, before (A) and after (B).

    `figure` is a column of the summary; with an `anchor` (its control cell) both values are over
    that cell's.
    `change` is after over before, of accuracy after minus before, with its 95% bounds. Without bounds
    (a single value, or launch, a run) there are no `low`, `high` and `p`, and no verdict.
    """

    cell: str
    figure: str
    before: float
    after: float
    change: float
    low: float | None = None
    high: float | None = None
    p: float | None = None
    verdict: str | None = None
    anchor: str | None = None


@dataclass(frozen=True)
class Refusal:
    """What of a workload, a cell or a device cannot be compared, and why."""

    where: str
    what: str
    reason: str


@dataclass(frozen=True)
class Changes:
    """Everything that changed from run `a` to run `b`, and what cannot be compared."""

    a: str
    b: str
    changes: tuple[Change, ...]
    differences: tuple[Difference, ...]
    refused: tuple[Refusal, ...]

    @property
    def advisory(self) -> bool:
        """Whether absolute speeds are among the changes."""
        return any(
            change.anchor is None and change.figure in SPEEDS.values() for change in self.changes
        )


def compare(before: store.Record, after: store.Record) -> Changes:
    """Return what changed from run `before` to run `after`; refuse what is not comparable.

    Verdicts hold for all cells of a figure together (Holm).
    """
    a, b = _Side(before), _Side(after)
    level = max(tables.level(a.manifest), tables.level(b.manifest))
    refused = _refused(a, b)
    results: list[Change | Refusal] = [*_unmatched(a, b, refused)]
    results += [Refusal(workload, "everything", reason) for workload, reason in refused.items()]
    for workload in dict.fromkeys(a.cells[cell]["workload"] for cell in a.cells if cell in b.cells):
        if reason := refused.get(workload) or _incomparable(a, b, workload):
            results.append(Refusal(workload, "everything", reason))
            continue
        shared = [
            cell
            for cell, row in a.cells.items()
            if row["workload"] == workload
            and row["status"] == OK
            and b.cells.get(cell, {}).get("status") == OK
        ]
        results += _undecided(a, b, workload)
        results += _of_workload(a, b, shared, level)
    changes = [result for result in results if isinstance(result, Change)]
    return Changes(
        a.name,
        b.name,
        tuple(_judged(changes, level)),
        tuple(differences(before, after)),
        tuple(dict.fromkeys(result for result in results if isinstance(result, Refusal))),
    )


class _Side:
    """One of the two runs, and what is asked of it more than once."""

    def __init__(self, record: store.Record) -> None:
        self.manifest = record.manifest
        self.name = str(record.manifest.get("run") or record.folder.name)
        rows = store.summary(record).to_dict("records")
        self.cells: dict[str, dict[Any, Any]] = {row["cell"]: row for row in rows}
        self.refused = tables.refused(record.events)
        self.record = record
        self.data = identity.data_hashes(record)
        self.locks = {
            (event.get("framework"), event.get("device", "cpu")): event.get("lock_sha256")
            for event in record.every("framework-ready")
        }
        samples = store.samples(record)
        samples = samples[samples["round"] != tables.WARM_UP]
        self.rates: dict[str, dict[str, NDArray]] = {
            str(kind): pairwise.rates(slices)
            for kind, slices in samples.groupby("kind", observed=True)
        }
        pairs = record.pairs[[*GROUP, "kind", "floor"]].drop_duplicates()
        self.floors = {tuple(key): floor for *key, floor in pairs.itertuples(index=False)}

    @property
    def machine(self) -> Mapping[str, Any]:
        """The machine, as the manifest describes it."""
        return self.manifest.get("machine") or {}

    @property
    def threads(self) -> Any:
        """How many threads each worker had."""
        return (self.manifest.get("options") or {}).get("threads")

    def logs(self, kind: str, cell: str, control: str | None = None) -> NDArray:
        """The logarithm, by launch, of a cell's speed, or of its speed over the control cell's."""
        rates = self.rates.get(kind, {})
        if cell not in rates or control not in (None, *rates):
            return np.empty(0)
        if control is None:
            return intervals.launch_speeds(rates[cell])
        return intervals.launch_ratios(rates[cell], rates[control])

    def floor(self, kind: str, cell: str) -> float:
        """The A/A noise floor where this cell was timed."""
        row = self.cells[cell]
        return float(self.floors.get((*(row[part] for part in GROUP), kind), 0.0))


def _unmatched(a: _Side, b: _Side, refused: Collection[str]) -> Iterator[Refusal]:
    """Yield the cells that one run alone has; its counterpart may differ in arithmetic only.

    Those of workloads that were `refused` are left out.
    """
    for side, opposite, name, opposite_name in ((a, b, "A", "B"), (b, a, "B", "A")):
        for cell, row in side.cells.items():
            if cell in opposite.cells or row["workload"] in refused:
                continue
            stem = cell.rpartition("/")[0]
            dtypes = [
                counterpart["dtype"]
                for key, counterpart in opposite.cells.items()
                if key.rpartition("/")[0] == stem
            ]
            also = f", where {opposite_name} computed in {', '.join(dtypes)}" if dtypes else ""
            yield Refusal(cell, "everything", f"only in {name}: {row['dtype']}{also}")


def _refused(a: _Side, b: _Side) -> dict[str, str]:
    """Return the workloads that were refused in a run, each with that run and the reason."""
    reasons = defaultdict[str, list[str]](list)
    for name, side in (("A", a), ("B", b)):
        for workload, reason in side.refused.items():
            reasons[workload].append(f"refused in {name}: {reason}")
    return {workload: "; ".join(texts) for workload, texts in reasons.items()}


def _undecided(a: _Side, b: _Side, workload: str) -> Iterator[Refusal]:
    """Yield the cells of a workload that are undecided in a run, with the tensors."""
    for name, side in (("A", a), ("B", b)):
        for cell, row in side.cells.items():
            if row["workload"] == workload and row["status"] == UNDECIDED:
                yield Refusal(cell, "everything", f"in {name}: {row['reason']}")


def _incomparable(a: _Side, b: _Side, workload: str) -> str | None:
    """Say why nothing of a workload can be compared; None where it can."""
    computed_a, computed_b = (identity.computation(side.record, workload) for side in (a, b))
    if computed_a.kept_variables != computed_b.kept_variables:
        values = (side.kept_variables or "none" for side in (computed_a, computed_b))
        return f"other --keep-env: {' in A, '.join(values)} in B"
    if computed_a.same_mathematics(computed_b):
        return None
    if computed_a.spec != computed_b.spec:
        specs = [(side.manifest.get("workloads") or {}).get(workload) or {} for side in (a, b)]
        return f"another spec: {_apart(*(flat({**spec, 'title': None}) for spec in specs))}"
    hashes = [side.data.get(workload) for side in (a, b)]
    for name, digest in zip("AB", hashes, strict=True):
        if not digest:
            return f"no hash vouches for its data in {name}"
    return f"other data: {_apart(*(flat(digest or {}) for digest in hashes))}"


def _apart(a: Mapping[str, Any], b: Mapping[str, Any]) -> str:
    """Name what differs, at most three, with both values."""
    keys = [key for key in {**a, **b} if a.get(key) != b.get(key)]
    texts = [f"{key} {str(a.get(key))[:40]} in A, {str(b.get(key))[:40]} in B" for key in keys[:3]]
    return "; ".join(texts + ([f"and {len(keys) - 3} more"] if keys[3:] else []))


def _of_workload(
    a: _Side, b: _Side, shared: Sequence[str], level: float
) -> Iterator[Change | Refusal]:
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for cell in shared:
        yield from _accuracy(a, b, cell, level)
        yield from _plain(a, b, cell, (PARITY,))
        if not a.cells[cell]["reference"]:
            groups[tuple(a.cells[cell][part] for part in GROUP)].append(cell)
    for (_, device, _), cells in groups.items():
        unlike = identity.unlike(a.machine, b.machine, device)
        alike = not unlike and a.threads == b.threads
        for cell in cells:
            if alike or _same_build(a, b, cell):
                yield from _plain(a, b, cell, MEMORY)
            else:
                yield Refusal(cell, "memory", "another machine or threads, and another lock")
        if a.threads != b.threads:
            threads = f"{a.threads} threads in A, {b.threads} in B"
            yield Refusal(device, "speeds and times", threads)
            continue
        if alike:
            for cell in cells:
                yield from _plain(a, b, cell, TIMES)
                yield from _speeds(a, b, cell, None, level)
        else:
            reason = f"not the same machine: {'; '.join(unlike)}"
            yield Refusal(device, "absolute speeds and times", reason)
        yield from _anchored(a, b, cells, level)


def _accuracy(a: _Side, b: _Side, cell: str, level: float) -> Iterator[Change | Refusal]:
    rows = a.cells[cell], b.cells[cell]
    x, y = (number(row[ACCURACY]) for row in rows)
    n, m, *steps = (int(number(row[key]) or 0) for key in ("examples", "steps") for row in rows)
    if x is None or y is None or not n or not m:
        return
    if steps[0] != steps[1]:
        yield Refusal(cell, ACCURACY, f"trained {steps[0]} steps in A, {steps[1]} in B")
        return
    difference, p = intervals.share_change((x, n), (y, m), level)
    yield Change(cell, ACCURACY, x, y, difference.estimate, difference.low, difference.high, p)


def _plain(a: _Side, b: _Side, cell: str, figures: Iterable[str]) -> Iterator[Change]:
    """Yield figures that have one value a run, and so no interval."""
    for figure in figures:
        before, after = (number(side.cells[cell][figure]) for side in (a, b))
        if before and after:
            yield Change(cell, figure, before, after, after / before)


def _speeds(a: _Side, b: _Side, cell: str, control: str | None, level: float) -> Iterator[Change]:
    """Yield a cell's speeds, or those over the control cell's, where both runs have them.

    The A/A noise floors of the two runs are added: either may lean.
    """
    for kind, figure in SPEEDS.items():
        x, y = (side.logs(kind, cell, control) for side in (a, b))
        ratio = intervals.change(x, y, a.floor(kind, cell) + b.floor(kind, cell), level)
        if not ratio.launches:
            continue
        before, after = (math.exp(np.nanmean(logs)) for logs in (x, y))
        change = Change(cell, figure, before, after, ratio.estimate, anchor=control)
        if ratio.launches > 1:
            change = replace(change, low=ratio.low, high=ratio.high, p=ratio.p)
        yield change


def _anchored(a: _Side, b: _Side, cells: Sequence[str], level: float) -> Iterator[Change | Refusal]:
    """Yield speeds over the control's: of cells built alike in both runs the one with most launches."""

    def launches(cell: str) -> int:
        return min(int(np.isfinite(side.logs("train", cell)).sum()) for side in (a, b))

    timed = [cell for cell in sorted(cells) if launches(cell)]
    if not timed:
        return
    control = max(timed, key=lambda cell: (_same_build(a, b, cell), launches(cell)))
    if len(timed) == 1:
        yield Refusal(control, "relative speeds", "no other cell was timed in both runs")
    for cell in cells:
        if cell != control:
            yield from _speeds(a, b, cell, control, level)


def _same_build(a: _Side, b: _Side, cell: str) -> bool:
    """Say whether a cell's framework was built from the same lock in both runs."""
    row = a.cells[cell]
    locks = [side.locks.get((row["framework"], row["device"])) for side in (a, b)]
    return locks[0] is not None and locks[0] == locks[1]


def _judged(changes: Sequence[Change], level: float) -> Iterator[Change]:
    """Yield every change with its verdict, where it has bounds."""
    families: dict[tuple[str, bool], dict[str, float]] = defaultdict(dict)
    for change in changes:
        if change.p is not None:
            families[change.figure, change.anchor is None][change.cell] = change.p
    apart = {family: intervals.holm(p, 1 - level) for family, p in families.items()}
    for change in changes:
        significant = change.cell in apart.get((change.figure, change.anchor is None), ())
        yield replace(change, verdict=_verdict(change, significant))


def _verdict(change: Change, significant: bool) -> str | None:
    """Say equivalent of what is surely within the margin; else whether and where it went."""
    if change.low is None or change.high is None:
        return None
    share = change.figure == ACCURACY
    points, most = EQUIVALENCE.points, 1 + EQUIVALENCE.relative
    down, none, up = (-points, 0.0, points) if share else (1 / most, 1.0, most)
    if down <= change.low and change.high <= up:
        return EQUIVALENT
    if not significant or change.low <= none <= change.high:
        return INCONCLUSIVE
    if share:
        return HIGHER if change.change > 0 else LOWER
    return FASTER if change.change > 1 else SLOWER
