"""The spec's optimisers: MXNet's own, held to the spec's form, for a Gluon Trainer.

A Trainer asks its optimiser for one parameter's (SGD: some parameters') update after the other; what
changes from step to step is set before it does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import mxnet as mx
import numpy as np

from frameworks.contract import unsupported
from workloads import optimisers as spec
from workloads.spec import Workload

Start = Callable[[int], None]  # To be called before each update, counted from 0.


def make(workload: Workload) -> tuple[mx.optimizer.Optimizer, Start | None]:
    """Return a fresh optimiser, and what readies it for an update where updates differ."""
    optimiser: Any = workload.optimiser
    kind = OPTIMISERS.get(type(optimiser)) or unsupported("mxnet", optimiser)
    if kind is ScheduledSgd and optimiser.nesterov:
        kind = Nag
    if kind is ScheduledSgd and workload.schedule == spec.Constant():
        rate, decay = optimiser.lr, optimiser.weight_decay
        return mx.optimizer.SGD(optimiser.momentum, learning_rate=rate, wd=decay), None
    scheduled = kind(workload, optimiser)
    return scheduled, scheduled.start


def scale(workload: Workload, update: int) -> float:
    """Return s of an SGD update, from 0, after which b = -s v: its rate, or lr where that is 0."""
    (rate,) = workload.rates(update, 1)
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
        """Take the rate of an update, from 0."""
        self._moves = self._workload.rates(step, 1) != [0]
        self.lr = scale(self._workload, step)
        if step:
            self.momentum = self._momentum * self.lr / scale(self._workload, step - 1)

    def update_multi_precision(self, index: Any, weight: Any, grad: Any, state: Any) -> None:
        """Move some weights, given as lists."""
        moved = weight if self._moves else [w.copy() for w in weight]
        super().update_multi_precision(index, moved, grad, state)


class Nag(mx.optimizer.NAG):
    """MXNet's Nesterov under any rate: b is scaled to follow it, for momentum also goes beyond b.

    Its operator decays by the weight that it has moved already, so decay comes with the gradient.
    """

    def __init__(self, workload: Workload, optimiser: spec.Sgd) -> None:
        super().__init__(optimiser.momentum, wd=optimiser.weight_decay)
        self._workload = workload

    def start(self, step: int) -> None:
        """Take the rate of an update, from 0."""
        self._moves = self._workload.rates(step, 1) != [0]
        self.lr = scale(self._workload, step)
        self._ratio = self.lr / scale(self._workload, step - 1) if step else 1.0

    def update_multi_precision(self, index: int, weight: Any, grad: Any, state: Any) -> None:
        """Move a weight."""
        decay, factor = self._get_wd(index), self.rescale_grad
        if decay:
            grad, factor = factor * grad + decay * weight, 1.0
        if self._ratio != 1:
            state *= self._ratio
        moved = weight if self._moves else weight.copy()
        constants = {"lr": self.lr, "momentum": self.momentum, "rescale_grad": factor}
        mx.nd.nag_mom_update(moved, grad, state, out=moved, **constants)


class RmsProp(mx.optimizer.Optimizer):
    """By MXNet's Adam, without bias correction and with beta1 = 0: its RMSProp has epsilon in the root.

    Adam's m is then the gradient, and nothing to keep; it comes last of a weight's arrays.
    """

    def __init__(self, workload: Workload, optimiser: spec.RmsProp) -> None:
        super().__init__(wd=optimiser.weight_decay)
        self._rates, self._momentum = workload.rates, optimiser.momentum
        self._slots, self._epsilon = optimiser.formula_slots, optimiser.epsilon
        self._rho = optimiser.rho

    def create_state(self, index: int, weight: Any) -> tuple[Any, ...]:
        """Return the slots of the formula, then Adam's m."""
        return tuple(mx.nd.zeros_like(weight) for _ in (*self._slots, "m"))

    def start(self, step: int) -> None:
        """Take the rate of an update, from 0."""
        (self.lr,) = self._rates(step, 1)

    def update(self, index: int, weight: Any, grad: Any, state: tuple[Any, ...]) -> None:
        """Move one weight."""
        decay, (s, *v, m) = self._get_wd(index), state
        constants = {"beta1": 0.0, "beta2": self._rho, "epsilon": self._epsilon}
        if not v:
            scale = {"rescale_grad": self.rescale_grad, "wd": decay}
            mx.nd.adam_update(weight, grad, m, s, out=weight, lr=self.lr, **scale, **constants)
            return
        g = self.rescale_grad * grad + decay * weight
        still = mx.nd.zeros_like(weight)
        v[0] *= self._momentum
        v[0] += mx.nd.adam_update(still, g, m, s, lr=-1.0, **constants)
        weight -= self.lr * v[0]


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
        """Take the rate and the epsilon of an update, from 0."""
        (self.lr,) = self._rates(step, 1)
        self.epsilon = self._epsilon * math.sqrt(1 - self.beta2 ** (step + 1))


class AdamW(Adam):
    """Adam with the operator that has decoupled weight decay, for which MXNet has no optimiser."""

    def start(self, step: int) -> None:
        """Take the rate and the epsilon of an update, from 0."""
        super().start(step)
        correction = math.sqrt(1 - self.beta2 ** (step + 1)) / (1 - self.beta1 ** (step + 1))
        self._alpha = self.lr * correction

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
            wd=self.lr * self._get_wd(index),
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
    spec.RmsProp: RmsProp,
    spec.Adam: Adam,
    spec.AdamW: AdamW,
}


def clip(optimiser: spec.Optimiser, gradients: Sequence[mx.nd.NDArray], portion: int) -> None:
    """Clip gradients in place, which are `portion` times what the spec clips.

    gluon.utils.clip_global_norm adds 1e-8 to the norm, and would be told a limit for the sums, too.
    """
    if optimiser.clip_value:
        limit = optimiser.clip_value * portion
        for gradient in gradients:
            mx.nd.clip(gradient, -limit, limit, out=gradient)
    if optimiser.clip_norm:
        most = optimiser.clip_norm * portion
        norm = mx.nd.sqrt(mx.nd.sum(mx.nd.multi_sum_sq(*gradients, num_arrays=len(gradients))))
        scale = most / mx.nd.maximum(norm, most)  # at most 1
        for gradient in gradients:
            gradient *= scale
