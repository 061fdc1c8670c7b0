"""Optimisers by another formula than the spec's, each with one mistake."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frameworks.reference.optimisers import UPDATES, Adam, AdamW, RmsProp, Sgd, Update
from harness.diagnosis.suspects import Suspect
from harness.parity.reference import ReferenceRun
from workloads import layers
from workloads import optimisers as spec

Arrays = Mapping[str, NDArray]


class InsideTheRoot(Adam):
    """sqrt(s / correction + epsilon)."""

    def root(self, s: NDArray, correction: np.floating) -> NDArray:
        return np.sqrt(s / correction + self.epsilon)


class BeforeCorrection(Adam):
    """(sqrt(s) + epsilon) / sqrt(correction): the paper's other form, "epsilon hat"."""

    def root(self, s: NDArray, correction: np.floating) -> NDArray:
        return (np.sqrt(s) + self.epsilon) / np.sqrt(correction)


class Uncorrected(Adam):
    """Without bias correction."""

    def corrections(self) -> tuple[np.floating, np.floating]:
        return self.scalar(1), self.scalar(1)


class CorrectedAsFirst(Adam):
    """The bias correction stays that of the first update: the count of steps was compiled in."""

    first: np.floating | None = None

    def corrections(self) -> tuple[np.floating, np.floating]:
        self.first = self.t if self.first is None else self.first
        return self.scalar(1) - self.beta1**self.first, self.scalar(1) - self.beta2**self.first


class RmsInsideTheRoot(RmsProp):
    """sqrt(s + epsilon)."""

    def root(self, s: NDArray) -> NDArray:
        return np.sqrt(s + self.epsilon)


class Centred(RmsProp):
    """s less the square of an average of g."""

    def move(self, gradients: Arrays, rate: float) -> None:
        averages = self.__dict__.setdefault("averages", self._zeros())
        for name, w in self.weights.items():
            g = gradients[name] + self.decay[name] * w
            average = averages[name] = self.rho * averages[name] + (1 - self.rho) * g
            s = self.s[name] = self.rho * self.s[name] + (1 - self.rho) * g * g
            change = g / self.root(np.maximum(s - average**2, 0))
            v = self.v[name] = self.momentum * self.v[name] + change
            w[...] = w - rate * v


class FromOne(RmsProp):
    """s begins at 1."""

    def __init__(self, *rest: Any) -> None:
        super().__init__(*rest)
        for array in self.s.values():
            array[...] = 1


class RateInMemory(Sgd):
    """v = momentum v + rate g; w -= v."""

    def move(self, gradients: Arrays, rate: float) -> None:
        for name, w in self.weights.items():
            g = rate * (gradients[name] + self.decay[name] * w)
            v = self.v[name] = self.momentum * self.v[name] + g
            w[...] = w - (g + self.momentum * v if self.nesterov else v)


class RmsRateInMemory(RmsProp):
    """v = momentum v + rate g / (sqrt(s) + epsilon); w -= v."""

    def move(self, gradients: Arrays, rate: float) -> None:
        for name, w in self.weights.items():
            g = gradients[name] + self.decay[name] * w
            s = self.s[name] = self.rho * self.s[name] + (1 - self.rho) * g * g
            v = self.v[name] = self.momentum * self.v[name] + rate * g / self.root(s)
            w[...] = w - v


class FullDecay(AdamW):
    """w -= lr weight_decay w: by the rate that no schedule has changed."""

    def _decayed(self, name: str, g: NDArray, rate: np.floating) -> NDArray:
        return super()._decayed(name, g, self.scalar(self.optimiser.lr))


class DecayWithoutRate(AdamW):
    """w -= weight_decay w."""

    def _decayed(self, name: str, g: NDArray, rate: np.floating) -> NDArray:
        return super()._decayed(name, g, self.scalar(1))


OF_A_KIND: tuple[tuple[str, type[spec.Optimiser], type[Update]], ...] = (
    ("epsilon stands inside the root", spec.Adam, InsideTheRoot),
    (
        'epsilon is added before the bias correction (the paper\'s "epsilon hat")',
        *(spec.Adam, BeforeCorrection),
    ),
    ("the bias correction is left out", spec.Adam, Uncorrected),
    (
        "the bias correction stays that of the first update: a count of steps that is compiled in",
        *(spec.Adam, CorrectedAsFirst),
    ),
    ("epsilon stands inside the root", spec.RmsProp, RmsInsideTheRoot),
    ("rmsprop is centred: s less the square of the average gradient", spec.RmsProp, Centred),
    ("rmsprop's s begins at 1, not at 0", spec.RmsProp, FromOne),
    (
        "the learning rate is in the momentum's memory, which a schedule then reaches late",
        *(spec.RmsProp, RmsRateInMemory),
    ),
    (
        "the learning rate is in the momentum's memory, which a schedule then reaches late",
        *(spec.Sgd, RateInMemory),
    ),
    ("weight decay takes no part in the schedule", spec.AdamW, FullDecay),
    ("weight decay is not multiplied by the learning rate", spec.AdamW, DecayWithoutRate),
)
"""Mistakes in words, the optimiser that may have them, and what it then is."""


def _decoupled(update: type[Update]) -> type[Update]:
    """Return AdamW with what an Adam does otherwise."""
    return type("Decoupled", (update, AdamW), {})


def corrected_as_first(kind: type[spec.Optimiser]) -> type[Update]:
    """Return Adam, or AdamW, whose bias correction stays that of the first update."""
    return CorrectedAsFirst if kind is spec.Adam else _decoupled(CorrectedAsFirst)


