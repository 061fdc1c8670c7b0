"""Every framework's kernels and profiler do what the contract says, in its own environment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from frameworks.kernels import numpy_kernels
from tests.frameworks import inside
from tests.frameworks.inside import RECIPES

SCRIPT = Path(__file__).with_name("check_instruments.py")


@pytest.mark.parametrize("framework", RECIPES)
def test_kernels_do_all_their_work_before_they_return(framework: str, tmp_path: Path) -> None:
    mode = RECIPES[framework].modes[0]
    told = inside.run(framework, tmp_path, SCRIPT, "kernels", framework, mode)
    rates = json.loads(told.splitlines()[-1])
    assert {"float32 product", "copy"} <= set(rates)
    # No core reaches these: a copy that only shares memory, or a product that is not waited for, does.
    assert 1e9 < rates["float32 product"] < 2e12
    assert 1e8 < rates["copy"] < 2e11
    assert 1e8 < rates.get("bfloat16 product", 1e9) < 2e13


def test_the_common_kernels_compute() -> None:
    kernels = numpy_kernels()
    for kernel in kernels.values():
        kernel.run()
    assert kernels["float32 product"].amount == 2 * 2048**3
    assert kernels["copy"].amount == 2 * 2**28
