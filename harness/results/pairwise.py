"""From timed slices to who is faster than whom: every pair of cells, and every cell's rank.

Cells are compared within a workload, a device and an arithmetic, never across. Tables in, tables out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.outcomes import FASTER, INCONCLUSIVE, SLOWER
from harness.stats import intervals, pooling
from harness.stats.intervals import LEVEL, LOOKS, Interval, Ratio

GROUP = ("workload", "device", "dtype")

COLUMNS = (
    *GROUP,
    "kind",
    "a",
    "b",
    "ratio",
    "low",
    "high",
    "p",
    "launches",
    "error",
    "floor",
    "verdict",
)


FAR = 2.0
"""Of cells that differ by this factor nobody needs to know it more precisely."""


def level(by_verdict: bool) -> float:
    """Return the level of a run's intervals.

    One that stops as soon as a verdict stands looks at LOOKS, and at its end. One that stops by how wide
    its intervals are does not choose what they say (benchmarks/coverage.py).
    """
    return intervals.level_at_looks(len(LOOKS) + 1) if by_verdict else LEVEL


def counted(samples: pd.DataFrame) -> pd.DataFrame:
    """Return the slices that count: of every slice the last attempt, disturbed or not.

    What disturbs a round hits all of its cells, and cancels in their ratios; what hits one slice alone
    is outvoted by its launch's others (`intervals.pseudomedian`). Only runs of earlier versions made a
    second attempt.
    """
    launch = (
        samples.groupby(["cell", "kind", "launch"], sort=False, observed=True).ngroup().to_numpy()
    )
    timed = samples["samples_per_s"].to_numpy(float) > 0
    place = {"launch": launch, "timed": timed} | {key: samples[key] for key in ("turn", "round")}
    return samples[timed & ~pd.DataFrame(place).duplicated(keep="last").to_numpy()]


def rates(samples: pd.DataFrame) -> dict[str, NDArray[np.float64]]:
    """Return each cell's samples a second as (launches, rounds), of what counts; NaN where it has none.

    `samples` are of one kind.
    """
    return _aligned(counted(samples))


def speeds(slices: pd.DataFrame, level: float = LEVEL) -> dict[tuple[str, str], Interval]:
    """Return the samples a second by cell and kind, of slices that are `counted`."""
    return {
        (cell, str(key[-1])): intervals.speed(rates, level)
        for key, group in slices.groupby([*GROUP, "kind"], sort=False, observed=True)
        for cell, rates in _aligned(group).items()
    }


def pairs(samples: pd.DataFrame, twins: pd.DataFrame, level: float = LEVEL) -> pd.DataFrame:
    """Return every pair of cells of a group and kind, a row each: a's throughput over b's.

    `samples` and `twins` are slices that are `counted`; `twins` those of cells that ran twice. The
    interval is widened by what identical cells differed by; the verdict on `a` is Holm's over all
    pairs of the group and kind.
    """
    rows = []
    for key, group in samples.groupby([*GROUP, "kind"], sort=False, observed=True):
        rates = _aligned(group)
        floor = intervals.noise_floor(_twins(group, twins[twins["kind"] == key[-1]]))
        names = list(combinations(rates, 2))
        logs = {(a, b): intervals.launch_ratios(rates[a], rates[b]) for a, b in names}
        scatters = {(a, b): pooling.scatter(rates[a], rates[b]) for a, b in names}
        ratios = pooling.ratios(logs, scatters, floor, level)
        apart = intervals.holm({pair: ratio.p for pair, ratio in ratios.items()}, 1 - level)
        rows += [
            (*key, *pair, *_row(ratio), floor, _verdict(ratio) if pair in apart else INCONCLUSIVE)
            for pair, ratio in ratios.items()
        ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def ranks(table: pd.DataFrame, cells: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Return the best and the worst rank that the pairs of one group and kind leave to each cell."""
    decided = table[table["verdict"] != INCONCLUSIVE]
    faster = decided["a"].where(decided["verdict"] == FASTER, decided["b"])
    slower = decided["b"].where(decided["verdict"] == FASTER, decided["a"])
    return intervals.rank_ranges(cells, zip(faster, slower, strict=True))


