"""Mistakes of whole steps, as users of a framework make them, get the hint that names their kind."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from frameworks.contract import Step, Weights
from frameworks.reference.losses import cross_entropy
from frameworks.reference.norms import BatchNorm
from harness.diagnosis import hint
from harness.parity import ReferenceRun, judge, run_reference
from harness.verdicts import EQUIVALENT, NOT_EQUIVALENT
from tests.harness.parity.cases import NORMED, Single, answered, batches, net
from workloads import init
from workloads.batches import Batch
from workloads.spec import Workload

DENSE = ({"kind": "flatten"}, {"kind": "dense", "units": 16}, {"kind": "relu"})
PLAIN = net(*DENSE)
CLIPPED = net(*DENSE, optimiser={"kind": "sgd", "lr": 0.1, "momentum": 0.9, "clip_norm": 0.5})
SCHEDULED = net(
    *DENSE,
    optimiser={"kind": "adamw", "lr": 0.01, "weight_decay": 0.1, "average": 0.9},
    schedule={"kind": "cosine", "warmup": 3, "steps": 12},
)


@cache
def run_with_a_short_batch(workload: Workload) -> ReferenceRun:
    """Return the reference run over 8 batches, of which the second is short."""
    taken = batches(workload, 8)
    inputs, labels, masks = taken[1]
    taken[1] = Batch(inputs[:5], labels[:5], tuple(mask[:5] for mask in masks))
    return run_reference(workload, init.start_weights(workload), taken)


class SoftmaxTwice(Single):
    def step(self, batch: Batch) -> Step:
        right, logits = super().step(batch), self.forward(batch)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares = powers / powers.sum(axis=1, keepdims=True)
        loss, slope = cross_entropy(shares, batch.labels)
        self._model.backward(shares * (slope - np.sum(slope * shares, axis=1, keepdims=True)))
        functions = {name: self.layer(name.rpartition(".")[0]) for name in right.gradients}
        gradients = {n: f.gradients[n.rpartition(".")[2]] for n, f in functions.items()}
        return Step(right.logits, loss, gradients)


class Penalised(Single):
    def step(self, batch: Batch) -> Step:
        step = super().step(batch)
        kernels = {name: w for name, w in self._parameters.items() if w.ndim > 1}
        penalty = 1e-3 * sum(float(np.vdot(w, w)) for w in kernels.values())
        pulls = {name: np.float32(2e-3) * w for name, w in kernels.items()}
        gradients = {name: g + pulls.get(name, 0) for name, g in step.gradients.items()}
        return Step(step.logits, step.loss + penalty, gradients)


class Constant(BatchNorm):
    def differentiate(self, dy: NDArray) -> NDArray:
        super().differentiate(dy)
        return dy * self._wide(self.parameters["weight"] / self.deviation)


class StatisticsStopped(Single):
    def __init__(self, *rest: Any) -> None:
        super().__init__(*rest)
        self.layer("norm1").__class__ = Constant


class HandsOutEarly(Single):
    early: Weights | None = None

    def load(self, weights: Weights) -> None:
        super().load(weights)
        self.early = None

    def train(self, batches: Sequence[Batch]) -> NDArray:
        before = super().weights()
        losses = super().train(batches)
        self.early = before
        return losses

    def weights(self) -> Weights:
        return self.early or super().weights()


class StateDropped(Single):
    def update(self, gradients: Any) -> None:
        before = {name: array.copy() for name, array in self._state.items()}
        super().update(gradients)
        for name, array in before.items():
            self._state[name][...] = array


class TracedOnce(Single):
    def update(self, gradients: Any) -> None:
        self.restore(self.memory()._replace(steps=0))
        super().update(gradients)


class AveragesStay(Single):
    def predict(self, inputs: Sequence[NDArray]) -> NDArray:
        logits = super().predict(inputs)
        self._put(self.averages())
        return logits


class ClosedOver(Single):
    first: Weights | None = None

    def train(self, batches: Sequence[Batch]) -> NDArray:
        losses = []
        for batch in batches:
            now, memory = self.weights(), self.memory()
            self.first = self.first or {name: now[name] for name in self._parameters}
            self._put(self.first)
            step = self.step(batch)
            self._put({name: now[name] for name in self.first})
            self.restore(memory)
            self.update(step.gradients)
            losses.append(step.loss)
        return np.array(losses)


class Refilled(Single):
    def train(self, batches: Sequence[Batch]) -> NDArray:
        return super().train([*batches[1:], batches[-1]])


class DividedTwice(Single):
    def train(self, batches: Sequence[Batch]) -> NDArray:
        losses = []
        for batch in batches:
            step = self.step(batch)
            self.update({name: g / len(batch.labels) for name, g in step.gradients.items()})
            losses.append(step.loss)
        return np.array(losses)


class SumClipped(Single):
    def train(self, batches: Sequence[Batch]) -> NDArray:
        losses = []
        for batch in batches:
            step, size = self.step(batch), len(batch.labels)
            sums = self._update.clipped({name: size * g for name, g in step.gradients.items()})
            self.update({name: g / size for name, g in sums.items()})
            losses.append(step.loss)
        return np.array(losses)


class UnclearedEverySecond(Single):
    sums: Any = None

    def train(self, batches: Sequence[Batch]) -> NDArray:
        losses = []
        for batch in batches:
            step = self.step(batch)
            sums = step.gradients
            if self._taken % 2:
                sums = {name: g + self.sums[name] for name, g in sums.items()}
            self.sums = sums
            self.update(sums)
            losses.append(step.loss)
        return np.array(losses)


@pytest.mark.parametrize(
    ("kind", "workload", "says"),
    [
        (SoftmaxTwice, PLAIN, "the loss takes probabilities for logits: softmax twice"),
        (Penalised, PLAIN, "gradients have 0.002 times the weights in them, from dense1.weight on"),
        (StatisticsStopped, NORMED, "no gradient goes through batch norm's mean and variance"),
        (HandsOutEarly, NORMED, "no weight moves: an update that is not done"),
        (StateDropped, NORMED, "norm1.mean does not move: batch norm's state is not kept"),
        (
            TracedOnce,
            SCHEDULED,
            "the learning rate and the bias correction stay those of the first",
        ),
        (AveragesStay, SCHEDULED, "training goes on from the weights' average"),
        (ClosedOver, PLAIN, "gradients are taken at the weights of the start"),
        (Refilled, PLAIN, "a batch is the one behind it in its list"),
        (DividedTwice, PLAIN, "the gradient is divided by the batch's size twice"),
        (SumClipped, CLIPPED, "the sum of a batch's gradients is clipped, and not their mean"),
        (UnclearedEverySecond, PLAIN, "gradients are cleared every 2 steps, and add up between"),
    ],
)
def test_another_step_is_named(kind: type[Single], workload: Workload, says: str) -> None:
    run = run_with_a_short_batch(workload)
    answers = answered(run, kind)
    verdict = judge(answers, run, "float32")
    assert verdict.value == NOT_EQUIVALENT
    assert says in (hint(answers, run, verdict) or "")


@pytest.mark.parametrize("workload", [PLAIN, NORMED, CLIPPED, SCHEDULED])
def test_the_honest_step_is_equivalent(workload: Workload) -> None:
    run = run_with_a_short_batch(workload)
    assert judge(answered(run), run, "float32").value == EQUIVALENT
