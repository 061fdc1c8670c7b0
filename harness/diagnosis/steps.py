"""Ways to take a step otherwise: of half a batch, by late gradients, with weights that are rounded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from frameworks.contract import Memory, Step, Weights
from frameworks.reference.adapter import Reference
from frameworks.reference.arithmetic import EXACT
from frameworks.reference.losses import LOSSES
from harness.diagnosis.functions import evaluating
from harness.diagnosis.suspects import Case, Compute, Suspect, Trainer, fitted
from harness.diagnosis.training import LossAfter
from harness.parity.reference import ReferenceRun
from workloads.batches import Batch
from workloads.spec import Workload

EVERY = (2, 3, 4, 5, 8)
"""Of so many updates one may be left out each time."""

SINGLE_OUT = 16
"""Of no more parameters than these is each one's gradient looked at by itself."""


class OfHalf(Trainer):
    """A step takes some rows of its batch only."""

    def __init__(self, rows: Callable[[int], NDArray]) -> None:
        self._rows = rows

    def one(self, reference: Reference, batch: Batch) -> float:
        return super().one(reference, _part(batch, self._rows(len(batch.labels))))


class InTwo(Trainer):
    """A batch makes two steps, a half each; `share` is the first half's part in the reported loss."""

    def __init__(self, share: float) -> None:
        self._share = share

    def one(self, reference: Reference, batch: Batch) -> float:
        half = -(-len(batch.labels) // 2)
        first = super().one(reference, _part(batch, slice(half)))
        second = super().one(reference, _part(batch, slice(half, None)))
        return self._share * first + (1 - self._share) * second


class MeanOfHalves(Trainer):
    """Two halves' losses and gradients are averaged: batch norm sees a half at a time."""

    def one(self, reference: Reference, batch: Batch) -> float:
        half = -(-len(batch.labels) // 2)
        steps = [reference.step(_part(batch, rows)) for rows in (slice(half), slice(half, None))]
        reference.update(
            {n: (g + steps[1].gradients[n]) / 2 for n, g in steps[0].gradients.items()}
        )
        return (steps[0].loss + steps[1].loss) / 2


def _part(batch: Batch, rows: slice | NDArray) -> Batch:
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


class AtFirstWeights(Trainer):
    """Gradients are taken at the weights that a call begins with."""

    def call(self, reference: Reference, batches: Sequence[Batch]) -> list[float]:
        first, losses = reference.weights(), []
        for batch in batches:
            now, memory = reference.weights(), reference.memory()
            _set(reference, first, memory)
            step = reference.step(batch)
            _set(reference, now, memory)
            reference.update(step.gradients)
            losses.append(step.loss)
        return losses


class AtOldWeights(Trainer):
    """A gradient is taken at the weights of before the last update."""

    def call(self, reference: Reference, batches: Sequence[Batch]) -> list[float]:
        self._before = reference.weights()
        return super().call(reference, batches)

    def one(self, reference: Reference, batch: Batch) -> float:
        now, memory = reference.weights(), reference.memory()
        _set(reference, {**now, **self._before}, memory)
        step = reference.step(batch)
        _set(reference, now, memory)
        reference.update(step.gradients)
        self._before = {name: now[name] for name in step.gradients}
        return step.loss


def _set(reference: Reference, weights: Weights, memory: Memory) -> None:
    reference.load(weights)
    reference.restore(memory)


class Stored(Trainer):
    """Weights are rounded after each update."""

    def __init__(self, rounded: Callable[[NDArray], NDArray]) -> None:
        self._rounded = rounded

    def one(self, reference: Reference, batch: Batch) -> float:
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

    def one(self, reference: Reference, batch: Batch) -> float:
        step = reference.step(batch)
        reference.update({name: self._rounded(g) for name, g in step.gradients.items()})
        return step.loss


class Scaled(Trainer):
    """Gradients are `scale` times what is right: those of parameter `name`, or all."""

    def __init__(self, scale: float, name: str | None = None) -> None:
        self._scale, self._name = scale, name

    def one(self, reference: Reference, batch: Batch) -> float:
        step = reference.step(batch)
        reference.update(
            {
                name: self._scale * g if self._name in (name, None) else g
                for name, g in step.gradients.items()
            }
        )
        return step.loss


class Decaying(Trainer):
    """Weights lose `share` of themselves, times the learning rate, in each update: kernels, or all."""

    def __init__(self, workload: Workload, share: float, kernels: bool) -> None:
        self._workload, self._share, self._kernels = workload, share, kernels

    def one(self, reference: Reference, batch: Batch) -> float:
        before, taken = reference.weights(), reference.memory().steps
        loss = super().one(reference, batch)
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

    def one(self, reference: Reference, batch: Batch) -> float:
        loss = super().one(reference, batch)
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
                super().one(reference, batch)
        return losses


class Reporting(Trainer):
    """Trains as is right, and reports another loss: that of `loss`, before the update."""

    def __init__(self, loss: Callable[[Reference, Batch], float]) -> None:
        self._loss = loss

    def one(self, reference: Reference, batch: Batch) -> float:
        loss = self._loss(reference, batch)
        super().one(reference, batch)
        return loss


def bfloat16(x: NDArray) -> NDArray:
    """Round to 8 bits of significand, to nearest."""
    mantissa, exponent = np.frexp(x)
    return np.ldexp(np.rint(np.ldexp(mantissa, 8)), exponent - 8)


def float16(x: NDArray) -> NDArray:
    """Round to float16."""
    return x.astype(np.float16).astype(x.dtype)


def _first_half(size: int) -> NDArray:
    return np.arange(-(-size // 2))


def _second_half(size: int) -> NDArray:
    return np.arange(size // 2, size)


def _every_second(size: int) -> NDArray:
    return np.arange(0, size, 2)


def _filled_up(size: int) -> NDArray:
    return np.minimum(np.arange(size), (size - 1) // 2)


LATE = "gradients come late"

ANY_SIZE: Sequence[tuple[str, Trainer]] = [
    *(
        pair
        for name, rounded in {"bfloat16": bfloat16, "float16": float16}.items()
        for pair in (
            (f"weights are stored in {name} between steps", Stored(rounded)),
            (f"gradients are rounded to {name}", RoundedGradients(rounded)),
            (f"the optimiser's memory is stored in {name}", StoredMemory(rounded)),
        )
    ),
    *(
        (f"{LATE}: an update is by the gradient of {steps} before", Late(by, leaves_out))
        for by, steps in {1: "the step", 2: "two steps"}.items()
        for leaves_out in (True, False)
    ),
    ("gradients are taken at the weights of the start: a graph holds them", AtFirstWeights()),
    (f"{LATE}: they are taken at the weights of before the last update", AtOldWeights()),
]
"""Other ways to take a step, in words."""

OF_SEVERAL: Sequence[tuple[str, Trainer]] = [
    ("a step takes the first half of its batch only", OfHalf(_first_half)),
    ("a step takes the second half of its batch only", OfHalf(_second_half)),
    ("a step takes every second example of its batch only", OfHalf(_every_second)),
    (
        "a step takes the first half of its batch, filled up with the half's last example",
        OfHalf(_filled_up),
    ),
    *(("a batch is split in two steps, a half each", InTwo(share)) for share in (0.5, 0.0, 1.0)),
    ("batch norm takes half a batch at a time", MeanOfHalves()),
]
"""Those of batches of several examples."""


def suspects(run: ReferenceRun) -> Iterator[Suspect]:
    """Yield other ways to take each step."""
    trainers = [*ANY_SIZE, *(OF_SEVERAL if run.workload.data.batch > 1 else ())]
    yield from (Suspect(words, run, trainer=trainer) for words, trainer in trainers)
    yield from evaluating(run)


def of_updates(run: ReferenceRun, begin: int, count: int) -> Iterator[Suspect]:
    """Yield trainings of which updates are left out, or made twice.

    `begin` batches are before the run's, and `count` are in all.
    """
    for at in range(run.steps):
        update = f"the update of batch {begin + at + 1}"
        if begin + at + 1 == count:
            update = "the last update is not done when train returns: it"
        yield Suspect(f"{update} is left out", run, trainer=Times(partial(_but_for, at, 0)))
        yield Suspect(
            f"batch {begin + at + 1} is trained twice", run, trainer=Times(partial(_but_for, at, 2))
        )
    for every in EVERY:
        for rest in range(every):
            words = f"one of {every} updates is left out"
            yield Suspect(words, run, trainer=Times(partial(_every, every, rest)))


def _but_for(at: int, count: int, number: int) -> int:
    return count if number == at else 1


def _every(every: int, rest: int, number: int) -> int:
    return int(number % every != rest)


def of_sums(run: ReferenceRun) -> Iterator[Suspect]:
    """Yield gradients that are sums where means are right, or the other way round."""
    size = run.workload.data.batch
    for scale in (size, 1 / size, 2, 0.5):
        words = (
            f"every gradient is {scale:.4g} times what is right: a sum for a mean, or the reverse"
        )
        yield Suspect(words, run, trainer=Scaled(scale))


def of_reports(run: ReferenceRun) -> Iterator[Suspect]:
    """Yield trainings that report other losses."""
    yield Suspect("a step's loss is that of after its update", run, trainer=LossAfter())
    for words, rows in {"first": _first_half, "second": _second_half}.items():
        words = f"a step's loss is that of its batch's {words} half"
        yield Suspect(words, run, trainer=Reporting(partial(_of_rows, rows)))
    words = "a step's loss is that of evaluation mode"
    yield Suspect(words, run, trainer=Reporting(partial(_evaluated, run.workload)))


def _of_rows(rows: Callable[[int], NDArray], reference: Reference, batch: Batch) -> float:
    return reference.step(_part(batch, rows(len(batch.labels)))).loss


def _evaluated(workload: Workload, reference: Reference, batch: Batch) -> float:
    logits = reference.predict([batch.inputs])
    return LOSSES[workload.loss](logits, batch.labels, workload.label_smoothing, EXACT)[0]


def fits(run: ReferenceRun, compute: Compute, case: Case) -> Iterator[Suspect]:
    """Yield gradients that are scaled, all or one parameter's, and a decay, as each fits best."""
    if not run.workload.optimiser.weight_decay:
        for kernels in (False, True):

            def decaying(share: float, kernels: bool = kernels) -> Suspect:
                what = "kernels" if kernels else "weights"
                words = f"{what} shrink by themselves: a decoupled weight decay of {share:.2g}"
                return Suspect(words, run, trainer=Decaying(run.workload, share, kernels))

            yield from fitted(decaying, 0.0, compute, case)
    names = [*run.workload.parameters]
    for name in (None, *(names if len(names) <= SINGLE_OUT else ())):

        def scaled(scale: float, name: str | None = name) -> Suspect:
            what = f"the gradient of {name}" if name else "every gradient"
            words = f"{what} is {scale:.4g} times what is right"
            return Suspect(words, run, trainer=Scaled(scale, name))

        yield from fitted(scaled, 1.0, compute, case)
