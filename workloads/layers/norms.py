"""Layers that normalise, and have a weight and a bias."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from workloads.layers.base import Layer, Shape, features
from workloads.reading import SpecError, number


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

    def output(self, shape: Shape) -> Shape:
        if len(shape) == 2:
            raise SpecError(
                f"batchnorm needs an image or a vector, got a sequence {shape}: take layernorm"
            )
        return shape

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
    """Ba et al. 2016: y = weight (x - mean) / sqrt(variance + epsilon) + bias.

    Mean and variance (biased) are those of the features of each example, of a sequence those of
    each step.
    """

    kind: ClassVar[str] = "layernorm"
    group: ClassVar[str] = "norm"
    initial_values: ClassVar[Mapping[str, float]] = {"weight": 1, "bias": 0}
    epsilon: float = field(default=1e-5, metadata=number(above=0))

    def output(self, shape: Shape) -> Shape:
        features(self.kind, shape)
        return shape

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        return {"weight": shape[-1:], "bias": shape[-1:]}


@dataclass(frozen=True)
class RmsNorm(Layer):
    """Zhang and Sennrich 2019: y = weight x / sqrt(mean(x^2) + epsilon), without mean or bias.

    The mean is over the features of each example, of a sequence over those of each step.
    """

    kind: ClassVar[str] = "rmsnorm"
    group: ClassVar[str] = "norm"
    initial_values: ClassVar[Mapping[str, float]] = {"weight": 1}
    epsilon: float = field(default=1e-5, metadata=number(above=0))

    def output(self, shape: Shape) -> Shape:
        features(self.kind, shape)
        return shape

    def parameters(self, shape: Shape) -> dict[str, Shape]:
        return {"weight": shape[-1:]}
