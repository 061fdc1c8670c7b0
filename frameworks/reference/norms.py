"""Norms: their gradients flow through mean and variance too.

With h = (x - mean) / sqrt(variance + epsilon), y = weight h + bias and d = weight dy, the means
being over what x was normalised over (Ioffe and Szegedy 2015, section 3, shortened):

    dx = (d - mean(d) - h mean(d h)) / sqrt(variance + epsilon)
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from frameworks.reference.arithmetic import EXACT, Arithmetic
from frameworks.reference.function import Function
from workloads import layers as spec


def normal(x: NDArray, mean: NDArray, deviation: NDArray, arithmetic: Arithmetic) -> NDArray:
    """Return (x - mean) / deviation; some frameworks compute x / deviation - mean / deviation."""
    shift = arithmetic.each(mean, roundings=2)
    # Where x is the mean, both of their products are rounded alike.
    moved = np.where(x == mean, mean, arithmetic.each(x))
    return (moved - shift) / deviation


class Norm(Function):
    """A norm computes in float32, whatever the precision of what it reads and writes."""

    def __init__(
        self,
        layer: spec.Layer,
        parameters: Mapping[str, NDArray],
        state: Mapping[str, NDArray] | None = None,
        arithmetic: Arithmetic = EXACT,
    ) -> None:
        super().__init__(layer, parameters, state, arithmetic.float32)
        self._written = arithmetic.result

    def forward(self, x: NDArray) -> NDArray:
        return self._written(self.normalise(self._written(x)))

    def infer(self, x: NDArray) -> NDArray:
        return self._written(self.normalise_in_inference(self._written(x)))

    def backward(self, dy: NDArray) -> NDArray:
        return self._written(self.differentiate(self._written(dy)))

    def normalise(self, x: NDArray) -> NDArray:
        """Return the output as in training, float32."""
        raise NotImplementedError

    def normalise_in_inference(self, x: NDArray) -> NDArray:
        """Return the output as in inference, float32."""
        return self.normalise(x)

    def differentiate(self, dy: NDArray) -> NDArray:
        """Do what `backward` does, in float32."""
        raise NotImplementedError


class BatchNorm(Norm):
    """Each channel (or feature) by its mean and variance over examples and pixels.

    In training it takes the batch's, and keeps them for `settle`; in inference the state's.
    """

    layer: spec.BatchNorm

    def normalise(self, x: NDArray) -> NDArray:
        self.axes = (0, *range(2, x.ndim))  # all but the channels'
        self.count = x.size // x.shape[1]  # how many values made each mean
        total = self.arithmetic.sum
        self.mean = total(x, self.axes) / self.count
        centred = x - self._wide(self.mean)
        self.variance = total(centred * centred, self.axes) / self.count
        self.deviation = np.sqrt(self.variance + self.layer.epsilon)
        self.h = self._normal(x, self.mean, self.deviation)
        return self._scaled(self.h, self.mean, self.deviation)

    def normalise_in_inference(self, x: NDArray) -> NDArray:
        self.axes = (0, *range(2, x.ndim))
        deviation = np.sqrt(self.state["variance"] + self.layer.epsilon)
        mean = self.state["mean"]
        return self._scaled(self._normal(x, mean, deviation), mean, deviation)

    def differentiate(self, dy: NDArray) -> NDArray:
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


class LayerNorm(Norm):
    """Each example's features, of a sequence each step's, by their own mean and variance."""

    layer: spec.LayerNorm

    def normalise(self, x: NDArray) -> NDArray:
        mean = self._mean(x)
        centred = x - mean
        self.deviation = np.sqrt(self._mean(centred * centred) + self.layer.epsilon)
        self.h = normal(x, mean, self.deviation, self.arithmetic)
        return self.arithmetic.each(self.parameters["weight"] * self.h + self.parameters["bias"])

    def differentiate(self, dy: NDArray) -> NDArray:
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


class GroupNorm(Norm):
    """Each example's channels, a group of them at a time, by their own mean and variance."""

    layer: spec.GroupNorm

    def normalise(self, x: NDArray) -> NDArray:
        groups = self._by_group(x)
        mean = self._mean(groups)
        centred = groups - mean
        self.deviation = np.sqrt(self._mean(centred * centred) + self.layer.epsilon)
        h = normal(groups, mean, self.deviation, self.arithmetic)
        self.h = h.reshape(x.shape)
        return self._scaled(np.broadcast_to(mean / self.deviation, h.shape).reshape(x.shape))

    def differentiate(self, dy: NDArray) -> NDArray:
        axes, total = (0, *range(2, dy.ndim)), self.arithmetic.sum
        self.gradients = {"weight": total(dy * self.h, axes), "bias": total(dy, axes)}
        self.terms = self.sizes(dy, self.h)
        d = self._by_group(dy * self._wide(self.parameters["weight"]))
        h = self._by_group(self.h)
        dx = d - self._mean(d) - h * self._mean(d * h)
        dx = self.arithmetic.each(dx, np.abs(d), 2) / self.deviation
        return dx.reshape(dy.shape)

    def _scaled(self, shift: NDArray) -> NDArray:
        """Return weight h + bias; some frameworks add the bias to weight `shift`, the mean's term."""
        weight, bias = (self._wide(self.parameters[name]) for name in ("weight", "bias"))
        size = np.where(bias == 0, 0.0, np.abs(bias) + np.abs(weight * shift))
        return self.arithmetic.each(self.arithmetic.each(bias, size) + weight * self.h)

    def _by_group(self, x: NDArray) -> NDArray:
        """Return (batch, channels, ...) as (batch, groups, elements of a group)."""
        return x.reshape(len(x), self.layer.groups, -1)

    def _mean(self, x: NDArray) -> NDArray:
        """Return each group's mean, (batch, groups, 1)."""
        return self.arithmetic.sum(x, 2, keepdims=True) / x.shape[2]

    def _wide(self, channels: NDArray) -> NDArray:
        """Return (channels,) as (channels, 1, ...), so that it broadcasts over pixels."""
        return channels.reshape(-1, *(1 for _ in self.h.shape[2:]))


class RmsNorm(Norm):
    """Features by the root of their mean square r: with h = x / r, dx = (d - h mean(d h)) / r."""

    layer: spec.RmsNorm

    def normalise(self, x: NDArray) -> NDArray:
        mean = self.arithmetic.sum(np.square(x), -1, keepdims=True) / x.shape[-1]
        self.root = np.sqrt(mean + self.layer.epsilon)
        self.h = self.arithmetic.each(x / self.root, roundings=2)
        return self.arithmetic.each(self.parameters["weight"] * self.h)

    def differentiate(self, dy: NDArray) -> NDArray:
        total, axes = self.arithmetic.sum, tuple(range(dy.ndim - 1))
        self.gradients = {"weight": total(dy * self.h, axes)}
        self.terms = {"weight": self.sizes(dy, self.h)["weight"]}
        d = dy * self.parameters["weight"]
        through_root = self.h * total(d * self.h, -1, keepdims=True) / dy.shape[-1]
        size = np.abs(d) + np.abs(through_root)
        return self.arithmetic.each(d - through_root, size, 2) / self.root
