"""The script that simulates a large matrix, on a small one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import ROOT


@pytest.mark.slow
def test_a_small_matrix_is_planned_merged_and_reported() -> None:
    command = [sys.executable, "benchmarks/matrix_scale.py", "--units", "100"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "100 units:" in done.stdout and done.stdout.count("matrix report") == 3
