"""Ratios, intervals, ranges of ranks: pure functions on numbers, no I/O.

The launch (a fresh process of every cell) is the unit of inference: what a process draws at its start
lasts for its whole life. Slices only sharpen each launch's value. Speeds are compared as logarithms,
so that a ratio and its inverse have the same interval. docs/evidence/coverage.md shows
that this holds.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

LEVEL = 0.95
"""How often an interval is to hold the truth."""

LOOKS = (3, 5, 8, 12, 18, 27, 40)
"""After how many launches a run that may stop early looks at what it has."""

Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True)
class Interval:
    """An estimate and the bounds that hold the truth; without bounds (NaN) below two launches."""

    estimate: float
    low: float
    high: float
    launches: int


@dataclass(frozen=True)
class Ratio(Interval):
    """One cell's speed over another's.

    `p` is the chance of such a ratio where there is none, `error` the standard error of its logarithm.
    """

    p: float
    error: float = math.nan

    def inverse(self) -> Ratio:
        """Return the other cell's speed over this one's: NaN where that is unknown."""
        estimate, low, high = (
            1 / value if value else math.nan for value in (self.estimate, self.high, self.low)
        )
        return replace(self, estimate=estimate, low=low, high=high)


def level_at_looks(looks: int) -> float:
    """Return the level at which each of `looks` looks may be judged, so that all hold LEVEL.

    By the union bound (Bonferroni): valid however the looks depend on each other, and whatever rule
    chooses the one to stop at.
    """
    return 1 - (1 - LEVEL) / max(1, looks)


def pseudomedian(values: ArrayLike) -> float:
    """Return the median of all pairs' means (Hodges & Lehmann 1963); NaN of nothing.

    Nearly as sharp as the mean on normal noise, and unmoved by up to 29% of outliers.
    """
    return float(_pseudomedians(np.reshape(np.asarray(values, dtype=float), (1, -1)))[0])


def interval(values: ArrayLike, level: float = LEVEL) -> Interval:
    """Return the mean of the launches' values, with Student's interval; NaN of nothing.

    A launch's value is robust already (`pseudomedian` of its slices), and bootstraps over a handful of
    values hold too little: 84% where 95% is meant, at five.
    """
    finite = _finite(values)
    if not finite.size:
        return Interval(math.nan, math.nan, math.nan, 0)
    mean, half = float(finite.mean()), _half(finite, level)
    return Interval(mean, mean - half, mean + half, finite.size)


def speed(rates: ArrayLike, level: float = LEVEL) -> Interval:
    """Return a cell's samples a second from `rates` (launches, rounds); NaN stands for no slice."""
    return _exponential(interval(launch_speeds(rates), level))


def launch_speeds(rates: ArrayLike) -> NDArray[np.float64]:
    """Return the logarithm of a cell's speed in each launch, (launches,); NaN of one without slices."""
    return _pseudomedians(np.log(_positive(rates)))


