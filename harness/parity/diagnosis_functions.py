"""Layers by another formula than the spec's: functions of the reference with one mistake each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from frameworks.reference.function import Function
from frameworks.reference.pools import MaxPool
from frameworks.reference.transformer import Attention, Positions
from workloads import layers
from workloads.spec import Workload


class SeesTheNext(Attention):
    """The causal mask is off by one."""

    def seen(self, steps: int) -> NDArray[np.bool_]:
        return np.tri(steps, k=1, dtype=bool) if self.layer.causal else super().seen(steps)


class ZeroPadded(MaxPool):
    """Zeros beyond the edges, which win where all else is negative."""

    beyond = 0.0


def _with_table(encoding: str, change: Callable[[NDArray], NDArray]) -> type[Positions]:
    """Return positions whose learned or fixed vectors, (steps, features), are changed."""

    class Changed(Positions):
        def table(self, x: NDArray) -> NDArray:
            table = super().table(x)
            return change(table) if self.layer.encoding == encoding else table

    return Changed


def _sines_first(table: NDArray) -> NDArray:
    return np.concatenate([table[:, ::2], table[:, 1::2]], axis=1)


OTHER_TABLES: Mapping[str, Callable[[NDArray], NDArray]] = {
    "positions are shifted by a step": lambda table: np.roll(table, 1, 0),
    "positions are shifted by a step, towards the start": lambda table: np.roll(table, -1, 0),
    "positions are left out": np.zeros_like,
}

OTHER_FUNCTIONS: tuple[tuple[str, type[layers.Layer], type[Function]], ...] = (
    (
        "attention's causal mask is off by one: a step sees the next",
        *(layers.Attention, SeesTheNext),
    ),
    (
        "max pooling is padded by zeros: what is beyond the edges is never the largest",
        *(layers.MaxPool, ZeroPadded),
    ),
    (
        "sinusoidal positions have all sines before all cosines: they are to take turns",
        *(layers.Positions, _with_table(layers.SINUSOIDAL, _sines_first)),
    ),
    *(
        (words, layers.Positions, _with_table(encoding, change))
        for words, change in OTHER_TABLES.items()
        for encoding in (layers.LEARNED, layers.SINUSOIDAL)
    ),
)
"""Mistakes in words, the layer that may have them, and what it then computes."""


def suspects(workload: Workload) -> Iterator[tuple[str, dict[type[layers.Layer], type[Function]]]]:
    """Yield other functions of the reference that the workload would have, in words."""
    kinds = {type(place.layer) for place in workload.leaves}
    for words, kind, function in OTHER_FUNCTIONS:
        if kind in kinds:
            yield words, {kind: function}
