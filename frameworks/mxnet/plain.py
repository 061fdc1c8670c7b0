"""What the plain loops of `loops/` share in Gluon: training by Adam."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mxnet as mx
from mxnet import autograd, gluon


def adam_loop(
    mode: str, model: gluon.HybridBlock, learning_rate: float
) -> Callable[[Sequence[Any]], Sequence[float]]:
    """Return a training loop by Adam; `mode` is imperative or hybrid.

    `model` returns the losses of inputs and labels, (examples,) or (1,): a step is by their mean.
    """
    model.initialize(mx.init.Xavier())
    if mode == "hybrid":
        model.hybridize(static_alloc=True, static_shape=True)
    trainer = gluon.Trainer(
        model.collect_params(), "adam", {"learning_rate": learning_rate}, kvstore=None
    )

    def train(batches: Sequence[Any]) -> Sequence[float]:
        losses = []
        for inputs, labels, _ in batches:
            # A view each: from_numpy makes what it is given read-only.
            x, y = mx.nd.from_numpy(inputs[:]), mx.nd.from_numpy(labels[:])
            with autograd.record():
                loss = model(x, y)
            loss.backward()
            trainer.step(loss.size)
            losses.append(loss)
        mx.nd.waitall()
        return [float(loss.asnumpy().mean()) for loss in losses]

    return train
