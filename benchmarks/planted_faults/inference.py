"""Faults of predictions. Worker side: numpy only."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frameworks.contract import Weights
from workloads import layers
from workloads.batches import Batch
from workloads.init import dropouts

from .fault import LONG, Fault

Inputs = Sequence[NDArray[np.float32]]
Logits = NDArray[np.float32]


def by_batch(logits: Logits, inputs: Inputs) -> list[Logits]:
    """Return the logits of each batch of `inputs`."""
    return np.split(logits, np.cumsum([len(batch) for batch in inputs])[:-1])


def in_bfloat16(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """Round float32 to the nearest bfloat16, ties to even; the dtype stays float32."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    to_even = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return (to_even & np.uint32(0xFFFF0000)).view(np.float32)


class PredictionsInBfloat16(Fault):
    """predictions take inputs and weights rounded to bfloat16"""

    def predict(self, inputs: Inputs) -> Logits:
        weights = {name: in_bfloat16(weight) for name, weight in self.inner.weights().items()}
        return self.predict_with(weights, [in_bfloat16(batch) for batch in inputs])


class PredictionsRounded(Fault):
    """predictions are rounded to 0.1"""

    def predict(self, inputs: Inputs) -> Logits:
        return np.round(self.inner.predict(inputs), 1)


class Probabilities(Fault):
    """predictions are probabilities instead of logits"""

    def predict(self, inputs: Inputs) -> Logits:
        logits = self.inner.predict(inputs)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)


class BatchStatistics(Fault):
    """predictions take batch norm's mean and variance from the batch"""

    @cached_property
    def _training(self) -> Any:
        """An adapter without dropout, whose training step's logits are those of such a prediction."""
        rest = tuple(x for x in self.workload.layers if not isinstance(x, layers.Dropout))
        return self.another(dataclasses.replace(self.workload, layers=rest))

    def predict(self, inputs: Inputs) -> Logits:
        self._training.load(self.inner.weights())
        steps = [self._training.step(Batch(x, np.zeros(len(x), np.int64))) for x in inputs]
        return np.concatenate([step.logits for step in steps])


class PredictionsCached(Fault):
    """predictions are cached by the address and the shape of their input"""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._cache: dict[tuple[int, ...], Logits] = {}

    def predict(self, inputs: Inputs) -> Logits:
        return np.concatenate([self._cached(batch) for batch in inputs])

    def _cached(self, batch: NDArray[np.float32]) -> Logits:
        key = (batch.ctypes.data, *batch.shape)
        if key not in self._cache:
            self._cache[key] = self.inner.predict([batch])
        return self._cache[key]


class NeighboursLogits(Fault):
    """in a long list every second batch gets the logits of the batch before"""

    def predict(self, inputs: Inputs) -> Logits:
        logits = by_batch(self.inner.predict(inputs), inputs)
        if len(inputs) > LONG:
            logits[1::2] = logits[: len(logits) - 1 : 2]
        return np.concatenate(logits)


class LogitsOverwritten(Fault):
    """in a long list every batch gets the logits of the last"""

    def predict(self, inputs: Inputs) -> Logits:
        logits = by_batch(self.inner.predict(inputs), inputs)
        return np.concatenate(logits[-1:] * len(logits) if len(inputs) > LONG else logits)


class LastPredictionWrong(Fault):
    """the last batch of more than three gets the logits of the first"""

    def predict(self, inputs: Inputs) -> Logits:
        logits = by_batch(self.inner.predict(inputs), inputs)
        return np.concatenate([*logits[:-1], logits[0]] if len(inputs) > 3 else logits)


def is_single(inputs: Inputs) -> bool:
    """Say whether the prediction is of one example."""
    return len(inputs) == len(inputs[0]) == 1


class SinglesScaled(Fault):
    """the logits of a single example are 1.001 times what they should be"""

    def predict(self, inputs: Inputs) -> Logits:
        logits = self.inner.predict(inputs)
        return logits * np.float32(1.001) if is_single(inputs) else logits


class SinglesOfStart(Fault):
    """a single example is predicted with the start weights"""

    def predict(self, inputs: Inputs) -> Logits:
        single = is_single(inputs)
        return self.predict_with(self.start, inputs) if single else self.inner.predict(inputs)


