"""What wrong updates look like: the reference takes the steps with a suspect's optimiser."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.parity.check import Verdict
from harness.parity.reference import ReferenceRun
from harness.parity.relations import EXACT, difference
from workloads.optimisers import Optimiser, Sgd

Answers = Mapping[str, NDArray]


def of_another_optimiser(answers: Answers, run: ReferenceRun, verdict: Verdict) -> Iterator[str]:
    """Yield what fits updates that are wrong, at the first moment at which some are."""
    wrong = [check.steps for check in verdict.checks if not check.ok and "update" in check.tensor]
    for words, optimiser in _suspects(run.workload.optimiser) if wrong else ():
        suspect = replace(run, workload=replace(run.workload, optimiser=optimiser), memory=None)
        if run.memory is None and _fits(answers, suspect, run.vanishing, wrong[0]):
            yield words


def _suspects(optimiser: Optimiser) -> Iterator[tuple[str, Optimiser]]:
    def other(**changes: Any) -> Optimiser:
        return replace(optimiser, **changes)

    if isinstance(optimiser, Sgd) and optimiser.nesterov:
        yield "momentum without Nesterov's step", other(nesterov=False)
        yield (
            "Nesterov's step is (1 + momentum) v, and not g + momentum v",
            other(nesterov=False, lr=(1 + optimiser.momentum) * optimiser.lr),
        )
    if optimiser.decay == "kernels":
        yield "biases and norms decay, which are to be spared", other(decay="all")
    if optimiser.weight_decay:
        yield f"a weight decay of {optimiser.weight_decay:g} is left out", other(weight_decay=0.0)
    if optimiser.clip_norm or optimiser.clip_value:
        limit = optimiser.clip_norm or optimiser.clip_value
        yield "the gradient is not clipped", other(clip_norm=0.0, clip_value=0.0)
        if optimiser.clip_norm:
            yield "clipped by value, and not by norm", other(clip_norm=0.0, clip_value=limit)
        else:
            yield "clipped by norm, and not by value", other(clip_norm=limit, clip_value=0.0)
    if (count := optimiser.accumulate) > 1:
        yield (
            f"gradients are summed over the {count} batches of an update, and not averaged",
            other(lr=count * optimiser.lr),
        )
        yield f"weights move before {count} batches are gathered", other(accumulate=1)


def _fits(answers: Answers, suspect: ReferenceRun, vanishing: frozenset[str], steps: int) -> bool:
    """Whether all weights have moved as the suspect's after so many steps."""
    reference = suspect.reference()
    reference.train(suspect.batches[:steps])
    expected = reference.weights()
    names = [name for name in suspect.workload.parameters if name not in vanishing]
    pairs = [
        (answers[f"weights/{steps}/{n}"] - suspect.start[n], expected[n] - suspect.start[n])
        for n in names
    ]
    moved = [pair for pair in pairs if np.any(pair[1])]
    return bool(moved) and all(difference(*pair) < EXACT for pair in moved)
