"""Forward and backward of each layer, written out plainly in NumPy.

Pools and norms have files of their own; FUNCTIONS, at the end, lists all.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from frameworks.reference.function import Function, margin, places
from frameworks.reference.norms import BatchNorm, LayerNorm
from frameworks.reference.pools import AvgPool, GlobalAvgPool, MaxPool
from workloads import layers as spec


class Dense(Function):
    """y = x W^T + b."""

    def forward(self, x: NDArray) -> NDArray:
        operand, result = self.rounding.operand, self.rounding.result
        self.x, self.weight = operand(x), operand(self.parameters["weight"])
        return result(self.x @ self.weight.T + self.parameters["bias"])

    def backward(self, dy: NDArray) -> NDArray:
        read, result = self.rounding.operand(dy), self.rounding.result
        self.gradients = {"weight": result(read.T @ self.x), "bias": dy.sum(axis=0)}
        return result(read @ self.weight)


class Conv2d(Function):
    """Each output is the sum of a window times the kernel: a matrix product over windows.

    With an example's windows as the *columns* of a matrix U (channels k k, rows columns) and the
    weight as a matrix W (filters, channels k k):  Y = W U + b;  dW = dY U^T;  dU = W^T dY; and dx is
    dU, each element added to the place that it was read from. (Chellapilla et al. 2006, "High
    performance convolutional neural networks for document processing".)
    """

    layer: spec.Conv2d
    # Examples are taken by as many as have columns of about this size together: those stay in the
    # processor's cache between being written and read. It is all that the portions are for.
    portion_bytes = 2**20

    def forward(self, x: NDArray) -> NDArray:
        self.x = self._padded(self.rounding.operand(x))
        weight = self.rounding.operand(self.parameters["weight"])
        self.weight = weight.reshape(self.layer.filters, -1)
        rows_columns = self.layer.output(x.shape[1:])[1:]
        y = np.empty((len(x), self.layer.filters, *rows_columns), x.dtype)
        flat = y.reshape(*y.shape[:2], -1)
        for some in self._portions():
            np.matmul(self.weight, self._columns(self.x[some]), out=flat[some])
        if self.layer.bias:
            y += self.parameters["bias"][:, None, None]
        return self.rounding.result(y)

    def backward(self, dy: NDArray) -> NDArray:
        flat = self.rounding.operand(dy).reshape(*dy.shape[:2], -1)
        d_weight = np.zeros_like(self.weight)
        dx = np.zeros_like(self.x)
        for some in self._portions():
            columns = self._columns(self.x[some])
            d_weight += (flat[some] @ columns.transpose(0, 2, 1)).sum(axis=0)
            d_columns = self.weight.T @ flat[some]
            self._scatter(d_columns, dx[some])
        d_weight = self.rounding.result(d_weight)
        self.gradients = {"weight": d_weight.reshape(self.parameters["weight"].shape)}
        if self.layer.bias:
            self.gradients["bias"] = dy.sum(axis=(0, 2, 3))
        height, width = self.x.shape[2:]
        pad = self.layer.padding
        return self.rounding.result(dx[:, :, pad : height - pad, pad : width - pad])

    def _padded(self, x: NDArray) -> NDArray:
        pad = self.layer.padding
        return np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad))) if pad else x

    def _portions(self) -> Iterator[slice]:
        """Yield slices of the batch."""
        windows = next(places(self.x.shape, self.layer.kernel, self.layer.stride))
        columns_bytes = self.x[0, 0][windows].nbytes * self.weight.shape[1]  # of one example
        count = max(1, self.portion_bytes // columns_bytes)
        for start in range(0, len(self.x), count):
            yield slice(start, start + count)

    def _columns(self, x: NDArray) -> NDArray:
        """Return every window as a column: (batch, channels k k, rows columns)."""
        there = places(x.shape, self.layer.kernel, self.layer.stride)
        columns = np.stack([x[place] for place in there], axis=2)
        return columns.reshape(len(x), self.weight.shape[1], -1)

    def _scatter(self, d_columns: NDArray, dx: NDArray) -> None:
        """Add the gradients of columns to dx, at the places they were read from."""
        there = list(places(dx.shape, self.layer.kernel, self.layer.stride))
        rows_columns = dx[there[0]].shape[2:]
        d_columns = d_columns.reshape(*dx.shape[:2], len(there), *rows_columns)
        for i, place in enumerate(there):
            dx[place] += d_columns[:, :, i]


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
        return x * self.mask / (1 - self.layer.rate)

    def infer(self, x: NDArray) -> NDArray:
        return x

    def backward(self, dy: NDArray) -> NDArray:
        return dy * self.mask / (1 - self.layer.rate)


class Relu(Function):
    """max(x, 0); the gradient passes where x > kink * rms(x).

    What passes only thanks to the kink is handed on as a little more than 0, so that a maximum finds
    it among zeros, as it would where rounding had put it above.
    """

    def forward(self, x: NDArray) -> NDArray:
        near = margin(x, self.kink)
        self.passes = x > near
        return np.where(self.passes & (x <= 0), x - near, np.maximum(x, 0))

    def backward(self, dy: NDArray) -> NDArray:
        return np.where(self.passes, dy, 0)


class Sigmoid(Function):
    """1 / (1 + exp(-x)), by tanh so that nothing overflows."""

    def forward(self, x: NDArray) -> NDArray:
        self.y = 0.5 * (1 + np.tanh(0.5 * x))
        return self.y

    def backward(self, dy: NDArray) -> NDArray:
        return dy * self.y * (1 - self.y)


class Tanh(Function):
    """The hyperbolic tangent."""

    def forward(self, x: NDArray) -> NDArray:
        self.y = np.tanh(x)
        return self.y

    def backward(self, dy: NDArray) -> NDArray:
        return dy * (1 - self.y**2)


FUNCTIONS: dict[type[spec.Layer], type[Function]] = {
    spec.Dense: Dense,
    spec.Conv2d: Conv2d,
    spec.MaxPool: MaxPool,
    spec.AvgPool: AvgPool,
    spec.GlobalAvgPool: GlobalAvgPool,
    spec.BatchNorm: BatchNorm,
    spec.LayerNorm: LayerNorm,
    spec.Flatten: Flatten,
    spec.PadChannels: PadChannels,
    spec.Dropout: Dropout,
    spec.Relu: Relu,
    spec.Sigmoid: Sigmoid,
    spec.Tanh: Tanh,
}