class WithOldWeights(Fault):
    """A fault of predictions with weights of before; `old` are these, None where they are current."""

    old: Weights | None = None

    def predict(self, inputs: Inputs) -> Logits:
        if self.old is None:
            return self.inner.predict(inputs)
        return self.predict_with(self.old, inputs)


class PredictionsStaleAfterLoad(WithOldWeights):
    """after the second load, predictions go on with the weights of before"""

    _loads = 0

    def load(self, weights: Weights) -> None:
        self._loads += 1
        if self._loads == 2:
            self.old = self.inner.weights()
        self.inner.load(weights)


class WeightsOfFirstPrediction(WithOldWeights):
    """all predictions are made with the weights of the first"""

    def predict(self, inputs: Inputs) -> Logits:
        self.old = self.old or self.inner.weights()
        return super().predict(inputs)


class WeightsBeforeLastStep(WithOldWeights):
    """predictions after a long list take the weights of before its last step"""

    def train(self, batches: Sequence[Batch]) -> NDArray[np.float32]:
        self.old = None
        if len(batches) <= LONG:
            return self.inner.train(batches)
        losses = self.inner.train(batches[:-1])
        self.old = self.inner.weights()
        return np.concatenate([losses, self.inner.train(batches[-1:])])

    def load(self, weights: Weights) -> None:
        self.old = None
        self.inner.load(weights)


class CachedByTheCorners(Fault):
    """predictions are cached by the first and the last number of their input"""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._cache: dict[tuple[float, ...], Logits] = {}

    def train(self, batches: Sequence[Batch]) -> NDArray[np.float32]:
        self._cache.clear()
        return self.inner.train(batches)

    def load(self, weights: Weights) -> None:
        self._cache.clear()
        self.inner.load(weights)

    def predict(self, inputs: Inputs) -> Logits:
        return np.concatenate([self._cached(batch) for batch in inputs])

    def _cached(self, batch: NDArray[np.float32]) -> Logits:
        key = (len(batch), float(batch.flat[0]), float(batch.flat[-1]))
        if key not in self._cache:
            self._cache[key] = self.inner.predict([batch])
        return self._cache[key]


class DropoutInLongLists(Fault):
    """in a long list predictions drop as in training"""

    def predict(self, inputs: Inputs) -> Logits:
        if len(inputs) <= LONG:
            return self.inner.predict(inputs)
        return np.concatenate([self._dropped(batch, i) for i, batch in enumerate(inputs)])

    def _dropped(self, batch: NDArray[np.float32], i: int) -> Logits:
        random = np.random.default_rng(i)
        masks = tuple(
            (random.random(shape) >= rate).astype(np.uint8)
            for rate, shape in dropouts(self.workload, len(batch))
        )
        labels = np.zeros(len(batch), np.int64)
        return self.inner.step(Batch(batch, labels, masks)).logits


class OtherEpsilon(Fault):
    """in a long list of predictions batch norm's epsilon is 0.01"""

    @cached_property
    def _other(self) -> Any:
        def change(layer: layers.Layer) -> layers.Layer:
            is_norm = isinstance(layer, layers.BatchNorm)
            return dataclasses.replace(layer, epsilon=0.01) if is_norm else layer  # type: ignore[call-arg]

        changed = layers.changed(self.workload.layers, change)
        return self.another(dataclasses.replace(self.workload, layers=changed))

    def predict(self, inputs: Inputs) -> Logits:
        if len(inputs) <= LONG:
            return self.inner.predict(inputs)
        self._other.load(self.inner.weights())
        return self._other.predict(inputs)


class StateOfTheFirstPrediction(Fault):
    """predictions take batch norm's state of the first prediction, and today's weights"""

    _state: Weights | None = None

    def predict(self, inputs: Inputs) -> Logits:
        weights = self.inner.weights()
        self._state = self._state or {name: weights[name] for name in self.workload.state}
        return self.predict_with({**weights, **self._state}, inputs)


INFERENCE = (
    PredictionsInBfloat16,
    PredictionsRounded,
    Probabilities,
    BatchStatistics,
    PredictionsCached,
    NeighboursLogits,
    LogitsOverwritten,
    LastPredictionWrong,
    SinglesScaled,
    SinglesOfStart,
    PredictionsStaleAfterLoad,
    WeightsOfFirstPrediction,
    WeightsBeforeLastStep,
    CachedByTheCorners,
    DropoutInLongLists,
    OtherEpsilon,
    StateOfTheFirstPrediction,
)
