"""What predictions are scored by, where their classes alone do not say it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def cross_entropies(logits: NDArray, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return logsumexp(z) - z_label of each step whose label is not -1, in order.

    `labels` are (N, steps), `logits` (N or more, steps, classes): what is more is left out.
    """
    counted = labels >= 0
    z = logits[: len(labels)][counted].astype(np.float64)
    z -= z.max(axis=1, keepdims=True)
    return np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), labels[counted]]


class Scores:
    """A test set's predictions as they come, in portions: the classes, and how sure they were."""

    def __init__(self, labels: NDArray[np.int64]) -> None:
        """`labels` are the test set's, (N,) or (N, steps)."""
        self._labels, self.portions, self.examples = labels, 0, 0
        self._classes: list[NDArray[np.int64]] = []
        self._losses: list[NDArray[np.float64]] = []

    def add(self, logits: NDArray) -> None:
        """Take in the logits of the examples that come next; what is behind the last is surplus.

        Raises:
            ArithmeticError: they are not finite.
        """
        if not np.isfinite(logits).all():
            raise ArithmeticError("logits that are not finite: the training diverged")
        labels = self._labels[self.examples : self.examples + len(logits)]
        self._classes.append(logits[: len(labels)].argmax(axis=-1))
        if labels.ndim == 2:
            self._losses.append(cross_entropies(logits, labels))
        self.portions, self.examples = self.portions + 1, self.examples + len(labels)

    def classes(self) -> NDArray[np.int64]:
        """Return the predicted classes, (N,); of a label a step, all steps one after the other."""
        return np.concatenate(self._classes).ravel()

    def cross_entropy(self) -> float | None:
        """Return the mean over all steps whose label is not -1; None with one label an example."""
        return float(np.concatenate(self._losses).mean()) if self._losses else None
