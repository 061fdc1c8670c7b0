"""A spec's optimisers: as torch.optim for eager, as operations in place for a compiled step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from frameworks.contract import unsupported
from workloads.optimisers import Adam, AdamW, Optimiser, Sgd
from workloads.spec import Workload

Tensors = dict[str, Tensor]
Slots = dict[str, Tensors]  # by the spec's names: Adam's m and s, SGD's v if it has momentum

NATIVE = {"v": "momentum_buffer", "m": "exp_avg", "s": "exp_avg_sq"}
"""What torch.optim calls the slots in a parameter's state."""


def _native_sgd(sgd: Sgd, parameters: Iterable[Tensor], **common: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, momentum=sgd.momentum, **common)


def _native_adam(adam: Adam, parameters: Iterable[Tensor], **common: Any) -> torch.optim.Optimizer:
    kind = torch.optim.AdamW if type(adam) is AdamW else torch.optim.Adam
    return kind(parameters, betas=(adam.beta1, adam.beta2), eps=adam.epsilon, **common)


def native(optimiser: Optimiser, parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
    """Return torch.optim's own.

    Fused, one kernel for all parameters: 1.02 to 1.07 of the default's throughput here.
    """
    make, _ = _of(optimiser)
    weight_decay = optimiser.weight_decay
    return make(optimiser, parameters, lr=optimiser.lr, weight_decay=weight_decay, fused=True)


def zeros(optimiser: Optimiser, weights: Tensors) -> Slots:
    """Return the slots before the first step."""
    names = optimiser.slots
    return {slot: {name: torch.zeros_like(w) for name, w in weights.items()} for slot in names}


def tuning(workload: Workload, start: int, count: int) -> Tensor | None:
    """Return a row for each step from `start`: its rate and Adam's two bias corrections.

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
    return partial(move, optimiser)


def _sgd(sgd: Sgd, weights: Tensors, slots: Slots, slopes: Tensors, row: Tensor | None) -> None:
    for name, w in weights.items():
        g = slopes[name]
        if sgd.weight_decay:
            g = g + sgd.weight_decay * w
        if slots:
            g = slots["v"][name].mul_(sgd.momentum).add_(g)
        if row is None:
            w.sub_(g, alpha=sgd.lr)
        else:
            w.sub_(row[0] * g)


def _adam(adam: Adam, weights: Tensors, slots: Slots, slopes: Tensors, row: Tensor) -> None:
    decoupled = type(adam) is AdamW
    for name, w in weights.items():
        g = slopes[name]
        if adam.weight_decay and not decoupled:
            g = g + adam.weight_decay * w
        m, s = slots["m"][name], slots["s"][name]
        m.mul_(adam.beta1).add_(g, alpha=1 - adam.beta1)
        s.mul_(adam.beta2).addcmul_(g, g, value=1 - adam.beta2)
        if adam.weight_decay and decoupled:
            w.sub_(row[0] * adam.weight_decay * w)
        w.sub_(row[1] * m / (s.sqrt() * row[2] + adam.epsilon))


OPTIMISERS: dict[type[Optimiser], tuple[Callable[..., torch.optim.Optimizer], Callable]] = {
    Sgd: (_native_sgd, _sgd),
    Adam: (_native_adam, _adam),
    AdamW: (_native_adam, _adam),
}
"""By class: what makes torch.optim's own, and what moves the weights in a compiled step."""


def _of(optimiser: Optimiser) -> tuple[Callable[..., torch.optim.Optimizer], Callable]:
    return OPTIMISERS.get(type(optimiser)) or unsupported("pytorch", optimiser)
