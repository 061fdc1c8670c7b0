"""The reference's layers and losses: their gradients against finite differences, their values by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from frameworks.reference.blocks import Chain, Residual
from frameworks.reference.function import Function, Kinked
from frameworks.reference.layers import FUNCTIONS, Conv2d, Dropout
from frameworks.reference.losses import LOSSES, cross_entropy, mean_squared_error
from workloads import layers as spec

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


def test_the_layers_that_are_kinked_here_are_those_that_say_so() -> None:
    kinked = {kind for kind, function in FUNCTIONS.items() if issubclass(function, Kinked)}
    assert kinked == {kind for kind in FUNCTIONS if kind.kink}
    at_zero = {kind for kind in kinked if kind.kink == spec.AT_ZERO}
    assert at_zero == {spec.Relu, spec.LeakyRelu, spec.Elu}
    assert kinked - at_zero == {spec.MaxPool}


def check(layer: spec.Layer, shape: tuple[int, ...], batch: int, seed: int) -> None:
    """The layer's gradients of x and of every parameter, for a random gradient of its output."""
    random = np.random.default_rng(seed)
    parameters = {k: random.standard_normal(s) for k, s in layer.parameters(shape).items()}
    x = apart(random, (batch, *shape))
    masked = layer.mask(shape)
    mask = random.integers(0, 2, (batch, *masked[1]) if masked else (), np.uint8)

    def function() -> Function:
        made = FUNCTIONS[type(layer)](layer, parameters)
        made.mask = mask
        return made

    forward = function()
    y = forward.forward(x)
    assert y.shape == (batch, *layer.output(shape))
    dy = random.standard_normal(y.shape)
    gradients = {"x": forward.backward(dy), **forward.gradients}
    assert gradients.keys() == {"x", *parameters}
    for name, array in {"x": x, **parameters}.items():
        numbers = numerical(lambda: float(np.sum(dy * function().forward(x))), array)
        np.testing.assert_allclose(
            gradients[name], numbers, rtol=TOLERANCE, atol=TOLERANCE, err_msg=name
        )


flat_shapes = st.one_of(st.tuples(sides), st.tuples(sides, sides))


@given(batch=st.integers(1, 3), shape=flat_shapes, units=sides, seed=seeds)
@settings(max_examples=20, deadline=None)
def test_dense(batch: int, shape: tuple[int, ...], units: int, seed: int) -> None:
    check(spec.Dense(units), shape, batch, seed)


@given(
    layer=st.builds(
        spec.Conv2d,
        filters=st.integers(1, 3),
        kernel=st.integers(1, 3),
        stride=st.integers(1, 3),
        padding=st.integers(0, 2),
        bias=st.booleans(),
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


@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 4)])
@pytest.mark.parametrize(
    "layer",
    [
        *(spec.Relu(), spec.LeakyRelu(0.2), spec.Elu(0.7), spec.Sigmoid(), spec.Tanh()),
        *(spec.Gelu(), spec.Gelu("tanh"), spec.Silu(), spec.Softplus()),
        *(spec.Flatten(), spec.Dropout(0.25)),
    ],
)
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


@given(channels=st.integers(1, 3), height=sides, width=sides, more=st.integers(0, 2), seed=seeds)
@settings(max_examples=20, deadline=None)
def test_layers_of_whole_channels(
    channels: int, height: int, width: int, more: int, seed: int
) -> None:
    for layer in (spec.GlobalAvgPool(), spec.PadChannels(channels + more)):
        check(layer, (channels, height, width), 2, seed)


# Normalising divides by the deviation, so a large epsilon keeps the curvature to the tolerance.
@given(
    shape=st.one_of(st.tuples(sides), st.tuples(st.integers(1, 2), sides, sides)),
    batch=st.integers(2, 4),
    epsilon=st.sampled_from([0.01, 1.0]),
    seed=seeds,
)
@settings(max_examples=30, deadline=None)
def test_norms(shape: tuple[int, ...], batch: int, epsilon: float, seed: int) -> None:
    check(spec.BatchNorm(epsilon), shape, batch, seed)


