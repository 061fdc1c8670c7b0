"""Forward and backward of each layer, written out plainly in NumPy.

Each layer is a class with ``forward(x)`` and ``backward(dy)``; backward returns the gradient of the
input and leaves the gradients of the parameters in `gradients`. All arrays share the dtype of the
weights. Images are (batch, channels, height, width).
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from workloads import layers as spec


class Function:
    """A layer without parameters."""

    def __init__(self, layer: spec.Layer, parameters: dict[str, NDArray]) -> None:
        self.layer = layer
        self.parameters = parameters
        self.gradients: dict[str, NDArray] = {}

    def forward(self, x: NDArray) -> NDArray:
        raise NotImplementedError

    def backward(self, dy: NDArray) -> NDArray:
        raise NotImplementedError


class Dense(Function):
    """y = x W^T + b."""

    def forward(self, x: NDArray) -> NDArray:
        self.x = x
        return x @ self.parameters["weight"].T + self.parameters["bias"]

    def backward(self, dy: NDArray) -> NDArray:
        self.gradients = {"weight": dy.T @ self.x, "bias": dy.sum(axis=0)}
        return dy @ self.parameters["weight"]


def _windows(x: NDArray, size: int, stride: int) -> NDArray:
    """Return every window as a view: (batch, channels, rows, columns, size, size)."""
    return sliding_window_view(x, (size, size), axis=(2, 3))[:, :, ::stride, ::stride]


def _scatter(d_windows: NDArray, shape: tuple[int, ...], size: int, stride: int) -> NDArray:
    """Add each window's gradient back to the places it was read from (the adjoint of _windows)."""
    dx = np.zeros(shape, d_windows.dtype)
    rows, columns = d_windows.shape[2:4]
    for i in range(size):
        for j in range(size):
            there = (slice(i, i + stride * rows, stride), slice(j, j + stride * columns, stride))
            dx[(..., *there)] += d_windows[..., i, j]
    return dx


class Conv2d(Function):
    """Each output is the sum of a window times the kernel: one matrix product over windows."""

    layer: spec.Conv2d

    def forward(self, x: NDArray) -> NDArray:
        pad = self.layer.padding
        x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        self.padded_shape = x.shape
        windows = _windows(x, self.layer.kernel, self.layer.stride)
        batch, _, rows, columns, _, _ = windows.shape
        self.columns = windows.transpose(0, 2, 3, 1, 4, 5).reshape(batch * rows * columns, -1)
        weight = self.parameters["weight"].reshape(self.layer.filters, -1)
        y = self.columns @ weight.T + self.parameters["bias"]
        return y.reshape(batch, rows, columns, -1).transpose(0, 3, 1, 2)

    def backward(self, dy: NDArray) -> NDArray:
        batch, filters, rows, columns = dy.shape
        weight = self.parameters["weight"]
        flat = dy.transpose(0, 2, 3, 1).reshape(-1, filters)
        d_weight = flat.T @ self.columns
        self.gradients = {"weight": d_weight.reshape(weight.shape), "bias": flat.sum(axis=0)}
        d_columns = flat @ weight.reshape(filters, -1)
        d_windows = d_columns.reshape(batch, rows, columns, *weight.shape[1:])
        d_windows = d_windows.transpose(0, 3, 1, 2, 4, 5)
        dx = _scatter(d_windows, self.padded_shape, self.layer.kernel, self.layer.stride)
        pad = self.layer.padding
        return dx[:, :, pad : dx.shape[2] - pad, pad : dx.shape[3] - pad]


class MaxPool(Function):
    """The largest of each window; its gradient goes to the first place that holds it."""

    layer: spec.MaxPool

    def forward(self, x: NDArray) -> NDArray:
        self.shape = x.shape
        windows = _windows(x, self.layer.size, self.layer.step)
        flat = windows.reshape(*windows.shape[:4], -1)
        self.winner = flat.argmax(axis=-1)[..., None]
        return np.take_along_axis(flat, self.winner, axis=-1)[..., 0]

    def backward(self, dy: NDArray) -> NDArray:
        size = self.layer.size
        d_flat = np.zeros((*dy.shape, size * size), dy.dtype)
        np.put_along_axis(d_flat, self.winner, dy[..., None], axis=-1)
        d_windows = d_flat.reshape(*dy.shape, size, size)
        return _scatter(d_windows, self.shape, size, self.layer.step)


class AvgPool(Function):
    """The mean of each window."""

    layer: spec.AvgPool

    def forward(self, x: NDArray) -> NDArray:
        self.shape = x.shape
        return _windows(x, self.layer.size, self.layer.step).mean(axis=(-2, -1))

    def backward(self, dy: NDArray) -> NDArray:
        size = self.layer.size
        share = np.broadcast_to((dy / size**2)[..., None, None], (*dy.shape, size, size))
        return _scatter(share, self.shape, size, self.layer.step)


class Flatten(Function):
    """(batch, channels, height, width) to (batch, features), in that order."""

    def forward(self, x: NDArray) -> NDArray:
        self.shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, dy: NDArray) -> NDArray:
        return dy.reshape(self.shape)


class Relu(Function):
    """max(x, 0)."""

    def forward(self, x: NDArray) -> NDArray:
        self.positive = x > 0
        return np.where(self.positive, x, 0)

    def backward(self, dy: NDArray) -> NDArray:
        return np.where(self.positive, dy, 0)


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
    spec.Flatten: Flatten,
    spec.Relu: Relu,
    spec.Sigmoid: Sigmoid,
    spec.Tanh: Tanh,
}
