"""JAX's own flags, read back: tests/frameworks/ holds them against expected.toml."""

from __future__ import annotations

from typing import Any

import jax
from jaxlib import _jax

from frameworks.jax import adapter


def deterministic() -> dict[str, Any]:
    """Return whether XLA itself, asked for its options, has the flag: it took the variable.

    They come as a protocol buffer; the flag is field 148 of xla.DebugOptions, a bool.
    """
    return {"operators": b"\xa0\x09\x01" in _jax.CompileOptions().SerializeAsString()}


def precision(name: str) -> dict[str, Any]:
    """Apply a precision as the adapter does; return the flag of its arithmetic."""
    adapter.apply_precision(name)
    return {"matmul": jax.config.jax_default_matmul_precision}
