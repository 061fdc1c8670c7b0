"""Where windows lie: padding of every kind, SAME, ceil, and how it is written in a file."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workloads.test_spec import GOOD
from workloads import spec
from workloads.layers import AvgPool, Branches, Conv1d, Conv2d, GroupNorm, MaxPool, Relu, Shape
from workloads.layers.windows import Padding, along
from workloads.reading import SpecError, table_of
from workloads.width import widened

lengths, strides, kernels = st.integers(1, 12), st.integers(1, 4), st.integers(1, 4)


def test_of_112_pixels_a_pool_of_3_by_2_makes_56_or_by_ceil_57() -> None:
    assert MaxPool(3, stride=2, padding=1).output((1, 112, 112)) == (1, 56, 56)
    assert MaxPool(3, stride=2, padding=1, ceil=True).output((1, 112, 112)) == (1, 57, 57)


def test_a_last_window_has_to_begin_in_the_image() -> None:
    """Of 3 elements, one of padding and windows of 2 by 2: a third one would begin behind the image."""
    assert AvgPool(2, padding=1, ceil=True).output((1, 3, 3)) == (1, 2, 2)
    assert AvgPool(2, padding=1, ceil=True).output((1, 4, 4)) == (1, 3, 3)


@given(lengths, kernels, strides, st.integers(1, 3))
def test_same_gives_the_input_over_the_stride_and_puts_the_odd_element_last(
    side: int, kernel: int, stride: int, dilation: int
) -> None:
    (window,) = along([side], kernel, stride, "same", dilation)
    assert window.count == -(-side // stride)
    assert window.after - window.before in (0, 1)
    assert window.before + window.after == max(
        (window.count - 1) * stride + (kernel - 1) * dilation + 1 - side, 0
    )


@given(lengths, kernels, strides)
def test_a_causal_window_ends_at_its_own_step(side: int, kernel: int, dilation: int) -> None:
    (window,) = along([side], kernel, 1, "causal", dilation)
    assert (window.before, window.after, window.count) == ((kernel - 1) * dilation, 0, side)


@given(lengths, kernels, strides, st.data(), st.booleans())
def test_every_window_of_a_pool_has_an_element_and_counts_what_it_has(
    side: int, kernel: int, stride: int, data: st.DataObject, ceil: bool
) -> None:
    before, after = (data.draw(st.integers(0, kernel - 1)) for _ in "ba")
    (window,) = along([side], kernel, stride, (before, after), ceil=ceil)
    if window.count < 1:
        return
    places = [range(i * stride - before, i * stride - before + kernel) for i in range(window.count)]
    image, padding = range(side), range(-before, side + after)
    assert window.counts(False) == [sum(place in image for place in each) for each in places]
    assert window.counts(True) == [sum(place in padding for place in each) for each in places]
    assert min(window.counts(False)) >= 1
    assert window.beyond == max(0, places[-1][-1] - padding[-1])
    assert ceil or window.beyond == 0


@pytest.mark.parametrize(
    ("padding", "output"),
    [(0, (2, 3, 2)), (1, (2, 5, 4)), ((1, 0, 0, 2), (2, 4, 4)), ("same", (2, 5, 4))],
)
def test_numbers_are_top_bottom_left_right(padding: Padding, output: Shape) -> None:
    assert Conv2d(2, 3, padding=padding).output((1, 5, 4)) == output
    assert MaxPool(3, 1, padding=padding).output((2, 5, 4)) == output


@pytest.mark.parametrize(
    ("padding", "steps"), [(1, 9), ((0, 3), 10), ("same", 9), ("causal", 9), (0, 7)]
)
def test_sequences_are_padded_before_and_after(padding: Padding, steps: int) -> None:
    assert Conv1d(4, 3, padding=padding).output((9, 2)) == (steps, 4)


def test_groups_share_the_channels_out() -> None:
    layer = Conv2d(6, kernel=3, groups=2)
    assert layer.parameters((4, 5, 5)) == {"weight": (6, 2, 3, 3), "bias": (6,)}
    assert layer.fans((4, 5, 5)) == (2 * 9, 3 * 9)
    assert layer.multiply_adds((4, 5, 5)) == 6 * 9 * 2 * 9
    depthwise = Conv1d(8, kernel=5, groups=8, bias=False)
    assert depthwise.parameters((9, 8)) == {"weight": (8, 1, 5)}
    assert depthwise.multiply_adds((9, 8)) == 8 * 5 * 5


def test_what_came_later_is_left_out_of_a_table_at_its_default() -> None:
    first = {"kind": "conv2d", "filters": 4, "kernel": 3, "stride": 1, "padding": 0, "bias": True}
    assert table_of(Conv2d(4, 3)) == first
    assert table_of(AvgPool(2)) == {"kind": "avgpool", "size": 2, "stride": 0}
    assert table_of(Conv2d(4, 3, groups=2)) == {**first, "groups": 2}
    assert table_of(MaxPool(2, padding=(0, 1, 0, 1)))["padding"] == (0, 1, 0, 1)


def refusal(layer: str) -> str:
    table = GOOD.replace('{ kind = "relu" },', layer)
    with pytest.raises(SpecError) as error:
        spec.from_dict({"name": "x", **tomllib.loads(table)}, "x.toml")
    return str(error.value)


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        (
            "padding = 'sme'",
            ["padding = 'sme'", 'did you mean "same"', "(top, bottom, left, right)"],
        ),
        (
            "padding = [1, 2]",
            ["padding = [1, 2]", "a number, 4 numbers (top, bottom, left, right)"],
        ),
        ("padding = [1]", ["padding = [1]", "4 numbers"]),
        ("padding = true", ["padding = True", "4 numbers"]),
        ("padding = [1, 1, 1, -1]", ["at least 0"]),
        ("padding = 'causal'", ["not known", '"same"']),
        ("groups = 3", ["groups = 3", "4 channels", "6 filters"]),
        ("groups = 0", ["groups = 0", "at least 1"]),
        ("dilation = 4", ["of size 3 (9 with its dilation) does not fit an image of 6x6"]),
    ],
)
def test_an_error_of_a_convolution_says_what_is_allowed(layer: str, says: list[str]) -> None:
    words = refusal(f'{{ kind = "conv2d", filters = 6, kernel = 3, {layer} }},')
    for part in ["x.toml: layers[1]", *says]:
        assert part in words


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        ('kind = "maxpool", size = 2, padding = 2', "padding = 2: has to be less than the size, 2"),
        ('kind = "maxpool", size = 2, count_padding = true', 'unknown key "count_padding"'),
        ('kind = "avgpool", size = 2, ceil = 1', "ceil = 1: expected true or false"),
        ('kind = "groupnorm", groups = 3', "groups = 3: has to divide the 4 channels"),
        ('kind = "globalavgpool" }, { kind = "groupnorm", groups = 4', "has a single value"),
        ('kind = "conv1d", filters = 2, kernel = 3', "conv1d needs a sequence (steps, features)"),
        ('kind = "branches", branches = [[], []]', 'the key "join" is missing'),
        ('kind = "branches", join = "add", branches = [[]]', "two branches or more, got 1"),
        ('kind = "branches", join = "sum", branches = [[], []]', "allowed: add, concat"),
        ('kind = "branches", join = "add", branches = 3', "branches: expected a list of lists"),
        (
            'kind = "branches", join = "add", branches = [3]',
            "branches[0]: expected a list of layers",
        ),
        (
            'kind = "branches", join = "concat", branches = [[], [{ kind = "rellu" }]]',
            "layers[1].branches[1][0]: kind = 'rellu'",
        ),
        (
            'kind = "branches", join = "add", branches = [[], [{ kind = "relu" }, { kind = "rows" }, {'
            ' kind = "conv2d", filters = 1, kernel = 1 }]]',
            "layers[1]: branches[1][2]: conv2d needs an image",
        ),
        (
            'kind = "residual", body = [{ kind = "rows" }, { kind = "maxpool", size = 2 }]',
            "layers[1]: body[1]: maxpool needs an image",
        ),
        (
            'kind = "branches", join = "concat", branches = [[], [{ kind = "maxpool", size = 2 }]]',
            "shapes (4, 6, 6), (4, 3, 3) are not alike but for their channels",
        ),
        (
            'kind = "branches", join = "add", branches = [[], [{ kind = "flatten" }]]',
            "shapes (4, 6, 6), (144,) are not the same",
        ),
    ],
)
def test_an_error_of_other_layers_says_what_is_allowed(layer: str, says: str) -> None:
    assert says in refusal(f"{{ {layer} }},")


def test_branches_are_joined_over_channels_or_features() -> None:
    chains = ((Conv2d(4, 1),), (), (Relu(),))
    assert Branches("concat", chains).output((3, 5, 4)) == (10, 5, 4)
    assert Branches("add", ((), (Relu(),), ())).output((3, 5, 4)) == (3, 5, 4)
    assert Branches("concat", ((Conv1d(4, 1),), ())).output((9, 2)) == (9, 6)
    assert Branches("concat", ((), ())).output((7,)) == (14,)
    with pytest.raises(SpecError, match="not alike but for"):
        Branches("concat", ((), (Conv1d(4, 2),))).output((9, 2))


def test_names_go_on_through_the_branches_and_tables_come_back() -> None:
    layer: dict[str, Any] = {
        "kind": "branches",
        "join": "concat",
        "branches": [
            [{"kind": "conv2d", "filters": 2, "kernel": 1}, {"kind": "groupnorm", "groups": 2}],
            [],
            [{"kind": "conv2d", "filters": 3, "kernel": 1, "padding": [0, 0, 0, 0]}],
        ],
    }
    table = {"name": "x", **tomllib.loads(GOOD)}
    table["layers"] = [layer, *table["layers"]]
    workload = spec.from_dict(table, "x")
    assert [place.name for place in workload.leaves][:4] == [
        "branches1.conv1",
        "branches1.norm1",
        "branches1.conv2",
        "conv1",
    ]
    assert spec.from_dict(workload.to_dict(), "x") == workload
    assert GroupNorm(2) in workload.layers[0].branches[0]  # type: ignore[attr-defined]


def test_a_wider_depthwise_convolution_stays_one() -> None:
    shapes = widened(spec.load("mobilenet-cifar"), 2).parameters
    assert shapes["conv2.weight"] == (32, 1, 3, 3)
    assert shapes["conv3.weight"] == (64, 32, 1, 1)
