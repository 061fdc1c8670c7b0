"""Ways to train the same batches otherwise: in lists, short batches, schedules and averages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frameworks.contract import Memory
from frameworks.reference.adapter import Reference
from harness.diagnosis.rules import corrected_as_first
from harness.diagnosis.suspects import Arrays, Suspect, Trainer
from harness.parity.reference import ReferenceRun
from workloads.batches import Batch
from workloads.init import dropouts
from workloads.optimisers import Adam, Constant, Optimiser, Schedule
from workloads.spec import Workload


class CountsFromCall(Trainer):
    """Steps are counted from each call on."""

    def call(self, reference: Reference, batches: Sequence[Batch]) -> list[float]:
        reference.restore(Memory(0, reference.memory().slots))
        return super().call(reference, batches)


class ForgetsAtCall(Trainer):
    """Each call begins without the optimiser's memory."""

    def call(self, reference: Reference, batches: Sequence[Batch]) -> list[float]:
        reference.load(reference.weights())
        return super().call(reference, batches)


class DropsTheRest(Trainer):
    """What is gathered and not yet used at the end of a call is dropped."""

    def call(self, reference: Reference, batches: Sequence[Batch]) -> list[float]:
        losses = super().call(reference, batches)
        memory = reference.memory()
        for array in memory.slots["sum"].values():
            array[...] = 0
        reference.restore(memory)
        return losses


class AveragesAtCall(Trainer):
    """The average moves once a call, by `share` of the way to the weights."""

    def __init__(self, share: float) -> None:
        self.share = share

    def call(self, reference: Reference, batches: Sequence[Batch]) -> list[float]:
        before = reference.averages()
        losses = super().call(reference, batches)
        memory, weights = reference.memory(), reference.weights()
        for name, average in memory.slots["average"].items():
            average[...] = before[name] + self.share * (weights[name] - before[name])
        reference.restore(memory)
        return losses


class Uncleared(Trainer):
    """Gradients are added to those of all steps before, or since they were last cleared.

    `looked_at`: also to those of the first step as it was looked into. Good for one training.
    """

    def __init__(self, every: int | None = None, looked_at: bool = False) -> None:
        self._every, self._looked_at = every, looked_at
        self._sums: dict[str, NDArray] = {}
        self._count = 0

    def changed(self, gradients: Arrays, batch: Batch) -> Arrays:
        if self._every and self._count % self._every == 0:
            self._sums = {}
        times = 2 if self._looked_at and not self._count else 1
        self._sums = {n: times * g + self._sums.get(n, 0) for n, g in gradients.items()}
        self._count += 1
        return self._sums


class BeginsAtAverage(Trainer):
    """Each call but the first trains from the weights' average."""

    def __init__(self) -> None:
        self._begun = False

    def call(self, reference: Reference, batches: Sequence[Batch]) -> list[float]:
        if self._begun:
            memory = reference.memory()
            reference.load(reference.weights() | reference.averages())
            reference.restore(memory)
        self._begun = True
        return super().call(reference, batches)


class LossAfter(Trainer):
    """A step's loss is that of after its update."""

    def advance(self, reference: Reference, batch: Batch) -> float:
        super().advance(reference, batch)
        return reference.step(batch).loss


class Short(Trainer):
    """Trains short batches otherwise; `size` is that of whole ones."""

    def __init__(self, size: int) -> None:
        self.size = size

    def advance(self, reference: Reference, batch: Batch) -> float:
        is_short = len(batch.labels) < self.size
        return self.short(reference, batch) if is_short else super().advance(reference, batch)

    def short(self, reference: Reference, batch: Batch) -> float:
        """Take the step of a short batch."""
        raise NotImplementedError


class LeftOut(Short):
    """It makes no step."""

    def short(self, reference: Reference, batch: Batch) -> float:
        return reference.step(batch).loss


class Weighed(Short):
    """Its loss is divided by a whole batch's size."""

    def short(self, reference: Reference, batch: Batch) -> float:
        step, share = reference.step(batch), len(batch.labels) / self.size
        reference.update({name: share * g for name, g in step.gradients.items()})
        return share * step.loss


class WeighedInGradient(Weighed):
    """Its gradient alone is divided by a whole batch's size."""

    def short(self, reference: Reference, batch: Batch) -> float:
        return super().short(reference, batch) * self.size / len(batch.labels)


class Filled(Short):
    """It is filled up with examples of its own, which `order` chooses."""

    def __init__(self, size: int, order: Callable[[int, int], NDArray]) -> None:
        super().__init__(size)
        self._order = order

    def short(self, reference: Reference, batch: Batch) -> float:
        rows = self._order(len(batch.labels), self.size)
        masks = tuple(mask[rows] for mask in batch.masks)
        return Trainer.advance(
            self, reference, Batch(batch.inputs[rows], batch.labels[rows], masks)
        )


