"""Convolutions and pools in TensorFlow's terms, in the layout of images inside."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from operator import add

import tensorflow as tf

from frameworks.tensorflow.biases import add_bias
from frameworks.tensorflow.stages import Function
from workloads import layers as spec
from workloads.layers import Shape
from workloads.layers.windows import SAME, Window, along

Windows = tuple[Window, ...]


def _pads(windows: Windows, images: str) -> list[list[int]] | None:
    """Return the padding of every axis of an image; None where there is none."""
    by_axis = dict(
        zip("HW"[-len(windows) :], (list(window.pads) for window in windows), strict=True)
    )
    return (
        [by_axis.get(axis, [0, 0]) for axis in images] if any(map(sum, by_axis.values())) else None
    )


def _is_same(windows: Windows) -> bool:
    """Return whether the padding is what TensorFlow calls SAME, however the spec has it."""
    first, sides = windows[0], [window.side for window in windows]
    return windows == along(sides, first.kernel, first.stride, SAME, first.dilation)


def _is_depthwise(layer: spec.Convolution, shape: Shape) -> bool:
    channels = layer.parameters(shape)["weight"][1]
    return layer.groups > 1 and channels == 1 and layer.dilation == 1


def needs_xla(layer: spec.Convolution, shape: Shape) -> bool:
    """Return whether TensorFlow's own CPU kernels lack the gradient: of dilation, and of groups.

    XLA's have it: Keras compiles a convolution in groups by itself, too.
    """
    grouped = layer.groups > 1 and not _is_depthwise(layer, shape)
    return grouped or layer.dilation > 1


def convolution(
    layer: spec.Convolution, shape: Shape, images: str, sliced: bool
) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor | None], tf.Tensor]:
    """Return the convolution of x by a weight, with a bias or None.

    A sequence is an image of one row, its features last. `sliced`: a depthwise one of slices.
    """
    flat = isinstance(layer, spec.Conv1d)
    images = "NHWC" if flat else images
    windows = layer.windows(shape)
    depthwise = _is_depthwise(layer, shape)
    convolve = _depthwise if depthwise else _full
    if sliced and depthwise and layer.filters == layer.groups and images == "NHWC" and not flat:
        return _depthwise_of_slices(windows)
    same = layer.padding == SAME or (depthwise and _is_same(windows))
    pads = SAME.upper() if same else _pads(windows, images)

    def product(x: tf.Tensor, weight: tf.Tensor, bias: tf.Tensor | None) -> tf.Tensor:
        if flat:
            x, weight = x[:, None], weight[None]
        y = convolve(layer, x, weight, pads or "VALID", images)
        y = y if bias is None else add_bias(y, bias, images)
        return tf.squeeze(y, 1) if flat else y

    return product


def _full(
    layer: spec.Convolution, x: tf.Tensor, weight: tf.Tensor, pads: list | str, images: str
) -> tf.Tensor:
    return tf.nn.conv2d(x, weight, layer.stride, pads, images, layer.dilation)


def _depthwise(
    layer: spec.Convolution, x: tf.Tensor, weight: tf.Tensor, pads: list | str, images: str
) -> tf.Tensor:
    """Return the depthwise convolution; weight (rows, columns, 1, filters).

    Padding apart from it, as Keras's nets have it: with a bias behind, TensorFlow's remapper loses
    explicit padding on the way to a fused kernel, and the process aborts.
    """
    by_channel = tf.reshape(weight, (*weight.shape[:2], layer.groups, -1))
    strides = [layer.stride if axis in "HW" else 1 for axis in images]
    if isinstance(pads, list):
        x, pads = tf.pad(x, pads), "VALID"
    return tf.nn.depthwise_conv2d(x, by_channel, strides, pads, images)


def _depthwise_of_slices(
    windows: Windows,
) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor | None], tf.Tensor]:
    """Return a depthwise convolution, NHWC, as a sum of strided slices times places of the kernel.

    XLA's CPU code of a convolution in groups goes element by element: a step of mobilenet-cifar takes 4
    times as long with it.
    """

    def product(x: tf.Tensor, weight: tf.Tensor, bias: tf.Tensor | None) -> tf.Tensor:
        x = tf.pad(x, _pads(windows, "NHWC") or [[0, 0]] * 4)
        terms = []
        for i in range(windows[0].kernel):
            for j in range(windows[1].kernel):
                rows, columns = (
                    slice(k, k + w.stride * (w.count - 1) + 1, w.stride)
                    for k, w in zip((i, j), windows, strict=True)
                )
                terms.append(x[:, rows, columns] * weight[i, j, 0])
        y = reduce(add, terms)
        return y if bias is None else add_bias(y, bias)

    return product


def max_pool(layer: spec.MaxPool, shape: Shape, images: str, xla: bool) -> Function:
    """Return max-pooling; of padding, XLA takes none but SAME's."""
    windows, size, step = layer.windows(shape), layer.size, layer.step
    pads = _pads(windows, images)
    sliced, same = xla and images == "NHWC" and size <= 3, _is_same(windows)
    if not sliced and (same or pads is None or not xla):
        padding = SAME.upper() if same else pads or "VALID"
        return lambda x: tf.nn.max_pool2d(x, size, step, padding, images)

    def pool(x: tf.Tensor) -> tf.Tensor:
        if pads:
            x = tf.pad(x, pads, constant_values=-math.inf)
        if sliced:
            return max_pool_of_slices(x, size, step, layer.output(shape))
        return tf.nn.max_pool2d(x, size, step, "VALID", images)

    return pool


def avg_pool(layer: spec.AvgPool, shape: Shape, images: str) -> Function:
    """Return average pooling; a window of one would be summed and divided, and need not be."""
    windows, size, step = layer.windows(shape), layer.size, layer.step
    pads = _pads(windows, images)
    if size == 1 and images == "NHWC":
        return lambda x: x[:, ::step, ::step]
    if size == 1:
        return lambda x: x[:, :, ::step, ::step]
    if pads is None or (_is_same(windows) and not layer.count_padding):
        return lambda x: tf.nn.avg_pool2d(
            x, size, step, "VALID" if pads is None else "SAME", images
        )
    factors = size**2 / layer.divisors(shape)
    factors = factors[:, :, None] if images == "NHWC" else factors

    def pool(x: tf.Tensor) -> tf.Tensor:
        means = tf.nn.avg_pool2d(tf.pad(x, pads), size, step, "VALID", images)
        return means * tf.constant(factors, x.dtype)

    return pool


def max_pool_of_slices(x: tf.Tensor, size: int, step: int, output: spec.Shape) -> tf.Tensor:
    """The largest of a window's strided slices, NHWC; the first of equals gets the gradient.

    XLA fuses it; its gradient of a pooling window (select and scatter) is slow on the CPU.
    """
    _, rows, columns = output
    best = None
    for i in range(size):
        for j in range(size):
            shifted = x[:, i : i + step * rows : step, j : j + step * columns : step]
            shifted = shifted[:, :rows, :columns]
            best = shifted if best is None else tf.where(shifted > best, shifted, best)
    return best
