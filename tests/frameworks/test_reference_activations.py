"""The reference's activations by their definitions, where they are steep, flat or huge."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from frameworks.reference.erf import erf
from frameworks.reference.function import Function, Kinked
from frameworks.reference.layers import FUNCTIONS
from workloads import layers as spec

X = np.concatenate([np.linspace(-12, 12, 241), [-800.0, 800.0]])


def made(layer: spec.Layer) -> Function:
    return FUNCTIONS[type(layer)](layer, {})


@given(st.floats(-30, 30))
def test_the_error_function(x: float) -> None:
    assert erf(np.array([x]))[0] == pytest.approx(math.erf(x), rel=2e-15)


def test_the_error_function_far_out_and_in_float32() -> None:
    ends = erf(np.array([-np.inf, -1e300, -0.0, 1e300, np.inf]))
    assert ends.tolist() == [-1, -1, 0, 1, 1]
    x = np.linspace(-5, 5, 101, dtype=np.float32)
    assert erf(x).dtype == np.float32
    np.testing.assert_allclose(erf(x), [math.erf(value) for value in x], rtol=5e-7)


def _normal(x: float) -> float:
    return math.erfc(-x / math.sqrt(2)) / 2


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


@pytest.mark.parametrize(
    ("layer", "definition"),
    [
        (spec.LeakyRelu(0.3), lambda x: x if x > 0 else 0.3 * x),
        (spec.Elu(0.5), lambda x: x if x > 0 else 0.5 * math.expm1(x)),
        (spec.Gelu(), lambda x: x * _normal(x)),
        (
            spec.Gelu("tanh"),
            lambda x: x / 2 * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
        ),
        (spec.Silu(), lambda x: x * _sigmoid(x)),
        (spec.Softplus(), lambda x: math.log1p(math.exp(x)) if x < 700 else x),
    ],
)
def test_activations_by_their_definition(
    layer: spec.Layer, definition: Callable[[float], float]
) -> None:
    with np.errstate(all="raise", under="ignore"):
        function = made(layer)
        y, slope = function.forward(X), function.backward(np.ones_like(X))
    np.testing.assert_allclose(y, [definition(x) for x in X], rtol=1e-13, atol=1e-14)
    assert np.isfinite(slope).all()


@pytest.mark.parametrize(
    ("layer", "at_zero"), [(spec.LeakyRelu(0.2), 0.2), (spec.Elu(0.5), 0.5), (spec.Elu(), 1.0)]
)
@pytest.mark.parametrize(("side", "passes"), [(0, [0, 0, 1]), (1, [0, 0, 0]), (-1, [0, 1, 1])])
def test_slopes_at_zero_and_ties_to_a_side(
    layer: spec.Layer, at_zero: float, side: int, passes: list[int]
) -> None:
    function, x = made(layer), np.array([-1e-3, 0.0, 1e-9])
    assert isinstance(function, Kinked)
    function.side, function.reach = side, 1e-6
    function.forward(x)
    slopes = np.where(np.array(passes) == 1, 1.0, at_zero)
    np.testing.assert_allclose(function.backward(np.ones(3)), slopes, rtol=2e-3)


def test_the_approximation_of_gelu_is_another_function() -> None:
    exact, approximate = (made(layer).forward(X) for layer in (spec.Gelu(), spec.Gelu("tanh")))
    assert 4e-4 < np.abs(exact - approximate).max() < 5e-4


def test_rms_norm_by_hand() -> None:
    norm = FUNCTIONS[spec.RmsNorm](spec.RmsNorm(0.5), {"weight": np.array([1.0, 2.0])})
    x: NDArray = np.array([[3.0, 4.0], [0.0, 0.0]])
    root = np.sqrt(13)  # of (9 + 16) / 2 + 0.5
    np.testing.assert_allclose(norm.forward(x), [[3 / root, 8 / root], [0, 0]], rtol=1e-15)
