"""Hypothesis strategies for nets on tokens, and on the patches of images."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from benchmarks.parity.draws import weighted
from workloads.layers import (
    SINUSOIDAL,
    Attention,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Gelu,
    LastStep,
    Layer,
    LayerNorm,
    MeanSteps,
    Patches,
    Positions,
    Residual,
    Shape,
    Tanh,
)

MOST_BLOCKS = 2

FEATURES = weighted({8: 4, 4: 2, 6: 2, 12: 2, 16: 1})


@st.composite
def on_tokens(draw: DrawFn, tokens: int, classes: int) -> tuple[Layer, ...]:
    """Draw layers from tokens to the logits of each step."""
    features = draw(FEATURES)
    embedding = Embedding(tokens, features, draw(weighted({None: 3, 0: 1, tokens - 1: 1})))
    layers = (embedding, *draw(_positions()), *draw(_blocks(features, True)))
    return (*layers, Dense(classes))


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
        activation = draw(weighted({Gelu(): 3, Tanh(): 1}))
        bodies = (
            (LayerNorm(), attention),
            (LayerNorm(), Dense(hidden), activation, Dense(features)),
        )
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
