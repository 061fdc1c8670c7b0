"""Stored runs in Python."""

from __future__ import annotations

from pathlib import Path

import pytest

import samestep
from harness.results import pairwise, tables
from tests.runs import MadeUpRun

CELLS = ("toy/left/fast/cpu/float32", "toy/right/slow/cpu/float32")


def written(results: Path) -> Path:
    run = MadeUpRun(results, {"cells": list(CELLS)})
    run("run-started", cells=2)
    for cell in CELLS:
        for launch in (1, 2):
            run("slice", cell, launch=launch, round=1, kind="train", samples=9, seconds=launch)
        run("latency", cell, batch=1, p50=0.5)
        run.done(cell)
    run.run.close()
    return run.folder


def test_a_run_is_read_as_frames(tmp_path: Path) -> None:
    folder = written(tmp_path)
    run = samestep.load(folder)
    assert (run.name, run.folder) == (folder.name, folder)
    assert run.manifest["cells"] == list(CELLS)
    assert tuple(run.summary.columns) == tables.COLUMNS and len(run.summary) == 2
    assert tuple(run.samples.columns) == tables.SAMPLE_COLUMNS and len(run.samples) == 4
    assert "category" not in map(str, run.samples.dtypes)
    assert tuple(run.pairs.columns) == pairwise.COLUMNS and len(run.pairs) == 1
    assert list(run.events["event"]) == ["run-started", *["latency", "cell-done"] * 2]
    assert run.events.query("event == 'latency'")["p50"].tolist() == [0.5, 0.5]
    assert samestep.load(str(folder)).name == run.name


def test_a_run_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samestep, "results_folder", lambda: tmp_path / "results")
    folder = written(tmp_path / "results")
    assert samestep.load("latest").folder == samestep.load(folder.name[:8]).folder == folder
    with pytest.raises(samestep.StoreError, match="no run"):
        samestep.load("another")


def test_an_empty_run_has_empty_frames(tmp_path: Path) -> None:
    made = MadeUpRun(tmp_path, {})
    made.run.close()
    run = samestep.load(made.folder)
    assert run.summary.empty and run.samples.empty and run.pairs.empty and run.events.empty
    assert {"time", "event", "cell"} <= set(run.events.columns)
