"""A data set's first test images, as the journal holds them: a report shows what was learnt of them."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from workloads.datasets import Arrays

MOST = 24
"""Images of a data set that are kept."""

ROOM = 200_000
"""Bytes that they may take: fewer are kept of large ones."""

CHANNELS = (1, 3)
"""Grey, and red, green and blue."""


def first(arrays: Arrays, top: int) -> dict[str, Any] | None:
    """Return the first test images with their labels, as JSON can hold them; None where there are none.

    `shape` is (images, channels, height, width), `data` their bytes in that order, as base64; `top`
    the value of full brightness. Points and synthetic data are no images.
    """
    inputs = arrays.open("test_inputs")
    if arrays.synthetic or inputs.dtype != np.uint8 or inputs.ndim != 4:
        return None
    count = min(MOST, len(inputs), ROOM // max(1, inputs[0].size))
    if not count or inputs.shape[1] not in CHANNELS:
        return None
    shown = inputs[:count]
    return {
        "shape": list(shown.shape),
        "top": top,
        "data": base64.b64encode(shown.tobytes()).decode(),
        "labels": arrays.open("test_labels")[:count].tolist(),
    }
