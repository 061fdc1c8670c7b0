"""lstm-digits in plain JAX, as its tutorials write it: what the adapter is held against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from frameworks.jax.plain import adam_loop, cross_entropy

SHAPES = {"x": (8, 256), "h": (64, 256), "fc": (64, 10)}


def start() -> dict[str, Any]:
    """Return the weights of x, of h and of the classes, and the biases."""
    keys = jax.random.split(jax.random.key(0), len(SHAPES))
    params: dict[str, Any] = {
        name: 0.1 * jax.random.normal(key, shape)
        for key, (name, shape) in zip(keys, SHAPES.items(), strict=True)
    }
    return params | {"bias": jnp.zeros(256), "fc_bias": jnp.zeros(10)}


def forward(params: dict[str, Any], x: Any) -> Any:
    """Return the logits; x is (batch, 1, 8, 8), each row a step."""

    def cell(carry: Any, x: Any) -> Any:
        h, c = carry
        gates = x @ params["x"] + h @ params["h"] + params["bias"]
        i, f, g, o = jnp.split(gates, 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), None

    zeros = jnp.zeros((x.shape[0], 64))
    (h, _), _ = lax.scan(cell, (zeros, zeros), x[:, 0].swapaxes(0, 1))
    return h @ params["fc"] + params["fc_bias"]


def loss_of(params: dict[str, Any], x: Any, y: Any) -> Any:
    """Return the mean cross-entropy."""
    return cross_entropy(forward(params, x), y)


def build(mode: str) -> Callable[[Sequence[Any]], Sequence[float]]:
    """Return the training loop; `mode` is eager or jit."""
    return adam_loop(mode, start(), loss_of, lr=0.003)
