"""Activations as PyTorch's modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from workloads import layers as spec
from workloads.layers import Shape

ACTIVATIONS: dict[type[spec.Layer], Callable[[Any, Shape], nn.Module]] = {
    spec.LeakyRelu: lambda x, shape: nn.LeakyReLU(x.slope),
    spec.Elu: lambda x, shape: nn.ELU(x.alpha),
    spec.Sigmoid: lambda x, shape: nn.Sigmoid(),
    spec.Tanh: lambda x, shape: nn.Tanh(),
    spec.Gelu: lambda x, shape: nn.GELU(x.approximate),
    spec.Silu: lambda x, shape: nn.SiLU(),
    spec.Softplus: lambda x, shape: nn.Softplus(),
}
