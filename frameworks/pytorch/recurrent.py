"""LSTM and GRU: PyTorch's fused operators, with the spec's parameters."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from workloads import layers as spec
from workloads.layers import Shape


class Recurrent(nn.Module):
    """(batch, steps, features) to (batch, steps, units), or twice the units.

    nn.LSTM and nn.GRU would have a second bias to train, which the spec has for GRU's n alone: the
    operators behind them take zeros for it here.
    """

    def __init__(self, layer: spec.Recurrent, shape: Shape) -> None:
        super().__init__()
        self.units, self._suffixes = layer.units, layer.suffixes
        self._turned = layer.direction == spec.REVERSE
        for short, parameter in layer.parameters(shape).items():
            self.register_parameter(short, nn.Parameter(torch.empty(parameter)))
        zeros = torch.zeros(layer.gates * layer.units)
        self.register_buffer("zeros", zeros, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Give h of every step."""
        if self._turned:
            x = x.flip(1)
        y = self.outputs(x, [self._weights(suffix) for suffix in self._suffixes])
        return y.flip(1) if self._turned else y

    def outputs(self, x: Tensor, ways: list[list[Tensor]]) -> Tensor:
        """Return h of every step, of each way's weights; the second way begins at the end."""
        raise NotImplementedError

    def bias_of_h(self, suffix: str) -> Tensor:
        """Return what is added to the product of h."""
        return self.zeros

    def _weights(self, suffix: str) -> list[Tensor]:
        """Return the parameters of a way as the operators take them: both weights, both biases."""
        names = [f"{short}{suffix}" for short in ("weight_x", "weight_h", "bias")]
        return [*(getattr(self, name) for name in names), self.bias_of_h(suffix)]

    def options(self, ways: int) -> tuple[Any, ...]:
        """Return the operators': biases, layers, dropout, as in training, both ways, batch first."""
        return True, 1, 0.0, self.training, ways == 2, True


class Lstm(Recurrent):
    """The gates i, f, g, o."""

    def outputs(self, x: Tensor, ways: list[list[Tensor]]) -> Tensor:
        """Return h of every step.

        The operator's gradient cannot be compiled (torch 2.13: "output with shape [6, 16] doesn't
        match the broadcast shape [1, 6, 16]"): there, each step is written out.
        """
        if torch.compiler.is_compiling():
            return torch.cat([self._steps(x, back, *way) for back, way in enumerate(ways)], 2)
        start = x.new_zeros(len(ways), len(x), self.units)
        return torch.lstm(
            x, (start, start), list(chain.from_iterable(ways)), *self.options(len(ways))
        )[0]

    def _steps(
        self, x: Tensor, back: int, weight_x: Tensor, weight_h: Tensor, bias: Tensor, _: Tensor
    ) -> Tensor:
        h = c = x.new_zeros(len(x), self.units)
        steps, outputs = functional.linear(x, weight_x, bias).unbind(1), []
        for step in reversed(steps) if back else steps:
            i, f, g, o = (step + functional.linear(h, weight_h)).chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            outputs.append(h)
        return torch.stack(outputs[::-1] if back else outputs, 1)


class Gru(Recurrent):
    """The gates r, z, n; the bias of h is n's."""

    def outputs(self, x: Tensor, ways: list[list[Tensor]]) -> Tensor:
        """Return h of every step."""
        start = x.new_zeros(len(ways), len(x), self.units)
        return torch.gru(x, start, list(chain.from_iterable(ways)), *self.options(len(ways)))[0]

    def bias_of_h(self, suffix: str) -> Tensor:
        """Return n's, behind zeros."""
        return torch.cat([self.zeros[: 2 * self.units], getattr(self, f"bias_h{suffix}")])


RECURRENT: dict[type[spec.Layer], Callable[[Any, Shape], nn.Module]] = {
    spec.Lstm: Lstm,
    spec.Gru: Gru,
}
