"""Hypothesis strategies for convolutions, pools and branches, with every way to pad."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from benchmarks.parity.draws import weighted
from workloads.layers import (
    AvgPool,
    Branches,
    Conv1d,
    Conv2d,
    Convolution,
    Dense,
    Layer,
    MaxPool,
    Pool,
    Relu,
    Shape,
    Tanh,
)
from workloads.layers.base import channel_axis
from workloads.layers.blocks import ADD, CONCAT, Chain
from workloads.layers.windows import CAUSAL, SAME, Padding
from workloads.reading import SpecError


def divisors(number: int) -> list[int]:
    """Return what divides a number, 1 first."""
    return [divisor for divisor in range(1, number + 1) if number % divisor == 0]


@st.composite
def convolutions(draw: DrawFn, kind: type[Convolution], shape: Shape) -> Layer:
    """Draw a convolution for examples of `shape`; plain ones come more often."""
    sides = shape[1:] if kind is Conv2d else shape[:1]
    kernel = min(draw(weighted({3: 6, 1: 2, 2: 1, 4: 1, 5: 3})), *sides, *sides)
    groups = draw(weighted({False: 2, True: 1}).flatmap(lambda some: _groups(some, shape)))
    filters = draw(weighted({4: 3, 1: 1, 2: 1, 3: 1, 6: 2, 8: 4, 12: 1, 16: 1}))
    layer = kind(
        filters=-(-filters // groups) * groups,
        kernel=kernel,
        stride=draw(weighted({1: 6, 2: 3, 3: 1})),
        padding=draw(st.sampled_from([kernel // 2] * 4 + [0] * 4 + [1, 2, SAME, *_odd(kind)])),
        bias=draw(st.booleans()),
        dilation=draw(weighted({1: 6, 2: 2, 3: 1})),
        groups=groups,
    )
    if fits(layer, shape):
        return layer
    return kind(filters=layer.filters, kernel=kernel, groups=groups)


def _groups(some: bool, shape: Shape) -> SearchStrategy[int]:
    channels = shape[channel_axis(shape)]
    return st.sampled_from([channels, *divisors(channels)]) if some else st.just(1)


def _odd(kind: type[Layer]) -> list:
    return [(1, 0), (0, 2), CAUSAL] if kind is Conv1d else [(0, 1, 0, 1), (1, 0, 2, 1)]


@st.composite
def pools(draw: DrawFn, kind: type[Pool], shape: Shape) -> Layer:
    """Draw a pool for images of `shape`; without padding more often."""
    size = min(draw(weighted({2: 6, 1: 1, 3: 3})), *shape[1:])
    stride = draw(weighted({0: 6, 1: 2, 2: 2, 3: 1}))
    words = {"ceil": draw(weighted({False: 3, True: 1}))}
    if kind is AvgPool:
        words["count_padding"] = draw(st.booleans())
    most = size - 1
    odd: list[Padding] = [SAME, SAME, size // 2, most, (0, most, 0, most), (most, 0, 0, 0)]
    padding = draw(st.sampled_from([*[0] * 8, *odd]))
    layer = kind(size, stride, padding, **words)
    return layer if fits(layer, shape) else kind(size, stride)


@st.composite
def branches(draw: DrawFn, shape: Shape) -> Layer:
    """Draw two or three branches that leave the sides of an image, or the steps, as they are."""
    join = draw(st.sampled_from([CONCAT, ADD]))
    chains = tuple(draw(_branch(shape, join)) for _ in range(draw(st.integers(2, 3))))
    return Branches(join, chains)


@st.composite
def _branch(draw: DrawFn, shape: Shape, join: str) -> Chain:
    channels = shape[channel_axis(shape)]
    filters = draw(weighted({4: 3, 1: 1, 2: 2, 6: 1})) if join == CONCAT else channels
    products: dict[int, list[Layer]] = {
        1: [Dense(filters)],
        2: [Conv1d(filters, 1), Conv1d(filters, 3, padding=SAME)],
        3: [Conv2d(filters, 1), Conv2d(filters, 3, padding=1), Conv2d(filters, 3, padding=SAME)],
    }
    chain: Chain = (draw(st.sampled_from(products[len(shape)])),)
    if len(shape) == 3:
        pool = draw(st.sampled_from([MaxPool, AvgPool]))
        chain = draw(st.sampled_from([chain, chain, (pool(3, 1, padding=1),)]))
    return draw(st.sampled_from([chain, (*chain, Relu()), (*chain, Tanh()), ()]))


def fits(layer: Layer, shape: Shape) -> bool:
    """Say whether a layer takes examples of `shape`."""
    try:
        layer.output(shape)
    except SpecError:
        return False
    return True
