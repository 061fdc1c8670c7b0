"""The spec's optimisers: MXNet's own, held to the spec's form, for a Gluon Trainer.

A Trainer asks its optimiser for one parameter's (SGD: some parameters') update after the other; what
changes from step to step is set before it does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mxnet as mx
import numpy as np

from frameworks.contract import unsupported
from workloads import optimisers as spec
from workloads.spec import Workload

Start = Callable[[int], None]  # To be called before each step, counted from 0.


def make(workload: Workload) -> tuple[mx.optimizer.Optimizer, Start | None]:
    """Return a fresh optimiser, and what readies it for a step where steps differ."""
    optimiser: Any = workload.optimiser
    kind = OPTIMISERS.get(type(optimiser)) or unsupported("mxnet", optimiser)
    if kind is ScheduledSgd and workload.schedule == spec.Constant():
        rate, decay = optimiser.lr, optimiser.weight_decay
        return mx.optimizer.SGD(optimiser.momentum, learning_rate=rate, wd=decay), None
    scheduled = kind(workload, optimiser)
    return scheduled, scheduled.start


def scale(workload: Workload, step: int) -> float:
    """Return s of the SGD step `step`, from 0, after which b = -s v: its rate, or lr where that is 0."""
    (rate,) = workload.rates(step, 1)
    return rate or workload.optimiser.lr


class ScheduledSgd(mx.optimizer.SGD):
    """MXNet's SGD under a rate that changes.

    Its memory is b = momentum b - rate g, w += b: the spec's v, times minus the step's rate. For
    that to stay so, b follows the rate: "momentum correction", Goyal et al. 2017, section 3. Where
    the rate is 0 (a cosine's end), b goes on by another scale, and moves a copy of the weights.
    """

    def __init__(self, workload: Workload, optimiser: spec.Sgd) -> None:
        super().__init__(optimiser.momentum, wd=optimiser.weight_decay)
        self._workload, self._momentum = workload, optimiser.momentum

    def start(self, step: int) -> None:
        """Take the rate of a step, from 0."""
        self._moves = self._workload.rates(step, 1) != [0]
        self.lr = scale(self._workload, step)
        if step:
            self.momentum = self._momentum * self.lr / scale(self._workload, step - 1)

    def update_multi_precision(self, index: Any, weight: Any, grad: Any, state: Any) -> None:
        """Move some weights, given as lists."""
        moved = weight if self._moves else [w.copy() for w in weight]
        super().update_multi_precision(index, moved, grad, state)


class Adam(mx.optimizer.Adam):
    """MXNet's Adam, whose epsilon comes before the bias correction, not after it.

    With c = sqrt(1 - beta2^t) it computes w -= (rate c / (1 - beta1^t)) m / (sqrt(s) + e), which is
    the spec's step with e = epsilon c.
    """

    def __init__(self, workload: Workload, optimiser: spec.Adam) -> None:
        # In float32, as the operator has them: the correction has to undo what it does.
        beta1, beta2 = float(np.float32(optimiser.beta1)), float(np.float32(optimiser.beta2))
        super().__init__(beta1=beta1, beta2=beta2, wd=optimiser.weight_decay)
        self._rates, self._epsilon = workload.rates, optimiser.epsilon

    def start(self, step: int) -> None:
        """Take the rate and the epsilon of a step, from 0."""
        (self.lr,) = self._rates(step, 1)
        self.epsilon = self._epsilon * math.sqrt(1 - self.beta2 ** (step + 1))


class AdamW(Adam):
    """Adam with the operator that has decoupled weight decay, for which MXNet has no optimiser."""

    def start(self, step: int) -> None:
        """Take the rate, the decay and the epsilon of a step, from 0."""
        super().start(step)
        correction = math.sqrt(1 - self.beta2 ** (step + 1)) / (1 - self.beta1 ** (step + 1))
        self._alpha, self._decay = self.lr * correction, self.lr * self.wd

    def update(self, index: int, weight: Any, grad: Any, state: tuple[Any, Any]) -> None:
        """Move one weight; the operator decays it by `wd` outright, and decays before it moves."""
        mx.nd.contrib.adamw_update(
            weight,
            grad,
            *state,
            rescale_grad=self._scale(weight.context),
            lr=self._alpha,
            eta=1.0,
            beta1=self.beta1,
            beta2=self.beta2,
            epsilon=self.epsilon,
            wd=self._decay,
            out=weight,
        )

    def _scale(self, context: mx.Context) -> mx.nd.NDArray:
        """Return the gradients' factor (a Trainer sets it) as the array that the operator takes."""
        if getattr(self, "_scaled_by", None) != self.rescale_grad:
            self._scaled_by = self.rescale_grad
            self._factor = mx.nd.full((1,), self.rescale_grad, context)
        return self._factor


OPTIMISERS: dict[type[spec.Optimiser], type[Any]] = {
    spec.Sgd: ScheduledSgd,
    spec.Adam: Adam,
    spec.AdamW: AdamW,
}
