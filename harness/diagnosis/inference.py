"""What wrong predictions look like."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frameworks.contract import Options, Weights
from frameworks.reference.adapter import Reference
from frameworks.reference.arithmetic import Arithmetic
from frameworks.reference.layers import FUNCTIONS
from harness.diagnosis import other_layers
from harness.diagnosis.functions import ByState
from harness.diagnosis.relations import EXACT, coarse, difference, explains, factor, stored_as
from harness.diagnosis.suspects import Case, Suspect, best
from harness.diagnosis.trainers import bfloat16, float16
from harness.parity.reference import ReferenceRun
from workloads import layers
from workloads.batches import Batch
from workloads.init import dropouts
from workloads.spec import Workload

DRAWS, NEAR = 8, 1.5
"""So many drawn masks show the size of dropout's errors, and others' are within this factor."""

MOSTLY = 0.95
"""The share of examples whose errors are of that size, where dropout is on."""

DECIMALS = range(4)
"""To how many decimals logits may have been rounded."""


@dataclass(frozen=True)
class Predictions:
    """What was asked for: `inputs` (examples, ...), at these weights and state.

    `stale` are weights and state of other moments, in words. `trained` are the weights where those
    asked for are their averages.
    """

    workload: Workload
    inputs: NDArray[np.float32]
    weights: Weights
    stale: Mapping[str, Weights] = field(default_factory=dict)
    trained: Weights | None = None

    @property
    def run(self) -> ReferenceRun:
        """The run that begins with these weights, and has no steps."""
        return ReferenceRun(self.workload, self.weights, ())

    def by(self, suspect: Suspect) -> dict[str, NDArray]:
        """Return a suspect's logits."""
        return {"logits": suspect.reference().predict([self.inputs])}


def patterns(logits: NDArray, expected: NDArray, predictions: Predictions) -> Iterator[str]:
    """Yield what fits logits (examples, classes), or (examples, steps, classes), that are not right."""
    yield from _of_zeros(logits, expected)
    yield from _of_functions(logits, expected)
    yield from _rounded(logits)
    if any(isinstance(place.layer, layers.BatchNorm) for place in predictions.workload.leaves):
        yield from _batch_statistics(logits, predictions)
    yield from _of_others(logits, expected)
    scale = factor(logits, expected)
    if scale is not None and explains(scale * expected, logits, expected):
        yield f"logits are {scale:.6g} times what is right"
    case = Case({"logits": logits}, {"logits": expected}, {"logits": 0.0})
    if words := best(_stale(predictions), predictions.by, case):
        yield words
    for of_inputs, change in ({} if predictions.workload.tokens else OTHER_INPUTS).items():
        changed = replace(predictions, inputs=change(predictions.inputs))
        answer = changed.by(Suspect(of_inputs, predictions.run))["logits"]
        if explains(answer, logits, expected):
            yield f"{of_inputs} in inference"


def _of_functions(logits: NDArray, expected: NDArray) -> Iterator[str]:
    """Whether what is predicted is a function of the right logits."""
    with np.errstate(all="ignore"):
        shifted = expected - expected.max(axis=-1, keepdims=True)
        powers = np.exp(shifted)
        sums = powers.sum(axis=-1, keepdims=True)
        functions = {
            "probabilities, softmax(logits)": powers / sums,
            "the logarithms of probabilities": shifted - np.log(sums),
            "the sigmoids of logits": 1 / (1 + np.exp(-expected)),
            "one for the largest logit and zero for the others": (shifted == 0).astype(float),
            "logits less the largest": shifted,
        }
    for words, answer in functions.items():
        if difference(logits, answer) < EXACT:
            yield f"predictions are {words}, and not logits"


def explained(
    logits: NDArray, expected: NDArray, predictions: Predictions, bound: float
) -> Iterator[str]:
    """Yield which layer computes otherwise in inference, or how coarsely it is all computed.

    `bound` is what rounding allows of the norm of the logits' error.
    """
    case = Case({"logits": logits}, {"logits": expected}, {"logits": bound})
    hints = other_layers.explained(predictions.run, predictions.by, case)
    yield from (f"{words}, in inference" for words in hints)

    def in_arithmetic(arithmetic: Arithmetic) -> NDArray:
        reference = predictions.run.reference(arithmetic=arithmetic)
        return reference.predict([predictions.inputs])

    yield from coarse(logits, expected, in_arithmetic)
    yield from _dropped(logits, expected, predictions)


def _dropped(logits: NDArray, expected: NDArray, predictions: Predictions) -> Iterator[str]:
    """Whether errors are of the size that random masks of dropout make."""
    if not any(rate for rate, _ in dropouts(predictions.workload, 1)):
        return
    by_state: dict[Any, Any] = {**FUNCTIONS, layers.BatchNorm: ByState}
    for functions, beside in (by_state, ""), (FUNCTIONS, ", and so is all of training"):
        reference = predictions.run.reference(functions=functions)
        draws = [_drawn(reference, predictions, seed) for seed in range(DRAWS)]
        errors = [_of_examples(answer - expected) for answer in (logits, *draws)]
        least, most = np.min(errors[1:], axis=0) / NEAR, NEAR * np.max(errors[1:], axis=0)
        if np.mean((least < errors[0]) & (errors[0] < most)) > MOSTLY:
            size = "errors are of the size that dropout makes, in each example"
            yield f"{size}: it may be on in inference{beside}"


