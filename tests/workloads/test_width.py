"""A net is widened as a whole, or refused with the reason."""

from __future__ import annotations

from typing import Any

import pytest

from workloads import spec
from workloads.reading import SpecError
from workloads.width import widened

CONV: dict[str, Any] = {"kind": "conv2d", "filters": 3, "kernel": 3, "padding": 1}
END: list[dict[str, Any]] = [{"kind": "globalavgpool"}, {"kind": "dense", "units": 10}]


def net(*layers: dict[str, Any]) -> spec.Workload:
    return spec.from_dict({**spec.load("cifar-cnn").to_dict(), "layers": list(layers)}, "a test")


def widths(workload: spec.Workload) -> list[int]:
    return [shape[0] for name, shape in workload.parameters.items() if name.endswith("weight")]


def test_filters_and_hidden_units_are_multiplied_and_the_classes_stay() -> None:
    small = spec.load("cnn-digits")
    assert widths(small) == [16, 32, 64, 10]
    assert widths(widened(small, 2)) == [32, 64, 128, 10]
    assert widths(widened(small, 0.3)) == [5, 10, 19, 10]
    assert widths(widened(small, 1e-9)) == [1, 1, 1, 10]
    assert widened(small, 1) == small


@pytest.mark.parametrize("name", [name for name in spec.names() if name.startswith("cifar")])
def test_blocks_that_pad_their_shortcut_are_widened_with_it(name: str) -> None:
    workload = spec.load(name)
    wide = widened(workload, 2)
    assert widths(wide)[:-1] == [2 * width for width in widths(workload)[:-1]]


def test_a_block_that_adds_its_own_input_cannot_be_widened_by_itself() -> None:
    block = {"kind": "residual", "body": [CONV]}
    with pytest.raises(SpecError, match=r"2 times as wide.*residual: the body gives shape \(6,"):
        widened(net(block, *END), 2)


@pytest.mark.parametrize("factor", [1e19, 1e308])
def test_a_width_beyond_all_arrays_is_refused(factor: float) -> None:
    with pytest.raises(SpecError, match=r"times as wide: dense: units would be .*: at most"):
        widened(spec.load("mlp-2-3-2"), factor)


def test_a_net_without_a_hidden_layer_is_refused() -> None:
    with pytest.raises(SpecError, match="no hidden layer"):
        widened(net({"kind": "flatten"}, {"kind": "dense", "units": 10}), 2)


def test_a_layer_that_is_drawn_and_has_no_width_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workloads.layers.Conv2d.width", "")
    with pytest.raises(SpecError, match="conv2d has no width that could be multiplied"):
        widened(net({**CONV, "filters": 4}, *END), 2)


@pytest.mark.parametrize("name", ["gpt-text", "vit-cifar", "lstm-digits"])
def test_sequences_are_widened_with_what_follows_their_input(name: str) -> None:
    workload = spec.load(name)
    wide = widened(workload, 2)
    before, after = (
        {name: shape for name, shape in each.parameters.items() if name.endswith("bias")}
        for each in (workload, wide)
    )
    *hidden, classes = before
    assert after[classes] == before[classes]
    assert all(after[place][0] == 2 * before[place][0] for place in hidden)