@given(
    shape=flat_shapes,
    batch=st.integers(1, 3),
    epsilon=st.sampled_from([0.01, 1.0]),
    seed=seeds,
)
@settings(max_examples=30, deadline=None)
def test_norms_of_features(shape: tuple[int, ...], batch: int, epsilon: float, seed: int) -> None:
    check(spec.LayerNorm(epsilon), shape, batch, seed)
    check(spec.RmsNorm(epsilon), shape, batch, seed)


def test_batch_norm_and_its_state_by_hand() -> None:
    one, state = np.ones(1), {"mean": np.zeros(1), "variance": np.ones(1)}
    layer = spec.BatchNorm(epsilon=0.75, momentum=0.1)
    norm = FUNCTIONS[spec.BatchNorm](layer, {"weight": 3 * one, "bias": one}, state)
    x = np.array([[[[1.0, 2.0]]], [[[3.0, 4.0]]]])
    # Mean 2.5, biased variance 1.25, with epsilon 2: y = 3 (x - 2.5) / sqrt(2) + 1.
    np.testing.assert_allclose(norm.forward(x), 3 * (x - 2.5) / np.sqrt(2) + 1, rtol=1e-15)
    assert (state["mean"], state["variance"]) == (0, 1)
    norm.settle()
    # The unbiased variance is 5/3: 0.9 + 0.1 5/3.
    assert (state["mean"][0], state["variance"][0]) == pytest.approx((0.25, 0.9 + 0.5 / 3))
    y = 3 * (x - 0.25) / np.sqrt(0.9 + 0.5 / 3 + 0.75) + 1
    np.testing.assert_allclose(norm.infer(x), y, rtol=1e-15)


def test_dropout_by_hand() -> None:
    dropout = FUNCTIONS[spec.Dropout](spec.Dropout(0.75), {})
    assert isinstance(dropout, Dropout)
    x, dropout.mask = np.array([[1.0, 2.0]]), np.array([[0, 1]], np.uint8)
    assert dropout.forward(x).tolist() == [[0.0, 8.0]]
    assert dropout.backward(x).tolist() == [[0.0, 8.0]]
    assert dropout.infer(x).tolist() == [[1.0, 2.0]]


def test_a_residual_block_with_and_without_shortcut() -> None:
    tanh, x = FUNCTIONS[spec.Tanh], np.array([[0.5, -1.0]])
    slope, one = 1 - np.tanh(x) ** 2, np.ones_like(x)
    block = Residual(tanh(spec.Tanh(), {}), Chain([]))
    np.testing.assert_allclose(block.forward(x), np.tanh(x) + x)
    np.testing.assert_allclose(block.backward(one), slope + 1)
    block = Residual(tanh(spec.Tanh(), {}), FUNCTIONS[spec.Sigmoid](spec.Sigmoid(), {}))
    sigmoid = 1 / (1 + np.exp(-x))
    np.testing.assert_allclose(block.infer(x), np.tanh(x) + sigmoid)
    block.forward(x)
    np.testing.assert_allclose(block.backward(one), slope + sigmoid * (1 - sigmoid))


@given(size=st.integers(1, 2**12), seed=seeds)
@settings(max_examples=20, deadline=None)
def test_convolution_in_portions_is_the_whole_one(size: int, seed: int) -> None:
    random, layer = np.random.default_rng(seed), spec.Conv2d(3, kernel=3, stride=2, padding=1)
    parameters = {k: random.standard_normal(s) for k, s in layer.parameters((2, 5, 4)).items()}
    x, whole, parts = (
        random.standard_normal((7, 2, 5, 4)),
        Conv2d(layer, parameters),
        Conv2d(layer, parameters),
    )
    parts.portion_bytes = size
    y = whole.forward(x)
    np.testing.assert_allclose(parts.forward(x), y, rtol=1e-12)
    np.testing.assert_allclose(parts.backward(y), whole.backward(y), rtol=1e-12, atol=1e-12)
    for name, gradient in whole.gradients.items():
        np.testing.assert_allclose(parts.gradients[name], gradient, rtol=1e-12, atol=1e-12)


def kinked(layer: spec.Layer, side: int, reach: float | NDArray) -> Kinked:
    function = FUNCTIONS[type(layer)](layer, {})
    assert isinstance(function, Kinked)
    function.side, function.reach = side, reach
    return function


