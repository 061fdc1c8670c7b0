"""Every framework's arithmetic is what was asked for: by its own flags, and by what it computes."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from harness.parity import ReferenceRun, judge, run_reference
from harness.verdicts import NOT_EQUIVALENT
from tests.frameworks import inside
from tests.frameworks.expected import EXPECTED
from workloads import init, spec
from workloads.batches import Batch

SCRIPT = Path(__file__).with_name("check_precisions.py")
WORKLOADS = ("cnn-digits",)  # dense layers and convolutions
STEPS = 6


@pytest.mark.parametrize("framework", [name for name in EXPECTED if EXPECTED[name].precision])
def test_tf32_is_off_in_float32_and_on_in_tf32_by_the_frameworks_own_flags(framework: str) -> None:
    told = inside.run(framework, SCRIPT, "flags", framework)
    assert json.loads(told.splitlines()[-1]) == EXPECTED[framework].precision


@cache
def reference_run(name: str) -> ReferenceRun:
    """Inputs like the data set's, from a seed, and what is right for them."""
    workload, random = spec.load(name), np.random.default_rng(7)
    shape = (STEPS, workload.data.batch)
    inputs = random.standard_normal((*shape, *workload.input_shape), dtype=np.float32)
    labels = random.integers(0, workload.classes, shape)
    batches = [Batch(x, y) for x, y in zip(inputs, labels, strict=True)]
    return run_reference(workload, init.start_weights(workload), batches, ["bfloat16"])


@pytest.mark.parametrize(("framework", "mode"), inside.modes())
def test_bfloat16_takes_the_same_step_within_its_own_bounds(
    framework: str, mode: str, tmp_path: Path
) -> None:
    inside.skip_without_program(framework, mode)
    for name in WORKLOADS:
        right = reference_run(name)
        arrays = {
            "inputs": np.stack([batch.inputs for batch in right.batches]),
            "labels": np.stack([batch.labels for batch in right.batches]),
        }
        np.savez(tmp_path / f"{name}.npz", **arrays, **right.start)  # type: ignore[arg-type]
    words = ("answers", framework, mode, str(tmp_path), *WORKLOADS)
    told = json.loads(inside.run(framework, SCRIPT, *words).splitlines()[-1])
    for name in WORKLOADS:
        offered = EXPECTED[framework].precisions
        for precision in {"tf32", "bfloat16"}.difference(offered):
            no = f"{framework}: no {precision} arithmetic: take {' or '.join(offered)}"
            assert told[name][precision] == no
        assert "a CPU has none" in told[name]["tf32"] or "tf32" not in offered
        if "bfloat16" not in offered:
            continue
        assert (told[name]["bfloat16"], told[name]["predicted"]) == ("bfloat16", "float32")
        with np.load(tmp_path / f"{name}-found.npz") as file:
            found = dict(file)
        verdict = judge(found, reference_run(name), "bfloat16")
        assert verdict.value != NOT_EQUIVALENT, verdict.sentence()
        # It is bfloat16 indeed.
        assert judge(found, reference_run(name), "float32").value == NOT_EQUIVALENT
