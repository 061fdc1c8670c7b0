"""vit-digits in plain PyTorch, as its tutorials write it: what the adapter is held against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from frameworks.pytorch.plain import adam_loop, cross_entropy


class Net(nn.Module):
    """Patches of 2x2, learned positions, two pre-norm encoder layers, the mean over the steps."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, 32, kernel_size=2, stride=2)
        self.positions = nn.Parameter(0.1 * torch.randn(16, 32))
        layer = nn.TransformerEncoderLayer(
            32, 4, 64, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(
            layer, 2, norm=nn.LayerNorm(32), enable_nested_tensor=False
        )
        self.head = nn.Linear(32, 10)

    def forward(self, x: Any) -> Any:
        """Return the logits; x is (batch, 1, 8, 8)."""
        x = self.patches(x).flatten(2).transpose(1, 2) + self.positions
        return self.head(self.encoder(x).mean(1))


def build(mode: str) -> Callable[[Sequence[Any]], Sequence[float]]:
    """Return the training loop; `mode` is eager or compile."""
    return adam_loop(mode, Net(), cross_entropy, lr=0.002)