def undecided(table: pd.DataFrame, precision: float | None = None) -> pd.DataFrame:
    """Return the pairs that more launches are worth their time for.

    With `precision`, half of the interval's width as a part of the ratio: those that are not known so
    well, but for cells that are certain to be FAR apart. Without: those of no significant difference.
    """
    if precision is None:
        return table[table["verdict"] == INCONCLUSIVE]
    is_far = (table["low"] >= FAR) | (table["high"] <= 1 / FAR)
    return table[~(half_width(table) <= precision) & ~is_far]


def half_width(table: pd.DataFrame) -> pd.Series:
    """Return half the width of each pair's interval, as a part of its ratio."""
    return (table["high"] - table["low"]) / (2 * table["ratio"])


def leader(cells: Sequence[str], ratios: Mapping[tuple[str, str], float]) -> str | None:
    """Return the fastest of some cells: it is the least behind where it is behind.

    `ratios` has each pair's both ways; speeds of cells that ran in other launches met another drift. Of
    cells that were not compared it is the first.
    """

    def worst(cell: str) -> float:
        return min((ratios[cell, rival] for rival in cells if (cell, rival) in ratios), default=0.0)

    return max(cells, key=worst, default=None)


def leaders(table: pd.DataFrame) -> dict[str, Any] | None:
    """Return the `leader` of a table of pairs and the next one, with their ratio and its bounds."""
    both = both_ways(table).dropna(subset=["ratio"])
    if not len(both):
        return None
    ratios = dict(zip(zip(both["a"], both["b"], strict=True), both["ratio"], strict=True))
    first = leader(list(both["a"].unique()), ratios)
    next_to = both[both["a"] == first].sort_values("ratio").iloc[0]
    return {key: next_to[key] for key in ("a", "b", "ratio", "low", "high")}


def both_ways(table: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs, then all of them the other way around: names, ratios and bounds."""
    turned = pd.DataFrame(
        {
            "a": table["b"],
            "b": table["a"],
            "ratio": 1 / table["ratio"],
            "low": 1 / table["high"],
            "high": 1 / table["low"],
        }
    )
    return pd.concat([table, turned])


def launches_wanted(pair: pd.Series, precision: float | None = None) -> float:
    """Return about how many launches would settle a pair; infinite where none are known to.

    To know its ratio to the `precision`, or without one to find its difference significant. An interval
    narrows as the root of the launches, down to the floor. At least one more: Holm may call inconclusive
    what its own interval tells.
    """
    half = (np.log(pair["high"]) - np.log(pair["low"])) / 2 - pair["floor"]
    target = abs(np.log(pair["ratio"])) if precision is None else np.log1p(precision)
    beyond = target - pair["floor"]
    if not (beyond > 0 and np.isfinite(half)):
        return np.inf
    return float(max(pair["launches"] + 1, pair["launches"] * (half / beyond) ** 2))


def _row(ratio: Ratio) -> tuple[float, float, float, float, int, float]:
    return ratio.estimate, ratio.low, ratio.high, ratio.p, ratio.launches, ratio.error


def _verdict(ratio: Ratio) -> str:
    return FASTER if ratio.estimate > 1 else SLOWER


def _aligned(group: pd.DataFrame) -> dict[str, NDArray[np.float64]]:
    """Return each cell's samples a second as (launches, rounds), NaN where it has none."""
    cell, cells = pd.factorize(group["cell"], sort=True)
    launch, launches = pd.factorize(group["launch"], sort=True)
    place = group.groupby(["turn", "round"], dropna=False).ngroup().to_numpy()
    wide = np.full((len(cells), len(launches), place.max(initial=-1) + 1), np.nan)
    wide[cell, launch, place] = group["samples_per_s"]
    return dict(zip(map(str, cells), wide, strict=True))


def _twins(group: pd.DataFrame, again: pd.DataFrame) -> list[float]:
    """Return the log ratio of each launch that ran beside its twin."""
    logs: list[float] = []
    for cell, replicates in again.groupby("cell", sort=False, observed=True):
        beside = group[(group["cell"] == cell) & group["launch"].isin(replicates["launch"])]
        if len(beside):
            both = _aligned(pd.concat([beside, replicates.assign(cell="twin")]))
            logs += intervals.launch_ratios(both[str(cell)], both["twin"]).tolist()
    return logs
