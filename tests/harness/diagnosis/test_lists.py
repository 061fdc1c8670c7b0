"""A list that is trained otherwise than its batches one by one gets the hint that names its kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from frameworks.contract import Options
from frameworks.replays import TimedTraining, early_steps, replay_training, snapshot
from harness.diagnosis.functions import ByState
from harness.diagnosis.reports import of_values
from harness.diagnosis.timed import training_hint
from harness.parity.timed import judge_training, reference_of
from harness.verdicts import EQUIVALENT, NOT_EQUIVALENT
from tests.harness.parity.cases import NORMED, Single, batches, net
from workloads import init
from workloads.batches import Batch
from workloads.spec import Workload

COUNT, WARM, LONG, SHORT = 30, 5, 8, (11, 21)

DENSE = ({"kind": "flatten"}, {"kind": "dense", "units": 16}, {"kind": "relu"})
PLAIN = net(*DENSE)
SCHEDULED = net(*DENSE, schedule={"kind": "cosine", "warmup": 20, "steps": 60})
AVERAGED = net(*DENSE, optimiser={"kind": "adam", "lr": 0.01, "average": 0.9})


def drawn(workload: Workload, count: int) -> list[Batch]:
    """Return batches of which two are short."""
    taken = batches(workload, count)
    for number in SHORT:
        if WARM + number < count:
            taken[WARM + number] = of_rows(taken[WARM + number], slice(3))
    return taken


def of_rows(batch: Batch, rows: slice | NDArray) -> Batch:
    return Batch(batch.inputs[rows], batch.labels[rows], tuple(mask[rows] for mask in batch.masks))


class Lists(Single):
    """Takes each step of a long list by `one`."""

    def train(self, batches: Sequence[Batch]) -> NDArray:
        return self.long(list(batches)) if len(batches) > LONG else super().train(batches)

    def long(self, batches: list[Batch]) -> NDArray:
        return np.array([self.advance(number, batch) for number, batch in enumerate(batches)])

    def advance(self, number: int, batch: Batch) -> float:
        return self.right(batch)

    def right(self, *batches: Batch) -> float:
        return float(super().train(batches)[0])

    def put(self, **weights: NDArray) -> None:
        """Set weights; the optimiser's memory stays."""
        memory = self.memory()
        self.load(self.weights() | weights)
        self.restore(memory)


class ShortLeftOut(Lists):
    def advance(self, number: int, batch: Batch) -> float:
        return self.step(batch).loss if len(batch.labels) < 8 else self.right(batch)


class BufferNotEmptied(Lists):
    full: Batch

    def advance(self, number: int, batch: Batch) -> float:
        if number:
            rest = of_rows(self.full, slice(len(batch.labels), None))
            inputs = np.concatenate([batch.inputs, rest.inputs])
            labels = np.concatenate([batch.labels, rest.labels])
            pairs = zip(batch.masks, rest.masks, strict=True)
            batch = Batch(inputs, labels, tuple(np.concatenate(pair) for pair in pairs))
        self.full = batch
        return self.right(batch)


