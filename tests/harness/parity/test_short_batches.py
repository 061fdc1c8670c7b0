"""Short batches that are kept are checked: in the first steps, and in timed slices."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from frameworks.replays import TimedTraining, replay_training, snapshot
from harness.parity import ReferenceRun, Verdict, judge, run_reference
from harness.parity.timed import judge_training, reference_of
from harness.verdicts import EQUIVALENT, NOT_EQUIVALENT
from tests.harness.parity.cases import NORMED, Single, adapter_of, answered, batches
from workloads import init
from workloads.batches import Batch
from workloads.optimisers import Sgd
from workloads.spec import Workload

SHORT = 3
PLAIN = dataclasses.replace(NORMED, data=dataclasses.replace(NORMED.data, last="keep"))
GATHERED = dataclasses.replace(PLAIN, optimiser=Sgd(0.1, accumulate=6, average=0.9))
"""An update is made of more steps than the reference usually takes of a timed slice."""


def short(batch: Batch, size: int = SHORT) -> Batch:
    masks = tuple(mask[:size] for mask in batch.masks)
    return Batch(batch.inputs[:size], batch.labels[:size], masks)


def steps_of(workload: Workload, count: int, start: int = 0) -> list[Batch]:
    """Batches of which every fourth is short, and the second."""
    taken = batches(workload, start + count)[start:]
    return [short(batch) if i % 4 == 1 else batch for i, batch in enumerate(taken, start)]


@cache
def run() -> ReferenceRun:
    return run_reference(PLAIN, init.start_weights(PLAIN), steps_of(PLAIN, 6))


def test_an_adapter_that_takes_short_batches_is_equivalent() -> None:
    verdict = judge(answered(run()), run(), "float32")
    assert verdict.value == verdict.sentence() == EQUIVALENT


class OverWholeSize(Single):
    """the loss is averaged over a whole batch's size"""

    def step(self, batch: Batch) -> Any:
        step, share = super().step(batch), len(batch.labels) / 8
        gradients = {name: share * g for name, g in step.gradients.items()}
        return dataclasses.replace(step, loss=share * step.loss, gradients=gradients)


class GradientOverWholeSize(Single):
    """the gradient is averaged over a whole batch's size, and the loss is right"""

    def step(self, batch: Batch) -> Any:
        step, share = super().step(batch), len(batch.labels) / 8
        return dataclasses.replace(
            step, gradients={name: share * g for name, g in step.gradients.items()}
        )


class FilledUp(Single):
    """short batches are filled up with their own examples"""

    def train(self, batches: Sequence[Batch]) -> NDArray:
        def filled(array: NDArray) -> NDArray:
            return np.resize(array, (8, *array.shape[1:]))

        return super().train(
            [
                Batch(filled(b.inputs), filled(b.labels), tuple(map(filled, b.masks)))
                for b in batches
            ]
        )


class LeftOut(Single):
    """short batches make no step"""

    def train(self, batches: Sequence[Batch]) -> NDArray:
        return np.concatenate(
            [
                super(LeftOut, self).train([batch])
                if len(batch.labels) == 8
                else np.array([self.step(batch).loss])
                for batch in batches
            ]
        )


@pytest.mark.parametrize("kind", [OverWholeSize, GradientOverWholeSize, FilledUp, LeftOut])
def test_a_short_batch_that_is_taken_otherwise_is_not_equivalent(kind: type[Single]) -> None:
    assert judge(answered(run(), kind), run(), "float32").value == NOT_EQUIVALENT


WARM, COUNT = 4, 13


def judged(workload: Workload, kind: type[Single]) -> Verdict:
    """Judge a timed training of an adapter, which begins in the middle of an update."""
    reference_run = ReferenceRun(workload, init.start_weights(workload), ())
    adapter = adapter_of(reference_run, kind)
    adapter.train(steps_of(workload, WARM))
    before = snapshot(adapter)
    losses = adapter.train(steps_of(workload, COUNT, WARM))
    timed = TimedTraining(
        lambda: steps_of(workload, COUNT, WARM), before, snapshot(adapter), losses
    )
    arrays = replay_training(adapter, timed, seed=0, early=max(5, workload.optimiser.accumulate))
    return judge_training(arrays, reference_of(arrays, workload, "float32"), "float32")


@pytest.mark.parametrize("workload", [PLAIN, GATHERED], ids=["plain", "gathered"])
def test_a_timed_training_with_short_batches_is_equivalent(workload: Workload) -> None:
    verdict = judged(workload, Single)
    assert verdict.value == EQUIVALENT, verdict.sentence()


class AverageStops(Single):
    """after some steps the average stays as it is"""

    def update(self, gradients: Any) -> None:
        before = {name: a.copy() for name, a in self._update.average.items()}
        super().update(gradients)
        if self._taken > WARM:
            self._update.average = before


class SumForgotten(Single):
    """what was gathered is lost where training is taken up"""

    def restore(self, memory: Any) -> None:
        super().restore(memory)
        for array in self._update.sum.values():
            array[...] = 0


@pytest.mark.parametrize(
    ("kind", "says"),
    [(AverageStops, "average of"), (SumForgotten, "update of"), (FilledUp, "loss")],
)
def test_a_timed_training_that_gathers_otherwise_is_not_equivalent(
    kind: type[Single], says: str
) -> None:
    verdict = judged(GATHERED, kind)
    assert verdict.value == NOT_EQUIVALENT
    assert any(says in check.tensor for check in verdict.checks if not check.ok)
