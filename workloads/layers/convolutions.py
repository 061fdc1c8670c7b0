"""Convolutions, of images and of sequences."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

from workloads.layers.base import Layer, Shape, image, sequence
from workloads.layers.windows import CAUSAL, SAME, Padding, Window, along, fitting, paddings
from workloads.reading import SpecError, later, number


@dataclass(frozen=True)
class Convolution(Layer):
    """Cross-correlation with zero padding: what all convolutions have.

    Filters and channels are cut into `groups` of equal size, in order, and a filter sees the channels of
    its own group only: with as many groups as channels it is a depthwise convolution. In each axis

        y[f, p] = bias[f] + sum over c, k of weight[f, c, k] x[first + c, stride p + dilation k - before]

    where `first` is the first channel of f's group, and x is 0 in the padding. `padding` is as
    `workloads.layers.windows` says. `bias` is left out before a batch norm, which takes it away again.
    """

    width: ClassVar[str] = "filters"
    filters: int = field(metadata=number(low=1))
    kernel: int = field(metadata=number(low=1))
    stride: int = field(default=1, metadata=number(low=1))
    padding: Padding = 0
    bias: bool = True
    dilation: int = later(1, number(low=1))
    groups: int = later(1, number(low=1))

    def _channels(self, shape: Shape) -> int:
        raise NotImplementedError

    def _sides(self, shape: Shape) -> Shape:
        raise NotImplementedError

    def windows(self, shape: Shape) -> tuple[Window, ...]:
        """Return the windows along each axis of an input of `shape`."""
        sides = self._sides(shape)
        return along(sides, self.kernel, self.stride, self.padding, self.dilation)

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        kernel = (self.kernel,) * len(self._sides(shape))
        weight = (self.filters, self._channels(shape) // self.groups, *kernel)
        return {"weight": weight, **({"bias": (self.filters,)} if self.bias else {})}

    def fans(self, shape: Shape) -> tuple[int, int]:
        places = self.kernel ** len(self._sides(shape))
        inputs, outputs = self._channels(shape), self.filters
        return inputs // self.groups * places, outputs // self.groups * places

    def multiply_adds(self, shape: Shape) -> int:
        return math.prod(self.output(shape)) * self.fans(shape)[0]

    def _check_groups(self, shape: Shape) -> None:
        channels = self._channels(shape)
        if channels % self.groups or self.filters % self.groups:
            raise SpecError(
                f"{self.kind}: groups = {self.groups}: has to divide the input's {channels} channels"
                f" and the {self.filters} filters"
            )


@dataclass(frozen=True)
class Conv2d(Convolution):
    """A convolution of images; weight ``(filters, channels / groups, kernel, kernel)``."""

    kind: ClassVar[str] = "conv2d"
    group: ClassVar[str] = "conv"
    padding: Padding = field(default=0, metadata=paddings("top", "bottom", "left", "right"))

    def output(self, shape: Shape) -> Shape:
        image(self.kind, shape)
        self._check_groups(shape)
        counts = fitting(self.kind, "an image", self.windows(shape), self.padding)
        return (self.filters, *counts)

    def _channels(self, shape: Shape) -> int:
        return shape[0]

    def _sides(self, shape: Shape) -> Shape:
        return shape[1:]


@dataclass(frozen=True)
class Conv1d(Convolution):
    """A convolution of sequences along their steps; weight ``(filters, features / groups, kernel)``.

    The channels are the features: (steps, features) to (steps left, filters).
    """

    kind: ClassVar[str] = "conv1d"
    group: ClassVar[str] = "conv"
    padding: Padding = field(default=0, metadata=paddings("before", "after", words=(SAME, CAUSAL)))

    def output(self, shape: Shape) -> Shape:
        sequence(self.kind, shape)
        self._check_groups(shape)
        (steps,) = fitting(self.kind, "a sequence", self.windows(shape), self.padding)
        return steps, self.filters

    def _channels(self, shape: Shape) -> int:
        return shape[1]

    def _sides(self, shape: Shape) -> Shape:
        return shape[:1]
