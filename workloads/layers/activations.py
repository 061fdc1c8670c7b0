"""Layers that map each element by itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from workloads.layers.base import AT_ZERO, Layer
from workloads.reading import number, one_of


@dataclass(frozen=True)
class Activation(Layer):
    """What maps each element by itself, whatever the input's shape."""


@dataclass(frozen=True)
class Relu(Activation):
    """max(x, 0); the gradient at 0 is 0."""

    kind: ClassVar[str] = "relu"
    group: ClassVar[str] = "relu"
    kink: ClassVar[str] = AT_ZERO


@dataclass(frozen=True)
class LeakyRelu(Activation):
    """Maas et al. 2013: x where x > 0, else slope x; the gradient at 0 is the slope."""

    kind: ClassVar[str] = "leakyrelu"
    group: ClassVar[str] = "leakyrelu"
    kink: ClassVar[str] = AT_ZERO
    slope: float = field(default=0.01, metadata=number(low=0))


@dataclass(frozen=True)
class Elu(Activation):
    """Clevert et al. 2016: x where x > 0, else alpha (exp(x) - 1); the gradient at 0 is alpha."""

    kind: ClassVar[str] = "elu"
    group: ClassVar[str] = "elu"
    kink: ClassVar[str] = AT_ZERO
    alpha: float = field(default=1.0, metadata=number(low=0))


@dataclass(frozen=True)
class Sigmoid(Activation):
    """1 / (1 + exp(-x))."""

    kind: ClassVar[str] = "sigmoid"
    group: ClassVar[str] = "sigmoid"


@dataclass(frozen=True)
class Tanh(Activation):
    """The hyperbolic tangent."""

    kind: ClassVar[str] = "tanh"
    group: ClassVar[str] = "tanh"


@dataclass(frozen=True)
class Gelu(Activation):
    """Hendrycks and Gimpel 2016: x Phi(x), Phi being the normal distribution's function.

    Phi(x) = (1 + erf(x / sqrt(2))) / 2. With ``approximate = "tanh"`` it is
    (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, and the layer differs by up to 4.8e-4.
    """

    kind: ClassVar[str] = "gelu"
    group: ClassVar[str] = "gelu"
    approximate: str = field(default="none", metadata=one_of("none", "tanh"))


@dataclass(frozen=True)
class Silu(Activation):
    """x / (1 + exp(-x)), also called swish (Elfwing et al. 2018)."""

    kind: ClassVar[str] = "silu"
    group: ClassVar[str] = "silu"


@dataclass(frozen=True)
class Softplus(Activation):
    """log(1 + exp(x))."""

    kind: ClassVar[str] = "softplus"
    group: ClassVar[str] = "softplus"
