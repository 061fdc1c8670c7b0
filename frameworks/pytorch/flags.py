"""PyTorch's own flags, read back: tests/frameworks/ holds them against expected.toml."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch._inductor import config

from frameworks.pytorch import adapter


def deterministic() -> dict[str, Any]:
    """Return the flags that make algorithms deterministic."""
    workspace = os.environ.get("CUBLAS_WORKSPACE_CONFIG")
    return {
        "algorithms": torch.are_deterministic_algorithms_enabled(),
        "compiler": config.deterministic,
        "cudnn": torch.backends.cudnn.deterministic,
        "autotuning": torch.backends.cudnn.benchmark,
        **({"workspace": workspace} if workspace else {}),
    }


def precision(name: str) -> dict[str, Any]:
    """Apply a precision as the adapter does; return the flags of its arithmetic."""
    adapter.apply_precision(name)
    return {key: backend.fp32_precision for key, backend in adapter.precisions().items()}
