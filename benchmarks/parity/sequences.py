"""What is drawn of sequences, and further activations: weights of kinds, and branches that fit."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from workloads.layers import (
    BIDIRECTIONAL,
    FORWARD,
    REVERSE,
    Conv2d,
    Dense,
    Dropout,
    Elu,
    Flatten,
    Gelu,
    Gru,
    LastStep,
    Layer,
    LayerNorm,
    LeakyRelu,
    Lstm,
    MeanSteps,
    Relu,
    Residual,
    RmsNorm,
    Rows,
    Shape,
    Sigmoid,
    Silu,
    Softplus,
    Tanh,
)

ACTIVATION_KINDS: dict[type[Layer], int] = {LeakyRelu: 1, Elu: 1, Gelu: 2, Silu: 1, Softplus: 1}
"""How often each of the rarer activations follows, on any input."""

SEQUENCE_KINDS: dict[type[Layer], int] = {
    Relu: 2,
    Dense: 6,
    Lstm: 4,
    Gru: 4,
    LayerNorm: 2,
    RmsNorm: 2,
    Residual: 2,
    Dropout: 1,
    Sigmoid: 1,
    Tanh: 1,
    LastStep: 1,
    MeanSteps: 1,
    Flatten: 1,
    **ACTIVATION_KINDS,
}
"""How often each layer follows on a sequence, where it does not follow a product."""


def recurrent(kind: type[Layer]) -> SearchStrategy[Layer]:
    """Draw an LSTM or a GRU."""
    directions = st.sampled_from([FORWARD, FORWARD, REVERSE, BIDIRECTIONAL])
    return st.builds(kind, st.sampled_from([8, 1, 2, 3, 5, 16]), directions)


ANYWHERE: dict[type[Layer], SearchStrategy[Layer]] = {
    LeakyRelu: st.builds(LeakyRelu, st.sampled_from([0.01, 0.2, 0.0, 1.0])),
    Elu: st.builds(Elu, st.sampled_from([1.0, 0.5, 2.0])),
    Gelu: st.builds(Gelu, st.sampled_from(["none", "tanh"])),
    RmsNorm: st.builds(RmsNorm, st.sampled_from([1e-5, 1e-6, 1e-3])),
    Lstm: recurrent(Lstm),
    Gru: recurrent(Gru),
}
"""Layers with arguments that fit whatever the input's shape."""


def to_sequences(shape: Shape, end: Shape) -> Iterator[tuple[Layer, ...]]:
    """Yield chains that may bring an image or a sequence of `shape` to the sequence `end`."""
    dense = Dense(end[1])
    if len(shape) == 2:
        yield (dense,)
        return
    yield (Rows(), dense)
    for padding, kernel, stride in product(range(9), range(1, 6), range(1, shape[1] + 1)):
        yield (Conv2d(2, kernel, stride, padding), Rows(), dense)
