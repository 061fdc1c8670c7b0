"""Values as JSON that every reader takes, and a hash of them."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


def strict(value: Any) -> Any:
    """Return `value` as JSON can hold it: no NaN, no infinity, no numpy, no paths."""
    if isinstance(value, np.generic | np.ndarray):
        return strict(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def digest(value: Any, digits: int) -> str:
    """Return so many hex digits that stand for a value as JSON holds it, whatever its keys' order."""
    text = json.dumps(strict(value), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:digits]
