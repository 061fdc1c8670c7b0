"""TensorFlow's own flags, read back: tests/frameworks/ holds them against expected.toml."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tensorflow.python.framework.config import is_op_determinism_enabled

from frameworks.tensorflow import adapter


def deterministic() -> dict[str, Any]:
    """Return the flag that makes operations deterministic."""
    return {"operators": is_op_determinism_enabled()}


def precision(name: str) -> dict[str, Any]:
    """Apply a precision as the adapter does; return the flag of its arithmetic."""
    adapter.apply_precision(name)
    return {"tf32": tf.config.experimental.tensor_float_32_execution_enabled()}
