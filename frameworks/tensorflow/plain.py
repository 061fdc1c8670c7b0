"""What the plain loops of `loops/` share in TensorFlow: its fused Adam, a transformer's block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

BLOCK = [
    *[(32,), (32,), (32, 96), (96,), (32, 32), (32,)],
    *[(32,), (32,), (32, 64), (64,), (64, 32), (32,)],
]
"""The shapes of a block's weights, in their order."""


def dense(x: Any, w: Any, b: Any) -> Any:
    """Return x w + b."""
    return tf.nn.bias_add(tf.matmul(x, w), b)


def layer_norm(x: Any, weight: Any, bias: Any) -> Any:
    """Normalise the features of each step; weights begin near 0 here, so 1 is added."""
    mean, variance = tf.nn.moments(x, [-1], keepdims=True)
    return tf.nn.batch_normalization(x, mean, variance, bias, 1 + weight, 1e-5)


def block(x: Any, weights: Sequence[Any], heads: int, causal: bool) -> Any:
    """A pre-norm block; x is (batch, steps, 32)."""
    w1, c1, w_qkv, b_qkv, w_out, b_out, w2, c2, w_up, b_up, w_down, b_down = weights
    size = 32 // heads
    qkv = tf.reshape(dense(layer_norm(x, w1, c1), w_qkv, b_qkv), (-1, x.shape[1], 3, heads, size))
    q, k, v = tf.unstack(tf.transpose(qkv, (2, 0, 3, 1, 4)))
    scores = tf.matmul(q * size**-0.5, k, transpose_b=True)
    if causal:
        unseen = 1 - tf.linalg.band_part(tf.ones(scores.shape[2:]), -1, 0)
        scores -= 1e9 * unseen
    y = tf.transpose(tf.matmul(tf.nn.softmax(scores), v), (0, 2, 1, 3))
    x += dense(tf.reshape(y, (-1, x.shape[1], 32)), w_out, b_out)
    return x + dense(tf.nn.gelu(dense(layer_norm(x, w2, c2), w_up, b_up)), w_down, b_down)


def cross_entropy(logits: Any, labels: Any) -> Any:
    """Return the mean cross-entropy of examples."""
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    return tf.reduce_mean(losses)


def adam_loop(
    mode: str,
    shapes: Sequence[tuple[int, ...]],
    loss_of: Callable[[Sequence[Any], Any, Any], Any],
    learning_rate: float,
) -> Callable[[Sequence[Any]], Sequence[float]]:
    """Return a training loop by Adam; `mode` is eager, graph or xla, `loss_of` takes weights, x and y."""
    weights = [tf.Variable(0.1 * tf.random.normal(shape)) for shape in shapes]
    m, v = ([tf.Variable(tf.zeros_like(w)) for w in weights] for _ in range(2))
    beta1, beta2 = tf.constant(0.9), tf.constant(0.999)
    powers = tf.Variable(beta1), tf.Variable(beta2)
    lr, epsilon = tf.constant(learning_rate), tf.constant(1e-8)

    def step(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = loss_of(weights, x, y)
        gradients = map(tf.convert_to_tensor, tape.gradient(loss, weights))
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
