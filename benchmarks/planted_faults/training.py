"""Faults of training: of long lists of batches, and of what comes late. Worker side: numpy only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from frameworks.contract import Weights
from workloads.batches import Batch

from .fault import LONG, Fault

LATE = 40
"""So many steps are taken before a fault that comes late begins: more than the parity check takes."""

GROUP = 16
"""How many steps a compiled loop takes at a time."""

Losses = NDArray[np.float32]


class OfLongLists(Fault):
    """A fault of long lists; shorter ones are trained as they should be."""

    def train(self, batches: Sequence[Batch]) -> Losses:
        train = self.train_long if len(batches) > LONG else self.inner.train
        return train(list(batches))

    def train_long(self, batches: list[Batch]) -> Losses:
        """Train on a long list, wrongly."""
        return self.inner.train(self.replaced(batches))

    def replaced(self, batches: list[Batch]) -> list[Batch]:
        """Return what is trained instead, as many batches as there are."""
        return batches


class EverySecondBatch(OfLongLists):
    """a long list takes every second batch only"""

    def train_long(self, batches: list[Batch]) -> Losses:
        return np.repeat(self.inner.train(batches[::2]), 2)[: len(batches)]


class FirstBatchAgain(OfLongLists):
    """a long list trains its first batch again and again"""

    def replaced(self, batches: list[Batch]) -> list[Batch]:
        return batches[:1] * len(batches)


class ListReversed(OfLongLists):
    """a long list is trained from its end to its beginning"""

    def replaced(self, batches: list[Batch]) -> list[Batch]:
        return batches[::-1]


class InputsOfBatchBefore(OfLongLists):
    """in a long list every batch has the inputs of the batch before, and its own labels"""

    def replaced(self, batches: list[Batch]) -> list[Batch]:
        before = [batches[0], *batches[:-1]]
        pairs = zip(batches, before, strict=True)
        return [
            batch._replace(inputs=_of_size(last.inputs, len(batch.labels))) for batch, last in pairs
        ]


def _of_size(rows: NDArray, size: int) -> NDArray:
    """Return so many rows: the first ones, and all again where there are fewer."""
    return rows[np.arange(size) % len(rows)]


class MasksReused(OfLongLists):
    """in a long list the first batch's dropout masks serve for all"""

    def replaced(self, batches: list[Batch]) -> list[Batch]:
        first = batches[0].masks
        return [
            batch._replace(masks=tuple(_of_size(mask, len(batch.labels)) for mask in first))
            for batch in batches
        ]


class MasksIgnored(OfLongLists):
    """in a long list dropout drops nothing (its scale stays)"""

    def replaced(self, batches: list[Batch]) -> list[Batch]:
        return [batch._replace(masks=tuple(map(np.ones_like, batch.masks))) for batch in batches]


class RemainderLeftOut(OfLongLists):
    """a long list is trained in whole groups of 16 steps, and what remains is left out"""

    def train_long(self, batches: list[Batch]) -> Losses:
        remainder = len(batches) % GROUP
        losses = self.inner.train(batches[: len(batches) - remainder])
        return np.pad(losses, (0, remainder), mode="edge")


class BatchesAccumulated(OfLongLists):
    """in a long list two batches make one step"""

    def train_long(self, batches: list[Batch]) -> Losses:
        pairs = [_joined(batches[i : i + 2]) for i in range(0, len(batches) - 1, 2)]
        losses = np.repeat(self.inner.train(pairs), 2)
        rest = batches[2 * len(pairs) :]
        return np.concatenate([losses, self.inner.train(rest)]) if rest else losses


def _joined(batches: list[Batch]) -> Batch:
    """Return one batch of the examples of all."""
    inputs, labels = (np.concatenate([batch[i] for batch in batches]) for i in (0, 1))
    masks = zip(*(batch.masks for batch in batches), strict=True)
    return Batch(inputs, labels, tuple(map(np.concatenate, masks)))


class RateLarger(OfLongLists):
    """in a long list the learning rate is 1% larger"""

    def train_long(self, batches: list[Batch]) -> Losses:
        return np.concatenate([self._step_further(batch) for batch in batches])

    def _step_further(self, batch: Batch) -> Losses:
        before = self.inner.weights()
        loss = self.inner.train([batch])
        after = self.inner.weights()
        further = {
            name: after[name] + np.float32(0.01) * (after[name] - before[name])
            for name in self.workload.parameters
        }
        self.set_weights({**after, **further})
        return loss


class MomentumForgotten(OfLongLists):
    """a long list begins with the optimiser's memory empty"""

    def train_long(self, batches: list[Batch]) -> Losses:
        self.inner.load(self.inner.weights())
        return self.inner.train(batches)


