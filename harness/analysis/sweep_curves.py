"""A run's sweep as curves: every cell's throughput over the values, and where the curves cross.

From the store alone. Cells are compared at one value, where they shared rounds; a curve's own points
were timed one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import pandas as pd

from harness.outcomes import FASTER, INCONCLUSIVE, SLOWER
from harness.results import pairwise, store
from harness.results.sweep import Axis, Sweep
from harness.results.tables import FINISHED
from harness.stats import crossings
from harness.stats.crossings import FIRST, NEITHER, SECOND, Crossing
from harness.stats.intervals import Interval

KINDS = ("train", "predict")

_SIDES = {FASTER: FIRST, SLOWER: SECOND, INCONCLUSIVE: NEITHER}


@dataclass(frozen=True)
class Curve:
    """A cell's samples a second by the values that it came to; `cells` are its ids there."""

    name: str
    cells: Mapping[float, str]
    speeds: Mapping[float, Interval]


@dataclass(frozen=True)
class CurvePair:
    """How the curves `a` and `b` stand to each other.

    `ahead` says by value who is significantly ahead, as `harness.stats.crossings` does.
    """

    a: str
    b: str
    ahead: Mapping[float, int]
    crossings: Sequence[Crossing]

    @property
    def leader(self) -> str | None:
        """The one that is ahead at every value; None where they cross, or at some nobody is."""
        sides = {*self.ahead.values()}
        return {FIRST: self.a, SECOND: self.b}.get(sides.pop()) if len(sides) == 1 else None

    @property
    def inconclusive(self) -> list[float]:
        """The values at which nobody is ahead."""
        return [value for value, side in self.ahead.items() if side == NEITHER]


@dataclass(frozen=True)
class SweepCurves:
    """The curves of one workload on one device in one arithmetic, for one kind of slices."""

    of: str
    over: Axis
    device: str
    dtype: str
    kind: str
    values: Sequence[float]
    curves: Sequence[Curve]
    pairs: Sequence[CurvePair]

    @property
    def leader(self) -> str | None:
        """The cell that is significantly ahead of every other one at every value."""
        names = {curve.name for curve in self.curves}
        ahead = [pair.leader for pair in self.pairs]
        return next((name for name in names if ahead.count(name) == len(names) - 1 > 0), None)


def sweep_curves(record: store.Record) -> list[SweepCurves]:
    """Return the curves of a run's sweep; none where it was none."""
    sweep = Sweep.read(record.manifest)
    table = record.cells
    table = table[table["status"].isin(FINISHED) & ~table["reference"]]
    return [
        curves
        for of, values in (sweep.by_workload() if sweep else {}).items()
        for place, cells in table[table["workload"].isin(values)].groupby(
            ["device", "dtype"], sort=False
        )
        for kind in KINDS
        if sweep and (curves := _curves(record, sweep.over, of, values, place, cells, kind)).curves
    ]


def _curves(
    record: store.Record,
    over: Axis,
    of: str,
    values: Mapping[str, float],
    place: Any,
    cells: pd.DataFrame,
    kind: str,
) -> SweepCurves:
    """Return the curves of the cells of one device and arithmetic; `values` are by workload."""
    rate = f"{kind}_samples_per_s"
    curves = []
    for names, rows in cells.dropna(subset=[rate]).groupby(["framework", "mode"], sort=False):
        by_value = {values[row["workload"]]: row for row in rows.to_dict("records")}
        speeds = {
            value: Interval(row[rate], row[f"{kind}_low"], row[f"{kind}_high"], row["launches"])
            for value, row in sorted(by_value.items())
        }
        ids = {value: str(row["cell"]) for value, row in by_value.items()}
        curves.append(Curve(" ".join(map(str, names)), ids, speeds))
    # The fastest at the last value first, as the curves end in a plot.
    curves.sort(key=lambda curve: (max(curve.speeds), [*curve.speeds.values()][-1].estimate))
    curves.reverse()
    device, dtype = map(str, place)
    pairs = tuple(_pairs(record.pairs[record.pairs["kind"] == kind], curves))
    return SweepCurves(of, over, device, dtype, kind, sorted(values.values()), curves, pairs)


def _pairs(table: pd.DataFrame, curves: Sequence[Curve]) -> Iterator[CurvePair]:
    """Yield every pair of curves that were compared at two values at least."""
    ratios = {
        (str(pair["a"]), str(pair["b"])): (pair["low"], pair["ratio"], pair["high"])
        for pair in pairwise.both_ways(table).to_dict("records")
    }
    sides = dict(zip(zip(table["a"], table["b"], strict=True), table["verdict"], strict=True))
    for a, b in combinations(curves, 2):
        both = {
            value: (a.cells[value], b.cells[value])
            for value in a.speeds
            if value in b.speeds and (a.cells[value], b.cells[value]) in ratios
        }
        if len(both) < 2:
            continue
        ahead = {value: _side(sides, *pair) for value, pair in both.items()}
        compared = [ratios[pair] for pair in both.values()]
        changes = crossings.crossings([*both], compared, [*ahead.values()])
        yield CurvePair(a.name, b.name, ahead, changes)


def _side(verdicts: Mapping[tuple[str, str], str], a: str, b: str) -> int:
    if (a, b) in verdicts:
        return _SIDES[verdicts[a, b]]
    return -_SIDES[verdicts[b, a]]
