"""LSTM and GRU as Gluon blocks: MXNet's fused operator RNN, which has the steps before the batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mxnet as mx
from mxnet import gluon

from workloads import layers as spec
from workloads.spec import Placed


class Recurrent(gluon.HybridBlock):
    """(batch, steps, features) to (batch, steps, units), or twice the units.

    The operator takes all parameters as one vector: weights, then biases, a way after the other. Its
    order of gates is the spec's. It adds a second bias, which is zero but for GRU's n.
    """

    def __init__(self, layer: spec.Recurrent, place: Placed) -> None:
        super().__init__()
        self._layer = layer
        for short, shape in layer.parameters(place.input).items():
            setattr(self, short, self.params.get(short, shape=shape))

    def hybrid_forward(self, F: Any, x: Any, **parameters: Any) -> Any:  # noqa: N803
        layer, ways = self._layer, self._layer.suffixes
        turned = layer.direction == spec.REVERSE
        weights = [
            parameters[f"{short}{way}"] for way in ways for short in ("weight_x", "weight_h")
        ]
        biases = [bias for way in ways for bias in self._biases(F, parameters, way)]
        flat = F.concat(*[F.reshape(part, (-1,)) for part in (*weights, *biases)], dim=0)
        x = F.swapaxes(x, 0, 1)
        if turned:
            x = F.reverse(x, axis=0)
        # Symbols have no shape: 0 is the batch's size, which the operator infers.
        batch, where = (x.shape[1], {"ctx": x.context}) if F is mx.nd else (0, {})
        shape = (len(ways), batch, layer.units)
        states = [F.zeros(shape, **where) for _ in range(2 if layer.kind == "lstm" else 1)]
        y = F.RNN(
            x,
            flat,
            *states,
            mode=layer.kind,
            state_size=layer.units,
            num_layers=1,
            bidirectional=len(ways) == 2,
        )
        return F.swapaxes(F.reverse(y, axis=0) if turned else y, 0, 1)

    def _biases(self, F: Any, parameters: dict[str, Any], way: str) -> list[Any]:  # noqa: N803
        bias = parameters[f"bias{way}"]
        if self._layer.kind == "lstm":
            return [bias, F.zeros_like(bias)]
        of_n = parameters[f"bias_h{way}"]
        zeros = F.zeros_like(of_n)
        return [bias, F.concat(zeros, zeros, of_n, dim=0)]


RECURRENT: dict[type[spec.Layer], Callable[[Any, Placed], gluon.HybridBlock]] = {
    spec.Lstm: Recurrent,
    spec.Gru: Recurrent,
}
