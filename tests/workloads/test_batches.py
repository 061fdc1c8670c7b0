"""Batches are normalised as the spec says, and every example is seen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workloads import spec
from workloads.batches import Batch, Batches, in_order, normalise, per_slice
from workloads.init import dropout_masks
from workloads.spec import Data, Workload


def plain(batch: int) -> Workload:
    """A workload whose inputs come as they are."""
    return spec.load("mlp-2-3-2").with_data(batch=batch)


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
    batches = Batches(labels[:, None].astype(np.float32), labels, order, plain(2))
    taken = [batch.labels.tolist() for batch in batches.take(1, 4)]
    assert taken == [[0, 9], [5, 5], [3, 1], [0, 9]]
    assert all(b.inputs[:, 0].tolist() == b.labels.tolist() for b in batches.take(0, 3))


@given(st.integers(1, 30), st.integers(1, 12))
def test_in_order_gives_one_shape_and_begins_with_every_example(examples: int, batch: int) -> None:
    inputs = np.arange(examples, dtype=np.float32)[:, None]
    out = list(in_order(inputs, batch, Data("xor", batch, 1)))
    assert {x.shape for x in out} == {(batch, 1)}
    assert np.concatenate(out)[:examples, 0].tolist() == list(range(examples))


def test_a_slice_goes_round_what_is_ready() -> None:
    ready = [Batch(np.full(1, i, np.float32), np.zeros(1, np.int64)) for i in range(3)]
    assert [int(batch.inputs[0]) for batch in per_slice(ready, 5)] == [0, 1, 2, 0, 1]


def test_labels_and_inputs_stay_together() -> None:
    inputs = np.random.default_rng(0).integers(0, 255, (50, 1, 2, 2)).astype(np.uint8)
    order = np.random.default_rng(1).permutation(50).reshape(5, 10)
    labels = inputs[:, 0, 0, 0].astype(np.int64)
    for batch in Batches(inputs, labels, order, plain(10)).take(0, 5):
        assert batch.inputs[:, 0, 0, 0] == pytest.approx(batch.labels)


def test_masks_come_from_seed_and_step_and_keep_the_right_share() -> None:
    workload = spec.load("cifar-vgg")
    masks = dropout_masks(workload, 3)
    assert [mask.shape[1:] for mask in masks] == [(50, 16, 16), (100, 8, 8), (512,)]
    for mask, rate in zip(masks, (0.25, 0.25, 0.5), strict=True):
        assert set(np.unique(mask)) == {0, 1}
        # 64 * 512 draws and more: five sigma of a share is below 0.014
        assert mask.mean() == pytest.approx(1 - rate, abs=0.014)
    again, other = dropout_masks(workload, 3), dropout_masks(workload, 4)
    assert all(np.array_equal(a, b) for a, b in zip(masks, again, strict=True))
    assert not np.array_equal(masks[2], other[2])
    assert not np.array_equal(dropout_masks(workload.with_data(seed=1), 3)[2], masks[2])
