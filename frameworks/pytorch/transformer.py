"""Embedding, positions, patches and attention as PyTorch's modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from workloads import layers as spec
from workloads.layers import Shape


class Embedding(nn.Embedding):
    """nn.Embedding of tokens that come as float32."""

    def forward(self, x: Tensor) -> Tensor:
        """(batch, steps) to (batch, steps, units)."""
        return super().forward(x.long())


class Positions(nn.Module):
    """A vector for each step, learned or fixed."""

    weight: Tensor

    def __init__(self, layer: spec.Positions, shape: Shape) -> None:
        super().__init__()
        if layer.encoding == spec.LEARNED:
            self.weight = nn.Parameter(torch.empty(shape))
        else:
            table = torch.tensor(spec.sinusoids(*shape), dtype=torch.float32)
            self.register_buffer("weight", table, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Keep x's shape, (batch, steps, features)."""
        return x + self.weight


class Patches(nn.Module):
    """Squares of an image, row by row."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) to (batch, steps, channels size size)."""
        squares = x.unflatten(3, (-1, self.size)).unflatten(2, (-1, self.size))
        return squares.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


class Attention(nn.Module):
    """Multi-head self-attention by the fused kernel, but where a mask of dropout comes with the batch.

    `mask`: uint8, (batch, heads, steps, steps), put here by the mode.
    """

    mask: Tensor

    def __init__(self, layer: spec.Attention, shape: Shape) -> None:
        super().__init__()
        self._heads, self._causal, self._rate = layer.heads, layer.causal, layer.dropout
        for name, parameter_shape in layer.parameters(shape).items():
            self.register_parameter(name, nn.Parameter(torch.empty(parameter_shape)))
        for name in {"bias_q", "bias_k", "bias_v", "bias_o"} - layer.parameters(shape).keys():
            self.register_parameter(name, None)
        if self._rate:
            empty = torch.empty(0, dtype=torch.uint8)
            self.register_buffer("mask", empty, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Keep x's shape, (batch, steps, features)."""
        q = self._split(functional.linear(x, self.weight_q, self.bias_q))
        k = self._split(functional.linear(x, self.weight_k, self.bias_k))
        v = self._split(functional.linear(x, self.weight_v, self.bias_v))
        if self._rate and self.training:
            y = self._dropped(q, k) @ v
        else:
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=self._causal)
        return functional.linear(y.transpose(1, 2).flatten(2), self.weight_o, self.bias_o)

    def _split(self, x: Tensor) -> Tensor:
        """(batch, steps, features) to (batch, heads, steps, head's features)."""
        return x.unflatten(2, (self._heads, -1)).transpose(1, 2)

    def _dropped(self, q: Tensor, k: Tensor) -> Tensor:
        """Return the weights of attention that the mask lets pass, scaled up."""
        scores = q @ k.transpose(2, 3) * q.shape[3] ** -0.5
        if self._causal:
            unseen = torch.ones(scores.shape[2:], dtype=torch.bool, device=q.device).triu(1)
            scores = scores.masked_fill(unseen, -torch.inf)
        return scores.softmax(3) * (self.mask * (1 / (1 - self._rate)))


def masked_cross_entropy(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Return the mean over all steps whose label is not -1."""
    return functional.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), ignore_index=-1, label_smoothing=label_smoothing
    )


TRANSFORMER: dict[type[spec.Layer], Callable[[Any, Shape], nn.Module]] = {
    spec.Embedding: lambda x, shape: Embedding(x.tokens, x.units, x.padding),
    spec.Positions: Positions,
    spec.Patches: lambda x, shape: Patches(x.size),
    spec.Attention: Attention,
}
