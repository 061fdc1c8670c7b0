"""The optimisers of `workloads.optimisers`, by their formulas.

Each changes the weights in place. Every scalar is rounded to the weights' dtype first, and what is
computed from scalars is computed in it, so that a float32 study is one throughout.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from frameworks.contract import Memory
from frameworks.reference.arithmetic import EXACT, Arithmetic
from workloads import optimisers as spec

Arrays = Mapping[str, NDArray]


class Update(ABC):
    """What moves `weights`, all of one dtype, from before the first step on.

    Each of the optimiser's slots is an attribute of that name.
    """

    def __init__(
        self, optimiser: spec.Optimiser, weights: Arrays, arithmetic: Arithmetic = EXACT
    ) -> None:
        self.optimiser, self.weights, self.arithmetic = optimiser, weights, arithmetic
        self.scalar = next(iter(weights.values())).dtype.type
        self.decay = {n: self.scalar(optimiser.decay_of(w.shape)) for n, w in weights.items()}
        self.sum = self._zeros()
        self.average = {name: w.copy() for name, w in weights.items()}

    def take(self, gradients: Arrays, rate: float | None) -> None:
        """Take a step by a batch's gradients; `rate` is its update's, None where it has no update."""
        store, portion = self.arithmetic.store, self.scalar(self.optimiser.accumulate)
        if portion > 1:
            for name, g in gradients.items():
                self.sum[name] = store(self.sum[name] + g)
        if rate is None:
            return
        if portion > 1:
            rounded = self.arithmetic.each
            gradients = {name: rounded(g / portion) for name, g in self.sum.items()}
            self.sum = self._zeros()
        self.move(self.clipped(gradients), rate)
        if self.optimiser.average:
            share = self.scalar(self.optimiser.average)
            for name, w in self.weights.items():
                moved = (self.scalar(1) - share) * (w - self.average[name])
                self.average[name] = store(self.average[name] + self.arithmetic.each(moved))

    def clipped(self, gradients: Arrays) -> Arrays:
        """Return the gradients after clipping, by value or by the norm of them all."""
        value, most = self.scalar(self.optimiser.clip_value), self.scalar(self.optimiser.clip_norm)
        if value:
            return {name: np.clip(g, -value, value) for name, g in gradients.items()}
        if not most:
            return gradients
        squares = [self.arithmetic.sum(np.square(g).ravel(), 0) for g in gradients.values()]
        norm = np.sqrt(self.arithmetic.sum(np.stack(squares), 0))
        scale = self.arithmetic.each(most / np.maximum(norm, most), roundings=3)  # 1 at most
        return {name: self.arithmetic.each(g * scale) for name, g in gradients.items()}

    @abstractmethod
    def move(self, gradients: Arrays, rate: float) -> None:
        """Update the weights; `gradients` has an array a weight, `rate` is the learning rate."""

    @property
    def slots(self) -> dict[str, dict[str, NDArray]]:
        """The arrays themselves, by slot and weight."""
        return {slot: getattr(self, slot) for slot in self.optimiser.slots}

    def restore(self, memory: Memory) -> None:
        """Go on from `memory`, rounded to the weights' dtype."""
        for slot, arrays in self.slots.items():
            arrays.update({name: memory.slots[slot][name].astype(self.scalar) for name in arrays})

    def _zeros(self) -> dict[str, NDArray]:
        return {name: np.zeros_like(w) for name, w in self.weights.items()}


class Sgd(Update):
    """g += weight_decay w;  v = momentum v + g;  w -= rate v, with Nesterov rate (g + momentum v)."""

    def __init__(
        self, optimiser: spec.Sgd, weights: Arrays, arithmetic: Arithmetic = EXACT
    ) -> None:
        super().__init__(optimiser, weights, arithmetic)
        self.momentum, self.nesterov = self.scalar(optimiser.momentum), optimiser.nesterov
        self.v = self._zeros()

    def move(self, gradients: Arrays, rate: float) -> None:
        store, rounded = self.arithmetic.store, self.arithmetic.each
        for name, w in self.weights.items():
            g = gradients[name] + self.decay[name] * w
            v = self.v[name] = store(self.momentum * self.v[name] + g)
            if self.nesterov:
                v = rounded(g + self.momentum * v, np.abs(g) + np.abs(self.momentum * v), 2)
            w[...] = store(w - rounded(self.scalar(rate) * v))


