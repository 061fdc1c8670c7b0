"""Convolutions, of images and of sequences, as matrix products over windows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from frameworks.reference.function import Function, bias_gradient, cropped, norm, padded, places
from workloads import layers as spec


class Conv2d(Function):
    """Each output is the sum of a window times the kernel: a matrix product over windows.

    With an example's windows as the *columns* of a matrix U (channels k k, rows columns) and the
    weight as a matrix W (filters, channels k k):  Y = W U + b;  dW = dY U^T;  dU = W^T dY; and dx is
    dU, each element added to the place that it was read from. (Chellapilla et al. 2006, "High
    performance convolutional neural networks for document processing".) In groups, each has a U and a
    W of its own.

    Channels are x's second axis; windows move along all axes behind it.
    """

    layer: spec.Convolution
    # Examples are taken by as many as have columns of about this size together: those stay in the
    # processor's cache between being written and read. It is all that the portions are for.
    portion_bytes = 2**20

    def forward(self, x: NDArray) -> NDArray:
        self.windows = self.layer.windows(x.shape[1:])
        return self._convolved(x)

    def _convolved(self, x: NDArray) -> NDArray:
        self.x = padded(self.arithmetic.operand(x), self.windows)
        weight = self.arithmetic.operand(self.parameters["weight"])
        groups, filters = self.layer.groups, self.layer.filters
        self.weight = weight.reshape(groups, filters // groups, -1)
        counts = [window.count for window in self.windows]
        y = np.empty((len(x), filters, *counts), x.dtype)
        flat = y.reshape(len(x), *self.weight.shape[:2], -1)
        for rows in self._portions():
            np.matmul(self.weight, self._columns(self.x[rows]), out=flat[rows])
        if self.layer.bias:
            y += self._wide(self.parameters["bias"])

        def size() -> NDArray:
            squares = self._by_group(np.square(self.x)).sum(axis=2)
            windows = np.sqrt(sum(squares[place] for place in places(self.windows)))
            sizes = windows.reshape(*windows.shape[:2], 1, -1) * norm(self.weight, 2)[..., None]
            return sizes.reshape(y.shape)

        return self.arithmetic.product(y, self.weight.shape[2], size)

    def backward(self, dy: NDArray) -> NDArray:
        read = self.arithmetic.operand(dy)
        flat = read.reshape(len(dy), *self.weight.shape[:2], -1)
        d_weight, dx = np.zeros_like(self.weight), np.zeros_like(self.x)
        for rows in self._portions():
            columns = self._columns(self.x[rows])
            d_weight += (flat[rows] @ columns.swapaxes(2, 3)).sum(axis=0)
            self._scatter(self.weight.swapaxes(1, 2) @ flat[rows], dx[rows])
        self.gradients = {"weight": self._weight_gradient(d_weight, flat)}
        if self.layer.bias:
            axes = (0, *range(2, dy.ndim))
            self.gradients["bias"] = bias_gradient(self.arithmetic, dy, axes)
        self.terms = self.sizes(dy.reshape(*dy.shape[:2], -1, 1), self.x)

        def size() -> NDArray:
            windows = np.square(flat).sum(axis=2)
            squares = np.zeros((*windows.shape[:2], *dx.shape[2:]), dx.dtype)
            for place in places(self.windows):
                squares[place] += windows.reshape(squares[place].shape)
            by_group = self.weight.reshape(
                *self.weight.shape[:2], dx.shape[1] // len(self.weight), -1
            )
            weights = norm(by_group, (1, 3)).ravel()  # of what each channel is multiplied by
            wide = np.repeat(np.sqrt(squares), by_group.shape[2], axis=1)
            return wide * self._wide(weights)

        terms = self.weight.shape[1] * self.weight.shape[2] * len(self.weight) // dx.shape[1]
        return cropped(self.arithmetic.product(dx, terms, size), self.windows)

    def _weight_gradient(self, d_weight: NDArray, flat: NDArray) -> NDArray:
        """Return dW, (groups, filters, channels k k), as the arithmetic has it, in the weight's shape."""

        def size() -> NDArray:
            squares, axes = np.square(self.x), (0, *range(2, self.x.ndim))
            sums = [squares[place].sum(axis=axes) for place in places(self.windows)]
            columns = np.sqrt(np.stack(sums, axis=1)).reshape(len(self.weight), 1, -1)
            return norm(flat, (0, 3))[:, :, None] * columns

        d_weight = self.arithmetic.product(d_weight, flat[:, 0, 0].size, size)
        return d_weight.reshape(self.parameters["weight"].shape)

    def _wide(self, channels: NDArray) -> NDArray:
        """Return (channels,) as (channels, 1, ...), so that it broadcasts over windows."""
        return channels.reshape(-1, *(1 for _ in self.windows))

    def _by_group(self, x: NDArray) -> NDArray:
        """Return (batch, channels, ...) as (batch, groups, channels of a group, ...)."""
        groups = self.layer.groups
        return x.reshape(len(x), groups, x.shape[1] // groups, *x.shape[2:])

    def _portions(self) -> Iterator[slice]:
        """Yield slices of the batch."""
        windows = next(places(self.windows))
        columns_bytes = self.x[0, 0][windows].nbytes * self.weight[:, 0].size  # of one example
        count = max(1, self.portion_bytes // columns_bytes)
        for start in range(0, len(self.x), count):
            yield slice(start, start + count)

    def _columns(self, x: NDArray) -> NDArray:
        """Return every window as a column: (batch, groups, channels k k, rows columns)."""
        columns = np.stack([x[place] for place in places(self.windows)], axis=2)
        return columns.reshape(len(x), self.weight.shape[0], self.weight.shape[2], -1)

    def _scatter(self, d_columns: NDArray, dx: NDArray) -> None:
        """Add the gradients of columns to dx, at the places they were read from."""
        counts = [window.count for window in self.windows]
        by_element = d_columns.reshape(*dx.shape[:2], -1, *counts)
        for i, place in enumerate(places(self.windows)):
            dx[place] += by_element[:, :, i]


class Conv1d(Conv2d):
    """The same along the steps of sequences, (batch, steps, features)."""

    def forward(self, x: NDArray) -> NDArray:
        self.windows = self.layer.windows(x.shape[1:])
        return self._convolved(x.swapaxes(1, 2)).swapaxes(1, 2)

    def backward(self, dy: NDArray) -> NDArray:
        return super().backward(dy.swapaxes(1, 2)).swapaxes(1, 2)