def _clipping_each(base: type[Update]) -> type[Update]:
    class Each(base):  # type: ignore[valid-type, misc]
        def clipped(self, gradients: Arrays) -> Arrays:
            return {k: super(Each, self).clipped({k: g})[k] for k, g in gradients.items()}

    return Each


def _clipping_batches(base: type[Update]) -> type[Update]:
    class Batches(base):  # type: ignore[valid-type, misc]
        def take(self, gradients: Arrays, rate: float | None) -> None:
            super().take(super().clipped(gradients), rate)

        def clipped(self, gradients: Arrays) -> Arrays:
            return gradients

    return Batches


def _clipping_sums(base: type[Update]) -> type[Update]:
    class Sums(base):  # type: ignore[valid-type, misc]
        def clipped(self, gradients: Arrays) -> Arrays:
            count = self.optimiser.accumulate
            clipped = super().clipped({name: count * g for name, g in gradients.items()})
            return {name: g / count for name, g in clipped.items()}

    return Sums


def _clipping_decay(base: type[Update]) -> type[Update]:
    class Decay(base):  # type: ignore[valid-type, misc]
        def clipped(self, gradients: Arrays) -> Arrays:
            decays = {name: self.decay[name] * w for name, w in self.weights.items()}
            clipped = super().clipped({name: g + decays[name] for name, g in gradients.items()})
            return {name: g - decays[name] for name, g in clipped.items()}

    return Decay


def _clipping_updates(base: type[Update]) -> type[Update]:
    class Updates(base):  # type: ignore[valid-type, misc]
        def move(self, gradients: Arrays, rate: float) -> None:
            before = {name: w.copy() for name, w in self.weights.items()}
            super().move(gradients, rate)
            moves = {n: (before[n] - w) / (rate or 1) for n, w in self.weights.items()}
            for name, moved in super().clipped(moves).items():
                self.weights[name][...] = before[name] - (rate or 1) * moved

        def clipped(self, gradients: Arrays) -> Arrays:
            return gradients

    return Updates


def _averaging_before(base: type[Update]) -> type[Update]:
    class Before(base):  # type: ignore[valid-type, misc]
        def take(self, gradients: Arrays, rate: float | None) -> None:
            before, averages = dict(self.average), {k: w.copy() for k, w in self.weights.items()}
            super().take(gradients, rate)
            share = 1 - self.optimiser.average
            if rate is not None:
                for name, w in averages.items():
                    self.average[name] = before[name] + share * (w - before[name])

    return Before


def _averaging_sooner(base: type[Update]) -> type[Update]:
    class Sooner(base):  # type: ignore[valid-type, misc]
        count = 0

        def take(self, gradients: Arrays, rate: float | None) -> None:
            before = dict(self.average)
            super().take(gradients, rate)
            if rate is not None:
                self.count += 1
                share = min(self.optimiser.average, (1 + self.count) / (10 + self.count))
                for name, w in self.weights.items():
                    self.average[name] = share * before[name] + (1 - share) * w

    return Sooner


def _sparse(base: type[Update]) -> type[Update]:
    """Rows of an embedding whose gradient is zero stay, and so does their memory."""

    class Sparse(base):  # type: ignore[valid-type, misc]
        def take(self, gradients: Arrays, rate: float | None) -> None:
            rows = {name: ~np.any(gradients[name], axis=1) for name in self.embeddings}
            saved = [
                (arrays, name, arrays[name].copy())
                for arrays in (self.weights, *map(partial(getattr, self), self.optimiser.slots))
                for name in rows
            ]
            super().take(gradients, rate)
            for arrays, name, before in saved:
                arrays[name][rows[name]] = before[rows[name]]

    return Sparse


def suspects(run: ReferenceRun) -> Iterator[Suspect]:
    """Yield other formulas of the workload's optimiser, and other ways around it."""
    optimiser = run.workload.optimiser
    kind = type(optimiser)
    base = UPDATES[kind]
    for words, of, update in OF_A_KIND:
        if kind is of or (kind is spec.AdamW and of is spec.Adam):
            other = update if kind is of else _decoupled(update)
            yield Suspect(words, run, updates={kind: other})
    around = []
    if optimiser.clip_norm:
        around.append(
            ("each tensor is clipped by its own norm, not by that of all", _clipping_each)
        )
    if optimiser.clip_norm or optimiser.clip_value:
        around.append(("the update is clipped, and not the gradient", _clipping_updates))
        if optimiser.accumulate > 1:
            around += [
                ("each batch's gradient is clipped, and not their mean", _clipping_batches),
                ("the batches' sum is clipped, and not their mean", _clipping_sums),
            ]
        if optimiser.weight_decay and kind is not spec.AdamW:
            around.append(("weight decay is clipped with the gradient", _clipping_decay))
    if optimiser.average:
        around += [
            ("the average takes in the weights of before the update", _averaging_before),
            (
                "the average begins faster: by (1 + t) / (10 + t) where that is less",
                _averaging_sooner,
            ),
        ]
    embeddings = [
        f"{place.name}.weight"
        for place in run.workload.leaves
        if isinstance(place.layer, layers.Embedding)
    ]
    if embeddings:
        words = "rows of an embedding stay whose tokens are in no example (a lazy, sparse update)"
        update = type("Lazy", (_sparse(base),), {"embeddings": embeddings})
        yield Suspect(words, run, updates={kind: update})
    for words, change in around:
        yield Suspect(words, run, updates={kind: change(base)})
