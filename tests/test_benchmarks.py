"""The scripts that make the docs' figures still run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.recipes import discover

ROOT = Path(__file__).resolve().parents[1]
RANKED = [recipe for recipe in discover().values() if not recipe.arbiter]


@pytest.mark.parametrize("name", [recipe.name for recipe in RANKED])
def test_overhead_measures_an_adapter_against_its_plain_loop(name: str) -> None:
    mode = discover()[name].modes[0]
    command = [sys.executable, "benchmarks/overhead.py", "--framework", name, "--mode", mode]
    short = ["--batch", "4", "--launches", "1", "--rounds", "1", "--slice", "0.05"]
    done = subprocess.run([*command, *short], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    row = done.stdout.splitlines()[-1].split()
    assert row[:3] == [name, mode, "4"]
    assert 0.2 < float(row[4]) < 5  # a ratio of two speeds of one and the same step


def test_every_framework_has_a_plain_loop() -> None:
    loops = {path.stem for path in (ROOT / "benchmarks" / "loops").glob("*.py")}
    assert loops == {recipe.name for recipe in RANKED}
