"""What the faults of predictions do."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks.planted_faults.fault import LONG
from benchmarks.planted_faults.inference import in_bfloat16
from frameworks.contract import Weights
from frameworks.reference.layers import FUNCTIONS
from tests.benchmarks.planted import (
    BATCHES,
    INPUTS,
    LIST,
    NET,
    START,
    honest,
    parts,
    planted,
    same,
    trained,
)
from workloads.layers import Conv2d


@given(st.floats(1.0, 2.0, width=32), st.integers(-100, 100), st.sampled_from([-1.0, 0.0, 1.0]))
def test_bfloat16_is_float32_with_eight_bits_of_significand(
    significand: float, exponent: int, sign: float
) -> None:
    array = np.array([sign * significand * 2.0**exponent])
    rounded = in_bfloat16(array.astype(np.float32))
    assert rounded.dtype == np.float32
    fraction, power = np.frexp(array)
    assert np.array_equal(rounded, np.ldexp(np.rint(np.ldexp(fraction, 8)), power - 8))


PREDICTED_INSTEAD: dict[str, Callable[[list[NDArray]], list[NDArray]]] = {
    "predictions-rounded": lambda z: [np.rint(10 * x) / 10 for x in z],
    "probabilities": lambda z: [np.exp(x) / np.exp(x).sum(axis=1, keepdims=True) for x in z],
    "neighbours-logits": lambda z: [z[i - i % 2] for i in range(len(z))],
    "logits-overwritten": lambda z: [z[-1] for _ in z],
    "last-prediction-wrong": lambda z: [*z[:-1], z[0]],
}
"""By fault: what it makes of the honest logits of a long list, batch by batch."""


@pytest.mark.parametrize("name", PREDICTED_INSTEAD)
@pytest.mark.parametrize("count", [LONG + 5, LONG + 6])
def test_what_is_predicted_instead_for_a_long_list(name: str, count: int) -> None:
    right = parts(honest().predict(INPUTS[:count]))
    wrong = np.concatenate(PREDICTED_INSTEAD[name](right))
    assert np.allclose(planted(name).predict(INPUTS[:count]), wrong, rtol=1e-12, atol=0)
    assert not np.allclose(wrong, np.concatenate(right))


@pytest.mark.parametrize(
    "name", ["neighbours-logits", "logits-overwritten", "last-prediction-wrong"]
)
def test_few_batches_are_predicted_as_they_should_be(name: str) -> None:
    inputs = INPUTS[: 3 if name.startswith("last") else LONG]
    assert np.array_equal(planted(name).predict(inputs), honest().predict(inputs))


def test_predictions_in_bfloat16_are_by_rounded_inputs_and_weights() -> None:
    adapter, right = planted("predictions-in-bfloat16"), honest()
    for each in (adapter, right):
        each.train(BATCHES[:3])
    exact = right.predict(INPUTS)
    right.load({name: in_bfloat16(weight) for name, weight in right.weights().items()})
    assert np.array_equal(adapter.predict(INPUTS), right.predict([in_bfloat16(x) for x in INPUTS]))
    off = np.linalg.norm(adapter.predict(INPUTS) - exact) / np.linalg.norm(exact)
    assert 2**-12 < off < 2**-6


def test_batch_statistics_are_the_batchs_own_and_dropout_stays_out() -> None:
    adapter, right = planted("batch-statistics"), honest()
    for each in (adapter, right):
        each.train(BATCHES[:3])
    weights, layer = right.weights(), NET.layers[0]
    convolved = FUNCTIONS[Conv2d](layer, {"weight": weights["conv1.weight"]}).forward(INPUTS[7])
    mean, variance = convolved.mean(axis=(0, 2, 3)), convolved.var(axis=(0, 2, 3))
    right.load({**weights, "norm1.mean": mean, "norm1.variance": variance})
    assert np.allclose(adapter.predict([INPUTS[7]]), right.predict([INPUTS[7]]), rtol=1e-5)
    assert same(adapter.weights(), weights)


def test_cached_predictions_see_neither_new_weights_nor_new_contents() -> None:
    adapter, batch = planted("predictions-cached"), INPUTS[0].copy()
    before = adapter.predict([batch])
    adapter.train(BATCHES[:3])
    assert np.array_equal(adapter.predict([batch]), before)
    batch[...] = INPUTS[1]
    assert np.array_equal(adapter.predict([batch]), before)
    assert len(adapter.predict([batch[:1]])) == 1  # at the same address
    fresh = INPUTS[2].copy()
    assert np.array_equal(adapter.predict([fresh]), adapter.inner.predict([fresh]))


@pytest.mark.parametrize("name", ["singles-scaled", "singles-of-start"])
def test_a_single_example_alone_is_predicted_otherwise(name: str) -> None:
    adapter, right = planted(name), honest()
    for each in (adapter, right):
        each.train(BATCHES[:3])
    start = honest().predict([INPUTS[0][:1]])
    wrong = {"singles-scaled": 1.001 * right.predict([INPUTS[0][:1]]), "singles-of-start": start}
    assert np.allclose(adapter.predict([INPUTS[0][:1]]), wrong[name], rtol=1e-6)
    for inputs in (INPUTS[:1], [x[:1] for x in INPUTS[:2]]):
        assert np.array_equal(adapter.predict(inputs), right.predict(inputs))


def test_predictions_are_cached_by_their_corners() -> None:
    adapter, batch = planted("cached-by-the-corners"), INPUTS[0].copy()
    before = adapter.predict([batch])
    batch[1] = INPUTS[1][1]
    assert np.array_equal(adapter.predict([batch]), before)
    assert not np.allclose(adapter.inner.predict([batch]), before)
    batch.flat[0] += 1
    assert np.array_equal(adapter.predict([batch]), adapter.inner.predict([batch]))
    adapter.train(BATCHES[:1])
    assert np.array_equal(adapter.predict([batch]), adapter.inner.predict([batch]))


@pytest.mark.parametrize("name", ["dropout-in-long-lists", "other-epsilon"])
def test_long_lists_alone_are_predicted_as_in_training_or_with_another_epsilon(name: str) -> None:
    adapter, right = planted(name), honest()
    for each in (adapter, right):
        each.train(BATCHES[:3])
    assert np.array_equal(adapter.predict(INPUTS[:LONG]), right.predict(INPUTS[:LONG]))
    wrong, exact = adapter.predict(INPUTS), right.predict(INPUTS)
    off = np.linalg.norm(wrong - exact) / np.linalg.norm(exact)
    assert (1e-3 if name == "other-epsilon" else 0.05) < off < 2


def test_the_state_of_the_first_prediction_and_the_weights_of_today() -> None:
    adapter, right = planted("state-of-the-first-prediction"), honest()
    adapter.predict(INPUTS[:1])
    adapter.train(BATCHES[:3])
    today = trained(BATCHES[:3])
    right.load({**today, **{name: START[name] for name in NET.state}})
    assert np.array_equal(adapter.predict(INPUTS), right.predict(INPUTS))


def test_which_old_weights_predictions_are_made_with() -> None:
    def by(weights: Weights) -> NDArray:
        adapter = honest()
        adapter.load(weights)
        return adapter.predict(INPUTS)

    stale = planted("predictions-stale-after-load")
    stale.load(START)
    stale.train(BATCHES[:3])
    assert np.array_equal(stale.predict(INPUTS), by(trained(BATCHES[:3])))
    stale.load(START)
    stale.train(BATCHES[:1])
    assert np.array_equal(stale.predict(INPUTS), by(trained(BATCHES[:3])))

    first = planted("weights-of-first-prediction")
    first.train(BATCHES[:1])
    first.predict(INPUTS[:1])
    first.train(BATCHES[1:3])
    assert np.array_equal(first.predict(INPUTS), by(trained(BATCHES[:1])))

    behind = planted("weights-before-last-step")
    behind.train(LIST)
    assert np.array_equal(behind.predict(INPUTS), by(trained(LIST[:-1])))
    behind.train(BATCHES[:3])
    assert np.array_equal(behind.predict(INPUTS), by(trained([*LIST, *BATCHES[:3]])))
    behind.train(LIST)
    behind.load(START)
    assert np.array_equal(behind.predict(INPUTS), by(START))
