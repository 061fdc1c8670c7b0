"""Norms: their gradients flow through mean and variance too.

With h = (x - mean) / sqrt(variance + epsilon), y = weight h + bias and d = weight dy, the means
being over what x was normalised over (Ioffe and Szegedy 2015, section 3, shortened):

    dx = (d - mean(d) - h mean(d h)) / sqrt(variance + epsilon)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from frameworks.reference.arithmetic import Arithmetic
from frameworks.reference.function import Function
from workloads import layers as spec


def normal(x: NDArray, mean: NDArray, deviation: NDArray, arithmetic: Arithmetic) -> NDArray:
    """Return (x - mean) / deviation; some frameworks compute x / deviation - mean / deviation."""
    shift = arithmetic.each(mean, roundings=2)
    # Where x is the mean, both of their products are rounded alike.
    moved = np.where(x == mean, mean, arithmetic.each(x))
    return (moved - shift) / deviation


class BatchNorm(Function):
    """Each channel (or feature) by its mean and variance over examples and pixels.

    `forward` takes the batch's, and keeps them for `settle`; `infer` takes the state's.
    """

    layer: spec.BatchNorm

    def forward(self, x: NDArray) -> NDArray:
        self.axes = (0, *range(2, x.ndim))  # all but the channels'
        self.count = x.size // x.shape[1]  # how many values made each mean
        total = self.arithmetic.sum
        self.mean = total(x, self.axes) / self.count
        centred = x - self._wide(self.mean)
        self.variance = total(centred * centred, self.axes) / self.count
        self.deviation = np.sqrt(self.variance + self.layer.epsilon)
        self.h = self._normal(x, self.mean, self.deviation)
        return self._scaled(self.h, self.mean, self.deviation)

    def infer(self, x: NDArray) -> NDArray:
        self.axes = (0, *range(2, x.ndim))
        deviation = np.sqrt(self.state["variance"] + self.layer.epsilon)
        mean = self.state["mean"]
        return self._scaled(self._normal(x, mean, deviation), mean, deviation)

    def backward(self, dy: NDArray) -> NDArray:
        # The weight is the same all over a mean, so mean(d) = weight mean(dy).
        total, rounded = self.arithmetic.sum, self.arithmetic.each
        d_bias, d_weight = total(dy, self.axes), total(dy * self.h, self.axes)
        self.gradients = {"weight": d_weight, "bias": d_bias}
        self.terms = self.sizes(dy, self.h)
        dx = self.h * self._wide(-d_weight / self.count)
        dx += dy
        dx -= self._wide(d_bias / self.count)
        dx = rounded(dx, np.abs(dy), 2)
        dx *= self._wide(self.parameters["weight"] / self.deviation)
        return dx

    def settle(self) -> None:
        momentum, rounded = self.layer.momentum, self.arithmetic.each
        unbiased = self.variance * self.count / (self.count - 1)
        for name, batch_value in {"mean": self.mean, "variance": unbiased}.items():
            # Some frameworks have momentum as 1 less a share that is rounded as 1 is, and some keep a
            # multiple of the state.
            moved = rounded(momentum * batch_value, np.abs(batch_value))
            state = (1 - momentum) * self.state[name] + moved
            self.state[name][...] = rounded(state, roundings=3)

    def _normal(self, x: NDArray, mean: NDArray, deviation: NDArray) -> NDArray:
        return normal(x, self._wide(mean), self._wide(deviation), self.arithmetic)

    def _scaled(self, h: NDArray, mean: NDArray, deviation: NDArray) -> NDArray:
        """Return weight h + bias; those frameworks add the bias to the term of the mean."""
        weight, bias = self.parameters["weight"], self.parameters["bias"]
        size = np.where(bias == 0, 0.0, np.abs(bias) + np.abs(weight * mean) / deviation)
        y = h * self._wide(weight)
        y += self._wide(self.arithmetic.each(bias, size))
        return self.arithmetic.each(y)

    def _wide(self, channels: NDArray) -> NDArray:
        """Return (channels,) as (channels, 1, 1) where x is an image, so that it broadcasts."""
        return channels.reshape(-1, *(1 for _ in self.axes[1:]))


class LayerNorm(Function):
    """Each example's features, of a sequence each step's, by their own mean and variance."""

    layer: spec.LayerNorm

    def forward(self, x: NDArray) -> NDArray:
        mean = self._mean(x)
        centred = x - mean
        self.deviation = np.sqrt(self._mean(centred * centred) + self.layer.epsilon)
        self.h = normal(x, mean, self.deviation, self.arithmetic)
        return self.arithmetic.each(self.parameters["weight"] * self.h + self.parameters["bias"])

    def backward(self, dy: NDArray) -> NDArray:
        total, axes = self.arithmetic.sum, tuple(range(dy.ndim - 1))
        self.gradients = {"weight": total(dy * self.h, axes), "bias": total(dy, axes)}
        self.terms = self.sizes(dy, self.h)
        d = dy * self.parameters["weight"]
        through_variance = self.h * self._mean(d * self.h)
        dx = d - self._mean(d) - through_variance
        return self.arithmetic.each(dx, np.abs(d), 2) / self.deviation

    def _mean(self, x: NDArray) -> NDArray:
        """Return the mean over the features, (batch, 1) or (batch, steps, 1)."""
        return self.arithmetic.sum(x, -1, keepdims=True) / x.shape[-1]


class RmsNorm(Function):
    """Features by the root of their mean square r: with h = x / r, dx = (d - h mean(d h)) / r."""

    layer: spec.RmsNorm

    def forward(self, x: NDArray) -> NDArray:
        mean = self.arithmetic.sum(np.square(x), -1, keepdims=True) / x.shape[-1]
        self.root = np.sqrt(mean + self.layer.epsilon)
        self.h = self.arithmetic.each(x / self.root, roundings=2)
        return self.arithmetic.each(self.parameters["weight"] * self.h)

    def backward(self, dy: NDArray) -> NDArray:
        total, axes = self.arithmetic.sum, tuple(range(dy.ndim - 1))
        self.gradients = {"weight": total(dy * self.h, axes)}
        self.terms = {"weight": self.sizes(dy, self.h)["weight"]}
        d = dy * self.parameters["weight"]
        through_root = self.h * total(d * self.h, -1, keepdims=True) / dy.shape[-1]
        size = np.abs(d) + np.abs(through_root)
        return self.arithmetic.each(d - through_root, size, 2) / self.root
