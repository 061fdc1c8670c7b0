"""The arrays of the tests of arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

FILE = 'file = "my.npz"'
SPLIT = f"{FILE}\ntest = 0.25"
LABELS = np.arange(8) % 2
VECTORS = np.arange(24, dtype=np.float32).reshape(8, 3)


def whole(**changes: Any) -> dict[str, Any]:
    return {"inputs": VECTORS, "labels": LABELS} | changes
