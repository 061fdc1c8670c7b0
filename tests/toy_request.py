"""What a run of the toys is asked for, unless a test says otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.runner.request import Request, request


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
    return request(**(usual | changes))
