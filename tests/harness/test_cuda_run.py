"""A whole run on a card that is a fake, with a toy that computes on the CPU whatever it is told."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import psutil
import pytest

from harness.machine import devices
from harness.results import aggregates, pairwise, store
from harness.runner import run
from tests.toy_request import BRIEF, brief_request
from workloads import cost, spec

CARD = "Toy card"

HELD = 300 * 2**20
"""Bytes that each of our workers holds on the card, as its driver tells it."""

HALF_A_CARD = """    def resident(self, batches):
        return list(batches)

    def device_seconds(self, work):
        begin = time.perf_counter()
        work()
        return time.perf_counter() - begin

    def profile("""


def library(capability: tuple[int, int] = (9, 0), **more: Any) -> SimpleNamespace:
    """A driver that shows one card."""
    return SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 1,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetName=lambda handle: CARD,
        nvmlSystemGetDriverVersion=lambda: "580.65.06",
        nvmlDeviceGetCudaComputeCapability=lambda handle: capability,
        nvmlDeviceGetComputeRunningProcesses=lambda handle: [
            SimpleNamespace(pid=one.pid, usedGpuMemory=HELD)
            for one in psutil.Process().children()
            if one.environ().get(devices.VISIBLE)
        ],
        **more,
    )


@pytest.fixture
def cuda_root(toy_root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The toy project, whose toy says that it runs on cuda too."""
    monkeypatch.setenv("SAMESTEP_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(devices.VISIBLE, raising=False)
    monkeypatch.setitem(sys.modules, "pynvml", library())
    toml = toy_root / "frameworks" / "faulty" / "environment.toml"
    toml.write_text(
        toml.read_text()
        .replace('["cpu"]', '["cpu", "cuda"]')
        .replace('cpu = ["numpy"]', 'cpu = ["numpy"]\ncuda = ["numpy"]')
    )
    adapter = toy_root / "frameworks" / "faulty" / "adapter.py"
    adapter.write_text(adapter.read_text().replace("    def profile(", HALF_A_CARD, 1))
    return toy_root


def execute(root: Path, interpreters: dict[str, Path], **changes: Any) -> store.Record:
    usual = {"modes": ["well"], "steps": 20, "interpreters": interpreters, "parity_steps": 2}
    brief = replace(BRIEF, rounds=1)
    request = brief_request(root, brief, **(usual | changes))
    return run.execute(request, lambda event: None, root)[0]


def test_auto_runs_every_cell_on_both(cuda_root: Path, toy_interpreters: dict[str, Path]) -> None:
    record = execute(cuda_root, toy_interpreters, device="auto", dtype="all")
    table = store.summary(record).set_index(["framework", "device", "dtype"])
    assert set(table.index) == {
        ("reference", "cpu", "float64"),
        ("faulty", "cpu", "float32"),
        *(("faulty", "cuda", one) for one in devices.PRECISIONS),
    }
    # Coarse arithmetic decides little on a net of three units.
    exact = table.index.get_level_values("dtype").isin(("float64", "float32"))
    assert set(table.loc[exact, "parity"]) == {"equivalent"}
    assert set(table.loc[exact, "status"]) == {"ok"}
    assert set(table["parity"]) <= {"equivalent", "undecided"}
    held = table.xs("cuda", level="device")["device_used_bytes"]
    assert held.tolist() == [HELD] * 3
    assert table.xs("cpu", level="device")["device_used_bytes"].isna().all()
    kinds = {(one["cell"].split("/")[3], one["kind"]) for one in record.every("slice")}
    both = {(device, kind) for device in ("cpu", "cuda") for kind in ("train", "predict")}
    assert kinds == both | {("cuda", "resident")}  # shown on cards only
    clocks = record.every("clock")
    assert {one["cell"].split("/")[3] for one in clocks} == {"cuda"}
    assert all(one["ratio"] == pytest.approx(1, abs=0.1) for one in clocks)
    told = map(json.loads, (record.folder / store.JOURNAL).read_text().splitlines())
    slices = [one for one in told if one["event"] == "slice" and "/cuda/" in one["cell"]]
    (card,) = {json.dumps(one["card"]) for one in slices}
    assert json.loads(card)["mhz"] is None  # this driver does not tell
    assert record.manifest["energy"]["sources"] == []


def test_each_device_and_arithmetic_has_its_own_limit() -> None:
    rates = {
        "float32 product": 1e12,
        "tf32 product": 4e12,
        "bfloat16 product": 8e12,
        "copy": 1e12,
        "tiny operations": 2e5,
    }
    cpu = {"float32 product": 1e9, "tiny operations": 3e6}
    events = [
        {"event": "limits", "cell": f"mlp-digits/{name}/b/{device}/float32", "rates": told}
        for name, device, told in (
            ("a", "cpu", cpu),
            ("a", "cuda:1", rates),
            ("other", "cuda:1", {"tiny operations": 9e9}),
        )
    ]
    limits = aggregates.limits(events)
    assert not any("tiny" in name for name in limits)  # a framework's own
    assert limits["float32 product"] == 1e9
    assert limits["tf32 product on cuda:1"] == 4e12
    workload = spec.load("mlp-digits")
    rows = [("cpu", "float32"), *(("cuda:1", one) for one in devices.PRECISIONS), ("cuda", "tf32")]
    table = pd.DataFrame(
        [
            {
                "cell": f"x/{d}/{p}",
                "workload": "mlp-digits",
                "framework": "a",
                "device": d,
                "dtype": p,
                "status": "ok",
                "reference": False,
                "train_samples_per_s": 1e3,
                "rank": None,
            }
            for d, p in rows
        ]
    )
    pairs = pd.DataFrame(columns=list(pairwise.COLUMNS))
    specs = {"mlp-digits": workload.to_dict()}
    complete = aggregates.complete(table, pairs, events, {"workloads": specs})
    share, steps = complete["limit_share"], 1e3 / workload.data.batch
    flop = cost.training_flop(workload) * 1e3
    assert share[:4].tolist() == pytest.approx([flop / m for m in (1e9, 1e12, 4e12, 8e12)])
    assert share.isna()[4]  # of that card nothing was measured
    operations = complete["step_operations"]
    assert operations[:4].tolist() == pytest.approx([3e6 / steps, *[2e5 / steps] * 3])
    assert operations.isna()[4]


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
