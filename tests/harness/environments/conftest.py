"""A toy framework that builders build."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.environments.framework_spec import FrameworkSpec
from tests.wheels import wheel

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def spec(wheels: Path, tmp_path: Path) -> FrameworkSpec:
    """A toy framework that can be built for the CPU."""
    folder = tmp_path / "frameworks" / "toy"
    folder.mkdir(parents=True)
    lines = wheel(wheels, "numpy", "2.0") + wheel(wheels, "toyframe", "1.5")
    (folder / "cpu.txt").write_text(lines, encoding="utf-8")
    return FrameworkSpec(
        name="toy",
        folder=folder,
        title="Toy",
        python=PYTHON,
        packages=("toyframe",),
        module="toyframe",
        modes=("eager",),
        devices=("cpu",),
        requirements={"cpu": ("toyframe==1.5", "numpy")},
        locks={"cpu": ("cpu.txt",)},
        variables={"TOY": "{threads}"},
        limits=("CPU only: it is a toy.",),
    )
