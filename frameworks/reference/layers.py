"""Forward and backward of each layer, written out plainly in NumPy.

Convolutions, pools and norms have files of their own; FUNCTIONS, at the end, lists all.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from frameworks.reference.convolutions import Conv1d, Conv2d
from frameworks.reference.function import Function, Kinked, norm
from frameworks.reference.norms import BatchNorm, GroupNorm, LayerNorm
from frameworks.reference.pools import AvgPool, GlobalAvgPool, MaxPool
from workloads import layers as spec


class Dense(Function):
    """y = x W^T + b."""

    def forward(self, x: NDArray) -> NDArray:
        operand = self.arithmetic.operand
        self.x, self.weight = operand(x), operand(self.parameters["weight"])
        y = self.x @ self.weight.T + self.parameters["bias"]
        return self._product(y, x.shape[1], self.x, self.weight.T)

    def backward(self, dy: NDArray) -> NDArray:
        read = self.arithmetic.operand(dy)
        d_weight = self._product(read.T @ self.x, len(dy), read.T, self.x)
        self.gradients = {"weight": d_weight, "bias": self.arithmetic.sum(dy, 0)}
        self.terms = self.sizes(dy, self.x)
        return self._product(read @ self.weight, dy.shape[1], read, self.weight)

    def _product(self, y: NDArray, terms: int, a: NDArray, b: NDArray) -> NDArray:
        """Return y = a b as the arithmetic has it."""
        return self.arithmetic.product(y, terms, lambda: np.outer(norm(a, 1), norm(b, 0)))


class Flatten(Function):
    """(batch, channels, height, width) to (batch, features), in that order."""

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
    mask: NDArray[np.uint8]

    def forward(self, x: NDArray) -> NDArray:
        return self.arithmetic.each(x * self.mask / (1 - self.layer.rate))

    def infer(self, x: NDArray) -> NDArray:
        return x

    def backward(self, dy: NDArray) -> NDArray:
        return self.arithmetic.each(dy * self.mask / (1 - self.layer.rate))


class Relu(Kinked):
    """max(x, 0); the gradient passes where x > side * reach.

    What passes only thanks to the reach is handed on as a little more than 0, so that a maximum finds
    it among zeros, as it would where rounding had put it above.
    """

    def forward(self, x: NDArray) -> NDArray:
        self.x, least = x, self.side * self.reach
        self.passes = x > least
        return np.where(self.passes & (x <= 0), x - least, np.maximum(x, 0))

    def infer(self, x: NDArray) -> NDArray:
        return np.maximum(x, 0)

    def backward(self, dy: NDArray) -> NDArray:
        return np.where(self.passes, dy, 0)


TRANSCENDENTAL = 4
"""How many roundings an exponential or a hyperbolic tangent counts for: those of frameworks are off by
up to a few units in the last place."""


class Sigmoid(Function):
    """1 / (1 + exp(-x)), by tanh so that nothing overflows.

    An implementation by 1/2 + tanh(x / 2) / 2, which some frameworks have, is off by as much as
    the rounding of 1/2.
    """

    def forward(self, x: NDArray) -> NDArray:
        y = 0.5 * (1 + np.tanh(0.5 * x))
        self.y = self.arithmetic.each(y, 0.5 + y, TRANSCENDENTAL)
        return self.y

    def backward(self, dy: NDArray) -> NDArray:
        return self.arithmetic.each(dy * self.y * (1 - self.y), np.abs(dy * self.y), 2)


class Tanh(Function):
    """The hyperbolic tangent."""

    def forward(self, x: NDArray) -> NDArray:
        self.y = self.arithmetic.each(np.tanh(x), roundings=TRANSCENDENTAL)
        return self.y

    def backward(self, dy: NDArray) -> NDArray:
        return self.arithmetic.each(dy * (1 - self.y**2), np.abs(dy), 2)


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
    spec.Flatten: Flatten,
    spec.PadChannels: PadChannels,
    spec.Dropout: Dropout,
    spec.Relu: Relu,
    spec.Sigmoid: Sigmoid,
    spec.Tanh: Tanh,
}
