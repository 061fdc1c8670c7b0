"""What wrong updates look like: the reference takes the steps with a suspect's optimiser."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frameworks.answers import Answers, checkpoints
from harness.diagnosis import rules, steps
from harness.diagnosis.suspects import Arrays, Case, Compute, Suspect, explained, fitted
from harness.diagnosis.training import of_batches, of_calls, of_rates, of_schedules
from harness.parity.check import Check, Verdict, key_of
from harness.parity.reference import ReferenceRun
from workloads.optimisers import Adam, AdamW, Optimiser, Sgd

MOMENTS = 5
"""Of so many of the first moments that are wrong a suspect has to explain all."""

NUMBERS = ("lr", "momentum", "rho", "beta1", "beta2", "epsilon", "average")
"""The keys of optimisers that may have any other value."""

LIMITS = ("weight_decay", "clip_norm", "clip_value")
"""Those of which 0 says that there is none: weight decay is looked for then, too."""


def of_another_optimiser(answers: Arrays, run: ReferenceRun, verdict: Verdict) -> Iterator[str]:
    """Yield what fits updates or losses that are wrong, at the first moments at which some are."""
    trained = [check for check in verdict.checks if check.steps and _is_of_training(check)]
    moments = sorted({check.steps for check in trained if not check.ok})[:MOMENTS]
    bounds = {key_of(check): check.bound for check in trained if check.steps in moments}
    bounds = {key: bound for key, bound in bounds.items() if _name(key) not in run.vanishing}
    if not moments:
        return
    observed, expected = (
        {key: _at(every, key) for key in bounds} for every in (answers, run.answers)
    )
    case = Case(observed, expected, bounds)
    compute = partial(_trained, calls=_calls(run, moments[-1]))
    yield from explained(suspects(run), partial(fits, run), compute, case)


def _is_of_training(check: Check) -> bool:
    return check.tensor == "the loss" or check.tensor.startswith(("update", "average"))


def _name(key: str) -> str:
    return key.split("/", 2)[-1]


def _at(answers: Arrays, key: str) -> NDArray:
    """Return an answer; losses have a key a step."""
    kind, _, step = key.partition("/")
    return np.asarray(answers["losses"][int(step) - 1]) if kind == "losses" else answers[key]


def _calls(run: ReferenceRun, last: int) -> list[tuple[int, int]]:
    """Return the steps before and after each call of `train`, until step `last` is taken."""
    marks = checkpoints(len(run.batches), run.workload.optimiser.accumulate)
    return [(before, after) for before, after in pairwise(marks) if before < last]


def _trained(suspect: Suspect, calls: Sequence[tuple[int, int]]) -> Arrays:
    """Return a suspect's losses, weights and averages, by these calls of `train`."""
    reference = suspect.reference()
    batches, result = suspect.run.batches, Answers()
    for before, after in calls:
        losses = suspect.trainer.call(reference, batches[before:after])
        for number, loss in enumerate(losses, before + 1):
            result[f"losses/{number}"] = np.asarray(loss)
        result |= {f"weights/{after}/{name}": w for name, w in reference.weights().items()}
        result |= {f"average/{after}/{name}": w for name, w in reference.averages().items()}
    return result


def suspects(run: ReferenceRun) -> Iterator[Suspect]:
    """Yield all that train otherwise, but for other numbers."""
    for words, optimiser in _optimisers(run.workload.optimiser):
        yield Suspect(words, _with_optimiser(run, optimiser))
    yield from of_schedules(run)
    yield from rules.suspects(run)
    yield from of_calls(run)
    yield from of_rates(run)
    yield from of_batches(run)
    yield from steps.suspects(run)


def _with_optimiser(run: ReferenceRun, optimiser: Optimiser) -> ReferenceRun:
    return replace(run, workload=replace(run.workload, optimiser=optimiser))


