"""MXNet's own flags, which are variables: tests/frameworks/ holds them against expected.toml."""

from __future__ import annotations

import os
from typing import Any

NAMES = ("MXNET_ENFORCE_DETERMINISM", "MXNET_CUDNN_AUTOTUNE_DEFAULT")


def deterministic() -> dict[str, Any]:
    """Return the variables that make algorithms deterministic, those that are set."""
    return {name: os.environ[name] for name in NAMES if name in os.environ}
