"""Where two curves cross: by the ratio of both at some points, with an interval. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

FIRST, NEITHER, SECOND = 1, 0, -1
"""Which of two curves is ahead at a point; neither where that is inconclusive."""

Array = NDArray[np.float64]

Bounded = tuple[float, float, float]
"""The lower end of an interval, the estimate, the upper end; NaN where unknown."""


@dataclass(frozen=True)
class Crossing:
    """Where the order of two curves changes, and the bounds of that place.

    `rising`: from there on the first of both is ahead; else it was until there.
    """

    at: float
    low: float
    high: float
    rising: bool


def crossings(
    places: Sequence[float], ratios: Sequence[Bounded], ahead: Sequence[int]
) -> list[Crossing]:
    """Return every change of order that is certain, from left to right.

    `places` are positive and rise; `ratios` are the first curve over the second there; `ahead` says by
    FIRST, NEITHER or SECOND which one is significantly ahead.

    Between two points that are certain and differ, the order changed. Where, is read off the logarithm
    of the ratio, taken as linear in the logarithm of the place from each point to the next: the
    estimate is its zero, and the bounds are where the lines through the upper and through the lower ends
    of the intervals have theirs. That is a confidence set by the inversion of a band (Eisenhart, Annals
    of Mathematical Statistics 10, 1939): all places at which the band holds no difference. If the
    logarithm is linear between two points, an interval between theirs is at most as wide as the lines
    through their ends say, so the set holds at least as often as each interval does. How far the true
    curve is from linear is not in it.
    """
    logs = _logs(ratios)
    across = np.log(np.asarray(places, float))
    certain = [place for place, side in enumerate(ahead) if side != NEITHER]
    return [
        _crossing(across[left : right + 1], logs[:, left : right + 1], ahead[right] == FIRST)
        for left, right in pairwise(certain)
        if ahead[left] != ahead[right]
    ]


def _logs(ratios: Sequence[Bounded]) -> Array:
    """Return the logarithms of lower ends, estimates and upper ends, (3, points).

    An end that is unknown is infinite.
    """
    with np.errstate(divide="ignore"):
        logs = np.log(np.asarray(ratios, float).reshape(-1, 3).T)
    for row, unknown in ((0, -math.inf), (2, math.inf)):
        logs[row] = np.where(np.isnan(logs[row]), unknown, logs[row])
    return logs


def _crossing(places: Array, logs: Array, rising: bool) -> Crossing:
    """Return the change between the first and the last point, to the first curve where it is `rising`."""
    lower, middle, upper = logs if rising else -logs[::-1]
    zeros = _zeros(places, middle)
    at, low, high = zeros[len(zeros) // 2], _zeros(places, upper)[0], _zeros(places, lower)[-1]
    return Crossing(math.exp(at), math.exp(low), math.exp(high), rising)


def _zeros(places: Array, values: Array) -> list[float]:
    """Return where the line through the points comes from below 0 to above it; at least once."""
    certain = ~np.isnan(values)  # an estimate may be unknown, between two that are certain
    places, values = places[certain], values[certain]
    zeros = []
    for left, right in pairwise(range(len(values))):
        if values[left] <= 0 < values[right]:
            below, above = -values[left], values[right]
            # Beyond all bounds below, the line is above 0 at its right end only.
            share = 1.0 if math.isinf(below) else below / (below + above)
            zeros.append(float(places[left] + share * (places[right] - places[left])))
    return zeros
