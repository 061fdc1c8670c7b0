"""lstm-digits in plain TensorFlow, a custom training loop: what the adapter is held against.

Strict: it has what its best users know (steps unrolled, the fused Adam operation, a concrete function).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

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


def build(mode: str) -> Callable[[Sequence[Any]], Sequence[float]]:
    """Return the training loop; `mode` is eager, graph or xla."""
    weights = [tf.Variable(0.1 * tf.random.normal(shape)) for shape in SHAPES]
    m, v = ([tf.Variable(tf.zeros_like(w)) for w in weights] for _ in range(2))
    beta1, beta2 = tf.constant(0.9), tf.constant(0.999)
    powers = tf.Variable(beta1), tf.Variable(beta2)
    lr, epsilon = tf.constant(0.003), tf.constant(1e-8)

    def step(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(y, forward(weights, x))
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, weights)
        for w, first, second, g in zip(weights, m, v, gradients, strict=True):
            tf.raw_ops.ResourceApplyAdam(
                var=w.handle,
                m=first.handle,
                v=second.handle,
                beta1_power=powers[0],
                beta2_power=powers[1],
                lr=lr,
                beta1=beta1,
                beta2=beta2,
                epsilon=epsilon,
                grad=g,
            )
        powers[0].assign(powers[0] * beta1)
        powers[1].assign(powers[1] * beta2)
        return loss

    traced = tf.function(step, jit_compile=mode == "xla")

    def train(batches: Sequence[Any]) -> Sequence[float]:
        take = step
        if mode != "eager":
            take = traced.get_concrete_function(*(tf.constant(array) for array in batches[0][:2]))
        losses = [take(tf.constant(x), tf.constant(y)) for x, y, _ in batches]
        return tf.stack(losses).numpy().tolist()

    return train
