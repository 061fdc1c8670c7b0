"""Runs of the reference that deviate from the exact one as correct implementations may."""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from frameworks.answers import Answers, first_step, probes
from frameworks.contract import Step
from frameworks.reference.adapter import Reference
from frameworks.reference.arithmetic import ROUNDED, noisy
from workloads.batches import Batch
from workloads.cost import batch_work
from workloads.layers import AT_EQUALS, AT_ZERO
from workloads.spec import Workload

ROUNDING = 4.0
"""How many times the largest deviation among the runs with rounding an implementation may deviate."""

REACH = 2.0
"""How many times the largest deviation of an element makes a tie: of an activation near a kink, or of a
gradient near zero."""

MOST_TIES = 8
"""How many elements of a layer are forced to a side: where more are as near to a kink, the runs with
rounding show what their decisions do."""

WORTH_A_THREAD = 5e7
"""Multiply-adds of a batch from which on runs that go side by side gain more than threads cost."""

T = TypeVar("T")

Sizes = NDArray[np.float64]
"""The norm of an array and its largest absolute value: (2,)."""


def sizes(x: NDArray, apart: NDArray | None = None) -> Sizes:
    """Return the norm and the largest absolute value of x; what is not finite is infinite.

    The elements that `apart` marks do not count for the norm.
    """
    flat = np.ravel(x)
    counted = flat if apart is None else flat[~np.ravel(apart)]
    result = np.array([np.linalg.norm(counted), np.max(np.abs(flat), initial=0.0)])
    return np.where(np.isfinite(result), result, np.inf)


class Largest(defaultdict[str, Sizes]):
    """By key: the largest deviation of any run so far."""

    def __init__(self) -> None:
        super().__init__(lambda: np.zeros(2))

    def add(
        self,
        answers: Mapping[str, NDArray],
        exact: Mapping[str, NDArray],
        apart: Mapping[str, NDArray] | None = None,
    ) -> None:
        """Take in a run's answers; `apart` marks by key the elements that norms leave out."""
        marks = apart or {}
        for key, array in answers.items():
            self[key] = np.maximum(self[key], sizes(array - exact[key], marks.get(key)))


@dataclass(frozen=True)
class Tied:
    """A run in which all ties go to one side: those of layers, and those of gradients near zero.

    `keeps_equals`: those of equal elements, as in max-pooling, are left as they are. A maximum then takes
    what ReLU lets pass thanks to its reach, where nothing else in the window passes.
    """

    reference: Reference
    side: int
    keeps_equals: bool = False

    def step(
        self, batch: Batch, near: Mapping[str, NDArray], slopes: Mapping[str, NDArray], push: bool
    ) -> tuple[Step, dict[str, NDArray]]:
        """Return the step, and the gradients to update with.

        `near` is the reach of each kinked layer, `slopes` that of each gradient, which are moved by it
        where `push`.
        """
        for name, function in self.reference.kinked.items():
            moved = not (self.keeps_equals and function.layer.kink == AT_EQUALS)
            function.side, function.reach = (self.side if moved else 0), near[name]
        step = self.reference.step(batch)
        if not push:
            return step, step.gradients
        gradients = {k: g + self.side * slopes[k] for k, g in step.gradients.items()}
        return step, gradients


