"""Canonical weights in TensorFlow's layout and back.

Weights are stored as TensorFlow's operations take them: dense (in, out), convolution HWIO. `images`
is the layout of images inside, NHWC or NCHW.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from frameworks.contract import Options
from workloads import layers as spec
from workloads.spec import Placed, Workload

AXES = {2: (1, 0), 4: (2, 3, 1, 0)}  # Canonical axes in TensorFlow's order, by rank; others stay.
_IMAGES = (spec.Conv2d, spec.Pool, spec.BatchNorm)


def of_images(workload: Workload, options: Options) -> str:
    """Return the layout inside: NHWC where an operation has no other on the CPU, else NCHW.

    On a GPU NHWC is what tensor cores take, which strict float32 does not use.
    """
    needy = any(isinstance(p.layer, _IMAGES) and len(p.input) == 3 for p in workload.leaves)
    pays = options.device == "cpu" or options.precision != "float32"
    return "NHWC" if needy and pays else "NCHW"


def sequences(places: Sequence[Placed]) -> Iterator[Sequence[Placed]]:
    """Yield the model's layers and each branch of its blocks, every one a sequence."""
    yield places
    for place in places:
        yield from sequences(place.body) if place.body else ()
        yield from sequences(place.shortcut) if place.shortcut else ()


def turns(workload: Workload, images: str) -> dict[str, str]:
    """Return which flattens may leave an image in NHWC order, each with the dense layer it feeds.

    Turning that layer's weight (out, c, h, w) once saves turning every batch. Another layer in
    between, but elementwise, would see the order: there the flatten has to restore it.
    """
    dense_after = {}
    for sequence in sequences(workload.model) if images == "NHWC" else ():
        for i, place in enumerate(sequence):
            if isinstance(place.layer, spec.Flatten) and len(place.input) == 3:
                behind = [p for p in sequence[i + 1 :] if not isinstance(p.layer, spec.Activation)]
                if behind and isinstance(behind[0].layer, spec.Dense):
                    dense_after[place.name] = behind[0].name
    return dense_after


def unfolded(workload: Workload, images: str) -> dict[str, spec.Shape]:
    """Return each parameter's and state's canonical shape, a dense layer's inputs unfolded.

    That is, the inputs of those that take on a flatten's turn: (out, c, h, w).
    """
    shapes = workload.parameters | workload.state
    inputs = {place.name: place.input for place in workload.leaves}
    for flatten, dense in turns(workload, images).items():
        units, _ = shapes[f"{dense}.weight"]
        shapes[f"{dense}.weight"] = (units, *inputs[flatten])
    return shapes


def axes_of(workload: Workload, shapes: Mapping[str, spec.Shape]) -> dict[str, tuple[int, ...]]:
    """Return by name the order of canonical axes inside; `shapes` are the unfolded ones.

    Tables of rows, of embeddings and positions, are no (out, in) weights: they stay canonical.
    """
    tables = {
        f"{place.name}.weight"
        for place in workload.leaves
        if isinstance(place.layer, spec.Embedding | spec.Positions)
    }
    stay = {name: tuple(range(len(shape))) for name, shape in shapes.items()}
    turned = {k: AXES.get(len(shape), stay[k]) for k, shape in shapes.items() if k not in tables}
    return stay | turned


def native(array: NDArray, shape: spec.Shape, axes: tuple[int, ...]) -> NDArray:
    """Turn a canonical array, seen in its unfolded `shape`, to TensorFlow's layout."""
    turned = array.reshape(shape).transpose(axes)
    return turned.reshape(-1, len(array)) if array.ndim < len(shape) else turned


def canonical(
    tensor: tf.Tensor, shape: spec.Shape, axes: tuple[int, ...], folded: spec.Shape
) -> NDArray:
    """Return a copy in canonical layout, of shape `folded`: the inverse of `native`."""
    turned = tensor.numpy().reshape([shape[axis] for axis in axes])
    return turned.transpose(np.argsort(axes)).reshape(folded).copy()
