"""Pools: a window at a time, for all windows at once. Images are (batch, channels, height, width)."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from frameworks.reference.function import Function, margin, places
from workloads import layers as spec


class MaxPool(Function):
    """The largest of each window; its gradient goes to the first place that holds it.

    With a kink, to the first (kink >= 0) or the last (kink < 0) of those places that hold at least
    the largest minus abs(kink) * rms(x).
    """

    layer: spec.MaxPool

    def forward(self, x: NDArray) -> NDArray:
        self.shape = x.shape
        elements = [x[place] for place in places(x.shape, self.layer.size, self.layer.step)]
        y = functools.reduce(np.maximum, elements)
        enough = y - margin(x, abs(self.kink))
        self.winner = np.zeros(y.shape, np.intp)  # which of the window's elements, row by row
        for i in range(len(elements)) if self.kink < 0 else reversed(range(len(elements))):
            self.winner[elements[i] >= enough] = i  # the one asked last stays
        return y

    def backward(self, dy: NDArray) -> NDArray:
        dx = np.zeros(self.shape, dy.dtype)
        for i, place in enumerate(places(self.shape, self.layer.size, self.layer.step)):
            dx[place] += np.where(self.winner == i, dy, 0)
        return dx


class AvgPool(Function):
    """The mean of each window."""

    layer: spec.AvgPool

    def forward(self, x: NDArray) -> NDArray:
        self.shape = x.shape
        there = places(x.shape, self.layer.size, self.layer.step)
        return functools.reduce(np.add, [x[place] for place in there]) / self.layer.size**2

    def backward(self, dy: NDArray) -> NDArray:
        dx = np.zeros(self.shape, dy.dtype)
        for place in places(self.shape, self.layer.size, self.layer.step):
            dx[place] += dy / self.layer.size**2
        return dx


class GlobalAvgPool(Function):
    """The mean of each channel: (batch, channels, height, width) to (batch, channels)."""

    def forward(self, x: NDArray) -> NDArray:
        self.shape = x.shape
        return x.mean(axis=(2, 3))

    def backward(self, dy: NDArray) -> NDArray:
        _, _, height, width = self.shape
        return np.broadcast_to((dy / (height * width))[:, :, None, None], self.shape)
