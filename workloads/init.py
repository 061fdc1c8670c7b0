"""Start weights and the order of batches, from the workload's seed: the same bytes for everyone."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from workloads.initialisers import Initialiser
from workloads.layers import Shape
from workloads.spec import Workload

# Independent streams of one seed (numpy's SeedSequence mixes the pair); 3 is the augmentations'.
_WEIGHTS, _ORDER, _MASKS = 0, 1, 2


def _stream(seed: int, stream: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([seed, stream]))


def start_weights(workload: Workload) -> dict[str, NDArray[np.float32]]:
    """Draw every parameter, in canonical layout, float32, as `workloads.initialisers` says.

    What is among a layer's `initial_values` begins with that number. The state comes last. Parameters
    are drawn from one stream, in the model's order. All bytes are the same everywhere, but an
    orthogonal matrix's: LAPACK may differ in the last bits from machine to machine.
    """
    random = _stream(workload.data.seed, _WEIGHTS)
    weights, state = {}, {}
    for place in workload.leaves:
        layer, fixed = place.layer, place.layer.initial_values
        for short, shape in layer.parameters(place.input).items():
            name = f"{place.name}.{short}"
            initialiser = workload.init.of(place.name, short, short not in fixed)
            if initialiser is None:
                weights[name] = np.full(shape, fixed[short], np.float32)
                continue
            fans = (0, 0) if short in fixed else layer.fans(place.input)
            weights[name] = _draw(random, initialiser, shape, fans).astype(np.float32)
        for short, shape in layer.state(place.input).items():
            state[f"{place.name}.{short}"] = np.full(shape, fixed.get(short, 0), np.float32)
    return weights | state


def dropouts(workload: Workload, batch: int) -> Iterator[tuple[float, Shape]]:
    """Yield the rate of each layer that drops something, and the shape of its mask for a batch."""
    for place in workload.masked:
        if mask := place.layer.mask(place.input):
            rate, shape = mask
            yield rate, (batch, *shape)


def dropout_masks(workload: Workload, step: int) -> tuple[NDArray[np.uint8], ...]:
    """Return a step's masks, one a layer that has a `mask`: 0 or 1, uint8, (batch, *its shape).

    An element is kept where 16 raw bits of PCG64 are at least rate 2^16: raw bits, for numpy
    promises those to stay the same in every version.
    """
    masks = []
    for i, (rate, shape) in enumerate(dropouts(workload, workload.data.batch)):
        words = -(-math.prod(shape) // 4)  # of 64 bits
        raw = np.random.PCG64([workload.data.seed, _MASKS, step, i]).random_raw(words)
        bits = raw.view(np.uint16)[: math.prod(shape)].reshape(shape)
        masks.append((bits >= round(rate * 2**16)).astype(np.uint8))
    return tuple(masks)


CUT_DEVIATION = 0.87962566103423978
"""The standard deviation of a standard normal without what is beyond 2."""


def _draw(
    random: np.random.Generator,
    initialiser: Initialiser,
    shape: Shape,
    fans: tuple[int, int],
) -> NDArray[np.float64]:
    """Return an array of `shape`; `fans` are fan_in and fan_out, for the kinds that take them."""
    kind, std, (fan_in, fan_out) = initialiser.kind, initialiser.std, fans
    if kind == "constant":
        return np.full(shape, initialiser.value)
    if kind == "orthogonal":
        return initialiser.gain * _orthogonal(random, shape)
    if kind in ("gaussian", "truncated"):
        return random.normal(0, std, shape) if kind == "gaussian" else _cut(random, std, shape)
    if kind == "uniform-fan-in":
        bound = 1 / math.sqrt(fan_in)
        return random.uniform(-bound, bound, shape)
    variance = 2 / (fan_in + fan_out) if kind.startswith("xavier") else 2 / fan_in
    if kind.endswith("normal"):
        return random.normal(0, math.sqrt(variance), shape)
    if kind.endswith("truncated"):
        return _cut(random, math.sqrt(variance) / CUT_DEVIATION, shape)
    bound = math.sqrt(3 * variance)
    return random.uniform(-bound, bound, shape)


def _cut(random: np.random.Generator, std: float, shape: Shape) -> NDArray[np.float64]:
    """Draw from N(0, std^2); what is beyond two std is drawn again."""
    x = random.normal(0, std, shape)
    while (beyond := np.abs(x) > 2 * std).any():
        x[beyond] = random.normal(0, std, np.count_nonzero(beyond))
    return x


def _orthogonal(random: np.random.Generator, shape: Shape) -> NDArray[np.float64]:
    """Return an array whose rows, or columns where they are fewer, are orthonormal."""
    rows, columns = shape[0], math.prod(shape[1:])
    longer, shorter = max(rows, columns), min(rows, columns)
    q, r = np.linalg.qr(random.normal(0, 1, (longer, shorter)))
    q *= np.where(np.diag(r) < 0, -1, 1)  # of the two signs, the one that makes Q unique
    return (q if rows >= columns else q.T).reshape(shape)


def steps_per_epoch(workload: Workload, examples: int) -> int:
    """Return how many batches an epoch has; the workload says what becomes of a short last one.

    Raises:
        ValueError: the batch is larger than the data set.
    """
    batch = workload.data.batch
    if batch > examples:
        raise ValueError(
            f"{workload.name}: a batch of {batch} is more than the {examples} examples of"
            f" {workload.data.dataset}: take a smaller batch"
        )
    return workload.data.steps(examples)


def batch_order(workload: Workload, examples: int, steps: int) -> NDArray[np.int64]:
    """Return which examples make each step's batch: int64, shape (steps, batch); -1 is none.

    Each epoch is a fresh permutation. A short batch that is kept ends with -1. Raises ValueError as
    `steps_per_epoch` does.
    """
    batch, per_epoch = workload.data.batch, steps_per_epoch(workload, examples)
    random = _stream(workload.data.seed, _ORDER)
    epochs = [
        _filled(random.permutation(examples), per_epoch * batch, workload.data.last)
        for _ in range(-(-steps // per_epoch))
    ]
    return np.concatenate(epochs).reshape(-1, batch)[:steps].astype(np.int64)


def _filled(order: NDArray, size: int, last: str) -> NDArray:
    """Return an epoch's order cut to `size`, or filled up to it: from its start, or with -1."""
    missing = max(0, size - len(order))
    return np.concatenate([order[:size], order[:missing] if last == "wrap" else [-1] * missing])
