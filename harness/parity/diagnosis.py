"""What a failed check looks like: known patterns, tried on the answers.

A hint is a guess that fits the numbers, in words that say where to look. Each pattern asks whether
one simple relation turns the answers into what is right, far better than they were.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frameworks.answers import probes
from frameworks.contract import Options
from frameworks.reference.adapter import Reference
from frameworks.reference.arithmetic import Arithmetic
from frameworks.reference.layers import FUNCTIONS
from harness.parity import diagnosis_functions, diagnosis_recurrent, diagnosis_sequences, inference
from harness.parity.check import Verdict
from harness.parity.diagnosis_updates import of_another_optimiser
from harness.parity.reference import ReferenceRun
from harness.parity.relations import EXACT, coarse, common, difference, explains, factor
from harness.verdicts import NOT_EQUIVALENT
from workloads import layers
from workloads.layers.windows import SAME
from workloads.spec import Workload

Answers = Mapping[str, NDArray]

SCALED = 1e-4
"""A loss that is off by less than this may be so by rounding, and is not called scaled."""

VARIANCE = 1e3
"""Where a feature's mean is so many times its deviation, a one-pass variance is off by half a percent."""


def hint(answers: Answers, run: ReferenceRun, verdict: Verdict) -> str | None:
    """Return the first pattern that fits a cell that failed, or None."""
    if verdict.value != NOT_EQUIVALENT:
        return None
    failed = [check for check in verdict.checks if not check.ok]
    predictions = [check.tensor.startswith("prediction") for check in failed]
    patterns: tuple[Callable[..., Iterator[str]], ...] = (
        _of_another_shape,
        _variance,
        _not_finite,
        diagnosis_sequences.of_labels,
        diagnosis_sequences.of_padding,
        _loss_scaled,
        _what_if,
        diagnosis_recurrent.of_gelu,
        _state,
        _gradients,
        of_another_optimiser,
        _updates,
        _coarse,
        _predictions,
    )
    at_the_start = predictions[0] and failed[0].steps == 0
    if all(predictions) or (at_the_start and _step_is_right(verdict)):
        patterns = (_not_finite, _of_another_shape, _predictions)
    for pattern in patterns:
        for words in pattern(answers, run, verdict):
            return words
    return None


def _step_is_right(verdict: Verdict) -> bool:
    """Return whether all that is compared of the first step is."""
    return all(check.ok for check in verdict.checks if check.when == "at step 1")


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


def _loss_scaled(answers: Answers, run: ReferenceRun, verdict: Verdict) -> Iterator[str]:
    ratio = float(answers["loss"] / run.answers["loss"])
    batch = run.workload.data.batch
    factors = [
        factor(answers[key], expected)
        for key, expected in run.answers.items()
        if key.startswith("gradient/") and key.partition("/")[2] not in run.vanishing
    ]
    if abs(ratio / batch - 1) < EXACT and batch > 1:
        yield "the loss is summed over the batch and not averaged"
    elif abs(ratio - 1) > SCALED and all(
        scale is not None and abs(scale / ratio - 1) < SCALED for scale in factors
    ):
        yield f"the loss and every gradient are {ratio:.6g} times what is right: a scaled loss"


def _what_if(answers: Answers, run: ReferenceRun, verdict: Verdict) -> Iterator[str]:
    """Let the reference compute with a suspect's weights or layers, and see whether that fits."""
    if difference(answers["logits"], run.answers["logits"]) < EXACT:
        return
    for words, suspect in _suspects(run):
        try:
            logits = suspect.reference().step(suspect.batches[0]).logits
        except ValueError:
            continue  # the suspect's shapes do not even fit
        if difference(answers["logits"], logits) < EXACT:
            yield words
    for words, functions in diagnosis_functions.suspects(run.workload):
        reference = run.reference(functions={**FUNCTIONS, **functions})
        if difference(answers["logits"], reference.step(run.batches[0]).logits) < EXACT:
            yield words


def _averaged(x: layers.Layer) -> layers.Layer:
    if not isinstance(x, layers.MaxPool):
        return x
    return layers.AvgPool(x.size, x.stride, x.padding, x.ceil)


