"""lstm-digits in plain TensorFlow, a custom training loop: what the adapter is held against.

Strict: it has what its best users know (steps unrolled, the fused Adam operation, a concrete function).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from frameworks.tensorflow.plain import adam_loop, cross_entropy

SHAPES = [(8, 256), (64, 256), (256,), (64, 10), (10,)]


def forward(weights: Sequence[Any], x: Any) -> Any:
    """Return the logits; x is (batch, 1, 8, 8), each row a step."""
    weight_x, weight_h, bias, weight, fc_bias = weights
    h = c = tf.zeros((x.shape[0], 64))
    for row in tf.unstack(x[:, 0], axis=1):
        gates = tf.nn.bias_add(tf.matmul(row, weight_x) + tf.matmul(h, weight_h), bias)
        i, f, g, o = tf.split(gates, 4, axis=1)
        c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
        h = tf.sigmoid(o) * tf.tanh(c)
    return tf.nn.bias_add(tf.matmul(h, weight), fc_bias)


def loss_of(weights: Sequence[Any], x: Any, y: Any) -> Any:
    """Return the mean cross-entropy."""
    return cross_entropy(forward(weights, x), y)


def build(mode: str) -> Callable[[Sequence[Any]], Sequence[float]]:
    """Return the training loop; `mode` is eager, graph or xla."""
    return adam_loop(mode, SHAPES, loss_of, learning_rate=0.003)
