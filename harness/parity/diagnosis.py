"""What a failed proof looks like: known patterns, tried on the answers that were found.

A hint is a guess that fits the numbers, in words that tell where to look. Each pattern asks whether
one simple relation turns what was found into what is right, far better than it was.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from harness.bounds import UNIT_ROUNDOFF
from harness.parity import Standard, Verdict, rehearse_once
from workloads import layers

Found = Mapping[str, NDArray]

EXACT = 1e-3
"""A relation explains a difference where it leaves less than this, relative, of what is right."""

SCALED = 1e-4
"""A loss that is off by less than this may be so by rounding, and is not called scaled."""


def hint(found: Found, standard: Standard, verdict: Verdict) -> str | None:
    """Return the first pattern that fits a failed cell, or None."""
    if verdict.ok:
        return None
    patterns = (
        _not_finite,
        _of_another_shape,
        _loss_scaled,
        _what_if,
        _state,
        _gradients,
        _updates,
        _coarse,
    )
    for pattern in patterns:
        for words in pattern(found, standard, verdict):
            return words
    return None


def _off(found: NDArray, right: NDArray) -> float:
    """||found - right|| / ||right||, infinite where they cannot be compared."""
    if np.shape(found) != np.shape(right) or not np.any(right):
        return np.inf
    return float(np.linalg.norm(np.ravel(found - right)) / np.linalg.norm(np.ravel(right)))


def _factor(found: NDArray, right: NDArray) -> float | None:
    """The number c with found = c right, where there is one."""
    if np.shape(found) != np.shape(right) or not np.any(right):
        return None
    c = float(np.vdot(right, found) / np.vdot(right, right))
    return c if c and _off(found / c, right) < EXACT else None


def _not_finite(found: Found, standard: Standard, verdict: Verdict) -> Iterator[str]:
    for key, array in found.items():
        if not np.isfinite(array).all():
            yield f"{key.replace('/', ' of ')} has values that are not finite"


def _of_another_shape(found: Found, standard: Standard, verdict: Verdict) -> Iterator[str]:
    for key, right in standard.right.items():
        if key not in found:
            yield f"{key.replace('/', ' of ')} is missing"
        elif np.shape(found[key]) != np.shape(right):
            yield (
                f"{key.replace('/', ' of ')} has shape {np.shape(found[key])}, not {np.shape(right)}:"
                " another layout, or pooling that keeps incomplete windows (ceil mode)"
            )


def _loss_scaled(found: Found, standard: Standard, verdict: Verdict) -> Iterator[str]:
    ratio = float(found["loss"] / standard.right["loss"])
    batch = standard.workload.data.batch
    factors = [
        _factor(found[key], right)
        for key, right in standard.right.items()
        if key.startswith("gradient/") and np.any(right)
    ]
    if abs(ratio / batch - 1) < EXACT and batch > 1:
        yield "the loss is summed over the batch and not averaged"
    elif abs(ratio - 1) > SCALED and all(
        factor is not None and abs(factor / ratio - 1) < SCALED for factor in factors
    ):
        yield f"the loss and every gradient are {ratio:.6g} times what is right: a scaled loss"


def _what_if(found: Found, standard: Standard, verdict: Verdict) -> Iterator[str]:
    """Let the reference compute with a suspect's weights or layers, and see whether that fits."""
    if _off(found["logits"], standard.right["logits"]) < EXACT:
        return
    for words, suspect in _suspects(standard):
        try:
            answers = rehearse_once(suspect)
        except ValueError:
            continue  # the suspect's shapes do not even fit
        if _off(found["logits"], answers["logits"]) < EXACT:
            yield words


def _suspects(standard: Standard) -> Iterator[tuple[str, Standard]]:
    def weights(change: Callable[[str, NDArray], NDArray]) -> Standard:
        changed = {name: change(name, w) for name, w in standard.start.items()}
        return dataclasses.replace(standard, start=changed)

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
    flattened = _dense_after_flatten(standard)
    if flattened:
        name, shape = flattened
        yield (
            "flatten takes (height, width, channels) and not (channels, height, width)",
            weights(lambda n, w: _reordered(w, shape) if n == name else w),
        )
    workload = standard.workload
    if any(isinstance(layer, layers.MaxPool) for layer in workload.layers):
        averaged = tuple(
            layers.AvgPool(x.size, x.stride) if isinstance(x, layers.MaxPool) else x
            for x in workload.layers
        )
        yield (
            "max pooling is replaced by averages",
            dataclasses.replace(standard, workload=dataclasses.replace(workload, layers=averaged)),
        )
    shifted = standard.batches[1:2]
    if shifted:
        yield (
            "it is the next batch's: the order is off by one",
            dataclasses.replace(standard, batches=shifted),
        )


def _dense_after_flatten(standard: Standard) -> tuple[str, tuple[int, ...]] | None:
    """The weight of the dense layer that follows the flatten of an image, and the image's shape."""
    shape: tuple[int, ...] | None = None
    for place in standard.workload.leaves:
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


