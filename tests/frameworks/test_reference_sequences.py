"""The reference's layers on sequences: gradients against finite differences, values by definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from frameworks.reference.layers import FUNCTIONS
from tests.frameworks.test_reference import check
from workloads import layers as spec

DIRECTIONS = [spec.FORWARD, spec.REVERSE, spec.BIDIRECTIONAL]


@pytest.mark.parametrize("layer", [spec.LastStep(), spec.MeanSteps()])
@pytest.mark.parametrize("shape", [(1, 3), (4, 1), (4, 3)])
def test_what_makes_a_vector_of_a_sequence(layer: spec.Layer, shape: tuple[int, int]) -> None:
    check(layer, shape, 2, seed=1)


@pytest.mark.parametrize("shape", [(1, 4, 3), (2, 3, 4), (3, 1, 2)])
def test_the_rows_of_an_image(shape: tuple[int, int, int]) -> None:
    check(spec.Rows(), shape, 2, seed=1)


def test_a_row_has_all_channels_one_after_the_other() -> None:
    x = np.arange(24.0).reshape(1, 2, 3, 4)
    y = FUNCTIONS[spec.Rows](spec.Rows(), {}).forward(x)
    assert y[0, 1].tolist() == [*x[0, 0, 1], *x[0, 1, 1]]


def test_dense_and_layer_norm_see_each_step_by_itself() -> None:
    random, shape = np.random.default_rng(1), (3, 5)
    x = random.standard_normal((2, *shape))
    for layer in (spec.Dense(4), spec.LayerNorm(0.5)):
        parameters = {k: random.standard_normal(s) for k, s in layer.parameters(shape).items()}
        whole = FUNCTIONS[type(layer)](layer, parameters).forward(x)
        steps = [FUNCTIONS[type(layer)](layer, parameters).forward(x[:, i]) for i in range(3)]
        np.testing.assert_allclose(whole, np.stack(steps, axis=1), rtol=1e-14)


def test_the_last_step_and_the_mean_by_hand() -> None:
    x = np.array([[[1.0, 2.0], [3.0, 5.0], [5.0, 5.0]]])
    assert FUNCTIONS[spec.LastStep](spec.LastStep(), {}).forward(x).tolist() == [[5.0, 5.0]]
    assert FUNCTIONS[spec.MeanSteps](spec.MeanSteps(), {}).forward(x).tolist() == [[3.0, 4.0]]


@pytest.mark.parametrize("kind", [spec.Lstm, spec.Gru])
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 3)),
    units=st.integers(1, 3),
    direction=st.sampled_from(DIRECTIONS),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=15, deadline=None)
def test_recurrent_layers_back_through_time(
    kind: type[spec.Recurrent], shape: tuple[int, int], units: int, direction: str, seed: int
) -> None:
    check(kind(units, direction), shape, 2, seed)


def _sigmoid(x: NDArray) -> NDArray:
    return 1 / (1 + np.exp(-x))


def _made(layer: spec.Layer, shape: tuple[int, int]) -> tuple[dict[str, NDArray], NDArray, NDArray]:
    """A layer's parameters, two examples of x, and its y."""
    random = np.random.default_rng(2)
    parameters = {k: random.standard_normal(s) for k, s in layer.parameters(shape).items()}
    x = random.standard_normal((2, *shape))
    return parameters, x, FUNCTIONS[type(layer)](layer, parameters).forward(x)


def test_lstm_by_its_definition() -> None:
    p, x, y = _made(spec.Lstm(2), (3, 5))
    h = c = np.zeros((2, 2))
    for t in range(3):
        z = x[:, t] @ p["weight_x"].T + h @ p["weight_h"].T + p["bias"]
        i, f, g, o = (z[:, 2 * k : 2 * k + 2] for k in range(4))
        c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
        h = _sigmoid(o) * np.tanh(c)
        np.testing.assert_allclose(y[:, t], h, rtol=1e-13)


def test_gru_by_its_definition() -> None:
    p, x, y = _made(spec.Gru(2), (3, 5))
    h = np.zeros((2, 2))
    for t in range(3):
        of_x, of_h = x[:, t] @ p["weight_x"].T + p["bias"], h @ p["weight_h"].T
        r, z = (_sigmoid((of_x + of_h)[:, 2 * k : 2 * k + 2]) for k in range(2))
        n = np.tanh(of_x[:, 4:] + r * (of_h[:, 4:] + p["bias_h"]))
        h = (1 - z) * n + z * h
        np.testing.assert_allclose(y[:, t], h, rtol=1e-13)


@pytest.mark.parametrize("kind", [spec.Lstm, spec.Gru])
def test_both_ways_are_each_way_by_itself(kind: type[spec.Recurrent]) -> None:
    parameters, x, y = _made(kind(2, spec.BIDIRECTIONAL), (3, 5))
    forward = {k: a for k, a in parameters.items() if not k.endswith("_reverse")}
    back = {k.removesuffix("_reverse"): a for k, a in parameters.items() if k.endswith("_reverse")}
    ways = ((spec.FORWARD, forward), (spec.REVERSE, back))
    alone = [FUNCTIONS[kind](kind(2, way), weights).forward(x) for way, weights in ways]
    np.testing.assert_array_equal(y, np.concatenate(alone, axis=2))
    # The way back is the way forward over the steps in reverse, put back in order.
    turned = FUNCTIONS[kind](kind(2), back).forward(x[:, ::-1])[:, ::-1]
    np.testing.assert_array_equal(alone[1], turned)


@pytest.mark.parametrize("kind", [spec.Lstm, spec.Gru])
def test_no_state_is_carried_to_the_next_batch(kind: type[spec.Recurrent]) -> None:
    parameters, x, y = _made(kind(2), (3, 5))
    function = FUNCTIONS[kind](kind(2), parameters)
    function.forward(x)
    function.backward(np.ones_like(y))
    np.testing.assert_array_equal(function.forward(x), y)
