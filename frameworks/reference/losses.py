"""The losses: each returns the mean over the batch, and its gradient with respect to the logits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def cross_entropy(logits: NDArray, labels: NDArray[np.int64]) -> tuple[float, NDArray]:
    """Return mean(logsumexp(z) - z[label]) and (softmax(z) - one_hot(label)) / batch."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    exponents = np.exp(shifted)
    sums = exponents.sum(axis=1, keepdims=True)
    rows = np.arange(len(labels))
    loss = np.mean(np.log(sums[:, 0]) - shifted[rows, labels])
    gradient = exponents / sums
    gradient[rows, labels] -= 1
    return float(loss), gradient / len(labels)


def mean_squared_error(logits: NDArray, labels: NDArray[np.int64]) -> tuple[float, NDArray]:
    """Return mean(1/2 sum_k (z_k - t_k)^2), t the one-hot label, and (z - t) / batch."""
    difference = logits.copy()
    difference[np.arange(len(labels)), labels] -= 1
    loss = np.mean(0.5 * np.sum(difference**2, axis=1))
    return float(loss), difference / len(labels)


LOSSES = {"cross-entropy": cross_entropy, "mean-squared-error": mean_squared_error}
