"""Embedding, positions, patches and attention as pure functions over JAX arrays."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from numpy.typing import NDArray

from frameworks.jax.biases import add_bias
from workloads import layers as spec
from workloads.spec import Workload


def embedding(layer: spec.Embedding, x: Array, weight: Array) -> Array:
    """(batch, steps) of float32 tokens to (batch, steps, units); weight (tokens, units)."""
    rows = jnp.take(weight, x.astype(jnp.int32), axis=0)
    if layer.padding is None:
        return rows
    return jnp.where((x == layer.padding)[..., None], lax.stop_gradient(rows), rows)


def positions(layer: spec.Positions, x: Array, weight: Array | None = None) -> Array:
    """Add a vector to each step, the learned `weight` (steps, features) or a fixed one."""
    return x + (_sinusoids(*x.shape[1:]) if weight is None else weight)


@cache
def _sinusoids(steps: int, features: int) -> NDArray[np.float32]:
    return spec.sinusoids(steps, features).astype(np.float32)


def patches(layer: spec.Patches, x: Array) -> Array:
    """Squares of images (batch, height, width, channels), row by row; within, channels first."""
    size = layer.size
    batch, height, width, channels = x.shape
    squares = x.reshape(batch, height // size, size, width // size, size, channels)
    squares = jnp.transpose(squares, (0, 1, 3, 5, 2, 4))
    return squares.reshape(batch, -1, channels * size**2)


def attention(layer: spec.Attention, x: Array, mask: Array | None, **parameters: Array) -> Array:
    """Multi-head self-attention; weights are (in, out). JAX's own, but with a mask of dropout.

    `mask`: uint8, (batch, heads, steps, steps); None in inference, and without dropout.
    """

    def project(x: Array, part: str) -> Array:
        y = x @ parameters[f"weight_{part}"]
        bias = parameters.get(f"bias_{part}")
        return y if bias is None else add_bias(y, bias)

    heads = (*x.shape[:2], layer.heads, -1)
    q, k, v = (project(x, part).reshape(heads) for part in "qkv")
    if mask is None:
        y = jax.nn.dot_product_attention(q, k, v, is_causal=layer.causal)
    else:
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k, preferred_element_type=jnp.float32)
        scores *= 1 / math.sqrt(q.shape[3])
        if layer.causal:
            scores = jnp.where(jnp.tri(x.shape[1], dtype=bool), scores, -jnp.inf)
        scaled = mask * jnp.float32(1 / (1 - layer.dropout))
        weights = (jax.nn.softmax(scores) * scaled).astype(v.dtype)
        y = jnp.einsum("bhqk,bkhd->bqhd", weights, v)
    return project(y.reshape(x.shape), "o")


def masked_cross_entropy(logits: Array, labels: Array, smoothing: float = 0.0) -> Array:
    """Mean of the cross-entropy over all steps whose label is not -1."""
    classes = logits.shape[-1]
    # A label of -1 has no one in its row.
    target = jax.nn.one_hot(labels, classes, dtype=logits.dtype)
    counted = labels >= 0
    if smoothing:
        target = (1 - smoothing) * target + (smoothing / classes) * counted[..., None]
    return -jnp.sum(target * jax.nn.log_softmax(logits)) / jnp.sum(counted)


def untransposed(workload: Workload) -> frozenset[str]:
    """Return the parameters that are tables of rows, and no (out, in) weights: they stay canonical."""
    kinds = (spec.Embedding, spec.Positions)
    tables = [place for place in workload.leaves if isinstance(place.layer, kinds)]
    return frozenset(f"{place.name}.weight" for place in tables)


TRANSFORMER: dict[type[spec.Layer], Callable[..., Array]] = {
    spec.Embedding: embedding,
    spec.Positions: positions,
    spec.Patches: patches,
}
