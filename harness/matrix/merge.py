"""Many units, one comparison. A unit is a block: ratios are taken within it, and speeds are never pooled.

On nodes of one fingerprint the log ratio of a node, over its units, is one value, and the interval is
Student's over nodes. Nodes of other fingerprints stand side by side. Accuracy is pooled over seeds.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness.matrix import block
from harness.matrix.plan import Plan, Unit
from harness.matrix.status import MatrixState
from harness.outcomes import CHANGE, FASTER, INCONCLUSIVE, SLOWER
from harness.results import pairwise, tables
from harness.stats import intervals
from harness.stats.intervals import Interval, Ratio

MADS = 3.0
"""A node whose reference kernel is slower than the median of its kind by so many MADs is slow."""

FEWEST_NODES = 4
"""Of one kind, below which no node is called slow."""

Pair = tuple[str, str]


@dataclass(frozen=True)
class Block:
    """One unit's result: `figures` are a block's, as `block.of` has them."""

    number: int
    unit: Unit
    node: str
    figures: Mapping[str, Any] = field(repr=False)

    @property
    def fingerprint(self) -> str:
        """Of the machine; machines of none are alike to no other."""
        return str(self.figures["fingerprint"] or f"unknown: {self.node}")

    @property
    def counts(self) -> bool:
        """Whether its ratios are compared: not where it shared its node."""
        return not self.figures.get("not_alone")


@dataclass(frozen=True)
class PairRatio:
    """One cell's speed over another's on one kind of machine, and what varies: nodes, launches.

    The deviations are of logarithms, so nearly parts of one; None where there are too few.
    """

    ratio: Ratio
    verdict: str
    units: int
    between_nodes: float | None
    between_launches: float | None


@dataclass(frozen=True)
class Kind:
    """All nodes of one fingerprint in one group: its pairs by kind of slices, and its ranks."""

    fingerprint: str
    machine: str
    nodes: tuple[str, ...]
    units: int
    pairs: Mapping[str, Mapping[Pair, PairRatio]]
    ranks: Mapping[str, tuple[int, int]]
    """By cell, of training, the best and the worst; none where no ratio has an interval."""

    def leader(self, slices: str) -> str | None:
        """The cell that is the least behind where it is behind."""
        ratios = {pair: self.between(slices, *pair) for pair in self.pairs[slices]}
        both = {pair: ratio.estimate for pair, ratio in ratios.items() if ratio}
        both |= {(b, a): 1 / ratio for (a, b), ratio in both.items()}
        return pairwise.leader(sorted({cell for pair in both for cell in pair}), both)

    def between(self, slices: str, a: str, b: str) -> Ratio | None:
        """The ratio of two cells, whichever way it was taken."""
        if (a, b) in self.pairs[slices]:
            return self.pairs[slices][a, b].ratio
        if (b, a) not in self.pairs[slices]:
            return None
        return self.pairs[slices][b, a].ratio.inverse()


@dataclass(frozen=True)
class CellFigures:
    """One cell over all units: how often it came through, accuracy over seeds, the largest peak."""

    cell: str
    ok: int
    units: int
    reference: bool
    accuracy: Interval
    peak_memory: float | None
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Group:
    """Cells that may be compared: of one workload, device and dtype."""

    workload: str
    device: str
    dtype: str
    kinds: tuple[Kind, ...]
    cells: tuple[CellFigures, ...]


def blocks(plan: Plan, state: MatrixState) -> list[Block]:
    """The results of a matrix, in the order of its units."""
    results = []
    for unit in state.units:
        if unit.done and unit.done["block"]["schema"] == block.SCHEMA:
            of_unit = plan.units[unit.number]
            results.append(Block(unit.number, of_unit, unit.node, unit.done["block"]))
    return results


def merge(results: Sequence[Block]) -> list[Group]:
    """Return every group of cells, in the order of the plan."""
    cells: dict[tuple[str, str, str], dict[str, list[tuple[Block, Mapping[str, Any]]]]] = {}
    for result in results:
        for row in result.figures["cells"]:
            parts = tables.split(row["cell"])
            key = (parts["workload"], parts["device"], parts["dtype"])
            cells.setdefault(key, {}).setdefault(row["cell"], []).append((result, row))
    values = _values(results)
    return [
        Group(*key, _kinds(values.get(key, {})), tuple(_figures(*item) for item in of_key.items()))
        for key, of_key in cells.items()
    ]


def differing(results: Iterable[Block]) -> list[str]:
    """What all units should have in common and have not: samestep's sources, frameworks' versions."""
    sources = {str(result.figures["sources"]) for result in results}
    versions: dict[str, set[str]] = defaultdict(set)
    for result in results:
        for framework, version in result.figures["versions"].items():
            versions[framework].add(str(version))
    mixed = [f"{name} {' and '.join(sorted(v))}" for name, v in versions.items() if len(v) > 1]
    return (["samestep's own files"] if len(sources) > 1 else []) + mixed


def slow_nodes(results: Iterable[Block]) -> dict[str, float]:
    """Nodes slower than their kind by more than MADS, each with its rate over the kind's median."""
    rates: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        if rate := result.figures["kernel_rate"]:
            rates[result.fingerprint][result.node].append(rate)
    slow: dict[str, float] = {}
    for of_kind in rates.values():
        medians = {node: float(np.median(values)) for node, values in of_kind.items()}
        middle = float(np.median(list(medians.values())))
        mad = float(np.median([abs(rate - middle) for rate in medians.values()]))
        bound = middle - max(MADS * mad, CHANGE.relative * middle)
        if len(medians) >= FEWEST_NODES:
            slow |= {node: rate / middle for node, rate in medians.items() if rate < bound}
    return slow


