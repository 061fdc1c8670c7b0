"""Start weights and the order of batches, from the workload's seed: the same bytes for everyone."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from workloads.layers import Shape
from workloads.spec import Workload

# Independent streams of one seed (numpy's SeedSequence mixes the pair).
_WEIGHTS, _ORDER = 0, 1


def _stream(seed: int, stream: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([seed, stream]))


def start_weights(workload: Workload) -> dict[str, NDArray[np.float32]]:
    """Draw every parameter, in canonical layout, float32, by the workload's initialiser.

    With fan_in = inputs a unit and fan_out = outputs an input (times the kernel's area):

    - uniform-fan-in: weights and biases from U(-b, b), b = 1 / sqrt(fan_in), which is what
      PyTorch's dense and convolution layers take by default;
    - gaussian: N(0, std^2); biases 0;
    - xavier (Glorot and Bengio 2010): variance 2 / (fan_in + fan_out); biases 0;
    - he (He et al. 2015): variance 2 / fan_in; biases 0.
    """
    random = _stream(workload.data.seed, _WEIGHTS)
    weights, fans = {}, (1, 1)
    for name, shape in workload.parameters.items():
        is_bias = name.endswith(".bias")
        fans = fans if is_bias else _fans(shape)
        weights[name] = _draw(random, workload, shape, fans, is_bias).astype(np.float32)
    return weights


def _fans(shape: Shape) -> tuple[int, int]:
    area = math.prod(shape[2:])
    return shape[1] * area, shape[0] * area


def _draw(
    random: np.random.Generator,
    workload: Workload,
    shape: Shape,
    fans: tuple[int, int],
    is_bias: bool,
) -> NDArray[np.float64]:
    kind, fan_in, fan_out = workload.init.kind, *fans
    if kind == "uniform-fan-in":
        bound = 1 / math.sqrt(fan_in)
        return random.uniform(-bound, bound, shape)
    if is_bias:
        return np.zeros(shape)
    if kind == "gaussian":
        return random.normal(0, workload.init.std, shape)
    variance = 2 / (fan_in + fan_out) if kind.startswith("xavier") else 2 / fan_in
    if kind.endswith("normal"):
        return random.normal(0, math.sqrt(variance), shape)
    bound = math.sqrt(3 * variance)
    return random.uniform(-bound, bound, shape)


def steps_per_epoch(workload: Workload, examples: int) -> int:
    """Return how many whole batches an epoch has.

    Its last, short batch is left out, so that every step of every framework has the same shape.

    Raises:
        ValueError: the batch is larger than the data set.
    """
    batch = workload.data.batch
    if batch > examples:
        raise ValueError(
            f"{workload.name}: a batch of {batch} is more than the {examples} examples of"
            f" {workload.data.dataset}: take a smaller batch"
        )
    return examples // batch


def batch_order(workload: Workload, examples: int, steps: int) -> NDArray[np.int64]:
    """Return which examples make each step's batch: int64, shape (steps, batch).

    Each epoch is a fresh permutation. Raises ValueError as `steps_per_epoch` does.
    """
    batch, per_epoch = workload.data.batch, steps_per_epoch(workload, examples)
    random = _stream(workload.data.seed, _ORDER)
    epochs = [
        random.permutation(examples)[: per_epoch * batch].reshape(per_epoch, batch)
        for _ in range(-(-steps // per_epoch))
    ]
    return np.concatenate(epochs)[:steps].astype(np.int64)
