"""Optimisers and schedules, each by its formula. g is a gradient, w a weight, t the step from 1.

`rate` is the learning rate of the step at hand: the optimiser's lr times the schedule's factor.
Weight decay is *coupled* (part of the gradient: g + weight_decay w) in sgd and adam, *decoupled*
(Loshchilov and Hutter 2019) in adamw; it applies to every parameter.

A new optimiser is one class here, one in the reference and one line in each adapter; an adapter without
it is unavailable for workloads that have it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

from workloads.reading import by_kind, number


@dataclass(frozen=True)
class Optimiser:
    """What moves the weights. `kind` is its word in a spec.

    `adaptive`: its step is about as large for a gradient near zero as for any other, so that rounding
    decides which way such a weight moves, and the parity check allows for both.
    """

    kind: ClassVar[str]
    adaptive: ClassVar[bool] = False
    lr: float = field(metadata=number(above=0))
    weight_decay: float = field(default=0.0, metadata=number(low=0), kw_only=True)

    @property
    def slots(self) -> tuple[str, ...]:
        """The names, in the formula, of what is kept for each weight from step to step."""
        raise NotImplementedError


@dataclass(frozen=True)
class Sgd(Optimiser):
    """g += weight_decay w;  v = momentum v + g;  w -= rate v;  v = 0 at the start."""

    kind: ClassVar[str] = "sgd"
    momentum: float = field(default=0.0, metadata=number(low=0, below=1))

    @property
    def slots(self) -> tuple[str, ...]:
        return ("v",) if self.momentum else ()


@dataclass(frozen=True)
class Adam(Optimiser):
    """Kingma and Ba 2015, epsilon outside the root and after the bias correction.

    g += weight_decay w;  m = beta1 m + (1 - beta1) g;  s = beta2 s + (1 - beta2) g^2;
    w -= rate (m / (1 - beta1^t)) / (sqrt(s / (1 - beta2^t)) + epsilon).
    """

    kind: ClassVar[str] = "adam"
    adaptive: ClassVar[bool] = True
    beta1: float = field(default=0.9, metadata=number(low=0, below=1))
    beta2: float = field(default=0.999, metadata=number(low=0, below=1))
    epsilon: float = field(default=1e-8, metadata=number(above=0))

    @property
    def slots(self) -> tuple[str, ...]:
        return ("m", "s")


@dataclass(frozen=True)
class AdamW(Adam):
    """w -= rate weight_decay w first, then Adam's step without weight decay in g."""

    kind: ClassVar[str] = "adamw"


OPTIMISERS = by_kind(Optimiser)


@dataclass(frozen=True)
class Schedule:
    """The factor on lr, by the step t from 0. In the first `warmup` steps it is (t + 1) / warmup."""

    kind: ClassVar[str]
    warmup: int = field(default=0, metadata=number(low=0), kw_only=True)

    def factor(self, step: int) -> float:
        """Return the factor for the step `step`, from 0."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        return self.after(step - self.warmup)

    def after(self, step: int) -> float:
        """Return the factor `step` steps after the warm-up."""
        raise NotImplementedError


@dataclass(frozen=True)
class Constant(Schedule):
    """1."""

    kind: ClassVar[str] = "constant"

    def after(self, step: int) -> float:
        return 1.0


@dataclass(frozen=True)
class Stairs(Schedule):
    """gamma^floor(t / every)."""

    kind: ClassVar[str] = "step"
    every: int = field(metadata=number(low=1))
    gamma: float = field(default=0.1, metadata=number(above=0))

    def after(self, step: int) -> float:
        return self.gamma ** (step // self.every)


@dataclass(frozen=True)
class Cosine(Schedule):
    """(1 + cos(pi min(t, steps) / steps)) / 2."""

    kind: ClassVar[str] = "cosine"
    steps: int = field(metadata=number(low=1))

    def after(self, step: int) -> float:
        return (1 + math.cos(math.pi * min(step, self.steps) / self.steps)) / 2


SCHEDULES = by_kind(Schedule)
