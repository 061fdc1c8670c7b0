"""The vocabulary of layers: each a frozen record with its output shape, its parameters and its cost.

Shapes are of one example: ``(channels, height, width)`` for images, ``(features,)`` for vectors.
A new layer is one class here, one in the reference and one line in each adapter; an adapter without
it is unavailable for workloads that have it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from workloads.reading import SpecError, by_kind, number

Shape = tuple[int, ...]

AT_ZERO, AT_EQUALS = "at zero", "at equals"
"""Where a layer's gradient jumps: where an element of its input is 0; where two of a window are equal."""


@dataclass(frozen=True)
class Layer:
    """A step of the model. `kind` is its word in a spec, `group` the stem of its name (``conv1``).

    `kink` is where its gradient jumps (AT_ZERO or AT_EQUALS), empty for a layer that is differentiable
    everywhere: rounding decides such ties, and the parity check allows for both sides. `initial_values`
    has by short name the number that a parameter begins with, where the initialiser draws none, and that
    a state begins with, where it is not 0.
    """

    kind: ClassVar[str]
    group: ClassVar[str]
    kink: ClassVar[str] = ""
    initial_values: ClassVar[Mapping[str, float]] = {}

    def output(self, shape: Shape) -> Shape:
        """Return the output's shape for an input of `shape`; raise SpecError where it cannot be."""
        return shape

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        """Return the canonical shape of each parameter, by its short name."""
        return {}

    def state(self, shape: Shape) -> dict[str, Shape]:
        """Return the shape of what is kept from step to step without a gradient, by short name."""
        return {}

    def fans(self, shape: Shape) -> tuple[int, int]:
        """Return how many inputs an output sums, and how many outputs an input goes to.

        Initialisers scale by them what they draw: all parameters that are not among `initial_values`.
        """
        raise NotImplementedError(
            f"{self.kind}: its parameters are drawn, and it has no fans: define them, or `initial_values`"
        )

    def multiply_adds(self, shape: Shape) -> int:
        """Return the multiply-adds of one example's forward pass (matrix arithmetic only)."""
        return 0

    def check_batch(self, shape: Shape, batch: int) -> None:
        """Raise SpecError where it cannot be trained on a batch of so many inputs of `shape`."""


@dataclass(frozen=True)
class Dense(Layer):
    """y = x W^T + b; weight ``(units, inputs)``, bias ``(units,)``."""

    kind: ClassVar[str] = "dense"
    group: ClassVar[str] = "dense"
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


def _window(kind: str, shape: Shape, size: int, stride: int, padding: int = 0) -> Shape:
    """Return (height, width) of a window's output; incomplete windows at the edge are left out."""
    _image(kind, shape)
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
    filters: int = field(metadata=number(low=1))
    kernel: int = field(metadata=number(low=1))
    stride: int = field(default=1, metadata=number(low=1))
    padding: int = field(default=0, metadata=number(low=0))
    bias: bool = True

    def output(self, shape: Shape) -> Shape:
        return (self.filters, *_window(self.kind, shape, self.kernel, self.stride, self.padding))

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
        rows_columns = _window(self.kind, shape, self.size, self.step)
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
class Relu(Layer):
    """max(x, 0); the gradient at 0 is 0."""

    kind: ClassVar[str] = "relu"
    group: ClassVar[str] = "relu"
    kink: ClassVar[str] = AT_ZERO


@dataclass(frozen=True)
class Sigmoid(Layer):
    """1 / (1 + exp(-x))."""

    kind: ClassVar[str] = "sigmoid"
    group: ClassVar[str] = "sigmoid"


@dataclass(frozen=True)
class Tanh(Layer):
    """The hyperbolic tangent."""

    kind: ClassVar[str] = "tanh"
    group: ClassVar[str] = "tanh"


@dataclass(frozen=True)
class GlobalAvgPool(Layer):
    """The mean of each channel: (channels, height, width) to (channels,)."""

    kind: ClassVar[str] = "globalavgpool"
    group: ClassVar[str] = "pool"

    def output(self, shape: Shape) -> Shape:
        _image(self.kind, shape)
        return (shape[0],)


