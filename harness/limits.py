"""Workloads that are too large or too long for any machine: counted from the spec, before they begin."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

from harness.text import gibibytes
from workloads import cost
from workloads.errors import UserError
from workloads.spec import Placed, Workload

MOST_STEPS = 100_000_000
"""At 50 microseconds a step, which no framework reaches, they take over an hour."""

MOST_PARITY_STEPS = 10_000
"""The reference takes each of them many times, in float64."""

NEEDED_UPDATES = 2
"""Of a parity check: after the second an optimiser's memory has been used."""

_ORDER_BYTES = 3 * 8
"""Of the order of batches, an example: it is drawn by epochs, joined and handed on."""

_FLOAT32 = 4
_FLOAT64_AS_WELL = 2
"""The reference's arrays are as many, and twice as large."""


def steps_checked(workload: Workload, parity_steps: int) -> int:
    """Return how many steps the parity check takes: those asked for, and two updates at least."""
    return max(parity_steps, NEEDED_UPDATES * workload.optimiser.accumulate) if parity_steps else 0


def check(
    workloads: Mapping[str, Workload],
    *,
    steps: int | None,
    parity_steps: int,
    memory: int | None,
    epochs_by: str | None = None,
    seeds: int | None = None,
) -> None:
    """Refuse a run that cannot be meant; `workloads` are by the file or the name they come from.

    `steps` are those of `--steps`; `memory` is what the machine has, None where that is unknown;
    `epochs_by` is the option that set the epochs, where one did; `seeds` are those of `--seeds`.

    Raises:
        UserError: with the file and the key, or the option.
    """
    if parity_steps > MOST_PARITY_STEPS:
        raise UserError(
            f"--parity-steps {parity_steps}: at most {MOST_PARITY_STEPS:,} are compared"
        )
    for where, workload in workloads.items():
        epochs = epochs_by or f"{where}: [data]: epochs = {workload.data.epochs}"
        _check_steps(f"--steps {steps}" if steps else epochs, workload, steps, memory)
        if seeds and (total := seeds * _steps(workload, steps)) > MOST_STEPS:
            raise UserError(
                f"--seeds {seeds}: {total:,} training steps of {workload.name}; at most {MOST_STEPS:,}"
                " are taken"
            )
        _check_updates(where, workload, steps, parity_steps)
        if memory is not None:
            _check_data(where, workload, memory)
            _check_model(where, workload, memory, bool(parity_steps))
            _check_parity(where, workload, memory, parity_steps)


def _steps(workload: Workload, steps: int | None) -> int:
    """Return how many steps a training has; `steps` are those of `--steps`."""
    return steps or workload.data.epochs * workload.data.steps(workload.dataset.train)


def _check_steps(key: str, workload: Workload, steps: int | None, memory: int | None) -> None:
    """Check how long a training is, and the order of its batches, which is drawn beforehand."""
    total = _steps(workload, steps)
    if total > MOST_STEPS:
        raise UserError(f"{key}: {total:,} training steps; at most {MOST_STEPS:,} are taken")
    order = _ORDER_BYTES * total * workload.data.batch
    if memory is not None and order > memory:
        raise UserError(
            f"{key}: the order of its batches takes {gibibytes(order)}, {_there(memory)}"
        )


def _check_updates(where: str, workload: Workload, steps: int | None, parity_steps: int) -> None:
    """Check that gathered gradients become an update in the training, and two in the parity check."""
    accumulate = workload.optimiser.accumulate
    key = f"{where}: [optimiser]: accumulate = {accumulate}"
    total = _steps(workload, steps)
    if accumulate > max(total, 1):
        raise UserError(
            f"{key}: the training has {total:,} steps, and so no update: take a smaller number, or"
            " train for longer"
        )
    if (taken := steps_checked(workload, parity_steps)) > max(MOST_PARITY_STEPS, parity_steps):
        raise UserError(
            f"{key}: the parity check compares {NEEDED_UPDATES} updates, {taken:,} steps, and at most"
            f" {MOST_PARITY_STEPS:,}: take a smaller number"
        )


def _check_data(where: str, workload: Workload, memory: int) -> None:
    """Check the arrays of the user's own files, which are in memory once, while they are made."""
    if (described := workload.data.user_data) is None:
        return
    itemsize = 1 if described.dtype == "uint8" else _FLOAT32
    needed = (described.train + described.test) * math.prod(described.shape) * itemsize
    if needed > memory:
        raise UserError(
            f"{where}: [data]: {workload.data.dataset} takes {gibibytes(needed)}, {_there(memory)}"
        )


def _check_model(where: str, workload: Workload, memory: int, checked: bool) -> None:
    """Check what a training step takes, in the worker or, where there is one, in the reference."""
    factor = _FLOAT64_AS_WELL if checked else 1
    needed = factor * cost.training_bytes(workload)
    if needed > memory:
        one_by_one = factor * cost.training_bytes(workload.with_data(batch=1))
        batch = f"[data]: batch = {workload.data.batch}"
        key = batch if one_by_one <= memory else _largest(workload)
        raise UserError(
            f"{where}: {key}: a training step takes at least {gibibytes(needed)}, {_there(memory)}"
        )


def _check_parity(where: str, workload: Workload, memory: int, parity_steps: int) -> None:
    """Check the batches of the parity check: the reference holds all of them, and so does a worker."""
    taken, key = steps_checked(workload, parity_steps), f"--parity-steps {parity_steps}"
    needed = 2 * _FLOAT32 * taken * workload.data.batch * math.prod(workload.input_shape)
    if taken > parity_steps:
        key = f"{where}: [optimiser]: accumulate = {workload.optimiser.accumulate}"
    if needed > memory:
        raise UserError(f"{key}: their batches take {gibibytes(needed)}, {_there(memory)}")


def _largest(workload: Workload) -> str:
    """Name the layer that takes most, by its place in the file, and its largest number."""

    def size(place: Placed) -> int:
        parameters = sum(map(math.prod, place.layer.parameters(place.input).values()))
        arrays = 2 + len(workload.optimiser.slots)
        return arrays * parameters + workload.data.batch * math.prod(place.output)

    number, top = max(enumerate(workload.model), key=lambda pair: sum(map(size, pair[1].leaves())))
    layer = max(top.leaves(), key=size).layer
    numbers = {
        field.name: value
        for field in dataclasses.fields(layer)
        if type(value := getattr(layer, field.name)) is int
    }
    key = max(numbers, key=lambda name: numbers[name], default="")
    return f"layers[{number}] ({layer.kind})" + (f": {key} = {numbers[key]}" if key else "")


def _there(memory: int) -> str:
    return f"and there are {gibibytes(memory)} of memory here"
