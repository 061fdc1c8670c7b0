"""Optimisers and schedules, each by its formula. g is a gradient, w a weight, t the update from 1.

An update is made of g in this order; what a workload leaves out is skipped:

1. accumulation: sum += g of each batch; with the last of `accumulate` batches g = sum / accumulate, and
   sum = 0. Other batches end without an update. A step is a batch: batch norm's state moves in each;
2. clipping: by value, each element g = min(max(g, -clip_value), clip_value); or by global norm,
   g = g min(1, clip_norm / ||g||), ||g|| being the norm of all parameters' gradients together;
3. the optimiser's formula. `rate` is the learning rate of the update at hand: lr times the schedule's
   factor, which counts updates, as t does. Weight decay is *coupled* (part of the gradient,
   g + weight_decay w, not clipped) in sgd, adam and rmsprop, *decoupled* (Loshchilov and Hutter 2019) in
   adamw. It applies to all parameters, or to kernels: those of two or more axes, no biases, no norms;
4. averaging: average = a average + (1 - a) w, from the start weights on, a being the key `average`.
   Predictions are by `average` in place of w; batch norm's state is the training's.

A new optimiser is one class here, one in the reference and one line in each adapter; an adapter without
it is unavailable for workloads that have it.
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass, field
from typing import ClassVar

from workloads.reading import SpecError, by_kind, later, number, one_of


@dataclass(frozen=True)
class Optimiser:
    """What moves the weights. `kind` is its word in a spec.

    `adaptive`: its step is about as large for a gradient near zero as for any other, so that rounding
    decides which way such a weight moves, and the parity check allows for both. Clipping needs no such
    thing: it is continuous, and nothing is differentiated through it.
    """

    kind: ClassVar[str]
    adaptive: ClassVar[bool] = False
    lr: float = field(metadata=number(above=0))
    _: KW_ONLY
    weight_decay: float = field(default=0.0, metadata=number(low=0))
    decay: str = later("all", one_of("all", "kernels"))
    clip_norm: float = later(0.0, number(low=0))
    clip_value: float = later(0.0, number(low=0))
    accumulate: int = later(1, number(low=1))
    average: float = later(0.0, number(low=0, below=1))

    @property
    def formula_slots(self) -> tuple[str, ...]:
        """The names, in the formula, of what is kept for each weight from update to update."""
        raise NotImplementedError

    @property
    def slots(self) -> tuple[str, ...]:
        """All that is kept for each weight from step to step: also the sum of gradients, the average."""
        summed = ("sum",) if self.accumulate > 1 else ()
        return (*self.formula_slots, *summed, *(("average",) if self.average else ()))

    def decay_of(self, shape: tuple[int, ...]) -> float:
        """Return the weight decay of a parameter of this shape."""
        return self.weight_decay if self.decay == "all" or len(shape) > 1 else 0.0

    def updates(self, start: int, count: int) -> list[int | None]:
        """Return, for each of `count` steps from `start`, the update that it ends with, or None.

        Both are counted from 0.
        """
        ends = ((step + 1) % self.accumulate == 0 for step in range(start, start + count))
        steps = range(start, start + count)
        return [
            step // self.accumulate if end else None for step, end in zip(steps, ends, strict=True)
        ]

    def check(self) -> None:
        """Raise SpecError where keys contradict each other."""
        if self.clip_norm and self.clip_value:
            raise SpecError("clip_norm and clip_value exclude each other: leave one out")
        if self.decay != "all" and not self.weight_decay:
            raise SpecError(
                f'decay = "{self.decay}" needs weight_decay: set it, or leave decay out'
            )


@dataclass(frozen=True)
class Sgd(Optimiser):
    """g += weight_decay w;  v = momentum v + g;  w -= rate v;  v = 0 at the start.

    With `nesterov` (Sutskever et al. 2013) w -= rate (g + momentum v), of the new v.
    """

    kind: ClassVar[str] = "sgd"
    momentum: float = field(default=0.0, metadata=number(low=0, below=1))
    nesterov: bool = later(False)

    @property
    def formula_slots(self) -> tuple[str, ...]:
        return ("v",) if self.momentum else ()

    def check(self) -> None:
        super().check()
        if self.nesterov and not self.momentum:
            raise SpecError("nesterov = true needs momentum: set momentum, or leave nesterov out")


@dataclass(frozen=True)
class RmsProp(Optimiser):
    """Tieleman and Hinton 2012, not centred, epsilon outside the root; s = v = 0 at the start.

    g += weight_decay w;  s = rho s + (1 - rho) g^2;  v = momentum v + g / (sqrt(s) + epsilon);
    w -= rate v.
    """

    kind: ClassVar[str] = "rmsprop"
    adaptive: ClassVar[bool] = True
    rho: float = field(default=0.9, metadata=number(low=0, below=1))
    momentum: float = field(default=0.0, metadata=number(low=0, below=1))
    epsilon: float = field(default=1e-8, metadata=number(above=0))

    @property
    def formula_slots(self) -> tuple[str, ...]:
        return ("s", "v") if self.momentum else ("s",)


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
    def formula_slots(self) -> tuple[str, ...]:
        return ("m", "s")


@dataclass(frozen=True)
class AdamW(Adam):
    """w -= rate weight_decay w first, then Adam's step without weight decay in g."""

    kind: ClassVar[str] = "adamw"


OPTIMISERS = by_kind(Optimiser)


@dataclass(frozen=True)
class Schedule:
    """The factor on lr, by the update t from 0. In the first `warmup` it is (t + 1) / warmup."""

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
        try:
            return self.gamma ** (step // self.every)
        except OverflowError:  # Python's floats raise where those of arrays are infinite
            return math.inf


@dataclass(frozen=True)
class Cosine(Schedule):
    """(1 + cos(pi min(t, steps) / steps)) / 2."""

    kind: ClassVar[str] = "cosine"
    steps: int = field(metadata=number(low=1))

    def after(self, step: int) -> float:
        return (1 + math.cos(math.pi * min(step, self.steps) / self.steps)) / 2


SCHEDULES = by_kind(Schedule)