@dataclass
class _Values:
    """The log ratios of one pair on one kind of machine, unit by unit."""

    nodes: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    launches: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    floors: list[float] = field(default_factory=list)
    squares: float = 0.0
    freedom: int = 0

    def add(self, node: str, row: Sequence[Any]) -> None:
        """Add a unit's row of `block.PAIR`."""
        _, _, log_ratio, launches, variance, floor = row
        self.nodes[node].append(log_ratio)
        self.launches[node] += launches
        self.floors.append(floor)
        if variance is not None:
            self.squares += variance * (launches - 1)
            self.freedom += launches - 1


@dataclass
class _OfKind:
    """What units of one kind of machine have of one group."""

    machine: str
    numbers: set[int] = field(default_factory=set)
    nodes: set[str] = field(default_factory=set)
    pairs: dict[str, dict[Pair, _Values]] = field(
        default_factory=lambda: {kind: {} for kind in block.KINDS}
    )


def _values(results: Iterable[Block]) -> dict[tuple[str, str, str], dict[str, _OfKind]]:
    """The units' log ratios by group, fingerprint, kind of slices and pair."""
    groups: dict[tuple[str, str, str], dict[str, _OfKind]] = {}
    for result in results:
        if not result.counts:
            continue
        names = [row["cell"] for row in result.figures["cells"]]
        for slices, rows in result.figures["pairs"].items():
            for row in rows:
                a, b = names[row[0]], names[row[1]]
                parts = tables.split(a)
                key = (parts["workload"], parts["device"], parts["dtype"])
                of_kind = groups.setdefault(key, {}).setdefault(
                    result.fingerprint, _OfKind(str(result.figures["machine"] or "unknown"))
                )
                of_kind.numbers.add(result.number)
                of_kind.nodes.add(result.node)
                pair, sign = ((a, b), 1) if a < b else ((b, a), -1)
                values = of_kind.pairs[slices].setdefault(pair, _Values())
                values.add(result.node, [*row[:2], sign * row[2], *row[3:]])
    return groups


