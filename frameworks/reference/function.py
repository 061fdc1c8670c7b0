"""What every layer of the reference offers, and how windows are read from images.

All arrays share the dtype of the weights. Images are (batch, channels, height, width), vectors
(batch, features).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from frameworks.reference.rounding import EXACT, Rounding
from workloads import layers as spec


class Function:
    """A layer: what its last forward saw, its backward uses.

    `parameters` and `state` hold the arrays of `layer.parameters` and `layer.state` by short name;
    the parameters are read only, the state is moved by `settle`. `backward` leaves the gradients of
    the parameters in `gradients`. `kink` and `rounding` are explained in
    `frameworks.reference.adapter`.
    """

    def __init__(
        self,
        layer: spec.Layer,
        parameters: Mapping[str, NDArray],
        state: Mapping[str, NDArray] | None = None,
        kink: float = 0.0,
        rounding: Rounding = EXACT,
    ) -> None:
        self.layer = layer
        self.parameters = parameters
        self.state = state or {}
        self.kink = kink
        self.rounding = rounding
        self.gradients: dict[str, NDArray] = {}

    def forward(self, x: NDArray) -> NDArray:
        """Return the output as in training."""
        raise NotImplementedError

    def infer(self, x: NDArray) -> NDArray:
        """Return the output as in inference."""
        return self.forward(x)

    def backward(self, dy: NDArray) -> NDArray:
        """Return the loss's gradient of the last forward's x, given that of its output."""
        raise NotImplementedError

    def settle(self) -> None:
        """Move the state by what the last forward saw: once a training step."""


def margin(x: NDArray, kink: float) -> NDArray:
    """Return ``kink * rms(x)``, the rms over the whole batch, as a scalar of x's dtype."""
    if not kink:
        return x.dtype.type(0)
    return x.dtype.type(kink) * np.sqrt(np.mean(x * x))


def places(shape: tuple[int, ...], size: int, stride: int) -> Iterator[tuple]:
    """Yield, for each element of a window in turn, where in an image all windows have it.

    `shape` is an image's, (..., height, width), and ``x[place]`` a view of shape (..., rows,
    columns), one element a window. A window's elements come row by row.
    """
    rows, columns = ((side - size) // stride + 1 for side in shape[-2:])
    for i in range(size):
        for j in range(size):
            down = slice(i, i + stride * rows, stride)
            across = slice(j, j + stride * columns, stride)
            yield (..., down, across)
