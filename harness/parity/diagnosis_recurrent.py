"""What wrong recurrent layers and activations look like: gates in another order, a forget bias, GELU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from harness.parity.check import Verdict
from harness.parity.reference import ReferenceRun
from harness.parity.relations import difference
from workloads import layers

ORDERS: tuple[tuple[type[layers.Recurrent], str, tuple[int, ...]], ...] = (
    (layers.Lstm, "i, f, o, g", (0, 1, 3, 2)),
    (layers.Lstm, "i, g, f, o", (0, 2, 1, 3)),
    (layers.Lstm, "i, o, f, g", (0, 3, 1, 2)),
    (layers.Gru, "z, r, n", (1, 0, 2)),
)
"""Orders of gates that are in use elsewhere; each names the spec's gates by their place."""


FITS = 0.1
"""What is left of a difference that the other formula explains: the rest is rounding."""


def suspects(run: ReferenceRun) -> Iterator[tuple[str, ReferenceRun]]:
    """Yield other computations of the same step, in words."""
    leaves = run.workload.leaves
    for kind, names, order in ORDERS:
        if any(isinstance(place.layer, kind) for place in leaves):
            yield (
                f"{kind.kind}: the gates come in the order {names}",
                _changed(run, kind, partial(_ordered, order)),
            )
    if any(isinstance(place.layer, layers.Lstm) for place in leaves):
        yield (
            "lstm: 1 is added to the bias of the forget gate",
            _changed(run, layers.Lstm, _with_forget_bias),
        )


def of_gelu(answers: Mapping[str, NDArray], run: ReferenceRun, verdict: Verdict) -> Iterator[str]:
    """GELU by its other formula: so near that it explains only what is left of a small difference."""
    if not any(isinstance(place.layer, layers.Gelu) for place in run.workload.leaves):
        return
    changed = layers.changed(run.workload.layers, _other_gelu)
    with_other_gelu = replace(run, workload=replace(run.workload, layers=changed))
    logits = with_other_gelu.reference().step(run.batches[0]).logits
    off = difference(answers["logits"], run.answers["logits"])
    if difference(answers["logits"], logits) < FITS * off:
        yield "gelu takes the other of its two formulas: by tanh, or exact"


def _changed(
    run: ReferenceRun, kind: type[layers.Layer], change: Callable[[str, NDArray], NDArray]
) -> ReferenceRun:
    """Return the run with the parameters of one kind of layer changed, each by its short name."""
    start = dict(run.start)
    for place in run.workload.leaves:
        if isinstance(place.layer, kind):
            for short in place.layer.parameters(place.input):
                name = f"{place.name}.{short}"
                start[name] = change(short, start[name])
    return replace(run, start=start)


def _ordered(order: Sequence[int], short: str, weight: NDArray) -> NDArray:
    if short.startswith("bias_h"):  # of one gate
        return weight
    gates = np.split(weight, len(order))
    # Where the implementation reads a gate, it finds another: that of the spec's order.
    return np.concatenate([gates[place] for place in np.argsort(order)])


def _with_forget_bias(short: str, weight: NDArray) -> NDArray:
    if not short.startswith("bias"):
        return weight
    return weight + np.repeat(np.array([0, 1, 0, 0], weight.dtype), len(weight) // 4)


def _other_gelu(layer: layers.Layer) -> layers.Layer:
    """Return a GELU by its other formula, and any other layer as it is."""
    if not isinstance(layer, layers.Gelu):
        return layer
    return replace(layer, approximate="none" if layer.approximate == "tanh" else "tanh")