class RmsProp(Update):
    """Tieleman and Hinton 2012; weight decay is part of the gradient.

    s = rho s + (1 - rho) g^2;  v = momentum v + g / (sqrt(s) + epsilon);  w -= rate v.
    """

    def __init__(
        self, optimiser: spec.RmsProp, weights: Arrays, arithmetic: Arithmetic = EXACT
    ) -> None:
        super().__init__(optimiser, weights, arithmetic)
        self.rho, self.momentum = self.scalar(optimiser.rho), self.scalar(optimiser.momentum)
        self.epsilon = self.scalar(optimiser.epsilon)
        self.s, self.v = self._zeros(), self._zeros()

    def move(self, gradients: Arrays, rate: float) -> None:
        unit, store, rounded = self.scalar(1), self.arithmetic.store, self.arithmetic.each
        for name, w in self.weights.items():
            g = gradients[name] + self.decay[name] * w
            s = self.s[name] = store(self.rho * self.s[name] + (unit - self.rho) * g * g)
            change = rounded(g / self.root(s), roundings=3)
            v = self.v[name] = store(self.momentum * self.v[name] + change)
            w[...] = store(w - rounded(self.scalar(rate) * v))

    def root(self, s: NDArray) -> NDArray:
        """Return what a gradient is divided by."""
        return np.sqrt(s) + self.epsilon


class Adam(Update):
    """Kingma and Ba 2015; weight decay is part of the gradient.

    g += weight_decay w;  m = beta1 m + (1 - beta1) g;  s = beta2 s + (1 - beta2) g^2;
    w -= rate (m / (1 - beta1^t)) / (sqrt(s / (1 - beta2^t)) + epsilon), t from 1.
    """

    def __init__(
        self, optimiser: spec.Adam, weights: Arrays, arithmetic: Arithmetic = EXACT
    ) -> None:
        super().__init__(optimiser, weights, arithmetic)
        self.beta1, self.beta2 = self.scalar(optimiser.beta1), self.scalar(optimiser.beta2)
        self.epsilon = self.scalar(optimiser.epsilon)
        self.m, self.s = self._zeros(), self._zeros()
        self.t = self.scalar(0)

    def restore(self, memory: Memory) -> None:
        super().restore(memory)
        self.t = self.scalar(memory.steps // self.optimiser.accumulate)

    def move(self, gradients: Arrays, rate: float) -> None:
        unit, step_rate = self.scalar(1), self.scalar(rate)
        store = self.arithmetic.store
        self.t += unit
        correct_m, correct_s = self.corrections()
        for name, w in self.weights.items():
            g = self._decayed(name, gradients[name], step_rate)
            m = self.m[name] = store(self.beta1 * self.m[name] + (unit - self.beta1) * g)
            s = self.s[name] = store(self.beta2 * self.s[name] + (unit - self.beta2) * g * g)
            change = step_rate * (m / correct_m) / self.root(s, correct_s)
            w[...] = store(w - self.arithmetic.each(change, roundings=4))

    def corrections(self) -> tuple[np.floating, np.floating]:
        """Return what m and s are divided by, as both begin at zero."""
        return self.scalar(1) - self.beta1**self.t, self.scalar(1) - self.beta2**self.t

    def root(self, s: NDArray, correction: np.floating) -> NDArray:
        """Return what m is divided by."""
        return np.sqrt(s / correction) + self.epsilon

    def _decayed(self, name: str, g: NDArray, rate: np.floating) -> NDArray:
        """Return the gradient of a weight with weight decay in it."""
        return g + self.decay[name] * self.weights[name]


class AdamW(Adam):
    """Loshchilov and Hutter 2019: w -= rate weight_decay w, then Adam's step with the bare g."""

    def _decayed(self, name: str, g: NDArray, rate: np.floating) -> NDArray:
        w, decay = self.weights[name], self.decay[name]
        if decay:
            w -= rate * decay * w
            # Some multiply by 1 - rate weight_decay, which is rounded as 1 is.
            w[...] = self.arithmetic.each(w, roundings=2)
        return g


UPDATES: dict[type[spec.Optimiser], type[Update]] = {
    spec.Sgd: Sgd,
    spec.RmsProp: RmsProp,
    spec.Adam: Adam,
    spec.AdamW: AdamW,
}
