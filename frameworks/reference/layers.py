"""Forward and backward of each layer, written out plainly in NumPy.

Activations, pools, norms and what acts on sequences have files of their own; FUNCTIONS, at the end,
lists all.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from frameworks.reference.activations import ACTIVATIONS
from frameworks.reference.function import Function, matrix_product, norm, places
from frameworks.reference.norms import BatchNorm, LayerNorm, RmsNorm
from frameworks.reference.pools import AvgPool, GlobalAvgPool, MaxPool
from frameworks.reference.sequences import SEQUENCES
from frameworks.reference.transformer import FUNCTIONS as TRANSFORMER
from workloads import layers as spec


class Dense(Function):
    """y = x W^T + b: a matrix product, whose rows are examples, or the steps of all examples."""

    def forward(self, x: NDArray) -> NDArray:
        operand = self.arithmetic.operand
        self.x, self.weight = operand(_rows(x)), operand(self.parameters["weight"])
        y = self.x @ self.weight.T + self.parameters["bias"]
        y = matrix_product(self.arithmetic, y, self.x, self.weight.T)
        return y.reshape(*x.shape[:-1], -1)

    def backward(self, dy: NDArray) -> NDArray:
        read = self.arithmetic.operand(_rows(dy))
        d_weight = matrix_product(self.arithmetic, read.T @ self.x, read.T, self.x)
        d_bias = self.arithmetic.sum(dy, tuple(range(dy.ndim - 1)))
        self.gradients = {"weight": d_weight, "bias": d_bias}
        self.terms = self.sizes(dy, self.x)
        dx = matrix_product(self.arithmetic, read @ self.weight, read, self.weight)
        return dx.reshape(*dy.shape[:-1], -1)


def _rows(x: NDArray) -> NDArray:
    """Return (..., features) as (rows, features)."""
    return x.reshape(-1, x.shape[-1])


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
        self.x = self._padded(self.arithmetic.operand(x))
        weight = self.arithmetic.operand(self.parameters["weight"])
        self.weight = weight.reshape(self.layer.filters, -1)
        rows_columns = self.layer.output(x.shape[1:])[1:]
        y = np.empty((len(x), self.layer.filters, *rows_columns), x.dtype)
        flat = y.reshape(*y.shape[:2], -1)
        for rows in self._portions():
            np.matmul(self.weight, self._columns(self.x[rows]), out=flat[rows])
        if self.layer.bias:
            y += self.parameters["bias"][:, None, None]

        def size() -> NDArray:
            windows = np.sqrt(self._sum_of_windows(np.square(self.x).sum(axis=1, keepdims=True)))
            return windows * norm(self.weight, 1)[:, None, None]

        return self.arithmetic.product(y, self.weight.shape[1], size)

    def backward(self, dy: NDArray) -> NDArray:
        read = self.arithmetic.operand(dy)
        flat = read.reshape(*dy.shape[:2], -1)
        d_weight, dx = np.zeros_like(self.weight), np.zeros_like(self.x)
        for rows in self._portions():
            columns = self._columns(self.x[rows])
            d_weight += (flat[rows] @ columns.transpose(0, 2, 1)).sum(axis=0)
            d_columns = self.weight.T @ flat[rows]
            self._scatter(d_columns, dx[rows])
        self.gradients = {"weight": self._weight_gradient(d_weight, flat)}
        if self.layer.bias:
            self.gradients["bias"] = self.arithmetic.sum(dy, (0, 2, 3))
        self.terms = self.sizes(dy, self.x)

        def size() -> NDArray:
            windows = np.square(read).sum(axis=1).reshape(len(dy), 1, -1)
            squares = np.zeros((len(dy), 1, *dx.shape[2:]), dx.dtype)
            self._scatter(np.repeat(windows, self.layer.kernel**2, axis=1), squares)
            return np.sqrt(squares) * norm(self.parameters["weight"], (0, 2, 3))[:, None, None]

        dx = self.arithmetic.product(dx, self.layer.filters * self.layer.kernel**2, size)
        height, width = dx.shape[2:]
        pad = self.layer.padding
        return dx[:, :, pad : height - pad, pad : width - pad]

    def _weight_gradient(self, d_weight: NDArray, flat: NDArray) -> NDArray:
        """Return dW, (filters, channels k k), as the arithmetic has it, in the weight's shape."""

        def size() -> NDArray:
            squares = np.square(self.x)
            places_of = places(self.x.shape, self.layer.kernel, self.layer.stride)
            columns = np.stack([squares[place].sum(axis=(0, 2, 3)) for place in places_of], axis=1)
            return np.outer(norm(flat, (0, 2)), np.sqrt(columns.ravel()))

        d_weight = self.arithmetic.product(d_weight, flat[:, 0].size, size)
        return d_weight.reshape(self.parameters["weight"].shape)

    def _sum_of_windows(self, x: NDArray) -> NDArray:
        """Return each window's sum: (batch, 1, rows, columns) of an x of one channel."""
        return sum(x[place] for place in places(x.shape, self.layer.kernel, self.layer.stride))

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
        windows = places(x.shape, self.layer.kernel, self.layer.stride)
        columns = np.stack([x[place] for place in windows], axis=2)
        return columns.reshape(len(x), self.weight.shape[1], -1)

    def _scatter(self, d_columns: NDArray, dx: NDArray) -> None:
        """Add the gradients of columns to dx, at the places they were read from."""
        windows = list(places(dx.shape, self.layer.kernel, self.layer.stride))
        rows_columns = dx[windows[0]].shape[2:]
        d_columns = d_columns.reshape(*dx.shape[:2], len(windows), *rows_columns)
        for i, place in enumerate(windows):
            dx[place] += d_columns[:, :, i]


class Flatten(Function):
    """(batch, ...) to (batch, features), in the order of the axes."""

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

    def forward(self, x: NDArray) -> NDArray:
        return self.arithmetic.each(x * self.mask / (1 - self.layer.rate))

    def infer(self, x: NDArray) -> NDArray:
        return x

    def backward(self, dy: NDArray) -> NDArray:
        return self.arithmetic.each(dy * self.mask / (1 - self.layer.rate))


FUNCTIONS: dict[type[spec.Layer], type[Function]] = {
    spec.Dense: Dense,
    spec.Conv2d: Conv2d,
    spec.MaxPool: MaxPool,
    spec.AvgPool: AvgPool,
    spec.GlobalAvgPool: GlobalAvgPool,
    spec.BatchNorm: BatchNorm,
    spec.LayerNorm: LayerNorm,
    spec.RmsNorm: RmsNorm,
    spec.Flatten: Flatten,
    spec.PadChannels: PadChannels,
    spec.Dropout: Dropout,
    **ACTIVATIONS,
    **SEQUENCES,
    **TRANSFORMER,
}
