"""The arbiter itself: its gradients against finite differences, its losses and SGD by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from frameworks.contract import Options
from frameworks.reference.adapter import Reference
from frameworks.reference.layers import FUNCTIONS, Function
from frameworks.reference.losses import LOSSES, cross_entropy, mean_squared_error
from tests.frameworks.check_adapter import NETS
from workloads import layers as spec
from workloads.init import start_weights

# Central differences are off by about H^2 (truncation) and 1e-16 / H (rounding), relative to values
# of order 1: 1e-10 at this H. A thousand times that is allowed, for curvature and long sums.
H = 1e-5
TOLERANCE = 1e-7

seeds = st.integers(0, 2**32 - 1)
sides = st.integers(1, 6)


def numerical(function: Callable[[], float], array: NDArray[np.float64]) -> NDArray[np.float64]:
    """The gradient of `function()` with respect to `array`, which it reads, element by element."""
    gradient = np.zeros_like(array)
    for index in np.ndindex(array.shape):
        before = array[index]
        array[index] = before + H
        above = function()
        array[index] = before - H
        gradient[index] = (above - function()) / (2 * H)
        array[index] = before
    return gradient


def apart(random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Values between -1 and 1, all different by far more than H, none near 0: no kink within H."""
    size = int(np.prod(shape))
    values = (np.arange(size) + 0.5) / size * 2 - 1 + 1e-3
    return random.permutation(values).reshape(shape)


def check(layer: spec.Layer, shape: tuple[int, ...], batch: int, seed: int) -> None:
    """The layer's gradients of x and of every parameter, for a random gradient of its output."""
    random = np.random.default_rng(seed)
    parameters = {k: random.standard_normal(s) for k, s in layer.parameters(shape).items()}
    x = apart(random, (batch, *shape))
    function: Function = FUNCTIONS[type(layer)](layer, parameters)
    y = function.forward(x)
    assert y.shape == (batch, *layer.output(shape))
    dy = random.standard_normal(y.shape)
    dx = function.backward(dy)
    gradients = {"x": dx, **function.gradients}

    def value() -> float:
        return float(np.sum(dy * FUNCTIONS[type(layer)](layer, parameters).forward(x)))

    for name, array in {"x": x, **parameters}.items():
        np.testing.assert_allclose(
            gradients[name], numerical(value, array), rtol=TOLERANCE, atol=TOLERANCE, err_msg=name
        )


@given(batch=st.integers(1, 3), inputs=sides, units=sides, seed=seeds)
@settings(max_examples=20, deadline=None)
def test_dense(batch: int, inputs: int, units: int, seed: int) -> None:
    check(spec.Dense(units), (inputs,), batch, seed)


@given(
    layer=st.builds(
        spec.Conv2d,
        filters=st.integers(1, 3),
        kernel=st.integers(1, 3),
        stride=st.integers(1, 3),
        padding=st.integers(0, 2),
    ),
    shape=st.tuples(st.integers(1, 2), sides, sides),
    seed=seeds,
)
@settings(max_examples=40, deadline=None)
def test_convolution_with_stride_and_padding(
    layer: spec.Conv2d, shape: tuple[int, int, int], seed: int
) -> None:
    assume(min(shape[1:]) + 2 * layer.padding >= layer.kernel)
    check(layer, shape, 2, seed)


@pytest.mark.parametrize("kind", [spec.MaxPool, spec.AvgPool])
@given(
    size=st.integers(1, 3),
    stride=st.integers(0, 3),
    shape=st.tuples(st.integers(1, 2), sides, sides),
    seed=seeds,
)
@settings(max_examples=40, deadline=None)
def test_pools_whose_windows_touch_overlap_or_leave_gaps(
    kind: type[spec.Pool], size: int, stride: int, shape: tuple[int, int, int], seed: int
) -> None:
    assume(min(shape[1:]) >= size)
    check(kind(size, stride), shape, 2, seed)


@pytest.mark.parametrize("layer", [spec.Relu(), spec.Sigmoid(), spec.Tanh(), spec.Flatten()])
@pytest.mark.parametrize("shape", [(5,), (2, 3, 4)])
def test_layers_without_parameters(layer: spec.Layer, shape: tuple[int, ...]) -> None:
    check(layer, shape, 3, seed=1)


