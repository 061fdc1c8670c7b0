"""Activations: each maps every element by itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from frameworks.reference.function import Function, Kinked
from workloads import layers as spec


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


ACTIVATIONS: dict[type[spec.Layer], type[Function]] = {
    spec.Relu: Relu,
    spec.Sigmoid: Sigmoid,
    spec.Tanh: Tanh,
}
