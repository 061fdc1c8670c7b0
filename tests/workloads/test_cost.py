"""Costs are counted by hand once, so that a change of the count shows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from workloads import cost, spec
from workloads.optimisers import Adam, AdamW, Optimiser, Sgd


def test_the_textbook_net() -> None:
    net = spec.load("mlp-2-3-2")
    assert cost.parameter_count(net) == 2 * 3 + 3 + 3 * 2 + 2
    assert cost.inference_flop(net) == 2 * (2 * 3 + 3 * 2)
    # forward, weight gradients, and the second layer's input gradient
    assert cost.training_flop(net) == 2 * (2 * 12 + 6)
    batch_of_outputs = 20 * (2 + 3 + 3 + 2)
    assert cost.training_bytes(net) == 4 * (2 * 17 + batch_of_outputs)


@pytest.mark.parametrize(
    ("optimiser", "arrays"),
    [(Sgd(0.1), 2), (Sgd(0.1, momentum=0.9), 3), (Adam(0.1), 4), (AdamW(0.1), 4)],
)
def test_training_bytes_count_weights_gradients_and_slots(
    optimiser: Optimiser, arrays: int
) -> None:
    net = replace(spec.load("mlp-2-3-2"), optimiser=optimiser)
    assert cost.training_bytes(net) == 4 * (arrays * 17 + 20 * (2 + 3 + 3 + 2))


def test_the_tutorial_net() -> None:
    net = spec.load("cifar-cnn")
    assert cost.parameter_count(net) == 62_006
    forward = 6 * 28 * 28 * 75 + 16 * 10 * 10 * 150 + 400 * 120 + 120 * 84 + 84 * 10
    assert cost.inference_flop(net) == 2 * forward
    assert cost.training_flop(net) == 2 * (3 * forward - 6 * 28 * 28 * 75)
