"""The arithmetics in which the reference can compute: exact, with coarser products, or with noise.

Each layer hands what it computed to its arithmetic, with the number and the size of the terms that were
added up. `Arithmetic` gives it back as it is. `Rounded` rounds the operands and results of products to
fewer bits, as tensor cores do. `Noisy` adds what rounding may have done: a random error of the size that
any float32 (or coarser) implementation may make at that place. Runs with such noise show how far correct
implementations may differ (Parker 1997, "Monte Carlo arithmetic"; Vignes 2004, "Discrete
stochastic arithmetic for validating results of numerical software").
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Axes = int | tuple[int, ...]

TRANSCENDENTAL = 4
"""How many roundings of float32 an exponential, a hyperbolic tangent or a logarithm counts for: those of
frameworks are off by up to a few units in the last place."""


class Arithmetic:
    """What NumPy computes, unchanged."""

    def operand(self, x: NDArray) -> NDArray:
        """Return what a product reads for x."""
        return x

    def product(self, y: NDArray, terms: int, size: Callable[[], NDArray]) -> NDArray:
        """Return what a product writes for y, each element a sum of `terms` products.

        `size` gives the norm of the one factor times that of the other, in a shape that broadcasts
        to y's.
        """
        return y

    def sum(self, x: NDArray, axes: Axes, keepdims: bool = False) -> NDArray:
        """Return the sum of x over `axes`."""
        return x.sum(axis=axes, keepdims=keepdims)

    def each(self, y: NDArray, size: NDArray | float | None = None, roundings: int = 1) -> NDArray:
        """Return y, computed element by element with so many roundings.

        `size` is that of the largest number on the way to an element, where that is not the element.
        """
        return y

    def function(
        self, y: NDArray, size: NDArray | float | None = None, roundings: int = 1
    ) -> NDArray:
        """Return y, an elementary function of each element, TRANSCENDENTAL roundings off in float32.

        A coarser arithmetic computes it in float32 and rounds it; `roundings` is how many of its own
        there are where a framework goes step by step.
        """
        return self.each(y, size, max(roundings, TRANSCENDENTAL))

    def result(self, y: NDArray) -> NDArray:
        """Return what is written between two operations, in the dtype that products have."""
        return y

    @property
    def float32(self) -> Arithmetic:
        """That of what stays in float32 beside coarser products: norms, the loss, the update."""
        return self

    def store(self, w: NDArray) -> NDArray:
        """Return a weight, or an element of the state or of an optimiser's memory, as it is kept."""
        return w


EXACT = Arithmetic()


@dataclass(frozen=True)
class Rounded(Arithmetic):
    """Products whose operands and results keep so many bits of significand; None: all that they have.

    `truncated` drops the other bits instead of rounding to nearest, as some tensor cores do. Arrays
    are float64.
    """

    operand_bits: int | None = None
    result_bits: int | None = None
    truncated: bool = False

    def operand(self, x: NDArray) -> NDArray:
        bits = self.operand_bits
        return x if bits is None else _to_bits(x, bits, self.truncated)

    def product(self, y: NDArray, terms: int, size: Callable[[], NDArray]) -> NDArray:
        return self.result(y)

    def result(self, y: NDArray) -> NDArray:
        return y if self.result_bits is None else _to_bits(y, self.result_bits, False)

    @property
    def float32(self) -> Arithmetic:
        return EXACT


def _to_bits(x: NDArray, bits: int, truncated: bool) -> NDArray:
    mantissa, exponent = np.frexp(x)
    scaled = np.ldexp(mantissa, bits)
    return np.ldexp(np.trunc(scaled) if truncated else np.rint(scaled), exponent - bits)


FLOAT32 = 2.0**-24
"""The unit roundoff of float32: the largest relative error of rounding to nearest."""


PAIRS = 128
"""How many pairs of terms are looked at for equal ones."""


MIXER = np.uint64(0x9E3779B97F4A7C15)
"""An odd number that spreads bits: 2^64 over the golden ratio (Knuth, TAOCP vol. 3, section 6.4)."""