class Group:
    """The runs that deviate as one precision may."""

    def __init__(
        self, make: Callable[..., Reference], workload: Workload, precision: str, samples: int
    ) -> None:
        """`make` returns a reference at the start; `samples` is how many have random errors."""
        seeds = np.random.SeedSequence(workload.data.seed).spawn(samples)
        generators = [np.random.Generator(np.random.SFC64(seed)) for seed in seeds]
        self._rounded = [make(arithmetic=noisy(precision, generator)) for generator in generators]
        self._tied: list[Tied] = []
        # Coarse rounding decides ties by itself.
        if precision in ROUNDED:
            self._rounded += [make(arithmetic=arithmetic) for arithmetic in ROUNDED[precision]]
        else:
            self._rounded.append(make(dtype=np.float32))
            self._tied = list(_tied(make, workload))
        self._push = workload.optimiser.adaptive
        self._kinked_at_zero = [p.name for p in workload.leaves if p.layer.kink == AT_ZERO]
        self._pool: Executor | None = None
        if batch_work(workload) > WORTH_A_THREAD:
            self._pool = ThreadPoolExecutor(os.cpu_count())
        self._rounding = Largest()
        self._ties = {side: Largest() for side in (1, -1)}
        self._losses: list[float] = []
        self._coins: dict[str, NDArray] = {}
        self.apart: dict[str, NDArray] = {}
        self.finite = True

    def step(
        self, batch: Batch, exact: Step, kinked: Mapping[str, NDArray], first: bool
    ) -> dict[str, float]:
        """Take a step in every run; return by how much each gradient's norm may deviate.

        `exact` is the exact run's step, `kinked` the inputs of its layers with non-differentiable points;
        `first` has the step compared as a whole, and not its loss only.
        """
        answers = dict(first_step(exact))
        near = {name: np.zeros_like(x) for name, x in kinked.items()}
        slopes = {name: np.zeros_like(g) for name, g in exact.gradients.items()}
        norms, losses = dict.fromkeys(slopes, 0.0), [0.0]
        steps = self._each(lambda reference: reference.step(batch), self._rounded)
        for reference, step in zip(self._rounded, steps, strict=True):
            for name, function in reference.kinked.items():
                np.maximum(near[name], np.abs(function.x - kinked[name]), out=near[name])
            for name, gradient in step.gradients.items():
                difference = np.abs(gradient - exact.gradients[name])
                np.maximum(slopes[name], difference, out=slopes[name])
                norms[name] = max(norms[name], float(np.linalg.norm(difference)))
            losses.append(abs(step.loss - exact.loss))
            if first:
                self._rounding.add(dict(first_step(step)), answers)
        gradients = [step.gradients for step in steps]
        self._each(lambda pair: pair[0].update(pair[1]), zip(self._rounded, gradients, strict=True))
        near = {name: REACH * reach for name, reach in near.items()}
        for name in self._kinked_at_zero:
            near[name] = _nearest(kinked[name], near[name])
        slopes = {name: REACH * reach for name, reach in slopes.items()}
        self._toss(exact.gradients, slopes)
        ties = {1: 0.0, -1: 0.0}
        tied_steps = self._each(lambda tied: tied.step(batch, near, slopes, self._push), self._tied)
        for tied, (step, pushed) in zip(self._tied, tied_steps, strict=True):
            ties[tied.side] = max(ties[tied.side], abs(step.loss - exact.loss))
            if first:
                self._ties[tied.side].add(dict(first_step(step)), answers)
            tied.reference.update(pushed)
        self._add_loss(ROUNDING * max(losses) + math.hypot(*ties.values()))
        return norms

    def _each(self, work: Callable[[Any], T], parts: Iterable[Any]) -> list[T]:
        """Do the same for every run, side by side where that is worth it."""
        return list(self._pool.map(work, parts) if self._pool else map(work, parts))

    def _toss(self, gradients: Mapping[str, NDArray], slopes: Mapping[str, NDArray]) -> None:
        """Mark the elements whose update was a coin's: gradients within rounding of zero.

        What does not depend on an element has a gradient of exactly zero, in every run.
        """
        if self._push:
            for name, gradient in gradients.items():
                coins = (np.abs(gradient) <= slopes[name]) & (slopes[name] > 0)
                self._coins[name] = self._coins.get(name, False) | coins

    def _add_loss(self, bound: float) -> None:
        """Keep a step's bound of the loss: a scalar may come near by luck, so it never shrinks."""
        self.finite = bool(np.isfinite(bound))
        self._losses.append(max([bound, *self._losses[-1:]]))

    def look(self, exact: Answers, batches: Sequence[Batch], steps: int) -> None:
        """Compare every run's weights and predictions after so many steps with the exact run's.

        `apart` then also marks, by key, the elements of weights that were a coin's: a norm says nothing
        of them, and only their largest deviation is bounded.
        """
        coins = {
            f"{kind}/{steps}/{name}": marks
            for name, marks in self._coins.items()
            for kind in ("weights", "average")
        }
        self.apart |= {key: marks for key, marks in coins.items() if marks.any()}
        for largest, references in self._parts():
            looks = self._each(lambda reference: looked_at(reference, batches, steps), references)
            for answers in looks:
                largest.add(answers, exact, self.apart)

    def _parts(self) -> Iterator[tuple[Largest, list[Reference]]]:
        yield self._rounding, self._rounded
        for tied in self._tied:
            yield self._ties[tied.side], [tied.reference]

    def bounds(self) -> dict[str, NDArray]:
        """Return by key how far an answer may be from the exact one.

        Some ties may go to the one side and some to the other, so both deviations add up, as what is
        independent does.
        """
        up, down = self._ties.values()
        bounds = {
            key: ROUNDING * rounding + np.hypot(up[key], down[key])
            for key, rounding in self._rounding.items()
        }
        return bounds | {"losses": np.array(self._losses)}


def _nearest(x: NDArray, reach: NDArray) -> NDArray:
    """Return `reach`, but 0 for elements that more than MOST_TIES others are nearer to zero than."""
    ratios = np.abs(x) / np.maximum(reach, np.finfo(np.float64).tiny)
    if np.count_nonzero(ratios < 1) <= MOST_TIES:
        return reach
    return np.where(ratios <= np.partition(ratios.ravel(), MOST_TIES)[MOST_TIES], reach, 0.0)


def _tied(make: Callable[..., Reference], workload: Workload) -> Iterator[Tied]:
    kinks = {place.layer.kink for place in workload.leaves} - {""}
    if kinks or workload.optimiser.adaptive:
        yield Tied(make(), 1)
        yield Tied(make(), -1)
    if {AT_ZERO, AT_EQUALS} <= kinks:
        yield Tied(make(), -1, keeps_equals=True)


def looked_at(reference: Reference, batches: Sequence[Batch], steps: int) -> Answers:
    """Return the answers about weights and predictions after so many steps."""
    inputs = probes(batches)
    # Once for the longest list: the others are the first of its rows.
    rows = reference.predict(inputs["list"])
    answers = {
        f"predicted/{steps}/{probe}": rows[: sum(map(len, batches_of_probe))]
        for probe, batches_of_probe in inputs.items()
    }
    if steps:
        answers |= {f"weights/{steps}/{name}": w for name, w in reference.weights().items()}
        answers |= {f"average/{steps}/{name}": w for name, w in reference.averages().items()}
    return answers
