"""A spec's optimisers as pure functions over dicts of arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import repeat

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from frameworks.contract import unsupported
from frameworks.jax.model import Pytree
from workloads.optimisers import Adam, AdamW, Optimiser, RmsProp, Sgd
from workloads.spec import Workload

Slots = dict[str, Pytree]  # by the spec's names: Adam's m and s, SGD's v if it has momentum
# Weights, slots, gradients, and one of `tuning`'s rows, to weights and the slots that it moved.
Update = Callable[[Pytree, Slots, Pytree, "Array | None"], tuple[Pytree, Slots]]


def start(optimiser: Optimiser, weights: Pytree) -> Slots:
    """Return the slots before the first step: zeros, but the average is the weights."""
    slots = {slot: jax.tree.map(jnp.zeros_like, weights) for slot in optimiser.slots}
    if optimiser.average:
        slots["average"] = jax.tree.map(jnp.copy, weights)
    return slots


def tuning(workload: Workload, start: int, count: int) -> Iterable[NDArray[np.float32] | None]:
    """Return for each update from `start` its rate and Adam's two bias corrections: float32 (3,).

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


def gather(slots: Slots, gradients: Pytree) -> Slots:
    """Return the slots after a batch that ends without an update."""
    return {**slots, "sum": jax.tree.map(jnp.add, slots["sum"], gradients)}


def update(optimiser: Optimiser) -> Update:
    """Return what gives weights and slots after an update, of those before, gradients and a row."""
    move = UPDATES.get(type(optimiser)) or unsupported("jax", optimiser)

    def whole(
        weights: Pytree, slots: Slots, gradients: Pytree, row: Array | None
    ) -> tuple[Pytree, Slots]:
        moved = {}
        if optimiser.accumulate > 1:
            total = gather(slots, gradients)["sum"]
            gradients = jax.tree.map(lambda g: g / optimiser.accumulate, total)
            moved["sum"] = jax.tree.map(jnp.zeros_like, total)
        weights, of_formula = move(optimiser, weights, slots, _clipped(optimiser, gradients), row)
        if share := optimiser.average:
            moved["average"] = jax.tree.map(
                lambda a, w: a + (1 - share) * (w - a), slots["average"], weights
            )
        return weights, {**of_formula, **moved}

    return whole


def _clipped(optimiser: Optimiser, gradients: Pytree) -> Pytree:
    """Return the gradients after clipping, by value or by the norm of them all."""
    if limit := optimiser.clip_value:
        return jax.tree.map(lambda g: jnp.clip(g, -limit, limit), gradients)
    if most := optimiser.clip_norm:
        squares = [jnp.sum(jnp.square(g)) for g in jax.tree.leaves(gradients)]
        scale = most / jnp.maximum(jnp.sqrt(sum(squares)), most)  # at most 1
        return jax.tree.map(lambda g: g * scale, gradients)
    return gradients


def _sgd(
    sgd: Sgd, weights: Pytree, slots: Slots, gradients: Pytree, row: Array | None
) -> tuple[Pytree, Slots]:
    rate, momentum = sgd.lr if row is None else row[0], sgd.momentum
    steps = gradients = _with_decay(sgd, weights, gradients)
    moved = {}
    if momentum:
        steps = moved["v"] = jax.tree.map(lambda v, g: momentum * v + g, slots["v"], gradients)
    if sgd.nesterov:
        steps = jax.tree.map(lambda v, g: g + momentum * v, steps, gradients)
    return jax.tree.map(lambda w, v: w - rate * v, weights, steps), moved


def _rmsprop(
    rmsprop: RmsProp, weights: Pytree, slots: Slots, gradients: Pytree, row: Array | None
) -> tuple[Pytree, Slots]:
    rate = rmsprop.lr if row is None else row[0]
    rho, momentum, epsilon = rmsprop.rho, rmsprop.momentum, rmsprop.epsilon
    gradients = _with_decay(rmsprop, weights, gradients)
    s = jax.tree.map(lambda s, g: rho * s + (1 - rho) * jnp.square(g), slots["s"], gradients)
    steps = jax.tree.map(lambda g, s: g / (jnp.sqrt(s) + epsilon), gradients, s)
    moved = {"s": s}
    if momentum:
        steps = moved["v"] = jax.tree.map(lambda v, g: momentum * v + g, slots["v"], steps)
    return jax.tree.map(lambda w, v: w - rate * v, weights, steps), moved


def _adam(
    adam: Adam, weights: Pytree, slots: Slots, gradients: Pytree, row: Array
) -> tuple[Pytree, Slots]:
    rate, rate_of_m, root_of_s = row[0], row[1], row[2]
    beta1, beta2 = adam.beta1, adam.beta2
    if type(adam) is AdamW:
        weights = _with_decay(adam, weights, weights, -rate)
    else:
        gradients = _with_decay(adam, weights, gradients)
    m = jax.tree.map(lambda m, g: beta1 * m + (1 - beta1) * g, slots["m"], gradients)
    s = jax.tree.map(lambda s, g: beta2 * s + (1 - beta2) * jnp.square(g), slots["s"], gradients)

    def move(w: Array, m: Array, s: Array) -> Array:
        return w - rate_of_m * m / (jnp.sqrt(s) * root_of_s + adam.epsilon)

    return jax.tree.map(move, weights, m, s), {"m": m, "s": s}


def _with_decay(
    optimiser: Optimiser, weights: Pytree, arrays: Pytree, scale: Array | float = 1
) -> Pytree:
    """Return arrays with `scale` times the weight decay added, those of the weights that it is for."""

    def decayed(array: Array, w: Array) -> Array:
        decay = optimiser.decay_of(w.shape)
        return array + scale * decay * w if decay else array

    return jax.tree.map(decayed, arrays, weights)


UPDATES: dict[type[Optimiser], Callable[..., tuple[Pytree, Slots]]] = {
    Sgd: _sgd,
    RmsProp: _rmsprop,
    Adam: _adam,
    AdamW: _adam,
}
