"""Layers on any input: dense, flatten, dropout."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from workloads.layers.base import Layer, Shape
from workloads.reading import SpecError, number


@dataclass(frozen=True)
class Dense(Layer):
    """y = x W^T + b; weight ``(units, inputs)``, bias ``(units,)``."""

    kind: ClassVar[str] = "dense"
    group: ClassVar[str] = "dense"
    width: ClassVar[str] = "units"
    units: int = field(metadata=number(low=1))

    def output(self, shape: Shape) -> Shape:
        if len(shape) != 1:
            raise SpecError(
                f"dense needs a flat input, got one of shape {shape}: put a flatten before it"
            )
        return (self.units,)

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        return {"weight": (self.units, shape[0]), "bias": (self.units,)}

    def fans(self, shape: Shape) -> tuple[int, int]:
        return shape[0], self.units

    def multiply_adds(self, shape: Shape) -> int:
        return self.units * shape[0]


@dataclass(frozen=True)
class Flatten(Layer):
    """(channels, height, width) to one vector, in that order, whatever the layout inside."""

    kind: ClassVar[str] = "flatten"
    group: ClassVar[str] = "flatten"

    def output(self, shape: Shape) -> Shape:
        size = 1
        for side in shape:
            size *= side
        return (size,)


@dataclass(frozen=True)
class Dropout(Layer):
    """In training y = x mask / (1 - rate); in inference y = x.

    The masks (0 or 1, uint8, of the input's shape) come with each batch, so that every framework
    drops the same.
    """

    kind: ClassVar[str] = "dropout"
    group: ClassVar[str] = "dropout"
    rate: float = field(metadata=number(low=0, below=1))
