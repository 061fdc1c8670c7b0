"""What a unit hands to the merge: the figures of its own report, and nothing made up."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from harness.matrix import block
from harness.results import store
from harness.stats import intervals
from tests.harness.matrix.stand_in import CELLS, made_up


def test_a_block_has_the_runs_own_ratios(tmp_path: Path) -> None:
    record = made_up(tmp_path, seed=3).end().read()
    figures = block.of(record)
    assert [cell["cell"] for cell in figures["cells"]] == [*CELLS]
    (row,) = figures["pairs"]["train"]
    pair = dict(zip(block.PAIR, row, strict=True))
    (published,) = record.pairs[record.pairs["kind"] == "train"].to_dict("records")
    names = [figures["cells"][int(pair[side])]["cell"] for side in ("a", "b")]
    assert names == [published["a"], published["b"]]
    assert math.exp(pair["log_ratio"]) == pytest.approx(published["ratio"])
    assert pair["launches"] == 3


def test_the_variance_is_that_of_the_launches(tmp_path: Path) -> None:
    run = made_up(tmp_path, seed=3)
    record = run.end().read()
    slices = record.counted[record.counted["kind"] == "train"]
    rates = [
        slices[slices["cell"] == cell].pivot(
            index="launch", columns="round", values="samples_per_s"
        )
        for cell in CELLS
    ]
    logs = intervals.launch_ratios(*(table.to_numpy() for table in rates))
    (row,) = block.of(record)["pairs"]["train"]
    assert row[block.PAIR.index("variance")] == pytest.approx(np.var(logs, ddof=1))


def test_a_run_that_was_cut_short_is_no_result(tmp_path: Path) -> None:
    assert block.incomplete(made_up(tmp_path / "a").end().read()) is None
    assert block.incomplete(made_up(tmp_path / "b").end("interrupted", 1).read())
    assert block.incomplete(made_up(tmp_path / "c").read())
    assert block.incomplete(made_up(tmp_path / "d").end("failed", 1).read()) is None


def test_a_run_in_which_no_cell_began_is_no_result(tmp_path: Path) -> None:
    from tests.runs import MadeUpRun

    run = MadeUpRun(tmp_path, {"cells": [*CELLS], "machine": {}})
    run("workload-skipped", workload="mlp-2-3-2", reason="xor is not here")
    assert block.incomplete(run.end("failed", 1).read()) == "xor is not here"


def test_a_block_is_json(tmp_path: Path) -> None:
    figures = block.of(store.read(made_up(tmp_path).end().folder))
    assert figures["schema"] == block.SCHEMA and figures["fingerprint"]
    assert figures["kernel_rate"] == 1000 and figures["contaminated"] == 0
