"""Timed predictions that are what they should be are equivalent; wrong ones are not, with a hint."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from frameworks.contract import Adapter
from frameworks.replays import TimedPredictions, in_batches, one_by_one, replay_predictions
from harness.diagnosis.timed import predictions_hint
from harness.parity.timed import judge_predictions
from harness.verdicts import EQUIVALENT, NOT_EQUIVALENT
from tests.harness.parity.cases import NORMED, Single, adapter_of, batches, run_of

COUNT = 12


def timed_predictions(adapter: Adapter, single: bool = False) -> tuple[dict[str, NDArray], NDArray]:
    """Predict in one call (singles: one by one) after some steps, and replay that."""
    adapter.train(batches(NORMED, 5))
    rows = 1 if single else None
    inputs = [batch.inputs[:rows] for batch in batches(NORMED, COUNT)]
    logits = (
        np.concatenate([adapter.predict([x]) for x in inputs])
        if single
        else adapter.predict(inputs)
    )
    timed = TimedPredictions(lambda: inputs, logits)
    replay = in_batches(adapter, 8) if single else one_by_one(adapter)
    return replay_predictions(adapter, timed, replay, seed=0), logits


@pytest.mark.parametrize("single", [False, True])
def test_honest_predictions_are_equivalent(single: bool) -> None:
    arrays, _ = timed_predictions(adapter_of(run_of(NORMED)), single)
    verdict = judge_predictions(arrays, NORMED, "float32")
    assert verdict.value == EQUIVALENT
    assert {0, COUNT - 1} <= {*arrays["drawn"].tolist()}
    assert predictions_hint(arrays, NORMED, "float32", verdict, run_of(NORMED).start) is None


class Neighbours(Single):
    def predict(self, inputs: Sequence[NDArray]) -> NDArray:
        logits = np.split(super().predict(inputs), len(inputs))
        logits[1::2] = logits[: len(logits) - 1 : 2]
        return np.concatenate(logits)


class LastWrong(Single):
    def predict(self, inputs: Sequence[NDArray]) -> NDArray:
        logits = np.split(super().predict(inputs), len(inputs))
        return np.concatenate([*logits[:-1], logits[0]])


class SinglesScaled(Single):
    def predict(self, inputs: Sequence[NDArray]) -> NDArray:
        logits = super().predict(inputs)
        return logits * np.float32(1.001) if len(logits) == 1 else logits


class Rounded(Single):
    def predict(self, inputs: Sequence[NDArray]) -> NDArray:
        return np.round(super().predict(inputs), 1)


class Cached(Single):
    """Answers what it has seen at the same address."""

    def predict(self, inputs: Sequence[NDArray]) -> NDArray:
        self.first = getattr(self, "first", None) or {}
        for x in inputs:
            self.first.setdefault(x.shape, super().predict([x]))
        return np.concatenate([self.first[x.shape] for x in inputs])


class OneHot(Single):
    def predict(self, inputs: Sequence[NDArray]) -> NDArray:
        logits = super().predict(inputs)
        return np.eye(logits.shape[1])[logits.argmax(axis=1)]


class ClassesRolled(Single):
    def predict(self, inputs: Sequence[NDArray]) -> NDArray:
        return np.roll(super().predict(inputs), 1, axis=1)


class CutOff(Single):
    """Takes inputs for whole numbers."""

    def predict(self, inputs: Sequence[NDArray]) -> NDArray:
        return super().predict([np.trunc(x) for x in inputs])


class EndsEmpty(Single):
    def predict(self, inputs: Sequence[NDArray]) -> NDArray:
        logits = super().predict(inputs)
        logits[-3:] = 0
        return logits


@pytest.mark.parametrize(
    ("kind", "single", "says"),
    [
        (OneHot, False, "predictions are one for the largest logit and zero for the others"),
        (ClassesRolled, False, "classes are in another order"),
        (CutOff, False, "inputs are cut off to whole numbers in inference"),
        (EndsEmpty, False, "examples are zero, from example"),
        (Neighbours, False, "is answered by the logits of call"),
        (LastWrong, False, "the last call of 12"),
        (
            SinglesScaled,
            True,
            "logits are 1.001 times what is right, in timed calls, and not in others",
        ),
        (Rounded, False, "rounded to multiples of 0.1"),
        (Cached, True, "is answered by the logits of"),
    ],
)
def test_wrong_predictions_are_named(kind: type[Single], single: bool, says: str) -> None:
    arrays, _ = timed_predictions(adapter_of(run_of(NORMED), kind), single)
    verdict = judge_predictions(arrays, NORMED, "float32")
    assert verdict.value == NOT_EQUIVALENT
    hint = predictions_hint(arrays, NORMED, "float32", verdict, run_of(NORMED).start)
    assert says in (hint or "")


class Stale(Single):
    """Predicts by the weights that it was built with, whatever was trained or loaded since."""

    def predict(self, inputs: Sequence[NDArray]) -> NDArray:
        self.first = getattr(self, "first", None) or self.weights()
        now, memory = self.weights(), self.memory()
        self.load(self.first)
        logits = super().predict(inputs)
        self.load(now)
        self.restore(memory)
        return logits


def test_predictions_by_weights_of_another_moment_are_named() -> None:
    adapter = adapter_of(run_of(NORMED), Stale)
    adapter.train(batches(NORMED, 2))
    adapter.predict([batches(NORMED, 1)[0].inputs])
    adapter.train(batches(NORMED, 4))
    arrays, _ = timed_predictions(adapter, False)
    verdict = judge_predictions(arrays, NORMED, "float32")
    assert verdict.value == NOT_EQUIVALENT
    hint = predictions_hint(arrays, NORMED, "float32", verdict, run_of(NORMED).start)
    assert (
        hint
        == "they are not those of the weights that training left: a cache or a graph that is stale"
    )
