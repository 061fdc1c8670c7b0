"""Activations in TensorFlow's terms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from frameworks.tensorflow.stages import Stage, plain
from workloads import layers as spec
from workloads.spec import Placed


def elu(alpha: float) -> Stage:
    """Return ELU; the operation has an alpha of 1."""
    if alpha == 1:
        return plain(tf.nn.elu)
    return plain(lambda x: tf.where(x > 0, x, alpha * tf.nn.elu(x)))


ACTIVATIONS: dict[type[spec.Layer], Callable[[Any, Placed, Any], Stage]] = {
    spec.Relu: lambda net, place, layer: plain(tf.nn.relu),
    spec.LeakyRelu: lambda net, place, layer: plain(lambda x: tf.nn.leaky_relu(x, layer.slope)),
    spec.Elu: lambda net, place, layer: elu(layer.alpha),
    spec.Sigmoid: lambda net, place, layer: plain(tf.sigmoid),
    spec.Tanh: lambda net, place, layer: plain(tf.tanh),
    spec.Gelu: lambda net, place, layer: plain(
        lambda x: tf.nn.gelu(x, layer.approximate == "tanh")
    ),
    spec.Silu: lambda net, place, layer: plain(tf.nn.silu),
    spec.Softplus: lambda net, place, layer: plain(tf.nn.softplus),
}
