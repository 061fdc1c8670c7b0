"""Windows of all kinds, branches and group norm in the reference: by finite differences, and by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from frameworks.reference.blocks import Chain, Concat, Sum
from frameworks.reference.layers import FUNCTIONS
from tests.frameworks.test_reference import apart, check, numerical, seeds, sides
from workloads import layers as spec
from workloads.layers.windows import Padding
from workloads.reading import SpecError

pads = st.integers(0, 2)
paddings = st.one_of(pads, st.just("same"), st.tuples(pads, pads, pads, pads))
steps_paddings = st.one_of(pads, st.sampled_from(["same", "causal"]), st.tuples(pads, pads))


def fits(layer: spec.Layer, shape: tuple[int, ...]) -> bool:
    try:
        layer.output(shape)
    except SpecError:
        return False
    return True


@given(
    groups=st.integers(1, 3),
    multiples=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 2),
    dilation=st.integers(1, 2),
    padding=paddings,
    image=st.tuples(sides, sides),
    seed=seeds,
)
@settings(max_examples=40, deadline=None)
def test_convolution_with_groups_dilation_and_any_padding(
    groups: int,
    multiples: tuple[int, int],
    kernel: int,
    stride: int,
    dilation: int,
    padding: Padding,
    image: tuple[int, int],
    seed: int,
) -> None:
    channels, filters = (groups * multiple for multiple in multiples)
    layer = spec.Conv2d(filters, kernel, stride, padding, dilation=dilation, groups=groups)
    assume(fits(layer, (channels, *image)))
    check(layer, (channels, *image), 2, seed)


@given(
    groups=st.integers(1, 2),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 2),
    dilation=st.integers(1, 2),
    padding=steps_paddings,
    steps=sides,
    seed=seeds,
)
@settings(max_examples=40, deadline=None)
def test_convolution_of_sequences(
    groups: int,
    kernel: int,
    stride: int,
    dilation: int,
    padding: Padding,
    steps: int,
    seed: int,
) -> None:
    layer = spec.Conv1d(4, kernel, stride, padding, dilation=dilation, groups=groups)
    assume(fits(layer, (steps, 2)))
    check(layer, (steps, 2), 2, seed)


@pytest.mark.parametrize("kind", [spec.MaxPool, spec.AvgPool])
@given(
    size=st.integers(1, 3),
    stride=st.integers(0, 3),
    padding=paddings,
    ceil=st.booleans(),
    image=st.tuples(sides, sides),
    seed=seeds,
)
@settings(max_examples=40, deadline=None)
def test_pools_with_padding(
    kind: type[spec.Pool],
    size: int,
    stride: int,
    padding: Padding,
    ceil: bool,
    image: tuple[int, int],
    seed: int,
) -> None:
    layers = [kind(size, stride, padding, ceil)]
    if kind is spec.AvgPool:
        layers.append(spec.AvgPool(size, stride, padding, ceil, count_padding=True))
    assume(fits(layers[0], (2, *image)))
    for layer in layers:
        check(layer, (2, *image), 2, seed)


@pytest.mark.parametrize("shape", [(6,), (4, 3, 2)])
@pytest.mark.parametrize("groups", [1, 2])
def test_group_norm(shape: tuple[int, ...], groups: int) -> None:
    check(spec.GroupNorm(groups, epsilon=0.01), shape, 3, seed=1)


def forward(layer: spec.Layer, x: NDArray, **parameters: NDArray) -> NDArray:
    return FUNCTIONS[type(layer)](layer, parameters).forward(x)


@pytest.mark.parametrize(("padding", "value"), [("same", 8), ((0, 1, 0, 1), 8), (1, 24)])
def test_same_of_four_ones_is_not_symmetric_padding(padding: Padding, value: float) -> None:
    """A kernel of 0 to 8, moved by 2: SAME sees 0 + 1 + 3 + 4, padding of 1 sees 4 + 5 + 7 + 8."""
    layer = spec.Conv2d(1, kernel=3, stride=2, padding=padding, bias=False)
    weight = np.arange(9.0).reshape(1, 1, 3, 3)
    assert forward(layer, np.ones((1, 1, 2, 2)), weight=weight).tolist() == [[[[value]]]]


@pytest.mark.parametrize(("counted", "corner"), [(False, 2.5), (True, 10 / 9)])
def test_the_corner_of_an_average(counted: bool, corner: float) -> None:
    x = np.arange(1.0, 5.0).reshape(1, 1, 2, 2)
    y = forward(spec.AvgPool(3, 1, padding=1, count_padding=counted), x)
    np.testing.assert_allclose(y, np.full((1, 1, 2, 2), corner), rtol=1e-15)


@pytest.mark.parametrize(
    ("counted", "means"), [(False, [3 / 2, 7 / 2]), (True, [3 / (3 * 3), 7 / (3 * 2)])]
)
def test_what_ceil_has_beyond_the_padding_never_counts(counted: bool, means: list[float]) -> None:
    """Of the row 1 2 3 4, with two rows of padding below and a column before, windows of 3 by 3 see
    the padding, 1 and 2, and then 3 and 4 with nothing behind."""
    x = np.arange(1.0, 5.0).reshape(1, 1, 1, 4)
    layer = spec.AvgPool(3, padding=(0, 2, 1, 0), ceil=True, count_padding=counted)
    np.testing.assert_allclose(forward(layer, x).ravel(), means, rtol=1e-15)


def test_padding_is_never_the_largest() -> None:
    x = -np.arange(1.0, 5.0).reshape(1, 1, 2, 2)
    assert forward(spec.MaxPool(3, 2, padding=1), x).tolist() == [[[[-1.0]]]]
    layer = FUNCTIONS[spec.MaxPool](spec.MaxPool(2, 1, padding="same"), {})
    assert layer.forward(x).tolist() == [[[[-1.0, -2.0], [-3.0, -4.0]]]]
    assert layer.backward(np.ones((1, 1, 2, 2))).tolist() == [[[[1.0, 1.0], [1.0, 1.0]]]]


def test_a_convolution_is_its_formula() -> None:
    """With two groups, dilation 2, stride 2 and other padding on every side, element by element."""
    layer = spec.Conv2d(4, 2, stride=2, padding=(1, 2, 0, 1), dilation=2, groups=2)
    random, shape = np.random.default_rng(3), (6, 5, 4)
    x = random.standard_normal((1, *shape))
    weight, bias = (random.standard_normal(s) for s in layer.parameters(shape).values())
    y = forward(layer, x, weight=weight, bias=bias)
    expected = np.zeros(y.shape)
    for f, row, column in np.ndindex(y.shape[1:]):
        expected[0, f, row, column] = bias[f]
        first = 0 if f < 2 else 3
        for c, i, j in itertools.product(range(3), range(2), range(2)):
            at_row, at_column = 2 * row + 2 * i - 1, 2 * column + 2 * j
            if 0 <= at_row < 5 and 0 <= at_column < 4:
                pixel = x[0, first + c, at_row, at_column]
                expected[0, f, row, column] += weight[f, c, i, j] * pixel
    np.testing.assert_allclose(y, expected, rtol=1e-12)


def test_a_causal_convolution_sees_no_later_step() -> None:
    layer = spec.Conv1d(3, kernel=3, padding="causal", dilation=2)
    random = np.random.default_rng(4)
    weight, bias = (random.standard_normal(s) for s in layer.parameters((7, 2)).values())
    x = random.standard_normal((1, 7, 2))
    changed = x.copy()
    changed[0, 4] += 1
    before, after = (forward(layer, each, weight=weight, bias=bias) for each in (x, changed))
    assert [bool(np.any(a != b)) for a, b in zip(before[0], after[0], strict=True)] == [
        *[False] * 4,
        *(True, False, True),
    ]


def test_group_norm_by_hand() -> None:
    """Of four channels in two groups: 1 and 3 have mean 2 and variance 1; 5 and 5 stay 0."""
    x = np.array([[[[1.0]], [[3.0]], [[5.0]], [[5.0]]]])
    weight, bias = np.array([2.0, 3.0, 4.0, 5.0]), np.array([0.0, 1.0, 2.0, 3.0])
    y = forward(spec.GroupNorm(2, epsilon=3.0), x, weight=weight, bias=bias)
    np.testing.assert_allclose(y.ravel(), [-1.0, 2.5, 2.0, 3.0], rtol=1e-15)


def test_branches_are_joined_in_their_order_and_send_back_the_sum() -> None:
    x = apart(np.random.default_rng(5), (2, 3))

    def branches() -> list[Chain]:
        kinds = (spec.Tanh(), spec.Sigmoid())
        return [Chain([FUNCTIONS[type(k)](k, {})]) for k in kinds] + [Chain([])]

    sigmoid = 1 / (1 + np.exp(-x))
    concat = Concat(branches(), axis=1)
    np.testing.assert_allclose(concat.forward(x), np.hstack([np.tanh(x), sigmoid, x]))
    np.testing.assert_allclose(concat.infer(x), concat.forward(x))
    add = Sum(branches())
    np.testing.assert_allclose(add.forward(x), np.tanh(x) + sigmoid + x)
    for block in (concat, add):
        dy = np.random.default_rng(6).standard_normal(block.forward(x).shape)
        slope = block.backward(dy)

        def joined(block: Concat | Sum = block, dy: NDArray = dy) -> float:
            return float(np.sum(dy * block.infer(x)))

        np.testing.assert_allclose(slope, numerical(joined, x), rtol=1e-7, atol=1e-7)
