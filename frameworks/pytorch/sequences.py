"""Layers on sequences, (batch, steps, features), as PyTorch's modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from frameworks.pytorch.recurrent import RECURRENT
from workloads import layers as spec
from workloads.layers import Shape


class Rows(nn.Module):
    """An image as the sequence of its rows."""

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) to (batch, height, channels width)."""
        return x.transpose(1, 2).flatten(2)


class LastStep(nn.Module):
    """The last step, as a view."""

    def forward(self, x: Tensor) -> Tensor:
        """(batch, steps, features) to (batch, features)."""
        return x[:, -1]


class MeanSteps(nn.Module):
    """The mean over the steps."""

    def forward(self, x: Tensor) -> Tensor:
        """(batch, steps, features) to (batch, features)."""
        return x.mean(1)


SEQUENCES: dict[type[spec.Layer], Callable[[Any, Shape], nn.Module]] = {
    spec.Rows: lambda x, shape: Rows(),
    spec.LastStep: lambda x, shape: LastStep(),
    spec.MeanSteps: lambda x, shape: MeanSteps(),
    **RECURRENT,
}