def _kinds(of_group: Mapping[str, _OfKind]) -> tuple[Kind, ...]:
    kinds = []
    for fingerprint, of_kind in sorted(of_group.items(), key=lambda item: -len(item[1].numbers)):
        pairs = {slices: _judged(values) for slices, values in of_kind.pairs.items()}
        kinds.append(
            Kind(
                fingerprint,
                of_kind.machine,
                tuple(sorted(of_kind.nodes)),
                len(of_kind.numbers),
                pairs,
                _ranks(pairs["train"]),
            )
        )
    return tuple(kinds)


def _judged(of_pairs: Mapping[Pair, _Values]) -> dict[Pair, PairRatio]:
    """Every pair's ratio over nodes, with Holm's verdicts over all of them."""
    ratios = {
        pair: intervals.ratio(
            [float(np.mean(logs)) for logs in values.nodes.values()],
            float(np.median(values.floors)),
        )
        for pair, values in of_pairs.items()
    }
    apart = intervals.holm({pair: ratio.p for pair, ratio in ratios.items()})
    return {
        pair: PairRatio(
            ratio,
            (FASTER if ratio.estimate > 1 else SLOWER) if pair in apart else INCONCLUSIVE,
            sum(map(len, of_pairs[pair].nodes.values())),
            *_deviations(of_pairs[pair]),
        )
        for pair, ratio in ratios.items()
    }


def _deviations(values: _Values) -> tuple[float | None, float | None]:
    """Standard deviations of a log ratio between nodes, and between launches on one node.

    The variance of nodes' means holds what their launches vary by: that is taken from it.
    """
    within = values.squares / values.freedom if values.freedom else None
    means = [float(np.mean(logs)) for logs in values.nodes.values()]
    if len(means) < 2:
        return None, None if within is None else math.sqrt(within)
    of_launches = np.mean([(within or 0.0) / max(1, n) for n in values.launches.values()])
    between = max(0.0, float(np.var(means, ddof=1)) - float(of_launches))
    return math.sqrt(between), None if within is None else math.sqrt(within)


def _ranks(pairs: Mapping[Pair, PairRatio]) -> dict[str, tuple[int, int]]:
    """The best and the worst rank by training that the pairs leave to each cell."""
    if not any(pair.ratio.launches > 1 for pair in pairs.values()):
        return {}
    decided = [
        (a, b) if pair.verdict == FASTER else (b, a)
        for (a, b), pair in pairs.items()
        if pair.verdict != INCONCLUSIVE
    ]
    return intervals.rank_ranges(sorted({cell for pair in pairs for cell in pair}), decided)


def _figures(cell: str, rows: Sequence[tuple[Block, Mapping[str, Any]]]) -> CellFigures:
    by_seed: dict[int | None, list[float]] = defaultdict(list)
    for result, row in rows:
        if row["accuracy"] is not None:
            by_seed[result.unit.seed].append(row["accuracy"])
    peaks = [row["peak_memory_bytes"] for _, row in rows if row["peak_memory_bytes"] is not None]
    reasons = (f"{row['status']}: {row['reason']}" for _, row in rows if row["status"] != tables.OK)
    return CellFigures(
        cell,
        sum(row["status"] == tables.OK for _, row in rows),
        len(rows),
        bool(rows[0][1]["reference"]),
        intervals.interval([float(np.mean(values)) for values in by_seed.values()]),
        max(peaks, default=None),
        tuple(dict.fromkeys(reasons)),
    )


def contradictions(group: Group, slices: str) -> tuple[int, list[Pair]]:
    """How many pairs two kinds of machines decide, and those of which they say the opposite."""
    verdicts: dict[Pair, list[str]] = defaultdict(list)
    for kind in group.kinds:
        for pair, ratio in kind.pairs[slices].items():
            if ratio.verdict != INCONCLUSIVE:
                verdicts[pair].append(ratio.verdict)
    decided = {pair: words for pair, words in verdicts.items() if len(words) > 1}
    return len(decided), [pair for pair, words in decided.items() if len({*words}) > 1]
