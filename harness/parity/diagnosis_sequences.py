"""What wrong sequences look like: attention, positions, labels that do not count."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from harness.parity.check import Verdict
from harness.parity.reference import ReferenceRun
from harness.parity.relations import EXACT, difference
from workloads import layers


def suspects(run: ReferenceRun) -> Iterator[tuple[str, ReferenceRun]]:
    """Yield other computations of the same step, in words."""
    kinds = {type(place.layer) for place in run.workload.leaves}
    if layers.Attention in kinds:
        turned = replace(run.workload, layers=layers.changed(run.workload.layers, _turned))
        causal = any(getattr(place.layer, "causal", False) for place in run.workload.leaves)
        words = "is not causal" if causal else "is causal, where it is to see all steps"
        yield f"attention {words}", replace(run, workload=turned)


def _turned(layer: layers.Layer) -> layers.Layer:
    """Return a causal attention that sees all steps, another that is causal, any other layer as it is."""
    if not isinstance(layer, layers.Attention):
        return layer
    return replace(layer, causal=not layer.causal)


def of_padding(
    answers: Mapping[str, NDArray], run: ReferenceRun, verdict: Verdict
) -> Iterator[str]:
    """A padding token's row that has a gradient."""
    for place in run.workload.leaves:
        padding = getattr(place.layer, "padding", None)
        if not isinstance(place.layer, layers.Embedding) or padding is None:
            continue
        if np.any(answers[f"gradient/{place.name}.weight"][padding]):
            yield f"the row of {place.name}'s padding token has a gradient"


def of_labels(answers: Mapping[str, NDArray], run: ReferenceRun, verdict: Verdict) -> Iterator[str]:
    """Labels of -1 that count as a class."""
    batch = run.batches[0]
    if np.all(batch.labels >= 0) or difference(answers["logits"], run.answers["logits"]) > EXACT:
        return
    step = run.reference().step(batch._replace(labels=np.maximum(batch.labels, 0)))
    gradients = step.gradients.items()
    if all(difference(answers[f"gradient/{name}"], g) < EXACT for name, g in gradients):
        yield "steps labelled -1 count in the loss, as class 0"
