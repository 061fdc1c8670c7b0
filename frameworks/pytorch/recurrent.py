"""LSTM and GRU: PyTorch's fused operators, with the spec's parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from workloads import layers as spec
from workloads.layers import Shape


class Recurrent(nn.Module):
    """(batch, steps, features) to (batch, steps, units), or twice the units.

    nn.LSTM and nn.GRU would have a second bias to train, which the spec has for GRU's n alone: the
    operators behind them take zeros for it here.
    """

    def __init__(self, layer: spec.Recurrent, shape: Shape) -> None:
        super().__init__()
        self._units, self._suffixes = layer.units, layer.suffixes
        self._turned = layer.direction == spec.REVERSE
        for short, parameter in layer.parameters(shape).items():
            self.register_parameter(short, nn.Parameter(torch.empty(parameter)))
        zeros = torch.zeros(layer.gates * layer.units)
        self.register_buffer("zeros", zeros, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Give h of every step."""
        if self._turned:
            x = x.flip(1)
        start = x.new_zeros(len(self._suffixes), len(x), self._units)
        weights = [tensor for suffix in self._suffixes for tensor in self._weights(suffix)]
        y = self._operator(x, start, weights, len(self._suffixes) == 2)
        return y.flip(1) if self._turned else y

    def _weights(self, suffix: str) -> list[Tensor]:
        """Return the parameters of a way as the operators take them: both weights, both biases."""
        names = [f"{short}{suffix}" for short in ("weight_x", "weight_h", "bias")]
        return [*(getattr(self, name) for name in names), self._bias_of_h(suffix)]

    def _bias_of_h(self, suffix: str) -> Tensor:
        raise NotImplementedError

    def _operator(self, x: Tensor, start: Tensor, weights: list[Tensor], both_ways: bool) -> Tensor:
        raise NotImplementedError


class Lstm(Recurrent):
    """The gates i, f, g, o."""

    def _bias_of_h(self, suffix: str) -> Tensor:
        return self.zeros

    def _operator(self, x: Tensor, start: Tensor, weights: list[Tensor], both_ways: bool) -> Tensor:
        # Biases, 1 layer, no dropout, as in training or not, ways, the batch first.
        options = (True, 1, 0.0, self.training, both_ways, True)
        return torch.lstm(x, (start, start), weights, *options)[0]


class Gru(Recurrent):
    """The gates r, z, n; the bias of h is n's."""

    def _bias_of_h(self, suffix: str) -> Tensor:
        return torch.cat([self.zeros[: 2 * self._units], getattr(self, f"bias_h{suffix}")])

    def _operator(self, x: Tensor, start: Tensor, weights: list[Tensor], both_ways: bool) -> Tensor:
        options = (True, 1, 0.0, self.training, both_ways, True)
        return torch.gru(x, start, weights, *options)[0]


RECURRENT: dict[type[spec.Layer], Callable[[Any, Shape], nn.Module]] = {
    spec.Lstm: Lstm,
    spec.Gru: Gru,
}
