"""What a run of every toy leaves: faults cost their own cell only, and the store says what happened."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from harness.results import store

pytestmark = pytest.mark.slow


def test_every_fault_costs_its_own_cell_only(toy_run: Path) -> None:
    record = store.read(toy_run)
    table = store.summary(record).set_index("mode")
    assert record.end and (record.end["status"], record.end["exit_code"]) == ("failed", 1)
    expected = {
        "well": "ok",
        "slow": "ok",
        "numpy": "ok",
        "wrong": "not equivalent",
        "turncoat": "not equivalent",
        "crash": "crashed",
        "segfault": "crashed",
        "killed": "crashed",
        "garbage": "crashed",
        "forged": "crashed",
        "hang": "timed out",
        "hungry": "failed",
        "raises": "failed",
        "absent": "unavailable",
    }
    assert table["status"].to_dict() == expected
    failed = {event["cell"].split("/")[2]: event for event in record.every("cell-failed")}
    assert failed["segfault"]["signal"] == "SIGSEGV"
    assert failed["crash"]["log_tail"][-1] == "the last words"
    assert table.loc["well", "accuracy"] == table.loc["numpy", "accuracy"]
    assert table.loc["well", "train_samples_per_s"] > 0


def test_a_cell_that_is_not_equivalent_is_named_and_not_ranked(toy_run: Path) -> None:
    table = store.summary(store.read(toy_run)).set_index("mode")
    assert table.loc[["well", "slow", "numpy", "wrong", "turncoat"], "parity"].to_dict() == {
        "well": "equivalent",
        "slow": "equivalent",
        "numpy": "equivalent",
        "wrong": "not equivalent",
        "turncoat": "not equivalent",
    }
    reason = table.loc["wrong", "reason"]
    assert reason.startswith("not equivalent: gradient of dense")
    assert "differs by 1.0e-02 (bound " in reason
    assert "every gradient is 1.01 times what is right" in reason
    assert "replayed" in table.loc["turncoat", "reason"]
    assert table.loc[["wrong", "turncoat"], "train_samples_per_s"].isna().all()
    assert table.loc["well", "parity_share"] < 1
    counts = table["parity"].value_counts()
    report = (toy_run / "report.md").read_text()
    assert (
        f"parity check: {counts['equivalent']} cells equivalent to the reference, 2 not equivalent"
        in report
    )


def test_the_run_leaves_what_it_promises(toy_run: Path) -> None:
    record = store.read(toy_run)
    names = {path.name for path in record.folder.iterdir()}
    assert names == {
        "manifest.json",
        "events.jsonl",
        "samples.csv",
        "summary.csv",
        "report.md",
        "report.html",
        "logs",
    }
    manifest = json.loads((record.folder / "manifest.json").read_text())
    assert manifest["schema"] == store.SCHEMA
    assert manifest["command"] == ["python", "cli.py", "run"]
    assert manifest["workloads"]["mlp-2-3-2"]["data"]["epochs"] == 1
    assert manifest["options"]["own_epochs"]["mlp-2-3-2"] > 1
    assert manifest["options"]["steps"] is None
    built = record.every("built")[0]
    assert built["settings"]["threads"] == 1
    dataset = record.every("dataset")[0]
    assert len(dataset["sha256"]["train_inputs.npy"]) == 64
    start = record.every("start")[0]
    assert set(start["sha256"]) == {
        "order",
        "dense1.weight",
        "dense1.bias",
        "dense2.weight",
        "dense2.bias",
    }


def test_rounds_take_every_cell_once(toy_run: Path) -> None:
    table = store.read(toy_run).slices
    table = table[~table["twin"]]
    assert sorted(table["round"].unique()) == [1, 2, 3]
    first = table[table["launch"] == 1].groupby("round")
    each = {number: set(zip(own["mode"], own["kind"], strict=True)) for number, own in first}
    every = {(mode, kind) for mode in ("well", "slow", "numpy") for kind in ("train", "predict")}
    assert each == dict.fromkeys((1, 2, 3), every)


def test_launches_are_repeated_with_a_twin_in_each(toy_run: Path) -> None:
    record = store.read(toy_run)
    launches = {(event["cell"].split("/")[2], event["launch"]) for event in record.every("slice")}
    assert launches == {("well", n) for n in (1, 2, 3)} | {("slow", n) for n in (1, 2, 3)} | {
        ("numpy", 1)
    }  # the reference is timed once and never ranked
    assert {event["launch"] for event in record.every("twin-slice")} == {1, 2, 3}
    assert len(record.every("warmed")) == 3 * 3 + 1
    pairs = record.pairs
    assert set(pairs["launches"]) == {3} and np.isfinite(pairs["floor"]).all()
    assert {event["batch"] for event in record.every("latency")} == {1, 20}
    assert all(event["rates"] for event in record.every("limits"))
    assert store.summary(record)["rank"].notna().sum() == 2
