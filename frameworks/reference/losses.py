"""The losses: each returns the mean over the batch, and its gradient with respect to the logits.

Logits are (batch, classes), labels (batch,); the gradient has the logits' shape and dtype.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def cross_entropy(
    logits: NDArray, labels: NDArray[np.int64], label_smoothing: float = 0.0
) -> tuple[float, NDArray]:
    """Return mean(logsumexp(z) - sum_k t_k z_k) and (softmax(z) - t) / batch.

    t = (1 - label_smoothing) one_hot(label) + label_smoothing / classes (Szegedy et al. 2016,
    section 7). As t sums to 1, both are the same for z minus its maximum, whose exponentials are
    at most 1.
    """
    shifted = logits - logits.max(axis=1, keepdims=True)
    exponents = np.exp(shifted)
    sums = exponents.sum(axis=1, keepdims=True)
    target = np.full_like(logits, label_smoothing / logits.shape[1])
    target[np.arange(len(labels)), labels] += 1 - label_smoothing
    loss = np.mean(np.log(sums[:, 0]) - np.sum(target * shifted, axis=1))
    return float(loss), (exponents / sums - target) / len(labels)


def mean_squared_error(
    logits: NDArray, labels: NDArray[np.int64], label_smoothing: float = 0.0
) -> tuple[float, NDArray]:
    """Return mean(1/2 sum_k (z_k - t_k)^2), t the one-hot label, and (z - t) / batch.

    The spec smooths labels in cross-entropy only: `label_smoothing` has no effect here.
    """
    difference = logits.copy()
    difference[np.arange(len(labels)), labels] -= 1
    loss = np.mean(0.5 * np.sum(difference**2, axis=1))
    return float(loss), difference / len(labels)


LOSSES = {"cross-entropy": cross_entropy, "mean-squared-error": mean_squared_error}