class FirstHalf(Lists):
    def advance(self, number: int, batch: Batch) -> float:
        return self.right(of_rows(batch, slice((len(batch.labels) + 1) // 2)))


class InTwoSteps(Lists):
    def advance(self, number: int, batch: Batch) -> float:
        half = (len(batch.labels) + 1) // 2
        halves = slice(half), slice(half, None)
        return float(np.mean([self.right(of_rows(batch, rows)) for rows in halves]))


class Pipelined(Lists):
    def long(self, batches: list[Batch]) -> NDArray:
        steps = []
        for batch in batches:
            steps.append(self.step(batch))
            self.update(steps[max(0, len(steps) - 2)].gradients)
        return np.array([step.loss for step in steps])


class DecayedOutside(Lists):
    def advance(self, number: int, batch: Batch) -> float:
        before, loss = self.weights(), self.right(batch)
        after = self.weights()
        names = self._workload.parameters
        self.put(**{name: after[name] - np.float32(1e-4) * before[name] for name in names})
        return loss


class KeptCoarsely(Lists):
    def advance(self, number: int, batch: Batch) -> float:
        loss, weights = self.right(batch), self.weights()
        names = self._workload.parameters
        self.put(**{n: weights[n].astype(np.float16).astype(np.float32) for n in names})
        return loss


class ForgetsInGroups(Lists):
    def advance(self, number: int, batch: Batch) -> float:
        if number and not number % 10:
            self.put()
            memory = self.memory()
            empty = {name: np.zeros_like(array) for name, array in memory.slots["v"].items()}
            self.restore(memory._replace(slots={"v": empty}))
        return self.right(batch)


class Backwards(Lists):
    def long(self, batches: list[Batch]) -> NDArray:
        return super().long(batches[::-1])


class RateStays(Lists):
    def advance(self, number: int, batch: Batch) -> float:
        memory = self.memory()
        self.restore(memory._replace(steps=WARM))
        loss = self.right(batch)
        self.restore(self.memory()._replace(steps=memory.steps + 1))
        return loss


class Smoothed(Lists):
    def long(self, batches: list[Batch]) -> NDArray:
        losses = super().long(batches)
        for number in range(1, len(losses)):
            losses[number] = 0.9 * losses[number - 1] + 0.1 * losses[number]
        return losses


class LossOfAfter(Lists):
    def advance(self, number: int, batch: Batch) -> float:
        self.right(batch)
        return self.step(batch).loss


class AverageStays(Lists):
    def long(self, batches: list[Batch]) -> NDArray:
        average, losses = self.memory().slots["average"], super().long(batches)
        memory = self.memory()
        self.restore(memory._replace(slots=memory.slots | {"average": average}))
        return losses


class InEvaluationMode(Lists):
    def advance(self, number: int, batch: Batch) -> float:
        norm = self.layer("norm1")
        kind, norm.__class__ = norm.__class__, ByState
        whole = tuple(np.full(mask.shape, 0.75) for mask in batch.masks)
        loss = self.right(batch._replace(masks=whole))
        norm.__class__ = kind
        return loss


class BeginsAtTheStart(Lists):
    def long(self, batches: list[Batch]) -> NDArray:
        self.put(**init.start_weights(self._workload))
        return super().long(batches)


def hinted(kind: type[Single], workload: Workload) -> tuple[str, str]:
    """Return the verdict on a timed list, and the hint."""
    start = init.start_weights(workload)
    adapter = kind(workload, start, Options("numpy"))
    adapter.train(drawn(workload, WARM))
    before = snapshot(adapter)
    losses = adapter.train(drawn(workload, WARM + COUNT)[WARM:])

    def again() -> list[Batch]:
        return drawn(workload, WARM + COUNT)[WARM:]

    timed = TimedTraining(again, before, snapshot(adapter), losses)
    arrays = replay_training(adapter, timed, 0, early_steps(workload))
    run = reference_of(arrays, workload, "float32")
    verdict = judge_training(arrays, run, "float32")
    return verdict.value, training_hint(arrays, run, verdict, start) or ""


@pytest.mark.parametrize(
    ("kind", "workload", "says"),
    [
        (ShortLeftOut, NORMED, "a short batch makes no step"),
        (BufferNotEmptied, NORMED, "filled up with the rest of the batch before"),
        (FirstHalf, NORMED, "a step takes the first half of its batch only"),
        (InTwoSteps, PLAIN, "a batch is split in two steps"),
        (Pipelined, PLAIN, "gradients come late: an update is by the gradient of the step before"),
        (DecayedOutside, PLAIN, "weights shrink by themselves: a decoupled weight decay of 0.001"),
        (KeptCoarsely, PLAIN, "dense1.weight is stored in float16 between steps"),
        (ForgetsInGroups, PLAIN, "the optimiser's memory is lost at batch 11"),
        (Backwards, PLAIN, "the list is trained from its end to its begin"),
        (RateStays, SCHEDULED, "the learning rate stays that of the first update"),
        (Smoothed, PLAIN, "losses are smoothed: each is 0.1 of its step's"),
        (LossOfAfter, PLAIN, "a step's loss is that of after its update"),
        (AverageStays, AVERAGED, "the weights' average does not move"),
        (InEvaluationMode, NORMED, "training runs in evaluation mode"),
        (BeginsAtTheStart, PLAIN, "it begins with the weights of the start"),
    ],
)
def test_the_kind_of_another_path_for_lists_is_named(
    kind: type[Single], workload: Workload, says: str
) -> None:
    verdict, hint = hinted(kind, workload)
    assert verdict == NOT_EQUIVALENT
    assert says in hint
    assert "in a list of 30 batches, and not one by one" in hint


@pytest.mark.parametrize("workload", [NORMED, SCHEDULED, AVERAGED])
def test_an_honest_list_with_short_batches_gets_no_hint(workload: Workload) -> None:
    assert hinted(Single, workload) == (EQUIVALENT, "")


RIGHT = np.random.default_rng(0).random(40)


@pytest.mark.parametrize(
    ("report", "says"),
    [
        (lambda x: np.full_like(x, x.mean()), "their mean stands for all"),
        (lambda x: np.cumsum(x) / np.arange(1, 41), "the mean of all steps until then"),
        (lambda x: np.repeat(x.reshape(-1, 8).mean(1), 8), "means of groups of 8 steps"),
        (lambda x: np.append(x[1:], x[-1]), "that of the step behind"),
        (lambda x: np.repeat(x[7::8], 8), "the loss of the last of 8 steps"),
        (lambda x: np.append(x[:20], np.full(20, x[19])), "stay the same from batch 20 on"),
        (lambda x: 32 * x, "losses are 32 times what is right"),
        (lambda x: np.roll(x, 5), "in another order"),
    ],
)
def test_reported_losses_are_told_apart(report: Callable[[NDArray], NDArray], says: str) -> None:
    assert says in next(of_values(report(RIGHT), RIGHT))
    assert not [*of_values(RIGHT, RIGHT)]
