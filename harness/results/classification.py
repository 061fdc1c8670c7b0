"""How good predictions are: accuracy, precision, recall, F1, confusion. By scikit-learn."""

from __future__ import annotations

import base64
import binascii
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

MOST_NATS = 700.0
"""What is more has an exponential that no float holds."""


def score(labels: ArrayLike, predictions: ArrayLike, classes: int) -> dict[str, Any]:
    """Compare predicted classes with the labels, both (N,) integers from 0 to `classes` - 1.

    Returns plain numbers and lists: `accuracy`; `precision`, `recall` and `f1` as plain means over
    all `classes` (macro); `per_class`, the same and the `support` of each; `confusion`, rows by
    label, columns by prediction. What would divide by zero counts as 0.

    Raises:
        ValueError: no examples, different lengths, or a class that does not exist.
    """
    truth, guess = (
        _checked("labels", labels, classes),
        _checked("predictions", predictions, classes),
    )
    if truth.shape != guess.shape:
        raise ValueError(
            f"{len(guess)} predictions for {len(truth)} labels: one for each is needed"
        )
    class_ids = range(classes)
    columns = precision_recall_fscore_support(truth, guess, labels=class_ids, zero_division=0)
    precision, recall, f1, support = (column.tolist() for column in columns)
    return {
        "accuracy": float(accuracy_score(truth, guess)),
        "precision": float(np.mean(precision)),
        "recall": float(np.mean(recall)),
        "f1": float(np.mean(f1)),
        "per_class": [
            {"precision": p, "recall": r, "f1": f, "support": n}
            for p, r, f, n in zip(precision, recall, f1, support, strict=True)
        ],
        "confusion": confusion_matrix(truth, guess, labels=class_ids).tolist(),
    }


def perplexity(cross_entropy: float) -> float:
    """Return exp of the mean cross-entropy in nats: as unsure as among so many classes alike."""
    return math.exp(cross_entropy) if cross_entropy < MOST_NATS else math.inf


def _checked(what: str, values: ArrayLike, classes: int) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 1 or not array.size or not np.issubdtype(array.dtype, np.integer):
        raise ValueError(
            f"{what}: {array.dtype} of shape {array.shape}; give integers of shape (examples,)"
        )
    if array.min() < 0 or array.max() >= classes:
        raise ValueError(f"{what}: from {array.min()} to {array.max()}, not in 0 to {classes - 1}")
    return array


def pack(correct: ArrayLike) -> str:
    """Return (N,) booleans as a text: eight a byte, in base64."""
    return base64.b64encode(np.packbits(np.asarray(correct, dtype=bool)).tobytes()).decode()


def unpack(text: str, count: int) -> NDArray[np.bool_]:
    """Return the `count` booleans that `pack` made a text of. Raises ValueError where it is none."""
    try:
        held = np.frombuffer(base64.b64decode(text, validate=True), dtype=np.uint8)
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from error
    if held.size != -(-count // 8):
        raise ValueError(f"{held.size} bytes for {count} booleans")
    return np.unpackbits(held, count=count).astype(bool)
