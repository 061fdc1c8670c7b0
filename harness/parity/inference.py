"""What wrong predictions look like."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from frameworks.contract import Options, Weights
from frameworks.reference.adapter import Reference
from frameworks.reference.arithmetic import Arithmetic
from harness.parity.relations import EXACT, coarse, difference, explains, factor
from workloads import layers
from workloads.batches import Batch
from workloads.init import dropouts
from workloads.spec import Workload

DECIMALS = range(4)
"""To how many decimals logits may have been rounded."""


@dataclass(frozen=True)
class Predictions:
    """What was asked for: `inputs` (examples, ...), at these weights and state.

    `start` are the weights at the start of the training; None where they are not at hand.
    """

    workload: Workload
    inputs: NDArray[np.float32]
    weights: Weights
    start: Weights | None = None


def patterns(logits: NDArray, expected: NDArray, predictions: Predictions) -> Iterator[str]:
    """Yield what fits logits (examples, classes), or (examples, steps, classes), that are not right."""
    yield from _rounded(logits)
    powers = np.exp(expected - expected.max(axis=-1, keepdims=True))
    if difference(logits, powers / powers.sum(axis=-1, keepdims=True)) < EXACT:
        yield "predictions are probabilities, softmax(logits), and not logits"
    if any(isinstance(place.layer, layers.BatchNorm) for place in predictions.workload.leaves):
        yield from _batch_statistics(logits, predictions)
    if predictions.start is not None:
        reference = Reference(predictions.workload, predictions.start, Options("numpy"))
        if explains(reference.predict([predictions.inputs]), logits, expected):
            yield "predictions are by the weights of the start: a graph or a cache is stale"
    yield from _of_others(logits, expected)
    scale = factor(logits, expected)
    if scale is not None and abs(scale - 1) > EXACT / 10:
        yield f"logits are {scale:.6g} times what is right"

    def in_arithmetic(arithmetic: Arithmetic) -> NDArray:
        weights, options = predictions.weights, Options("numpy")
        reference = Reference(predictions.workload, weights, options, arithmetic=arithmetic)
        return reference.predict([predictions.inputs])

    yield from coarse(logits, expected, in_arithmetic)


def _rounded(logits: NDArray) -> Iterator[str]:
    for decimals in DECIMALS:
        if np.allclose(logits, np.round(logits, decimals), rtol=1e-6, atol=1e-6):
            yield f"logits are rounded to multiples of {10.0**-decimals:g}"
            return


def _batch_statistics(logits: NDArray, predictions: Predictions) -> Iterator[str]:
    """Forward as in training, without dropout, over the whole and over each batch of it."""
    workload = predictions.workload
    reference = Reference(workload, predictions.weights, Options("numpy"))
    size, result = workload.data.batch, []
    for begin in range(0, len(predictions.inputs), size):
        inputs = predictions.inputs[begin : begin + size]
        masks = tuple(np.full(s, 1 - rate) for rate, s in dropouts(workload, len(inputs)))
        labels = np.zeros((len(inputs), *workload.label_shape), np.int64)
        result.append(reference.step(Batch(inputs, labels, masks)).logits)
    if difference(logits, np.concatenate(result)) < EXACT:
        yield "batch norm predicts by the batch's own statistics and not by the running ones"


def _of_others(logits: NDArray, expected: NDArray) -> Iterator[str]:
    """Whether wrong rows are right for other inputs."""
    logits, expected = (rows.reshape(len(rows), -1) for rows in (logits, expected))
    size = np.maximum(np.linalg.norm(expected, axis=1), np.finfo(float).tiny)
    wrong = np.flatnonzero(np.linalg.norm(logits - expected, axis=1) > EXACT * size)
    if not len(wrong) or len(expected) < 2:
        return
    distances = np.linalg.norm(logits[wrong[:8], None] - expected[None], axis=2) / size
    nearest = distances.argmin(axis=1)
    if np.all(distances.min(axis=1) < EXACT):
        yield (
            f"example {wrong[0] + 1} is answered by the logits of example {nearest[0] + 1}: a cache"
            " of answers, a buffer that is read before it is filled, or an order that is off"
        )
