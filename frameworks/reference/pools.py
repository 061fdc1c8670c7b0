"""Pools: a window at a time, for all windows at once. Images are (batch, channels, height, width)."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from frameworks.reference.function import Function, Kinked, places
from workloads import layers as spec


class MaxPool(Kinked):
    """The largest of each window; its gradient goes to the first place that holds it.

    With a side, to the first (1) or the last (-1) of those places that hold at least the largest less
    the largest reach in the window.
    """

    layer: spec.MaxPool

    def forward(self, x: NDArray) -> NDArray:
        self.x, self.shape = x, x.shape
        elements = self._elements(x)
        y = functools.reduce(np.maximum, elements)
        enough = y
        if self.side:
            enough = y - functools.reduce(np.maximum, self._elements(self.reach * np.ones_like(x)))
        self.winner = np.zeros(y.shape, np.intp)  # which of the window's elements, row by row
        for i in range(len(elements)) if self.side < 0 else reversed(range(len(elements))):
            self.winner[elements[i] >= enough] = i  # the one asked last stays
        return y

    def infer(self, x: NDArray) -> NDArray:
        return functools.reduce(np.maximum, self._elements(x))

    def _elements(self, x: NDArray) -> list[NDArray]:
        return [x[place] for place in places(x.shape, self.layer.size, self.layer.step)]

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
        corners = places(x.shape, self.layer.size, self.layer.step)
        windows = np.stack([x[place] for place in corners])
        return self.arithmetic.sum(windows, 0) / self.layer.size**2

    def backward(self, dy: NDArray) -> NDArray:
        dx = np.zeros(self.shape, dy.dtype)
        for place in places(self.shape, self.layer.size, self.layer.step):
            dx[place] += dy / self.layer.size**2
        return self.arithmetic.each(dx)


class GlobalAvgPool(Function):
    """The mean of each channel: (batch, channels, height, width) to (batch, channels)."""

    def forward(self, x: NDArray) -> NDArray:
        self.shape = x.shape
        return self.arithmetic.sum(x, (2, 3)) / (x.shape[2] * x.shape[3])

    def backward(self, dy: NDArray) -> NDArray:
        _, _, height, width = self.shape
        return np.broadcast_to((dy / (height * width))[:, :, None, None], self.shape)
