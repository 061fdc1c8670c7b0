"""gpt-text in plain TensorFlow, a custom training loop: what the adapter is held against.

Strict: it has what its best users know (one product for q, k and v, the fused Adam operation, a concrete
function).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from frameworks.tensorflow.plain import BLOCK, adam_loop, block, dense, layer_norm

SHAPES = [(64, 32), (64, 32), *BLOCK, *BLOCK, (32,), (32,), (32, 64), (64,)]


def forward(weights: Sequence[Any], x: Any) -> Any:
    """Return the logits (batch, steps, 64) of tokens (batch, steps)."""
    tokens, positions, *weights = weights
    x = tf.nn.embedding_lookup(tokens, tf.cast(x, tf.int32)) + positions
    x = block(x, weights[:12], heads=2, causal=True)
    x = block(x, weights[12:24], heads=2, causal=True)
    return dense(layer_norm(x, *weights[24:26]), *weights[26:])


def loss_of(weights: Sequence[Any], x: Any, y: Any) -> Any:
    """Return the mean cross-entropy of the steps whose label is not -1."""
    logits, counted = forward(weights, x), tf.cast(y >= 0, tf.float32)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.maximum(y, 0), logits)
    return tf.reduce_sum(losses * counted) / tf.reduce_sum(counted)


def build(mode: str) -> Callable[[Sequence[Any]], Sequence[float]]:
    """Return the training loop; `mode` is eager, graph or xla."""
    return adam_loop(mode, SHAPES, loss_of, learning_rate=0.003)
