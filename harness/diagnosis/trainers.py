"""Trainers that take a step otherwise: of half a batch, by late gradients, with rounded weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from frameworks.contract import Memory, Step, Weights
from frameworks.reference.adapter import Reference
from harness.diagnosis.suspects import Arrays, Trainer
from harness.parity.reference import ReferenceRun
from workloads.batches import Batch
from workloads.spec import Workload


class OfHalf(Trainer):
    """A step takes some rows of its batch only."""

    def __init__(self, rows: Callable[[int], NDArray]) -> None:
        self._rows = rows

    def advance(self, reference: Reference, batch: Batch) -> float:
        return super().advance(reference, rows_of(batch, self._rows(len(batch.labels))))


class InTwo(Trainer):
    """A batch makes two steps, a half each; `share` is the first half's part in the reported loss."""

    def __init__(self, share: float) -> None:
        self._share = share

    def advance(self, reference: Reference, batch: Batch) -> float:
        half = -(-len(batch.labels) // 2)
        first = super().advance(reference, rows_of(batch, slice(half)))
        second = super().advance(reference, rows_of(batch, slice(half, None)))
        return self._share * first + (1 - self._share) * second


class MeanOfHalves(Trainer):
    """Two halves' losses and gradients are averaged: batch norm sees a half at a time."""

    def advance(self, reference: Reference, batch: Batch) -> float:
        half = -(-len(batch.labels) // 2)
        steps = [reference.step(rows_of(batch, rows)) for rows in (slice(half), slice(half, None))]
        reference.update(
            {n: (g + steps[1].gradients[n]) / 2 for n, g in steps[0].gradients.items()}
        )
        return (steps[0].loss + steps[1].loss) / 2


def rows_of(batch: Batch, rows: slice | NDArray) -> Batch:
    """Return a batch of some rows of another."""
    return Batch(batch.inputs[rows], batch.labels[rows], tuple(mask[rows] for mask in batch.masks))


class Late(Trainer):
    """An update is by the gradient of `by` steps before; the first ones by their own, or left out."""

    def __init__(self, by: int, leaves_out: bool) -> None:
        self._by, self._leaves_out = by, leaves_out

    def call(self, reference: Reference, batches: Sequence[Batch]) -> list[float]:
        made: list[Step] = []
        for number, batch in enumerate(batches):
            made.append(reference.step(batch))
            if number >= self._by or not self._leaves_out:
                reference.update(made[max(0, number - self._by)].gradients)
        return [step.loss for step in made]


def _step_at(reference: Reference, weights: Weights, batch: Batch) -> Step:
    """Look into a step at other weights than those of this moment, which stay."""
    current, memory = reference.weights(), reference.memory()
    _set(reference, current | weights, memory)
    step = reference.step(batch)
    _set(reference, current, memory)
    return step


class AtFirstWeights(Trainer):
    """Gradients are taken at the weights that a run begins with."""

    def __init__(self, run: ReferenceRun) -> None:
        self._first = {name: run.start[name] for name in run.workload.parameters}

    def advance(self, reference: Reference, batch: Batch) -> float:
        step = _step_at(reference, self._first, batch)
        reference.update(step.gradients)
        return step.loss


class Overwritten(Trainer):
    """A batch is that which comes behind it in the call; the last is itself."""

    def call(self, reference: Reference, batches: Sequence[Batch]) -> list[float]:
        return super().call(reference, [*batches[1:], *batches[-1:]])


class AtOldWeights(Trainer):
    """A gradient is taken at the weights of before the last update."""

    def call(self, reference: Reference, batches: Sequence[Batch]) -> list[float]:
        self._before = reference.weights()
        return super().call(reference, batches)

    def advance(self, reference: Reference, batch: Batch) -> float:
        step = _step_at(reference, self._before, batch)
        current = reference.weights()
        reference.update(step.gradients)
        self._before = {name: current[name] for name in step.gradients}
        return step.loss


def _set(reference: Reference, weights: Weights, memory: Memory) -> None:
    reference.load(weights)
    reference.restore(memory)


class Stored(Trainer):
    """Weights are rounded after each update."""

    def __init__(self, rounded: Callable[[NDArray], NDArray]) -> None:
        self._rounded = rounded

    def advance(self, reference: Reference, batch: Batch) -> float:
        step = reference.step(batch)
        reference.update(step.gradients)
        weights = reference.weights()
        rounded = {name: self._rounded(weights[name]) for name in step.gradients}
        _set(reference, weights | rounded, reference.memory())
        return step.loss


class RoundedGradients(Trainer):
    """Gradients are rounded before each update."""

    def __init__(self, rounded: Callable[[NDArray], NDArray]) -> None:
        self._rounded = rounded

    def changed(self, gradients: Arrays, batch: Batch) -> Arrays:
        return {name: self._rounded(g) for name, g in gradients.items()}


class Scaled(Trainer):
    """Gradients are `scale` times what is right: those of parameter `name`, or all."""

    def __init__(self, scale: float, name: str | None = None) -> None:
        self._scale, self._name = scale, name

    def changed(self, gradients: Arrays, batch: Batch) -> Arrays:
        return {n: self._scale * g if self._name in (n, None) else g for n, g in gradients.items()}


class BySize(Trainer):
    """The mean gradient times a batch's size, or divided by it."""

    def __init__(self, power: int) -> None:
        self._power = power

    def changed(self, gradients: Arrays, batch: Batch) -> Arrays:
        scale = float(len(batch.labels)) ** self._power
        return {name: scale * g for name, g in gradients.items()}


class ClippedAsSum(Trainer):
    """The sum of a batch's gradients is clipped, and not their mean."""

    def __init__(self, clip_norm: float, clip_value: float) -> None:
        self._norm, self._value = clip_norm or np.inf, clip_value or np.inf

    def changed(self, gradients: Arrays, batch: Batch) -> Arrays:
        size = len(batch.labels)
        norm = float(np.sqrt(sum(np.vdot(g, g) for g in gradients.values())))
        scale, most = min(1.0, self._norm / size / norm), self._value / size
        return {name: np.clip(scale * g, -most, most) for name, g in gradients.items()}


class Decaying(Trainer):
    """Weights lose `share` of themselves, times the learning rate, in each update: kernels, or all."""

    def __init__(self, workload: Workload, share: float, kernels: bool) -> None:
        self._workload, self._share, self._kernels = workload, share, kernels

    def advance(self, reference: Reference, batch: Batch) -> float:
        before, taken = reference.weights(), reference.memory().steps
        loss = super().advance(reference, batch)
        (update,) = self._workload.optimiser.updates(taken, 1)
        if update is not None:
            (rate,) = self._workload.rates(update, 1)
            weights = reference.weights()
            for name in self._workload.parameters:
                if weights[name].ndim > 1 or not self._kernels:
                    weights[name] -= rate * self._share * before[name]
            _set(reference, weights, reference.memory())
        return loss


class StoredMemory(Trainer):
    """The optimiser's memory is rounded after each update."""

    def __init__(self, rounded: Callable[[NDArray], NDArray]) -> None:
        self._rounded = rounded

    def advance(self, reference: Reference, batch: Batch) -> float:
        loss = super().advance(reference, batch)
        memory = reference.memory()
        slots = {
            slot: {name: self._rounded(array) for name, array in arrays.items()}
            for slot, arrays in memory.slots.items()
        }
        reference.restore(memory._replace(slots=slots))
        return loss


class Times(Trainer):
    """How many updates the step on batch `number` makes is `count(number)`."""

    def __init__(self, count: Callable[[int], int]) -> None:
        self._count = count

    def call(self, reference: Reference, batches: Sequence[Batch]) -> list[float]:
        losses = []
        for number, batch in enumerate(batches):
            losses.append(reference.step(batch).loss)
            for _ in range(self._count(number)):
                super().advance(reference, batch)
        return losses


class Reporting(Trainer):
    """Trains as is right, and reports another loss: that of `loss`, before the update."""

    def __init__(self, loss: Callable[[Reference, Batch], float]) -> None:
        self._loss = loss

    def advance(self, reference: Reference, batch: Batch) -> float:
        loss = self._loss(reference, batch)
        super().advance(reference, batch)
        return loss


def bfloat16(x: NDArray) -> NDArray:
    """Round to 8 bits of significand, to nearest."""
    mantissa, exponent = np.frexp(x)
    return np.ldexp(np.rint(np.ldexp(mantissa, 8)), exponent - 8)


def float16(x: NDArray) -> NDArray:
    """Round to float16."""
    return x.astype(np.float16).astype(x.dtype)
