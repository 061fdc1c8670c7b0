"""Layers on images: convolution, pooling, channels of zeros."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from workloads.layers.base import AT_EQUALS, Layer, Shape, image
from workloads.reading import SpecError, number


def window(kind: str, shape: Shape, size: int, stride: int, padding: int = 0) -> Shape:
    """Return (height, width) of a window's output; incomplete windows at the edge are left out."""
    image(kind, shape)
    out = tuple((side + 2 * padding - size) // stride + 1 for side in shape[1:])
    if min(out) < 1:
        raise SpecError(
            f"{kind} of size {size} does not fit an image of {shape[1]}x{shape[2]}"
            f" with padding {padding}: take a smaller size"
        )
    return out


@dataclass(frozen=True)
class Conv2d(Layer):
    """Cross-correlation, symmetric zero padding; weight ``(filters, channels, kernel, kernel)``.

    `bias` is left out before a batch norm, which takes it away again.
    """

    kind: ClassVar[str] = "conv2d"
    group: ClassVar[str] = "conv"
    width: ClassVar[str] = "filters"
    filters: int = field(metadata=number(low=1))
    kernel: int = field(metadata=number(low=1))
    stride: int = field(default=1, metadata=number(low=1))
    padding: int = field(default=0, metadata=number(low=0))
    bias: bool = True

    def output(self, shape: Shape) -> Shape:
        return (self.filters, *window(self.kind, shape, self.kernel, self.stride, self.padding))

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        weight = (self.filters, shape[0], self.kernel, self.kernel)
        return {"weight": weight, **({"bias": (self.filters,)} if self.bias else {})}

    def fans(self, shape: Shape) -> tuple[int, int]:
        return shape[0] * self.kernel**2, self.filters * self.kernel**2

    def multiply_adds(self, shape: Shape) -> int:
        _, height, width = self.output(shape)
        return self.filters * height * width * shape[0] * self.kernel**2


@dataclass(frozen=True)
class Pool(Layer):
    """A window of `size` x `size` moved by `stride` (0, the default, means `size`); no padding."""

    group: ClassVar[str] = "pool"
    size: int = field(metadata=number(low=1))
    stride: int = field(default=0, metadata=number(low=0))

    @property
    def step(self) -> int:
        return self.stride or self.size

    def output(self, shape: Shape) -> Shape:
        rows_columns = window(self.kind, shape, self.size, self.step)
        return (shape[0], *rows_columns)


@dataclass(frozen=True)
class MaxPool(Pool):
    """The largest element of each window; of equal ones, the first gets the gradient."""

    kind: ClassVar[str] = "maxpool"
    kink: ClassVar[str] = AT_EQUALS


@dataclass(frozen=True)
class AvgPool(Pool):
    """The mean of each window."""

    kind: ClassVar[str] = "avgpool"


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
