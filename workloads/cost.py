"""What a step costs, counted from the spec: operations, parameters and bytes."""

from __future__ import annotations

import math

from workloads.spec import Workload

_FLOAT32 = 4


def parameter_count(workload: Workload) -> int:
    """Return the number of trained parameters."""
    return sum(math.prod(shape) for shape in workload.parameters.values())


def inference_flop(workload: Workload) -> int:
    """Return floating-point operations to infer one example: 2 a multiply-add of products of matrices.

    Activations, pooling and biases are left out: they are memory traffic rather than arithmetic.
    """
    return 2 * sum(place.layer.multiply_adds(place.input) for place in workload.leaves)


_HEAVY = 1e9
"""Multiply-adds of a batch that make a step of the reference a matter of seconds."""


def batch_work(workload: Workload) -> float:
    """Return the multiply-adds of a batch's forward pass."""
    return inference_flop(workload) / 2 * workload.data.batch


def is_heavy(workload: Workload) -> bool:
    """Return whether a step of the reference is a matter of seconds."""
    return batch_work(workload) > _HEAVY


def training_flop(workload: Workload) -> int:
    """Return floating-point operations to train on one example.

    Forward once; backward once for the weights' gradients and once for the inputs' gradients, which
    the first layer with weights does not need. Behind an embedding all layers need them.
    """
    counted = [place for place in workload.leaves if place.layer.multiply_adds(place.input)]
    first = [] if workload.tokens else counted[:1]
    not_needed = [2 * place.layer.multiply_adds_of_inputs(place.input) for place in first]
    return 3 * inference_flop(workload) - sum(not_needed)


def training_bytes(workload: Workload) -> int:
    """Return the least float32 memory of a training step in bytes.

    Weights, gradients, the optimiser's slots, and each layer's output for the whole batch.
    """
    outputs = math.prod(workload.input_shape) + sum(math.prod(p.output) for p in workload.leaves)
    arrays = 2 + len(workload.optimiser.slots)
    weights = arrays * parameter_count(workload) + sum(map(math.prod, workload.state.values()))
    return _FLOAT32 * (weights + workload.data.batch * outputs)
