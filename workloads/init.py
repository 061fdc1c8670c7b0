"""Start weights and the order of batches, from the workload's seed: the same bytes for everyone."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from workloads.layers import Shape
from workloads.spec import Init, Workload

# Independent streams of one seed (numpy's SeedSequence mixes the pair); 3 is the augmentations'.
_WEIGHTS, _ORDER, _MASKS = 0, 1, 2


def _stream(seed: int, stream: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([seed, stream]))


def start_weights(workload: Workload) -> dict[str, NDArray[np.float32]]:
    """Draw every parameter, in canonical layout, float32, by the workload's initialiser.

    With fan_in = the inputs that an output sums and fan_out = the outputs that an input goes to:

    - uniform-fan-in: weights and biases from U(-b, b), b = 1 / sqrt(fan_in), which is what
      PyTorch's dense and convolution layers take by default;
    - gaussian: N(0, std^2); biases 0;
    - xavier (Glorot and Bengio 2010): variance 2 / (fan_in + fan_out); biases 0;
    - he (He et al. 2015): variance 2 / fan_in; biases 0.

    What is among a layer's `initial_values` begins with that number. The state comes last.
    """
    random = _stream(workload.data.seed, _WEIGHTS)
    weights, state = {}, {}
    for place in workload.leaves:
        layer, fixed = place.layer, place.layer.initial_values
        for short, shape in layer.parameters(place.input).items():
            name = f"{place.name}.{short}"
            if short in fixed:
                weights[name] = np.full(shape, fixed[short], np.float32)
                continue
            fans = layer.fans(place.input)
            array = _draw(random, workload.init, shape, fans, short.startswith("bias"))
            weights[name] = array.astype(np.float32)
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


def _draw(
    random: np.random.Generator,
    init: Init,
    shape: Shape,
    fans: tuple[int, int],
    is_bias: bool,
) -> NDArray[np.float64]:
    kind, fan_in, fan_out = init.kind, *fans
    if kind == "uniform-fan-in":
        bound = 1 / math.sqrt(fan_in)
        return random.uniform(-bound, bound, shape)
    if is_bias:
        return np.zeros(shape)
    if kind == "gaussian":
        return random.normal(0, init.std, shape)
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