class Noisy(Arithmetic):
    """Adds a random error of the size of rounding to all that is computed.

    A sum of n terms t that is added up one by one, s_k being the sum of the first k, is off by the
    rounding errors of n additions, at most u |s_k| each. As s_k is a walk from 0 to s, its size is that
    of a random walk's, ||t||, and of its end, |s|. Independent errors of that size add up to about
    u sqrt(n) (||t|| + |s|) (Higham and Mary, SIAM J. Sci. Comput. 41(5), 2019); for a dot product of x
    and w, whose terms have the norm ||x|| ||w|| / sqrt(n), to u (||x|| ||w|| + sqrt(n) |s|). Other
    orders (blocks, trees) are off by less. Equal terms are rounded alike, for as long as the partial
    sum is of one exponent: their errors add up as n does. Where two terms are equal with probability
    c, sqrt(n) is sqrt(n + c n^2). The terms of one example come together, and are alike: the norm of the
    sums by example, too, is how far partial sums walk.

    The error added is that, times a number between -1 and 1 that is drawn for each value, the same for
    equal ones, plus one that is drawn once: constants are rounded alike in every step, so errors may
    all lean one way. `products`, `results` and `between` are for coarser arithmetic: the unit roundoff of
    operands and results of products, and that of single operations between products. There, an array's
    values may all be near to one number of that arithmetic and lean one way, but those of the next
    operation lean as their own values have it: the second number is drawn for each operation.
    """

    def __init__(
        self,
        random: np.random.Generator,
        products: float = 0.0,
        results: float = 0.0,
        between: float = FLOAT32,
    ) -> None:
        self._random, self._operands, self._results = random, products, results
        self._between, self._lean = between, random.uniform(-1, 1)

    def operand(self, x: NDArray) -> NDArray:
        return x + self._error(x, self._operands, True) * x if self._operands else x

    def product(self, y: NDArray, terms: int, size: Callable[[], NDArray]) -> NDArray:
        scale = np.abs(y)
        scale *= np.sqrt(terms)
        scale += size()
        scale *= FLOAT32
        if self._results:
            scale += self._results * np.abs(y)
        scale *= self._error(y, 1.0, bool(self._results))
        scale += y
        return scale

    def sum(self, x: NDArray, axes: Axes, keepdims: bool = False) -> NDArray:
        y = x.sum(axis=axes, keepdims=keepdims)
        terms = x.size // max(1, y.size)
        size = self._walk(x, axes, keepdims) + np.abs(y)
        size *= ~_exact_in_float32(x, axes, keepdims)
        roundings = np.sqrt(terms + self._equal(x, axes, keepdims) * terms**2)
        return y + self._error(y, FLOAT32) * roundings * size

    def _walk(self, x: NDArray, axes: Axes, keepdims: bool) -> NDArray:
        """Return how far partial sums walk: by the terms' norm, and by that of whole examples' sums."""
        size = np.sqrt(np.square(x).sum(axis=axes, keepdims=keepdims))
        if isinstance(axes, tuple) and len(axes) > 1:
            examples = x.sum(axis=axes[1:], keepdims=True)
            by_example = np.sqrt(np.square(examples).sum(axis=axes[0], keepdims=True))
            size = size + (by_example if keepdims else by_example.squeeze(axes))
        return size

    def _equal(self, x: NDArray, axes: Axes, keepdims: bool) -> NDArray:
        """Return how often two terms of a sum are equal, zeros apart, by drawing some pairs."""
        summed = axes if isinstance(axes, tuple) else (axes,)
        terms = np.moveaxis(x, summed, range(len(summed)))  # what is not summed over is behind
        sides = terms.shape[: len(summed)]
        first, second = (tuple(self._random.integers(0, s, PAIRS) for s in sides) for _ in "ab")
        distinct = np.any([a != b for a, b in zip(first, second, strict=True)], axis=0)
        equal = (terms[first] == terms[second]) & (terms[first] != 0)
        share = np.mean(equal[distinct], axis=0) if distinct.any() else np.zeros(equal.shape[1:])
        return np.expand_dims(share, summed) if keepdims else share

    def each(self, y: NDArray, size: NDArray | float | None = None, roundings: int = 1) -> NDArray:
        return y + self._errors(y, size, self._between * roundings)

    def function(
        self, y: NDArray, size: NDArray | float | None = None, roundings: int = 1
    ) -> NDArray:
        return y + self._errors(y, size, max(TRANSCENDENTAL * FLOAT32, roundings * self._between))

    def _errors(self, y: NDArray, size: NDArray | float | None, unit: float) -> NDArray:
        coarse = self._between > FLOAT32
        scale = np.abs(y) if size is None else size
        # A coarse rounding that leans does so towards zero, or away from it.
        return self._error(y, unit, coarse) * (np.copysign(scale, y) if coarse else scale)

    def result(self, y: NDArray) -> NDArray:
        return y + self._error(y, self._results, True) * np.abs(y) if self._results else y

    @property
    def float32(self) -> Arithmetic:
        if self._between == FLOAT32:
            return self
        same_run = copy.copy(self)
        same_run._operands, same_run._results, same_run._between = 0.0, 0.0, FLOAT32
        return same_run

    def store(self, w: NDArray) -> NDArray:
        return w + (self._error(w, FLOAT32) - self._lean * FLOAT32) * np.abs(w)

    def _error(self, like: NDArray, unit: float, coarse: bool = False) -> NDArray:
        """Return relative errors: pseudo-random, another each time, the same for the same value."""
        bits = np.ascontiguousarray(like, np.float64).view(np.uint64)
        digits = bits * (self._random.integers(2**64, dtype=np.uint64) | np.uint64(1))
        digits ^= digits >> np.uint64(29)
        digits *= MIXER
        digits >>= np.uint64(11)  # 53 bits
        lean = self._random.uniform(-1, 1) if coarse else self._lean
        errors = (digits * 2.0**-52 - (1 - lean)) * unit
        return errors.reshape(np.shape(like))


def _exact_in_float32(x: NDArray, axes: Axes, keepdims: bool) -> NDArray[np.bool_]:
    """Return which sums are exact in float32, whatever their order.

    Those are of terms that are all multiples of a power of two q, with sums of absolute values of less
    than 2^24 q: so are whole numbers, quantised pixels, and zeros.
    """
    total = np.abs(x).sum(axis=axes, keepdims=True)
    with np.errstate(divide="ignore"):
        quantum = np.exp2(np.ceil(np.log2(total)) - 24)
    quantum = np.where(total > 0, quantum, 1.0)
    multiples = x / quantum
    exact = np.all(multiples == np.rint(multiples), axis=axes, keepdims=True)
    return exact if keepdims else exact.squeeze(axes)


ROUNDED = {
    "tf32": (Rounded(11), Rounded(11, truncated=True)),
    "bfloat16": (Rounded(8, 8), Rounded(8, 8, truncated=True)),
}
"""By precision: two ways in which hardware may round."""


def noisy(precision: str, random: np.random.Generator) -> Noisy:
    """Return the noise of a precision of `frameworks.contract`."""
    if precision == "tf32":
        return Noisy(random, products=2.0**-11)
    if precision == "bfloat16":
        return Noisy(random, products=2.0**-8, results=2.0**-8, between=2.0**-8)
    return Noisy(random)
