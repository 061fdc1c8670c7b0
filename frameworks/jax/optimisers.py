"""A spec's optimisers as pure functions over dicts of arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from itertools import repeat

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from frameworks.contract import unsupported
from frameworks.jax.model import Pytree
from workloads.optimisers import Adam, AdamW, Optimiser, Sgd
from workloads.spec import Workload

Slots = dict[str, Pytree]  # by the spec's names: Adam's m and s, SGD's v if it has momentum
# Weights, slots, gradients, and one of `tuning`'s rows, to weights and slots.
Update = Callable[[Pytree, Slots, Pytree, "Array | None"], tuple[Pytree, Slots]]


def zeros(optimiser: Optimiser, weights: Pytree) -> Slots:
    """Return the slots before the first step."""
    return {slot: jax.tree.map(jnp.zeros_like, weights) for slot in optimiser.slots}


def tuning(workload: Workload, start: int, count: int) -> Iterable[NDArray[np.float32] | None]:
    """Return for each step from `start` its rate and Adam's two bias corrections: float32 (3,).

    They are computed here, in float64: in float32, 1 - beta2^t of the first steps has few digits
    left. An argument that changes its value only compiles nothing again. None for constant SGD,
    whose rate is compiled in.
    """
    optimiser, schedule = workload.optimiser, workload.schedule
    if isinstance(optimiser, Adam):
        rows = []
        for t, rate in enumerate(workload.rates(start, count), start + 1):
            first, second = 1 - optimiser.beta1**t, 1 - optimiser.beta2**t
            rows.append((rate, rate / first, second**-0.5))
        return list(np.array(rows, np.float32))
    if schedule.kind == "constant" and not schedule.warmup:
        return repeat(None, count)
    return list(np.array([(rate, 0, 0) for rate in workload.rates(start, count)], np.float32))


def update(optimiser: Optimiser) -> Update:
    """Return what gives weights and slots after a step, of those before, gradients and a row."""
    return partial(UPDATES.get(type(optimiser)) or unsupported("jax", optimiser), optimiser)


def _sgd(
    sgd: Sgd, weights: Pytree, slots: Slots, gradients: Pytree, row: Array | None
) -> tuple[Pytree, Slots]:
    rate = sgd.lr if row is None else row[0]
    gradients = _with_decay(sgd, weights, gradients)
    if slots:
        momentum = sgd.momentum
        gradients = jax.tree.map(lambda v, g: momentum * v + g, slots["v"], gradients)
        slots = {"v": gradients}
    return jax.tree.map(lambda w, v: w - rate * v, weights, gradients), slots


def _adam(
    adam: Adam, weights: Pytree, slots: Slots, gradients: Pytree, row: Array
) -> tuple[Pytree, Slots]:
    rate, rate_of_m, root_of_s = row[0], row[1], row[2]
    beta1, beta2, decay = adam.beta1, adam.beta2, adam.weight_decay
    if type(adam) is AdamW and decay:
        weights = jax.tree.map(lambda w: w - rate * decay * w, weights)
    elif decay:
        gradients = _with_decay(adam, weights, gradients)
    m = jax.tree.map(lambda m, g: beta1 * m + (1 - beta1) * g, slots["m"], gradients)
    s = jax.tree.map(lambda s, g: beta2 * s + (1 - beta2) * jnp.square(g), slots["s"], gradients)

    def move(w: Array, m: Array, s: Array) -> Array:
        return w - rate_of_m * m / (jnp.sqrt(s) * root_of_s + adam.epsilon)

    return jax.tree.map(move, weights, m, s), {"m": m, "s": s}


def _with_decay(optimiser: Optimiser, weights: Pytree, gradients: Pytree) -> Pytree:
    """Return the gradients with coupled weight decay in them."""
    decay = optimiser.weight_decay
    return jax.tree.map(lambda g, w: g + decay * w, gradients, weights) if decay else gradients


UPDATES: dict[type[Optimiser], Callable[..., tuple[Pytree, Slots]]] = {
    Sgd: _sgd,
    Adam: _adam,
    AdamW: _adam,
}
