"""What wrong timed slices look like: which way of calling `train` or `predict` is at fault, and how."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from harness.parity import inference
from harness.parity.check import Verdict
from harness.parity.reference import ReferenceRun
from harness.parity.relations import EXACT, common, difference, factor
from harness.parity.timed import Arrays, part, predicted
from harness.verdicts import NOT_EQUIVALENT
from workloads import layers
from workloads.batches import Batch
from workloads.spec import Workload

Weights = Mapping[str, NDArray]


def training_hint(arrays: Arrays, run: ReferenceRun, verdict: Verdict) -> str | None:
    """Return what fits a timed training that is not equivalent, or None where it is."""
    if verdict.value != NOT_EQUIVALENT:
        return None
    alone = [check for check in verdict.checks if not check.ok and "replayed" in check.when]
    if alone:
        taken = int(arrays["taken"])
        words = next(_by_itself(arrays, run), "steps are taken otherwise than at the start")
        return f"after {taken} steps, one batch at a time as well: {words}"
    return next(_in_a_list(arrays, run))


def _by_itself(arrays: Arrays, run: ReferenceRun) -> Iterator[str]:
    """Patterns of single steps that are wrong at this moment of the training."""
    early, steps = part(arrays, "replayed/early"), run.steps
    expected = {name: run.answers[f"weights/{steps}/{name}"] for name in run.start}
    yield from _moved(early, expected, run.start, run)
    for words, batches in (
        ("every second step is left out", run.batches[::2]),
        ("every second step is left out", run.batches[1::2]),
        ("the same batch is trained again and again", run.batches[:1] * steps),
    ):
        if batches and _near(early, _weights_after(run, batches), run):
            yield words


def _moved(after: Weights, expected: Weights, start: Weights, run: ReferenceRun) -> Iterator[str]:
    """Patterns in the weights' updates."""
    names = [name for name in run.workload.parameters if name not in run.vanishing]
    moves = {
        name: (after[name] - start[name].astype(np.float64), expected[name] - start[name])
        for name in names
    }
    moves = {name: pair for name, pair in moves.items() if np.any(pair[1])}
    wrong = {name: pair for name, pair in moves.items() if difference(*pair) > EXACT}
    still = [name for name, (moved, _) in wrong.items() if not np.any(moved)]
    if still and len(still) < len(moves):
        yield f"{still[0]} does not move: a layer is frozen"
    elif still:
        yield "no weight moves"
    scale = common([factor(*pair) for pair in moves.values()])
    if scale is not None and abs(scale - 1) > EXACT:
        yield f"every weight moves by {scale:.6g} times what is right: another learning rate"
    states = [
        name for name in run.workload.state if difference(after[name], expected[name]) > EXACT
    ]
    if states and not wrong:
        unmoved = all(np.array_equal(after[name], start[name]) for name in states)
        yield f"{states[0]} is {'not moved' if unmoved else 'wrong'}, though all weights are right"


def _weights_after(run: ReferenceRun, batches: Sequence[Batch]) -> dict[str, NDArray]:
    reference = run.reference()
    reference.train(batches)
    return dict(reference.weights())


def _near(weights: Weights, expected: Weights, run: ReferenceRun) -> bool:
    """Whether all parameters have moved alike."""
    names = [name for name in run.workload.parameters if name not in run.vanishing]
    pairs = [(weights[n] - run.start[n], expected[n] - run.start[n]) for n in names]
    return all(difference(*pair) < 10 * EXACT for pair in pairs if np.any(pair[1]))


def _in_a_list(arrays: Arrays, run: ReferenceRun) -> Iterator[str]:
    """Patterns of lists that are trained otherwise than their batches one by one."""
    timed, replayed = arrays["timed/losses"], arrays["replayed/losses"]
    count = len(replayed)
    where = f"in a list of {count} batches, and not one by one"
    if np.shape(timed) != np.shape(replayed):
        yield f"{len(timed)} losses come of a list of {count} batches"
    off = np.flatnonzero(np.abs(timed - replayed) > EXACT * np.abs(replayed))
    if not len(off):
        after, expected = part(arrays, "timed/after"), part(arrays, "replayed/after")
        if all(np.array_equal(after[name], weight) for name, weight in expected.items()):
            yield f"weights are right and the optimiser's memory is not, {where}"
        for words in _moved(after, expected, part(arrays, "start"), run):
            yield f"{words}, {where}"
        yield (
            f"all losses are right and the weights are not, {where}: an update is left out, or not"
            " done when train returns"
        )
    if len(off) == 1 and off[0] == count - 1:
        yield f"the last batch is another, {where}"
    if np.mean(np.abs(timed[1::2] - timed[: count - count % 2 : 2]) == 0) > 0.9:
        yield f"losses come in equal pairs: every second batch is left out, {where}"
    if difference(timed[1:], replayed[:-1]) < EXACT:
        yield f"each loss is that of the step before, {where}"
    for words, suspect in _suspects(run):
        losses = suspect.reference().train(suspect.batches)
        if difference(timed[: len(losses)], losses) < EXACT:
            yield f"{words}, {where}"
    yield f"steps go wrong from batch {off[0] + 1} on, {where}: another path for lists"


def _suspects(run: ReferenceRun) -> Iterator[tuple[str, ReferenceRun]]:
    """Other trainings of the first steps, in words."""
    first = run.batches[0]
    yield (
        "the first batch is trained again and again",
        replace(run, batches=(first,) * run.steps),
    )
    if any(isinstance(place.layer, layers.Dropout) for place in run.workload.leaves):
        masked = tuple(batch._replace(masks=first.masks) for batch in run.batches)
        yield "dropout's first masks are used for all batches", replace(run, batches=masked)
        undropped = tuple(
            batch._replace(masks=_without_dropout(run.workload, len(batch.labels)))
            for batch in run.batches
        )
        yield "dropout is off", replace(run, batches=undropped)
    if run.batches[1:]:
        shifted = (first, *run.batches[:-1])
        yield "every step has the batch before", replace(run, batches=shifted)


def _without_dropout(workload: Workload, batch: int) -> tuple[NDArray, ...]:
    """Masks that undo what dropout does to the elements that it lets pass."""
    return tuple(
        np.full((batch, *place.input), 1 - place.layer.rate)
        for place in workload.leaves
        if isinstance(place.layer, layers.Dropout)
    )


def predictions_hint(
    arrays: Arrays, workload: Workload, precision: str, verdict: Verdict, start: Weights
) -> str | None:
    """Return what fits timed predictions that are not equivalent, or None; `start`: the first weights."""
    if verdict.value != NOT_EQUIVALENT:
        return None
    timed, replayed, drawn = arrays["timed"], arrays["replayed"], arrays["drawn"]
    expected, _ = predicted(arrays, workload, precision)
    predictions = inference.Predictions(
        workload, np.concatenate(arrays["inputs"]), part(arrays, "weights"), dict(start)
    )
    logits = np.concatenate(timed[drawn])
    if difference(np.concatenate(replayed[drawn]), np.concatenate(expected)) < EXACT:
        for words in _of_other_calls(timed, replayed):
            return words
        for words in inference.patterns(logits, np.concatenate(expected), predictions):
            return f"{words}, in timed calls, and not in others"
        return "these calls are answered otherwise than the same inputs in other calls"
    return next(inference.patterns(logits, np.concatenate(expected), predictions), None)


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
