"""vit-digits in plain JAX, as its tutorials write it: what the adapter is held against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from frameworks.jax.plain import (
    FEATURES,
    Weights,
    adam_loop,
    block,
    cross_entropy,
    dense,
    layer_norm,
    norm_weights,
)


def start() -> dict[str, Any]:
    """Return all weights: those of the patches, the positions, two blocks and the classes."""
    draw = Weights()
    blocks = [draw.block() for _ in range(2)]
    return {
        "patches": draw.dense(4, FEATURES),
        "positions": draw.normal(16, FEATURES),
        "blocks": blocks,
        "norm": norm_weights(),
        "head": draw.dense(FEATURES, 10),
    }


def forward(params: dict[str, Any], x: Any) -> Any:
    """Return the logits; x is (batch, 1, 8, 8), cut into patches of 2x2."""
    x = x.reshape(-1, 4, 2, 4, 2).transpose(0, 1, 3, 2, 4).reshape(-1, 16, 4)
    x = dense(params["patches"], x) + params["positions"]
    for part in params["blocks"]:
        x = block(part, x, heads=4, causal=False)
    return dense(params["head"], layer_norm(params["norm"], x).mean(1))


def loss_of(params: dict[str, Any], x: Any, y: Any) -> Any:
    """Return the mean cross-entropy."""
    return cross_entropy(forward(params, x), y)


def build(mode: str) -> Callable[[Sequence[Any]], Sequence[float]]:
    """Return the training loop; `mode` is eager or jit."""
    return adam_loop(mode, start(), loss_of, lr=0.002)
