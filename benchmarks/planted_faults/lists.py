"""Further faults of long lists: short batches, stale gradients, caches. Worker side: numpy only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from frameworks.contract import Weights
from workloads.batches import Batch

from .fault import Fault
from .inference import in_bfloat16
from .training import Losses, OfLongLists

MOST = 64
"""A list of more batches than this is cut off."""

LATE_DECAY, SMOOTHING = 1e-3, 0.5


class ListCutOff(Fault):
    """no more than 64 batches of a list are trained"""

    def train(self, batches: Sequence[Batch]) -> Losses:
        losses = self.inner.train(batches[:MOST])
        return np.pad(losses, (0, len(batches) - len(losses)), mode="edge")


class FirstListAgain(OfLongLists):
    """a long list trains on the batches of the first long list"""

    _first: list[Batch] | None = None

    def replaced(self, batches: list[Batch]) -> list[Batch]:
        first = self._first = self._first or batches
        return [first[i % len(first)] for i in range(len(batches))]


class ShortBatchesLeftOut(OfLongLists):
    """in a long list a batch that is shorter than the first makes no step"""

    def train_long(self, batches: list[Batch]) -> Losses:
        size = len(batches[0].labels)
        losses = [
            self.inner.train([batch])[0]
            if len(batch.labels) == size
            else self.inner.step(batch).loss
            for batch in batches
        ]
        return np.asarray(losses, np.float32)


class ShortBatchesFilled(OfLongLists):
    """in a long list a batch that is shorter than the first is filled up with its last example"""

    def replaced(self, batches: list[Batch]) -> list[Batch]:
        return [_first(batch, len(batches[0].labels)) for batch in batches]


class HalfBatches(OfLongLists):
    """in a long list the first half of each batch stands for all of it"""

    def replaced(self, batches: list[Batch]) -> list[Batch]:
        halves = [_first(batch, -(-len(batch.labels) // 2)) for batch in batches]
        pairs = zip(halves, batches, strict=True)
        return [_first(half, len(batch.labels)) for half, batch in pairs]


def _first(batch: Batch, size: int) -> Batch:
    """Return a batch of `size` examples: the first ones, and the last of these again and again."""
    rows = np.minimum(np.arange(size), len(batch.labels) - 1)
    masks = tuple(mask[rows] for mask in batch.masks)
    return Batch(batch.inputs[rows], batch.labels[rows], masks)


class GradientsLate(OfLongLists):
    """in a long list each update is by the gradient at the weights of the step before"""

    def train_long(self, batches: list[Batch]) -> Losses:
        losses, before = [], self.inner.weights()
        for batch in batches:
            now, memory = self.inner.weights(), self.inner.memory()
            self.inner.load(before)
            self.inner.restore(memory)
            losses.append(self.inner.train([batch])[0])
            moved = self.inner.weights()
            by = {name: moved[name] - before[name] for name in self.workload.parameters}
            self.set_weights({**moved, **{name: now[name] + by[name] for name in by}})
            before = now
        return np.asarray(losses, np.float32)


class AfterEachStep(OfLongLists):
    """A fault of long lists that moves weights or state further after each step."""

    def train_long(self, batches: list[Batch]) -> Losses:
        losses = []
        for batch in batches:
            before = self.inner.weights()
            losses.append(self.inner.train([batch])[0])
            after = self.inner.weights()
            self.set_weights({**after, **self.moved(before, after)})
        return np.asarray(losses, np.float32)

    def moved(self, before: Weights, after: Weights) -> Weights:
        """Return what becomes of weights and state."""
        raise NotImplementedError


class WeightsInBfloat16(AfterEachStep):
    """in a long list weights are stored in bfloat16"""

    def moved(self, before: Weights, after: Weights) -> Weights:
        return {name: in_bfloat16(after[name]) for name in self.workload.parameters}


class StateFaster(AfterEachStep):
    """in a long list the state of batch norm moves twice as far"""

    def moved(self, before: Weights, after: Weights) -> Weights:
        return {name: 2 * after[name] - before[name] for name in self.workload.state}


class WeightsDecay(AfterEachStep):
    """in a long list weights decay by a thousandth of the learning rate"""

    def moved(self, before: Weights, after: Weights) -> Weights:
        share = np.float32(LATE_DECAY * self.workload.optimiser.lr)
        return {n: after[n] - share * before[n] for n in self.workload.parameters}


class LossesSmoothed(OfLongLists):
    """in a long list each loss is half that of its step and half the one reported before"""

    def train_long(self, batches: list[Batch]) -> Losses:
        losses = self.inner.train(batches)
        for i in range(1, len(losses)):
            losses[i] += SMOOTHING * (losses[i - 1] - losses[i])
        return losses


LISTS = (
    ListCutOff,
    FirstListAgain,
    ShortBatchesLeftOut,
    ShortBatchesFilled,
    HalfBatches,
    GradientsLate,
    WeightsInBfloat16,
    StateFaster,
    WeightsDecay,
    LossesSmoothed,
)
