"""Batches in host memory: gathered and normalised outside the clock, the same bytes for everyone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import count, cycle, filterfalse, islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from workloads.augmentations import augmented
from workloads.init import dropout_masks
from workloads.spec import Data, Workload


class Batch(NamedTuple):
    """What one training step sees, in host memory.

    `inputs` float32 (batch, ...), tokens as whole numbers; `labels` int64 (batch,), or (batch, steps)
    with -1 for what is not predicted; `masks`, one a layer with a `Layer.mask` in the model's order
    (`Workload.leaves`), uint8 (batch, *its shape), 1 where kept.
    """

    inputs: NDArray[np.float32]
    labels: NDArray[np.int64]
    masks: tuple[NDArray[np.uint8], ...] = ()


def normalise(raw: NDArray, data: Data) -> NDArray[np.float32]:
    """Return ``(raw / scale - mean) / std`` in float32; `raw` is (batch, channels or features, ...)."""
    per_channel = (1, -1) + (1,) * (raw.ndim - 2)
    mean = np.asarray(data.mean, np.float32).reshape(per_channel)
    std = np.asarray(data.std, np.float32).reshape(per_channel)
    return (raw.astype(np.float32) / np.float32(data.scale) - mean) / std


class SlicePlan(NamedTuple):
    """Of which steps a slice has batches made, `ready`, and which of those each of its steps takes."""

    ready: list[int]
    picks: list[int]

    def taken(self, ready: Sequence[Batch]) -> list[Batch]:
        """Return the batch of each step, of those that are ready."""
        return [ready[i] for i in self.picks]


class Batches:
    """The training batches of a run, by step: step i takes row i of the order, around its end."""

    def __init__(
        self, inputs: NDArray, labels: NDArray, order: NDArray[np.int64], workload: Workload
    ) -> None:
        self._inputs, self._labels, self._order = inputs, labels, order
        self._workload = workload
        self._short = np.flatnonzero(np.asarray(order[:, -1]) < 0)

    def is_short(self, step: int) -> bool:
        """Say whether a step's batch is a short one, the last of its epoch."""
        return bool(len(self._short)) and step % len(self._order) in self._short

    def take(self, start: int, count: int) -> list[Batch]:
        """Return the batches of steps start, start + 1, ..., start + count - 1."""
        return self.of(range(start, start + count))

    def of(self, steps: Iterable[int]) -> list[Batch]:
        """Return the batches of some steps."""
        return [self._batch(step) for step in steps]

    def planned(self, plan: SlicePlan) -> list[Batch]:
        """Make the batches of a plan; return that of each step."""
        return plan.taken(self.of(plan.ready))

    def checked(self, count: int) -> list[Batch]:
        """Return the batches of the parity check: the first ones, a short one in second place."""
        steps = list(range(count))
        if len(self._short) and count > 1:
            short = int(self._short[0])
            steps = [0, short, *(step for step in steps[1:] if step != short)][:count]
        return self.of(steps)

    def all_graphs(self) -> list[Batch]:
        """Return batches that, trained after the first step, take every kind of step there is.

        Those are steps on whole and on short batches, each with and without an update; where all steps
        are of one kind there are none.
        """
        accumulate = self._workload.optimiser.accumulate
        return self.take(1, accumulate - 1) + self.of(map(int, self._short[:1])) * accumulate

    def slice_plan(self, start: int, steps: int, most: int, equal: bool) -> SlicePlan:
        """Plan a slice of `steps` from step `start`, of which `most` whole batches are made ready.

        It goes round and round these, and takes short batches where the order has them, so that epochs
        are made up as they are; `equal`: it takes none.
        """
        sizes = [not equal and self.is_short(step) for step in range(start, start + steps)]
        shorts = list(islice(filter(self.is_short, count(start)), min(1, sizes.count(True))))
        of_wholes = filterfalse(self.is_short, count(start))
        wholes = list(islice(of_wholes, min(most, sizes.count(False))))
        rounds = {False: cycle(range(len(wholes))), True: cycle([len(wholes)])}
        return SlicePlan(wholes + shorts, [next(rounds[short]) for short in sizes])

    def _batch(self, step: int) -> Batch:
        row, data = self._order[step % len(self._order)], self._workload.data
        row = row[row >= 0]
        raw = augmented(self._inputs[row], data.augment, data.seed, step)
        masks = tuple(mask[: len(row)] for mask in dropout_masks(self._workload, step))
        return Batch(normalise(raw, data), self._labels[row], masks)


def in_order(
    inputs: NDArray, batch: int, data: Data, first: int = 0
) -> Iterator[NDArray[np.float32]]:
    """Yield all of `inputs`, normalised, in batches of one shape; the last is filled up with repeats.

    Begins with batch number `first`, from 0.

    Compiled modes need one shape, and every example has to be scored: the caller cuts the surplus.
    """
    for start in range(first * batch, len(inputs), batch):
        rows = np.arange(start, start + batch) % len(inputs)
        yield normalise(inputs[rows], data)


def mixed(inputs: NDArray, batch: int, number: int, workload: Workload) -> NDArray[np.float32]:
    """Return a batch of normalised inputs that no other `number` gives, (batch, ...).

    Each example is a mean of two of `inputs`, in a proportion of its own; of tokens, which have no
    mean, each comes from one of the two.
    """
    data = workload.data
    random = np.random.Generator(np.random.PCG64([data.seed, number]))
    rows, partners = random.integers(0, len(inputs), (2, batch))
    if workload.tokens:
        partners = (rows + random.integers(1, max(2, len(inputs)), batch)) % len(inputs)
        first = random.random((batch, *inputs.shape[1:])) < 0.5
        return normalise(np.where(first, inputs[rows], inputs[partners]), data)
    share = random.random((batch, *(1 for _ in inputs.shape[1:])), dtype=np.float32)
    return share * normalise(inputs[rows], data) + (1 - share) * normalise(inputs[partners], data)


def per_slice(batches: Sequence[Batch], count: int) -> list[Batch]:
    """Return `count` batches by going round and round `batches`."""
    return [batches[i % len(batches)] for i in range(count)]
