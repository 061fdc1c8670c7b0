"""Layers on sequences, (steps, features)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from workloads.layers.base import Layer, Shape, image, sequence


@dataclass(frozen=True)
class Rows(Layer):
    """An image as the sequence of its rows: (channels, height, width) to (height, channels width).

    A step's features are its row of the first channel, then that of the second, and so on.
    """

    kind: ClassVar[str] = "rows"
    group: ClassVar[str] = "rows"

    def output(self, shape: Shape) -> Shape:
        image(self.kind, shape)
        channels, height, width = shape
        return (height, channels * width)


@dataclass(frozen=True)
class LastStep(Layer):
    """The last step of a sequence: (steps, features) to (features,)."""

    kind: ClassVar[str] = "laststep"
    group: ClassVar[str] = "laststep"

    def output(self, shape: Shape) -> Shape:
        sequence(self.kind, shape)
        return shape[1:]


@dataclass(frozen=True)
class MeanSteps(Layer):
    """The mean of each feature over the steps: (steps, features) to (features,)."""

    kind: ClassVar[str] = "meansteps"
    group: ClassVar[str] = "meansteps"

    def output(self, shape: Shape) -> Shape:
        sequence(self.kind, shape)
        return shape[1:]
