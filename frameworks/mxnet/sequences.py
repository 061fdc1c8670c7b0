"""Layers on sequences, (batch, steps, features), as Gluon blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mxnet import gluon

from frameworks.mxnet.recurrent import RECURRENT
from workloads import layers as spec
from workloads.spec import Placed


class Rows(gluon.HybridBlock):
    """An image as the sequence of its rows: (batch, channels, height, width) to (batch, height, ...)."""

    def hybrid_forward(self, F: Any, x: Any) -> Any:  # noqa: N803
        return F.reshape(F.transpose(x, (0, 2, 1, 3)), (0, 0, -3))


class LastStep(gluon.HybridBlock):
    """The last step, (batch, features). (The gradient of MXNet 1.9's SequenceLast ends the process.)"""

    def hybrid_forward(self, F: Any, x: Any) -> Any:  # noqa: N803
        return F.reshape(F.slice_axis(x, axis=1, begin=-1, end=None), (0, -1))


class MeanSteps(gluon.HybridBlock):
    """The mean over the steps, (batch, features)."""

    def hybrid_forward(self, F: Any, x: Any) -> Any:  # noqa: N803
        return F.mean(x, axis=1)


class RmsNorm(gluon.HybridBlock):
    """Features by the root of their mean square: MXNet 1.9 has no operator for it."""

    def __init__(self, features: int, epsilon: float) -> None:
        super().__init__()
        self._epsilon = epsilon
        self.weight = self.params.get("weight", shape=(features,))

    def hybrid_forward(self, F: Any, x: Any, weight: Any) -> Any:  # noqa: N803
        square = F.mean(F.square(x), axis=-1, keepdims=True)
        h = F.broadcast_mul(x, F.rsqrt(square + self._epsilon))
        return F.broadcast_mul(h, weight)


SEQUENCES: dict[type[spec.Layer], Callable[[Any, Placed], gluon.HybridBlock]] = {
    spec.RmsNorm: lambda x, place: RmsNorm(place.input[-1], x.epsilon),
    spec.Rows: lambda x, place: Rows(),
    spec.LastStep: lambda x, place: LastStep(),
    spec.MeanSteps: lambda x, place: MeanSteps(),
    **RECURRENT,
}
