"""Planted faults of sequences, recurrent layers and activations, for the net of recurrent.toml."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from frameworks.contract import Weights
from tests.frameworks.mutants import Mutant
from workloads.layers import Gelu, Gru, Layer, LayerNorm, LeakyRelu, Lstm, RmsNorm
from workloads.spec import Workload

WORKLOAD = Path(__file__).with_name("recurrent.toml")


class OtherLayers(Mutant):
    """A fault that other layers have by right: `change` of every one."""

    def change(self, layer: Layer) -> Layer:
        raise NotImplementedError

    def spec(self, workload: Workload) -> Workload:
        return replace(workload, layers=tuple(map(self.change, workload.layers)))


class TanhForErf(OtherLayers):
    """gelu takes tanh for erf"""

    def change(self, layer: Layer) -> Layer:
        return Gelu("tanh") if isinstance(layer, Gelu) else layer


class AnotherSlope(OtherLayers):
    """the slope of a leaky ReLU is that of another framework's default: 0.2"""

    def change(self, layer: Layer) -> Layer:
        return LeakyRelu(0.2) if isinstance(layer, LeakyRelu) else layer


class LayerForRms(OtherLayers):
    """an RMS norm takes the mean off, as a layer norm does"""

    bias = "norm2.bias"

    def change(self, layer: Layer) -> Layer:
        return LayerNorm(layer.epsilon) if isinstance(layer, RmsNorm) else layer

    def given(self, weights: Weights) -> Weights:
        return {**weights, self.bias: np.zeros_like(weights["norm2.weight"])}

    def returned(self, weights: Weights) -> Weights:
        return {name: w for name, w in weights.items() if name != self.bias}


def _gates(weight: np.ndarray, order: tuple[int, ...]) -> np.ndarray:
    """A weight or a bias with its gates, along the first axis, in another order."""
    gates = np.split(weight, len(order))
    return np.concatenate([gates[i] for i in order])


class GatesPermuted(Mutant):
    """LSTM's gates come in the order i, f, o, g"""

    kind: type[Layer] = Lstm
    order: tuple[int, ...] = (0, 1, 3, 2)

    def _ordered(self, weights: Weights, order: tuple[int, ...]) -> Weights:
        names = [p.name for p in self.workload.leaves if isinstance(p.layer, self.kind)]
        return {
            name: _gates(w, order)
            if name.partition(".")[0] in names and "bias_h" not in name
            else w
            for name, w in weights.items()
        }

    def given(self, weights: Weights) -> Weights:
        return self._ordered(weights, self.order)

    def returned(self, weights: Weights) -> Weights:
        return self._ordered(weights, tuple(np.argsort(self.order).tolist()))


class UpdateBeforeReset(GatesPermuted):
    """GRU's gates come in the order z, r, n"""

    kind, order = Gru, (1, 0, 2)


class ForgetBias(Mutant):
    """1 is added to the bias of LSTM's forget gate"""

    def _moved(self, weights: Weights, by: float) -> Weights:
        names = [p.name for p in self.workload.leaves if isinstance(p.layer, Lstm)]
        moved = {}
        for name, weight in weights.items():
            layer, _, short = name.partition(".")
            if layer in names and short.startswith("bias"):
                weight = weight + np.repeat(np.array([0, by, 0, 0], np.float32), len(weight) // 4)
            moved[name] = weight
        return moved

    def given(self, weights: Weights) -> Weights:
        return self._moved(weights, 1)

    def weights(self) -> Weights:
        return self._moved(self.inner.weights(), -1)


RECURRENT = {
    cls.__doc__ or cls.__name__: cls
    for cls in (
        TanhForErf,
        AnotherSlope,
        LayerForRms,
        GatesPermuted,
        UpdateBeforeReset,
        ForgetBias,
    )
}
"""Faults that every framework can have, by what they are."""


# Faults in a framework's own code, for the one whose eager mode shows its inside most openly.


class OtherForward(Mutant):
    """A fault of one layer's own code: `forward` of its module and its honest forward."""

    layer: str

    def forward(self, module: Any, honest: Callable[[Any], Any], x: Any) -> Any:
        raise NotImplementedError

    def mend(self, inner: Any) -> None:
        module = getattr(inner._core._model, self.layer)
        honest = module.forward
        module.forward = lambda x: self.forward(module, honest, x)


class ResetBeforeProduct(OtherForward):
    """GRU's reset gate comes before the product"""

    layer = "recurrent2"

    def forward(self, module: Any, honest: Callable[[Any], Any], x: Any) -> Any:
        import torch

        linear, units = torch.nn.functional.linear, module.units
        h, outputs = x.new_zeros(len(x), units), []
        w_rz, w_n = module.weight_h[: 2 * units], module.weight_h[2 * units :]
        for step in linear(x, module.weight_x, module.bias).unbind(1):
            x_rz, x_n = step[:, : 2 * units], step[:, 2 * units :]
            r, z = (x_rz + linear(h, w_rz)).sigmoid().chunk(2, 1)
            n = (x_n + linear(r * h, w_n, module.bias_h)).tanh()
            h = (1 - z) * n + z * h
            outputs.append(h)
        return torch.stack(outputs, 1)


class BackwardNotTurned(OtherForward):
    """the way back leaves its outputs in the order in which it makes them"""

    layer = "recurrent1"

    def forward(self, module: Any, honest: Callable[[Any], Any], x: Any) -> Any:
        import torch

        there, back = honest(x).chunk(2, 2)
        return torch.cat([there, back.flip(1)], 2)


class StateCarried(OtherForward):
    """the state is carried from batch to batch"""

    layer = "recurrent2"
    h: Any = None

    def forward(self, module: Any, honest: Callable[[Any], Any], x: Any) -> Any:
        import torch

        start = x.new_zeros(1, len(x), module.units)
        if self.h is not None and self.h.shape == start.shape:
            start = self.h
        weights = [module.weight_x, module.weight_h, module.bias, module.bias_of_h("")]
        y, h = torch.gru(x, start, weights, True, 1, 0.0, True, False, True)
        self.h = h.detach()
        return y


class LastOfBothWays(OtherForward):
    """the last step of the way back is the one that it ends with"""

    layer = "laststep1"

    def forward(self, module: Any, honest: Callable[[Any], Any], x: Any) -> Any:
        import torch

        units = x.shape[2] // 2
        return torch.cat([x[:, -1, :units], x[:, 0, units:]], 1)


class NormOverSteps(OtherForward):
    """a layer norm is over the steps for the features"""

    layer = "norm1"

    def forward(self, module: Any, honest: Callable[[Any], Any], x: Any) -> Any:
        centred = x - x.mean(1, keepdim=True)
        deviation = (centred.square().mean(1, keepdim=True) + module.eps).sqrt()
        return centred / deviation * module.weight + module.bias


NATIVE_RECURRENT = {
    cls.__doc__ or cls.__name__: cls
    for cls in (
        ResetBeforeProduct,
        BackwardNotTurned,
        StateCarried,
        LastOfBothWays,
        NormOverSteps,
    )
}
