"""Ratios, intervals, rankings with ties, steady states: pure functions on numbers, no I/O.

The launch (a fresh process of every cell) is the unit of inference: what a process draws at its start
lasts for its whole life. Slices only sharpen each launch's value. Speeds are compared as logarithms,
so that a ratio and its inverse have the same interval. docs/measuring.md shows how all of this holds.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
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

    @property
    def half_width(self) -> float:
        """Half of the interval's width, as a part of the estimate; infinite without bounds."""
        width = (self.high - self.low) / (2 * self.estimate)
        return width if math.isfinite(width) else math.inf


@dataclass(frozen=True)
class Ratio(Interval):
    """One cell's speed over another's. `p` is the chance of such a ratio where there is none."""

    p: float


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
    known = np.asarray(values, dtype=float)
    known = known[np.isfinite(known)]
    if not known.size:
        return math.nan
    rows, columns = _pairs(known.size)
    means = (known[rows] + known[columns]) / 2
    middle = (means.size - 1) // 2, means.size // 2
    means.partition(middle)  # half of what np.median takes
    return float((means[middle[0]] + means[middle[1]]) / 2)


def interval(values: ArrayLike, level: float = LEVEL) -> Interval:
    """Return the mean of the launches' values, with Student's interval; NaN of nothing.

    A launch's value is robust already (`pseudomedian` of its slices), and bootstraps over a handful of
    values hold too little: 84% where 95% is meant, at five.
    """
    known = np.asarray(values, dtype=float)
    known = known[np.isfinite(known)]
    if not known.size:
        return Interval(math.nan, math.nan, math.nan, 0)
    mean, half = float(known.mean()), _half(known, level)
    return Interval(mean, mean - half, mean + half, known.size)


def speed(rates: ArrayLike, level: float = LEVEL) -> Interval:
    """Return a cell's samples a second from `rates` (launches, rounds); NaN stands for no slice."""
    each = [pseudomedian(row) for row in np.log(_positive(rates))]
    return _exponential(interval(each, level))


def launch_ratios(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Return a launch's logarithm of a's speed over b's, (launches,), from (launches, rounds) each.

    Within each round, so that drift cancels; where a launch has no round of both (workers that ran in
    turn), from what each has by itself. NaN for a launch that one of them lacks.
    """
    x, y = (np.log(_positive(rates)) for rates in (a, b))
    logs = np.array([pseudomedian(row) for row in x - y])
    for launch in np.flatnonzero(~np.isfinite(logs)):
        logs[launch] = pseudomedian(x[launch]) - pseudomedian(y[launch])
    return logs


def noise_floor(twins: ArrayLike) -> float:
    """Return by how much (as a logarithm) identical cells came out apart in this run.

    `twins` has each launch's log ratio of a cell to its twin: truly 0. The larger of their mean and of
    its standard error around 0. 0 where nothing was run twice.
    """
    known = np.asarray(twins, dtype=float)
    known = known[np.isfinite(known)]
    if not known.size:
        return 0.0
    return float(max(abs(known.mean()), math.sqrt(np.mean(known**2) / known.size)))


def ratio(logs: ArrayLike, floor: float = 0.0, level: float = LEVEL) -> Ratio:
    """Return the ratio whose logarithm, by launch, is `logs`; its bounds are widened by `floor`.

    `p` is two-sided, of the ratio being within the floor; 1 below two launches.
    """
    known = np.asarray(logs, dtype=float)
    known = known[np.isfinite(known)]
    if known.size < 2:
        estimate = math.exp(known[0]) if known.size else math.nan
        return Ratio(estimate, math.nan, math.nan, known.size, 1.0)
    mean, half = float(known.mean()), _half(known, level) + floor
    error = _error(known)
    beyond = max(0.0, abs(mean) - floor)
    p = float(2 * special.stdtr(known.size - 1, -beyond / error)) if error else float(beyond == 0)
    bounds = math.exp(mean - half), math.exp(mean + half)
    return Ratio(math.exp(mean), *bounds, known.size, min(1.0, p))


def holm(p: Mapping[Name, float], alpha: float = 1 - LEVEL) -> set[Name]:
    """Return what is significant among several tests, with `alpha` for all together (Holm 1979)."""
    found: set[Name] = set()
    for done, name in enumerate(sorted(p, key=lambda one: p[one])):
        if p[name] > alpha / (len(p) - done):
            break
        found.add(name)
    return found


def ranks(speeds: Mapping[Name, float], apart: Iterable[tuple[Name, Name]]) -> dict[Name, int]:
    """Return each cell's rank, 1 for the fastest; cells that are not told `apart` share one.

    A tie is passed on: where a ties with b and b with c, all three share a rank. The next rank counts
    all that are before it (1, 1, 3).
    """
    order = sorted(speeds, key=lambda name: -speeds[name])
    told = {frozenset(pair) for pair in apart}
    found: dict[Name, int] = {}
    rank = 1
    for place, name in enumerate(order):
        before, after = order[:place], order[place:]
        if all(frozenset((a, b)) in told for a in before for b in after):
            rank = place + 1
        found[name] = rank
    return found


def change_point(values: ArrayLike, alpha: float = 0.01) -> int | None:
    """Return where a series changes its level: the first place of the new level, or None.

    Pettitt's test (Applied Statistics 28, 1979), which knows ranks only: outliers do not move it.
    """
    x = np.asarray(values, dtype=float)
    count = x.size
    if count < 4:
        return None
    signs = np.sign(x[:, None] - x[None, :])
    sums = np.array([signs[:place, place:].sum() for place in range(1, count)])
    place = int(np.abs(sums).argmax())
    chance = 2 * math.exp(-6 * sums[place] ** 2 / (count**3 + count**2))
    return place + 1 if chance < alpha else None


def steady_from(
    seconds_a_step: Sequence[float], least: int = 8, within: float = 0.02
) -> int | None:
    """Return the place from which a series of step times is steady; None where it is not yet.

    What comes before the last change of level by more than `within` is warm-up. At least `least`
    values must lie behind it.
    """
    start, times = 0, np.asarray(seconds_a_step, dtype=float)
    while (place := change_point(times[start:])) is not None:
        before, after = np.median(times[start : start + place]), np.median(times[start + place :])
        if abs(math.log(after / before)) <= within:
            break
        start += place
    return start if times.size - start >= least else None


def _half(known: NDArray[np.float64], level: float) -> float:
    if known.size < 2:
        return math.nan
    return float(special.stdtrit(known.size - 1, (1 + level) / 2)) * _error(known)


def _error(known: NDArray[np.float64]) -> float:
    """Return the standard error of the mean."""
    return float(known.std(ddof=1)) / math.sqrt(known.size)


@cache
def _pairs(count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the places of all pairs of `count` values, each with itself too."""
    return np.triu_indices(count)


def _exponential(found: Interval) -> Interval:
    estimate, low, high = (math.exp(value) for value in (found.estimate, found.low, found.high))
    return Interval(estimate, low, high, found.launches)


def _positive(rates: ArrayLike) -> NDArray[np.float64]:
    """Return (launches, rounds) with NaN for what is no speed."""
    x = np.atleast_2d(np.asarray(rates, dtype=float))
    return np.where(x > 0, x, np.nan)
