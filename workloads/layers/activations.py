"""Layers that map each element by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from workloads.layers.base import AT_ZERO, Layer


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
