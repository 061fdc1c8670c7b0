"""What a failed check looks like: known patterns, tried on the answers.

A hint is a guess that fits the numbers, in words that say where to look. Each pattern asks whether
one simple relation turns the answers into what is right, far better than they were.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frameworks.answers import checkpoints, probes
from frameworks.contract import Weights
from frameworks.reference.arithmetic import Arithmetic
from harness.diagnosis import inference, losses, other_layers, sequences
from harness.diagnosis.relations import EXACT, coarse, common, difference, factor, stored_as
from harness.diagnosis.suspects import Case, Suspect
from harness.diagnosis.updates import of_another_optimiser
from harness.parity.check import Verdict, key_of
from harness.parity.reference import ReferenceRun
from harness.verdicts import NOT_EQUIVALENT
from workloads import layers

Answers = Mapping[str, NDArray]
Pattern = Callable[[Answers, ReferenceRun, Verdict], Iterator[str]]

_LOSS = "the loss"

SCALED = 1e-4
"""Logits that differ by less than this from call to call may do so by rounding."""

VARIANCE = 1e3
"""Where a feature's mean is so many times its deviation, a one-pass variance is off by half a percent."""


def hint(answers: Answers, run: ReferenceRun, verdict: Verdict) -> str | None:
    """Return the first pattern that fits a cell that failed, or None."""
    if verdict.value != NOT_EQUIVALENT:
        return None
    patterns = *_patterns(answers, run, verdict), _not_finite
    for pattern in (_of_another_shape, _variance, _not_finite_at_first, *patterns):
        for words in pattern(answers, run, verdict):
            return words
    return None


def _patterns(answers: Answers, run: ReferenceRun, verdict: Verdict) -> tuple[Pattern, ...]:
    """Return what can explain the first of what is wrong: what comes of that is no pattern's own."""
    failed = [check for check in verdict.checks if not check.ok]
    off = {check.tensor: check.bound for check in failed if check.when == "at step 1"}
    if "logits" in off:
        return _logits, _coarse, _of_the_forward_pass
    # Of the loss there are two: that of the step as it was looked into, and as it was trained.
    if {*off} - {_LOSS} or abs(answers["loss"] - run.answers["loss"]) > off.get(_LOSS, np.inf):
        of_padding, of_loss = sequences.of_padding, losses.of_the_loss
        return of_padding, of_loss, _gradients, _of_the_backward_pass
    if all(check.tensor.startswith("prediction") for check in failed) or not failed[0].steps:
        return (_predictions,)
    return _state, _updates_rounded, of_another_optimiser, _updates, _later


def _not_finite_at_first(answers: Answers, run: ReferenceRun, verdict: Verdict) -> Iterator[str]:
    """What is not finite at the first moment at which something is wrong."""
    failed = [check for check in verdict.checks if not check.ok]
    first = {key_of(check) for check in failed if check.when == failed[0].when}
    if any(key.startswith("losses/") for key in first):
        first |= {"loss", "losses"}
    yield from _not_finite({k: a for k, a in answers.items() if k in first}, run, verdict)


def _not_finite(answers: Answers, run: ReferenceRun, verdict: Verdict) -> Iterator[str]:
    for key, array in answers.items():
        if not np.isfinite(array).all():
            yield f"{key.replace('/', ' of ')} has values that are not finite"


def _of_another_shape(answers: Answers, run: ReferenceRun, verdict: Verdict) -> Iterator[str]:
    for key, expected in run.answers.items():
        if key not in answers:
            yield f"{key.replace('/', ' of ')} is missing"
        elif np.shape(answers[key]) != np.shape(expected):
            yield (
                f"{key.replace('/', ' of ')} has shape {np.shape(answers[key])}, not"
                f" {np.shape(expected)}: another layout, or pooling that keeps incomplete windows"
                " (ceil mode)"
            )


def _variance(answers: Answers, run: ReferenceRun, verdict: Verdict) -> Iterator[str]:
    """A one-pass variance, E[x^2] - E[x]^2, loses the digits that both have in common."""
    norms = [place for place in run.workload.leaves if isinstance(place.layer, layers.BatchNorm)]
    if not norms:
        return
    reference = run.reference()
    reference.step(run.batches[0])
    for place in norms:
        norm: Any = reference.layer(place.name)
        ratio = float(np.max(np.abs(norm.mean) / norm.deviation))
        after = run.answers[f"weights/1/{place.name}.variance"]
        share = difference(answers[f"weights/1/{place.name}.variance"] - 1, after - 1)
        if ratio > VARIANCE and (share > EXACT or not math.isfinite(share)):
            yield (
                f"the variance of {place.name} is off by {share:.1g}, where a mean is {ratio:.0f}"
                " deviations: a one-pass variance, E[x^2] - E[x]^2, cancels; take the mean first"
            )


