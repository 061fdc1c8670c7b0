"""What a wrong loss looks like where the logits are right: another scale, labels, smoothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from harness.diagnosis.functions import OTHER_WAYS_BACK, evaluating
from harness.diagnosis.relations import EXACT, common, difference, factor
from harness.diagnosis.suspects import (
    Arrays,
    Case,
    Compute,
    Suspect,
    explained,
    fitted,
    of_functions,
)
from harness.parity.check import Verdict, key_of
from harness.parity.reference import ReferenceRun

SCALED = 1e-4
"""A loss that is off by less than this may be so by rounding, and is not called scaled."""


def of_the_loss(answers: Arrays, run: ReferenceRun, verdict: Verdict) -> Iterator[str]:
    """Yield what fits a loss and gradients that are wrong behind right logits."""
    failed = [check for check in verdict.checks if not check.ok and check.when == "at step 1"]
    if any(check.tensor == "logits" for check in failed):
        return
    yield from _of_other_formulas(answers, run)
    yield from _penalised(answers, run)
    yield from _scaled(answers, run)
    keys = {key_of(check): check.bound for check in failed if check.tensor != "the loss"}
    case = Case({key: answers[key] for key in keys}, {key: run.answers[key] for key in keys}, keys)
    if not keys:
        return
    fits = partial(fitted, partial(_smoothed, run), run.workload.label_smoothing)
    yield from explained(_suspects(run), fits, _gradients, case)


def fits(run: ReferenceRun, compute: Compute, case: Case) -> Iterator[Suspect]:
    """Yield the smoothing of labels that fits best."""
    if run.workload.loss == "cross-entropy":
        yield from fitted(partial(_smoothed, run), run.workload.label_smoothing, compute, case)


def _gradients(suspect: Suspect) -> Arrays:
    step = suspect.reference().step(suspect.run.batches[0])
    return {f"gradient/{name}": gradient for name, gradient in step.gradients.items()}


def _of_other_formulas(answers: Arrays, run: ReferenceRun) -> Iterator[str]:
    """A loss by another formula of the right logits."""
    logits, labels = run.answers["logits"], run.batches[0].labels
    counted = labels >= 0
    z, target = logits[counted], np.eye(logits.shape[-1])[labels[counted]]
    logs = z - _logarithms(z)
    shares = np.exp(logs)
    by_words = {
        "probabilities for logits: softmax twice": -target * (shares - _logarithms(shares)),
        "sigmoids, each class by itself": np.logaddexp(0, z) - target * z,
        "the squared error of probabilities": np.square(shares - target) / 2,
    }
    if run.workload.loss == "cross-entropy":
        by_words["the squared error of logits"] = np.square(z - target) / 2
    else:
        by_words["the cross-entropy of logits"] = -target * logs
    for words, terms in by_words.items():
        of_examples = float(np.mean(np.sum(terms, axis=-1)))
        values = (
            of_examples,
            2 * of_examples,
            of_examples / z.shape[-1],
            2 * of_examples / z.shape[-1],
        )
        if abs(answers["loss"] - run.answers["loss"]) > SCALED * abs(run.answers["loss"]) and any(
            abs(answers["loss"] - value) < SCALED / 10 * abs(value) for value in values
        ):
            yield f"the loss takes {words}"


def _logarithms(z: NDArray) -> NDArray:
    """Return log(sum(exp(z))) over the classes."""
    return np.asarray(np.logaddexp.reduce(z, axis=-1, keepdims=True))


def _penalised(answers: Arrays, run: ReferenceRun) -> Iterator[str]:
    """Gradients with a share of the weights in them."""
    shares: dict[str, float] = {}
    for name in run.workload.parameters:
        key, weight = f"gradient/{name}", run.start[name].astype(np.float64)
        apart = answers[key] - run.answers[key]
        share = factor(apart, weight)
        if difference(answers[key], run.answers[key]) > SCALED and name not in run.vanishing:
            if share is None:
                return
            shares[name] = share
    if (share := common(list(shares.values()))) is not None:
        yield (
            f"gradients have {share:.3g} times the weights in them, from {next(iter(shares))} on: an L2"
            " penalty in the loss"
        )


def _scaled(answers: Arrays, run: ReferenceRun) -> Iterator[str]:
    """A loss and gradients that are all the same number of times too large."""
    ratio = float(answers["loss"] / run.answers["loss"])
    factors = [
        factor(answers[key], expected)
        for key, expected in run.answers.items()
        if key.startswith("gradient/") and key.partition("/")[2] not in run.vanishing
    ]
    for words, number in _scales(run).items():
        if abs(ratio / number - 1) < EXACT and abs(number - 1) > EXACT:
            yield words
    if abs(ratio - 1) > SCALED and all(
        scale is not None and abs(scale / ratio - 1) < SCALED for scale in factors
    ):
        yield f"the loss and every gradient are {ratio:.6g} times what is right: a scaled loss"


def _scales(run: ReferenceRun) -> Mapping[str, float]:
    """Return by how much other means of the same losses differ."""
    labels, classes = run.batches[0].labels, run.workload.classes
    examples, counted = len(labels), int(np.count_nonzero(labels >= 0))
    scales: dict[str, float] = {"the loss is summed over the batch and not averaged": counted}
    if labels.ndim > 1:
        scales["the loss is summed over an example's steps and not averaged"] = counted / examples
        scales["the loss is averaged over all steps, also those labelled -1"] = (
            counted / labels.size
        )
    if run.workload.loss == "mean-squared-error":
        scales["the squared error is not halved"] = 2.0
        scales["the squared error is averaged over the classes, and not halved"] = 2 / classes
        scales["the squared error is averaged over the classes"] = 1 / classes
    return scales


def _suspects(run: ReferenceRun) -> Iterator[Suspect]:
    classes, smoothing = run.workload.classes, run.workload.label_smoothing
    if smoothing:
        workload = replace(run.workload, label_smoothing=0.0)
        yield Suspect("label smoothing is left out", replace(run, workload=workload))
        larger = smoothing * classes / (classes - 1)
        yield Suspect(
            "label smoothing goes to the other classes alone: shares of smoothing / (classes - 1)",
            replace(run, workload=replace(run.workload, label_smoothing=larger)),
        )
    yield from evaluating(run)
    for words, kind, function in OTHER_WAYS_BACK:
        for single in (False, True):
            yield from of_functions(run, words, kind, function, single)
    for words, labels in _other_labels(run.batches[0].labels).items():
        batch = run.batches[0]._replace(labels=labels)
        yield Suspect(words, replace(run, batches=(batch, *run.batches[1:])))


def _other_labels(labels: NDArray) -> Mapping[str, NDArray]:
    by_words = {
        "labels are those of the example before": np.roll(labels, 1, axis=0),
        "labels are those of the example behind": np.roll(labels, -1, axis=0),
        "labels are in the reverse order": labels[::-1],
    }
    if labels.ndim > 1:
        by_words["steps labelled -1 count in the loss, as class 0"] = np.maximum(labels, 0)
        by_words["labels are those of the step before"] = np.roll(labels, 1, axis=1)
        by_words["labels are those of the step behind"] = np.roll(labels, -1, axis=1)
        for words, step in {"first": 0, "last": -1}.items():
            without = labels.copy()
            without[:, step] = -1
            by_words[f"the {words} step does not count in the loss"] = without
    return by_words


def _smoothed(run: ReferenceRun, smoothing: float) -> Suspect:
    workload = replace(run.workload, label_smoothing=smoothing)
    words = f"label smoothing is about {smoothing:.3g}, not {run.workload.label_smoothing:g}"
    return Suspect(words, replace(run, workload=workload))
