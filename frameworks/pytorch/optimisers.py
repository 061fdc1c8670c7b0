"""A spec's optimisers: as torch.optim for eager, as operations in place for a compiled step."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from workloads.optimisers import Adam, AdamW, Optimiser, Sgd
from workloads.spec import Workload

Tensors = dict[str, Tensor]
Slots = dict[str, Tensors]  # by the spec's names: Adam's m and s, SGD's v if it has momentum

NATIVE = {"v": "momentum_buffer", "m": "exp_avg", "s": "exp_avg_sq"}
"""What torch.optim calls the slots in a parameter's state."""


def native(optimiser: Optimiser, parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
    """Return torch.optim's own.

    Fused, one kernel for all parameters: 1.02 to 1.07 of the default's throughput here.
    """
    common = {"lr": optimiser.lr, "weight_decay": optimiser.weight_decay, "fused": True}
    if isinstance(optimiser, Sgd):
        return torch.optim.SGD(parameters, momentum=optimiser.momentum, **common)
    if not isinstance(optimiser, Adam):
        raise TypeError(f"pytorch: no optimiser {optimiser.kind}")
    kind = torch.optim.AdamW if isinstance(optimiser, AdamW) else torch.optim.Adam
    betas = (optimiser.beta1, optimiser.beta2)
    return kind(parameters, betas=betas, eps=optimiser.epsilon, **common)


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


def update(
    optimiser: Optimiser, weights: Tensors, slots: Slots, slopes: Tensors, row: Tensor | None
) -> None:
    """Move weights and slots, in place; `row` is one of `tuning`'s."""
    for name, w in weights.items():
        g = slopes[name]
        if optimiser.weight_decay and not isinstance(optimiser, AdamW):
            g = g + optimiser.weight_decay * w
        if isinstance(optimiser, Adam) and row is not None:
            m, s = slots["m"][name], slots["s"][name]
            m.mul_(optimiser.beta1).add_(g, alpha=1 - optimiser.beta1)
            s.mul_(optimiser.beta2).addcmul_(g, g, value=1 - optimiser.beta2)
            if optimiser.weight_decay and isinstance(optimiser, AdamW):
                w.sub_(row[0] * optimiser.weight_decay * w)
            w.sub_(row[1] * m / (s.sqrt() * row[2] + optimiser.epsilon))
            continue
        if slots and isinstance(optimiser, Sgd):
            g = slots["v"][name].mul_(optimiser.momentum).add_(g)
        if row is None:
            w.sub_(g, alpha=optimiser.lr)
        else:
            w.sub_(row[0] * g)
