"""Layers on sequences of tokens: their vectors, and what tells their places."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from workloads.layers.base import Layer, Shape, sequence
from workloads.reading import SpecError, later, number, one_of

LEARNED, SINUSOIDAL = "learned", "sinusoidal"


@dataclass(frozen=True)
class Embedding(Layer):
    """y_s = weight[x_s]: each token, a whole number from 0 to `tokens` - 1, becomes its row.

    (steps,) to (steps, units); weight ``(tokens, units)``, whose gradient adds up over all places that a
    token has. It comes first, on a data set of so many tokens. The row of the token `padding`, if there
    is one, has a gradient of zero: it stays what it was, but for weight decay.
    """

    kind: ClassVar[str] = "embedding"
    group: ClassVar[str] = "embedding"
    width: ClassVar[str] = "units"
    tokens: int = field(metadata=number(low=1))
    units: int = field(metadata=number(low=1))
    padding: int | None = later(None, number(low=0))

    def output(self, shape: Shape) -> Shape:
        if len(shape) != 1:
            raise SpecError(f"embedding needs tokens (steps,), got shape {shape}")
        if self.padding is not None and self.padding >= self.tokens:
            raise SpecError(
                f"embedding: padding = {self.padding}: has to be less than tokens = {self.tokens}"
            )
        return (*shape, self.units)

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        return {"weight": (self.tokens, self.units)}

    def fans(self, shape: Shape) -> tuple[int, int]:
        return 1, self.units


@dataclass(frozen=True)
class Positions(Layer):
    """y_s = x_s + weight_s: a vector for each step, learned, weight ``(steps, features)``, or fixed.

    The fixed ones, `encoding` = SINUSOIDAL, are `sinusoids`.
    """

    kind: ClassVar[str] = "positions"
    group: ClassVar[str] = "positions"
    encoding: str = later(LEARNED, one_of(LEARNED, SINUSOIDAL))

    def output(self, shape: Shape) -> Shape:
        sequence(self.kind, shape)
        return shape

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        return {"weight": shape} if self.encoding == LEARNED else {}

    def fans(self, shape: Shape) -> tuple[int, int]:
        return 1, 1


def sinusoids(steps: int, features: int) -> NDArray[np.float64]:
    """Return the vectors of all steps, (steps, features), by Vaswani et al. 2017, section 3.5.

    With a = s / 10000^(2 i / features), sin(a) is at feature 2 i of step s, cos(a) at 2 i + 1.
    """
    pairs = np.arange(features) // 2
    angles = np.arange(steps)[:, None] / 10000 ** (2 * pairs / features)
    return np.where(np.arange(features) % 2 == 0, np.sin(angles), np.cos(angles))
