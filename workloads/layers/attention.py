"""Layers of transformers: attention, and what makes a sequence of an image."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from workloads.layers.base import Layer, Shape, image, sequence
from workloads.reading import SpecError, number


@dataclass(frozen=True)
class Attention(Layer):
    """Multi-head self-attention (Vaswani et al. 2017, section 3.2), (steps, features) to the same.

    q = x Wq^T + bq, k = x Wk^T, v = x Wv^T + bv; weights ``(features, features)``, biases
    ``(features,)``. Head i of h has the features i d to i d + d - 1 of each, d = features / h:

        a = softmax(q k^T / sqrt(d)), over the steps of k;   o = (a mask / (1 - dropout)) v

    y = (all heads' o side by side) Wo^T + bo. `causal`: a step sees itself and those before it. The masks
    of dropout (heads, steps, steps) come with each batch, and are for training only. A bias of k would
    add the same to all scores of a query, which the softmax takes away: there is none.
    """

    kind: ClassVar[str] = "attention"
    group: ClassVar[str] = "attention"
    heads: int = field(metadata=number(low=1))
    causal: bool = False
    dropout: float = field(default=0.0, metadata=number(low=0, below=1))
    bias: bool = True

    def output(self, shape: Shape) -> Shape:
        sequence(self.kind, shape)
        if shape[1] % self.heads:
            raise SpecError(
                f"attention: heads = {self.heads}: has to divide the {shape[1]} features of its input"
            )
        return shape

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        features = shape[1]
        weights = {f"weight_{part}": (features, features) for part in "qkvo"}
        return weights | ({f"bias_{part}": (features,) for part in "qvo"} if self.bias else {})

    def mask(self, shape: Shape) -> tuple[float, Shape] | None:
        steps = shape[0]
        return (self.dropout, (self.heads, steps, steps)) if self.dropout else None

    def fans(self, shape: Shape) -> tuple[int, int]:
        return shape[1], shape[1]

    def multiply_adds(self, shape: Shape) -> int:
        steps, features = shape
        pairs = steps * (steps + 1) // 2 if self.causal else steps * steps
        return 4 * steps * features**2 + 2 * pairs * features

    def multiply_adds_of_inputs(self, shape: Shape) -> int:
        return 3 * shape[0] * shape[1] ** 2


@dataclass(frozen=True)
class Patches(Layer):
    """(channels, height, width) to (steps, channels size size): squares of `size`, one a step.

    Patches come row by row; within one the order is (channel, row, column), as of a convolution's
    weight of that kernel and stride (Dosovitskiy et al. 2021, section 3.1).
    """

    kind: ClassVar[str] = "patches"
    group: ClassVar[str] = "patches"
    size: int = field(metadata=number(low=1))

    def output(self, shape: Shape) -> Shape:
        image(self.kind, shape)
        channels, height, width = shape
        if height % self.size or width % self.size:
            raise SpecError(
                f"patches: size = {self.size}: has to divide the image's {height}x{width}"
            )
        return height * width // self.size**2, channels * self.size**2
