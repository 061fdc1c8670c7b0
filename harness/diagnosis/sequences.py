"""What wrong sequences look like: a padding token that is trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from harness.parity.check import Verdict
from harness.parity.reference import ReferenceRun
from workloads import layers


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
