"""cifar-cnn in plain TensorFlow, a custom training loop: what the adapter is held against.

Strict: it has what its best users know (NHWC, the fused momentum operation, a concrete function).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

SHAPES = [(5, 5, 3, 6), (6,), (5, 5, 6, 16), (16,), (400, 120), (120,), (120, 84), (84,), (84, 10)]


def forward(weights: Sequence[Any], x: Any) -> Any:
    """Return the logits; x is NCHW."""
    k1, c1, k2, c2, w1, b1, w2, b2, w3, b3 = weights
    x = tf.transpose(x, (0, 2, 3, 1))
    x = tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(x, k1, 1, "VALID"), c1))
    x = tf.nn.max_pool2d(x, 2, 2, "VALID")
    x = tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(x, k2, 1, "VALID"), c2))
    x = tf.nn.max_pool2d(x, 2, 2, "VALID")
    x = tf.reshape(x, (-1, 400))
    x = tf.nn.relu(tf.nn.bias_add(tf.matmul(x, w1), b1))
    x = tf.nn.relu(tf.nn.bias_add(tf.matmul(x, w2), b2))
    return tf.nn.bias_add(tf.matmul(x, w3), b3)


def build(mode: str) -> Callable[[Sequence[Any]], Sequence[float]]:
    """Return the training loop; `mode` is eager, graph or xla."""
    weights = [tf.Variable(0.05 * tf.random.normal(shape)) for shape in [*SHAPES, (10,)]]
    velocity = [tf.Variable(tf.zeros_like(w)) for w in weights]
    lr, momentum = tf.constant(0.001), tf.constant(0.9)

    def step(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(y, forward(weights, x))
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, weights)
        for w, v, g in zip(weights, velocity, gradients, strict=True):
            tf.raw_ops.ResourceApplyMomentum(
                var=w.handle, accum=v.handle, lr=lr, grad=g, momentum=momentum
            )
        return loss

    traced = tf.function(step, jit_compile=mode == "xla")

    def train(batches: Sequence[Any]) -> Sequence[float]:
        take = step
        if mode != "eager":
            take = traced.get_concrete_function(*(tf.constant(array) for array in batches[0][:2]))
        losses = [take(tf.constant(x), tf.constant(y)) for x, y, _ in batches]
        return tf.stack(losses).numpy().tolist()

    return train
