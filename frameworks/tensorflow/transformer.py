"""Embedding, positions, patches and attention in TensorFlow's terms."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from frameworks.tensorflow.biases import add_bias
from frameworks.tensorflow.stages import Stage, Training, in_bfloat16, plain
from workloads import layers as spec
from workloads.spec import Placed

UNSEEN = -1e9
"""What is added to the scores of steps that a step does not see, as Keras does."""


def embedding(net: Any, place: Placed, layer: spec.Embedding) -> Stage:
    """Return the rows of tokens that come as float32; no gradient goes to that of the padding."""
    weight, dtype = net.variables[f"{place.name}.weight"], net.dtype

    def rows(x: tf.Tensor) -> tf.Tensor:
        y = tf.gather(weight, tf.cast(x, tf.int32))
        if layer.padding is not None:
            y = tf.where((x == layer.padding)[..., None], tf.stop_gradient(y), y)
        return tf.cast(y, dtype)

    return plain(rows)


def positions(net: Any, place: Placed, layer: spec.Positions) -> Stage:
    """Return the sum with a vector for each step, learned or fixed."""
    dtype, weight = net.dtype, net.variables.get(f"{place.name}.weight")
    if weight is None:
        weight = spec.sinusoids(*place.input).astype(np.float32)
    # In bfloat16, the sum over the batch that is its gradient would be taken in it, too.
    return plain(lambda x: tf.cast(tf.cast(x, tf.float32) + weight, dtype))


def patches(net: Any, place: Placed, layer: spec.Patches) -> Stage:
    """Return what cuts images, in their layout, into squares, row by row; within, channels first."""
    size, (channels, height, width) = layer.size, place.input
    sides = {"C": (channels,), "H": (height // size, size), "W": (width // size, size)}
    shape = [-1, *(side for axis in net.images[1:] for side in sides[axis])]
    # Where the sides of (batch, channels, rows, within, columns, within) are in that shape.
    order = {"NHWC": (0, 1, 3, 5, 2, 4), "NCHW": (0, 2, 4, 1, 3, 5)}[net.images]
    steps = (-1, *place.output)
    return plain(lambda x: tf.reshape(tf.transpose(tf.reshape(x, shape), order), steps))


def attention(net: Any, place: Placed, layer: spec.Attention) -> Stage:
    """Return multi-head self-attention, by products of matrices: TensorFlow has no fused kernel."""
    (steps, features), heads = place.input, layer.heads
    scale = 1 / math.sqrt(features // heads)
    unseen = np.triu(np.full((steps, steps), UNSEEN, np.float32), 1) if layer.causal else None

    def project(part: str) -> Callable[[tf.Tensor], tf.Tensor]:
        weight = net.variables[f"{place.name}.weight_{part}"]
        bias = net.variables.get(f"{place.name}.bias_{part}")

        def product(x: tf.Tensor, w: tf.Tensor, b: tf.Tensor | None) -> tf.Tensor:
            y = tf.tensordot(x, w, axes=1)
            return y if b is None else add_bias(y, b)

        if net.mixed:
            return in_bfloat16(product, weight, bias)
        return lambda x: product(x, weight, bias)

    q, k, v, o = map(project, "qkvo")

    def split(x: tf.Tensor) -> tf.Tensor:
        """(batch, steps, features) to (batch, heads, steps, head's features)."""
        return tf.transpose(tf.reshape(x, (-1, steps, heads, features // heads)), (0, 2, 1, 3))

    def stage(x: tf.Tensor, training: Training | None) -> tf.Tensor:
        scores = tf.matmul(split(q(x)) * scale, split(k(x)), transpose_b=True)
        if unseen is not None:
            scores += tf.cast(unseen, scores.dtype)
        weights = tf.nn.softmax(scores)
        if training is not None and layer.dropout:
            scaled = tf.cast(training.masks[place.name], weights.dtype)
            weights *= scaled * (1 / (1 - layer.dropout))
        y = tf.transpose(tf.matmul(weights, split(v(x))), (0, 2, 1, 3))
        return o(tf.reshape(y, (-1, steps, features)))

    return stage


def masked_cross_entropy(
    logits: tf.Tensor, labels: tf.Tensor, classes: int, smoothing: float
) -> tf.Tensor:
    """Return the mean over all steps whose label is not -1."""
    counted = tf.cast(labels >= 0, logits.dtype)
    if smoothing:
        off_value = smoothing / classes
        targets = tf.one_hot(labels, classes, 1 - smoothing + off_value, off_value)
        losses = tf.nn.softmax_cross_entropy_with_logits(targets, logits)
    else:
        labels = tf.maximum(labels, 0)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    return tf.reduce_sum(losses * counted) / tf.reduce_sum(counted)


TRANSFORMER: dict[type[spec.Layer], Callable[[Any, Placed, Any], Stage]] = {
    spec.Embedding: embedding,
    spec.Positions: positions,
    spec.Patches: patches,
    spec.Attention: attention,
}
