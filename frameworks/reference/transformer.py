"""What transformers are made of: tokens' vectors, positions, patches of images, attention."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from frameworks.reference.arithmetic import Arithmetic
from frameworks.reference.function import Function, bias_gradient, norm
from workloads import layers as spec


def product(a: NDArray, b: NDArray, arithmetic: Arithmetic) -> NDArray:
    """Return a b, (..., n, k) by (..., k, m), as the arithmetic has it; both are its operands already."""
    return arithmetic.product(
        a @ b, a.shape[-1], lambda: norm(a, -1)[..., :, None] * norm(b, -2)[..., None, :]
    )


class Embedding(Function):
    """Each token's row; the gradient of a row is the sum of dy over all places of its token.

    That of the padding's row is zero.
    """

    layer: spec.Embedding

    def forward(self, x: NDArray) -> NDArray:
        self.x = x.astype(np.int64)
        return self.parameters["weight"][self.x]

    def backward(self, dy: NDArray) -> NDArray:
        weight = self.parameters["weight"]
        d_weight = np.zeros_like(weight)
        rows, order = dy.reshape(-1, weight.shape[1]), np.argsort(self.x, axis=None, kind="stable")
        tokens, starts = np.unique(self.x.ravel()[order], return_index=True)
        for token, places in zip(tokens, np.split(order, starts[1:]), strict=True):
            d_weight[token] = self.arithmetic.sum(rows[places], 0)
        if self.layer.padding is not None:
            d_weight[self.layer.padding] = 0
        self.gradients = {"weight": d_weight}
        self.terms = {"weight": float(np.linalg.norm(dy)) * math.sqrt(self.x.size)}
        return np.zeros(self.x.shape, dy.dtype)


class Positions(Function):
    """y = x + weight, the same for each example; sinusoids are float32, as frameworks have them."""

    layer: spec.Positions

    def forward(self, x: NDArray) -> NDArray:
        return self.arithmetic.each(x + self.table(x))

    def table(self, x: NDArray) -> NDArray:
        """Return what is added to each example, (steps, features)."""
        if self.layer.encoding == spec.LEARNED:
            return self.parameters["weight"]
        return self.arithmetic.store(spec.sinusoids(*x.shape[1:])).astype(x.dtype)

    def backward(self, dy: NDArray) -> NDArray:
        if self.layer.encoding == spec.LEARNED:
            self.gradients = {"weight": self.arithmetic.sum(dy, 0)}
            self.terms = {"weight": float(np.linalg.norm(dy)) * math.sqrt(len(dy))}
        return dy


class Patches(Function):
    """Squares of an image, row by row, each with its elements in the order channel, row, column."""

    layer: spec.Patches

    def forward(self, x: NDArray) -> NDArray:
        size = self.layer.size
        batch, channels, height, width = x.shape
        self.cut = (batch, channels, height // size, size, width // size, size)
        return (
            x.reshape(self.cut).transpose(0, 2, 4, 1, 3, 5).reshape(batch, -1, channels * size**2)
        )

    def backward(self, dy: NDArray) -> NDArray:
        batch, channels, rows, size, columns, _ = self.cut
        patches = dy.reshape(batch, rows, columns, channels, size, size)
        return patches.transpose(0, 3, 1, 4, 2, 5).reshape(batch, channels, rows * size, -1)


class Attention(Function):
    """Multi-head self-attention; `mask`, (batch, heads, steps, steps), is set before each forward.

    With a = softmax(s), s = q k^T / sqrt(d), and da the gradient of a, that of s is
    a (da - sum(a da)), the sum being over the steps of k.
    """

    layer: spec.Attention

    def forward(self, x: NDArray) -> NDArray:
        return self._forward(x, self.mask if self.layer.dropout else None)

    def infer(self, x: NDArray) -> NDArray:
        return self._forward(x, None)

    def _forward(self, x: NDArray, mask: NDArray | None) -> NDArray:
        operand, rounded = self.arithmetic.operand, self.arithmetic.each
        self.x, self.shape = operand(x.reshape(-1, x.shape[2])), x.shape
        self.q, self.k, self.v = (self._heads(self._project(self.x, part)) for part in "qkv")
        scores = self._product(operand(self.q), np.swapaxes(operand(self.k), -1, -2))
        self.a = self._softmax(rounded(scores * self._scale, roundings=2))
        # What the mask lets pass, of what is made of a.
        self.passed = None if mask is None else mask / (1 - self.layer.dropout)
        self.dropped = self.a if self.passed is None else rounded(self.a * self.passed)
        self.o = self._product(operand(self.dropped), operand(self.v))
        self.joined = operand(self._joined(self.o))
        return self._project(self.joined, "o").reshape(x.shape)

    def backward(self, dy: NDArray) -> NDArray:
        operand, rounded = self.arithmetic.operand, self.arithmetic.each
        self.gradients, self.terms = {}, {}
        d_o = self._heads(self._back(dy.reshape(-1, dy.shape[2]), self.joined, "o"))
        read = operand(d_o)
        d_v = self._product(np.swapaxes(operand(self.dropped), -1, -2), read)
        d_a = self._product(read, np.swapaxes(operand(self.v), -1, -2))
        if self.passed is not None:
            d_a = rounded(d_a * self.passed)
        # Fused kernels take the sum of a da as that of o do over a head's features: it is the same.
        total = self.arithmetic.product(
            self.arithmetic.sum(self.a * d_a, -1, keepdims=True),
            self.o.shape[-1],
            lambda: (norm(self.o, -1) * norm(d_o, -1))[..., None],
        )
        d_scores = rounded(self.a * (d_a - total), self.a * (np.abs(d_a) + np.abs(total)), 2)
        d_scores = operand(rounded(d_scores * self._scale))
        d_q = self._product(d_scores, operand(self.k))
        d_k = self._product(np.swapaxes(d_scores, -1, -2), operand(self.q))
        parts = {"q": d_q, "k": d_k, "v": d_v}
        through = [self._back(self._joined(d), self.x, part) for part, d in parts.items()]
        sizes = np.abs(through).sum(axis=0)
        return rounded(np.sum(through, axis=0), sizes, 2).reshape(self.shape)

    @property
    def _scale(self) -> float:
        return 1 / math.sqrt(self.shape[2] // self.layer.heads)

    def seen(self, steps: int) -> NDArray[np.bool_]:
        """Return which steps, of the last axis, each step sees: (steps, steps)."""
        return np.tri(steps, dtype=bool) if self.layer.causal else np.ones((steps, steps), bool)

    def _softmax(self, scores: NDArray) -> NDArray:
        """Return the softmax over the last axis, of the steps that a step sees."""
        rounded, steps = self.arithmetic.each, scores.shape[-1]
        seen = self.seen(steps)
        highest = np.where(seen, scores, -np.inf).max(axis=-1, keepdims=True)
        # An error in an exponent is a relative error of its exponential.
        size = np.abs(scores) + np.abs(highest)
        shifted = np.where(seen, rounded(scores - highest, size), 0)
        exponents = np.where(seen, self.arithmetic.function(np.exp(shifted)), 0)
        return rounded(exponents / self.arithmetic.sum(exponents, -1, keepdims=True), roundings=4)

    def _product(self, a: NDArray, b: NDArray) -> NDArray:
        return product(a, b, self.arithmetic)

    def _project(self, x: NDArray, part: str) -> NDArray:
        """Return x W^T + b, (rows, features)."""
        weight = self.arithmetic.operand(self.parameters[f"weight_{part}"]).T
        y = x @ weight
        if f"bias_{part}" in self.parameters:
            y += self.parameters[f"bias_{part}"]
        return self.arithmetic.product(y, x.shape[1], lambda: norm(x, 1)[:, None] * norm(weight, 0))

    def _back(self, dy: NDArray, x: NDArray, part: str) -> NDArray:
        """Return the gradient of a projection's x; leave those of its weight and bias."""
        weight, bias = f"weight_{part}", f"bias_{part}"
        read, size = self.arithmetic.operand(dy), float(np.linalg.norm(dy))
        self.gradients[weight] = self._product(read.T, x)
        self.terms[weight] = size * float(np.linalg.norm(x))
        if bias in self.parameters:
            # By example, then by step.
            per_example = dy.reshape(self.shape)
            self.gradients[bias] = bias_gradient(self.arithmetic, per_example, (0, 1))
            self.terms[bias] = size * math.sqrt(len(dy))
        return self._product(read, self.arithmetic.operand(self.parameters[weight]))

    def _heads(self, x: NDArray) -> NDArray:
        """(rows, features) to (batch, heads, steps, head's features)."""
        batch, steps, _ = self.shape
        return x.reshape(batch, steps, self.layer.heads, -1).transpose(0, 2, 1, 3)

    def _joined(self, x: NDArray) -> NDArray:
        """(batch, heads, steps, head's features) to (rows, features)."""
        return x.transpose(0, 2, 1, 3).reshape(-1, self.shape[2])


FUNCTIONS: dict[type[spec.Layer], type[Function]] = {
    spec.Embedding: Embedding,
    spec.Positions: Positions,
    spec.Patches: Patches,
    spec.Attention: Attention,
}
