"""vit-digits in plain Gluon, net and loss in one block: what the adapter is held against.

Strict: it has what its best users know (one static graph, one product for q, k and v, one wait).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mxnet import gluon
from mxnet.gluon import nn

from frameworks.mxnet.plain import adam_loop


class Block(gluon.HybridBlock):
    """A pre-norm block of 4 heads, after GluonNLP's cells."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(in_channels=32), nn.LayerNorm(in_channels=32)
        self.qkv = nn.Dense(96, flatten=False, in_units=32)
        self.out = nn.Dense(32, flatten=False, in_units=32)
        self.up = nn.Dense(64, flatten=False, in_units=32)
        self.gelu, self.down = nn.GELU(), nn.Dense(32, flatten=False, in_units=64)

    def hybrid_forward(self, F: Any, x: Any) -> Any:  # noqa: N803
        """Keep x's shape, (batch, 16, 32)."""
        qkv = F.reshape(self.qkv(self.norm1(x)), (0, 0, 3, 4, 8))
        parts = F.split(F.transpose(qkv, (2, 0, 3, 1, 4)), 3, axis=0, squeeze_axis=True)
        q, k, v = (F.reshape(part, (-3, 0, 0)) for part in parts)
        scores = F.batch_dot(q * 8**-0.5, k, transpose_b=True)
        y = F.reshape(F.batch_dot(F.softmax(scores), v), (-4, -1, 4, 0, 0))
        x = x + self.out(F.reshape(F.transpose(y, (0, 2, 1, 3)), (0, 0, -3)))
        return x + self.down(self.gelu(self.up(self.norm2(x))))


class NetAndLoss(gluon.HybridBlock):
    """Patches of 2x2, positions, two blocks, the mean over the steps. With its loss, it is one graph."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Dense(32, flatten=False, in_units=4)
        self.positions = self.params.get("positions", shape=(1, 16, 32))
        self.blocks, self.norm, self.head = nn.HybridSequential(), nn.LayerNorm(), nn.Dense(10)
        self.blocks.add(Block(), Block())
        self.loss = gluon.loss.SoftmaxCrossEntropyLoss()

    def hybrid_forward(self, F: Any, x: Any, labels: Any, positions: Any) -> Any:  # noqa: N803
        """Return the loss of each example; x is (batch, 1, 8, 8)."""
        x = F.transpose(F.reshape(x, (-1, 4, 2, 4, 2)), (0, 1, 3, 2, 4))
        x = F.broadcast_add(self.patches(F.reshape(x, (-1, 16, 4))), positions)
        return self.loss(self.head(F.mean(self.norm(self.blocks(x)), axis=1)), labels)


def build(mode: str) -> Callable[[Sequence[Any]], Sequence[float]]:
    """Return the training loop; `mode` is imperative or hybrid."""
    return adam_loop(mode, NetAndLoss(), learning_rate=0.002)
