"""A spec's optimisers: as torch.optim for eager, as operations in place for a compiled step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from frameworks.contract import unsupported
from workloads.optimisers import Adam, AdamW, Optimiser, RmsProp, Sgd
from workloads.spec import Workload

Tensors = dict[str, Tensor]
Groups = list[dict[str, Any]]  # of parameters, as torch.optim takes them
Slots = dict[str, Tensors]  # by the spec's names: Adam's m and s, SGD's v if it has momentum

GATHER = object()
"""What a plan has in a row's stead for a batch that ends without an update."""


def native_name(optimiser: Optimiser, slot: str) -> str:
    """Return what torch.optim calls a slot of the formula in a parameter's state."""
    if slot == "s" and type(optimiser) is RmsProp:
        return "square_avg"
    return {"v": "momentum_buffer", "m": "exp_avg", "s": "exp_avg_sq"}[slot]


def _native_sgd(sgd: Sgd, parameters: Groups, **common: Any) -> torch.optim.Optimizer:
    momentum, nesterov = sgd.momentum, sgd.nesterov
    return torch.optim.SGD(parameters, momentum=momentum, nesterov=nesterov, fused=True, **common)


def _native_rmsprop(rmsprop: RmsProp, parameters: Groups, **common: Any) -> torch.optim.Optimizer:
    rho, momentum, epsilon = rmsprop.rho, rmsprop.momentum, rmsprop.epsilon
    return torch.optim.RMSprop(
        parameters, alpha=rho, eps=epsilon, momentum=momentum, foreach=True, **common
    )


def _native_adam(adam: Adam, parameters: Groups, **common: Any) -> torch.optim.Optimizer:
    kind = torch.optim.AdamW if type(adam) is AdamW else torch.optim.Adam
    betas = (adam.beta1, adam.beta2)
    return kind(parameters, betas=betas, eps=adam.epsilon, fused=True, **common)