def _optimisers(optimiser: Optimiser) -> Iterator[tuple[str, Optimiser]]:
    def other(**changes: Any) -> Optimiser:
        return replace(optimiser, **changes)

    if isinstance(optimiser, Sgd):
        yield from _momenta(optimiser)
    if isinstance(optimiser, Adam) and optimiser.weight_decay:
        decoupled = isinstance(optimiser, AdamW)
        words = "in the gradient, and not decoupled" if decoupled else "decoupled"
        kind = Adam if decoupled else AdamW
        yield f"weight decay is {words}", kind(**vars(optimiser))
    if optimiser.decay == "kernels":
        yield "biases and norms decay, which are to be spared", other(decay="all")
    elif optimiser.weight_decay:
        yield "biases and norms do not decay, which are to", other(decay="kernels")
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
    for number in range(2, 9):
        if number != count:
            yield f"an update takes {number} batches", other(accumulate=number)


def _momenta(optimiser: Sgd) -> Iterator[tuple[str, Optimiser]]:
    momentum = optimiser.momentum
    if optimiser.nesterov:
        yield "momentum without Nesterov's step", replace(optimiser, nesterov=False)
        yield (
            "Nesterov's step is (1 + momentum) v, and not g + momentum v",
            replace(optimiser, nesterov=False, lr=(1 + momentum) * optimiser.lr),
        )
    elif momentum:
        yield "momentum takes Nesterov's step", replace(optimiser, nesterov=True)
    if momentum:
        yield "momentum is left out", replace(optimiser, nesterov=False, momentum=0.0)
        yield (
            "momentum with dampening: v = momentum v + (1 - momentum) g",
            replace(optimiser, lr=(1 - momentum) * optimiser.lr),
        )


def fits(run: ReferenceRun, compute: Compute, case: Case) -> Iterator[Suspect]:
    """Yield the optimiser with another value of a key, the one that fits best."""
    optimiser = run.workload.optimiser
    for key in NUMBERS:
        value = getattr(optimiser, key, None)
        if value is not None and (value or key == "momentum"):
            yield from fitted(partial(_with_number, run, key), value, compute, case)
    for key in LIMITS:
        value = getattr(optimiser, key)
        if value or key == "weight_decay":
            yield from fitted(partial(_with_number, run, key), value, compute, case)
    if not optimiser.weight_decay:
        of_kernels = _with_optimiser(run, replace(optimiser, decay="kernels"))
        yield from fitted(partial(_with_number, of_kernels, "weight_decay"), 0.0, compute, case)
    if not (optimiser.clip_norm or optimiser.clip_value):
        gradients = run.reference().step(run.batches[0]).gradients.values()
        norm = float(np.sqrt(sum(np.vdot(g, g) for g in gradients)))
        largest = float(max(np.max(np.abs(g)) for g in gradients))
        for key, size in {"clip_norm": norm, "clip_value": largest}.items():
            yield from fitted(partial(_with_number, run, key), size / 2, compute, case)
    if (gamma := getattr(run.workload.schedule, "gamma", None)) is not None:
        yield from fitted(partial(_with_gamma, run), gamma, compute, case)


def _with_number(run: ReferenceRun, key: str, other: float) -> Suspect:
    optimiser = run.workload.optimiser
    value = getattr(optimiser, key)
    if key == "lr":
        words = f"the learning rate is {other / value:.4g} times what is right"
    elif key == "weight_decay" and not value:
        what = "kernels" if optimiser.decay == "kernels" else "weights"
        words = f"{what} shrink by themselves: a weight decay of {other:.2g} where there is none"
    elif key in LIMITS and not value:
        words = f"gradients are clipped, which are not to be: {key} is about {other:.3g}"
    else:
        words = f"{optimiser.kind}: {key} is about {other:.3g}, not {value:g}"
    below_one = key in ("momentum", "rho", "beta1", "beta2", "average")
    number = min(max(other, 0.0), 1.0 if below_one else np.inf)
    changes: dict[str, Any] = {key: float(number)}
    return Suspect(words, _with_optimiser(run, replace(optimiser, **changes)))


def _with_gamma(run: ReferenceRun, other: float) -> Suspect:
    schedule: Any = run.workload.schedule
    changed = replace(run.workload, schedule=replace(schedule, gamma=other))
    words = f"the schedule's gamma is about {other:.3g}, not {schedule.gamma:g}"
    return Suspect(words, replace(run, workload=changed))
