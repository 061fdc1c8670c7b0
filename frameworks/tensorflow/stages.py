"""What a layer is in TensorFlow: a function of its tensor and of what training has beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import tensorflow as tf


@dataclass
class Training:
    """What a forward pass in training has beside its tensor, by the names of layers and states.

    `masks` go in, uint8, in the layout inside; `state` comes out: what the states become.
    """

    masks: Mapping[str, tf.Tensor]
    state: dict[str, tf.Tensor] = field(default_factory=dict)


Function = Callable[[tf.Tensor], tf.Tensor]
# In inference there is no Training.
Stage = Callable[[tf.Tensor, Training | None], tf.Tensor]


def plain(function: Function) -> Stage:
    """Return a stage that computes the same in training and in inference."""
    return lambda x, training: function(x)


def in_bfloat16(product: Callable[..., tf.Tensor], *variables: tf.Variable | None) -> Function:
    """Return `product` of x and the variables, all cast to bfloat16; a variable may be None."""

    def cast(array: tf.Tensor | None) -> tf.Tensor | None:
        return None if array is None else tf.cast(array, tf.bfloat16)

    return lambda x: product(cast(x), *map(cast, variables))


def in_float32(norm: Stage) -> Stage:
    """Return a stage that takes and gives x's dtype and computes in float32."""

    def stage(x: tf.Tensor, training: Training | None) -> tf.Tensor:
        return tf.cast(norm(tf.cast(x, tf.float32), training), x.dtype)

    return stage
