"""Runs the scripts of workflows as their services do, with stand-ins for programs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def program(path: Path, body: str) -> None:
    """Make a program of a shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def run(
    script: str, folder: Path, timeout: float = 60, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a step in a folder, with `variables` on top of the environment."""
    return subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=folder,
        env={**os.environ, **variables},
        timeout=timeout,
        capture_output=True,
        text=True,
    )
