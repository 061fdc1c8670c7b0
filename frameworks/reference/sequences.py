"""Layers on sequences, (batch, steps, features)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from frameworks.reference.function import Function
from frameworks.reference.recurrent import Gru, Lstm
from workloads import layers as spec


class Rows(Function):
    """(batch, channels, height, width) to (batch, height, channels width)."""

    def forward(self, x: NDArray) -> NDArray:
        self.shape = x.shape
        batch, _, height, _ = x.shape
        return x.transpose(0, 2, 1, 3).reshape(batch, height, -1)

    def backward(self, dy: NDArray) -> NDArray:
        batch, channels, height, width = self.shape
        return dy.reshape(batch, height, channels, width).transpose(0, 2, 1, 3)


class LastStep(Function):
    """The last step; the others get no gradient."""

    def forward(self, x: NDArray) -> NDArray:
        self.shape = x.shape
        return x[:, -1]

    def backward(self, dy: NDArray) -> NDArray:
        dx = np.zeros(self.shape, dy.dtype)
        dx[:, -1] = dy
        return dx


class MeanSteps(Function):
    """The mean over the steps."""

    def forward(self, x: NDArray) -> NDArray:
        self.shape = x.shape
        return self.arithmetic.sum(x, 1) / x.shape[1]

    def backward(self, dy: NDArray) -> NDArray:
        dx = self.arithmetic.each(dy / self.shape[1])
        return np.broadcast_to(dx[:, None], self.shape)


SEQUENCES: dict[type[spec.Layer], type[Function]] = {
    spec.Rows: Rows,
    spec.LastStep: LastStep,
    spec.MeanSteps: MeanSteps,
    spec.Lstm: Lstm,
    spec.Gru: Gru,
}