class FilledWithZeros(Short):
    """It is filled up with zeros, labelled `label`."""

    def __init__(self, size: int, label: int) -> None:
        super().__init__(size)
        self._label = label

    def short(self, reference: Reference, batch: Batch) -> float:
        def padded(array: NDArray, value: float) -> NDArray:
            rows = [(0, self.size - len(array))] + [(0, 0)] * (array.ndim - 1)
            return np.pad(array, rows, constant_values=value)

        masks = tuple(padded(mask, 1) for mask in batch.masks)
        labels = padded(batch.labels, self._label)
        return Trainer.advance(self, reference, Batch(padded(batch.inputs, 0), labels, masks))


class FilledWithBefore(Trainer):
    """A short batch is filled up with what the batch before left in its place."""

    def call(self, reference: Reference, batches: Sequence[Batch]) -> list[float]:
        return super().call(reference, [*map(_over, (batches[0], *batches), batches)])


def _over(before: Batch, batch: Batch) -> Batch:
    """Return what stands where a batch is written over the one before."""

    def over(array: NDArray, old: NDArray) -> NDArray:
        return np.concatenate([array, old[len(array) :]])

    masks = tuple(map(over, batch.masks, before.masks))
    return Batch(over(batch.inputs, before.inputs), over(batch.labels, before.labels), masks)


def _again(count: int, size: int) -> NDArray:
    return np.arange(size) % count


def _with_the_last(count: int, size: int) -> NDArray:
    return np.minimum(np.arange(size), count - 1)


def of_calls(run: ReferenceRun) -> Iterator[Suspect]:
    """Yield what lists of batches may do at their ends, and what becomes of short batches."""
    size = run.workload.data.batch
    is_short = any(len(batch.labels) < size for batch in run.batches)
    for words, trainer in [
        *_of_lists(run.workload),
        *(_of_short_batches(size) if is_short else ()),
    ]:
        yield Suspect(words, run, trainer=trainer)


def _of_lists(workload: Workload) -> Iterator[tuple[str, Trainer]]:
    """Yield what may begin anew, or be left, where a list does."""
    optimiser, schedule = workload.optimiser, workload.schedule
    if type(schedule) is not Constant or schedule.warmup:
        yield "the schedule begins anew with each call of `train`", CountsFromCall()
    if optimiser.adaptive:
        words = "steps are counted anew from each call of `train` on (bias correction, schedule)"
        yield words, CountsFromCall()
    yield "each call of `train` begins without the optimiser's memory", ForgetsAtCall()
    if optimiser.accumulate > 1:
        yield "what is gathered by the end of a call of `train` is dropped", DropsTheRest()
    if optimiser.average:
        words = "the weights' average moves once a call of `train`, not once an update"
        yield words, AveragesAtCall(1 - optimiser.average)
    for looked_at in (False, True):
        words = "gradients are not cleared, and add up from step to step"
        yield words, Uncleared(looked_at=looked_at)
        for every in (2, 3, 4):
            words = f"gradients are cleared every {every} steps, and add up between"
            yield words, Uncleared(every, looked_at)
    if optimiser.average:
        words = "training goes on from the weights' average, which predictions put in their place"
        yield words, BeginsAtAverage()
    yield "a step's loss is that of after its update", LossAfter()


def _of_short_batches(size: int) -> Sequence[tuple[str, Trainer]]:
    """Return what becomes of batches that have fewer than `size` examples."""
    filled = "a short batch is filled up with"
    return [
        ("a short batch makes no step", LeftOut(size)),
        ("a short batch's loss is divided by a whole batch's size", Weighed(size)),
        ("a short batch's gradient is divided by a whole batch's size", WeighedInGradient(size)),
        (f"{filled} its own examples", Filled(size, _again)),
        (f"{filled} its last example", Filled(size, _with_the_last)),
        (f"{filled} zeros of class 0", FilledWithZeros(size, 0)),
        (f"{filled} the rest of the batch before", FilledWithBefore()),
    ]


