"""Hypothesis strategies for layers: every chain that fits a shape can be drawn, usual ones more often.

All numbers come from short lists and small ranges. Hypothesis mixes literals of the loaded source files
into wide ranges, so that a seed would draw other nets whenever a file changes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import islice, product

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from benchmarks.parity import sequences
from benchmarks.parity.draws import log_uniform, weighted
from benchmarks.parity.sequences import ACTIVATION_KINDS, SEQUENCE_KINDS
from benchmarks.parity.windows import branches, convolutions, divisors, pools
from workloads.layers import (
    AvgPool,
    BatchNorm,
    Block,
    Branches,
    Conv1d,
    Conv2d,
    Convolution,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    GroupNorm,
    LastStep,
    Layer,
    LayerNorm,
    MaxPool,
    MeanSteps,
    PadChannels,
    Relu,
    Residual,
    RmsNorm,
    Rows,
    Shape,
    Sigmoid,
    Tanh,
)
from workloads.reading import SpecError

Kinds = Mapping[type[Layer], int]

IMAGE_KINDS: Kinds = {
    Relu: 4,
    Conv2d: 8,
    MaxPool: 3,
    AvgPool: 2,
    BatchNorm: 4,
    GroupNorm: 2,
    Residual: 3,
    Branches: 2,
    Dropout: 1,
    Sigmoid: 1,
    Tanh: 1,
    PadChannels: 1,
    GlobalAvgPool: 1,
    Flatten: 1,
    Rows: 1,
    **ACTIVATION_KINDS,
}
"""How often each layer follows on an image, where it does not follow a product."""

VECTOR_KINDS: Kinds = {
    Relu: 4,
    Dense: 8,
    BatchNorm: 2,
    LayerNorm: 2,
    GroupNorm: 1,
    Dropout: 2,
    Residual: 2,
    Branches: 1,
    Sigmoid: 2,
    Tanh: 2,
    Flatten: 1,
    RmsNorm: 1,
    **ACTIVATION_KINDS,
}

AFTER_A_PRODUCT: Kinds = {Relu: 8, BatchNorm: 8, LayerNorm: 4, GroupNorm: 4, Conv2d: 2, Dense: 2}
"""What differs where the layer before is a convolution or dense."""

LONGEST_BODY = 3
DEEPEST_BLOCK = 2
"""Blocks lie at most this deep in one another."""

FLAT: Mapping[int, list[tuple[Layer, ...]]] = {
    1: [()],
    2: [(LastStep(),), (MeanSteps(),)],
    3: [(GlobalAvgPool(),)],
}
"""What makes vectors of inputs with so many axes."""

SHORTCUTS_TRIED = 20
"""Of the many windows that bring an image to the body's size, this many can be drawn."""


ANYWHERE: Mapping[type[Layer], SearchStrategy[Layer]] = {
    Dense: st.builds(
        Dense, units=weighted({16: 4, 1: 1, 2: 1, 3: 1, 5: 2, 8: 3, 10: 2, 32: 3, 64: 1})
    ),
    BatchNorm: st.builds(
        BatchNorm,
        epsilon=st.just(1e-5) | log_uniform(1e-5, 1e-3),
        momentum=weighted({0.1: 5, 0.01: 2, 0.05: 1, 0.2: 1, 0.3: 2}),
    ),
    LayerNorm: st.builds(LayerNorm, epsilon=st.just(1e-5) | log_uniform(1e-6, 1e-3)),
    Dropout: st.builds(Dropout, rate=weighted({0.5: 3, 0.0: 1, 0.1: 2, 0.25: 3, 0.9: 1})),
    **sequences.ANYWHERE,
}
"""Layers with arguments that fit whatever the input's shape."""


@st.composite
def chains(
    draw: DrawFn, shape: Shape, batch: int, shortest: int, longest: int, depth: int = 0
) -> tuple[Layer, ...]:
    """Draw layers, one after the other, for examples of `shape` in batches of `batch`.

    `depth` is the number of blocks around them.
    """
    layers: list[Layer] = []
    for _ in range(draw(st.integers(shortest, longest))):
        after_product = bool(layers) and isinstance(layers[-1], Convolution | Dense)
        kind = draw(weighted(_kinds(shape, batch, after_product, depth)))
        layers.append(draw(_layer(kind, shape, batch, depth)))
        shape = layers[-1].output(shape)
    return tuple(layers)


def shape_after(layers: tuple[Layer, ...], shape: Shape) -> Shape:
    """Return the shape that a chain gives for examples of `shape`."""
    for layer in layers:
        shape = layer.output(shape)
    return shape