def _logits(answers: Answers, run: ReferenceRun, verdict: Verdict) -> Iterator[str]:
    """Let the reference compute with a suspect's weights or layers, and see what fits best."""
    key = "logits"
    bound = next(check.bound for check in verdict.checks if check.tensor == key)
    case = Case({key: answers[key]}, {key: run.answers[key]}, {key: bound})

    def compute(suspect: Suspect) -> Answers:
        return {key: suspect.reference().forward(suspect.run.batches[0])}

    yield from other_layers.explained(run, compute, case)


def _gradients(answers: Answers, run: ReferenceRun, verdict: Verdict) -> Iterator[str]:
    names = [
        name
        for name in run.workload.parameters
        if np.any(run.answers[f"gradient/{name}"]) and name not in run.vanishing
    ]
    pairs = {n: (answers[f"gradient/{n}"], run.answers[f"gradient/{n}"]) for n in names}
    factors = [factor(gradient, expected) for gradient, expected in pairs.values()]
    shared = common(factors)
    if shared is not None and abs(shared - 1) > EXACT:
        yield f"every gradient is {shared:.6g} times what is right, and the loss is not"
    for (name, (gradient, expected)), scale in zip(pairs.items(), factors, strict=True):
        if difference(gradient, expected) < EXACT / 10:
            continue
        if coarse_format := stored_as(gradient):
            yield f"the gradient of {name} is rounded to {coarse_format}"
        if difference(gradient, expected) < EXACT:
            continue
        if expected.ndim >= 2 and difference(np.swapaxes(gradient, -1, -2), expected) < EXACT:
            yield f"the gradient of {name} is transposed"
        if not np.any(gradient):
            yield f"the gradient of {name} is zero: the layer is frozen or cut off"
        if scale is not None:
            yield f"the gradient of {name} is {scale:.6g} times what is right"


def _updates_rounded(answers: Answers, run: ReferenceRun, verdict: Verdict) -> Iterator[str]:
    """Weights that are stored coarsely."""
    for name in run.workload.parameters:
        after = f"weights/{run.steps}/{name}"
        if (coarse_format := stored_as(answers[after])) and not stored_as(run.answers[after]):
            yield f"{name} is stored in {coarse_format}"


def _updates(answers: Answers, run: ReferenceRun, verdict: Verdict) -> Iterator[str]:
    """The weights' updates in the first step, against the reference's."""
    moves = {
        name: (answers[f"weights/1/{name}"] - run.start[name], expected - run.start[name])
        for name in run.workload.parameters
        if name not in run.vanishing
        and np.any((expected := run.answers[f"weights/1/{name}"]) - run.start[name])
    }
    still = [name for name, (moved, expected) in moves.items() if not np.any(moved)]
    if still and len(still) < len(moves):
        yield f"{still[0]} does not move: the layer is frozen"
    elif still:
        yield "no weight moves: an update that is not done, or weights that are read from a cache"
    scale = common([factor(moved, expected) for moved, expected in moves.values()])
    if scale is not None and abs(scale - 1) > EXACT:
        yield (
            f"every weight moves by {scale:.6g} times what is right: another learning rate,"
            " a clipped gradient, more than one step, or another training's optimiser memory"
        )


def _later(answers: Answers, run: ReferenceRun, verdict: Verdict) -> Iterator[str]:
    """Where no pattern fits: what is right until then."""
    first = next(check for check in verdict.checks if not check.ok)
    before = "the first gradient is right, and its update is not"
    if run.updates(first.steps) > 1 or first.tensor == _LOSS:
        before = f"all is right before step {first.steps}"
    if first.steps == 1 and first.tensor == _LOSS:
        yield (
            "the first step is right where it is looked into, and not where it is trained: a state that"
            " is carried from call to call, or another batch"
        )
    yield (
        f"{before}: another formula of the optimiser, other batches, or lists of batches that are"
        " trained otherwise than single ones"
    )


def _of_the_forward_pass(answers: Answers, run: ReferenceRun, verdict: Verdict) -> Iterator[str]:
    yield "logits are wrong before any update: a layer computes another function than the spec's"


def _of_the_backward_pass(answers: Answers, run: ReferenceRun, verdict: Verdict) -> Iterator[str]:
    """Where logits are right: the wrong gradient that is nearest to the loss."""
    wrong = [
        check.tensor.removeprefix("gradient of ")
        for check in verdict.checks
        if not check.ok and check.when == "at step 1" and check.tensor.startswith("gradient")
    ]
    yield (
        f"logits are right and gradients are not, from that of {wrong[-1]} on: the loss, or a"
        " layer's way back"
        if wrong
        else "logits and gradients are right, and the loss is not: another mean"
    )


