"""gpt-text in plain Gluon, net and loss in one block: what the adapter is held against.

Strict: it has what its best users know (one static graph, one product for q, k and v, one wait).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from mxnet import gluon
from mxnet.gluon import nn

from frameworks.mxnet.plain import adam_loop


class Block(gluon.HybridBlock):
    """A pre-norm causal block of 2 heads, after GluonNLP's cells."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(in_channels=32), nn.LayerNorm(in_channels=32)
        self.qkv = nn.Dense(96, flatten=False, in_units=32)
        self.out = nn.Dense(32, flatten=False, in_units=32)
        self.up = nn.Dense(64, flatten=False, in_units=32)
        self.gelu, self.down = nn.GELU(), nn.Dense(32, flatten=False, in_units=64)
        unseen = np.triu(np.full((1, 64, 64), -1e9, np.float32), 1)
        self.unseen = self.params.get_constant("unseen", unseen)

    def hybrid_forward(self, F: Any, x: Any, unseen: Any) -> Any:  # noqa: N803
        """Keep x's shape, (batch, 64, 32)."""
        qkv = F.reshape(self.qkv(self.norm1(x)), (0, 0, 3, 2, 16))
        parts = F.split(F.transpose(qkv, (2, 0, 3, 1, 4)), 3, axis=0, squeeze_axis=True)
        q, k, v = (F.reshape(part, (-3, 0, 0)) for part in parts)
        scores = F.batch_dot(q * 16**-0.5, k, transpose_b=True)
        scores = F.broadcast_add(scores, unseen)
        y = F.reshape(F.batch_dot(F.softmax(scores), v), (-4, -1, 2, 0, 0))
        x = x + self.out(F.reshape(F.transpose(y, (0, 2, 1, 3)), (0, 0, -3)))
        return x + self.down(self.gelu(self.up(self.norm2(x))))


class NetAndLoss(gluon.HybridBlock):
    """Tokens and positions, two blocks, the next token. With its loss, it is one graph."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(64, 32)
        self.positions = self.params.get("positions", shape=(1, 64, 32))
        self.blocks, self.norm = nn.HybridSequential(), nn.LayerNorm()
        self.blocks.add(Block(), Block())
        self.head = nn.Dense(64, flatten=False, in_units=32)
        self.loss = gluon.loss.SoftmaxCELoss()

    def hybrid_forward(self, F: Any, x: Any, labels: Any, positions: Any) -> Any:  # noqa: N803
        """Return the mean loss of the steps whose label is not -1, of tokens (batch, steps)."""
        x = self.blocks(F.broadcast_add(self.tokens(x), positions))
        counted = F.expand_dims(F.cast(labels >= 0, "float32"), 2)
        # It gives the mean over the steps of each example.
        losses = self.loss(self.head(self.norm(x)), labels, counted)
        return F.sum(losses) * 64 / F.sum(counted)


def build(mode: str) -> Callable[[Sequence[Any]], Sequence[float]]:
    """Return the training loop; `mode` is imperative or hybrid."""
    return adam_loop(mode, NetAndLoss(), learning_rate=0.003)
