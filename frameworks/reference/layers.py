"""Forward and backward of each layer, written out plainly in NumPy.

Activations, convolutions, pools, norms and what acts on sequences have files of their own; FUNCTIONS,
at the end, lists all.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from frameworks.reference.activations import ACTIVATIONS
from frameworks.reference.convolutions import Conv1d, Conv2d
from frameworks.reference.function import Function, bias_gradient, matrix_product
from frameworks.reference.norms import BatchNorm, GroupNorm, LayerNorm, RmsNorm
from frameworks.reference.pools import AvgPool, GlobalAvgPool, MaxPool
from frameworks.reference.sequences import SEQUENCES
from frameworks.reference.transformer import FUNCTIONS as TRANSFORMER
from workloads import layers as spec


class Dense(Function):
    """y = x W^T + b: a matrix product, whose rows are examples, or the steps of all examples."""

    def forward(self, x: NDArray) -> NDArray:
        operand = self.arithmetic.operand
        self.x, self.weight = operand(_rows(x)), operand(self.parameters["weight"])
        y = self.x @ self.weight.T + self.parameters["bias"]
        y = matrix_product(self.arithmetic, y, self.x, self.weight.T)
        return y.reshape(*x.shape[:-1], -1)

    def backward(self, dy: NDArray) -> NDArray:
        read = self.arithmetic.operand(_rows(dy))
        d_weight = matrix_product(self.arithmetic, read.T @ self.x, read.T, self.x)
        d_bias = bias_gradient(self.arithmetic, dy, tuple(range(dy.ndim - 1)))
        self.gradients = {"weight": d_weight, "bias": d_bias}
        self.terms = self.sizes(dy, self.x)
        dx = matrix_product(self.arithmetic, read @ self.weight, read, self.weight)
        return dx.reshape(*dy.shape[:-1], -1)


def _rows(x: NDArray) -> NDArray:
    """Return (..., features) as (rows, features)."""
    return x.reshape(-1, x.shape[-1])


class Flatten(Function):
    """(batch, ...) to (batch, features), in the order of the axes."""

    def forward(self, x: NDArray) -> NDArray:
        self.shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, dy: NDArray) -> NDArray:
        return dy.reshape(self.shape)


class PadChannels(Function):
    """Zeros appended as further channels; their gradients lead nowhere."""

    layer: spec.PadChannels

    def forward(self, x: NDArray) -> NDArray:
        self.channels = x.shape[1]
        y = np.zeros((len(x), self.layer.channels, *x.shape[2:]), x.dtype)
        y[:, : self.channels] = x
        return y

    def backward(self, dy: NDArray) -> NDArray:
        return dy[:, : self.channels]


class Dropout(Function):
    """y = x mask / (1 - rate); `mask`, 0 or 1 of x's shape, is set before each forward."""

    layer: spec.Dropout

    def forward(self, x: NDArray) -> NDArray:
        return self.arithmetic.each(x * self.mask / (1 - self.layer.rate))

    def infer(self, x: NDArray) -> NDArray:
        return x

    def backward(self, dy: NDArray) -> NDArray:
        return self.arithmetic.each(dy * self.mask / (1 - self.layer.rate))


FUNCTIONS: dict[type[spec.Layer], type[Function]] = {
    spec.Dense: Dense,
    spec.Conv1d: Conv1d,
    spec.Conv2d: Conv2d,
    spec.MaxPool: MaxPool,
    spec.AvgPool: AvgPool,
    spec.GlobalAvgPool: GlobalAvgPool,
    spec.BatchNorm: BatchNorm,
    spec.GroupNorm: GroupNorm,
    spec.LayerNorm: LayerNorm,
    spec.RmsNorm: RmsNorm,
    spec.Flatten: Flatten,
    spec.PadChannels: PadChannels,
    spec.Dropout: Dropout,
    **ACTIVATIONS,
    **SEQUENCES,
    **TRANSFORMER,
}
