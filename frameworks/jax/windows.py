"""Convolutions and pools over JAX arrays; images are NHWC, sequences (batch, steps, features)."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array, lax

from frameworks.jax.biases import add_bias
from workloads import layers as spec
from workloads.layers import Shape
from workloads.layers.windows import Window

# Images and weights as XLA's CPU kernels read them: 1.03 of NCHW's throughput.
LAYOUT = ("NHWC", "HWIO", "NHWC")


def conv2d(layer: spec.Conv2d, x: Array, weight: Array, bias: Array | None = None) -> Array:
    """Cross-correlation; weight HWIO."""
    return _convolution(layer, _canonical(x), LAYOUT, x, weight, bias)


def conv1d(layer: spec.Conv1d, x: Array, weight: Array, bias: Array | None = None) -> Array:
    """Cross-correlation along the steps; weight WIO."""
    return _convolution(layer, x.shape[1:], ("NWC", "WIO", "NWC"), x, weight, bias)


def _canonical(x: Array) -> Shape:
    """Return the canonical shape of an image in NHWC."""
    return x.shape[3], x.shape[1], x.shape[2]


def _convolution(
    layer: spec.Convolution,
    shape: Shape,
    layout: tuple[str, str, str],
    x: Array,
    weight: Array,
    bias: Array | None,
) -> Array:
    windows = layer.windows(shape)
    y = lax.conv_general_dilated(
        x,
        weight,
        [window.stride for window in windows],
        [window.pads for window in windows],
        rhs_dilation=[window.dilation for window in windows],
        dimension_numbers=layout,
        feature_group_count=layer.groups,
    )
    return y if bias is None else add_bias(y, bias)


def is_depthwise(layer: spec.Layer) -> bool:
    """Return whether each filter reads a channel of its own, as far as the layer says."""
    return isinstance(layer, spec.Conv2d) and 1 < layer.groups == layer.filters


def depthwise_of_slices(
    layer: spec.Conv2d, x: Array, weight: Array, bias: Array | None = None
) -> Array:
    """A depthwise convolution as a sum of strided slices, each times its place of the kernel.

    XLA's CPU code of a convolution in groups goes element by element: a step of mobilenet-cifar takes 4
    times as long with it. Op by op there would be too many programs to compile, so eager does without.
    """
    if x.shape[3] != layer.groups:  # several channels a filter
        return conv2d(layer, x, weight, bias)
    windows = layer.windows(_canonical(x))
    x = jnp.pad(x, _around(windows))
    y = None
    for i in range(layer.kernel):
        for j in range(layer.kernel):
            rows, columns = (
                slice(k * w.dilation, k * w.dilation + w.stride * (w.count - 1) + 1, w.stride)
                for k, w in zip((i, j), windows, strict=True)
            )
            term = x[:, rows, columns] * weight[i, j, 0]
            y = term if y is None else y + term
    return y if bias is None else add_bias(y, bias)


def _around(windows: tuple[Window, ...]) -> list[tuple[int, int]]:
    """Return the padding of every axis of an NHWC image."""
    return [(0, 0), *(window.pads for window in windows), (0, 0)]


def max_pool(layer: spec.MaxPool, x: Array) -> Array:
    """The largest of each window."""
    window, strides = (1, layer.size, layer.size, 1), (1, layer.step, layer.step, 1)
    pads = _around(layer.windows(_canonical(x)))
    return lax.reduce_window(x, -jnp.inf, lax.max, window, strides, pads)


def max_pool_of_slices(layer: spec.MaxPool, x: Array) -> Array:
    """The same from strided slices, which XLA fuses: as reduce_window, the first of equals wins.

    reduce_window's gradient (select-and-scatter) is slow on the CPU: a jitted step with this one
    has 1.15 to 1.2 of the throughput. Op by op it would dispatch more, so eager does without.
    """
    windows = layer.windows(_canonical(x))
    rows, columns = (window.count for window in windows)
    if any(sum(window.pads) for window in windows):
        x = jnp.pad(x, _around(windows), constant_values=-jnp.inf)
    best = None
    for i in range(layer.size):
        for j in range(layer.size):
            last = (i + layer.step * (rows - 1) + 1, j + layer.step * (columns - 1) + 1)
            shifted = x[:, i : last[0] : layer.step, j : last[1] : layer.step]
            best = shifted if best is None else jnp.where(shifted > best, shifted, best)
    return best


def avg_pool(layer: spec.AvgPool, x: Array) -> Array:
    """The mean of each window."""
    if layer.size == 1:  # no arithmetic, and a simpler gradient
        return x[:, :: layer.step, :: layer.step]
    shape = _canonical(x)
    window, strides = (1, layer.size, layer.size, 1), (1, layer.step, layer.step, 1)
    pads, divisors = _around(layer.windows(shape)), layer.divisors(shape)
    sums = lax.reduce_window(x, 0.0, lax.add, window, strides, pads)
    if (divisors == layer.size**2).all():
        return sums / layer.size**2
    return sums / divisors[:, :, None].astype(x.dtype)


WINDOWED: dict[type[spec.Layer], Callable[..., Array]] = {
    spec.Conv1d: conv1d,
    spec.Conv2d: conv2d,
    spec.MaxPool: max_pool,
    spec.AvgPool: avg_pool,
}
