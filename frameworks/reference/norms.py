"""Batch norm and layer norm, whose gradients flow through mean and variance too.

With h = (x - mean) / sqrt(variance + epsilon), y = weight h + bias and d = weight dy, the means
being over what x was normalised over (Ioffe and Szegedy 2015, section 3, shortened):

    dx = (d - mean(d) - h mean(d h)) / sqrt(variance + epsilon)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from frameworks.reference.function import Function
from workloads import layers as spec


class BatchNorm(Function):
    """Each channel (or feature) by its mean and variance over examples and pixels.

    `forward` takes the batch's, and keeps them for `settle`; `infer` takes the state's.
    """

    layer: spec.BatchNorm

    def forward(self, x: NDArray) -> NDArray:
        self.axes = (0, *range(2, x.ndim))  # all but the channels'
        self.mean = x.mean(axis=self.axes)
        centred = x - self._wide(self.mean)
        self.variance = (centred * centred).mean(axis=self.axes)
        self.count = x.size // x.shape[1]  # how many values made each mean
        self.deviation = np.sqrt(self.variance + self.layer.epsilon)
        self.h = centred
        self.h /= self._wide(self.deviation)
        return self._scaled(self.h)

    def infer(self, x: NDArray) -> NDArray:
        deviation = np.sqrt(self.state["variance"] + self.layer.epsilon)
        self.axes = (0, *range(2, x.ndim))
        return self._scaled((x - self._wide(self.state["mean"])) / self._wide(deviation))

    def backward(self, dy: NDArray) -> NDArray:
        # The weight is the same all over a mean, so mean(d) = weight mean(dy).
        d_bias, d_weight = dy.sum(axis=self.axes), (dy * self.h).sum(axis=self.axes)
        self.gradients = {"weight": d_weight, "bias": d_bias}
        dx = self.h * self._wide(-d_weight / self.count)
        dx += dy
        dx -= self._wide(d_bias / self.count)
        dx *= self._wide(self.parameters["weight"] / self.deviation)
        return dx

    def settle(self) -> None:
        momentum = self.layer.momentum
        unbiased = self.variance * self.count / (self.count - 1)
        for name, now in {"mean": self.mean, "variance": unbiased}.items():
            self.state[name][...] = (1 - momentum) * self.state[name] + momentum * now

    def _scaled(self, h: NDArray) -> NDArray:
        y = h * self._wide(self.parameters["weight"])
        y += self._wide(self.parameters["bias"])
        return y

    def _wide(self, channels: NDArray) -> NDArray:
        """Return (channels,) as (channels, 1, 1) where x is an image, so that it broadcasts."""
        return channels.reshape(-1, *(1 for _ in self.axes[1:]))


class LayerNorm(Function):
    """Each example's features by their own mean and variance."""

    layer: spec.LayerNorm

    def forward(self, x: NDArray) -> NDArray:
        centred = x - x.mean(axis=1, keepdims=True)
        variance = (centred * centred).mean(axis=1, keepdims=True)
        self.deviation = np.sqrt(variance + self.layer.epsilon)
        self.h = centred / self.deviation
        return self.parameters["weight"] * self.h + self.parameters["bias"]

    def backward(self, dy: NDArray) -> NDArray:
        self.gradients = {"weight": (dy * self.h).sum(axis=0), "bias": dy.sum(axis=0)}
        d = dy * self.parameters["weight"]
        through_mean = d.mean(axis=1, keepdims=True)
        through_variance = self.h * (d * self.h).mean(axis=1, keepdims=True)
        return (d - through_mean - through_variance) / self.deviation
