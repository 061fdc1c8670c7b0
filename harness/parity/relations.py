"""Simple relations between what is there and what is right, on which hints rest."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

EXACT = 1e-3
"""A relation explains a difference where it leaves less than this, relative, of what is right."""

UNITS = {
    "TF32": (2.0**-11, "TF32 is on"),
    "bfloat16": (2.0**-8, "bfloat16 is used"),
}
"""Coarse precisions: the unit roundoff, and how that is said."""


def difference(array: NDArray, expected: NDArray) -> float:
    """||array - right|| / ||right||, infinite where they cannot be compared."""
    if np.shape(array) != np.shape(expected) or not np.any(expected):
        return np.inf
    return float(np.linalg.norm(np.ravel(array - expected)) / np.linalg.norm(np.ravel(expected)))


def explains(suspect: NDArray, observed: NDArray, expected: NDArray) -> bool:
    """Whether a suspect's answer fits what was observed, and leaves a tenth of its error at most."""
    return difference(observed, suspect) < min(EXACT, difference(observed, expected) / 10)


def factor(array: NDArray, expected: NDArray) -> float | None:
    """The number c with array = c right, where there is one."""
    if np.shape(array) != np.shape(expected) or not np.any(expected):
        return None
    c = float(np.vdot(expected, array) / np.vdot(expected, expected))
    return c if c and difference(array / c, expected) < EXACT else None


def common(factors: Sequence[float | None]) -> float | None:
    """The one number that all factors are, if they are."""
    numbers = [number for number in factors if number is not None]
    if not numbers or len(numbers) < len(factors):
        return None
    return numbers[0] if max(numbers) - min(numbers) < EXACT * abs(numbers[0]) else None


def precision_of(error: float) -> Iterator[str]:
    """Say which coarse precision rounds by a relative error of about this size, the nearest one."""
    near = {
        abs(math.log2(error / unit)): (name, words)
        for name, (unit, words) in UNITS.items()
        if unit / 16 < error < 8 * unit
    }
    if near:
        name, words = near[min(near)]
        yield f"errors are of the size of {name}'s rounding: {words}, or float16 is"
