"""cifar-cnn in plain Gluon, net and loss in one block: what the adapter is held against.

Strict: it has what its best users know (one static graph, arrays shared with NumPy, one wait).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mxnet as mx
from mxnet import autograd, gluon
from mxnet.gluon import nn


class NetAndLoss(gluon.HybridBlock):
    """The classic tutorial net, and its loss, so that hybridising makes one graph of both."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.loss = nn.HybridSequential(), gluon.loss.SoftmaxCrossEntropyLoss()
        self.net.add(
            nn.Conv2D(6, 5, activation="relu"),
            nn.MaxPool2D(2, 2),
            nn.Conv2D(16, 5, activation="relu"),
            nn.MaxPool2D(2, 2),
            nn.Dense(120, activation="relu"),
            nn.Dense(84, activation="relu"),
            nn.Dense(10),
        )

    def hybrid_forward(self, F: Any, x: Any, labels: Any) -> Any:  # noqa: N803
        """Return the loss of each example; x is NCHW."""
        return self.loss(self.net(x), labels)


def build(mode: str) -> Callable[[Sequence[Any]], Sequence[float]]:
    """Return the training loop; `mode` is imperative or hybrid."""
    model = NetAndLoss()
    model.initialize(mx.init.Xavier())
    if mode == "hybrid":
        model.hybridize(static_alloc=True, static_shape=True)
    options = {"learning_rate": 0.001, "momentum": 0.9}
    trainer = gluon.Trainer(model.collect_params(), "sgd", options, kvstore=None)

    def train(batches: Sequence[Any]) -> Sequence[float]:
        losses = []
        for inputs, labels, _ in batches:
            # A view each: from_numpy makes what it is given read-only.
            x, y = mx.nd.from_numpy(inputs[:]), mx.nd.from_numpy(labels[:])
            with autograd.record():
                loss = model(x, y)
            loss.backward()
            trainer.step(len(inputs))
            losses.append(loss)
        mx.nd.waitall()
        return [float(loss.asnumpy().mean()) for loss in losses]

    return train
