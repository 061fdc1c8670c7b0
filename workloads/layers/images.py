"""Layers on images beside convolutions: pooling, channels of zeros."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from workloads.layers.base import AT_EQUALS, Layer, Shape, image
from workloads.layers.windows import Padding, Window, along, fitting, paddings
from workloads.reading import SpecError, later, number


@dataclass(frozen=True)
class Pool(Layer):
    """A window of `size` x `size` moved by `stride` (0, the default, means `size`).

    `padding` is less than `size` on every side; `ceil` keeps windows that are not whole at the lower and
    right edge: `workloads.layers.windows` says which. Every window has an element of the image.
    """

    group: ClassVar[str] = "pool"
    size: int = field(metadata=number(low=1))
    stride: int = field(default=0, metadata=number(low=0))
    padding: Padding = later(0, paddings("top", "bottom", "left", "right"))
    ceil: bool = later(False)

    @property
    def step(self) -> int:
        return self.stride or self.size

    def windows(self, shape: Shape) -> tuple[Window, ...]:
        """Return the windows along height and width of an image of `shape`."""
        return along(shape[1:], self.size, self.step, self.padding, ceil=self.ceil)

    def output(self, shape: Shape) -> Shape:
        image(self.kind, shape)
        windows = self.windows(shape)
        if max(max(window.before, window.after) for window in windows) >= self.size:
            raise SpecError(
                f"{self.kind}: padding = {self.padding}: has to be less than the size, {self.size}:"
                " a window would be all padding"
            )
        return (shape[0], *fitting(self.kind, "an image", windows, self.padding))


@dataclass(frozen=True)
class MaxPool(Pool):
    """The largest element of each window; of equal ones, the first gets the gradient.

    Padding is minus infinity: it is never the largest.
    """

    kind: ClassVar[str] = "maxpool"
    kink: ClassVar[str] = AT_EQUALS


@dataclass(frozen=True)
class AvgPool(Pool):
    """The mean of each window: of its elements that lie in the image.

    With `count_padding`, padding counts as elements that are 0. What `ceil` has beyond the padding never
    counts.
    """

    kind: ClassVar[str] = "avgpool"
    count_padding: bool = later(False)

    def divisors(self, shape: Shape) -> NDArray[np.int64]:
        """Return by how many elements each window's sum is divided: (rows, columns) of the output."""
        rows, columns = (window.counts(self.count_padding) for window in self.windows(shape))
        return np.outer(rows, columns)


@dataclass(frozen=True)
class GlobalAvgPool(Layer):
    """The mean of each channel: (channels, height, width) to (channels,)."""

    kind: ClassVar[str] = "globalavgpool"
    group: ClassVar[str] = "pool"

    def output(self, shape: Shape) -> Shape:
        image(self.kind, shape)
        return (shape[0],)


@dataclass(frozen=True)
class PadChannels(Layer):
    """Zeros appended as further channels, up to `channels` of them (He et al. 2015, shortcut A)."""

    kind: ClassVar[str] = "padchannels"
    group: ClassVar[str] = "pad"
    width: ClassVar[str] = "channels"
    channels: int = field(metadata=number(low=1))

    def output(self, shape: Shape) -> Shape:
        image(self.kind, shape)
        if self.channels < shape[0]:
            raise SpecError(f"padchannels to {self.channels}, but there are {shape[0]} already")
        return (self.channels, *shape[1:])