def _symmetric(x: layers.Layer) -> layers.Layer:
    if not isinstance(x, layers.Convolution | layers.Pool) or x.padding != SAME:
        return x
    return replace(x, padding=_extent(x) // 2)


def _same(x: layers.Layer) -> layers.Layer:
    if not isinstance(x, layers.Convolution | layers.Pool) or not isinstance(x.padding, int):
        return x
    return replace(x, padding=SAME) if 2 * x.padding + 1 == _extent(x) > 1 else x


def _extent(x: layers.Convolution | layers.Pool) -> int:
    return x.size if isinstance(x, layers.Pool) else x.dilation * (x.kernel - 1) + 1


def _counted_otherwise(x: layers.Layer) -> layers.Layer:
    return replace(x, count_padding=not x.count_padding) if isinstance(x, layers.AvgPool) else x


def _floored(x: layers.Layer) -> layers.Layer:
    return replace(x, ceil=False) if isinstance(x, layers.Pool) else x


def _undilated(x: layers.Layer) -> layers.Layer:
    if not isinstance(x, layers.Convolution) or x.dilation == 1:
        return x
    wider = (x.kernel - 1) * (x.dilation - 1) // 2
    padding = max(0, x.padding - wider) if isinstance(x.padding, int) else x.padding
    return replace(x, dilation=1, padding=padding)


def _of_one_group(x: layers.Layer) -> layers.Layer:
    return replace(x, groups=1) if isinstance(x, layers.GroupNorm) else x


OTHER_LAYERS: Mapping[str, Callable[[layers.Layer], layers.Layer]] = {
    "max pooling is replaced by averages": _averaged,
    'padding is symmetric where it is to be "same"': _symmetric,
    'padding is "same" where it is to be symmetric': _same,
    "averages count the padding, or are to count it": _counted_otherwise,
    "windows that are not whole are left out, where `ceil` is to keep them": _floored,
    "dilation is left out": _undilated,
    "group norm takes all channels together": _of_one_group,
}
"""What a layer may have been taken for."""


def _suspects(run: ReferenceRun) -> Iterator[tuple[str, ReferenceRun]]:
    def weights(change: Callable[[str, NDArray], NDArray]) -> ReferenceRun:
        return replace(run, start={name: change(name, w) for name, w in run.start.items()})

    yield (
        "convolution kernels are transposed (height and width changed places)",
        weights(lambda name, w: w.transpose(0, 1, 3, 2) if w.ndim == 4 else w),
    )
    yield (
        "convolution kernels are flipped: a true convolution instead of a cross-correlation",
        weights(lambda name, w: w[:, :, ::-1, ::-1] if w.ndim == 4 else w),
    )
    yield (
        "biases are left out",
        weights(lambda name, w: np.zeros_like(w) if name.endswith(".bias") else w),
    )
    flattened = _dense_after_flatten(run.workload)
    if flattened:
        name, shape = flattened
        yield (
            "flatten takes (height, width, channels) and not (channels, height, width)",
            weights(lambda n, w: _reordered(w, shape) if n == name else w),
        )
    for words, change in OTHER_LAYERS.items():
        changed = layers.changed(run.workload.layers, change)
        if changed != run.workload.layers:
            yield words, replace(run, workload=replace(run.workload, layers=changed))
    yield from diagnosis_sequences.suspects(run)
    yield from diagnosis_recurrent.suspects(run)
    if run.batches[1:]:
        shifted = replace(run, batches=run.batches[1:2])
        yield "it is the next batch's: the order is off by one", shifted


def _dense_after_flatten(workload: Workload) -> tuple[str, tuple[int, ...]] | None:
    """The weight of the dense layer that follows the flatten of an image, and the image's shape."""
    shape: tuple[int, ...] | None = None
    for place in workload.leaves:
        if isinstance(place.layer, layers.Flatten) and len(place.input) == 3:
            shape = place.input
        if isinstance(place.layer, layers.Dense) and shape:
            return f"{place.name}.weight", shape
    return None


def _reordered(weight: NDArray, shape: tuple[int, ...]) -> NDArray:
    """A dense weight as it acts where the input comes in another order than its columns."""
    order = np.arange(weight.shape[1]).reshape(shape).transpose(1, 2, 0).ravel()
    result = np.empty_like(weight)
    result[:, order] = weight
    return result


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
        if difference(gradient, expected) < EXACT:
            continue
        if expected.ndim >= 2 and difference(np.swapaxes(gradient, -1, -2), expected) < EXACT:
            yield f"the gradient of {name} is transposed"
        if not np.any(gradient):
            yield f"the gradient of {name} is zero: the layer is frozen or cut off"
        if scale is not None:
            yield f"the gradient of {name} is {scale:.6g} times what is right"


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
    scale = common([factor(moved, expected) for moved, expected in moves.values()])
    momentum = getattr(run.workload.optimiser, "momentum", 0.0)
    if scale is not None:
        if momentum and abs(scale - (1 - momentum)) < EXACT:
            yield "momentum with dampening: v = momentum v + (1 - momentum) g"
        elif abs(scale - 1) > EXACT:
            yield (
                f"every weight moves by {scale:.6g} times what is right: another learning rate,"
                " a clipped gradient, more than one step, or another training's optimiser memory"
            )
    yield from _decay(moves, run)
    later = [check for check in verdict.checks if check.steps > 1]
    first = all(difference(moved, expected) < EXACT for moved, expected in moves.values())
    if first and not all(check.ok for check in later):
        yield (
            "the first step is right, later ones are not: another momentum, other batches, or lists"
            " of batches that are trained otherwise than single ones"
        )


def _decay(moves: Mapping[str, tuple[NDArray, NDArray]], run: ReferenceRun) -> Iterator[str]:
    """Weight decay shows as a rest that is proportional to the weights themselves."""
    for name, (moved, expected) in moves.items():
        weight = run.start[name].astype(np.float64)
        excess = moved - expected
        if not name.endswith(".weight") or difference(moved, expected) < 1e-5 or not np.any(weight):
            continue
        c = float(np.vdot(weight, excess) / np.vdot(weight, weight))
        if c < 0 and difference(c * weight, excess) < 0.05:
            rate = run.workload.rates(0, 1)[0]
            yield f"weights shrink by themselves: a weight decay of {-c / rate:.2g} more than the spec's"


def _state(answers: Answers, run: ReferenceRun, verdict: Verdict) -> Iterator[str]:
    """Running means and variances after the first step."""
    for place in run.workload.leaves:
        if not isinstance(place.layer, layers.BatchNorm):
            continue
        old = 1 - place.layer.momentum
        mean, variance = f"weights/1/{place.name}.mean", f"weights/1/{place.name}.variance"
        scale = factor(answers[mean], run.answers[mean])
        if scale is not None and abs(scale * place.layer.momentum / old - 1) < EXACT:
            yield "batch norm's momentum is taken for the share of the old value, not of the new"
        count = run.workload.data.batch * math.prod(place.input[1:])
        scale = factor(answers[variance] - old, run.answers[variance] - old)
        if scale is not None and abs(scale * count / (count - 1) - 1) < 0.1 / count:
            yield "batch norm's running variance takes the biased variance (n, not n - 1)"


def _coarse(answers: Answers, run: ReferenceRun, verdict: Verdict) -> Iterator[str]:
    """Logits that are off by as much as in a coarse precision."""

    def in_arithmetic(arithmetic: Arithmetic) -> NDArray:
        return run.reference(arithmetic=arithmetic).step(run.batches[0]).logits

    yield from coarse(answers["logits"], run.answers["logits"], in_arithmetic)


def _predictions(answers: Answers, run: ReferenceRun, verdict: Verdict) -> Iterator[str]:
    """Predictions that are wrong, at the first moment at which some are."""
    failed = [check for check in verdict.checks if not check.ok and "prediction" in check.tensor]
    if not failed:
        return
    steps, inputs = failed[0].steps, probes(run.batches)
    names = [*run.workload.parameters, *run.workload.state]
    trained = {n: run.answers[f"weights/{steps}/{n}"] for n in names} if steps else run.start
    after = {n: run.answers.get(f"average/{steps}/{n}", trained[n]) for n in names}
    for probe, batches in inputs.items():
        key = f"predicted/{steps}/{probe}"
        expected = run.answers[key]
        if difference(answers[key], expected) < EXACT and probe != "list":
            continue
        if run.workload.optimiser.average:
            # Its averages begin with the weights that it is given.
            reference = Reference(run.workload, trained, Options("numpy"))
            if explains(reference.predict(batches), answers[key], expected):
                yield "predictions are by the weights, and not by their average"
        about = inference.Predictions(run.workload, np.concatenate(batches), after, run.start)
        yield from inference.patterns(answers[key], expected, about)
    if _step_is_right(verdict):
        yield (
            "predictions are wrong where training is right: look at the way of inference, and at what"
            " of batch norm's state `load` sets"
        )
