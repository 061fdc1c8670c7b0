"""What wrong timed slices look like: which way of calling `train` or `predict` is at fault, and how."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from frameworks.contract import Memory
from harness.diagnosis import inference, updates
from harness.diagnosis.relations import EXACT, common, difference, factor
from harness.diagnosis.suspects import Case, Suspect, explained
from harness.parity.check import Verdict
from harness.parity.reference import ReferenceRun
from harness.parity.timed import Arrays, part, predicted
from harness.verdicts import NOT_EQUIVALENT
from workloads.batches import Batch
from workloads.spec import Workload

Weights = Mapping[str, NDArray]

GROUPS = (4, 8, 16, 32, 64, 128)
"""Steps that one call of a compiled loop may make."""


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
        yield from _behind_right_losses(arrays, run, where)
    if len(off) == 1 and off[0] == count - 1:
        yield f"the last batch is another, {where}"
    if not np.ptp(timed) and np.ptp(replayed):
        yield f"all losses are the same, {where}: one step's stands for all"
    if np.mean(np.abs(timed[1::2] - timed[: count - count % 2 : 2]) == 0) > 0.9:
        yield f"losses come in equal pairs: every second batch is left out, or two make one step, {where}"
    if difference(timed[1:], replayed[:-1]) < EXACT:
        yield f"each loss is that of the step before, {where}"
    yield from (f"{words}, {where}" for words in _of_losses(timed, replayed, run))
    if group := _whole_groups(off, count):
        yield f"what remains of whole groups of {group} steps is trained otherwise, {where}"
    if off[0] == 0:
        yield (
            f"the first loss is wrong already, {where}: another batch, or weights or state of another"
            " moment (a graph that is stale, an update that comes late)"
        )
    yield f"steps go wrong from batch {off[0] + 1} on, {where}: another path for lists"


def _behind_right_losses(arrays: Arrays, run: ReferenceRun, where: str) -> Iterator[str]:
    """Patterns of lists whose losses are right, and whose weights or memory are not."""
    after, expected = part(arrays, "timed/after"), part(arrays, "replayed/after")
    if all(np.array_equal(after[name], weight) for name, weight in expected.items()):
        yield f"weights are right and the optimiser's memory is not, {where}"
    for words in _moved(after, expected, part(arrays, "start"), run):
        yield f"{words}, {where}"
    found = _of_losses(arrays["timed/losses"], arrays["replayed/losses"], run)
    yield from (f"{words}, {where}" for words in found)
    yield (
        f"all losses are right and the weights are not, {where}: an update is left out, or not"
        " done when train returns"
    )


def _of_losses(timed: NDArray, replayed: NDArray, run: ReferenceRun) -> Iterator[str]:
    """What explains the losses of the first steps."""
    count = min(run.steps, len(timed), len(replayed))
    losses = [bounds["losses"] for bounds in run.bounds.values()]
    case = Case(
        {"losses": timed[:count]},
        {"losses": replayed[:count]},
        {"losses": float(max(np.linalg.norm(bounds) for bounds in losses))},
    )

    def compute(suspect: Suspect) -> dict[str, NDArray]:
        return {"losses": suspect.losses()[:count]}

    fits = partial(updates.fits, run)
    yield from explained(_suspects(run), fits, compute, case)


def _whole_groups(off: NDArray, count: int) -> int | None:
    """The size of groups after whose last whole one all losses are off, where there is one."""
    first = int(off[0])
    if not first or len(off) < count - first:
        return None
    return next((g for g in GROUPS if count % g and first == count - count % g), None)


def _suspects(run: ReferenceRun) -> Iterator[Suspect]:
    """Yield other trainings of the first steps."""
    if run.memory is not None:
        empty = {
            slot: {name: np.zeros_like(array) for name, array in arrays.items()}
            for slot, arrays in run.memory.slots.items()
        }
        for steps in (run.memory.steps, 0):
            memory = Memory(steps, empty)
            words = "the optimiser's memory is lost at the start"
            yield Suspect(words, replace(run, memory=memory))
        memory = Memory(0, run.memory.slots)
        yield Suspect(
            "steps are counted anew from the start of the list", replace(run, memory=memory)
        )
    yield from updates.suspects(run)


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
    logits, right = np.concatenate(timed[drawn]), np.concatenate(expected)
    bound = float(np.linalg.norm(bounds[:, 0]))
    patterns = chain(
        inference.patterns(logits, right, predictions),
        inference.explained(logits, right, predictions, bound),
    )
    if difference(np.concatenate(replayed[drawn]), right) < EXACT:
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
