"""Layers on any input: dense, flatten, dropout."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

from workloads.layers.base import Layer, Shape, features
from workloads.reading import number


@dataclass(frozen=True)
class Dense(Layer):
    """y = x W^T + b, of a sequence step by step; weight ``(units, inputs)``, bias ``(units,)``."""

    kind: ClassVar[str] = "dense"
    group: ClassVar[str] = "dense"
    width: ClassVar[str] = "units"
    units: int = field(metadata=number(low=1))

    def output(self, shape: Shape) -> Shape:
        features(self.kind, shape)
        return (*shape[:-1], self.units)

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        return {"weight": (self.units, shape[-1]), "bias": (self.units,)}

    def fans(self, shape: Shape) -> tuple[int, int]:
        return shape[-1], self.units

    def multiply_adds(self, shape: Shape) -> int:
        return self.units * math.prod(shape)


@dataclass(frozen=True)
class Flatten(Layer):
    """An image or a sequence to one vector, in the order of its axes, whatever the layout inside."""

    kind: ClassVar[str] = "flatten"
    group: ClassVar[str] = "flatten"

    def output(self, shape: Shape) -> Shape:
        return (math.prod(shape),)


@dataclass(frozen=True)
class Dropout(Layer):
    """In training y = x mask / (1 - rate); in inference y = x.

    The masks (0 or 1, uint8, of the input's shape) come with each batch, so that every framework
    drops the same.
    """

    kind: ClassVar[str] = "dropout"
    group: ClassVar[str] = "dropout"
    rate: float = field(metadata=number(low=0, below=1))

    def mask(self, shape: Shape) -> tuple[float, Shape] | None:
        return self.rate, shape
