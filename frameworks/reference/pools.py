"""Pools: a window at a time, for all windows at once. Images are (batch, channels, height, width)."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from frameworks.reference.function import Function, Kinked, cropped, padded, places
from workloads import layers as spec


class MaxPool(Kinked):
    """The largest of each window; its gradient goes to the first place that holds it.

    With a side, to the first (1) or the last (-1) of those places that hold at least the largest less
    the largest reach in the window.
    """

    layer: spec.MaxPool
    beyond: float = -np.inf
    """What windows find beyond the edges."""

    def forward(self, x: NDArray) -> NDArray:
        self.x = x
        elements = self._elements(x, self.beyond)
        y = functools.reduce(np.maximum, elements)
        enough = y
        if self.side:
            reaches = self._elements(self.reach * np.ones_like(x), 0.0)
            enough = y - functools.reduce(np.maximum, reaches)
        self.winner = np.zeros(y.shape, np.intp)  # which of the window's elements, row by row
        for i in range(len(elements)) if self.side < 0 else reversed(range(len(elements))):
            self.winner[elements[i] >= enough] = i  # the one asked last stays
        return y

    def infer(self, x: NDArray) -> NDArray:
        return functools.reduce(np.maximum, self._elements(x, self.beyond))

    def _elements(self, x: NDArray, padding: float) -> list[NDArray]:
        windows = self.layer.windows(x.shape[1:])
        wide = padded(x, windows, padding)
        return [wide[place] for place in places(windows)]

    def backward(self, dy: NDArray) -> NDArray:
        windows = self.layer.windows(self.x.shape[1:])
        dx = padded(np.zeros(self.x.shape, dy.dtype), windows)
        for i, place in enumerate(places(windows)):
            dx[place] += np.where(self.winner == i, dy, 0)
        return cropped(dx, windows)


class AvgPool(Function):
    """The mean of each window: its sum over zeros around the image, by how many elements count."""

    layer: spec.AvgPool

    def forward(self, x: NDArray) -> NDArray:
        self.shape = x.shape
        windows = self.layer.windows(x.shape[1:])
        wide = padded(x, windows)
        elements = np.stack([wide[place] for place in places(windows)])
        return self.arithmetic.sum(elements, 0) / self.layer.divisors(x.shape[1:]).astype(x.dtype)

    def backward(self, dy: NDArray) -> NDArray:
        windows = self.layer.windows(self.shape[1:])
        dx = padded(np.zeros(self.shape, dy.dtype), windows)
        share = dy / self.layer.divisors(self.shape[1:]).astype(dy.dtype)
        for place in places(windows):
            dx[place] += share
        return self.arithmetic.each(cropped(dx, windows))


class GlobalAvgPool(Function):
    """The mean of each channel: (batch, channels, height, width) to (batch, channels)."""

    def forward(self, x: NDArray) -> NDArray:
        self.shape = x.shape
        return self.arithmetic.sum(x, (2, 3)) / (x.shape[2] * x.shape[3])

    def backward(self, dy: NDArray) -> NDArray:
        _, _, height, width = self.shape
        return np.broadcast_to((dy / (height * width))[:, :, None, None], self.shape)