def launch_ratios(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Return a launch's logarithm of a's speed over b's, (launches,), from (launches, rounds) each.

    Within each round, so that drift cancels; where a launch has no round of both (workers that ran in
    turn), from what each has by itself. NaN for a launch that one of them lacks.
    """
    together = _pseudomedians(round_ratios(a, b))
    if np.isfinite(together).all():
        return together
    return np.where(np.isfinite(together), together, launch_speeds(a) - launch_speeds(b))


def round_ratios(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Return a round's logarithm of a's speed over b's, (launches, rounds), NaN where one has none."""
    return np.asarray(np.log(_positive(a)) - np.log(_positive(b)))


def noise_floor(replicates: ArrayLike) -> float:
    """Return the A/A noise floor: by what identical replicates differ beyond their launches' scatter.

    `replicates` has each launch's log ratio of a cell to its A/A replicate: truly 0. A difference that
    launches do not average out is a bias; the square of their mean holds its square and, of chance alone,
    the mean's variance, which is taken off. Launches' scatter is in the interval of a ratio already. The
    ratio itself of a single launch, 0 where nothing was run twice.
    """
    finite = _finite(replicates)
    if not finite.size:
        return 0.0
    chance = float(finite.var(ddof=1)) / finite.size if finite.size > 1 else 0.0
    return math.sqrt(max(0.0, float(finite.mean()) ** 2 - chance))


def ratio(logs: ArrayLike, floor: float = 0.0, level: float = LEVEL, trim: float = 0.0) -> Ratio:
    """Return the ratio whose logarithm, by launch, is `logs`; its bounds are widened by `floor`.

    `p` is two-sided, of the ratio being within the floor; 1 below two launches. With `trim`, the mean is
    trimmed by that share on either side (`_middle`): for machines with outlier launches.
    """
    finite = _finite(logs)
    if finite.size < 2:
        estimate = _exp(finite[0]) if finite.size else math.nan
        return Ratio(estimate, math.nan, math.nan, finite.size, 1.0)
    return judged(*_middle(finite, trim), floor, level, finite.size)


def change(
    before: ArrayLike, after: ArrayLike, floor: float = 0.0, level: float = LEVEL, trim: float = 0.0
) -> Ratio:
    """Return the ratio, after over before, of two runs from the logarithms of their launches.

    The launches are independent, and not as many nor as noisy in both: Welch's t (Biometrika 34, 1947),
    with the degrees of freedom of Satterthwaite. Bounds, `p` and `trim` as of `ratio`; `launches` are
    those of the run that has fewer.
    """
    x, y = _finite(before), _finite(after)
    fewer = min(x.size, y.size)
    if fewer < 2:
        estimate = _exp(float(y.mean() - x.mean())) if fewer else math.nan
        return Ratio(estimate, math.nan, math.nan, fewer, 1.0)
    old_mean, old_error, old_freedom = _middle(x, trim)
    new_mean, new_error, new_freedom = _middle(y, trim)
    error = math.hypot(old_error, new_error)
    if not error:
        return judged(new_mean - old_mean, error, 1.0, floor, level, fewer)
    shares = (old_error / error) ** 4 / old_freedom + (new_error / error) ** 4 / new_freedom
    return judged(new_mean - old_mean, error, 1 / shares, floor, level, fewer)


def share_change(
    before: tuple[float, int], after: tuple[float, int], level: float = LEVEL
) -> tuple[Interval, float]:
    """Return the difference, after minus before, of two shares of their trials, and its `p`.

    Newcombe's interval from Wilson's of each (Statistics in Medicine 17, 1998, method 10), as of
    independent trials; `p` is that of the pooled normal test. Each side is its share and its trials.
    """
    (x, n), (y, m) = before, after
    x_low, x_high = _wilson(x, n, level)
    y_low, y_high = _wilson(y, m, level)
    mean, pooled = y - x, (x * n + y * m) / (n + m)
    error = math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    p = math.erfc(abs(mean) / error / math.sqrt(2)) if error else 1.0
    low, high = mean - math.hypot(y - y_low, x_high - x), mean + math.hypot(y_high - y, x - x_low)
    return Interval(mean, low, high, min(n, m)), p


def holm(p: Mapping[Name, float], alpha: float = 1 - LEVEL) -> set[Name]:
    """Return what is significant among several tests, with `alpha` for all together (Holm 1979)."""
    significant: set[Name] = set()
    for done, name in enumerate(sorted(p, key=p.__getitem__)):
        if p[name] > alpha / (len(p) - done):
            break
        significant.add(name)
    return significant


def rank_ranges(
    names: Iterable[Name], decided: Iterable[tuple[Name, Name]]
) -> dict[Name, tuple[int, int]]:
    """Return the best and the worst rank, 1 for the fastest, that each name may have.

    `decided` has every pair that is significantly different, the faster one first. Those that are faster
    come before a name, those that are slower after it, and the range is what that leaves open. Where the
    pairs hold together (Holm), so do the ranges (Klein, Wright & Wieczorek, Journal of the Royal
    Statistical Society C 69, 2020).
    """
    names, decided = list(names), set(decided)
    faster = Counter(slow for _, slow in decided)
    slower = Counter(fast for fast, _ in decided)
    return {name: (1 + faster[name], len(names) - slower[name]) for name in names}


def normal_quantile(level: float) -> float:
    """Return within how many standard deviations a normal value lies with the chance `level`."""
    return float(special.ndtri((1 + level) / 2))


def _wilson(share: float, trials: int, level: float) -> tuple[float, float]:
    """Return Wilson's interval of a share (Journal of the American Statistical Association 22, 1927)."""
    z2 = normal_quantile(level) ** 2 / trials
    middle = share + z2 / 2
    half = math.sqrt(z2 * (share * (1 - share) + z2 / 4))
    return (middle - half) / (1 + z2), (middle + half) / (1 + z2)


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=float)
    return array[np.isfinite(array)]


