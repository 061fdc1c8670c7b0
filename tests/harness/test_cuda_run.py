"""A whole run on a card that is a fake, with a toy that computes on the CPU whatever it is told."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness import devices, run, store
from harness.cell import Measuring

CARD = "Toy card"


def library(capability: tuple[int, int] = (9, 0), **more: Any) -> SimpleNamespace:
    """A driver that shows one card."""
    return SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 1,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetName=lambda handle: CARD,
        nvmlSystemGetDriverVersion=lambda: "580.65.06",
        nvmlDeviceGetCudaComputeCapability=lambda handle: capability,
        nvmlDeviceGetComputeRunningProcesses=lambda handle: [],
        **more,
    )


@pytest.fixture
def cuda_root(toy_root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The toy project, whose toy says that it runs on cuda too."""
    monkeypatch.setenv("SAMESTEP_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(devices.VISIBLE, raising=False)
    monkeypatch.setitem(sys.modules, "pynvml", library())
    toml = toy_root / "frameworks" / "faulty" / "environment.toml"
    toml.write_text(toml.read_text().replace('["cpu"]', '["cpu", "cuda"]').replace(
        'cpu = ["numpy"]', 'cpu = ["numpy"]\ncuda = ["numpy"]'))  # fmt: skip
    return toy_root


def execute(root: Path, interpreters: dict[str, Path], **asked: Any) -> store.Record:
    options: dict[str, Any] = {
        "frameworks": ["all"], "workloads": ["mlp-2-3-2"], "modes": ["well"], "threads": 1,
        "steps": 20, "seed": None, "data": "real", "data_dir": None, "interpreters": interpreters,
        "out": root / "results", "command": [], "root": root, "parity_steps": 2, **asked,
    }  # fmt: skip
    request = replace(run.request(**options), measuring=Measuring(1, 1, 0.01))
    folder, _ = run.execute(request, lambda event: None, root)
    return store.read(folder)


def test_auto_runs_every_cell_on_both(cuda_root: Path, toy_interpreters: dict[str, Path]) -> None:
    record = execute(cuda_root, toy_interpreters, device="auto", dtype="all")
    table = store.summary(record).set_index(["framework", "device", "dtype"])
    assert set(table.index) == {
        ("reference", "cpu", "float64"), ("faulty", "cpu", "float32"),
        *(("faulty", "cuda", one) for one in devices.PRECISIONS),
    }  # fmt: skip
    assert set(table["status"]) == {"ok"}
    assert set(table["proof"]) == {"proved"}


def test_arithmetic_that_is_not_there_is_refused_before_anything_starts(
    cuda_root: Path, toy_interpreters: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", library((7, 5)))
    record = execute(cuda_root, toy_interpreters, device="cuda", dtype="bfloat16")
    (failed,) = record.every("cell-failed")
    assert failed["status"] == "unavailable"
    assert failed["reason"] == "bfloat16 needs compute capability 8.0; cuda has 7.5"
    record = execute(cuda_root, toy_interpreters, device="cpu", dtype="tf32")
    assert ["for cuda devices" in one["reason"] for one in record.every("cell-failed")] == [True]
