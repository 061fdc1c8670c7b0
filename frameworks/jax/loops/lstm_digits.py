"""lstm-digits in plain JAX, as its tutorials write it: what the adapter is held against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

SHAPES = {"x": (8, 256), "h": (64, 256), "fc": (64, 10)}
LR, BETA1, BETA2, EPSILON = 0.003, 0.9, 0.999, 1e-8


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
    log_probabilities = jax.nn.log_softmax(forward(params, x))
    return -jnp.mean(jnp.sum(jax.nn.one_hot(y, 10) * log_probabilities, axis=1))


def update(params: Any, state: Any, x: Any, y: Any) -> Any:
    """Take one step of Adam."""
    m, v, t = state
    loss, grads = jax.value_and_grad(loss_of)(params, x, y)
    t = t + 1
    m = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, m, grads)
    v = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, v, grads)

    def moved(p: Any, m: Any, v: Any) -> Any:
        return p - LR * (m / (1 - BETA1**t)) / (jnp.sqrt(v / (1 - BETA2**t)) + EPSILON)

    return jax.tree.map(moved, params, m, v), (m, v, t), loss


def build(mode: str) -> Callable[[Sequence[Any]], Sequence[float]]:
    """Return the training loop; `mode` is eager or jit."""
    step = jax.jit(update) if mode == "jit" else update
    params = start()
    zeros = jax.tree.map(jnp.zeros_like, params)
    state = (zeros, zeros, jnp.zeros(()))

    def train(batches: Sequence[Any]) -> Sequence[float]:
        nonlocal params, state
        losses = []
        for x, y, _ in batches:
            params, state, loss = step(params, state, jnp.asarray(x), jnp.asarray(y))
            losses.append(loss)
        jax.block_until_ready((params, state))
        return [float(loss) for loss in losses]

    return train
