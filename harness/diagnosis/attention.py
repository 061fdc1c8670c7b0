"""Attention by another formula than the spec's: masks, scales, the axis of the softmax."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from frameworks.reference.transformer import Attention


class SeesTheNext(Attention):
    """The causal mask is off by one."""

    def seen(self, steps: int) -> NDArray[np.bool_]:
        return np.tri(steps, k=1, dtype=bool) if self.layer.causal else super().seen(steps)


class SeesTheLast(Attention):
    """The causal mask is off by one, the other way: the first step alone sees itself."""

    def seen(self, steps: int) -> NDArray[np.bool_]:
        seen = np.tri(steps, k=-1, dtype=bool)
        seen[0, 0] = True
        return seen if self.layer.causal else super().seen(steps)


class MaskedLate(Attention):
    """The mask comes after the softmax, whose sum is over all steps."""

    def seen(self, steps: int) -> NDArray[np.bool_]:
        return np.ones((steps, steps), bool)

    def _softmax(self, scores: NDArray) -> NDArray:
        return super()._softmax(scores) * super().seen(scores.shape[-1])


def leaking(weight: float) -> type[Attention]:
    """Return attention whose mask is finite: steps that are not to be seen have this weight."""

    class Leaking(Attention):
        def seen(self, steps: int) -> NDArray[np.bool_]:
            return np.ones((steps, steps), bool)

        def _softmax(self, scores: NDArray) -> NDArray:
            exponents = np.exp(scores - scores.max(axis=-1, keepdims=True))
            weighed = exponents * np.where(super().seen(scores.shape[-1]), 1.0, weight)
            return weighed / weighed.sum(axis=-1, keepdims=True)

    return Leaking


class OverQueries(Attention):
    """The softmax is over the steps of q."""

    def seen(self, steps: int) -> NDArray[np.bool_]:
        return super().seen(steps).T

    def _softmax(self, scores: NDArray) -> NDArray:
        return np.swapaxes(super()._softmax(np.swapaxes(scores, -1, -2)), -1, -2)


def _scaled(scale: Callable[[int, int], float]) -> type[Attention]:
    """Return attention whose scale is made of the features and the heads."""

    class Scaled(Attention):
        @property
        def _scale(self) -> float:
            return scale(self.shape[2], self.layer.heads)

    return Scaled


class SeesNothing(SeesTheLast):
    """The same, by a mask that is a large number: the first step sees all alike."""

    def _softmax(self, scores: NDArray) -> NDArray:
        a = super()._softmax(scores)
        if self.layer.causal:
            a[..., 0, :] = 1 / scores.shape[-1]
        return a


OTHER_ATTENTION: Mapping[str, type[Attention]] = {
    "attention's causal mask is off by one: a step sees the next": SeesTheNext,
    "attention's causal mask is off by one: a step does not see itself": SeesTheLast,
    "attention's causal mask is off by one: a step does not see itself, the first sees all": SeesNothing,
    "attention's causal mask comes after the softmax": MaskedLate,
    "attention's softmax is over the steps of q, not of k": OverQueries,
    "attention's scores are not scaled": _scaled(lambda d, h: 1.0),
    "attention's scores are scaled by all features, not by a head's": _scaled(lambda d, h: d**-0.5),
    "attention's scores are divided by a head's features, not by the root of them": (
        _scaled(lambda d, h: h / d)
    ),
    "attention's scores are scaled by the heads, not by a head's features": (
        _scaled(lambda d, h: h**-0.5)
    ),
}
"""Mistakes in words, and what attention then computes."""
