"""gpt-text in plain JAX, as its tutorials write it: what the adapter is held against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

BLOCK = {"qkv": (32, 96), "out": (32, 32), "up": (32, 64), "down": (64, 32)}
LR, BETA1, BETA2, EPSILON = 0.003, 0.9, 0.999, 1e-8


def start() -> dict[str, Any]:
    """Return all weights: those of tokens, positions, two blocks and the next token."""
    keys = iter(jax.random.split(jax.random.key(0), 16))

    def weights(*shape: int) -> Any:
        return 0.1 * jax.random.normal(next(keys), shape)

    def norm() -> tuple[Any, Any]:
        return jnp.ones(32), jnp.zeros(32)

    def dense(inputs: int, units: int) -> tuple[Any, Any]:
        return weights(inputs, units), jnp.zeros(units)

    blocks = [
        {"norm1": norm(), "norm2": norm()} | {name: dense(*shape) for name, shape in BLOCK.items()}
        for _ in range(2)
    ]
    return {
        "tokens": weights(64, 32),
        "positions": weights(64, 32),
        "blocks": blocks,
        "norm": norm(),
        "head": dense(32, 64),
    }


def dense(params: Any, x: Any) -> Any:
    """Return x w + b."""
    w, b = params
    return x @ w + b


def layer_norm(params: Any, x: Any) -> Any:
    """Normalise the features of each step."""
    weight, bias = params
    centred = x - x.mean(-1, keepdims=True)
    return centred * jax.lax.rsqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * weight + bias


def block(params: Any, x: Any) -> Any:
    """A pre-norm block; x is (batch, steps, 32)."""
    heads = dense(params["qkv"], layer_norm(params["norm1"], x)).reshape(*x.shape[:2], 3, 2, -1)
    q, k, v = (heads[:, :, part] for part in range(3))
    y = jax.nn.dot_product_attention(q, k, v, is_causal=True)
    x = x + dense(params["out"], y.reshape(x.shape))
    hidden = jax.nn.gelu(dense(params["up"], layer_norm(params["norm2"], x)), approximate=False)
    return x + dense(params["down"], hidden)


def forward(params: dict[str, Any], x: Any) -> Any:
    """Return the logits (batch, steps, 64) of tokens (batch, steps)."""
    x = jnp.take(params["tokens"], x.astype(jnp.int32), axis=0) + params["positions"]
    for part in params["blocks"]:
        x = block(part, x)
    return dense(params["head"], layer_norm(params["norm"], x))


def loss_of(params: dict[str, Any], x: Any, y: Any) -> Any:
    """Return the mean cross-entropy of the steps whose label is not -1."""
    log_probabilities = jax.nn.log_softmax(forward(params, x))
    return -jnp.sum(jax.nn.one_hot(y, 64) * log_probabilities) / jnp.sum(y >= 0)


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