@given(
    layer=st.sampled_from([spec.Relu(), spec.MaxPool(2), spec.MaxPool(2, stride=1)]),
    side=st.sampled_from([1, -1]),
    seed=seeds,
)
@settings(max_examples=20, deadline=None)
def test_a_reach_changes_nothing_where_nothing_is_near(
    layer: spec.Layer, side: int, seed: int
) -> None:
    x = apart(np.random.default_rng(seed), (2, 2, 4, 5))
    plain, moved = kinked(layer, 0, 0.0), kinked(layer, side, 1e-9)
    y = plain.forward(x)
    assert np.array_equal(moved.forward(x), y)
    assert np.array_equal(moved.backward(y), plain.backward(y))


@pytest.mark.parametrize(
    ("side", "passes"), [(0, [0, 0, 1, 1]), (1, [0, 0, 0, 1]), (-1, [0, 1, 1, 1])]
)
def test_relu_with_ties_to_a_side(side: int, passes: list[float]) -> None:
    relu, x = kinked(spec.Relu(), side, 0.1), np.array([[-2.0, 0.0, 0.1, 2.0]])
    handed_on = 0.1 if side < 0 else 0.0
    assert relu.forward(x).tolist() == [[0.0, handed_on, 0.1, 2.0]]
    assert relu.backward(np.ones((1, 4))).tolist() == [passes]
    assert relu.infer(x).tolist() == [[0.0, 0.0, 0.1, 2.0]]


def test_the_reach_is_each_elements_own() -> None:
    relu = kinked(spec.Relu(), 1, np.array([[0.5, 0.0]]))
    relu.forward(np.array([[0.2, 0.2]]))
    assert relu.backward(np.ones((1, 2))).tolist() == [[0.0, 1.0]]


@pytest.mark.parametrize(
    ("side", "winner"), [(0, [0, 1, 0, 0]), (1, [1, 0, 0, 0]), (-1, [0, 0, 1, 0])]
)
def test_maxpool_with_ties_to_a_side(side: int, winner: list[float]) -> None:
    pool, x = kinked(spec.MaxPool(2), side, 0.2), np.array([[[[2.0, 2.1], [2.1, 0.0]]]])
    assert pool.forward(x).tolist() == pool.infer(x).tolist() == [[[[2.1]]]]
    assert pool.backward(np.ones((1, 1, 1, 1))).reshape(-1).tolist() == winner


@pytest.mark.parametrize("place", range(4))
def test_a_maximum_finds_what_only_a_tie_lets_pass(place: int) -> None:
    """Rounding may put a unit just above 0 in a window of zeros: then the gradient goes through it."""
    x = np.full((1, 1, 2, 2), -1.0)
    x.reshape(-1)[place] = -1e-9
    relu, pool = kinked(spec.Relu(), -1, 1e-6), kinked(spec.MaxPool(2), 0, 0.0)
    pool.forward(relu.forward(x))
    passed = relu.backward(pool.backward(np.ones((1, 1, 1, 1))))
    assert passed.reshape(-1).tolist() == np.eye(4)[place].tolist()


@pytest.mark.parametrize("name", LOSSES)
@given(
    batch=st.integers(1, 4),
    classes=st.integers(1, 5),
    smoothing=st.sampled_from([0.0, 0.1]),
    seed=seeds,
)
@settings(max_examples=20, deadline=None)
def test_losses(name: str, batch: int, classes: int, smoothing: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    logits = random.standard_normal((batch, classes))
    labels = random.integers(0, classes, batch)
    _, gradient = LOSSES[name](logits, labels, smoothing)
    numbers = numerical(lambda: LOSSES[name](logits, labels, smoothing)[0], logits)
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


def test_smoothed_labels_by_hand() -> None:
    """The target is 0.9 one-hot + 0.1 / 4: 0.925 and three times 0.025."""
    logits = np.array([[1.0, 2.0, 3.0, 4.0]])
    loss, gradient = cross_entropy(logits, np.array([2]), 0.1)
    exponents = np.exp(logits[0])
    target = np.array([0.025, 0.025, 0.925, 0.025])
    assert loss == pytest.approx(np.log(exponents.sum()) - target @ logits[0])
    np.testing.assert_allclose(gradient[0], exponents / exponents.sum() - target, atol=1e-15)
