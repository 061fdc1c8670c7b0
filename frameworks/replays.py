"""Takes up what was timed once more, outside the clock: for the parity check of timed slices.

A training is gone through again from the weights, the state and the optimiser's memory before it, one
batch at a time; predictions are asked for again by other calls than those that were timed. Standard
library and numpy only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from frameworks.answers import Answers, averages
from frameworks.contract import Adapter, Memory, Weights
from workloads.batches import Batch
from workloads.cost import is_heavy
from workloads.spec import Workload

EARLY, FEWER = 5, 2
"""How many steps of a training the reference takes, too; fewer where they are work for seconds."""

DRAWN = 4
"""How many predictions the reference makes, too, beside the first and the last."""

MOST_CALLS, ENDS = 300, 50
"""How many timed predictions are drawn to be made again where there are more; how many of the first
and of the last are, in any case."""

LEAST_STEPS = 4
"""Steps of the shortest timed slice."""

NUDGES = 2
"""How many replays from weights moved by a unit in the last place show what rounding does."""

CLEAR = 4.0
"""What differs by more than so many times as much as nudged replays is not rounding."""


class Snapshot(NamedTuple):
    """All that a training goes on from."""

    weights: Weights
    memory: Memory


def snapshot(adapter: Adapter) -> Snapshot:
    """Return copies of an adapter's weights, state and optimiser's memory."""
    return Snapshot(adapter.weights(), adapter.memory())


def put_back(adapter: Adapter, taken: Snapshot) -> None:
    """Have an adapter go on from a snapshot."""
    adapter.load(taken.weights)
    adapter.restore(taken.memory)


@dataclass(frozen=True)
class TimedTraining:
    """Steps that were timed: `batches` makes them again; `losses` (steps,) is what `train` returned.

    `after` is None where only the losses are known.
    """

    batches: Callable[[], list[Batch]]
    before: Snapshot
    after: Snapshot | None
    losses: NDArray[np.float32]


@dataclass(frozen=True)
class TimedPredictions:
    """Predictions that were timed: `inputs` makes those of each call again, all of one shape.

    `logits` (calls times batch, classes) is what `predict` returned. Nothing was trained since.
    """

    inputs: Callable[[], list[NDArray[np.float32]]]
    logits: NDArray[np.float32]


SINGLES = ("single", "latency one")
"""The kinds of timed predictions of single examples."""


def early_steps(workload: Workload) -> int:
    """Return how many steps of a timed training the reference takes, too: an update is among them."""
    return max(FEWER if is_heavy(workload) else EARLY, workload.optimiser.accumulate)


def replay_training(
    adapter: Adapter, timed: TimedTraining, seed: int, early: int = EARLY
) -> Answers:
    """Train again; return what is needed to judge both. The adapter goes on from where it was.

    By key: ``start/<name>``, ``memory/<slot>/<name>`` and ``taken`` (the steps before it);
    ``inputs``, ``labels`` and ``masks/<i>`` of the first `early` batches, and where they are not all as
    large, their ``sizes``: what is beyond is zeros; ``timed/...`` and
    ``replayed/...``, each with ``losses``, all weights and state ``after/<name>`` and the optimiser's
    memory ``memory/<slot>/<name>``, the latter also with weights and state after `early` steps,
    ``early/<name>``, and averages, ``early average/<name>``; and where the replay is not the same to
    the bit, what came of weights that were moved by a unit in the last place, ``nudged<i>/...``. `seed`
    is for those.
    """
    state, batches = snapshot(adapter), timed.batches()
    result = _beginning(timed.before) | _first_of(batches[:early])
    result["timed/losses"] = timed.losses
    if timed.after is not None:
        result |= {f"timed/{key}": array for key, array in _end(timed.after).items()}
    replayed = _one_by_one(adapter, timed.before, batches, early)
    result |= {f"replayed/{key}": array for key, array in replayed.items()}
    if not _same(result, replayed):
        random = np.random.default_rng(seed)
        for number in range(NUDGES):
            weights = {name: _nudged(w, random) for name, w in timed.before.weights.items()}
            nudged = _one_by_one(adapter, timed.before._replace(weights=weights), batches, early)
            result |= {f"nudged{number}/{key}": array for key, array in nudged.items()}
        result |= _where_apart(adapter, timed.before, batches, result, early)
    put_back(adapter, state)
    return result


def _where_apart(
    adapter: Adapter, start: Snapshot, batches: Sequence[Batch], result: Answers, early: int
) -> Answers:
    """Return what it takes to go through the steps at which a timed list and its replay part.

    Those are the one before the first wrong loss (with accumulated gradients: some; all where it is an
    early one), and `early` from that on; the list's last where all losses are right. By key:
    ``apart/begin``, how many steps come before them; ``apart/start/...``, ``apart/memory/...`` and so on,
    as `replay_training` has it of the list's begin; where a loss is wrong, the number of the first,
    ``apart/first``, and ``apart/alone`` (2, batches), the losses of batches at the weights of that
    moment, see `_alone`. Nothing where all may be rounding, or the list
    has another number of losses.
    """
    if np.shape(result["timed/losses"]) != np.shape(result["replayed/losses"]):
        return {}
    if not any(_is_wrong(result, key) for key in [*_end(start), "losses"]):
        return {}
    wrong, count = wrong_losses(result), len(batches)
    first = int(wrong[0]) if len(wrong) else count
    lead = 1 if len(wrong) and "sum" not in start.memory.slots else early
    begin = 0 if first <= early else first - lead
    put_back(adapter, start)
    for batch in batches[:begin]:
        adapter.train([batch])
    window = _beginning(snapshot(adapter)) | _first_of(batches[begin : first + early])
    window["begin"] = np.asarray(begin)
    if len(wrong):
        for batch in batches[begin:first]:
            adapter.train([batch])
        window |= {"first": np.asarray(first), "alone": _alone(adapter, batches, first)}
    return {f"apart/{key}": array for key, array in window.items()}


def _alone(adapter: Adapter, batches: Sequence[Batch], first: int) -> NDArray[np.float64]:
    """Return the losses of batches at the adapter's weights, by their own masks and by the first's.

    Those of the list's ends and around `first`; the others are not a number.
    """
    losses, numbers = np.full((2, len(batches)), np.nan), np.arange(len(batches))
    around = numbers[max(0, first - ENDS) : first + ENDS]
    for number in {*numbers[:ENDS], *around, *numbers[-ENDS:]}:
        batch = batches[number]
        losses[0, number] = adapter.step(batch).loss
        if batch.masks:
            losses[1, number] = adapter.step(_masked_as(batch, batches[first])).loss
    return losses


def _masked_as(batch: Batch, model: Batch) -> Batch:
    """Return a batch with the masks of `model`, where those are of its size."""
    same = len(batch.labels) == len(model.labels)
    return batch._replace(masks=model.masks) if same else batch


def _is_wrong(result: Answers, key: str) -> bool:
    """Whether what was timed is further from its replay than nudged replays are."""
    replayed = result[f"replayed/{key}"]
    if np.shape(result.get(f"timed/{key}", replayed)) != np.shape(replayed):
        return True
    nudged = [np.linalg.norm(result[f"nudged{i}/{key}"] - replayed) for i in range(NUDGES)]
    off = np.linalg.norm(result.get(f"timed/{key}", replayed) - replayed)
    return not off <= CLEAR * max(nudged)


def wrong_losses(result: Mapping[str, NDArray]) -> NDArray[np.int64]:
    """Return the steps, from 0, whose timed losses are off by more than nudged replays show."""
    timed, replayed = result["timed/losses"], result["replayed/losses"]
    keys = [f"nudged{number}/losses" for number in range(NUDGES)]
    nudged = [np.abs(result.get(key, replayed) - replayed) for key in keys]
    rounding = np.maximum.accumulate(np.max(nudged, axis=0))
    return np.flatnonzero(~(np.abs(timed - replayed) <= CLEAR * rounding))


def _beginning(before: Snapshot) -> Answers:
    taken = np.asarray(before.memory.steps)
    return _named("start", before.weights) | _remembered(before.memory) | {"taken": taken}


def _end(after: Snapshot) -> Answers:
    return _named("after", after.weights) | _remembered(after.memory)


def _remembered(memory: Memory) -> Answers:
    slots = memory.slots.items()
    return {f"memory/{slot}/{name}": a for slot, arrays in slots for name, a in arrays.items()}


def _first_of(first: Sequence[Batch]) -> Answers:
    masks = zip(*(batch.masks for batch in first), strict=True)
    sizes = [len(batch.labels) for batch in first]
    return {
        "inputs": stacked([batch.inputs for batch in first]),
        "labels": stacked([batch.labels for batch in first]),
        **{f"masks/{i}": stacked(layer) for i, layer in enumerate(masks)},
        **({"sizes": np.array(sizes)} if len(set(sizes)) > 1 else {}),
    }


def stacked(arrays: Sequence[NDArray]) -> NDArray:
    """Stack arrays of batches, shorter ones filled up with zeros."""
    most = max(map(len, arrays))
    return np.stack([np.pad(a, [(0, most - len(a))] + [(0, 0)] * (a.ndim - 1)) for a in arrays])


def _named(stem: str, weights: Weights) -> Answers:
    return {f"{stem}/{name}": array for name, array in weights.items()}


def _one_by_one(adapter: Adapter, start: Snapshot, batches: Sequence[Batch], early: int) -> Answers:
    """Train on one batch a call from `start`."""
    put_back(adapter, start)
    losses = [adapter.train([batch]) for batch in batches[:early]]
    soon = _named("early", adapter.weights()) | _named("early average", averages(adapter))
    losses += [adapter.train([batch]) for batch in batches[early:]]
    return {"losses": np.concatenate(losses)} | soon | _end(snapshot(adapter))


def _same(timed: Answers, replayed: Answers) -> bool:
    """Whether all that a replay and what was timed both have is the same to the bit."""
    keys = [key for key in replayed if f"timed/{key}" in timed]
    return all(np.array_equal(timed[f"timed/{key}"], replayed[key]) for key in keys)


def _nudged(w: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
    """Return w with each element moved to the next float32 above or below; zeros stay."""
    towards = np.where(random.random(w.shape) < 0.5, -np.inf, np.inf).astype(np.float32)
    return np.where(w == 0, w, np.nextafter(w, towards)).astype(np.float32)


def replay_predictions(
    adapter: Adapter,
    timed: TimedPredictions,
    again: Callable[[Sequence[NDArray[np.float32]]], NDArray[np.float32]],
    seed: int,
) -> Answers:
    """Predict again by `again`, which returns the logits of a list of inputs.

    By key: ``weights/<name>``, averages in their stead; the numbers of ``calls``, all or some hundreds;
    of those ``timed`` and ``replayed``, both (calls, batch, ..., classes); which of them the reference
    makes, ``drawn``, and their ``inputs``. `seed` draws them; the first and the last are among them.
    """
    everything, random = timed.inputs(), np.random.default_rng(seed)
    count = len(everything)
    calls = np.arange(count)
    if count > MOST_CALLS:
        # The first, the last, and some between.
        between = random.integers(0, count, MOST_CALLS)
        calls = np.unique([*calls[:ENDS], *between, *calls[-ENDS:]])
    inputs = [everything[call] for call in calls]
    drawn = np.unique([0, *random.integers(0, len(calls), DRAWN), len(calls) - 1])
    replayed = again(inputs)
    shape = (len(inputs[0]), *timed.logits.shape[1:])
    logits = timed.logits.reshape(count, *shape)
    return {
        **_named("weights", adapter.weights() | averages(adapter)),
        "calls": calls,
        "timed": logits[calls],
        "replayed": replayed.reshape(len(calls), *shape),
        "drawn": drawn,
        "inputs": np.stack([inputs[i] for i in drawn]),
    }


def one_by_one(adapter: Adapter) -> Callable[[Sequence[NDArray]], NDArray]:
    """Return what predicts a list in a call each."""
    return lambda inputs: np.concatenate([adapter.predict([x]) for x in inputs])


def in_batches(adapter: Adapter, batch: int) -> Callable[[Sequence[NDArray]], NDArray]:
    """Return what predicts a list of small inputs in whole batches, the last filled up with repeats."""

    def predict(inputs: Sequence[NDArray]) -> NDArray:
        rows = np.concatenate(inputs)
        count = -(-len(rows) // batch) * batch
        filled = rows[np.arange(count) % len(rows)]
        logits = [adapter.predict([x]) for x in np.split(filled, count // batch)]
        return np.concatenate(logits)[: len(rows)]

    return predict


def from_start(
    adapter: Adapter,
    start: Weights,
    lead: Sequence[Batch],
    batches: Callable[[], list[Batch]],
    losses: NDArray[np.float32],
) -> TimedTraining:
    """Return a training that came after that on `lead` from the start weights.

    It was timed without a snapshot, so `lead` is trained again, one by one. The adapter goes on from
    where it was.
    """
    state = snapshot(adapter)
    adapter.load(start)
    for batch in lead:
        adapter.train([batch])
    before = snapshot(adapter)
    put_back(adapter, state)
    return TimedTraining(batches, before, None, losses)


def timed_slice(
    kind: str,
    batches: Callable[[], list[Batch]],
    before: Snapshot | None,
    adapter: Adapter,
    result: Any,
) -> TimedTraining | TimedPredictions:
    """Return a slice of `kind` as it can be replayed.

    `batches` makes its batches again; `before` is the state that a training began with, None for
    predictions; `result` is what the adapter returned.
    """
    if before is not None:
        return TimedTraining(batches, before, snapshot(adapter), result)
    if kind == "single":
        return TimedPredictions(
            lambda: [batch.inputs[:1] for batch in batches()], np.concatenate(result)
        )
    return TimedPredictions(lambda: [batch.inputs for batch in batches()], result)


class LastTimed(dict[str, TimedTraining | TimedPredictions]):
    """By kind, what was timed last."""

    def replay(self, kind: str, adapter: Adapter, workload: Workload, seed: int) -> Answers:
        """Go through what was timed last of `kind` again, and forget it.

        Predictions of single examples are made again in batches of the workload's size.
        """
        batch = workload.data.batch
        timed = self.pop(kind)
        if isinstance(timed, TimedTraining):
            return replay_training(adapter, timed, seed, early_steps(workload))
        single = kind in SINGLES and batch > 1
        again = in_batches(adapter, batch) if single else one_by_one(adapter)
        return replay_predictions(adapter, timed, again, seed)