class StateStill(OfLongLists):
    """in a long list the state of batch norm does not move"""

    def train_long(self, batches: list[Batch]) -> Losses:
        before = self.inner.weights()
        losses = self.inner.train(batches)
        still = {name: before[name] for name in self.workload.state}
        self.set_weights({**self.inner.weights(), **still})
        return losses


class LossesOfStepBefore(OfLongLists):
    """in a long list each step's loss is that of the step before"""

    def train_long(self, batches: list[Batch]) -> Losses:
        losses = self.inner.train(batches)
        return np.concatenate([losses[:1], losses[:-1]])


class LossesOverwritten(OfLongLists):
    """in a long list each step's loss is that of the last step"""

    def train_long(self, batches: list[Batch]) -> Losses:
        losses = self.inner.train(batches)
        return np.full_like(losses, losses[-1])


class LastUpdateLate(OfLongLists):
    """a long list returns before its last update, which the next training makes"""

    _late: Batch | None = None

    def load(self, weights: Weights) -> None:
        self._late = None
        self.inner.load(weights)

    def train(self, batches: Sequence[Batch]) -> Losses:
        late, self._late = self._late, None
        if late is not None:
            self.inner.train([late])
        return super().train(batches)

    def train_long(self, batches: list[Batch]) -> Losses:
        losses = self.inner.train(batches[:-1])
        last = self.inner.step(batches[-1]).loss
        self._late = batches[-1]
        return np.append(losses, losses.dtype.type(last))


class WeightsCached(OfLongLists):
    """weights are read from a cache, which long lists do not empty"""

    _cache: Weights | None = None

    def train(self, batches: Sequence[Batch]) -> Losses:
        if len(batches) <= LONG:
            self._cache = None
        return self.inner.train(batches)

    def load(self, weights: Weights) -> None:
        self._cache = None
        self.inner.load(weights)

    def weights(self) -> Weights:
        if self._cache is None:
            self._cache = self.inner.weights()
        return {name: weight.copy() for name, weight in self._cache.items()}


class LastBatchWrong(Fault):
    """the last batch of more than three is the first again"""

    def train(self, batches: Sequence[Batch]) -> Losses:
        wrong = len(batches) > 3
        return self.inner.train([*batches[:-1], batches[0]] if wrong else batches)


class StepsLeftOut(Fault):
    """once 40 steps were taken, every second one is left out"""

    taken = 0

    def train(self, batches: Sequence[Batch]) -> Losses:
        losses = []
        for batch in batches:
            late = self.taken >= LATE and self.taken % 2
            losses.append(self.inner.step(batch).loss if late else self.inner.train([batch])[0])
            self.taken += 1
        return np.asarray(losses, np.float32)


class StepsLeftOutSinceLoad(StepsLeftOut):
    """once 40 steps were taken since the weights were loaded, every second one is left out"""

    def load(self, weights: Weights) -> None:
        self.taken = 0
        self.inner.load(weights)


class FirstLayerFrozen(Fault):
    """once 40 steps were taken, the first layer does not move"""

    taken = 0

    def train(self, batches: Sequence[Batch]) -> Losses:
        losses = []
        first = next(iter(self.workload.parameters)).rpartition(".")[0]
        for batch in batches:
            before = self.inner.weights()
            losses.append(self.inner.train([batch])[0])
            if self.taken >= LATE:
                frozen = {n: w for n, w in before.items() if n.rpartition(".")[0] == first}
                self.set_weights({**self.inner.weights(), **frozen})
            self.taken += 1
        return np.asarray(losses, np.float32)


class LoadIgnored(Fault):
    """training goes on with the weights of before, whatever is loaded after the first time"""

    _loaded = False

    def load(self, weights: Weights) -> None:
        if not self._loaded:
            self.inner.load(weights)
        self._loaded = True


class LoadKeepsMomentum(Fault):
    """loading weights leaves the optimiser's memory as it is"""

    def load(self, weights: Weights) -> None:
        self.set_weights(weights)


class LoadKeepsState(Fault):
    """loading weights leaves the state of batch norm as it is"""

    def load(self, weights: Weights) -> None:
        now = self.inner.weights()
        self.inner.load({**weights, **{name: now[name] for name in self.workload.state}})


TRAINING = (
    EverySecondBatch,
    FirstBatchAgain,
    ListReversed,
    InputsOfBatchBefore,
    MasksReused,
    MasksIgnored,
    RemainderLeftOut,
    BatchesAccumulated,
    RateLarger,
    MomentumForgotten,
    StateStill,
    LossesOfStepBefore,
    LossesOverwritten,
    LastUpdateLate,
    WeightsCached,
    LastBatchWrong,
    StepsLeftOut,
    StepsLeftOutSinceLoad,
    FirstLayerFrozen,
    LoadIgnored,
    LoadKeepsMomentum,
    LoadKeepsState,
)
