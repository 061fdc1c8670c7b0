"""Embedding, positions, patches and attention as Gluon blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from mxnet import gluon
from mxnet.gluon import nn

from workloads import layers as spec
from workloads.spec import Placed

UNSEEN = -1e9
"""What is added to the scores of steps that a step does not see: its exponential is 0."""


class Embedding(nn.Embedding):
    """nn.Embedding, but that no gradient goes to the row of the padding."""

    def __init__(self, layer: spec.Embedding) -> None:
        super().__init__(layer.tokens, layer.units)
        self._padding = layer.padding

    def hybrid_forward(self, F: Any, x: Any, weight: Any) -> Any:  # noqa: N803
        rows = super().hybrid_forward(F, x, weight)
        if self._padding is None:
            return rows
        is_padding = F.broadcast_like(F.expand_dims(x == self._padding, 2), rows)
        return F.where(is_padding, F.BlockGrad(rows), rows)


class Positions(gluon.HybridBlock):
    """A vector for each step of (batch, steps, features), learned or fixed."""

    def __init__(self, layer: spec.Positions, place: Placed) -> None:
        super().__init__()
        if layer.encoding == spec.LEARNED:
            self.weight = self.params.get("weight", shape=place.input)
        else:
            table = spec.sinusoids(*place.input).astype(np.float32)
            self.weight = self.params.get_constant("sinusoids", table)

    def hybrid_forward(self, F: Any, x: Any, weight: Any) -> Any:  # noqa: N803
        return F.broadcast_add(x, F.expand_dims(weight, 0))


class Patches(gluon.HybridBlock):
    """Squares of images, row by row; within, channels first."""

    def __init__(self, size: int, place: Placed) -> None:
        super().__init__()
        channels, height, width = place.input
        self._cut = (-1, channels, height // size, size, width // size, size)
        self._steps = (-1, *place.output)

    def hybrid_forward(self, F: Any, x: Any) -> Any:  # noqa: N803
        squares = F.transpose(F.reshape(x, self._cut), (0, 2, 4, 1, 3, 5))
        return F.reshape(squares, self._steps)


class Attention(gluon.HybridBlock):
    """Multi-head self-attention by batched products, as GluonNLP's cells have it.

    Called with x (batch, steps, features) and, in training with dropout, a uint8 mask (batch, heads,
    steps, steps).
    """

    def __init__(self, layer: spec.Attention, place: Placed) -> None:
        super().__init__()
        self._steps, self._features = place.input
        self._heads, self._rate = layer.heads, layer.dropout
        for name, shape in layer.parameters(place.input).items():
            setattr(self, name, self.params.get(name, shape=shape))
        if layer.causal:
            unseen = np.triu(np.full((1, self._steps, self._steps), UNSEEN, np.float32), 1)
            self.unseen = self.params.get_constant("unseen", unseen)

    def hybrid_forward(self, F: Any, x: Any, mask: Any = None, **arrays: Any) -> Any:  # noqa: N803
        """Return (batch, steps, features); `arrays` are the weights, biases and what is unseen."""

        def project(x: Any, part: str) -> Any:
            weight, bias = arrays[f"weight_{part}"], arrays.get(f"bias_{part}")
            biases = (bias,) if bias is not None else ()
            size = self._features
            return F.FullyConnected(
                x, weight, *biases, num_hidden=size, no_bias=bias is None, flatten=False
            )

        q, k, v = (self._split(F, project(x, part)) for part in "qkv")
        # Scaled here and not by softmax's `temperature`, with which oneDNN's softmax is not taken:
        # it is twice to six times as fast, and as exact.
        scores = F.batch_dot(q * (self._features // self._heads) ** -0.5, k, transpose_b=True)
        if "unseen" in arrays:
            scores = F.broadcast_add(scores, arrays["unseen"])
        weights = F.softmax(scores, axis=-1)
        if mask is not None:
            scale = 1 / (1 - self._rate)
            scaled = F.reshape(F.cast(mask, "float32"), (-3, self._steps, self._steps)) * scale
            weights = weights * scaled
        y = F.reshape(F.batch_dot(weights, v), (-4, -1, self._heads, 0, 0))
        return project(F.reshape(F.transpose(y, (0, 2, 1, 3)), (0, 0, -3)), "o")

    def _split(self, F: Any, x: Any) -> Any:  # noqa: N803
        """(batch, steps, features) to (batch heads, steps, head's features)."""
        heads = F.reshape(x, (0, 0, self._heads, -1))
        return F.reshape(F.transpose(heads, (0, 2, 1, 3)), (-3, 0, 0))


def masked_mean(F: Any, losses: Any, labels: Any) -> Any:  # noqa: N803
    """Return the mean of (batch, steps) losses whose label is not -1, (1,)."""
    counted = F.cast(labels >= 0, "float32")
    return F.sum(losses * counted) / F.sum(counted)


TRANSFORMER: dict[type[spec.Layer], Callable[[Any, Placed], gluon.HybridBlock]] = {
    spec.Embedding: lambda x, place: Embedding(x),
    spec.Positions: Positions,
    spec.Patches: lambda x, place: Patches(x.size, place),
    spec.Attention: lambda x, place: Attention(x, place),
}
