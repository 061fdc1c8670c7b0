"""LSTM and GRU, each step written out: TensorFlow's fused kernels for them need a GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import tensorflow as tf

from frameworks.tensorflow.biases import add_bias
from frameworks.tensorflow.stages import Stage, in_bfloat16, plain
from workloads import layers as spec
from workloads.spec import Placed

Steps = Sequence[tf.Tensor]


def lstm(from_x: Steps, units: int, weight_h: tf.Tensor) -> list[tf.Tensor]:
    """Return h of each step of `from_x`, (batch, 4 units) each; the state is float32."""
    h = c = tf.zeros((from_x[0].shape[0], units))
    outputs = []
    for step in from_x:
        z = step + tf.matmul(tf.cast(h, step.dtype), weight_h)
        i, f, g, o = tf.split(tf.cast(z, c.dtype), 4, axis=1)
        c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
        h = tf.sigmoid(o) * tf.tanh(c)
        outputs.append(h)
    return outputs


def gru(from_x: Steps, units: int, weight_h: tf.Tensor, bias_h: tf.Tensor) -> list[tf.Tensor]:
    """Return h of each step of `from_x`, (batch, 3 units) each; the state is float32."""
    h = tf.zeros((from_x[0].shape[0], units))
    outputs = []
    for step in from_x:
        from_h = tf.matmul(tf.cast(h, step.dtype), weight_h)
        x_r, x_z, x_n = tf.split(tf.cast(step, h.dtype), 3, axis=1)
        h_r, h_z, h_n = tf.split(tf.cast(from_h, h.dtype), 3, axis=1)
        z = tf.sigmoid(x_z + h_z)
        n = tf.tanh(x_n + tf.sigmoid(x_r + h_r) * (h_n + tf.cast(bias_h, h.dtype)))
        h = (1 - z) * n + z * h
        outputs.append(h)
    return outputs


def one_way(
    way: Callable[..., list[tf.Tensor]], units: int, turned: bool, x: tf.Tensor, *weights: tf.Tensor
) -> tf.Tensor:
    """Return the outputs of one way, (batch, steps, units), in x's dtype."""
    weight_x, weight_h, bias, *bias_h = weights
    from_x = tf.unstack(add_bias(tf.tensordot(x, weight_x, axes=1), bias), axis=1)
    outputs = way(from_x[::-1] if turned else from_x, units, weight_h, *bias_h)
    return tf.cast(tf.stack(outputs[::-1] if turned else outputs, axis=1), x.dtype)


def recurrent(
    way: Callable[..., list[tf.Tensor]], net: Any, place: Placed, layer: spec.Recurrent
) -> Stage:
    """Return the outputs of one way or of both, one after the other."""
    variables = [net.variables[f"{place.name}.{short}"] for short in layer.parameters(place.input)]
    turned = [layer.direction == spec.REVERSE, True][: len(layer.suffixes)]
    count = len(variables) // len(turned)

    def product(x: tf.Tensor, *weights: tf.Tensor) -> tf.Tensor:
        outputs = [
            one_way(way, layer.units, back, x, *weights[i * count : (i + 1) * count])
            for i, back in enumerate(turned)
        ]
        return outputs[0] if len(outputs) == 1 else tf.concat(outputs, axis=2)

    if net.mixed:
        return plain(in_bfloat16(product, *variables))
    return plain(lambda x: product(x, *variables))


RECURRENT: dict[type[spec.Layer], Callable[[Any, Placed, Any], Stage]] = {
    spec.Lstm: partial(recurrent, lstm),
    spec.Gru: partial(recurrent, gru),
}
