"""Layers on sequences of tokens: their vectors, and what tells their places."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from workloads.layers.base import Layer, Shape, sequence
from workloads.reading import SpecError, number


@dataclass(frozen=True)
class Embedding(Layer):
    """y_s = weight[x_s]: each token, a whole number from 0 to `tokens` - 1, becomes its row.

    (steps,) to (steps, units); weight ``(tokens, units)``, whose gradient adds up over all places that a
    token has. It comes first, on a data set of so many tokens.
    """

    kind: ClassVar[str] = "embedding"
    group: ClassVar[str] = "embedding"
    tokens: int = field(metadata=number(low=1))
    units: int = field(metadata=number(low=1))

    def output(self, shape: Shape) -> Shape:
        if len(shape) != 1:
            raise SpecError(f"embedding needs tokens (steps,), got shape {shape}")
        return (*shape, self.units)

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        return {"weight": (self.tokens, self.units)}

    def fans(self, shape: Shape) -> tuple[int, int]:
        return 1, self.units


@dataclass(frozen=True)
class Positions(Layer):
    """y_s = x_s + weight_s: a learned vector for each step; weight ``(steps, features)``."""

    kind: ClassVar[str] = "positions"
    group: ClassVar[str] = "positions"

    def output(self, shape: Shape) -> Shape:
        sequence(self.kind, shape)
        return shape

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        return {"weight": shape}

    def fans(self, shape: Shape) -> tuple[int, int]:
        return 1, 1
