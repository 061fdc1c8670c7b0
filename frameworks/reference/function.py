"""What every layer of the reference offers, and how windows are read from images and sequences.

All arrays share the dtype of the weights. Images are (batch, channels, height, width),
sequences (batch, steps, features), vectors (batch, features).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frameworks.reference.arithmetic import EXACT, Arithmetic
from workloads import layers as spec
from workloads.layers.windows import Window


class Function:
    """A layer: what its last forward saw, its backward uses.

    `parameters` and `state` hold the arrays of `layer.parameters` and `layer.state` by short name;
    the parameters are read only, the state is moved by `settle`. `backward` leaves the gradients of
    the parameters in `gradients`, and in `terms` about the sum of the sizes of what each one sums: the
    norm of dy times that of what it is multiplied by.
    """

    mask: NDArray[np.uint8]
    """That of the step, of a layer that has a `Layer.mask`: set before each forward."""

    def __init__(
        self,
        layer: spec.Layer,
        parameters: Mapping[str, NDArray],
        state: Mapping[str, NDArray] | None = None,
        arithmetic: Arithmetic = EXACT,
    ) -> None:
        self.layer = layer
        self.parameters = parameters
        self.state = state or {}
        self.arithmetic = arithmetic
        self.gradients: dict[str, NDArray] = {}
        self.terms: dict[str, float] = {}

    def forward(self, x: NDArray) -> NDArray:
        """Return the output as in training."""
        raise NotImplementedError

    def infer(self, x: NDArray) -> NDArray:
        """Return the output as in inference."""
        return self.forward(x)

    def backward(self, dy: NDArray) -> NDArray:
        """Return the loss's gradient of the last forward's x, given that of its output."""
        raise NotImplementedError

    def sizes(self, dy: NDArray, factor: NDArray) -> dict[str, float]:
        """Return `terms` of a weight that multiplies `factor`, and of a bias."""
        size = float(np.linalg.norm(dy))
        ones = np.sqrt(dy.size / dy.shape[1 if dy.ndim == 4 else -1])
        return {"weight": size * float(np.linalg.norm(factor)), "bias": size * float(ones)}

    def settle(self) -> None:
        """Move the state by what the last forward saw: once a training step."""


class Kinked(Function):
    """A layer whose gradient jumps: where x is 0, or where two elements of a window are equal.

    Near there rounding decides which side an implementation takes, and one such decision moves the
    weights by far more than rounding itself does. For studies of such ties, `reach` says for each
    element of x how near counts as a tie, and `side` which side ties take: 1 or -1; 0, the
    definition's. `x` is what the last forward saw.
    """

    side: int = 0
    reach: NDArray | float = 0.0
    x: NDArray


def norm(x: NDArray, axes: int | tuple[int, ...]) -> NDArray:
    """Return the root of the sum of squares over `axes`."""
    return np.sqrt(np.square(x).sum(axis=axes))


def matrix_product(arithmetic: Arithmetic, y: NDArray, a: NDArray, b: NDArray) -> NDArray:
    """Return y, which is a b and perhaps a bias, as the arithmetic has it."""
    return arithmetic.product(y, a.shape[1], lambda: np.outer(norm(a, 1), norm(b, 0)))


def bias_gradient(arithmetic: Arithmetic, dy: NDArray, axes: tuple[int, ...]) -> NDArray:
    """Return the gradient of a bias: the sum of dy over `axes`, in float32 of what dy is written as."""
    return arithmetic.result(arithmetic.sum(arithmetic.result(dy), axes))


Windows = Sequence[Window]
"""The windows along each of an array's last axes: height and width, or steps."""


def places(windows: Windows) -> Iterator[tuple]:
    """Yield, for each element of a window in turn, where in a `padded` array all windows have it.

    ``x[place]`` is a view of shape (..., *counts), one element a window. A window's elements come row
    by row.
    """
    for offsets in itertools.product(*(range(window.kernel) for window in windows)):
        slices = []
        for offset, window in zip(offsets, windows, strict=True):
            start = offset * window.dilation
            stop = start + window.stride * (window.count - 1) + 1
            slices.append(slice(start, stop, window.stride))
        yield (..., *slices)


def padded(x: NDArray, windows: Windows, value: float = 0.0) -> NDArray:
    """Return x with all that windows find beyond its edges."""
    pads = [window.pads for window in windows]
    if not np.any(pads):
        return x
    return np.pad(x, [(0, 0)] * (x.ndim - len(pads)) + pads, constant_values=value)


def cropped(x: NDArray, windows: Windows) -> NDArray:
    """Return what of a `padded` array lies within the edges."""
    inside = [slice(window.before, window.before + window.side) for window in windows]
    place: tuple[Any, ...] = (..., *inside)
    return x[place]