def _middle(values: NDArray[np.float64], trim: float) -> tuple[float, float, float]:
    """Return a mean, its standard error and its degrees of freedom, of two values or more.

    With `trim`, the mean of what is left when that part is taken away on either side, and the error from
    the variance with its place taken by the nearest that is left (Yuen, Biometrika 61, 1974).
    """
    ordered, cut = np.sort(values), int(trim * values.size)
    trimmed = ordered[cut : values.size - cut]
    winsorized = np.clip(ordered, trimmed[0], trimmed[-1])
    freedom = trimmed.size - 1
    spread = (values.size - 1) * float(winsorized.var(ddof=1))
    return float(trimmed.mean()), math.sqrt(spread / (trimmed.size * freedom)), freedom


def judged(
    mean: float, error: float, freedom: float, floor: float, level: float, launches: int
) -> Ratio:
    """Return the ratio whose logarithm has this mean, standard error and degrees of freedom.

    By Student's t; its bounds are widened by `floor`.
    """
    beyond = max(0.0, abs(mean) - floor)
    half = float(special.stdtrit(freedom, (1 + level) / 2)) * error + floor
    p = 2 * float(special.stdtr(freedom, -beyond / error)) if error else float(beyond == 0)
    return Ratio(_exp(mean), _exp(mean - half), _exp(mean + half), launches, min(1.0, p), error)


def _half(values: NDArray[np.float64], level: float) -> float:
    if values.size < 2:
        return math.nan
    return float(special.stdtrit(values.size - 1, (1 + level) / 2)) * _middle(values, 0.0)[1]


def _pseudomedians(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the pseudomedian of each row, of what is finite in it; NaN of a row without such."""
    if not rows.shape[1]:
        return np.full(len(rows), math.nan)
    finite = np.isfinite(rows)
    masked = np.where(finite, rows, math.nan)
    first, second = _pairs(rows.shape[1])
    sums = masked[:, first] + masked[:, second]
    sums.sort(axis=1)  # NaN comes last; a partition would be slower
    counts = finite.sum(axis=1)
    count = counts * (counts + 1) // 2
    places = np.stack((np.maximum(count - 1, 0) // 2, count // 2), axis=1)
    return np.asarray(np.take_along_axis(sums, places, axis=1).mean(axis=1) / 2)


@lru_cache(maxsize=16)
def _pairs(count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the places of both of every pair of so many values, each with itself too."""
    return np.triu_indices(count)


def _exp(value: float) -> float:
    """Return e to the power of `value`: infinite, and no error, where that is too large."""
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def _exponential(logs: Interval) -> Interval:
    estimate, low, high = (_exp(value) for value in (logs.estimate, logs.low, logs.high))
    return Interval(estimate, low, high, logs.launches)


def _positive(rates: ArrayLike) -> NDArray[np.float64]:
    """Return (launches, rounds) with NaN for what is no speed."""
    x = np.atleast_2d(np.asarray(rates, dtype=float))
    return np.where(x > 0, x, np.nan)
