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
