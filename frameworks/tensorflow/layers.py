"""A spec's layers, losses and weights in TensorFlow's terms.

Weights are stored as TensorFlow's operations take them: dense (in, out), convolution HWIO. `images`
is the layout inside, NHWC or NCHW.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from workloads import layers as spec
from workloads.spec import Placed, Workload

Function = Callable[[tf.Tensor], tf.Tensor]

AXES = {1: (0,), 2: (1, 0), 4: (2, 3, 1, 0)}  # Canonical axes in TensorFlow's order, by rank.
ELEMENTWISE = {spec.Relu: tf.nn.relu, spec.Sigmoid: tf.sigmoid, spec.Tanh: tf.tanh}


def unfolded(workload: Workload, images: str) -> dict[str, spec.Shape]:
    """Return each parameter's canonical shape, a dense layer's inputs unfolded where they turn.

    Turning the weight (out, c, h, w) once saves turning every batch in front of the flatten.
    """
    shapes, image = dict(workload.parameters), spec.Shape()
    for place in workload.model:
        if isinstance(place.layer, spec.Flatten) and len(place.input) == 3 and images == "NHWC":
            image = place.input
        elif isinstance(place.layer, spec.Dense) and image:
            shapes[f"{place.name}.weight"] = (place.layer.units, *image)
            image = spec.Shape()
    return shapes


def native(array: NDArray, shape: spec.Shape) -> NDArray:
    """Turn a canonical array, seen in its unfolded `shape`, to TensorFlow's layout."""
    turned = array.reshape(shape).transpose(AXES[len(shape)])
    return turned.reshape(-1, len(array)) if array.ndim == 2 else turned


def canonical(tensor: tf.Tensor, shape: spec.Shape, folded: spec.Shape) -> NDArray:
    """Return a copy in canonical layout, of shape `folded`: the inverse of `native`."""
    axes = AXES[len(shape)]
    turned = tensor.numpy().reshape([shape[axis] for axis in axes])
    return turned.transpose(np.argsort(axes)).reshape(folded).copy()


def functions(
    workload: Workload, variables: dict[str, tf.Variable], images: str, xla: bool
) -> list[Function]:
    """Return the layers, in order, as functions of one tensor."""
    # Without a dense layer to take on the images' order, the flatten has to restore it.
    back = images == "NHWC" and not any(isinstance(x, spec.Dense) for x in workload.layers)
    return [_function(place, variables, images, back, xla) for place in workload.model]


def _function(
    place: Placed, variables: dict[str, tf.Variable], images: str, back: bool, xla: bool
) -> Function:
    layer = place.layer
    weight, bias = variables.get(f"{place.name}.weight"), variables.get(f"{place.name}.bias")
    match layer:
        case spec.Dense():
            return lambda x: tf.nn.bias_add(tf.matmul(x, weight), bias)
        case spec.Conv2d(stride=stride, padding=pad):
            pads = [[pad, pad] if axis in "HW" else [0, 0] for axis in images] if pad else "VALID"
            return lambda x: tf.nn.bias_add(
                tf.nn.conv2d(x, weight, stride, pads, images), bias, images
            )
        case spec.MaxPool(size=size) if xla and images == "NHWC" and size <= 3:
            return lambda x: max_pool_of_slices(x, size, layer.step, place.output)
        case spec.MaxPool(size=size, step=step):
            return lambda x: tf.nn.max_pool2d(x, size, step, "VALID", images)
        case spec.AvgPool(size=size, step=step):
            return lambda x: tf.nn.avg_pool2d(x, size, step, "VALID", images)
        case spec.Flatten() if back and len(place.input) == 3:
            return lambda x: tf.reshape(tf.transpose(x, (0, 3, 1, 2)), (-1, *place.output))
        case spec.Flatten():
            return lambda x: tf.reshape(x, (-1, *place.output))
    return ELEMENTWISE[type(layer)]


def max_pool_of_slices(x: tf.Tensor, size: int, step: int, output: spec.Shape) -> tf.Tensor:
    """The largest of a window's strided slices, NHWC; the first of equals gets the gradient.

    XLA fuses it; its gradient of a pooling window (select and scatter) is slow on the CPU.
    """
    _, rows, columns = output
    best = None
    for i in range(size):
        for j in range(size):
            there = x[:, i : i + step * rows : step, j : j + step * columns : step]
            there = there[:, :rows, :columns]
            best = there if best is None else tf.where(there > best, there, best)
    return best


def loss(kind: str, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Return the batch's mean loss, by the spec's definition."""
    if kind == "cross-entropy":
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
    difference = logits - tf.one_hot(labels, logits.shape[1])
    return 0.5 * tf.reduce_mean(tf.reduce_sum(tf.square(difference), axis=1))
