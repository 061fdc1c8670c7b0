"""A run's manifest: what was asked for, where, with what; known before anything is timed."""

from __future__ import annotations

import hashlib
import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from harness.environments import user_variables
from harness.environments.git import GitError, git
from harness.machine import devices, host, node
from harness.machine.energy import Meter
from harness.results import pairwise
from harness.runner.request import Request


def of(request: Request, root: Path) -> dict[str, Any]:
    """Return the manifest of a run; `root` is the project's folder."""
    return {
        "samestep": _version(),
        "command": list(request.command),
        "git_commit": _git_commit(root),
        "sources_sha256": _sources(root),
        "machine": host.describe(),
        "variables_left_out": user_variables.left_out(os.environ, request.kept_variables),
        "energy": _energy(meter(request)),
        "options": {
            **request.options,
            "steps": request.steps,
            "threads": request.threads,
            "seed": request.seed,
            "parity_steps": request.parity_steps,
            "only_parity": request.only_parity,
            "deterministic": request.deterministic,
            "kept_variables": request.kept_variables,
            "anonymous": request.anonymous,
            "seeds": request.seeds,
            "launches": request.measuring.launches,
            "rounds": request.measuring.rounds,
            "slice_seconds": request.measuring.seconds,
            "budget": request.measuring.budget,
            "precision": request.measuring.precision,
            "open_ended": request.measuring.open_ended,
            "level": pairwise.level(request.undecided is not None),
        },
        "workloads": {workload.name: workload.to_dict() for workload in request.workloads},
        "cells": [cell.id for cell in request.cells],
        **({"sweep": request.sweep.table()} if request.sweep else {}),
        **({"unit": unit} if (unit := node.unit()) else {}),
        **request.extra_manifest,
    }


def _version() -> str:
    """Return the installed version, or that nothing is installed: a folder of sources runs too."""
    try:
        return version("samestep")
    except PackageNotFoundError:
        return "from source"


def meter(request: Request) -> Meter:
    """Count the processor packages and the cards of this run; all cards where theirs is unknown."""
    cuda_devices = [name for name in request.devices if devices.kind(name) == devices.CUDA]
    numbers = [devices.index(name) for name in cuda_devices]
    return Meter(None if None in numbers else [n for n in numbers if n is not None])


def _energy(meter: Meter) -> dict[str, Any]:
    return {"sources": meter.sources, "reason": meter.reason}


def _sources(root: Path) -> str:
    """Return a hash of all that decides how a run goes: code, catalogue, framework specs and locks."""
    digest = hashlib.sha256()
    for part in ("workloads", "frameworks", "harness"):
        for path in sorted((root / part).rglob("*")):
            if path.suffix in (".py", ".toml", ".txt") and path.is_file():
                digest.update(f"{path.relative_to(root)}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def _git_commit(root: Path) -> str | None:
    """Return the checkout's commit, with "+" where files differ from it; None outside git."""
    try:
        line = git(root, "describe", "--always", "--abbrev=40", "--dirty=+")
    except GitError:
        return None  # `samestep doctor` says why
    return line.decode().strip() or None