def of_rates(run: ReferenceRun) -> Iterator[Suspect]:
    """Yield the learning rate that no schedule changes any more."""
    schedule = run.workload.schedule
    if type(schedule) is not Constant or schedule.warmup:
        first = run.memory.steps // run.workload.optimiser.accumulate if run.memory else 0
        workload = replace(run.workload, schedule=_moved(schedule, 0, first))
        words = "the learning rate stays that of the first update: it is compiled in"
        yield Suspect(words, replace(run, workload=workload))
        kind: type[Optimiser] = type(run.workload.optimiser)
        if isinstance(run.workload.optimiser, Adam):
            words = "the learning rate and the bias correction stay those of the first update"
            updates = {kind: corrected_as_first(kind)}
            yield Suspect(words, replace(run, workload=workload), updates=updates)


def of_schedules(run: ReferenceRun) -> Iterator[Suspect]:
    """Yield other schedules."""
    schedule, accumulate = run.workload.schedule, run.workload.optimiser.accumulate

    def with_schedule(words: str, other: Schedule) -> Suspect:
        return Suspect(words, replace(run, workload=replace(run.workload, schedule=other)))

    if schedule.warmup:
        words = f"the warm-up of {schedule.warmup} is left out"
        yield with_schedule(words, replace(schedule, warmup=0))
    if type(schedule) is not Constant:
        yield with_schedule("the schedule is left out", Constant(warmup=schedule.warmup))
    if type(schedule) is Constant and not schedule.warmup:
        return
    yield with_schedule("the schedule is an update ahead", _moved(schedule, 1, 1))
    yield with_schedule("the schedule is an update behind", _moved(schedule, 1, -1))
    for times in sorted({2, 3, len(run.workload.parameters)} - {accumulate}):
        words = f"the schedule counts {times} for each update"
        yield with_schedule(words, _moved(schedule, times, 0))
    if accumulate > 1:
        words = "the schedule counts batches, and not updates"
        yield with_schedule(words, _moved(schedule, accumulate, 0))
        yield with_schedule(words, _moved(schedule, accumulate, accumulate - 1))


def _moved(schedule: Schedule, times: int, by: int) -> Schedule:
    """Return the same schedule, of another step."""

    class Moved(type(schedule)):  # type: ignore[misc]
        def factor(self, step: int) -> float:
            return float(super().factor(max(0, times * step + by)))

    values = {key.name: getattr(schedule, key.name) for key in fields(schedule)}
    moved: Schedule = Moved(**values)
    return moved


def of_batches(run: ReferenceRun) -> Iterator[Suspect]:
    """Yield other batches to train on, as many as there are."""

    def trained_on(words: str, batches: Iterable[Batch]) -> Suspect:
        return Suspect(words, replace(run, batches=tuple(batches)))

    first = run.batches[0]
    if run.batches[1:]:
        again = [first] * run.steps
        yield trained_on("the first batch is trained again and again", again)
        shifted = (first, *run.batches[:-1])
        yield trained_on("every step has the batch before", shifted)
        yield trained_on("the order of batches is off by one", (*run.batches[1:], first))
        if all(len(batch.labels) == len(first.labels) for batch in run.batches):
            pairs = [*zip(run.batches, shifted, strict=True)]
            stale = [batch._replace(inputs=before.inputs) for batch, before in pairs]
            yield trained_on("every step has the inputs of the batch before", stale)
            stale = [batch._replace(labels=before.labels) for batch, before in pairs]
            yield trained_on("every step has the labels of the batch before", stale)
            if run.workload.masked:
                stale = [batch._replace(masks=before.masks) for batch, before in pairs]
                yield trained_on("every step has dropout's masks of the step before", stale)
    for words, change in OTHER_MASKS.items():
        if run.workload.masked:
            masked = map(partial(change, run.workload, first), run.batches)
            yield trained_on(words, masked)


def _first_masks(workload: Workload, first: Batch, batch: Batch) -> Batch:
    return batch._replace(masks=tuple(mask[: len(batch.labels)] for mask in first.masks))


def _without_dropout(workload: Workload, first: Batch, batch: Batch) -> Batch:
    """Give masks that undo what dropout does to the elements that it lets pass."""
    shapes = dropouts(workload, len(batch.labels))
    return batch._replace(masks=tuple(np.full(shape, 1 - rate) for rate, shape in shapes))


def _dropping_nothing(workload: Workload, first: Batch, batch: Batch) -> Batch:
    return batch._replace(masks=tuple(map(np.ones_like, batch.masks)))


def _inverted(workload: Workload, first: Batch, batch: Batch) -> Batch:
    return batch._replace(masks=tuple(1 - mask for mask in batch.masks))


OTHER_MASKS: dict[str, Callable[[Workload, Batch, Batch], Any]] = {
    "dropout's first masks are used for all batches": _first_masks,
    "dropout is off": _without_dropout,
    "dropout drops nothing, and scales as if it did": _dropping_nothing,
    "dropout drops what it is to let pass": _inverted,
}
