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
        self.decay = self.scalar(optimiser.weight_decay)

    @abstractmethod
    def move(self, gradients: Arrays, rate: float) -> None:
        """Take one step; `gradients` has an array a weight, `rate` is this step's learning rate."""

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
    """g += weight_decay w;  v = momentum v + g;  w -= rate v."""

    def __init__(
        self, optimiser: spec.Sgd, weights: Arrays, arithmetic: Arithmetic = EXACT
    ) -> None:
        super().__init__(optimiser, weights, arithmetic)
        self.momentum = self.scalar(optimiser.momentum)
        self.v = self._zeros()

    def move(self, gradients: Arrays, rate: float) -> None:
        store = self.arithmetic.store
        for name, w in self.weights.items():
            g = gradients[name] + self.decay * w
            v = self.v[name] = store(self.momentum * self.v[name] + g)
            w[...] = store(w - self.arithmetic.each(self.scalar(rate) * v))


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
        self.t = self.scalar(memory.steps)

    def move(self, gradients: Arrays, rate: float) -> None:
        unit, step_rate = self.scalar(1), self.scalar(rate)
        store = self.arithmetic.store
        self.t += unit
        correct_m, correct_s = unit - self.beta1**self.t, unit - self.beta2**self.t
        for name, w in self.weights.items():
            g = self._decayed(gradients[name], w, step_rate)
            m = self.m[name] = store(self.beta1 * self.m[name] + (unit - self.beta1) * g)
            s = self.s[name] = store(self.beta2 * self.s[name] + (unit - self.beta2) * g * g)
            change = step_rate * (m / correct_m) / (np.sqrt(s / correct_s) + self.epsilon)
            w[...] = store(w - self.arithmetic.each(change, roundings=4))

    def _decayed(self, g: NDArray, w: NDArray, rate: np.floating) -> NDArray:
        """Return the gradient with weight decay in it."""
        return g + self.decay * w


class AdamW(Adam):
    """Loshchilov and Hutter 2019: w -= rate weight_decay w, then Adam's step with the bare g."""

    def _decayed(self, g: NDArray, w: NDArray, rate: np.floating) -> NDArray:
        w -= rate * self.decay * w
        # Some multiply by 1 - rate weight_decay, which is rounded as 1 is.
        w[...] = self.arithmetic.each(w, roundings=2)
        return g


UPDATES: dict[type[spec.Optimiser], type[Update]] = {
    spec.Sgd: Sgd,
    spec.Adam: Adam,
    spec.AdamW: AdamW,
}