def _gradients(found: Found, standard: Standard, verdict: Verdict) -> Iterator[str]:
    names = [
        name for name in standard.workload.parameters if np.any(standard.right[f"gradient/{name}"])
    ]
    pairs = {n: (found[f"gradient/{n}"], standard.right[f"gradient/{n}"]) for n in names}
    factors = [_factor(mine, right) for mine, right in pairs.values()]
    common = _common(factors)
    if common is not None and abs(common - 1) > EXACT:
        yield f"every gradient is {common:.6g} times what is right, and the loss is not"
    for (name, (mine, right)), factor in zip(pairs.items(), factors, strict=True):
        if _off(mine, right) < EXACT:
            continue
        if right.ndim >= 2 and _off(np.swapaxes(mine, -1, -2), right) < EXACT:
            yield f"the gradient of {name} is transposed"
        if not np.any(mine):
            yield f"the gradient of {name} is zero: the layer is frozen or cut off"
        if factor is not None:
            yield f"the gradient of {name} is {factor:.6g} times what is right"


def _common(factors: Sequence[float | None]) -> float | None:
    """The one number that all factors are, if they are."""
    known = [factor for factor in factors if factor is not None]
    if not known or len(known) < len(factors):
        return None
    return known[0] if max(known) - min(known) < EXACT * abs(known[0]) else None


def _updates(found: Found, standard: Standard, verdict: Verdict) -> Iterator[str]:
    """What the weights moved by in the first step, against what they should have."""
    moves = {
        name: (found[f"first/{name}"] - standard.start[name], right - standard.start[name])
        for name in standard.workload.parameters
        if np.any((right := standard.right[f"first/{name}"]) - standard.start[name])
    }
    still = [name for name, (mine, right) in moves.items() if not np.any(mine)]
    if still and len(still) < len(moves):
        yield f"{still[0]} does not move: the layer is frozen"
    factor = _common([_factor(mine, right) for mine, right in moves.values()])
    momentum = getattr(standard.workload.optimiser, "momentum", 0.0)
    if factor is not None:
        if momentum and abs(factor - (1 - momentum)) < EXACT:
            yield "momentum with dampening: v = momentum v + (1 - momentum) g"
        elif abs(factor - 1) > EXACT:
            yield (
                f"every weight moves by {factor:.6g} times what is right: another learning rate,"
                " a clipped gradient, or more than one step"
            )
    yield from _decay(moves, standard)
    later = [check for check in verdict.checks if check.when.endswith(str(standard.steps))]
    first = all(_off(mine, right) < EXACT for mine, right in moves.values())
    if momentum and first and not all(check.ok for check in later):
        yield "the first step is right, later ones are not: another momentum, or other batches"


def _decay(moves: Mapping[str, tuple[NDArray, NDArray]], standard: Standard) -> Iterator[str]:
    """Weight decay shows as a rest that is proportional to the weights themselves."""
    for name, (mine, right) in moves.items():
        weight = standard.start[name].astype(np.float64)
        rest = mine - right
        if not name.endswith(".weight") or _off(mine, right) < 1e-5 or not np.any(weight):
            continue
        c = float(np.vdot(weight, rest) / np.vdot(weight, weight))
        if c < 0 and _off(c * weight, rest) < 0.05:
            rate = standard.workload.rates(0, 1)[0]
            yield f"weights shrink by themselves: a weight decay of {-c / rate:.2g} more than the spec's"


def _state(found: Found, standard: Standard, verdict: Verdict) -> Iterator[str]:
    """Running means and variances after the first step."""
    for place in standard.workload.leaves:
        if not isinstance(place.layer, layers.BatchNorm):
            continue
        keep = 1 - place.layer.momentum
        mean, variance = f"first/{place.name}.mean", f"first/{place.name}.variance"
        factor = _factor(found[mean], standard.right[mean])
        if factor is not None and abs(factor * place.layer.momentum / keep - 1) < EXACT:
            yield "batch norm's momentum is taken for the share of the old value, not of the new"
        count = standard.workload.data.batch * math.prod(place.input[1:])
        factor = _factor(found[variance] - keep, standard.right[variance] - keep)
        if factor is not None and abs(factor * count / (count - 1) - 1) < 0.1 / count:
            yield "batch norm's running variance takes the biased variance (n, not n - 1)"


def _coarse(found: Found, standard: Standard, verdict: Verdict) -> Iterator[str]:
    """Errors of one size everywhere are another precision's."""
    logits = _off(found["logits"], standard.right["logits"])
    names = {"tf32": "TF32 is on", "bfloat16": "bfloat16 is used"}
    for precision, words in names.items():
        unit = UNIT_ROUNDOFF[precision]
        if unit / 16 < logits < 8 * unit:
            yield f"errors are of the size of {precision}'s rounding: {words}, or float16 is"