def _state(answers: Answers, run: ReferenceRun, verdict: Verdict) -> Iterator[str]:
    """Running means and variances after the first step."""
    for place in run.workload.leaves:
        if not isinstance(place.layer, layers.BatchNorm):
            continue
        for name in place.layer.state(place.input):
            key, start = f"weights/1/{place.name}.{name}", run.start[f"{place.name}.{name}"]
            moves = any(np.any(answers[f"weights/1/{n}"] != w) for n, w in run.start.items())
            if moves and np.array_equal(answers[key], start) and np.any(run.answers[key] != start):
                yield f"{place.name}.{name} does not move: batch norm's state is not kept"
        old = 1 - place.layer.momentum
        mean, variance = f"weights/1/{place.name}.mean", f"weights/1/{place.name}.variance"
        share = (factor(answers[mean], run.answers[mean]) or 1.0) * place.layer.momentum
        if abs(share / old - 1) < EXACT:
            yield "batch norm's momentum is taken for the share of the old value, not of the new"
        if abs(share / place.layer.momentum - 1) > EXACT:
            yield f"batchnorm: momentum is about {share:.3g}, not {place.layer.momentum:g}"
        count = run.workload.data.batch * math.prod(place.input[1:])
        scale = factor(answers[variance] - old, run.answers[variance] - old)
        if scale is not None and abs(scale * count / (count - 1) - 1) < 0.1 / count:
            yield "batch norm's running variance takes the biased variance (n, not n - 1)"


def _coarse(answers: Answers, run: ReferenceRun, verdict: Verdict) -> Iterator[str]:
    """Logits that are off by as much as in a coarse precision."""

    def in_arithmetic(arithmetic: Arithmetic) -> NDArray:
        return run.reference(arithmetic=arithmetic).forward(run.batches[0])

    yield from coarse(answers["logits"], run.answers["logits"], in_arithmetic)


def _predictions(answers: Answers, run: ReferenceRun, verdict: Verdict) -> Iterator[str]:
    """Predictions that are wrong, at the last moment at which some are: staleness shows best there."""
    failed = [check for check in verdict.checks if not check.ok]
    wrong = [check for check in failed if check.tensor.startswith("prediction")]
    steps, inputs = wrong[-1].steps, probes(run.batches)
    bounds = {key_of(check): check.bound for check in wrong if check.steps == steps}
    keys = [key for probe in inputs if (key := f"predicted/{steps}/{probe}") in bounds]
    cases = {key: _asked(run, steps, inputs[key.rpartition("/")[2]]) for key in keys}
    for key, about in cases.items():
        yield from inference.patterns(answers[key], run.answers[key], about)
    dropout = "dropout is on in inference: " if run.workload.masked and wrong == failed else ""
    if _unsteady(answers, run, steps):
        yield (
            f"{dropout}the same inputs are predicted otherwise in a call of one, of a batch and of a"
            " list, or a prediction changes what comes after"
        )
    key = keys[0]
    yield from inference.explained(answers[key], run.answers[key], cases[key], bounds[key])
    yield (
        "predictions are wrong where training is right: look at the way of inference, at dropout, and"
        " at what of batch norm's state `load` sets"
    )


def _asked(
    run: ReferenceRun, steps: int, batches: Sequence[NDArray[np.float32]]
) -> inference.Predictions:
    """Return what was asked for after so many steps, with all weights that may be stale."""
    marks = checkpoints(run.steps, run.workload.optimiser.accumulate)
    before = max((mark for mark in marks if mark < steps), default=0)
    return inference.Predictions(
        run.workload,
        np.concatenate(batches),
        _weights_after(run, steps, averaged=True),
        {
            "of the start": run.start,
            "of before the last call of `train`": _weights_after(run, before, averaged=True),
        },
        _weights_after(run, steps, averaged=False),
    )


def _weights_after(run: ReferenceRun, steps: int, averaged: bool) -> Weights:
    """Return weights and state, where `averaged` is asked for with averages in the weights' stead."""
    if not steps:
        return run.start
    trained = {name: run.answers[f"weights/{steps}/{name}"] for name in run.start}
    if averaged:
        trained |= {n: run.answers.get(f"average/{steps}/{n}", trained[n]) for n in trained}
    return trained


def _unsteady(answers: Answers, run: ReferenceRun, steps: int) -> bool:
    """Whether an example is predicted otherwise in a call of one, of a batch and of a list."""
    asked_for = (f"predicted/{steps}/{probe}" for probe in probes(run.batches))
    keys = [key for key in asked_for if key in run.answers]
    rows = min(len(run.answers[key]) for key in keys)
    logits, (expected, *_) = ([a[key][:rows] for key in keys] for a in (answers, run.answers))
    errors = [difference(a, expected) for a in logits]
    apart = max(difference(a, b) for a, b in combinations(logits, 2))
    return apart > max(errors) / 2 and apart > SCALED
