"""Workloads on tokens: what a file may say, what is fed, what is counted and how it is scored."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workloads import cost, spec
from workloads.batches import Batches, mixed
from workloads.init import dropout_masks, start_weights
from workloads.layers import Attention, Patches
from workloads.reading import SpecError
from workloads.scores import cross_entropies
from workloads.spec import Workload

EMBEDDING: dict[str, Any] = {"kind": "embedding", "tokens": 64, "units": 6}
ATTENTION: dict[str, Any] = {"kind": "attention", "heads": 2, "dropout": 0.5}
DENSE: dict[str, Any] = {"kind": "dense", "units": 64}


def net(*layers: dict[str, Any], **changes: Any) -> Workload:
    table: dict[str, Any] = {
        "name": "net",
        "title": "A net on text",
        "loss": "cross-entropy",
        "layers": list(layers),
        "data": {"dataset": "text", "batch": 3, "epochs": 1},
        "init": {"kind": "uniform-fan-in"},
        "optimiser": {"kind": "sgd", "lr": 0.1},
    }
    return spec.from_dict(table | changes, "a file")


def test_a_net_on_tokens_is_read_and_survives_the_way_to_a_worker() -> None:
    workload = net(EMBEDDING, {"kind": "positions"}, ATTENTION, DENSE)
    assert (workload.tokens, workload.label_shape) == (64, (64,))
    assert spec.from_dict(workload.to_dict(), "tables") == workload
    assert workload.parameters["embedding1.weight"] == (64, 6)
    assert workload.parameters["positions1.weight"] == (64, 6)
    assert "attention1.bias_k" not in workload.parameters


@pytest.mark.parametrize(
    ("layers", "changes", "says"),
    [
        ((DENSE,), {}, ["text has tokens", "begin with embedding, tokens = 64"]),
        (({**EMBEDDING, "tokens": 63}, DENSE), {}, ["begin with embedding, tokens = 64"]),
        ((EMBEDDING, {**ATTENTION, "heads": 4}, DENSE), {}, ["heads = 4", "divide the 6 features"]),
        ((EMBEDDING, {"kind": "flatten"}, DENSE), {}, ["64 classes at each of 64 steps"]),
        ((EMBEDDING, EMBEDDING, DENSE), {}, ["embedding needs tokens (steps,)"]),
        (
            ({**EMBEDDING, "padding": 64}, DENSE),
            {},
            ["padding = 64", "less than tokens = 64"],
        ),
        (
            (EMBEDDING, {"kind": "positions", "encoding": "sinusoid"}, DENSE),
            {},
            ["encoding = 'sinusoid'", 'did you mean "sinusoidal"?', "allowed: learned, sinusoidal"],
        ),
        (
            (EMBEDDING, DENSE),
            {"data": {"dataset": "text", "batch": 3, "epochs": 1, "scale": 63}},
            ["[data]", "not normalised: leave scale, mean and std out"],
        ),
        ((EMBEDDING, DENSE), {"loss": "mean-squared-error"}, ["a label a step", "cross-entropy"]),
        (
            (EMBEDDING, {"kind": "flatten"}, {"kind": "dense", "units": 2}),
            {"data": {"dataset": "xor", "batch": 3, "epochs": 1}},
            ["embedding1", "an embedding takes tokens"],
        ),
        (
            ({"kind": "patches", "size": 3}, {"kind": "flatten"}, {"kind": "dense", "units": 10}),
            {"data": {"dataset": "digits", "batch": 3, "epochs": 1}},
            ["patches: size = 3", "divide the image's 8x8"],
        ),
    ],
)
def test_what_cannot_be_is_refused_with_what_is_right(
    layers: tuple[dict[str, Any], ...], changes: dict[str, Any], says: list[str]
) -> None:
    with pytest.raises(SpecError) as error:
        net(*layers, **changes)
    for part in ["a file", *says]:
        assert part in str(error.value)


def test_a_mask_of_attention_has_an_element_for_each_head_and_pair_of_steps() -> None:
    workload = net(EMBEDDING, {"kind": "dropout", "rate": 0.25}, ATTENTION, DENSE)
    masks = dropout_masks(workload, 0)
    assert [mask.shape for mask in masks] == [(3, 64, 6), (3, 2, 64, 64)]
    assert masks[1].mean() == pytest.approx(0.5, abs=0.02)
    assert not net(EMBEDDING, {**ATTENTION, "dropout": 0.0}, DENSE).masked


def test_biases_of_attention_start_at_zero_where_the_formula_has_none() -> None:
    workload = net(EMBEDDING, ATTENTION, DENSE, init={"kind": "he-normal"})
    weights = start_weights(workload)
    assert not any(weights[f"attention1.bias_{part}"].any() for part in "qvo")
    assert all(weights[f"attention1.weight_{part}"].all() for part in "qkvo")


def test_batches_have_whole_numbers_and_a_label_a_step() -> None:
    inputs = np.random.default_rng(0).integers(0, 64, (5, 64), np.uint8)
    workload, order = net(EMBEDDING, DENSE), np.array([[4, 0, 2]])
    (batch,) = Batches(inputs, inputs.astype(np.int64), order, workload).take(0, 1)
    assert batch.inputs.dtype == np.float32 and batch.labels.shape == (3, 64)
    assert np.array_equal(batch.inputs, inputs[order[0]])


@given(st.integers(0, 2**32))
def test_mixed_tokens_come_each_from_one_of_two_examples(number: int) -> None:
    inputs = np.array([[3] * 64, [60] * 64], np.uint8)
    mixture = mixed(inputs, 4, number, net(EMBEDDING, DENSE))
    assert set(np.unique(mixture)) <= {3, 60}


def test_no_two_mixed_batches_are_the_same() -> None:
    inputs, workload = (
        np.random.default_rng(1).integers(0, 64, (9, 64), np.uint8),
        net(EMBEDDING, DENSE),
    )
    batches = [mixed(inputs, 1, number, workload).tobytes() for number in range(100)]
    assert len(set(batches)) == 100


def test_what_attention_costs() -> None:
    assert Attention(2).multiply_adds((5, 6)) == 4 * 5 * 36 + 2 * 5 * 5 * 6
    assert Attention(2, causal=True).multiply_adds((5, 6)) == 4 * 5 * 36 + 2 * 15 * 6
    assert Patches(2).multiply_adds((1, 4, 4)) == 0
    workload = net(EMBEDDING, DENSE)
    # Behind an embedding the dense layer's input needs a gradient, too.
    assert cost.training_flop(workload) == 3 * 2 * 64 * 6 * 64


def test_the_cross_entropy_of_steps_by_hand() -> None:
    logits = np.log([[[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]], [[1 / 3] * 3, [0.2, 0.4, 0.4]]])
    labels = np.array([[0, 2], [-1, 1]])
    losses = cross_entropies(np.concatenate([logits, logits]), labels)  # the surplus is left out
    assert losses == pytest.approx(-np.log([0.5, 0.8, 0.4]))
    assert np.isfinite(cross_entropies(np.full((1, 1, 2), 1e4), np.array([[0]]))).all()
