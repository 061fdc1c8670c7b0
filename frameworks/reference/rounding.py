"""What coarser arithmetic makes of a product: its operands, and perhaps its result, are rounded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Rounding:
    """How many bits of significand operands and results of products keep; None: all that they have.

    `truncated` drops the other bits instead of rounding to nearest, as some tensor cores do. Arrays
    are float64.
    """

    operand_bits: int | None = None
    result_bits: int | None = None
    truncated: bool = False

    def operand(self, x: NDArray) -> NDArray:
        """Return what a product reads for x."""
        return x if self.operand_bits is None else _kept(x, self.operand_bits, self.truncated)

    def result(self, y: NDArray) -> NDArray:
        """Return what a product writes for y."""
        return y if self.result_bits is None else _kept(y, self.result_bits, False)


EXACT = Rounding()

ROUNDINGS = {
    "tf32": (Rounding(11), Rounding(11, truncated=True)),
    "bfloat16": (Rounding(8, 8), Rounding(8, 8, truncated=True)),
}
"""By precision: two ways in which hardware may round."""


def _kept(x: NDArray, bits: int, truncated: bool) -> NDArray:
    mantissa, exponent = np.frexp(x)
    scaled = np.ldexp(mantissa, bits)
    return np.ldexp(np.trunc(scaled) if truncated else np.rint(scaled), exponent - bits)
