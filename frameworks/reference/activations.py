"""Activations: each maps every element by itself."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from frameworks.reference.erf import erf
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


class LeakyRelu(Kinked):
    """x where x > 0, else slope x; the gradient is 1 where x > side * reach, else the slope."""

    layer: spec.LeakyRelu

    def forward(self, x: NDArray) -> NDArray:
        self.x = x
        return np.where(x > 0, x, self.arithmetic.each(self.layer.slope * x))

    def backward(self, dy: NDArray) -> NDArray:
        passes = self.x > self.side * self.reach
        return np.where(passes, dy, self.arithmetic.each(self.layer.slope * dy))


STEPS = 4
"""How many roundings of its own a coarser arithmetic has where frameworks compute a formula of several
operations: GELU, SiLU and softplus are off by up to as many (measured on all numbers of bfloat16)."""


class Elu(Kinked):
    """x where x > 0, else alpha (exp(x) - 1).

    The gradient is 1 where x > side * reach, else alpha exp(x), which some frameworks have as 1 more
    than exp(x) - 1: that is off by the rounding of 1.
    """

    layer: spec.Elu

    def forward(self, x: NDArray) -> NDArray:
        self.x, alpha = x, self.layer.alpha
        below = alpha * np.expm1(np.minimum(x, 0))
        return np.where(x > 0, x, self.arithmetic.function(below, alpha))

    def backward(self, dy: NDArray) -> NDArray:
        alpha = self.layer.alpha
        below = dy * alpha * np.exp(np.minimum(self.x, 0))
        below = self.arithmetic.function(below, alpha * np.abs(dy), 3)
        return np.where(self.x > self.side * self.reach, dy, below)


def sigmoid(x: NDArray) -> NDArray:
    """Return 1 / (1 + exp(-x)), by tanh so that nothing overflows.

    An implementation by 1/2 + tanh(x / 2) / 2, which some frameworks have, is off by as much as
    the rounding of 1/2: so its size is 1/2 more than it. In a coarser arithmetic, the three operations
    of 1 / (1 + exp(-x)) are off by u y (3 - y), which is less than two roundings of that size.
    """
    return 0.5 * (1 + np.tanh(0.5 * x))


class Sigmoid(Function):
    """1 / (1 + exp(-x))."""

    def forward(self, x: NDArray) -> NDArray:
        y = sigmoid(x)
        self.y = self.arithmetic.function(y, 0.5 + y, 2)
        return self.y

    def backward(self, dy: NDArray) -> NDArray:
        return self.arithmetic.each(dy * self.y * (1 - self.y), np.abs(dy * self.y), 2)


class Tanh(Function):
    """The hyperbolic tangent."""

    def forward(self, x: NDArray) -> NDArray:
        self.y = self.arithmetic.function(np.tanh(x))
        return self.y

    def backward(self, dy: NDArray) -> NDArray:
        return self.arithmetic.each(dy * (1 - self.y**2), np.abs(dy), 2)


class Silu(Function):
    """x s with the sigmoid s of x; the gradient is s (1 + x (1 - s))."""

    def forward(self, x: NDArray) -> NDArray:
        self.x, self.s = x, sigmoid(x)
        size = np.abs(x) * (0.5 + self.s)
        return self.arithmetic.function(x * self.s, size, STEPS)

    def backward(self, dy: NDArray) -> NDArray:
        slope = self.s * (1 + self.x * (1 - self.s))
        size = np.abs(dy) * (0.5 + self.s) * (1 + np.abs(self.x))
        return self.arithmetic.function(dy * slope, size, STEPS)


class Softplus(Function):
    """log(1 + exp(x)), which is off by the rounding of 1; the gradient is the sigmoid of x."""

    def forward(self, x: NDArray) -> NDArray:
        self.x, y = x, np.logaddexp(x, 0)
        return self.arithmetic.function(y, 1 + y, STEPS)

    def backward(self, dy: NDArray) -> NDArray:
        s = sigmoid(self.x)
        return self.arithmetic.function(dy * s, np.abs(dy) * (0.5 + s), STEPS)


class Gelu(Function):
    """x Phi(x); the gradient is Phi(x) + x Phi'(x).

    Where Phi is 1/2 plus a number near -1/2, both are off by the rounding of 1/2.
    """

    layer: spec.Gelu

    def forward(self, x: NDArray) -> NDArray:
        self.x, y = x, x * self._phi(x)[0]
        return self.arithmetic.function(y, np.abs(x), STEPS)

    def backward(self, dy: NDArray) -> NDArray:
        x = self.x
        phi, slope, size = self._phi(x)
        size = np.abs(dy) * (1 + np.abs(x) * size)
        return self.arithmetic.function(dy * (phi + x * slope), size, STEPS)

    def _phi(self, x: NDArray) -> tuple[NDArray, NDArray, NDArray]:
        """Return Phi(x), its slope, and the size of what the slope is made of."""
        if self.layer.approximate == "tanh":
            t = np.tanh(ROOT * (x + CUBIC * x**3))
            inner = 0.5 * ROOT * (1 + 3 * CUBIC * x**2)
            return 0.5 * (1 + t), inner * (1 - t**2), inner
        density = np.exp(-0.5 * x**2) / math.sqrt(2 * math.pi)
        # An error in the exponent is a relative error of the density.
        return 0.5 * (1 + erf(x / math.sqrt(2))), density, density * (1 + 0.5 * x**2)


ROOT, CUBIC = math.sqrt(2 / math.pi), 0.044715

ACTIVATIONS: dict[type[spec.Layer], type[Function]] = {
    spec.Relu: Relu,
    spec.LeakyRelu: LeakyRelu,
    spec.Elu: Elu,
    spec.Sigmoid: Sigmoid,
    spec.Tanh: Tanh,
    spec.Gelu: Gelu,
    spec.Silu: Silu,
    spec.Softplus: Softplus,
}
