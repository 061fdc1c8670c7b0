"""Suspects: the reference with one mistake each. The one that fits the answers best gives the hint."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

import numpy as np
from numpy.typing import NDArray

from frameworks.reference.adapter import Reference
from frameworks.reference.blocks import JOINS, Join
from frameworks.reference.function import Function
from frameworks.reference.layers import FUNCTIONS
from frameworks.reference.optimisers import UPDATES, Update
from harness.parity.reference import ReferenceRun
from workloads.batches import Batch
from workloads.cost import batch_work
from workloads.layers import Layer, changed
from workloads.optimisers import Optimiser

Arrays = Mapping[str, NDArray]

LEFT = 0.25
"""A suspect explains an error of which it leaves no more than this: an honest cell's own rounding is in
what it leaves, and another mistake leaves most of it."""

CERTAIN = 0.2
"""What a suspect leaves below this share of a bound is rounding: it tells suspects no further apart."""

FOUND = 1e-4
"""A number is found where a step changes it by less than this, relative."""

CLEAR = 2.0
"""An error below so many bounds may be rounding for a good part."""

SEARCHED = 8
"""How many steps look for the number that fits."""

MOST_WORK, LEAST = 5e10, 20
"""Multiply-adds that suspects may take together, forward; but so many of them in any case."""


class Trainer:
    """Trains as is right; what overrides it makes one mistake."""

    def call(self, reference: Reference, batches: Sequence[Batch]) -> list[float]:
        """Do what one call of `train` does; return its losses."""
        return [self.advance(reference, batch) for batch in batches]

    def advance(self, reference: Reference, batch: Batch) -> float:
        """Take one step; return its loss."""
        step = reference.step(batch)
        reference.update(self.changed(step.gradients, batch))
        return step.loss

    def changed(self, gradients: Arrays, batch: Batch) -> Arrays:
        """Return the gradients that the update takes, from those of the batch."""
        return gradients


@dataclass(frozen=True)
class Suspect:
    """A mistake in words, and the reference that makes it: of another run, or by other formulas."""

    words: str
    run: ReferenceRun
    functions: Mapping[type[Layer] | str, type[Function]] = field(default_factory=dict)
    joins: Mapping[str, Join] = field(default_factory=dict)
    updates: Mapping[type[Optimiser], type[Update]] = field(default_factory=dict)
    trainer: Trainer = field(default_factory=Trainer)

    def reference(self) -> Reference:
        """Return the adapter that makes the mistake, where the run begins."""
        return self.run.reference(
            functions={**FUNCTIONS, **self.functions},
            joins={**JOINS, **self.joins},
            updates={**UPDATES, **self.updates},
        )

    def losses(self) -> NDArray[np.float64]:
        """Return the loss of each step where all are trained in one call, (steps,)."""
        return np.asarray(self.trainer.call(self.reference(), self.run.batches))


Compute = Callable[[Suspect], Arrays]
"""What a suspect answers, by key."""


@dataclass(frozen=True)
class Case:
    """What is wrong: by key what was `observed`, what is `expected`, and the bound of the norm of their
    difference.
    """

    observed: Arrays
    expected: Arrays
    bounds: Mapping[str, float]

    def _off(self, key: str) -> float:
        return float(np.linalg.norm(self.observed[key] - self.expected[key]))

    def left(self, answers: Arrays) -> float:
        """Return the share of the errors that remains where `answers` would be right; 1 or more: all.

        It is the root of the mean square over the keys that are wrong: Adam moves some elements by a
        coin. Infinite where most of what is right would be wrong.
        """
        shares, broken = [], []
        for key, observed in self.observed.items():
            suspect = answers.get(key)
            if suspect is None or np.shape(suspect) != np.shape(observed):
                return np.inf
            residual, bound = float(np.linalg.norm(observed - suspect)), self.bounds[key]
            if self.is_wrong(key):
                shares.append(
                    max(residual, CERTAIN * bound) / max(self._off(key), CLEAR * bound, _TINY)
                )
            else:
                broken.append(residual > bound)
        share = np.sqrt(np.mean(np.square(shares))) if shares else np.inf
        return float(share) if np.isfinite(share) and 2 * sum(broken) <= len(broken) else np.inf

    def is_wrong(self, key: str) -> bool:
        """Whether an answer is off by more than its bound."""
        return not self._off(key) <= self.bounds[key]

    def flat(self, answers: Arrays) -> NDArray:
        """Return those of what is wrong in one array, each on the scale of its error."""
        wrong = {key: max(self._off(key), _TINY) for key in self.observed if self.is_wrong(key)}
        return np.concatenate([np.ravel(answers[key]) / scale for key, scale in wrong.items()])


_TINY = float(np.finfo(float).tiny)


def explained(
    suspects: Iterable[Suspect],
    fits: Callable[..., Iterator[Suspect]],
    compute: Compute,
    case: Case,
    most: float = LEFT,
) -> Iterator[str]:
    """Yield the words of what explains a case best: a suspect, or what `fits` finds if that is better.

    Nothing where it would leave more than `most` of the error.
    """
    words, left = _best(suspects, compute, case, most)
    if left > CERTAIN * most:
        number, left_by_number = _best(fits(compute, case), compute, case, most)
        words = number if 2 * left_by_number < left else words
    if words:
        yield words


def best(suspects: Iterable[Suspect], compute: Compute, case: Case) -> str | None:
    """Return the words of the suspect that explains a case best, the first of equals; None: none does."""
    return _best(suspects, compute, case, LEFT)[0]


def _best(
    suspects: Iterable[Suspect], compute: Compute, case: Case, most: float
) -> tuple[str | None, float]:
    """Return the words of the best, and the share of the error that it leaves."""
    words, least, work = None, most, 0.0
    for number, suspect in enumerate(suspects):
        work += batch_work(suspect.run.workload)
        if work > MOST_WORK and number >= LEAST:
            break
        left = case.left(_answers(suspect, compute))
        if left < least:
            words, least = suspect.words, left
    return words, least


def _answers(suspect: Suspect, compute: Compute) -> Arrays:
    try:
        with np.errstate(all="ignore"):
            return compute(suspect)
    except (ValueError, IndexError, KeyError):  # the suspect's shapes do not even fit
        return {}


def fitted(
    make: Callable[[float], Suspect], value: float, compute: Compute, case: Case
) -> Iterator[Suspect]:
    """Yield the suspect of the number that fits best; `value` is the right one.

    A secant step leads to where the answers come nearest, for they are nearly linear in small changes.
    """
    if not any(map(case.is_wrong, case.observed)):
        return
    before, now = value, 0.99 * value or 1e-2
    answers_before, answers_now = (_answers(make(v), compute) for v in (before, now))
    for _ in range(SEARCHED):
        if not _comparable(case, answers_before) or not _comparable(case, answers_now):
            return
        rise = case.flat(answers_now) - case.flat(answers_before)
        if not np.vdot(rise, rise) > 0 or abs(now - before) < FOUND * now:
            break
        missing = case.flat(case.observed) - case.flat(answers_now)
        step = (now - before) * float(np.vdot(rise, missing) / np.vdot(rise, rise))
        before, now = now, float(np.clip(now + step, now / 1e3, max(1e3 * now, 1e-2)))
        answers_before, answers_now = answers_now, _answers(make(now), compute)
    if np.isfinite(now):
        yield make(now)


def _comparable(case: Case, answers: Arrays) -> bool:
    return all(
        key in answers
        and np.shape(answers[key]) == np.shape(observed)
        and np.isfinite(answers[key]).all()
        for key, observed in case.observed.items()
    )


def of_layers(
    run: ReferenceRun, words: str, change: Callable[[Layer], Layer], single: bool = False
) -> Iterator[Suspect]:
    """Yield the suspect whose layers are changed, all that are; or one at a time, where several are."""
    meant = [i for i, place in enumerate(run.workload.leaves) if change(place.layer) != place.layer]
    chosen = [{i} for i in meant] if single and len(meant) > 1 else [{*meant}] * (not single)
    for places in filter(None, chosen):
        turn = count()

        def at_places(layer: Layer, turn: Iterator[int] = turn, places: set[int] = places) -> Layer:
            return change(layer) if next(turn) in places else layer

        layers = changed(run.workload.layers, at_places)
        where = f", in {run.workload.leaves[min(places)].name}" if single else ""
        yield Suspect(words + where, replace(run, workload=replace(run.workload, layers=layers)))


def of_functions(
    run: ReferenceRun, words: str, kind: type[Layer], function: type[Function], single: bool = False
) -> Iterator[Suspect]:
    """Yield the suspect whose layers of a kind compute that, all; or one at a time, where several are."""
    names = [place.name for place in run.workload.leaves if type(place.layer) is kind]
    if single and len(names) > 1:
        for name in names:
            yield Suspect(f"{words}, in {name}", run, functions={name: function})
    elif names and not single:
        yield Suspect(words, run, functions={kind: function})
