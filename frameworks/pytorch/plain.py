"""What the plain loops of `loops/` share in PyTorch: training by Adam, as its tutorials write it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn


def adam_loop(
    mode: str, net: nn.Module, loss_of: Callable[[Any, Any, Any], Any], lr: float
) -> Callable[[Sequence[Any]], Sequence[float]]:
    """Return a training loop by Adam, eager or compiled; `loss_of` takes the model, x and y."""
    model = torch.compile(net) if mode == "compile" else net
    optimizer = torch.optim.Adam(net.parameters(), lr=lr)

    def train(batches: Sequence[Any]) -> Sequence[float]:
        losses = []
        for inputs, labels, _ in batches:
            optimizer.zero_grad()
            loss = loss_of(model, torch.from_numpy(inputs), torch.from_numpy(labels))
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    return train


def cross_entropy(model: Any, x: Any, y: Any) -> Any:
    """Return the mean cross-entropy of examples."""
    return nn.functional.cross_entropy(model(x), y)
