"""What wrong timed slices look like: which way of calling `train` or `predict` is at fault, and how."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from frameworks.contract import Weights
from harness.diagnosis import inference, lists
from harness.diagnosis.relations import EXACT, difference
from harness.parity.check import Verdict
from harness.parity.reference import ReferenceRun
from harness.parity.timed import Arrays, part, predicted
from harness.verdicts import NOT_EQUIVALENT
from workloads.batches import Batch
from workloads.spec import Workload


def training_hint(
    arrays: Arrays, run: ReferenceRun, verdict: Verdict, start: Weights
) -> str | None:
    """Return what fits a timed training that is not equivalent, or None; `start`: the first weights."""
    if verdict.value != NOT_EQUIVALENT:
        return None
    alone = [check for check in verdict.checks if not check.ok and "replayed" in check.when]
    if alone:
        taken = int(arrays["taken"])
        words = next(_by_itself(arrays, run), "steps are taken otherwise than at the start")
        return f"after {taken} steps, one batch at a time as well: {words}"
    return next(lists.in_a_list(arrays, run, verdict, start))


def _by_itself(arrays: Arrays, run: ReferenceRun) -> Iterator[str]:
    """Patterns of single steps that are wrong at this moment of the training."""
    early, steps = part(arrays, "replayed/early"), run.steps
    expected = {name: run.answers[f"weights/{steps}/{name}"] for name in run.start}
    yield from lists.moved(early, expected, run.start, run)
    for words, batches in (
        ("every second step is left out", run.batches[::2]),
        ("every second step is left out", run.batches[1::2]),
        ("the same batch is trained again and again", run.batches[:1] * steps),
    ):
        if batches and _near(early, _weights_after(run, batches), run):
            yield words
    yield from lists.explained_alone(part(arrays, "replayed"), run)


def _weights_after(run: ReferenceRun, batches: Sequence[Batch]) -> dict[str, NDArray]:
    reference = run.reference()
    reference.train(batches)
    return dict(reference.weights())


def _near(weights: Weights, expected: Weights, run: ReferenceRun) -> bool:
    """Whether all parameters have moved alike."""
    names = [name for name in run.workload.parameters if name not in run.vanishing]
    pairs = [(weights[n] - run.start[n], expected[n] - run.start[n]) for n in names]
    return all(difference(*pair) < 10 * EXACT for pair in pairs if np.any(pair[1]))


def predictions_hint(
    arrays: Arrays, workload: Workload, precision: str, verdict: Verdict, start: Weights
) -> str | None:
    """Return what fits timed predictions that are not equivalent, or None; `start`: the first weights."""
    if verdict.value != NOT_EQUIVALENT:
        return None
    timed, replayed, drawn = arrays["timed"], arrays["replayed"], arrays["drawn"]
    expected, bounds = predicted(arrays, workload, precision)
    predictions = inference.Predictions(
        workload,
        np.concatenate(arrays["inputs"]),
        part(arrays, "weights"),
        {"of the start": dict(start)},
    )
    logits, expected_logits = np.concatenate(timed[drawn]), np.concatenate(expected)
    bound = float(np.linalg.norm(bounds[:, 0]))
    patterns = chain(
        inference.patterns(logits, expected_logits, predictions),
        inference.explained(logits, expected_logits, predictions, bound),
    )
    if difference(np.concatenate(replayed[drawn]), expected_logits) < EXACT:
        otherwise = "these calls are answered otherwise than the same inputs in other calls"
        in_timed = (f"{words}, in timed calls, and not in others" for words in patterns)
        return next(chain(_of_other_calls(timed, replayed), in_timed), otherwise)
    stale = "they are not those of the weights that training left: a cache or a graph that is stale"
    return next(patterns, stale)


def _of_other_calls(timed: NDArray, replayed: NDArray) -> Iterator[str]:
    """Whether wrong calls are answered by the logits of others."""
    flat, expected = timed.reshape(len(timed), -1), replayed.reshape(len(replayed), -1)
    size = np.maximum(np.linalg.norm(expected, axis=1), np.finfo(float).tiny)
    wrong = np.flatnonzero(np.linalg.norm(flat - expected, axis=1) > EXACT * size)
    if not len(wrong):
        return
    call = wrong[0]
    distances = np.linalg.norm(expected - flat[call], axis=1) / size
    if distances.min() < EXACT:
        kind = "the last call" if len(wrong) == 1 and call == len(timed) - 1 else f"call {call + 1}"
        yield (
            f"{kind} of {len(timed)} is answered by the logits of call {distances.argmin() + 1}, and"
            f" so are {len(wrong)} in all: an order that is off, or a buffer or cache that is stale"
        )
