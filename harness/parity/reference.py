"""The reference run: what is right for a workload, and how far correct implementations may be from it.

The reference takes the same steps many times, side by side: once in float64, which is right; once in
float32; several times with random errors of the size of rounding at every operation; and with ties
decided both ways. What these runs deviate from the first by is the bound of every tensor.
docs/explanation/parity.md derives it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from frameworks.answers import Answers, checkpoints, first_step
from frameworks.contract import Memory, Options, Step, Weights
from frameworks.reference.adapter import Reference
from harness.parity.deviations import ROUNDING, Group, looked_at
from workloads.batches import Batch
from workloads.cost import is_heavy
from workloads.spec import Workload

SAMPLES, FEWER = 8, 3
"""How many runs with random errors show what rounding does; fewer where a step is work for seconds:
its tensors are so large that one run shows as much."""


DECIDES = 0.5
"""A bound that reaches this share of what it bounds shows nothing."""

CANCELS = 1e-3
"""A gradient that is this much smaller than its terms together is what is left of their cancelling."""

ZERO = 2.0**-24
"""What is this much smaller than float32's rounding of its terms is float64's rounding of zero."""


class ReferenceDiverged(ValueError):
    """The reference's training does not stay finite."""

    def __init__(self, step: int) -> None:
        super().__init__(
            f"the reference is not finite from step {step} on: lower the learning rate,"
            " or normalise the inputs"
        )


@dataclass(frozen=True)
class ReferenceRun:
    """The right answers to a workload's first steps, with a bound for each.

    `answers` are float64, by the keys of `frameworks.answers`. `bounds` are by precision and key: what
    the norm and the largest element of a difference from them may be, (2,), absolute; of "losses"
    (steps, 2). `apart` marks, by precision and key, the elements of weights that Adam moved by the
    sign of a gradient that may be either: norms leave them out. `vanishing` names the parameters whose
    first gradient cancels: it is rounding, and far smaller than its terms. Nothing depends on them.
    """

    workload: Workload
    start: Weights
    batches: tuple[Batch, ...]
    memory: Memory | None = None
    answers: Answers = field(default_factory=dict)
    bounds: Mapping[str, Mapping[str, NDArray]] = field(default_factory=dict)
    apart: Mapping[str, Mapping[str, NDArray]] = field(default_factory=dict)
    vanishing: frozenset[str] = frozenset()

    @property
    def steps(self) -> int:
        """How many steps were taken."""
        return len(self.batches)

    def updates(self, steps: int) -> int:
        """How many updates there are in its first `steps` steps."""
        taken = self.memory.steps if self.memory else 0
        numbers = self.workload.optimiser.updates(taken, steps)
        return sum(number is not None for number in numbers)

    def first_step(self) -> ReferenceRun:
        """Return the same for the first step alone: what is asked again after the timed part.

        With a single batch, there is no list of several to predict.
        """
        moments = "weights/1/", "average/1/", "predicted/0/", "predicted/1/"
        prefixes = "logits", "loss", "gradient/", *moments
        keys = [k for k in self.answers if k.startswith(prefixes) and not k.endswith("/list")]
        answers = {key: self.answers[key] for key in keys}
        answers["losses"] = self.answers["losses"][:1]
        return replace(self, batches=self.batches[:1], answers=answers)

    def reference(self, **options: Any) -> Reference:
        """Return the reference adapter where this run begins; `options` are its own."""
        reference = Reference(self.workload, self.start, Options("numpy"), **options)
        if self.memory is not None:
            reference.restore(self.memory)
        return reference


def run_reference(
    workload: Workload,
    start: Weights,
    batches: Sequence[Batch],
    precisions: Iterable[str] = (),
    memory: Memory | None = None,
    samples: int | None = None,
) -> ReferenceRun:
    """Take a step a batch from `start`, in every way that shows how far rounding may lead.

    `precisions` are those of the cells to compare, beside float32. `memory` is what the optimiser
    remembers at `start`, where that is the middle of a training. `samples` is how many runs with
    random errors there are: SAMPLES or FEWER, unless said.

    Raises:
        ReferenceDiverged: a loss or a weight is not finite, in float64 or in float32.
    """
    run = ReferenceRun(workload, start, tuple(batches), memory)
    if samples is None:
        samples = FEWER if is_heavy(workload) else SAMPLES
    # One thread: small products split over many threads wait more than they compute.
    with threadpool_limits(1), np.errstate(all="ignore"):
        study = _Study(run, sorted({"float32", *precisions}), samples)
        return study.finish()


class _Study:
    """The exact run and, side by side with it, the groups of runs that deviate from it."""

    def __init__(self, run: ReferenceRun, precisions: Sequence[str], samples: int) -> None:
        self._run, self._exact = run, run.reference()
        self._groups = {
            name: Group(run.reference, run.workload, name, samples) for name in precisions
        }
        self._answers: Answers = {}
        self._vanishing: frozenset[str] = frozenset()

    def finish(self) -> ReferenceRun:
        """Take all steps; return the run with its answers and bounds."""
        accumulate = self._run.workload.optimiser.accumulate
        marks, losses = set(checkpoints(self._run.steps, accumulate)), []
        self._look(0)
        for number, batch in enumerate(self._run.batches, 1):
            losses.append(self._step(number, batch))
            if number in marks:
                self._look(number)
        self._answers["losses"] = np.array(losses)
        bounds = {name: group.bounds() for name, group in self._groups.items()}
        return replace(
            self._run,
            answers=self._answers,
            bounds=bounds,
            apart={name: group.apart for name, group in self._groups.items()},
            vanishing=self._vanishing,
        )

    def _step(self, number: int, batch: Batch) -> float:
        """Take a step in all runs; return the loss."""
        step = self._exact.step(batch)
        kinked = {name: function.x for name, function in self._exact.kinked.items()}
        first = number == 1
        for name, group in self._groups.items():
            deviations = group.step(batch, step, kinked, first)
            if first and name == "float32":
                self._vanishing = self._cancelling(step, deviations)
        if first:
            self._answers |= first_step(step)
        self._exact.update(step.gradients)
        if not (np.isfinite(step.loss) and all(g.finite for g in self._groups.values())):
            raise ReferenceDiverged(number)
        return step.loss

    def _cancelling(self, step: Step, deviations: Mapping[str, float]) -> frozenset[str]:
        """Return the parameters whose gradient is rounding, and far smaller than its terms."""
        names = set()
        for name, gradient in step.gradients.items():
            layer, _, short = name.rpartition(".")
            size, terms = float(np.linalg.norm(gradient)), self._exact.layer(layer).terms[short]
            hidden = size * DECIDES <= ROUNDING * deviations[name]
            if hidden and max(size, deviations[name]) <= CANCELS * terms:
                names.add(name)
        return frozenset(names)

    def _look(self, steps: int) -> None:
        """Compare weights and predictions of all runs after so many steps."""
        exact = looked_at(self._exact, self._run.batches, steps)
        self._answers |= exact
        for group in self._groups.values():
            group.look(exact, self._run.batches, steps)
