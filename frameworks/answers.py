"""What the parity check asks of an adapter. Standard library and numpy only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from frameworks.contract import Adapter, Step, Weights
from workloads.batches import Batch

Answers = dict[str, NDArray]
"""By key: ``logits`` and ``loss`` of the first step, its ``gradient/<parameter>``; the ``losses`` of all
steps, (steps,); and after k steps, for each k of `checkpoints` and each of `probes`, the logits in
inference ``predicted/<k>/<probe>``; for each k but 0 all weights and state ``weights/<k>/<name>``, and
where the optimiser keeps averages of the weights, ``average/<k>/<name>``."""


def checkpoints(steps: int, accumulate: int = 1) -> list[int]:
    """Return after how many steps weights and predictions are looked at: 0, 1, 2, 5, 10, 20, 50, ...

    The stretches between them also are lists of several lengths for `train`. Where only every
    `accumulate` steps end with an update, it is also after the first two updates.
    """
    marks = {0, steps, *(mark for mark in (accumulate, 2 * accumulate) if mark < steps)}
    for power in range(len(str(steps))):
        marks |= {mark * 10**power for mark in (1, 2, 5) if mark * 10**power < steps}
    return sorted(marks)


def probes(batches: Sequence[Batch]) -> dict[str, list[NDArray[np.float32]]]:
    """Return the inputs that are predicted at each checkpoint: one example, a batch, a list of some."""
    size = len(batches[0].labels)
    inputs = [batch.inputs for batch in batches if len(batch.labels) == size][:2]
    return {"one": [inputs[0][:1]], "batch": inputs[:1], "list": inputs}


def first_step(step: Step) -> Iterator[tuple[str, NDArray]]:
    """Yield the answers about the first step."""
    yield "logits", step.logits
    yield "loss", np.asarray(step.loss)
    for name, gradient in step.gradients.items():
        yield f"gradient/{name}", gradient


def averages(adapter: Adapter) -> dict[str, NDArray]:
    """Return the averages that an adapter predicts by in the weights' stead; empty where it has none."""
    return adapter.memory().slots.get("average", {})


def answers(
    adapter: Adapter, start: Weights, batches: Sequence[Batch], accumulate: int = 1
) -> Answers:
    """Have an adapter predict, and take a step a batch, from `start`; it goes back there at the end.

    `accumulate` is the optimiser's.
    """
    adapter.load(start)
    result, losses = _predicted(adapter, batches, 0), []
    result |= first_step(adapter.step(batches[0]))
    marks = checkpoints(len(batches), accumulate)
    for before, after in pairwise(marks):
        losses.append(adapter.train(batches[before:after]))
        result |= {f"weights/{after}/{name}": w for name, w in adapter.weights().items()}
        result |= {f"average/{after}/{name}": w for name, w in averages(adapter).items()}
        result |= _predicted(adapter, batches, after)
    result["losses"] = np.concatenate(losses)
    adapter.load(start)
    return result


def _predicted(adapter: Adapter, batches: Sequence[Batch], steps: int) -> Answers:
    probe_inputs = probes(batches).items()
    return {f"predicted/{steps}/{probe}": adapter.predict(inputs) for probe, inputs in probe_inputs}
