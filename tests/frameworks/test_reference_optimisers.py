"""The reference's updates by hand: each word of an optimiser's, on weights and gradients of numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from frameworks.reference.optimisers import UPDATES, Update
from workloads.optimisers import Adam, AdamW, Optimiser, RmsProp, Sgd

START = {"kernel": np.array([[1.0, -2.0], [0.5, 3.0]]), "bias": np.array([4.0, -1.0])}
GRADIENTS = [
    {"kernel": np.array([[0.3, -0.1], [0.2, 0.4]]), "bias": np.array([-0.2, 0.1])},
    {"kernel": np.array([[-0.5, 0.2], [0.1, 0.3]]), "bias": np.array([0.4, 0.6])},
    {"kernel": np.array([[0.1, 0.7], [-0.3, 0.2]]), "bias": np.array([0.2, -0.5])},
    {"kernel": np.array([[0.6, 0.1], [0.2, -0.8]]), "bias": np.array([-0.1, 0.3])},
]
RATES = [0.1, 0.01, 0.05, 0.02]


def updated(optimiser: Optimiser, steps: int) -> Update:
    """What a fresh optimiser is after some steps of RATES, where each ends with an update."""
    weights = {name: w.copy() for name, w in START.items()}
    update = UPDATES[type(optimiser)](optimiser, weights)
    numbers = optimiser.updates(0, steps)
    for gradients, number in zip(GRADIENTS[:steps], numbers, strict=True):
        update.take(gradients, None if number is None else RATES[number])
    return update


def close(update: Update, expected: dict[str, NDArray]) -> None:
    for name, w in expected.items():
        np.testing.assert_allclose(update.weights[name], w, rtol=1e-13)


def test_momentum_keeps_the_rate_out() -> None:
    one = {"kernel": np.ones((1, 1))}
    update = UPDATES[Sgd](Sgd(1.0, momentum=0.9), {"kernel": np.zeros((1, 1))})
    for rate in (0.1, 0.01):
        update.take(one, rate)
    assert update.weights["kernel"][0, 0] == pytest.approx(-0.119)


def test_nesterov_goes_on_by_momentum_from_the_new_v() -> None:
    update = updated(Sgd(1.0, momentum=0.9, nesterov=True), 2)
    expected = {}
    for name, w in START.items():
        g1, g2 = GRADIENTS[0][name], GRADIENTS[1][name]
        v1, v2 = g1, 0.9 * g1 + g2
        expected[name] = w - 0.1 * (g1 + 0.9 * v1) - 0.01 * (g2 + 0.9 * v2)
    close(update, expected)


@pytest.mark.parametrize("momentum", [0.0, 0.8])
def test_rmsprop_has_epsilon_outside_the_root_and_the_rate_outside_v(momentum: float) -> None:
    update = updated(RmsProp(1.0, rho=0.9, momentum=momentum, epsilon=0.01), 2)
    expected = {}
    for name, w in START.items():
        g1, g2 = GRADIENTS[0][name], GRADIENTS[1][name]
        s1 = 0.1 * g1**2
        s2 = 0.09 * g1**2 + 0.1 * g2**2
        v1 = g1 / (np.sqrt(s1) + 0.01)
        v2 = momentum * v1 + g2 / (np.sqrt(s2) + 0.01)
        expected[name] = w - 0.1 * v1 - 0.01 * v2
    close(update, expected)


@pytest.mark.parametrize("kind", [Sgd, RmsProp, Adam, AdamW])
def test_decay_of_kernels_leaves_biases_as_without_decay(kind: type[Optimiser]) -> None:
    spared = updated(kind(1.0, weight_decay=0.1, decay="kernels"), 3).weights
    everything = updated(kind(1.0, weight_decay=0.1), 3).weights
    nothing = updated(kind(1.0), 3).weights
    assert np.array_equal(spared["kernel"], everything["kernel"])
    assert np.array_equal(spared["bias"], nothing["bias"])
    assert not np.allclose(spared["kernel"], nothing["kernel"])
    assert not np.allclose(spared["bias"], everything["bias"])


def norm(gradients: dict[str, NDArray]) -> float:
    return float(np.sqrt(sum(np.sum(g**2) for g in gradients.values())))


@given(st.floats(0.01, 10))
def test_the_norm_is_of_all_gradients_together_and_decay_is_not_clipped(most: float) -> None:
    update = updated(Sgd(1.0, weight_decay=0.5, clip_norm=most), 1)
    scale = min(1.0, most / norm(GRADIENTS[0]))
    close(update, {n: w - 0.1 * (scale * GRADIENTS[0][n] + 0.5 * w) for n, w in START.items()})


@given(st.floats(0.01, 1))
def test_each_element_is_clipped_by_value(limit: float) -> None:
    update = updated(Sgd(1.0, clip_value=limit), 1)
    clipped = {n: np.sign(g) * np.minimum(np.abs(g), limit) for n, g in GRADIENTS[0].items()}
    close(update, {n: w - 0.1 * clipped[n] for n, w in START.items()})


@pytest.mark.parametrize("kind", [Sgd, RmsProp, Adam, AdamW])
def test_an_update_of_two_batches_is_that_of_their_mean(kind: type[Optimiser]) -> None:
    gathered = updated(kind(1.0, accumulate=2, clip_norm=0.3), 4)
    update = UPDATES[kind](kind(1.0, clip_norm=0.3), {n: w.copy() for n, w in START.items()})
    for first, rate in ((0, 0.1), (2, 0.01)):
        pair = GRADIENTS[first : first + 2]
        update.take({n: (pair[0][n] + pair[1][n]) / 2 for n in START}, rate)
    close(gathered, update.weights)
    assert not any(total.any() for total in gathered.sum.values())


def test_what_is_gathered_waits_for_its_update() -> None:
    update = updated(Sgd(1.0, accumulate=3), 2)
    close(update, START)
    for name, total in update.slots["sum"].items():
        np.testing.assert_allclose(total, GRADIENTS[0][name] + GRADIENTS[1][name])


def test_the_average_begins_at_the_weights_and_follows_updates() -> None:
    assert updated(Sgd(1.0, average=0.75), 0).average["bias"].tolist() == START["bias"].tolist()
    update = updated(Sgd(1.0, average=0.75, accumulate=2), 4)
    for name, w in START.items():
        w1 = w - 0.1 * (GRADIENTS[0][name] + GRADIENTS[1][name]) / 2
        w2 = w1 - 0.01 * (GRADIENTS[2][name] + GRADIENTS[3][name]) / 2
        expected = 0.75 * (0.75 * w + 0.25 * w1) + 0.25 * w2
        np.testing.assert_allclose(update.average[name], expected, rtol=1e-13)
