"""What a run of the toys is asked for, unless a test says otherwise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.runner.context import Measuring
from harness.runner.request import Options, Request, request

BRIEF = Measuring(
    launches=1, rounds=3, seconds=0.02, warm_seconds=0.01, warm_portions=12, untimed_seconds=0.02
)
"""So little that the figures mean nothing: for tests of what a run does."""


def toy_request(root: Path, **changes: Any) -> Request:
    """Return the request of a run of all the toys of `root` on the smallest net."""
    usual: dict[str, Any] = {
        "frameworks": ["all"],
        "workloads": ["mlp-2-3-2"],
        "modes": [],
        "device": "cpu",
        "threads": 1,
        "seed": None,
        "data": "real",
        "data_dir": None,
        "interpreters": {},
        "out": root / "results",
        "command": ["python", "cli.py", "run"],
        "root": root,
    }
    return request(Options(**(usual | changes)))


def brief_request(root: Path, measuring: Measuring = BRIEF, **changes: Any) -> Request:
    """Return such a request of a run that is timed as `measuring` says."""
    return replace(toy_request(root, **changes), measuring=measuring)