def _drawn(reference: Reference, predictions: Predictions, seed: int) -> NDArray:
    """Return logits as in training, a batch at a time, by masks of a seed."""
    workload, random = predictions.workload, np.random.default_rng(seed)
    logits = []
    for begin in range(0, len(predictions.inputs), workload.data.batch):
        inputs = predictions.inputs[begin : begin + workload.data.batch]
        rates = dropouts(workload, len(inputs))
        masks = tuple((random.random(shape) >= rate).astype(np.uint8) for rate, shape in rates)
        labels = np.zeros((len(inputs), *workload.label_shape), np.int64)
        logits.append(reference.forward(Batch(inputs, labels, masks)))
    return np.concatenate(logits)


def _of_examples(errors: NDArray) -> NDArray:
    """Return the norm of each example's errors."""
    return np.linalg.norm(errors.reshape(len(errors), -1), axis=1)


OTHER_INPUTS: Mapping[str, Callable[[NDArray], NDArray]] = {
    "inputs are rounded to bfloat16": bfloat16,
    "inputs are rounded to float16": float16,
    "inputs are rounded to whole numbers": np.rint,
    "inputs are cut off to whole numbers": np.trunc,
    "inputs are cut off to whole numbers, from below": np.floor,
}


def _stale(predictions: Predictions) -> Iterator[Suspect]:
    """Yield the weights, and batch norm's state alone, of other moments; and those not averaged."""
    run, names = predictions.run, predictions.workload.state
    if predictions.trained is not None and predictions.workload.optimiser.average:
        words = "predictions are by the weights, and not by their average"
        yield Suspect(words, replace(run, start=predictions.trained))
    for name, rounded in {"bfloat16": bfloat16, "float16": float16}.items():
        start = {n: w if n in names else rounded(w) for n, w in run.start.items()}
        yield Suspect(f"weights are rounded to {name} in inference", replace(run, start=start))
    for moment, weights in predictions.stale.items():
        if names:
            state = {**run.start, **{name: weights[name] for name in names}}
            words = f"predictions are by batch norm's state {moment}: it was folded in, or is stale"
            yield Suspect(words, replace(run, start=state))
        words = f"predictions are by the weights {moment}: a graph or a cache is stale"
        yield Suspect(words, replace(run, start=weights))


def _of_zeros(logits: NDArray, expected: NDArray) -> Iterator[str]:
    empty = np.flatnonzero(~np.any(logits.reshape(len(logits), -1), axis=1))
    if len(empty) and np.all(np.any(expected.reshape(len(expected), -1), axis=1)):
        yield (
            f"the logits of {len(empty)} of {len(logits)} examples are zero, from example"
            f" {empty[0] + 1} on: a buffer that is not filled, or filled up"
        )


def _rounded(logits: NDArray) -> Iterator[str]:
    if name := stored_as(logits):
        yield f"logits are rounded to {name}"
    for decimals in DECIMALS:
        if np.allclose(logits, np.round(logits, decimals), rtol=1e-6, atol=1e-6):
            yield f"logits are rounded to multiples of {10.0**-decimals:g}"
            return


def _batch_statistics(logits: NDArray, predictions: Predictions) -> Iterator[str]:
    """Forward as in training, without dropout, over the whole and over each batch of it."""
    workload = predictions.workload
    sizes = {workload.data.batch: "batch", len(predictions.inputs): "list", 1: "example"}
    for size, of in sizes.items():
        if difference(logits, _by_statistics(predictions, size)) < EXACT:
            yield f"batch norm predicts by the {of}'s own statistics and not by the running ones"


def _by_statistics(predictions: Predictions, size: int) -> NDArray:
    """Return logits by the statistics of so many examples at a time."""
    workload = predictions.workload
    reference = Reference(workload, predictions.weights, Options("numpy"))
    result = []
    for begin in range(0, len(predictions.inputs), size):
        inputs = predictions.inputs[begin : begin + size]
        masks = tuple(np.full(s, 1 - rate) for rate, s in dropouts(workload, len(inputs)))
        labels = np.zeros((len(inputs), *workload.label_shape), np.int64)
        result.append(reference.step(Batch(inputs, labels, masks)).logits)
    return np.concatenate(result)


def _of_others(logits: NDArray, expected: NDArray) -> Iterator[str]:
    """Whether wrong rows are right for other inputs, or wrong columns for other classes."""
    logits, expected = (rows.reshape(len(rows), -1) for rows in (logits, expected))
    nearest = [int(np.argmin(np.linalg.norm(expected.T - column, axis=1))) for column in logits.T]
    if difference(logits, expected[:, nearest]) < EXACT < difference(logits, expected):
        yield "classes are in another order"
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
