"""gpt-text in plain JAX, as its tutorials write it: what the adapter is held against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from frameworks.jax.plain import (
    FEATURES,
    Weights,
    adam_loop,
    block,
    dense,
    layer_norm,
    norm_weights,
)


def start() -> dict[str, Any]:
    """Return all weights: those of tokens, positions, two blocks and the next token."""
    draw = Weights()
    blocks = [draw.block() for _ in range(2)]
    return {
        "tokens": draw.normal(64, FEATURES),
        "positions": draw.normal(64, FEATURES),
        "blocks": blocks,
        "norm": norm_weights(),
        "head": draw.dense(FEATURES, 64),
    }


def forward(params: dict[str, Any], x: Any) -> Any:
    """Return the logits (batch, steps, 64) of tokens (batch, steps)."""
    x = jnp.take(params["tokens"], x.astype(jnp.int32), axis=0) + params["positions"]
    for part in params["blocks"]:
        x = block(part, x, heads=2, causal=True)
    return dense(params["head"], layer_norm(params["norm"], x))


def loss_of(params: dict[str, Any], x: Any, y: Any) -> Any:
    """Return the mean cross-entropy of the steps whose label is not -1."""
    log_probabilities = jax.nn.log_softmax(forward(params, x))
    return -jnp.sum(jax.nn.one_hot(y, 64) * log_probabilities) / jnp.sum(y >= 0)


def build(mode: str) -> Callable[[Sequence[Any]], Sequence[float]]:
    """Return the training loop; `mode` is eager or jit."""
    return adam_loop(mode, start(), loss_of, lr=0.003)
