"""vit-digits in plain TensorFlow, a custom training loop: what the adapter is held against.

Strict: it has what its best users know (one product for q, k and v, the fused Adam operation, a concrete
function).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from frameworks.tensorflow.plain import (
    BLOCK,
    adam_loop,
    block,
    cross_entropy,
    dense,
    layer_norm,
)

SHAPES = [(4, 32), (32,), (16, 32), *BLOCK, *BLOCK, (32,), (32,), (32, 10), (10,)]


def forward(weights: Sequence[Any], x: Any) -> Any:
    """Return the logits; x is (batch, 1, 8, 8), cut into patches of 2x2."""
    patches, bias, positions, *weights = weights
    x = tf.transpose(tf.reshape(x, (-1, 4, 2, 4, 2)), (0, 1, 3, 2, 4))
    x = dense(tf.reshape(x, (-1, 16, 4)), patches, bias) + positions
    x = block(x, weights[:12], heads=4, causal=False)
    x = block(x, weights[12:24], heads=4, causal=False)
    return dense(tf.reduce_mean(layer_norm(x, *weights[24:26]), 1), *weights[26:])


def loss_of(weights: Sequence[Any], x: Any, y: Any) -> Any:
    """Return the mean cross-entropy."""
    return cross_entropy(forward(weights, x), y)


def build(mode: str) -> Callable[[Sequence[Any]], Sequence[float]]:
    """Return the training loop; `mode` is eager, graph or xla."""
    return adam_loop(mode, SHAPES, loss_of, learning_rate=0.002)
