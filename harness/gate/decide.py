"""From measurements to findings: has it got worse by more than is tolerated, and how sure is that?

The estimate is over launches. Worse: by more than the threshold, and for certain (Holm, over everything
that is checked together, at a level that holds for repeated looks). Same: for certain not worse by
more. Neither: inconclusive. The threshold is never below the A/A noise floor.
docs/explanation/gate.md has what this finds and what it does not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from harness.gate.findings import IMPROVED, INCONCLUSIVE, NOT_MEASURABLE, REGRESSED, SAME, Finding
from harness.results.metric import Metric
from harness.results.metrics import ACCURACY
from harness.stats import intervals
from harness.stats.intervals import Interval, Ratio

CEILING = 0.25
"""Half of an interval's width, as a logarithm, from which nothing can be said at all; times the metric's
allowance."""

FAR = 200
"""More launches than this are not worth waiting for."""


@dataclass(frozen=True)
class Comparison:
    """A metric of a cell before and after, by how much it got better (above 1), and how surely.

    `floor` is the A/A noise floor, as a logarithm. It is no part of `ratio`: launches
    differ by as much, and it is their number that the bounds come from.
    """

    metric: Metric
    cell: str
    base: str
    ratio: Ratio
    floor: float
    before: float | None
    after: float | None


@dataclass(frozen=True)
class AccuracyChange:
    """The accuracy of a cell before and after, on the same examples after the same trainings."""

    cell: str
    base: str
    change: Interval
    p: float
    before: float
    after: float


def judge(
    compared: Sequence[Comparison],
    accuracies: Sequence[AccuracyChange],
    threshold: float,
    margin: float,
    level: float,
    seconds_a_launch: float | None = None,
) -> list[Finding]:
    """Return a finding for each comparison; `level` is that of their intervals."""
    tests = {(ratio.metric.name, ratio.cell): ratio.ratio.p for ratio in compared}
    tests |= {(ACCURACY.name, change.cell): change.p for change in accuracies}
    certain = intervals.holm(tests, 1 - level)
    return [
        _speed(ratio, threshold, (ratio.metric.name, ratio.cell) in certain, seconds_a_launch)
        for ratio in compared
    ] + [
        _accuracy(change, margin, (ACCURACY.name, change.cell) in certain) for change in accuracies
    ]


def accuracy_change(
    cell: str,
    base: str,
    before: Sequence[NDArray],
    after: Sequence[NDArray],
    level: float,
) -> AccuracyChange:
    """Return how the accuracy changed, from which examples were right after each of the trainings.

    Right is 1 and wrong is 0; in between is what several cells had right in the mean.

    Both sides trained with the same seeds, so examples are paired, and what counts is those that one
    side alone had right (McNemar, Psychometrika 12, 1947). Their error is the larger of that of as
    many coins and that of the seeds' own differences, for trainings may differ as wholes.
    """
    gained = [y.astype(float) - x for x, y in zip(before, after, strict=True)]
    differences = np.concatenate(gained)
    change = float(differences.mean())
    coins = float(np.square(differences).sum()) / differences.size**2
    means = np.asarray([gain.mean() for gain in gained])
    seeds = float(means.var(ddof=1)) / means.size if means.size > 1 else 0.0
    error = math.sqrt(max(coins, seeds))
    p = math.erfc(abs(change) / error / math.sqrt(2)) if error else 1.0
    half = intervals.normal_quantile(level) * error
    interval = Interval(change, change - half, change + half, means.size)
    old, new = (float(np.mean(np.concatenate(side))) for side in (before, after))
    return AccuracyChange(cell, base, interval, p, old, new)


def _speed(
    comparison: Comparison, threshold: float, certain: bool, seconds: float | None
) -> Finding:
    """Judge one ratio; `least` is what is tolerated, as a logarithm on either side of 0."""
    ratio = comparison.ratio
    least = max(math.log1p(threshold * comparison.metric.rule.allowance), comparison.floor)
    mean = math.log(ratio.estimate) if ratio.launches else math.nan
    low, high = (
        (math.log(bound) for bound in (ratio.low, ratio.high))
        if _bounded(ratio)
        else (math.nan,) * 2
    )
    finding = Finding(
        comparison.cell,
        comparison.base,
        comparison.metric,
        INCONCLUSIVE,
        comparison.before,
        comparison.after,
        *_changes(comparison.metric, ratio),
        threshold=math.expm1(least),
        launches=ratio.launches,
    )
    half, ceiling = (high - low) / 2, max(CEILING * comparison.metric.rule.allowance, least)
    if not half < ceiling:
        note = _not_measurable(ratio.launches, ceiling)
        return replace(finding, verdict=NOT_MEASURABLE, note=note)
    if certain and abs(mean) > least:
        return replace(finding, verdict=REGRESSED if mean < 0 else IMPROVED)
    if low > -least and mean <= least:
        return replace(finding, verdict=SAME)
    return replace(finding, note=_wanted(mean, half, least, ratio.launches, seconds))


def _not_measurable(launches: int, ceiling: float) -> str:
    """Say why nothing can be said of a ratio; `ceiling` is a logarithm."""
    few = {
        0: "every launch was contaminated",
        1: "at least 2 launches are needed for an interval",
    }
    wide = f"the interval is wider than ±{math.expm1(ceiling):.0%} after {launches} launches"
    return f"{few.get(launches, wide)}; quiet the machine, or give it more --budget"


def _accuracy(accuracy: AccuracyChange, margin: float, certain: bool) -> Finding:
    change = accuracy.change
    finding = Finding(
        accuracy.cell,
        accuracy.base,
        ACCURACY,
        INCONCLUSIVE,
        accuracy.before,
        accuracy.after,
        change.estimate,
        change.low,
        change.high,
        margin,
        change.launches,
    )
    if certain and abs(change.estimate) > margin:
        return replace(finding, verdict=REGRESSED if change.estimate < 0 else IMPROVED)
    if change.low > -margin and change.estimate <= margin:
        return replace(finding, verdict=SAME)
    return replace(
        finding,
        note="trainings vary too much between seeds: give a larger --margin, or more --epochs",
    )


def _bounded(ratio: Ratio) -> bool:
    return math.isfinite(ratio.low) and ratio.low > 0 and math.isfinite(ratio.high)


def _changes(metric: Metric, ratio: Ratio) -> tuple[float | None, float | None, float | None]:
    """Return the metric's change and its bounds, as parts of what it was before."""
    better = ratio if metric.higher_is_better else ratio.inverse()
    bounds = (better.estimate, better.low, better.high)
    first, low, high = (value - 1 if math.isfinite(value) else None for value in bounds)
    return first, low, high


def _wanted(mean: float, half: float, least: float, launches: int, seconds: float | None) -> str:
    """Say how many launches would decide, for bounds narrow as the root of the launches."""
    away = abs(abs(mean) - least)
    wanted = launches * (half / away) ** 2 if away else math.inf
    if not wanted < FAR:
        return f"too close to the threshold of {math.expm1(least):.1%}: give another --threshold"
    missing = max(1, math.ceil(wanted) - launches)
    time = f", {missing * seconds / 60:.0f} minutes," if seconds and missing * seconds > 90 else ""
    launch = "launch" if missing == 1 else "launches"
    return f"about {missing} more {launch}{time} would decide: give it more --budget"
