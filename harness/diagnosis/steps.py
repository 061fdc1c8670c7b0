"""Ways to take a step otherwise, in words: of half a batch, by late gradients, in evaluation mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from frameworks.reference.adapter import Reference
from frameworks.reference.arithmetic import EXACT
from frameworks.reference.losses import LOSSES
from harness.diagnosis.functions import evaluating
from harness.diagnosis.suspects import Case, Compute, Suspect, Trainer, fitted
from harness.diagnosis.trainers import (
    AtFirstWeights,
    AtOldWeights,
    BySize,
    ClippedAsSum,
    Decaying,
    InTwo,
    Late,
    MeanOfHalves,
    OfHalf,
    Overwritten,
    Reporting,
    RoundedGradients,
    Scaled,
    Stored,
    StoredMemory,
    Times,
    bfloat16,
    float16,
    rows_of,
)
from harness.diagnosis.training import LossAfter
from harness.parity.reference import ReferenceRun
from workloads.batches import Batch
from workloads.spec import Workload

EVERY = (2, 3, 4, 5, 8)
"""Of so many updates one may be left out each time."""

SINGLE_OUT = 16
"""Of no more parameters than these is each one's gradient looked at by itself."""


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
    ("the gradient is the sum over a batch, and not the mean", BySize(1)),
    ("the gradient is divided by the batch's size twice", BySize(-1)),
]
"""Those of batches of several examples."""


def suspects(run: ReferenceRun) -> Iterator[Suspect]:
    """Yield other ways to take each step."""
    trainers = [*ANY_SIZE, *(OF_SEVERAL if run.workload.data.batch > 1 else ())]
    optimiser = run.workload.optimiser
    if optimiser.clip_norm or optimiser.clip_value:
        words = "the sum of a batch's gradients is clipped, and not their mean"
        trainers.append((words, ClippedAsSum(optimiser.clip_norm, optimiser.clip_value)))
    words = "gradients are taken at the weights of the start: a graph holds them"
    trainers.append((words, AtFirstWeights(run)))
    words = "a batch is the one behind it in its list: a buffer that is filled again too early"
    trainers.append((words, Overwritten()))
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
    for period in EVERY:
        for phase in range(period):
            words = f"one of {period} updates is left out"
            yield Suspect(words, run, trainer=Times(partial(_but_one_of, period, phase)))


def _but_for(at: int, count: int, number: int) -> int:
    return count if number == at else 1


def _but_one_of(period: int, phase: int, number: int) -> int:
    return int(number % period != phase)


def of_sums(run: ReferenceRun) -> Iterator[Suspect]:
    """Yield gradients that are twice what is right, or half of it: of two halves or replicas."""
    for scale in (2, 0.5):
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
    return reference.step(rows_of(batch, rows(len(batch.labels)))).loss


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
