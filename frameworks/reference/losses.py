"""The losses: each returns the mean over the batch, and its gradient with respect to the logits.

Logits are (batch, classes), labels (batch,), or both with steps after the batch; the gradient
has the logits' shape and dtype.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from frameworks.reference.arithmetic import EXACT, Arithmetic


def cross_entropy(
    logits: NDArray,
    labels: NDArray[np.int64],
    label_smoothing: float = 0.0,
    arithmetic: Arithmetic = EXACT,
) -> tuple[float, NDArray]:
    """Return mean(logsumexp(z) - sum_k t_k z_k) and (softmax(z) - t) / batch.

    t = (1 - label_smoothing) one_hot(label) + label_smoothing / classes (Szegedy et al. 2016,
    section 7). As t sums to 1, both are the same for z minus its maximum, whose exponentials are
    at most 1. With a label a step, (batch, steps), all steps count alike but those labelled -1.
    """
    if labels.ndim == 2:
        return _of_steps(logits, labels, label_smoothing, arithmetic)
    highest = logits.max(axis=1, keepdims=True)
    # An error in an exponent is a relative error of its exponential.
    shifted = arithmetic.each(logits - highest, np.abs(logits) + np.abs(highest))
    exponents = arithmetic.function(np.exp(shifted))
    sums = arithmetic.sum(exponents, 1, keepdims=True)
    target = np.full_like(logits, label_smoothing / logits.shape[1])
    target[np.arange(len(labels)), labels] += 1 - label_smoothing
    weighed = arithmetic.sum(target * shifted, 1)
    logs = np.log(sums[:, 0])
    losses = arithmetic.each(logs - weighed, np.abs(logs) + np.abs(weighed), 2)
    softmax = arithmetic.each(exponents / sums, roundings=2)
    gradient = arithmetic.each(softmax - target, softmax + target) / len(labels)
    return float(arithmetic.sum(losses, 0) / len(labels)), gradient


def _of_steps(
    logits: NDArray, labels: NDArray[np.int64], label_smoothing: float, arithmetic: Arithmetic
) -> tuple[float, NDArray]:
    """Return the loss of logits (batch, steps, classes), and its gradient: 0 where the label is -1."""
    counted, gradient = labels >= 0, np.zeros_like(logits)
    loss, gradient[counted] = cross_entropy(
        logits[counted], labels[counted], label_smoothing, arithmetic
    )
    return loss, gradient


def mean_squared_error(
    logits: NDArray,
    labels: NDArray[np.int64],
    label_smoothing: float = 0.0,
    arithmetic: Arithmetic = EXACT,
) -> tuple[float, NDArray]:
    """Return mean(1/2 sum_k (z_k - t_k)^2), t the one-hot label, and (z - t) / batch.

    The spec smooths labels in cross-entropy only: `label_smoothing` has no effect here.
    """
    difference = logits.copy()
    difference[np.arange(len(labels)), labels] -= 1
    difference = arithmetic.each(difference)
    losses = 0.5 * arithmetic.sum(np.square(difference), 1)
    return float(arithmetic.sum(losses, 0) / len(labels)), difference / len(labels)


LOSSES = {"cross-entropy": cross_entropy, "mean-squared-error": mean_squared_error}
