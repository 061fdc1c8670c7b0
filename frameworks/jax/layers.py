"""A spec's layers and losses as pure functions over JAX arrays; images are NHWC."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax

from frameworks.jax.activations import ACTIVATIONS
from frameworks.jax.biases import add_bias
from frameworks.jax.sequences import SEQUENCES
from frameworks.jax.transformer import TRANSFORMER, masked_cross_entropy
from frameworks.jax.windows import WINDOWED
from workloads import layers as spec
from workloads.spec import Workload

State = tuple[Array, Array]  # a batch norm's running mean and variance, each (channels,)


def flatten(layer: spec.Flatten, x: Array) -> Array:
    """(batch, ...) to (batch, features), in the order of NCHW."""
    if x.ndim == 4:
        x = jnp.transpose(x, (0, 3, 1, 2))
    return x.reshape(len(x), -1)


def pad_channels(layer: spec.PadChannels, x: Array) -> Array:
    """Zeros appended as further channels."""
    return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, layer.channels - x.shape[3])))


def group_norm(layer: spec.GroupNorm, x: Array, weight: Array, bias: Array) -> Array:
    """Each example's groups of channels by their own mean and biased variance; channels are last."""
    grouped = x.reshape(len(x), -1, layer.groups, len(weight) // layer.groups)
    centred = grouped - jnp.mean(grouped, axis=(1, 3), keepdims=True)
    variance = jnp.mean(jnp.square(centred), axis=(1, 3), keepdims=True)
    return (centred * lax.rsqrt(variance + layer.epsilon)).reshape(x.shape) * weight + bias


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
    spec.Dense: lambda layer, x, weight, bias: add_bias(x @ weight, bias),
    **WINDOWED,
    spec.GlobalAvgPool: lambda layer, x: jnp.mean(x, axis=(1, 2)),
    spec.PadChannels: pad_channels,
    spec.Flatten: flatten,
    spec.GroupNorm: group_norm,
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
