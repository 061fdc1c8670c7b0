"""A spec's layers and losses as pure functions over JAX arrays; images are NHWC."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array, lax

from workloads import layers as spec

# Images and weights as XLA's CPU kernels read them: 1.03 of NCHW's throughput.
LAYOUT = ("NHWC", "HWIO", "NHWC")


def conv2d(layer: spec.Conv2d, x: Array, weight: Array, bias: Array) -> Array:
    """Cross-correlation with explicit symmetric padding; weight HWIO."""
    padding = [(layer.padding, layer.padding)] * 2
    strides = (layer.stride, layer.stride)
    y = lax.conv_general_dilated(x, weight, strides, padding, dimension_numbers=LAYOUT)
    return y + bias


def max_pool(layer: spec.MaxPool, x: Array) -> Array:
    """The largest of each window; incomplete windows are left out."""
    window, strides = (1, layer.size, layer.size, 1), (1, layer.step, layer.step, 1)
    return lax.reduce_window(x, -jnp.inf, lax.max, window, strides, "VALID")


def max_pool_of_slices(layer: spec.MaxPool, x: Array) -> Array:
    """The same from strided slices, which XLA fuses: as reduce_window, the first of equals wins.

    reduce_window's gradient (select-and-scatter) is slow on the CPU: a jitted step with this one
    has 1.15 to 1.2 of the throughput. Op by op it would dispatch more, so eager does without.
    """
    rows, columns = layer.output((x.shape[3], x.shape[1], x.shape[2]))[1:]
    best = None
    for i in range(layer.size):
        for j in range(layer.size):
            last = (i + layer.step * (rows - 1) + 1, j + layer.step * (columns - 1) + 1)
            there = x[:, i : last[0] : layer.step, j : last[1] : layer.step]
            best = there if best is None else jnp.where(there > best, there, best)
    return best


def avg_pool(layer: spec.AvgPool, x: Array) -> Array:
    """The mean of each window; incomplete windows are left out."""
    window, strides = (1, layer.size, layer.size, 1), (1, layer.step, layer.step, 1)
    return lax.reduce_window(x, 0.0, lax.add, window, strides, "VALID") / layer.size**2


def flatten(layer: spec.Flatten, x: Array) -> Array:
    """(batch, ...) to (batch, features), in the order of NCHW."""
    if x.ndim == 4:
        x = jnp.transpose(x, (0, 3, 1, 2))
    return x.reshape(len(x), -1)


FUNCTIONS: dict[type[spec.Layer], Callable[..., Array]] = {
    spec.Dense: lambda layer, x, weight, bias: x @ weight + bias,
    spec.Conv2d: conv2d,
    spec.MaxPool: max_pool,
    spec.AvgPool: avg_pool,
    spec.Flatten: flatten,
    spec.Relu: lambda layer, x: jax.nn.relu(x),
    spec.Sigmoid: lambda layer, x: jax.nn.sigmoid(x),
    spec.Tanh: lambda layer, x: jnp.tanh(x),
}


def cross_entropy(logits: Array, labels: Array) -> Array:
    """Mean over the batch of logsumexp(z) - z[label]."""
    # Not logsumexp and indexing: op by op, those are some twenty dispatches more.
    one_hot = jax.nn.one_hot(labels, logits.shape[1], dtype=logits.dtype)
    return -jnp.mean(jnp.sum(one_hot * jax.nn.log_softmax(logits), axis=1))


def mean_squared_error(logits: Array, labels: Array) -> Array:
    """Mean over the batch of 1/2 sum_k (z_k - t_k)^2, t the one-hot label."""
    difference = logits - jax.nn.one_hot(labels, logits.shape[1], dtype=logits.dtype)
    return jnp.mean(0.5 * jnp.sum(jnp.square(difference), axis=1))


LOSSES = {"cross-entropy": cross_entropy, "mean-squared-error": mean_squared_error}
