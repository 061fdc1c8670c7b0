"""Batches are normalised as the spec says, and every example is seen."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workloads import spec
from workloads.batches import Batch, Batches, in_order, normalise, per_slice
from workloads.init import batch_order, dropout_masks, steps_per_epoch
from workloads.optimisers import Sgd
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


def epochs(last: str, examples: int, batch: int, count: int) -> Batches:
    """Some epochs' batches of examples that are their own labels."""
    workload = dataclasses.replace(plain(batch), data=Data("xor", batch, 1, last=last))
    steps = count * steps_per_epoch(workload, examples)
    labels = np.arange(examples)
    inputs = labels[:, None].astype(np.float32)
    return Batches(inputs, labels, batch_order(workload, examples, steps), workload)


LAST = st.sampled_from(["drop", "keep", "wrap"])


@given(LAST, st.integers(1, 30), st.integers(1, 12), st.integers(1, 3))
def test_an_epoch_is_as_its_last_batch_is_said_to_be(
    last: str, examples: int, batch: int, count: int
) -> None:
    if batch > examples:
        return
    batches, rest = epochs(last, examples, batch, count), examples % batch
    per_epoch = examples // batch + (last != "drop" and rest > 0)
    for epoch in range(count):
        taken = [b.labels.tolist() for b in batches.take(epoch * per_epoch, per_epoch)]
        seen = [label for labels in taken for label in labels]
        whole = examples - rest if last == "drop" else examples
        assert len(set(seen[:whole])) == whole
        assert seen[whole:] == (seen[: len(seen) - whole] if last == "wrap" else [])
        sizes = [batch] * (examples // batch)
        sizes += {"drop": [], "keep": [rest], "wrap": [batch]}[last] if rest else []
        assert [len(labels) for labels in taken] == sizes


@given(st.integers(2, 30), st.integers(2, 12), st.integers(0, 40), st.integers(1, 60))
def test_a_slice_is_made_up_as_the_epochs_are(
    examples: int, batch: int, start: int, steps: int
) -> None:
    if batch > examples:
        return
    batches = epochs("keep", examples, batch, 4)
    sizes = [len(b.labels) for b in batches.take(start, steps)]
    for most in {1, 3, steps} - {n for n in (1, 3) if n > steps}:
        plan = batches.slice_plan(start, steps, most, equal=False)
        made = batches.of(plan.ready)
        assert [len(b.labels) for b in batches.planned(plan)] == sizes
        assert len(made) <= most + 1
        whole = batches.slice_plan(start, steps, most, equal=True)
        assert {len(b.labels) for b in batches.of(whole.ready)} == {batch}
        assert len(whole.picks) == steps


@given(st.integers(1, 20), st.integers(1, 5))
def test_a_slice_of_equal_batches_goes_round_those_that_are_ready(steps: int, most: int) -> None:
    batches = epochs("drop", 20, 3, 2)
    plan = batches.slice_plan(4, steps, min(most, steps), equal=False)
    assert plan.ready == list(range(4, 4 + min(most, steps)))
    assert plan.picks == [i % min(most, steps) for i in range(steps)]


def test_the_parity_check_sees_a_short_batch_second() -> None:
    sizes = [len(b.labels) for b in epochs("keep", 20, 3, 2).checked(5)]
    assert sizes == [3, 2, 3, 3, 3]
    assert len(epochs("keep", 20, 3, 2).checked(1)[0].labels) == 3
    # Where the short one is among the first steps, none is seen twice.
    taken = [b.labels.tolist() for b in epochs("keep", 7, 3, 2).checked(4)]
    assert [len(labels) for labels in taken] == [3, 1, 3, 3]
    drawn = [b.labels.tolist() for b in epochs("drop", 20, 3, 2).checked(5)]
    assert drawn == [b.labels.tolist() for b in epochs("drop", 20, 3, 2).take(0, 5)]


@pytest.mark.parametrize(
    ("last", "accumulate", "sizes"),
    [("drop", 1, []), ("keep", 1, [2]), ("drop", 3, [3, 3]), ("keep", 2, [3, 2, 2])],
)
def test_every_kind_of_step_is_taken_before_the_clock_starts(
    last: str, accumulate: int, sizes: list[int]
) -> None:
    batches = epochs(last, 20, 3, 2)
    batches._workload = dataclasses.replace(
        batches._workload, optimiser=Sgd(0.1, accumulate=accumulate)
    )
    assert [len(b.labels) for b in batches.all_graphs()] == sizes


def test_masks_of_a_short_batch_are_the_first_of_a_whole_one() -> None:
    net = spec.load("cifar-vgg")
    workload = dataclasses.replace(net, data=dataclasses.replace(net.data, batch=4, last="keep"))
    order = np.array([[0, 1, 2, 3], [4, 5, -1, -1]])
    inputs = np.zeros((6, *workload.input_shape), np.uint8)
    short = Batches(inputs, np.arange(6), order, workload).take(1, 1)[0]
    whole = dropout_masks(workload, 1)
    assert len(short.masks) == len(whole)
    for mask, mask_of_whole in zip(short.masks, whole, strict=True):
        assert np.array_equal(mask, mask_of_whole[:2])
