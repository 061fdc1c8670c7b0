"""A spec's layers and losses as pure functions over JAX arrays; images are NHWC."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax

from frameworks.jax.activations import ACTIVATIONS
from frameworks.jax.sequences import SEQUENCES
from frameworks.jax.transformer import TRANSFORMER, masked_cross_entropy
from workloads import layers as spec
from workloads.spec import Workload

State = tuple[Array, Array]  # a batch norm's running mean and variance, each (channels,)

# Images and weights as XLA's CPU kernels read them: 1.03 of NCHW's throughput.
LAYOUT = ("NHWC", "HWIO", "NHWC")


def conv2d(layer: spec.Conv2d, x: Array, weight: Array, bias: Array | None = None) -> Array:
    """Cross-correlation with explicit symmetric padding; weight HWIO."""
    padding = [(layer.padding, layer.padding)] * 2
    strides = (layer.stride, layer.stride)
    y = lax.conv_general_dilated(x, weight, strides, padding, dimension_numbers=LAYOUT)
    return y if bias is None else y + bias


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
            shifted = x[:, i : last[0] : layer.step, j : last[1] : layer.step]
            best = shifted if best is None else jnp.where(shifted > best, shifted, best)
    return best


def avg_pool(layer: spec.AvgPool, x: Array) -> Array:
    """The mean of each window; incomplete windows are left out."""
    if layer.size == 1:  # no arithmetic, and a simpler gradient
        return x[:, :: layer.step, :: layer.step]
    window, strides = (1, layer.size, layer.size, 1), (1, layer.step, layer.step, 1)
    return lax.reduce_window(x, 0.0, lax.add, window, strides, "VALID") / layer.size**2


def flatten(layer: spec.Flatten, x: Array) -> Array:
    """(batch, ...) to (batch, features), in the order of NCHW."""
    if x.ndim == 4:
        x = jnp.transpose(x, (0, 3, 1, 2))
    return x.reshape(len(x), -1)


def pad_channels(layer: spec.PadChannels, x: Array) -> Array:
    """Zeros appended as further channels."""
    return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, layer.channels - x.shape[3])))


def layer_norm(layer: spec.LayerNorm, x: Array, weight: Array, bias: Array) -> Array:
    """The features of each example, or of each step, by their own mean and biased variance."""
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    variance = jnp.mean(jnp.square(centred), axis=-1, keepdims=True)
    return centred * lax.rsqrt(variance + layer.epsilon) * weight + bias


def rms_norm(layer: spec.RmsNorm, x: Array, weight: Array) -> Array:
    """The features of each example, or of each step, by the root of their mean square."""
    square = jnp.mean(jnp.square(x), axis=-1, keepdims=True)
    return x * lax.rsqrt(square + layer.epsilon) * weight


def batch_norm(layer: spec.BatchNorm, x: Array, weight: Array, bias: Array, state: State) -> Array:
    """In inference: by the running mean and variance, (channels,); channels are x's last axis."""
    mean, variance = state
    return (x - mean) * (weight * lax.rsqrt(variance + layer.epsilon)) + bias


def batch_norm_of_batch(
    layer: spec.BatchNorm, x: Array, weight: Array, bias: Array, state: State
) -> tuple[Array, State]:
    """In training: by the batch's mean and biased variance; also give the state moved by them."""
    axes, count = tuple(range(x.ndim - 1)), x.size // x.shape[-1]
    mean = jnp.mean(x, axis=axes)
    centred = x - mean
    # Of the centred values: the mean of squares less the squared mean cancels digits away.
    variance = jnp.mean(jnp.square(centred), axis=axes)
    y = centred * (weight * lax.rsqrt(variance + layer.epsilon)) + bias
    # Nothing is differentiated through the state; without this, eager would try.
    moments = lax.stop_gradient((mean, variance))
    new, old = layer.momentum, 1 - layer.momentum
    unbiased = new * count / (count - 1)
    return y, (old * state[0] + new * moments[0], old * state[1] + unbiased * moments[1])


def dropout(layer: spec.Dropout, x: Array, mask: Array) -> Array:
    """x mask / (1 - rate); the mask is uint8, in canonical layout, x's images are NHWC."""
    if mask.ndim == 4:
        mask = jnp.transpose(mask, (0, 2, 3, 1))
    return x * (mask * jnp.float32(1 / (1 - layer.rate)))


FUNCTIONS: dict[type[spec.Layer], Callable[..., Array]] = {
    spec.Dense: lambda layer, x, weight, bias: x @ weight + bias,
    spec.Conv2d: conv2d,
    spec.MaxPool: max_pool,
    spec.AvgPool: avg_pool,
    spec.GlobalAvgPool: lambda layer, x: jnp.mean(x, axis=(1, 2)),
    spec.PadChannels: pad_channels,
    spec.Flatten: flatten,
    spec.LayerNorm: layer_norm,
    spec.RmsNorm: rms_norm,
    **ACTIVATIONS,
    **SEQUENCES,
    **TRANSFORMER,
}


def cross_entropy(logits: Array, labels: Array, smoothing: float = 0.0) -> Array:
    """Mean over the batch of logsumexp(z) - sum_k t_k z_k, with the target t smoothed."""
    # Not logsumexp and indexing: op by op, those are some twenty dispatches more.
    target = jax.nn.one_hot(labels, logits.shape[1], dtype=logits.dtype)
    if smoothing:
        target = (1 - smoothing) * target + smoothing / logits.shape[1]
    return -jnp.mean(jnp.sum(target * jax.nn.log_softmax(logits), axis=1))


def mean_squared_error(logits: Array, labels: Array) -> Array:
    """Mean over the batch of 1/2 sum_k (z_k - t_k)^2, t the one-hot label."""
    difference = logits - jax.nn.one_hot(labels, logits.shape[1], dtype=logits.dtype)
    return jnp.mean(0.5 * jnp.sum(jnp.square(difference), axis=1))


def loss_of(workload: Workload) -> Callable[[Array, Array], Array]:
    """Return the loss as a function of logits (batch, ..., classes) and labels (batch, ...)."""
    if workload.loss == "mean-squared-error":
        return mean_squared_error
    loss = masked_cross_entropy if workload.label_shape else cross_entropy
    return partial(loss, smoothing=workload.label_smoothing)
