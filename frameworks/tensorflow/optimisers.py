"""The spec's optimisers by TensorFlow's raw operations, which are fused and work in place.

What changes from step to step (the rate, Adam's bias corrections) is worked out on the host in
float64 and handed to the step as one small tensor: nothing is traced twice, and a workload that has
nothing of the kind hands over nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from frameworks.contract import unsupported
from workloads.optimisers import Adam, AdamW, Constant, Optimiser, RmsProp, Sgd
from workloads.spec import Workload

Scalars = tuple[tf.Tensor, ...]
"""What a step takes beside its batch: one tensor of its scalars, or nothing."""


class Update:
    """Moves variables; `scalars` is how many numbers each update's `apply` takes, in one tensor.

    `slots` has a variable for each of those, by the spec's names; `steps` were taken.
    """

    scalars: int

    def __init__(self, workload: Workload, variables: Sequence[tf.Variable]) -> None:
        self._workload, self._variables = workload, variables
        optimiser = workload.optimiser
        self._decays = [optimiser.decay_of(shape) for shape in workload.parameters.values()]
        names = optimiser.slots
        self.slots = {slot: [tf.Variable(tf.zeros_like(v)) for v in variables] for slot in names}
        self.reset()

    def reset(self) -> None:
        """Go back to before the first step."""
        self.steps = 0
        for slot, variables in self.slots.items():
            for variable, weight in zip(variables, self._variables, strict=True):
                variable.assign(weight if slot == "average" else tf.zeros_like(variable))

    def take(self, count: int) -> list[Scalars | None]:
        """Return the scalars of the next `count` steps, which now count as taken.

        None stands for a step that ends without an update.
        """
        updates = self._workload.optimiser.updates(self.steps, count)
        self.steps += count
        if not self.scalars:
            return [None if update is None else () for update in updates]
        numbers = [update for update in updates if update is not None]
        first = numbers[0] if numbers else 0
        rates = zip(numbers, self._workload.rates(first, len(numbers)), strict=True)
        rows = [self._row(update + 1, rate) for update, rate in rates]
        tensors = iter(tf.unstack(tf.constant(rows, tf.float32)) if rows else ())
        return [None if update is None else (next(tensors),) for update in updates]

    def _row(self, t: int, rate: float) -> tuple[float, ...]:
        """Return the scalars of update `t`, from 1."""
        raise NotImplementedError

    def gather(self, gradients: Sequence[tf.Tensor]) -> None:
        """Take in the gradients of a batch that ends without an update."""
        for total, g in zip(self.slots["sum"], gradients, strict=True):
            total.assign_add(g)

    def update(self, gradients: Sequence[tf.Tensor], *scalars: tf.Tensor) -> None:
        """Make the update that a batch ends with."""
        optimiser = self._workload.optimiser
        if optimiser.accumulate > 1:
            sums = self.slots["sum"]
            means = zip(sums, gradients, strict=True)
            gradients = [(total + g) / optimiser.accumulate for total, g in means]
            for total in sums:
                total.assign(tf.zeros_like(total))
        if limit := optimiser.clip_value:
            gradients = [tf.clip_by_value(g, -limit, limit) for g in gradients]
        if optimiser.clip_norm:
            gradients, _ = tf.clip_by_global_norm(gradients, optimiser.clip_norm)
        self.apply(gradients, *scalars)
        for average, w in zip(self.slots.get("average", ()), self._variables, strict=False):
            average.assign_add((1 - optimiser.average) * (w - average))

    def apply(self, gradients: Sequence[tf.Tensor], *scalars: tf.Tensor) -> None:
        """Move the variables by the optimiser's formula."""
        raise NotImplementedError


class SgdUpdate(Update):
    """ResourceApplyMomentum is the spec's form, also Nesterov's: the rate stays out of the memory."""

    def __init__(
        self, workload: Workload, optimiser: Sgd | RmsProp, variables: Sequence[tf.Variable]
    ) -> None:
        self.scalars = 0 if workload.schedule == Constant() else 1
        super().__init__(workload, variables)
        self._rate = tf.constant(optimiser.lr, tf.float32)
        self._momentum = tf.constant(optimiser.momentum, tf.float32)
        self._nesterov = isinstance(optimiser, Sgd) and optimiser.nesterov

    def _row(self, t: int, rate: float) -> tuple[float, ...]:
        return (rate,)

    def apply(self, gradients: Sequence[tf.Tensor], *scalars: tf.Tensor) -> None:
        rate = scalars[0][0] if scalars else self._rate
        for i, (w, g) in enumerate(zip(self._variables, gradients, strict=True)):
            if self._decays[i]:
                g = g + self._decays[i] * w
            g = self._direction(i, g)
            if "v" in self.slots:
                tf.raw_ops.ResourceApplyMomentum(
                    var=w.handle,
                    accum=self.slots["v"][i].handle,
                    lr=rate,
                    grad=g,
                    momentum=self._momentum,
                    use_nesterov=self._nesterov,
                )
            else:
                tf.raw_ops.ResourceApplyGradientDescent(var=w.handle, alpha=rate, delta=g)

    def _direction(self, i: int, g: tf.Tensor) -> tf.Tensor:
        """Return what momentum gathers of variable `i`, whose gradient is `g`."""
        return g


class RmsPropUpdate(SgdUpdate):
    """Written out: ResourceApplyRMSProp has epsilon inside the root, and the rate in the memory."""

    def _direction(self, i: int, g: tf.Tensor) -> tf.Tensor:
        rmsprop: Any = self._workload.optimiser
        slot = self.slots["s"][i]
        s = rmsprop.rho * slot + (1 - rmsprop.rho) * tf.square(g)
        slot.assign(s)
        return g / (tf.sqrt(s) + rmsprop.epsilon)


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
        alpha, epsilon, *decay = tf.unstack(scalars[0])
        slots = self.slots["m"], self.slots["s"]
        variables = zip(self._variables, self._decays, *slots, gradients, strict=True)
        for w, part, m, s, g in variables:
            if part and self._coupled:
                g = g + part * w
            if part and decay:
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
    RmsProp: RmsPropUpdate,
    Adam: AdamUpdate,
    AdamW: AdamUpdate,
}


def update(workload: Workload, variables: Sequence[tf.Variable]) -> Update:
    """Return the workload's optimiser for `variables`."""
    optimiser = workload.optimiser
    make = UPDATES.get(type(optimiser)) or unsupported("tensorflow", optimiser)
    return make(workload, optimiser, variables)