def norm_fits(shape: Shape, batch: int) -> bool:
    """Whether a batch norm may be there: on no sequence, and with more than one value a channel."""
    return len(shape) != 2 and (batch > 1 or any(side > 1 for side in shape[1:]))


def _kinds(shape: Shape, batch: int, after_product: bool, depth: int) -> Kinds:
    kinds = dict({1: VECTOR_KINDS, 2: SEQUENCE_KINDS, 3: IMAGE_KINDS}[len(shape)])
    if after_product:
        kinds |= {kind: weight for kind, weight in AFTER_A_PRODUCT.items() if kind in kinds}
    if not norm_fits(shape, batch):
        kinds.pop(BatchNorm, None)
    if math.prod(shape) == 1:
        kinds.pop(GroupNorm, None)
    if depth == DEEPEST_BLOCK:
        kinds = {kind: weight for kind, weight in kinds.items() if not issubclass(kind, Block)}
    return kinds


def _layer(kind: type[Layer], shape: Shape, batch: int, depth: int) -> SearchStrategy[Layer]:
    """Draw the arguments of a layer of some kind, for a shape that the kind takes."""
    if kind in (Conv1d, Conv2d):
        return convolutions(kind, shape)
    if kind in (MaxPool, AvgPool):
        return pools(kind, shape)
    if kind is GroupNorm:
        several = [groups for groups in divisors(shape[0]) if groups < math.prod(shape)]
        return st.builds(GroupNorm, st.sampled_from(several), weighted({1e-5: 3, 1e-3: 1, 1e-6: 1}))
    if kind is Residual:
        return _residual(shape, batch, depth + 1)
    if kind is Branches:
        return branches(shape)
    if kind is PadChannels:
        more = weighted({0: 1, 1: 2, 2: 2, 4: 2})
        return st.builds(PadChannels, channels=more.map(lambda channels: shape[0] + channels))
    return ANYWHERE[kind] if kind in ANYWHERE else st.just(kind())


@st.composite
def _residual(draw: DrawFn, shape: Shape, batch: int, depth: int) -> Layer:
    body = draw(chains(shape, batch, 1, LONGEST_BODY, depth))
    end = shape_after(body, shape)
    back = _back(shape, end)
    if back and draw(st.booleans()):
        body, end = (*body, back), shape
    shortcuts = _shortcuts(shape, end)
    if not shortcuts:  # windows make squares of squares, and no steps
        is_image = len(shape) == 3
        return Residual((Conv2d(shape[0], 3, padding=1) if is_image else Dense(shape[-1]),))
    shortcut = draw(st.sampled_from(shortcuts))
    if shortcut and norm_fits(end, batch) and draw(weighted({False: 2, True: 1})):
        shortcut += (BatchNorm(),)
    return Residual(body, shortcut)


def _back(shape: Shape, end: Shape) -> Layer | None:
    """Return a layer that brings `end` to `shape`, where they differ in channels or features alone."""
    if end == shape or len(end) != len(shape):
        return None
    if len(shape) == 3:
        same = end[1:] == shape[1:]
        return Conv2d(shape[0], 3, padding=1, bias=False) if same else None
    return Dense(shape[-1]) if end[:-1] == shape[:-1] else None


def _shortcuts(shape: Shape, end: Shape) -> list[tuple[Layer, ...]]:
    """Return chains that bring examples of `shape` to the shape `end`; the identity where it fits."""
    if end == shape:
        return [()]
    if len(end) == 1:
        return [(*flat, Dense(end[0])) for flat in FLAT[len(shape)]]
    if len(end) == 2:
        leading = sequences.to_sequences(shape, end)
        return list(
            islice((chain for chain in leading if _fits(chain, shape, end)), SHORTCUTS_TRIED)
        )
    fitting = (chain for chain in _windows(shape, end) if _fits(chain, shape, end))
    return list(islice(fitting, SHORTCUTS_TRIED))


def _windows(shape: Shape, end: Shape) -> Iterator[tuple[Layer, ...]]:
    """Yield windows over an image of `shape` with the channels of `end`, the simplest first."""
    more = () if end[0] == shape[0] else (PadChannels(end[0]),)
    for padding, kernel, stride in product(range(9), range(1, 6), range(1, shape[1] + 1)):
        if padding == 0 and end[0] >= shape[0]:
            yield (AvgPool(kernel, stride), *more)
        yield (Conv2d(end[0], kernel, stride, padding, bias=False),)


def _fits(chain: tuple[Layer, ...], shape: Shape, end: Shape) -> bool:
    try:
        return shape_after(chain, shape) == end
    except SpecError:
        return False
