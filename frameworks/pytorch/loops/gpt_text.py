"""gpt-text in plain PyTorch, after nanoGPT: what the adapter is held against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from frameworks.pytorch.plain import adam_loop


class Block(nn.Module):
    """A pre-norm causal block of two heads."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(32), nn.LayerNorm(32)
        self.qkv, self.out = nn.Linear(32, 96), nn.Linear(32, 32)
        self.mlp = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32))

    def forward(self, x: Any) -> Any:
        """Keep x's shape, (batch, steps, 32)."""
        heads = self.qkv(self.norm1(x)).split(32, dim=2)
        q, k, v = (part.unflatten(2, (2, 16)).transpose(1, 2) for part in heads)
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))


class Net(nn.Module):
    """Tokens and positions, two blocks, the next token of each step."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(64, 32), nn.Embedding(64, 32)
        self.blocks = nn.Sequential(Block(), Block())
        self.norm, self.head = nn.LayerNorm(32), nn.Linear(32, 64)

    def forward(self, x: Any) -> Any:
        """Return the logits (batch, steps, 64) of tokens (batch, steps)."""
        places = torch.arange(x.shape[1])
        return self.head(self.norm(self.blocks(self.tokens(x) + self.positions(places))))


def loss_of(model: Any, x: Any, y: Any) -> Any:
    """Return the mean cross-entropy of the steps whose label is not -1."""
    logits = model(x.long()).flatten(0, 1)
    return functional.cross_entropy(logits, y.flatten(), ignore_index=-1)


def build(mode: str) -> Callable[[Sequence[Any]], Sequence[float]]:
    """Return the training loop; `mode` is eager or compile."""
    return adam_loop(mode, Net(), loss_of, lr=0.003)
