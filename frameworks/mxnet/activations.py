"""Activations as Gluon blocks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from mxnet import gluon
from mxnet.gluon import nn

from workloads import layers as spec
from workloads.spec import Placed


class TanhGelu(gluon.HybridBlock):
    """GELU by its tanh approximation, for which MXNet has no operator."""

    def hybrid_forward(self, F: Any, x: Any) -> Any:  # noqa: N803
        return 0.5 * x * (1 + F.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


ACTIVATIONS: dict[type[spec.Layer], Callable[[Any, Placed], gluon.HybridBlock]] = {
    spec.Relu: lambda x, place: nn.Activation("relu"),
    spec.LeakyRelu: lambda x, place: nn.LeakyReLU(x.slope),
    spec.Elu: lambda x, place: nn.ELU(x.alpha),
    spec.Sigmoid: lambda x, place: nn.Activation("sigmoid"),
    spec.Tanh: lambda x, place: nn.Activation("tanh"),
    spec.Gelu: lambda x, place: TanhGelu() if x.approximate == "tanh" else nn.GELU(),
    spec.Silu: lambda x, place: nn.Swish(),
    spec.Softplus: lambda x, place: nn.Activation("softrelu"),
}
