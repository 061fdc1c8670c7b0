"""From a run's journal to its tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness import store, summaries
from harness.store import Run

CELL = "toy/left/fast/cpu/float32"


def manifest(*cells: str, **more: Any) -> dict[str, Any]:
    return {"cells": list(cells), "options": {"data": "real"}, **more}


def timed(run: Run, cell: str, rates: list[float]) -> None:
    """A slow round to warm up, then one slice a rate."""
    for number, rate in enumerate([1.0, *rates]):
        for kind, factor in (("train", 1), ("predict", 2)):
            run.append("slice", cell, round=number, kind=kind, steps=4, samples=100,
                       seconds=100 / (rate * factor), cpu_seconds=1.0)  # fmt: skip


def test_a_cell_is_summed_up_by_its_medians(tmp_path: Path) -> None:
    run = Run.create(tmp_path, manifest(CELL, workloads={"toy": {"target_accuracy": 0.9}}))
    run.append("framework-ready", framework="left", arbiter=True)
    run.append("opened", CELL, import_seconds=1.5)
    run.append("first-step", CELL, seconds=0.5, loss=2.0)
    run.append("trained", CELL, steps=40, seconds=3.0, losses=[2.0], final_loss=0.5)
    run.append("evaluated", CELL, accuracy=0.95, precision=0.94, recall=0.93, f1=0.92, examples=10)
    run.append("memory", CELL, peak_rss=2**20, import_rss=2**19, device_peak=None)
    timed(run, CELL, [10, 20, 30, 40, 1000])
    run.append("cell-done", CELL)
    run.close()
    record = store.read(run.folder)
    (row,) = store.summary(record).to_dict("records")
    assert row["status"] == "ok" and row["arbiter"] and row["reached_target"]
    assert (row["framework"], row["dtype"], row["precision"]) == ("left", "float32", 0.94)
    got = [row[f"train_{word}"] for word in ("low", "samples_per_s", "high", "slices")]
    assert got == pytest.approx([20, 30, 40, 5])
    assert row["predict_samples_per_s"] == pytest.approx(60)
    assert (row["first_loss"], row["final_loss"], row["steps"]) == (2.0, 0.5, 40)
    assert (row["import_s"], row["first_step_s"], row["train_s"]) == (1.5, 0.5, 3.0)
    assert (row["peak_memory_bytes"], row["import_memory_bytes"]) == (2**20, 2**19)
    table = store.samples(record)
    assert len(table) == 12 and set(table["kind"]) == {"train", "predict"}
    assert table["samples_per_s"].iloc[2] == pytest.approx(10)


def test_every_fate_of_a_cell_is_told(tmp_path: Path) -> None:
    fates = {"a": "ok", "b": "crashed", "c": "interrupted", "d": "unavailable", "e": "skipped",
             "f": "not run"}  # fmt: skip
    cells = {name: f"{name}/{name}/m/cpu/float32" for name in fates}
    run = Run.create(tmp_path, manifest(*cells.values()))
    run.append("cell-done", cells["a"])
    run.append("cell-failed", cells["b"], phase="train", status="crashed", reason="two\nlines")
    run.append("cell-started", cells["c"])
    run.append("framework-unavailable", framework="d", device="cuda", reason="on another device")
    run.append("framework-unavailable", framework="d", device="cpu", reason="no wheel")
    run.append("workload-skipped", workload="e", reason="no data")
    run.append("cell-started", "z/stray/m/cpu/float32")
    run.close()
    table = store.summary(store.read(run.folder)).set_index("workload")
    assert list(table.index) == [*fates, "z"]
    assert table["status"].to_dict() == {**fates, "z": "interrupted"}
    assert table["reason"]["b"] == "in train: two lines"
    assert (table["reason"]["d"], table["reason"]["e"]) == ("no wheel", "no data")


def test_synthetic_data_has_no_accuracy(tmp_path: Path) -> None:
    run = Run.create(tmp_path, manifest(CELL, options={"data": "synthetic"}))
    run.append("evaluated", CELL, accuracy=0.99, precision=0.9, recall=0.9, f1=0.9)
    run.append("cell-done", CELL)
    run.close()
    table = store.summary(store.read(run.folder))
    assert table[["accuracy", "precision", "recall", "f1", "reached_target"]].isna().all(axis=None)


def test_a_slice_without_a_sound_time_counts_for_nothing(tmp_path: Path) -> None:
    run = Run.create(tmp_path, manifest(CELL))
    for seconds in (0, None, -1.0, "soon", float("nan"), 2.0):
        run.append("slice", CELL, round=1, kind="train", samples=10, seconds=seconds)
    run.close()
    record = store.read(run.folder)
    (row,) = store.summary(record).to_dict("records")
    assert (row["train_samples_per_s"], row["train_slices"]) == (5.0, 1)
    assert store.samples(record)["samples_per_s"].count() == 1


def test_an_odd_name_of_a_cell_is_no_accident() -> None:
    assert summaries.split("a/b/c/cpu/float32")["workload"] == "a"
    assert summaries.split("x/y/a/b/c/cpu/float32")["workload"] == "x/y/a"
    assert summaries.split("lone") == {
        "workload": "lone", "framework": "", "mode": "", "device": "", "dtype": ""
    }  # fmt: skip
