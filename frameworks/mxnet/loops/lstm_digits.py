"""lstm-digits in plain Gluon, net and loss in one block: what the adapter is held against.

Strict: it has what its best users know (one static graph, arrays shared with NumPy, one wait).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mxnet import gluon
from mxnet.gluon import nn, rnn

from frameworks.mxnet.plain import adam_loop


class NetAndLoss(gluon.HybridBlock):
    """Each row of an 8x8 image is a step; the last step decides. With its loss, it is one graph."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.fc = rnn.LSTM(64, input_size=8), nn.Dense(10)
        self.loss = gluon.loss.SoftmaxCrossEntropyLoss()

    def hybrid_forward(self, F: Any, x: Any, labels: Any) -> Any:  # noqa: N803
        """Return the loss of each example; x is (batch, 1, 8, 8), the LSTM takes steps first."""
        steps = F.transpose(F.reshape(x, (0, 8, 8)), (1, 0, 2))
        last = F.slice_axis(self.lstm(steps), axis=0, begin=-1, end=None)
        return self.loss(self.fc(F.reshape(last, (-1, 64))), labels)


def build(mode: str) -> Callable[[Sequence[Any]], Sequence[float]]:
    """Return the training loop; `mode` is imperative or hybrid."""
    return adam_loop(mode, NetAndLoss(), learning_rate=0.003)
