"""Batches are normalised as the spec says, and every example is seen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workloads.batches import Batches, in_order, normalise, per_slice
from workloads.spec import Data

DATA = Data("cifar10", batch=4, epochs=1, scale=255.0, mean=(0.5,), std=(0.5,))


def test_pixels_come_out_between_minus_one_and_one() -> None:
    raw = np.array([[[[0, 255]]]], np.uint8)
    out = normalise(raw, DATA)
    assert out.dtype == np.float32
    assert out.ravel().tolist() == [-1.0, 1.0]


def test_each_channel_may_have_its_own_mean_and_std() -> None:
    data = Data("cifar10", batch=1, epochs=1, mean=(1.0, 2.0), std=(1.0, 4.0))
    raw = np.full((1, 2, 1, 1), 6, np.uint8)
    assert normalise(raw, data).ravel().tolist() == [5.0, 1.0]


def test_batches_follow_the_order_and_go_round_at_its_end() -> None:
    labels = np.arange(10)
    order = np.array([[3, 1], [0, 9], [5, 5]])
    batches = Batches(labels[:, None].astype(np.float32), labels, order, Data("xor", 2, 1))
    taken = [y.tolist() for _, y in batches.take(1, 4)]
    assert taken == [[0, 9], [5, 5], [3, 1], [0, 9]]
    assert all(x[:, 0].tolist() == y.tolist() for x, y in batches.take(0, 3))


@given(st.integers(1, 30), st.integers(1, 12))
def test_in_order_gives_one_shape_and_begins_with_every_example(examples: int, batch: int) -> None:
    inputs = np.arange(examples, dtype=np.float32)[:, None]
    out = list(in_order(inputs, batch, Data("xor", batch, 1)))
    assert {x.shape for x in out} == {(batch, 1)}
    assert np.concatenate(out)[:examples, 0].tolist() == list(range(examples))


def test_a_slice_goes_round_what_is_ready() -> None:
    ready = [(np.full(1, i, np.float32), np.zeros(1, np.int64)) for i in range(3)]
    assert [int(x[0]) for x, _ in per_slice(ready, 5)] == [0, 1, 2, 0, 1]


def test_labels_and_inputs_stay_together() -> None:
    inputs = np.random.default_rng(0).integers(0, 255, (50, 1, 2, 2)).astype(np.uint8)
    order = np.random.default_rng(1).permutation(50).reshape(5, 10)
    labels = inputs[:, 0, 0, 0].astype(np.int64)
    data = Data("cifar10", 10, 1)
    for x, y in Batches(inputs, labels, order, data).take(0, 5):
        assert x[:, 0, 0, 0] == pytest.approx(y)
