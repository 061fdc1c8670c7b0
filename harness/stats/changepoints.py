"""Where a series changes its level: pure functions on numbers, no I/O.

`change_points` finds every change of a short history of runs; it assumes normal noise, for so few values
have no rare ranks. `change_point` finds the largest change of a long series of step times, by ranks, for
those have outliers; `steady_from` ends a warm-up with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

LASTING = 3
"""How many values a level must have that lies between two others."""

_AHEAD = 3  # stretches that are tried together
_SHORT = 2  # values of the first level and of the last one
_ALIKE = 0.8  # a handful of values cannot show a larger autocorrelation than this
_QUARTER = 1.1503  # three quarters of normal deviates are within so many standard deviations
_ROUNDING = 1e-9  # what varies by less is constant


def change_points(values: ArrayLike, alpha: float = 0.01) -> list[int]:
    """Return where a series of finite values changes its mean: the first place of each new level.

    Circular binary segmentation (Olshen et al., Biostatistics 5, 2004): the stretch whose mean lies
    furthest from that of the rest is a level of its own if Student's t says so of its ends, by Bonferroni
    over all stretches; so is, in turn, what is within it and beside it. One stretch may hide another, so
    `_AHEAD` of them are tried together. So few values have no ranks that are rarer than `alpha`: normal
    noise is assumed, and held to it in three ways (simulated in docs/evidence/history.md). The first and
    the last level need two values and others LASTING, so that one odd value is none. What is far from
    both of its neighbours is reined in. Where neighbours are alike, as on a machine that drifts, the
    noise counts for more.
    """
    x = np.asarray(values, dtype=float)
    if x.size < 2 * _SHORT or np.ptp(x) <= _ROUNDING * np.abs(x).max():
        return []
    return _levels(_reined_in(x), alpha)


def change_point(values: ArrayLike, alpha: float = 0.01) -> int | None:
    """Return where a series changes its level: the first place of the new level, or None.

    Pettitt's test (Applied Statistics 28, 1979), which knows ranks only: outliers do not move it. The
    place is where that sum is largest for its own spread, or it would lean towards the middle.
    """
    x = np.asarray(values, dtype=float)
    count = x.size
    if count < 4:
        return None
    places = np.arange(1, count)
    sums = np.abs(2 * stats.rankdata(x).cumsum()[:-1] - places * (count + 1))
    if not 2 * math.exp(-6 * sums.max() ** 2 / (count**3 + count**2)) < alpha:
        return None
    return 1 + int((sums / np.sqrt(places * (count - places))).argmax())


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


def _reined_in(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the values, each at most three spreads from the median of itself and its neighbours.

    The spread is that of most steps from value to value, which a few outliers do not move.
    """
    spread = float(np.quantile(np.abs(np.diff(x)), 0.75)) / _QUARTER / math.sqrt(2)
    if not spread:
        return x
    first = np.clip(np.arange(x.size) - 1, 0, x.size - 3)
    middle = np.median([x[first], x[first + 1], x[first + 2]], axis=0)
    return np.asarray(np.clip(x, middle - 3 * spread, middle + 3 * spread))


def _levels(x: NDArray[np.float64], alpha: float) -> list[int]:
    """Return where the levels of a series begin, but for the first one."""
    places: list[int] = []
    for _ in range(_AHEAD):
        places = _one_more(x, places)
        if significant := _significant(x, places, alpha):
            ends = pairwise([0, *significant, x.size])
            inner = [a + place for a, b in ends for place in _levels(x[a:b], alpha)]
            return sorted([*significant, *inner])
    return []


def _one_more(x: NDArray[np.float64], places: list[int]) -> list[int]:
    """Return the places with the ends of one more stretch, the one that lowers the squares most."""
    stretches = [(*_stretch(x[a:b]), a) for a, b in pairwise([0, *places, x.size])]
    first, last, _, start = max(stretches, key=lambda stretch: stretch[2])
    return sorted({*places, start + first, start + last} - {0, x.size})


def _significant(x: NDArray[np.float64], places: list[int], alpha: float) -> list[int]:
    """Return the places that hold, one by one without the one that is likeliest to be none."""
    tried = _stretches(x.size)
    while places:
        chances = _chances(x, places, tried)
        worst = int(np.argmax(chances))
        if chances[worst] < alpha:
            break
        places = places[:worst] + places[worst + 1 :]
    return places


def _stretches(count: int) -> int:
    """Return how many stretches there are in so many values."""
    ends = count - 2 * _SHORT + 1
    inner = max(0, ends - LASTING)
    return ends + inner * (inner + 1) // 2


def _stretch(x: NDArray[np.float64]) -> tuple[int, int, float]:
    """Return the stretch [first, last) furthest from the rest, and what it takes off the squares."""
    count, sums = x.size, np.concatenate(([0.0], (x - x.mean()).cumsum()))
    best_stretch = (0, 0, 0.0)
    for first in (0, *range(_SHORT, count - _SHORT)):
        # From the start it is also the stretch from its end on, seen from the other side.
        lasts = np.arange(first + LASTING if first else _SHORT, count - _SHORT + 1)
        if not lasts.size:
            continue
        sizes = lasts - first
        lowers = (sums[lasts] - sums[first]) ** 2 * count / (sizes * (count - sizes))
        best = int(lowers.argmax())
        if lowers[best] > best_stretch[2]:
            best_stretch = first, int(lasts[best]), float(lowers[best])
    return best_stretch


def _chances(x: NDArray[np.float64], places: Sequence[int], tried: int) -> list[float]:
    """Return, of each step between two levels, how likely it is among so many that were tried."""
    parts = np.split(x, places)
    noise, freedom = _noise(np.concatenate([part - part.mean() for part in parts]), len(parts))
    return [
        _chance(
            float(a.mean() - b.mean()),
            math.sqrt(noise * (1 / a.size + 1 / b.size)),
            freedom,
            tried,
        )
        for a, b in pairwise(parts)
    ]


def _noise(residuals: NDArray[np.float64], levels: int) -> tuple[float, int]:
    """Return a value's variance about its level, and its degrees of freedom.

    It is as large as the mean's error makes it where each value is like the one before it (the first
    autocorrelation, where that is above 0).
    """
    squares = float(residuals @ residuals)
    alike = float(residuals[1:] @ residuals[:-1]) / squares if squares else 0.0
    alike = min(max(alike, 0.0), _ALIKE)
    freedom = residuals.size - levels
    return squares / freedom * (1 + alike) / (1 - alike), freedom


def _chance(gap: float, error: float, freedom: int, tried: int) -> float:
    """Return how likely such a gap between means is where there is none, among so many tried."""
    if not error:
        return float(not gap)
    return min(1.0, tried * 2 * float(special.stdtr(freedom, -abs(gap) / error)))
