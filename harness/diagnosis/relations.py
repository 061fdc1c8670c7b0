"""Simple relations between what is there and what is right, on which hints rest."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from frameworks.reference.arithmetic import ROUNDED, Arithmetic

EXACT = 1e-3
"""A relation explains a difference where it leaves less than this, relative, of what is right."""

COARSE = {"tf32": "TF32", "bfloat16": "bfloat16"}
"""Coarse arithmetics, and how they are called."""

LEAST_ROW = 0.01
"""Where all is rounded coarsely, the logits of each example and step are off by this share of most."""

MANY = 4
"""So many numbers of float32 do not all end in zeros by chance."""

ALIKE = 2.8
"""Errors within this factor are of one size: the root of 8, by which the two roundings differ."""


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
    residual = difference(array / c, expected) if c else np.inf
    off = difference(array, expected)
    return c if residual < EXACT and (off < EXACT or residual < off / 10) else None


def common(factors: Sequence[float | None]) -> float | None:
    """The one number that all factors are, if they are."""
    numbers = [number for number in factors if number is not None]
    if not numbers or len(numbers) < len(factors):
        return None
    return numbers[0] if max(numbers) - min(numbers) < EXACT * abs(numbers[0]) else None


def stored_as(array: NDArray) -> str | None:
    """Return the coarse format that all of an array's numbers are in, if in one; few say nothing."""
    numbers = np.ravel(np.asarray(array, np.float32))
    numbers = numbers[numbers != 0]
    if len(numbers) < MANY:
        return None
    if not np.any(np.ascontiguousarray(numbers).view(np.uint32) & np.uint32(0xFFFF)):
        return "bfloat16"
    with np.errstate(over="ignore"):
        return "float16" if np.array_equal(numbers, numbers.astype(np.float16)) else None


def _everywhere(observed: NDArray, expected: NDArray) -> bool:
    """Whether all rows are off by about as much, as where all is rounded."""
    if np.shape(observed) != np.shape(expected):
        return False
    errors = np.linalg.norm(np.atleast_2d(observed - expected), axis=-1)
    return bool(np.min(errors) > np.sqrt(np.mean(np.square(errors))) * LEAST_ROW)


def coarse(
    observed: NDArray, expected: NDArray, compute: Callable[[Arithmetic], NDArray]
) -> Iterator[str]:
    """Say in which coarse precision the reference is off by about as much, if in one.

    `compute` returns what was `expected`, by the reference in a coarse arithmetic.
    """
    error = difference(observed, expected)
    if not _everywhere(observed, expected):
        return
    sizes = (
        (difference(compute(arithmetic), expected), name)
        for precision, name in COARSE.items()
        for arithmetic in ROUNDED[precision]
    )
    near = {
        abs(math.log(error / size)): name
        for size, name in sizes
        if size / ALIKE < error < ALIKE * size
    }
    if near:
        name = near[min(near)]
        yield f"errors are of the size of {name}'s rounding: {name} or float16 is in use"