def native(optimiser: Optimiser, parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
    """Return torch.optim's own, with a group of parameters for each weight decay.

    Fused, one kernel for all parameters: 1.02 to 1.07 of the default's throughput here. RMSprop has no
    fused kernel.
    """
    make, _ = _of(optimiser)
    groups: dict[float, list[Tensor]] = {}
    for parameter in parameters:
        groups.setdefault(optimiser.decay_of(parameter.shape), []).append(parameter)
    decayed = [{"params": group, "weight_decay": decay} for decay, group in groups.items()]
    return make(optimiser, decayed, lr=optimiser.lr)


def start(optimiser: Optimiser, weights: Tensors) -> Slots:
    """Return the slots before the first step: zeros, but the average is the weights."""
    names = optimiser.slots
    slots = {slot: {name: torch.zeros_like(w) for name, w in weights.items()} for slot in names}
    reset(slots, weights)
    return slots


def reset(slots: Slots, weights: Tensors) -> None:
    """Set slots to before the first step, in place."""
    for slot, tensors in slots.items():
        for name, tensor in tensors.items():
            tensor.copy_(weights[name].detach()) if slot == "average" else tensor.zero_()


def plan(workload: Workload, begin: int, count: int, rows: Callable[..., Iterable[Any]]) -> list:
    """Return a row for each batch from step `begin`, GATHER for those that end without an update.

    `rows` returns those of some updates, by the first and their count.
    """
    updates = workload.optimiser.updates(begin, count)
    of_updates = iter(rows(begin // workload.optimiser.accumulate, count))
    return [GATHER if update is None else next(of_updates) for update in updates]


def tuning(workload: Workload, start: int, count: int) -> Tensor | None:
    """Return a row for each update from `start`: its rate and Adam's two bias corrections.

    Float32 (count, 4): a row fills the 16 bytes that compiled kernels take to be aligned. They are
    computed here, in float64: in float32, 1 - beta2^t of the first steps has few digits left.
    None for constant SGD, whose rate is compiled in.
    """
    optimiser = workload.optimiser
    if not isinstance(optimiser, Adam):
        if not varies(workload):
            return None
        return torch.tensor([[rate, 0, 0, 0] for rate in workload.rates(start, count)])
    rows = []
    for t, rate in enumerate(workload.rates(start, count), start + 1):
        first, second = 1 - optimiser.beta1**t, 1 - optimiser.beta2**t
        rows.append([rate, rate / first, second**-0.5, 0])
    return torch.tensor(rows)


def varies(workload: Workload) -> bool:
    """Tell whether the learning rate changes from step to step."""
    return workload.schedule.kind != "constant" or workload.schedule.warmup > 0


Update = Callable[[Tensors, Slots, Tensors, "Tensor | None"], None]


def update(optimiser: Optimiser) -> Update:
    """Return what moves weights and slots by gradients, in place; it also takes a row of `tuning`."""
    _, move = _of(optimiser)

    def whole(weights: Tensors, slots: Slots, slopes: Tensors, row: Tensor | None) -> None:
        if optimiser.accumulate > 1:
            gather(slots, slopes)
            slopes = slots["sum"]
        gradients = prepared(optimiser, list(slopes.values()))
        move(optimiser, weights, slots, dict(zip(slopes, gradients, strict=True)), row)
        if optimiser.accumulate > 1:
            torch._foreach_zero_(list(slots["sum"].values()))
        average(optimiser, slots, weights)

    return whole


def gather(slots: Slots, slopes: Tensors) -> None:
    """Take in the gradients of a batch, in place."""
    torch._foreach_add_(list(slots["sum"].values()), [slopes[name] for name in slots["sum"]])


def prepared(optimiser: Optimiser, gradients: Sequence[Tensor]) -> Sequence[Tensor]:
    """Return the gradients of an update: their mean over the batches, clipped."""
    if optimiser.accumulate > 1:
        gradients = torch._foreach_div(gradients, optimiser.accumulate)
    if limit := optimiser.clip_value:
        return torch._foreach_clamp_max(torch._foreach_clamp_min(gradients, -limit), limit)
    if most := optimiser.clip_norm:
        # torch.nn.utils adds 1e-6 to the norm.
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        return torch._foreach_mul(gradients, most / norm.clamp(min=most))
    return gradients


def average(optimiser: Optimiser, slots: Slots, weights: Tensors) -> None:
    """Move the average towards the weights, in place, as torch.optim.swa_utils does."""
    if optimiser.average:
        averages = list(slots["average"].values())
        torch._foreach_lerp_(averages, list(weights.values()), 1 - optimiser.average)


def _sgd(sgd: Sgd, weights: Tensors, slots: Slots, slopes: Tensors, row: Tensor | None) -> None:
    for name, w in weights.items():
        g = _decayed(sgd, slopes[name], w)
        if sgd.momentum:
            v = slots["v"][name].mul_(sgd.momentum).add_(g)
            g = g + sgd.momentum * v if sgd.nesterov else v
        _descend(sgd, w, g, row)


def _rmsprop(
    rmsprop: RmsProp, weights: Tensors, slots: Slots, slopes: Tensors, row: Tensor | None
) -> None:
    for name, w in weights.items():
        g = _decayed(rmsprop, slopes[name], w)
        s = slots["s"][name].mul_(rmsprop.rho).addcmul_(g, g, value=1 - rmsprop.rho)
        g = g / (s.sqrt() + rmsprop.epsilon)
        if rmsprop.momentum:
            g = slots["v"][name].mul_(rmsprop.momentum).add_(g)
        _descend(rmsprop, w, g, row)


def _decayed(optimiser: Optimiser, g: Tensor, w: Tensor) -> Tensor:
    """Return a gradient with coupled weight decay in it."""
    decay = optimiser.decay_of(w.shape)
    return g + decay * w if decay else g


def _descend(optimiser: Optimiser, w: Tensor, v: Tensor, row: Tensor | None) -> None:
    """Move a weight by minus the rate times v."""
    if row is None:
        w.sub_(v, alpha=optimiser.lr)
    else:
        w.sub_(row[0] * v)


def _adam(adam: Adam, weights: Tensors, slots: Slots, slopes: Tensors, row: Tensor) -> None:
    decoupled = type(adam) is AdamW
    for name, w in weights.items():
        g = slopes[name] if decoupled else _decayed(adam, slopes[name], w)
        m, s = slots["m"][name], slots["s"][name]
        m.mul_(adam.beta1).add_(g, alpha=1 - adam.beta1)
        s.mul_(adam.beta2).addcmul_(g, g, value=1 - adam.beta2)
        if decoupled and (decay := adam.decay_of(w.shape)):
            w.sub_(row[0] * decay * w)
        w.sub_(row[1] * m / (s.sqrt() * row[2] + adam.epsilon))


OPTIMISERS: dict[type[Optimiser], tuple[Callable[..., torch.optim.Optimizer], Callable]] = {
    Sgd: (_native_sgd, _sgd),
    RmsProp: (_native_rmsprop, _rmsprop),
    Adam: (_native_adam, _adam),
    AdamW: (_native_adam, _adam),
}
"""By class: what makes torch.optim's own, and what moves the weights in a compiled step."""


def _of(optimiser: Optimiser) -> tuple[Callable[..., torch.optim.Optimizer], Callable]:
    return OPTIMISERS.get(type(optimiser)) or unsupported("pytorch", optimiser)
