"""A run's manifest: what was asked for, where, with what; known before anything is timed."""

from __future__ import annotations

import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from harness.machine import devices, host
from harness.machine.energy import Meter
from harness.runner.request import Request


def of(asked: Request, root: Path) -> dict[str, Any]:
    """Return the manifest of the run that was asked for; `root` is the project's."""
    return {
        "samestep": _version(),
        "command": list(asked.command),
        "git_commit": _git_commit(root),
        "machine": host.describe(),
        "energy": _energy(meter(asked)),
        "options": {
            **asked.options,
            "steps": asked.steps,
            "threads": asked.threads,
            "seed": asked.seed,
            "parity_steps": asked.parity_steps,
            "only_parity": asked.only_parity,
            "deterministic": asked.deterministic,
            "launches": asked.measuring.launches,
            "rounds": asked.measuring.rounds,
            "slice_seconds": asked.measuring.seconds,
            "budget": asked.measuring.budget,
            "precision": asked.measuring.precision,
            "open_ended": asked.measuring.open_ended,
        },
        "workloads": {workload.name: workload.to_dict() for workload in asked.workloads},
        "cells": [cell.id for cell in asked.cells],
        **asked.extra_manifest,
    }


def _version() -> str:
    """Return the installed version, or that nothing is installed: a folder of sources runs too."""
    try:
        return version("samestep")
    except PackageNotFoundError:
        return "from source"


def meter(asked: Request) -> Meter:
    """Count the processor packages and the cards of this run; all cards where theirs is not known."""
    used = [devices.index(one) for one in asked.devices if devices.kind(one) == devices.CUDA]
    return Meter(None if None in used else [one for one in used if one is not None])


def _energy(meter: Meter) -> dict[str, Any]:
    return {"sources": meter.sources, "reason": meter.reason}


def _git_commit(root: Path) -> str | None:
    """Return the checkout's commit, with "+" where files differ from it; None outside git."""
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty=+"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
