"""A net made wider or narrower: the widths of its hidden layers, multiplied."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from workloads.layers import Block, Convolution, Layer
from workloads.reading import LARGEST, SpecError, table_of
from workloads.spec import Workload, from_dict


def widened(workload: Workload, factor: float) -> Workload:
    """Return the workload with the width of every hidden layer times `factor`, as whole numbers.

    The width of a layer is the key that its `width` names: a convolution's filters, a dense layer's
    units, the channels that are padded to. The last layer that has one gives the classes, and stays. What
    gives as many features as it gets, as attention, follows its input. A depthwise convolution keeps as
    many groups as filters.

    Raises:
        SpecError: no hidden layer has a width, one that is drawn has none, or the net does not fit any
            more: a residual block that adds its own input cannot be widened by itself.
    """
    where = f"{workload.name}, {factor:g} times as wide"
    for place in workload.leaves:
        drawn = place.layer.parameters(place.input).keys() - place.layer.initial_values.keys()
        if drawn and not place.layer.width and place.output != place.input:
            raise SpecError(f"{where}: {place.layer.kind} has no width that could be multiplied")
    last = max((i for i, layer in enumerate(workload.layers) if any(_widths([layer]))), default=0)
    try:
        hidden = [_multiplied(layer, factor) for layer in workload.layers[:last]]
    except SpecError as error:
        raise SpecError(f"{where}: {error}") from error
    if not any(_widths(hidden)):
        raise SpecError(f"{where}: it has no hidden layer: there is no width to multiply")
    layers = (*hidden, *workload.layers[last:])
    return from_dict({**workload.to_dict(), "layers": list(map(table_of, layers))}, where)


def _widths(layers: Sequence[Layer]) -> Iterator[str]:
    """Yield the keys of all widths of some layers and of those in their branches."""
    for layer in layers:
        if isinstance(layer, Block):
            yield from _widths([inner for chain in layer.chains for inner in chain])
        elif layer.width:
            yield layer.width


def _multiplied(layer: Layer, factor: float) -> Layer:
    if isinstance(layer, Block):
        chains = tuple(tuple(_multiplied(x, factor) for x in chain) for chain in layer.chains)
        return layer.with_chains(chains)
    if not layer.width:
        return layer
    product = getattr(layer, layer.width) * factor
    if product > LARGEST:
        raise SpecError(f"{layer.kind}: {layer.width} would be {product:g}: at most {LARGEST}")
    width = max(1, round(product))
    wider = dataclasses.replace(layer, **{layer.width: width})
    if isinstance(wider, Convolution) and isinstance(layer, Convolution):
        is_depthwise = 1 < layer.groups == layer.filters
        return dataclasses.replace(wider, groups=width) if is_depthwise else wider
    return wider
