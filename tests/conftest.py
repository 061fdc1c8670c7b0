"""What several rooms' tests share: a project of its own with a toy framework, and small workloads."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from workloads import spec

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def toy_root(tmp_path: Path) -> Path:
    """A copy of the project that has two frameworks: the reference, and the toy `faulty`."""
    root = tmp_path / "project"
    hidden = shutil.ignore_patterns("__pycache__", "jax", "mxnet", "pytorch", "tensorflow")
    for room in ("workloads", "frameworks", "harness"):
        shutil.copytree(ROOT / room, root / room, ignore=hidden)
    shutil.copytree(ROOT / "tests" / "toys" / "faulty", root / "frameworks" / "faulty")
    shutil.copy(ROOT / "cli.py", root)
    return root


@pytest.fixture
def toy_interpreters() -> dict[str, Path]:
    """This Python has numpy, which is all that the toys need."""
    return {"faulty": Path(sys.executable), "reference": Path(sys.executable)}


@pytest.fixture
def small() -> spec.Workload:
    """The textbook net, trained for one epoch of 50 steps."""
    return spec.load("mlp-2-3-2").with_data(epochs=1)
