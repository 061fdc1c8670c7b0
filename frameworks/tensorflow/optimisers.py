"""The spec's optimisers by TensorFlow's raw operations, which are fused and work in place.

What changes from step to step (the rate, Adam's bias corrections) is worked out on the host in
float64 and handed to the step as scalar tensors: nothing is traced twice, and a workload that has
nothing of the kind hands over nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from frameworks.contract import unsupported
from workloads.optimisers import Adam, AdamW, Constant, Optimiser, Sgd
from workloads.spec import Workload

Scalars = tuple[tf.Tensor, ...]


class Update:
    """Moves variables; `scalars` is how many scalars each step's `apply` takes.

    `slots` has a variable for each of those, by the spec's names; `steps` were taken.
    """

    scalars: int

    def __init__(self, workload: Workload, variables: Sequence[tf.Variable]) -> None:
        self._workload, self._variables = workload, variables
        names = workload.optimiser.slots
        self.slots = {slot: [tf.Variable(tf.zeros_like(v)) for v in variables] for slot in names}
        self.steps = 0

    def reset(self) -> None:
        """Go back to before the first step."""
        self.steps = 0
        for variables in self.slots.values():
            for variable in variables:
                variable.assign(tf.zeros_like(variable))

    def take(self, count: int) -> list[Scalars]:
        """Return the scalars of the next `count` steps, which now count as taken."""
        start, self.steps = self.steps, self.steps + count
        if not self.scalars:
            return [()] * count
        rates = self._workload.rates(start, count)
        rows = [self._row(start + i + 1, rate) for i, rate in enumerate(rates)]
        flat = tf.unstack(tf.constant(np.asarray(rows, np.float32).ravel()))
        return [tuple(flat[i : i + self.scalars]) for i in range(0, len(flat), self.scalars)]

    def _row(self, t: int, rate: float) -> tuple[float, ...]:
        """Return the scalars of step `t`, from 1."""
        raise NotImplementedError

    def apply(self, gradients: Sequence[tf.Tensor], *scalars: tf.Tensor) -> None:
        """Take the step."""
        raise NotImplementedError


class SgdUpdate(Update):
    """ResourceApplyMomentum is the spec's form: the rate stays out of the memory."""

    def __init__(
        self, workload: Workload, optimiser: Sgd, variables: Sequence[tf.Variable]
    ) -> None:
        self.scalars = 0 if workload.schedule == Constant() else 1
        super().__init__(workload, variables)
        self._rate = tf.constant(optimiser.lr, tf.float32)
        self._momentum = tf.constant(optimiser.momentum, tf.float32)
        self._decay = optimiser.weight_decay

    def _row(self, t: int, rate: float) -> tuple[float, ...]:
        return (rate,)

    def apply(self, gradients: Sequence[tf.Tensor], *scalars: tf.Tensor) -> None:
        rate = scalars[0] if scalars else self._rate
        for i, (w, g) in enumerate(zip(self._variables, gradients, strict=True)):
            if self._decay:
                g = g + self._decay * w
            if self.slots:
                tf.raw_ops.ResourceApplyMomentum(
                    var=w.handle,
                    accum=self.slots["v"][i].handle,
                    lr=rate,
                    grad=g,
                    momentum=self._momentum,
                )
            else:
                tf.raw_ops.ResourceApplyGradientDescent(var=w.handle, alpha=rate, delta=g)


class AdamUpdate(Update):
    """ResourceApplyAdam, held to the spec's form.

    The operation computes w -= alpha m / (sqrt(s) + e) with an e before the bias correction. With
    c = sqrt(1 - beta2^t), the spec's step is that with alpha = rate c / (1 - beta1^t) and
    e = epsilon c. Both come ready; betas' powers of 0 switch the operation's own correction off,
    which float32 would spoil: 1 - beta2^t has lost 5 digits of 8 at its start.
    """

    def __init__(
        self, workload: Workload, optimiser: Adam, variables: Sequence[tf.Variable]
    ) -> None:
        self._optimiser = optimiser
        self._decoupled = type(optimiser) is AdamW and optimiser.weight_decay > 0
        self._coupled = optimiser.weight_decay > 0 and not self._decoupled
        self.scalars = 3 if self._decoupled else 2
        super().__init__(workload, variables)
        # In float32, as the operation has them: the correction has to undo what it does.
        self._betas = np.float32(optimiser.beta1), np.float32(optimiser.beta2)
        names = {"beta1": self._betas[0], "beta2": self._betas[1]}
        powers = {"beta1_power": 0.0, "beta2_power": 0.0}
        self._constants = {k: tf.constant(v, tf.float32) for k, v in (names | powers).items()}

    def _row(self, t: int, rate: float) -> tuple[float, ...]:
        beta1, beta2 = map(float, self._betas)
        correction = math.sqrt(1 - beta2**t)
        row = (rate * correction / (1 - beta1**t), self._optimiser.epsilon * correction)
        return (*row, rate * self._optimiser.weight_decay) if self._decoupled else row

    def apply(self, gradients: Sequence[tf.Tensor], *scalars: tf.Tensor) -> None:
        alpha, epsilon, *decay = scalars
        slots = self.slots["m"], self.slots["s"]
        for w, m, s, g in zip(self._variables, *slots, gradients, strict=True):
            if self._coupled:
                g = g + self._optimiser.weight_decay * w
            if decay:
                w.assign_sub(decay[0] * w)
            tf.raw_ops.ResourceApplyAdam(
                var=w.handle,
                m=m.handle,
                v=s.handle,
                lr=alpha,
                epsilon=epsilon,
                grad=g,
                **self._constants,
            )


UPDATES: dict[type[Optimiser], Callable[..., Update]] = {
    Sgd: SgdUpdate,
    Adam: AdamUpdate,
    AdamW: AdamUpdate,
}


def update(workload: Workload, variables: Sequence[tf.Variable]) -> Update:
    """Return the workload's optimiser for `variables`."""
    optimiser = workload.optimiser
    make = UPDATES.get(type(optimiser)) or unsupported("tensorflow", optimiser)
    return make(workload, optimiser, variables)