def test_convolution_is_cross_correlation_in_canonical_layout() -> None:
    weight = np.arange(4.0).reshape(1, 1, 2, 2)
    layer = FUNCTIONS[spec.Conv2d](spec.Conv2d(1, 2), {"weight": weight, "bias": np.array([10.0])})
    x = np.array([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]])
    # 0*1 + 1*2 + 2*4 + 3*5 + 10, and the same one column on.
    assert layer.forward(x).tolist() == [[[[35.0, 41.0]]]]


def test_of_equal_elements_the_first_gets_the_gradient() -> None:
    layer = FUNCTIONS[spec.MaxPool](spec.MaxPool(2), {})
    layer.forward(np.ones((1, 1, 2, 2)))
    assert layer.backward(np.array([[[[7.0]]]])).tolist() == [[[[7.0, 0.0], [0.0, 0.0]]]]


def test_relu_has_no_gradient_at_zero() -> None:
    layer = FUNCTIONS[spec.Relu](spec.Relu(), {})
    layer.forward(np.array([[-1.0, 0.0, 1.0]]))
    assert layer.backward(np.ones((1, 3))).tolist() == [[0.0, 0.0, 1.0]]


@pytest.mark.parametrize("name", LOSSES)
@given(batch=st.integers(1, 4), classes=st.integers(1, 5), seed=seeds)
@settings(max_examples=20, deadline=None)
def test_losses(name: str, batch: int, classes: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    logits = random.standard_normal((batch, classes))
    labels = random.integers(0, classes, batch)
    _, gradient = LOSSES[name](logits, labels)
    numbers = numerical(lambda: LOSSES[name](logits, labels)[0], logits)
    np.testing.assert_allclose(gradient, numbers, rtol=TOLERANCE, atol=TOLERANCE)


def test_losses_are_the_spec_s_values() -> None:
    logits, labels = np.array([[0.0, 0.0], [3.0, 1.0]]), np.array([0, 1])
    assert cross_entropy(logits, labels)[0] == pytest.approx(
        (np.log(2) + 2 + np.log1p(np.exp(-2))) / 2
    )
    assert mean_squared_error(logits, labels)[0] == pytest.approx((0.5 * 1 + 0.5 * 9) / 2)


def test_cross_entropy_of_huge_logits_is_finite() -> None:
    loss, gradient = cross_entropy(np.array([[1e4, 0.0]]), np.array([1]))
    assert loss == 1e4
    assert gradient.tolist() == [[1.0, -1.0]]


@pytest.mark.parametrize("net", NETS)
def test_a_whole_net_against_finite_differences(net: str) -> None:
    workload, random = NETS[net], np.random.default_rng(5)
    batch = (
        random.standard_normal((2, *workload.input_shape)),
        random.integers(0, workload.classes, 2),
    )
    weights = {name: w.astype(np.float64) for name, w in start_weights(workload).items()}
    gradients = Reference(workload, weights, Options("numpy")).step(batch).gradients
    assert list(gradients) == list(workload.parameters)
    for name, weight in weights.items():
        numbers = numerical(
            lambda: Reference(workload, weights, Options("numpy")).step(batch).loss, weight
        )
        np.testing.assert_allclose(gradients[name], numbers, rtol=1e-5, atol=1e-8, err_msg=name)


def test_momentum_by_hand() -> None:
    """Three steps of v = m v + g, w = w - lr v on the dense net, with the gradients it tells."""
    workload, random = NETS["dense"], np.random.default_rng(5)
    weights = start_weights(workload)
    adapter = Reference(workload, weights, Options("numpy"))
    w = {name: value.astype(np.float64) for name, value in weights.items()}
    v = {name: np.zeros_like(value) for name, value in w.items()}
    for _ in range(3):
        batch = (random.standard_normal((6, 5), np.float32), random.integers(0, 3, 6))
        step = adapter.step(batch)
        assert adapter.train([batch]) == pytest.approx([step.loss])
        for name in w:
            v[name] = 0.9 * v[name] + step.gradients[name]
            w[name] = w[name] - 0.1 * v[name]
            np.testing.assert_allclose(adapter.weights()[name], w[name], rtol=1e-12)


def test_what_it_hands_out_is_a_copy() -> None:
    workload = NETS["dense"]
    start = start_weights(workload)
    adapter = Reference(workload, start, Options("numpy"))
    for weight in adapter.weights().values():
        weight[:] = 0
    for name, weight in adapter.weights().items():
        assert np.array_equal(weight, start[name])
