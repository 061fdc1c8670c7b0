"""Layers on sequences, (batch, steps, features), in TensorFlow's terms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from frameworks.tensorflow.recurrent import RECURRENT
from frameworks.tensorflow.stages import Stage, plain
from workloads import layers as spec
from workloads.spec import Placed


def rows(net: Any, place: Placed, layer: spec.Rows) -> Stage:
    """Return what makes the sequence of its rows of an image, in the images' layout."""
    axes = [net.images.index(axis) for axis in "NHCW"]
    return plain(lambda x: tf.reshape(tf.transpose(x, axes), (-1, *place.output)))


SEQUENCES: dict[type[spec.Layer], Callable[[Any, Placed, Any], Stage]] = {
    spec.Rows: rows,
    spec.LastStep: lambda net, place, layer: plain(lambda x: x[:, -1]),
    spec.MeanSteps: lambda net, place, layer: plain(lambda x: tf.reduce_mean(x, 1)),
    **RECURRENT,
}
