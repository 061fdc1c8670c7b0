"""Hypothesis strategies for nets on tokens, and on the patches of images."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from benchmarks.parity.draws import weighted
from benchmarks.parity.sequences import recurrent
from workloads.layers import (
    SINUSOIDAL,
    Attention,
    Conv1d,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Gelu,
    Gru,
    LastStep,
    Layer,
    LayerNorm,
    Lstm,
    MeanSteps,
    Patches,
    Positions,
    Relu,
    Residual,
    RmsNorm,
    Shape,
    Silu,
    Tanh,
)
from workloads.layers.windows import CAUSAL, SAME

MOST_BLOCKS, LONGEST_CHAIN = 2, 3

FEATURES = weighted({8: 4, 4: 2, 6: 2, 12: 2, 16: 1})


@st.composite
def on_tokens(draw: DrawFn, tokens: int, classes: int) -> tuple[Layer, ...]:
    """Draw layers from tokens to the logits of each step."""
    features = draw(FEATURES)
    embedding = Embedding(tokens, features, draw(weighted({None: 3, 0: 1, tokens - 1: 1})))
    layers = (embedding, *draw(_positions()))
    if draw(st.booleans()):
        layers += draw(_blocks(features, True))
    else:
        layers += tuple(draw(st.lists(_keeping_steps(), min_size=1, max_size=LONGEST_CHAIN)))
    return (*layers, Dense(classes))


def _keeping_steps() -> SearchStrategy[Layer]:
    """Draw a layer that gives as many steps as it takes."""
    convolution = st.builds(
        Conv1d,
        filters=weighted({8: 3, 4: 1, 5: 1}),
        kernel=weighted({3: 3, 1: 1, 5: 1}),
        padding=weighted({CAUSAL: 3, SAME: 1}),
        dilation=weighted({1: 3, 2: 1}),
    )
    activation = st.sampled_from([Relu(), Gelu(), Silu(), Tanh()])
    several = recurrent(Lstm), recurrent(Gru), convolution, convolution, _norms(), activation
    return st.one_of(*several, st.builds(Dropout, weighted({0.1: 2, 0.5: 1})))


def _norms() -> SearchStrategy[Layer]:
    epsilons = weighted({1e-5: 3, 1e-6: 2, 1e-12: 1})
    return st.one_of(*(st.builds(kind, epsilons) for kind in (LayerNorm, RmsNorm)))


@st.composite
def on_patches(draw: DrawFn, shape: Shape, classes: int) -> tuple[Layer, ...]:
    """Draw layers from an image, whose sides are even, to its logits."""
    patches, features = Patches(draw(weighted({2: 3, 4: 1}))), draw(FEATURES)
    layers = (patches, Dense(features), *draw(_positions()), *draw(_blocks(features, False)))
    ends = weighted({MeanSteps(): 3, LastStep(): 1, Flatten(): 1})
    return (*layers, draw(ends), Dense(classes))


def _positions() -> SearchStrategy[tuple[Layer, ...]]:
    fixed = Positions(SINUSOIDAL)
    return weighted({(Positions(),): 3, (fixed,): 2, (): 1, (Positions(), Dropout(0.1)): 1})


@st.composite
def _blocks(draw: DrawFn, features: int, causal: bool) -> tuple[Layer, ...]:
    """Draw blocks that keep the features: mostly of the pre-norm kind, sometimes without shortcut."""
    layers: tuple[Layer, ...] = ()
    for _ in range(draw(st.integers(1, MOST_BLOCKS))):
        attention = draw(_attention(features, causal))
        hidden = draw(weighted({16: 2, 8: 2, 5: 1}))
        activation = draw(weighted({Gelu(): 3, Gelu("tanh"): 1, Silu(): 1, Tanh(): 1}))
        norm = draw(_norms())
        bodies = ((norm, attention), (norm, Dense(hidden), activation, Dense(features)))
        if draw(weighted({True: 4, False: 1})):
            layers += tuple(Residual(body) for body in bodies)
        else:
            layers += (attention,)
    return (*layers, LayerNorm()) if draw(st.booleans()) else layers


@st.composite
def _attention(draw: DrawFn, features: int, causal: bool) -> Attention:
    heads = draw(st.sampled_from([n for n in (1, 2, 3, 4) if features % n == 0]))
    return Attention(
        heads,
        causal=draw(weighted({causal: 4, not causal: 1})),
        dropout=draw(weighted({0.0: 3, 0.1: 1, 0.25: 1})),
        bias=draw(weighted({True: 3, False: 1})),
    )
