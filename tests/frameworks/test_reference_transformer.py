"""The reference's embedding, positions, patches, attention: gradients against finite differences, values
by definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frameworks.reference.function import Function
from frameworks.reference.layers import FUNCTIONS
from frameworks.reference.losses import cross_entropy
from tests.frameworks.test_reference import TOLERANCE, check, numerical, seeds
from workloads import layers as spec


@given(
    batch=st.integers(1, 3),
    steps=st.integers(1, 4),
    tokens=st.integers(1, 4),
    units=st.integers(1, 3),
    seed=seeds,
)
@settings(max_examples=20, deadline=None)
def test_an_embedding_adds_up_the_gradients_of_each_token(
    batch: int, steps: int, tokens: int, units: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    weight = random.standard_normal((tokens, units))
    x = random.integers(0, tokens, (batch, steps)).astype(np.float64)
    embedding = FUNCTIONS[spec.Embedding](spec.Embedding(tokens, units), {"weight": weight})
    y = embedding.forward(x)
    for place in np.ndindex(batch, steps):
        assert np.array_equal(y[place], weight[int(x[place])])
    dy = random.standard_normal(y.shape)
    assert not embedding.backward(dy).any()
    numbers = numerical(lambda: float(np.sum(dy * embedding.forward(x))), weight)
    gradient = embedding.gradients["weight"]
    np.testing.assert_allclose(gradient, numbers, rtol=TOLERANCE, atol=TOLERANCE)
    padded = FUNCTIONS[spec.Embedding](spec.Embedding(tokens, units, 0), {"weight": weight})
    assert np.array_equal(padded.forward(x), y)
    padded.backward(dy)
    assert not padded.gradients["weight"][0].any()
    assert np.array_equal(padded.gradients["weight"][1:], gradient[1:])


@given(steps=st.integers(1, 4), features=st.integers(1, 3), seed=seeds)
@settings(max_examples=10, deadline=None)
def test_positions(steps: int, features: int, seed: int) -> None:
    check(spec.Positions(), (steps, features), 2, seed)
    check(spec.Positions(spec.SINUSOIDAL), (steps, features), 2, seed)


def test_sinusoids_are_those_of_the_formula() -> None:
    table = spec.sinusoids(3, 4)
    np.testing.assert_allclose(table[0], [0, 1, 0, 1])
    np.testing.assert_allclose(table[1], [np.sin(1), np.cos(1), np.sin(0.01), np.cos(0.01)])
    np.testing.assert_allclose(table[2], [np.sin(2), np.cos(2), np.sin(0.02), np.cos(0.02)])
    # Any shift is a rotation of each pair (Vaswani et al. 2017, section 3.5).
    pairs = spec.sinusoids(20, 6).reshape(20, 3, 2) @ [1j, 1]
    np.testing.assert_allclose(pairs[5:] / pairs[:-5], np.tile(pairs[5] / pairs[0], (15, 1)))
    y = FUNCTIONS[spec.Positions](spec.Positions(spec.SINUSOIDAL), {}).forward(np.zeros((2, 3, 4)))
    assert np.array_equal(y, np.stack([table, table]))


@given(
    size=st.integers(1, 3),
    channels=st.integers(1, 2),
    rows=st.integers(1, 2),
    columns=st.integers(1, 3),
    seed=seeds,
)
@settings(max_examples=20, deadline=None)
def test_patches(size: int, channels: int, rows: int, columns: int, seed: int) -> None:
    check(spec.Patches(size), (channels, rows * size, columns * size), 2, seed)


def test_patches_are_what_a_convolution_of_that_stride_sees() -> None:
    random, size = np.random.default_rng(0), 2
    x, weight = random.standard_normal((3, 2, 4, 6)), random.standard_normal((5, 2, size, size))
    convolution = spec.Conv2d(5, kernel=size, stride=size, bias=False)
    image = FUNCTIONS[spec.Conv2d](convolution, {"weight": weight}).forward(x)
    steps = FUNCTIONS[spec.Patches](spec.Patches(size), {}).forward(x)
    by_steps = image.reshape(3, 5, -1).transpose(0, 2, 1)
    np.testing.assert_allclose(steps @ weight.reshape(5, -1).T, by_steps, rtol=1e-12)


attentions = st.builds(
    spec.Attention,
    heads=st.integers(1, 3),
    causal=st.booleans(),
    dropout=st.sampled_from([0.0, 0.25]),
    bias=st.booleans(),
)


@given(layer=attentions, steps=st.integers(1, 4), size=st.integers(1, 3), seed=seeds)
@settings(max_examples=30, deadline=None)
def test_attention(layer: spec.Attention, steps: int, size: int, seed: int) -> None:
    check(layer, (steps, layer.heads * size), 2, seed)


def attention(layer: spec.Attention, features: int, seed: int) -> tuple[Function, dict]:
    random = np.random.default_rng(seed)
    shapes = layer.parameters((1, features)).items()
    parameters = {name: random.standard_normal(shape) for name, shape in shapes}
    return FUNCTIONS[spec.Attention](layer, parameters), parameters


@pytest.mark.parametrize("causal", [False, True])
def test_attention_by_its_definition_step_by_step(causal: bool) -> None:
    layer, steps, features, size = spec.Attention(2, causal=causal, dropout=0.5), 3, 6, 3
    function, w = attention(layer, features, 0)
    random = np.random.default_rng(1)
    x = random.standard_normal((2, steps, features))
    function.mask = random.integers(0, 2, (2, 2, steps, steps), np.uint8)
    trained, inferred = function.forward(x), function.infer(x)
    for example, step in np.ndindex(2, steps):
        for y, kept in ((trained, function.mask[example] * 2.0), (inferred, np.ones((2, 3, 3)))):
            outputs = []
            for head in range(2):
                part = slice(head * size, (head + 1) * size)
                q = (w["weight_q"] @ x[example, step] + w["bias_q"])[part]
                seen = range(step + 1 if causal else steps)
                keys = [(w["weight_k"] @ x[example, i])[part] for i in seen]
                values = [(w["weight_v"] @ x[example, i] + w["bias_v"])[part] for i in seen]
                powers = np.exp([q @ k / np.sqrt(size) for k in keys])
                weights = powers / powers.sum() * kept[head, step, : len(powers)]
                outputs.append(weights @ values)
            expected = w["weight_o"] @ np.concatenate(outputs) + w["bias_o"]
            np.testing.assert_allclose(y[example, step], expected, rtol=1e-10)


def test_a_bias_of_keys_would_change_nothing() -> None:
    """Which is why there is none: the scores of a query all move alike."""
    random = np.random.default_rng(2)
    q, keys, bias = random.standard_normal(4), random.standard_normal((3, 4)), np.arange(4.0)
    powers, shifted = np.exp(keys @ q), np.exp((keys + bias) @ q)
    np.testing.assert_allclose(powers / powers.sum(), shifted / shifted.sum())


def test_causal_attention_does_not_see_what_comes() -> None:
    function, _ = attention(spec.Attention(2, causal=True), 4, 3)
    random = np.random.default_rng(4)
    x = random.standard_normal((2, 5, 4))
    later = x.copy()
    later[:, 3:] = random.standard_normal((2, 2, 4))
    assert np.array_equal(function.forward(x)[:, :3], function.forward(later)[:, :3])


def test_scores_of_any_size_give_finite_weights() -> None:
    function, _ = attention(spec.Attention(1, causal=True), 4, 5)
    x = 1e4 * np.random.default_rng(6).standard_normal((1, 6, 4))
    y = function.forward(x)
    assert np.isfinite(y).all() and np.isfinite(function.backward(np.ones_like(y))).all()


@given(
    batch=st.integers(1, 3),
    steps=st.integers(1, 3),
    smoothing=st.sampled_from([0.0, 0.1]),
    seed=seeds,
)
@settings(max_examples=20, deadline=None)
def test_the_loss_with_a_label_a_step(batch: int, steps: int, smoothing: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    logits, labels = (
        random.standard_normal((batch, steps, 4)),
        random.integers(-1, 4, (batch, steps)),
    )
    labels[0, 0] = 2
    loss, gradient = cross_entropy(logits, labels, smoothing)
    numbers = numerical(lambda: cross_entropy(logits, labels, smoothing)[0], logits)
    np.testing.assert_allclose(gradient, numbers, rtol=TOLERANCE, atol=TOLERANCE)
    counted = [
        (logits[at][None], labels[at][None]) for at in zip(*np.nonzero(labels >= 0), strict=True)
    ]
    assert loss == pytest.approx(np.mean([cross_entropy(*one, smoothing)[0] for one in counted]))
    assert not gradient[labels < 0].any()
