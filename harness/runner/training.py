"""How a training went, in few numbers, and how it goes with another seed than the workload's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.results import classification
from harness.runner import handed_back
from harness.runner.context import Task, Timeouts
from harness.runner.process import WorkerFailed, WorkerProcess

EVALUATIONS = 20
"""How often a training to the target is scored, evenly over its steps."""

CURVE = 200
"""The points of a learning curve in the journal."""


def learning_curve(losses: NDArray, moments: Sequence[tuple[int, float]]) -> dict[str, list[float]]:
    """Return a training's mean losses over CURVE stretches of steps at most: how it went.

    `moments` are pairs of a step and the training seconds until then. `steps` and `seconds` are those
    of the ends of the stretches.
    """
    stretches = np.array_split(losses, min(CURVE, len(losses)))
    ends = np.cumsum([len(stretch) for stretch in stretches])
    at, seconds = zip(*moments, strict=True)
    return {
        "steps": ends.tolist(),
        "seconds": np.interp(ends, at, seconds).round(4).tolist(),
        "losses": [float(stretch.mean()) for stretch in stretches],
    }


def predicted(
    worker: WorkerProcess, task: Task, timeouts: Timeouts
) -> tuple[NDArray, NDArray, dict[str, Any]]:
    """Have the test set predicted; return its labels and the predictions, (N,), and the reply.

    With a label a step, all steps of the examples follow one another, without those labelled -1.
    """
    evaluated = worker.ask("evaluate", timeouts.work)
    predictions = handed_back.array("evaluate", evaluated["predictions"])
    labels = np.asarray(task.arrays.open("test_labels")).ravel()
    if predictions.shape != labels.shape:
        reason = f"evaluate: {len(predictions)} predictions for {len(labels)} examples"
        raise WorkerFailed("failed", reason)
    counted = labels >= 0
    return labels[counted], predictions[counted], evaluated


def train_with(
    seed: int, worker: WorkerProcess, task: Task, timeouts: Timeouts, evaluations: int
) -> dict[str, Any]:
    """Train with a seed to the workload's budget, scored so often on the way; return what came of it.

    Its fields are those of a `retrained` event. Seconds are of training alone. One that is scored on
    its way and diverges is broken off, and has no accuracy. What is asked of the worker later begins with
    the workload's own seed again. Raises WorkerFailed.
    """
    ends = np.unique(np.linspace(0, task.steps, evaluations + 1).round().astype(int))[1:]
    curve: dict[str, list[float]] = {"steps": [], "seconds": [], "accuracies": []}
    outcome: dict[str, Any] = {"seed": seed}
    start, seconds = 0, 0.0
    _begin_from(seed, worker, task, timeouts)
    for end in ends.tolist():
        # From the start without the word, which workers of older commits do not have.
        steps = {"steps": end, "start": start} if start else {"steps": end}
        trained = worker.ask("train", timeouts.work, None, **steps)
        start, seconds = end, seconds + trained["seconds"]
        losses = handed_back.array("train", trained["losses"])
        if evaluations > 1 and not np.isfinite(losses[-1]):
            outcome = {"seed": seed, "diverged": True}
            break
        labels, predictions, _ = predicted(worker, task, timeouts)
        correct = labels == predictions
        outcome |= {"examples": len(labels), "accuracy": float(correct.mean())}
        outcome["right"] = classification.pack(correct)
        accuracy = round(outcome["accuracy"], 6)
        for key, value in (
            ("steps", end),
            ("seconds", round(seconds, 6)),
            ("accuracies", accuracy),
        ):
            curve[key].append(value)
    _begin_from(None, worker, task, timeouts)
    return outcome | {"seconds": seconds} | ({"curve": curve} if evaluations > 1 else {})


def _begin_from(seed: int | None, worker: WorkerProcess, task: Task, timeouts: Timeouts) -> None:
    workload, start = task.seeded(seed).to_dict(), str(task.start_of(seed))
    worker.ask("begin_from", timeouts.build, workload=workload, start=start)
