"""What the forward pass may have been taken for: each layer's keys, its kind, its place in a block."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.diagnosis import attention, functions, recurrent
from harness.diagnosis.suspects import Case, Compute, Suspect, fitted, of_layers
from harness.diagnosis.suspects import explained as best_of
from harness.parity.reference import ReferenceRun
from workloads import layers
from workloads.layers.windows import SAME
from workloads.spec import Workload

NUMBERS = ("epsilon", "slope", "alpha")
"""The keys of layers whose value shows in the logits, and can be told from them."""


def explained(run: ReferenceRun, compute: Compute, case: Case) -> Iterator[str]:
    """Yield what explains logits that are wrong."""
    yield from best_of(suspects(run), partial(_fits, run), compute, case)


def suspects(run: ReferenceRun) -> Iterator[Suspect]:
    """Yield all that compute other logits: first where all layers of a kind do, then single ones."""
    yield from _of_weights(run)
    yield from _of_order(run)
    yield from _of_inputs(run)
    for single in (False, True):
        for words, change in OTHER_LAYERS.items():
            yield from of_layers(run, words, change, single)
        yield from _of_numbers_of_parts(run, single)
        yield from _of_activations(run, single)
        yield from functions.suspects(run, single)
        yield from recurrent.suspects(run, single)


def _fits(run: ReferenceRun, compute: Compute, case: Case) -> Iterator[Suspect]:
    """Yield layers of a kind with another value of a key, the one that fits best."""
    values = {
        (type(place.layer), key, getattr(place.layer, key))
        for place in run.workload.leaves
        for key in NUMBERS
        if hasattr(place.layer, key)
    }
    for kind, key, value in sorted(values, key=lambda triple: (triple[0].kind, *triple[1:])):
        yield from fitted(partial(_with_number, run, kind, key, value), value, compute, case)

    if any(getattr(place.layer, "causal", False) for place in run.workload.leaves):
        yield from fitted(partial(_leaking, run), 0.0, compute, case)


def _leaking(run: ReferenceRun, weight: float) -> Suspect:
    words = f"attention's causal mask is finite: later steps have a weight of {weight:.1g}"
    function = attention.leaking(weight)
    return Suspect(words, run, functions={layers.Attention: function})


def _with_number(
    run: ReferenceRun, kind: type[layers.Layer], key: str, value: float, changed_to: float
) -> Suspect:
    def change(layer: layers.Layer) -> layers.Layer:
        is_meant = type(layer) is kind and getattr(layer, key) == value
        return replace(layer, **{key: changed_to}) if is_meant else layer

    changed = layers.changed(run.workload.layers, change)
    words = f"{kind.kind}: {key} is about {changed_to:.2g}, not {value:g}"
    return Suspect(words, replace(run, workload=replace(run.workload, layers=changed)))


def _averaged(x: layers.Layer) -> layers.Layer:
    if not isinstance(x, layers.MaxPool):
        return x
    return layers.AvgPool(x.size, x.stride, x.padding, x.ceil)


def _largest(x: layers.Layer) -> layers.Layer:
    if not isinstance(x, layers.AvgPool):
        return x
    return layers.MaxPool(x.size, x.stride, x.padding, x.ceil)


def _symmetric(x: layers.Layer) -> layers.Layer:
    if not isinstance(x, layers.Convolution | layers.Pool) or x.padding != SAME:
        return x
    return replace(x, padding=_extent(x) // 2)


def _same(x: layers.Layer) -> layers.Layer:
    if not isinstance(x, layers.Convolution | layers.Pool) or not isinstance(x.padding, int):
        return x
    return replace(x, padding=SAME) if 2 * x.padding + 1 == _extent(x) > 1 else x


def _of_same_size(x: layers.Layer) -> layers.Layer:
    return replace(x, padding=SAME) if isinstance(x, layers.Conv1d) and x.stride == 1 else x


def _anticausal(x: layers.Layer) -> layers.Layer:
    if not isinstance(x, layers.Conv1d) or x.padding != "causal":
        return x
    return replace(x, padding=(0, _extent(x) - 1))


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


def _attending(causal: bool, x: layers.Layer) -> layers.Layer:
    return replace(x, causal=causal) if isinstance(x, layers.Attention) else x


def _last(x: layers.Layer) -> layers.Layer:
    return layers.LastStep() if isinstance(x, layers.MeanSteps) else x


def _mean(x: layers.Layer) -> layers.Layer:
    return layers.MeanSteps() if isinstance(x, layers.LastStep) else x


def _other_gelu(x: layers.Layer) -> layers.Layer:
    if not isinstance(x, layers.Gelu):
        return x
    return replace(x, approximate="none" if x.approximate == "tanh" else "tanh")


OTHER_LAYERS: Mapping[str, Callable[[layers.Layer], layers.Layer]] = {
    "max pooling is replaced by averages": _averaged,
    "average pooling is replaced by the largest": _largest,
    'padding is symmetric where it is to be "same"': _symmetric,
    'padding is "same" where it is to be symmetric': _same,
    'conv1d is padded on both sides, as by "same"': _of_same_size,
    "conv1d is padded after the last step, and not before the first": _anticausal,
    "averages count the padding, or are to count it": _counted_otherwise,
    "windows that are not whole are left out, where `ceil` is to keep them": _floored,
    "dilation is left out": _undilated,
    "group norm takes all channels together": _of_one_group,
    "attention is not causal, as it is to be": partial(_attending, False),
    "attention is causal, and is not to be": partial(_attending, True),
    "the last step is taken, and not the mean of all": _last,
    "the mean of all steps is taken, and not the last": _mean,
    "gelu takes the other of its two formulas: by tanh, or exact": _other_gelu,
}
"""What a layer may have been taken for."""

PARTS: Mapping[type[layers.Layer], str] = {layers.GroupNorm: "groups", layers.Attention: "heads"}
"""The keys that say into how many parts channels or features are split."""


def _of_numbers_of_parts(run: ReferenceRun, single: bool) -> Iterator[Suspect]:
    for kind, key in PARTS.items():
        places = [place for place in run.workload.leaves if type(place.layer) is kind]
        channels = max((max(place.input[-1], place.input[0]) for place in places), default=0)
        for number in range(1, channels + 1):
            if not all(place.input[0 if key == "groups" else -1] % number for place in places):
                change = partial(_parted, kind, key, number)
                yield from of_layers(run, f"{kind.kind} takes {number} {key}", change, single)


def _parted(kind: type[layers.Layer], key: str, number: int, x: layers.Layer) -> layers.Layer:
    return replace(x, **{key: number}) if type(x) is kind else x


ACTIVATIONS: tuple[layers.Layer, ...] = (
    *(layers.Relu(), layers.LeakyRelu(), layers.Elu(), layers.Gelu(), layers.Silu()),
    *(layers.Softplus(), layers.Sigmoid(), layers.Tanh()),
)


def _of_activations(run: ReferenceRun, single: bool) -> Iterator[Suspect]:
    """Each kind of activation, replaced by another, or left out."""
    kinds = {type(p.layer) for p in run.workload.leaves if isinstance(p.layer, layers.Activation)}
    for kind in sorted(kinds, key=lambda kind: kind.kind):
        for replacement in ACTIVATIONS:
            if type(replacement) is not kind:
                words = f"{kind.kind} is replaced by {replacement.kind}"
                yield from of_layers(run, words, partial(_put, kind, replacement), single)
        yield from of_layers(
            run, f"{kind.kind} is left out", partial(_put, kind, layers.Dropout(0))
        )


def _put(kind: type[layers.Layer], replacement: layers.Layer, x: layers.Layer) -> layers.Layer:
    return replacement if type(x) is kind else x


NORMS = layers.BatchNorm | layers.GroupNorm | layers.LayerNorm | layers.RmsNorm


def _of_order(run: ReferenceRun) -> Iterator[Suspect]:
    """A norm and the activation behind it that change places."""
    for chain in _with_order_changed(run.workload.layers):
        words = "a norm comes after the activation that it is to come before"
        yield Suspect(words, replace(run, workload=replace(run.workload, layers=chain)))


def _with_order_changed(chain: Sequence[layers.Layer]) -> Iterator[tuple[layers.Layer, ...]]:
    """Yield the chain with one pair changed, in it or in one of its blocks."""
    for i, layer in enumerate(chain):
        if isinstance(layer, layers.Block):
            for j, inner in enumerate(layer.chains):
                for reordered in _with_order_changed(inner):
                    chains = (*layer.chains[:j], reordered, *layer.chains[j + 1 :])
                    yield (*chain[:i], layer.with_chains(chains), *chain[i + 1 :])
        pair = chain[i : i + 2]
        if isinstance(layer, NORMS) and isinstance(pair[-1], layers.Activation):
            yield (*chain[:i], *pair[::-1], *chain[i + 2 :])


def _of_weights(run: ReferenceRun) -> Iterator[Suspect]:
    def weights(words: str, change: Callable[[str, NDArray], NDArray]) -> Suspect:
        start = {name: change(name, w) for name, w in run.start.items()}
        return Suspect(words, replace(run, start=start))

    yield weights(
        "convolution kernels are transposed (height and width changed places)",
        lambda name, w: w.transpose(0, 1, 3, 2) if w.ndim == 4 else w,
    )
    yield weights(
        "convolution kernels are flipped: a true convolution instead of a cross-correlation",
        lambda name, w: w[:, :, ::-1, ::-1] if w.ndim == 4 else w,
    )
    yield weights("biases are left out", lambda name, w: np.zeros_like(w) if ".bias" in name else w)
    if flattened := _dense_after_flatten(run.workload):
        name, shape = flattened
        yield weights(
            "flatten takes (height, width, channels) and not (channels, height, width)",
            lambda n, w: _reordered(w, shape) if n == name else w,
        )
    for place in run.workload.leaves:
        if isinstance(place.layer, layers.Convolution) and place.layer.groups > 1:
            order = np.arange(place.layer.filters).reshape(place.layer.groups, -1).T.ravel()
            yield weights(
                f"{place.name}: filters of the groups take turns, and do not follow group by group",
                partial(_taken, place.name, np.argsort(order)),
            )


def _taken(layer: str, order: NDArray, name: str, weight: NDArray) -> NDArray:
    return weight[order] if name.rpartition(".")[0] == layer else weight


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


def _mirrored(x: NDArray) -> NDArray:
    return x[..., ::-1]


def _transposed(x: NDArray) -> NDArray:
    return x.swapaxes(-1, -2)


OTHER_INPUTS: Mapping[str, Callable[[NDArray], NDArray]] = {
    "images are mirrored, left to right": _mirrored,
    "images are transposed (height and width changed places)": _transposed,
}


def _of_inputs(run: ReferenceRun) -> Iterator[Suspect]:
    """Yield the same net on images that are turned."""
    if len(run.workload.input_shape) == 3:
        for words, turn in OTHER_INPUTS.items():
            batches: Any = tuple(batch._replace(inputs=turn(batch.inputs)) for batch in run.batches)
            yield Suspect(words, replace(run, batches=batches))
    if run.batches[1:]:
        words = "it is the next batch's: the order is off by one"
        yield Suspect(words, replace(run, batches=run.batches[1:]))