@dataclass(frozen=True)
class PadChannels(Layer):
    """Zeros appended as further channels, up to `channels` of them (He et al. 2015, shortcut A)."""

    kind: ClassVar[str] = "padchannels"
    group: ClassVar[str] = "pad"
    channels: int = field(metadata=number(low=1))

    def output(self, shape: Shape) -> Shape:
        _image(self.kind, shape)
        if self.channels < shape[0]:
            raise SpecError(f"padchannels to {self.channels}, but there are {shape[0]} already")
        return (self.channels, *shape[1:])


@dataclass(frozen=True)
class BatchNorm(Layer):
    """Ioffe and Szegedy 2015: y = weight (x - mean) / sqrt(variance + epsilon) + bias, a channel.

    In training mean and variance (biased, divided by n) are the batch's, over examples and pixels,
    and gradients flow through both. The state moves once a step by
    ``state = (1 - momentum) state + momentum now``, where the variance's `now` is the unbiased one
    (divided by n - 1). Inference takes the state. It starts at mean 0, variance 1.
    """

    kind: ClassVar[str] = "batchnorm"
    group: ClassVar[str] = "norm"
    initial_values: ClassVar[Mapping[str, float]] = {"weight": 1, "bias": 0, "variance": 1}
    epsilon: float = field(default=1e-5, metadata=number(above=0))
    momentum: float = field(default=0.1, metadata=number(above=0, below=1))

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        return {"weight": shape[:1], "bias": shape[:1]}

    def state(self, shape: Shape) -> dict[str, Shape]:
        return {"mean": shape[:1], "variance": shape[:1]}

    def check_batch(self, shape: Shape, batch: int) -> None:
        if batch * math.prod(shape[1:]) == 1:
            raise SpecError(
                "batchnorm over a single value (batch 1, no pixels): its unbiased variance divides"
                " by n - 1 = 0: take a larger batch, or layernorm"
            )


@dataclass(frozen=True)
class LayerNorm(Layer):
    """Ba et al. 2016: each example's features by their own mean and biased variance; flat inputs."""

    kind: ClassVar[str] = "layernorm"
    group: ClassVar[str] = "norm"
    initial_values: ClassVar[Mapping[str, float]] = {"weight": 1, "bias": 0}
    epsilon: float = field(default=1e-5, metadata=number(above=0))

    def output(self, shape: Shape) -> Shape:
        if len(shape) != 1:
            raise SpecError(f"layernorm needs a flat input, got {shape}: put a flatten before it")
        return shape

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        return {"weight": shape, "bias": shape}


@dataclass(frozen=True)
class Dropout(Layer):
    """In training y = x mask / (1 - rate); in inference y = x.

    The masks (0 or 1, uint8, of the input's shape) come with each batch, so that every framework
    drops the same.
    """

    kind: ClassVar[str] = "dropout"
    group: ClassVar[str] = "dropout"
    rate: float = field(metadata=number(low=0, below=1))


@dataclass(frozen=True)
class Residual(Layer):
    """y = body(x) + shortcut(x); without a `shortcut`, x itself."""

    kind: ClassVar[str] = "residual"
    group: ClassVar[str] = "residual"
    body: tuple[Layer, ...]
    shortcut: tuple[Layer, ...] = ()

    def output(self, shape: Shape) -> Shape:
        ends = []
        for branch in (self.body, self.shortcut):
            end = shape
            for layer in branch:
                end = layer.output(end)
            ends.append(end)
        if ends[0] != ends[1]:
            raise SpecError(f"residual: the body gives shape {ends[0]}, the shortcut {ends[1]}")
        return ends[0]


def _image(kind: str, shape: Shape) -> None:
    if len(shape) != 3:
        raise SpecError(f"{kind} needs an image (channels, height, width), got shape {shape}")


KINDS = by_kind(Layer)
