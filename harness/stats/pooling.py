"""Ratios of many cells from few launches: how much launches vary is pooled over the pairs.

Student's t from three launches multiplies a standard error by 4.3, for two degrees of freedom say little
about a variance. But cells that were measured together share their machine. So each pair's variance
over launches is put in units of what its slices alone explain, and the pairs' common excess is taken: as
the error of an analysis of variance is pooled over its groups. A pair that varies significantly more than
the pool keeps its own variance, and Student's t. benchmarks/coverage.py shows what that holds.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from harness.stats import intervals
from harness.stats.intervals import LEVEL, Ratio

Cell = TypeVar("Cell", bound=Hashable)

STANDS_OUT = 1 / 3
"""Chance with which a pair that is like the others keeps its own variance."""

FEWEST_CELLS, FEWEST_ROUNDS = 3, 4
"""Fewer cells have nothing to pool; fewer rounds say nothing of how slices scatter."""

_QUARTILES = 2 * float(special.ndtri(0.75))
"""How far a normal distribution's quartiles are apart, in standard deviations."""

_PSEUDOMEDIAN = math.pi / 3
"""The variance of a pseudomedian of normal values, in units of that of their mean."""


@dataclass(frozen=True)
class _Spread:
    """A pair's launches: their count, mean and variance, and what of that the slices explain."""

    launches: int
    mean: float
    variance: float
    explained: float

    @property
    def freedom(self) -> int:
        return self.launches - 1

    @property
    def excess(self) -> float:
        return self.variance / self.explained


def scatter(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Return the variance of each of `intervals.launch_ratios(a, b)` as its rounds show it, (launches,).

    From the quartiles of the rounds' log ratios, which outliers do not move. NaN for a launch with fewer
    than FEWEST_ROUNDS rounds of both.
    """
    differences = intervals.round_ratios(a, b)
    variances = np.full(len(differences), math.nan)
    for launch, values in enumerate(differences):
        finite = values[np.isfinite(values)]
        if finite.size >= FEWEST_ROUNDS:
            low, high = np.quantile(finite, (0.25, 0.75))
            variances[launch] = _PSEUDOMEDIAN * ((high - low) / _QUARTILES) ** 2 / finite.size
    return variances


def ratios(
    logs: Mapping[tuple[Cell, Cell], NDArray[np.float64]],
    scatters: Mapping[tuple[Cell, Cell], NDArray[np.float64]],
    floor: float = 0.0,
    level: float = LEVEL,
) -> dict[tuple[Cell, Cell], Ratio]:
    """Return every pair's ratio, from `intervals.launch_ratios` and `scatter` of each.

    Bounds and `p` are as of `intervals.ratio`; a pair is judged by it where there is nothing to pool.
    """
    spreads = {
        pair: spread for pair in logs if (spread := _spread(logs[pair], scatters[pair])) is not None
    }
    cells = {cell for pair in spreads for cell in pair}
    alone = {pair: intervals.ratio(values, floor, level) for pair, values in logs.items()}
    if len(cells) < FEWEST_CELLS:
        return alone
    # The median, so that one odd cell's pairs do not move it. Slices explain at least their own scatter.
    usual = [s.excess / (special.chdtri(s.freedom, 0.5) / s.freedom) for s in spreads.values()]
    excess = max(1.0, float(np.median(usual)))
    # The pairs of c cells have c - 1 independent differences; a median has about half of the freedom.
    freedom = (len(cells) - 1) * float(np.median([s.freedom for s in spreads.values()])) / 2
    pooled = {
        pair: intervals.judged(
            s.mean, math.sqrt(excess * s.explained / s.launches), freedom, floor, level, s.launches
        )
        for pair, s in spreads.items()
        if special.fdtrc(s.freedom, freedom, s.excess / excess) >= STANDS_OUT
    }
    return alone | pooled


def _spread(logs: NDArray[np.float64], scatters: NDArray[np.float64]) -> _Spread | None:
    """Return a pair's spread; None where its launches or its slices are too few to say."""
    finite = np.isfinite(logs)
    explained = scatters[finite & np.isfinite(scatters)]
    if finite.sum() < 2 or not explained.size or not explained.mean() > 0:
        return None
    values = logs[finite]
    return _Spread(
        values.size, float(values.mean()), float(values.var(ddof=1)), float(explained.mean())
    )
