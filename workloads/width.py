"""A net made wider or narrower: the widths of its hidden layers, multiplied."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from workloads.layers import Layer, Residual
from workloads.reading import SpecError, table_of
from workloads.spec import Workload, from_dict


def widened(workload: Workload, factor: float) -> Workload:
    """Return the workload with the width of every hidden layer times `factor`, as whole numbers.

    The width of a layer is the key that its `width` names: a convolution's filters, a dense layer's
    units, the channels that are padded to. The last layer that has one gives the classes, and stays.

    Raises:
        SpecError: no hidden layer has a width, one that is drawn has none, or the net does not fit any
            more: a residual block that adds its own input cannot be widened by itself.
    """
    where = f"{workload.name}, {factor:g} times as wide"
    for place in workload.leaves:
        drawn = place.layer.parameters(place.input).keys() - place.layer.initial_values.keys()
        if drawn and not place.layer.width:
            raise SpecError(f"{where}: {place.layer.kind} has no width that could be multiplied")
    last = max((i for i, layer in enumerate(workload.layers) if any(_widths([layer]))), default=0)
    hidden = [_multiplied(layer, factor) for layer in workload.layers[:last]]
    if not any(_widths(hidden)):
        raise SpecError(f"{where}: it has no hidden layer: there is no width to multiply")
    layers = (*hidden, *workload.layers[last:])
    return from_dict({**workload.to_dict(), "layers": list(map(table_of, layers))}, where)


def _widths(layers: Sequence[Layer]) -> Iterator[str]:
    """Yield the keys of all widths of some layers and of those in their branches."""
    for layer in layers:
        if isinstance(layer, Residual):
            yield from _widths((*layer.body, *layer.shortcut))
        elif layer.width:
            yield layer.width


def _multiplied(layer: Layer, factor: float) -> Layer:
    if isinstance(layer, Residual):
        branches = {
            name: tuple(_multiplied(inner, factor) for inner in getattr(layer, name))
            for name in ("body", "shortcut")
        }
        return dataclasses.replace(layer, **branches)
    if not layer.width:
        return layer
    width = max(1, round(getattr(layer, layer.width) * factor))
    return dataclasses.replace(layer, **{layer.width: width})
