"""The options of a check of the toys, and what it will check."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.gate.evaluate import Check
from harness.runner.request import Request


def options(root: Path, **changes: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {
        "frameworks": ["all"],
        "workloads": ["mlp-2-3-2"],
        "modes": [],
        "device": "auto",
        "dtype": "float32",
        "threads": None,
        "seed": None,
        "data": "real",
        "data_dir": None,
        "interpreters": {},
        "out": root / "results",
        "root": root,
        "threshold": 0.03,
        "margin": 0.005,
        "budget": None,
        "epochs": None,
        "steps": None,
        "parity_steps": 3,
    }
    return {**usual, **changes}


def check_of(made: Request) -> Check:
    """What the run is to check, as its manifest will hold it."""
    return Check(**made.extra_manifest["check"])
