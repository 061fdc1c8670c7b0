"""Curves of a sweep, from made-up runs whose speeds are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.analysis.sweep_curves import SweepCurves, sweep_curves
from harness.results import store
from tests.runs import MadeUpRun
from workloads import spec

BATCHES = (4, 32, 256)
CROSSING = {"left": (100.0, 500.0, 1000.0), "right": (50.0, 400.0, 2000.0)}
"""By framework its samples a second at each batch: the right one is ahead from 53 or so on."""


def swept(
    folder: Path,
    speeds: Mapping[str, Sequence[float]],
    noise: float = 0.005,
    launches: int = 6,
    values: Sequence[float] = BATCHES,
) -> store.Record:
    """A run that is a sweep over the batch; a speed of 0 is a cell that failed."""
    draw = np.random.default_rng(1)
    names = [f"net batch {value}" for value in values]
    points = [
        {"workload": name, "of": "net", "value": value, "as_declared": value == 32}
        for name, value in zip(names, values, strict=True)
    ]
    cells = [f"{name}/{framework}/eager/cpu/float32" for name in names for framework in speeds]
    table = spec.load("mlp-digits").to_dict()
    manifest: dict[str, Any] = {
        "options": {"threads": 1, "data": "real"},
        "workloads": {name: {**table, "name": name} for name in names},
        "cells": cells,
        "sweep": {"over": "batch", "points": points},
    }
    run = MadeUpRun(folder, manifest)
    for framework in speeds:
        run.framework(framework)
    for cell in cells:
        name, framework = cell.split("/")[:2]
        if not (speed := speeds[framework][names.index(name)]):
            run.fail(cell)
            continue
        run.first_step(cell).parity(cell).trained(cell)
        for launch in range(1, launches + 1):
            rate = speed * float(np.exp(noise * draw.standard_normal()))
            for number in range(1, 4):
                run.slice(cell, rate, launch, number)
        run.done(cell)
    return run.end().read()


def curves_of(folder: Path, *arguments: Any, **options: Any) -> SweepCurves:
    (curves,) = sweep_curves(swept(folder, *arguments, **options))
    return curves


def test_a_crossing_is_found_where_the_lines_between_the_points_meet(tmp_path: Path) -> None:
    curves = curves_of(tmp_path, CROSSING)
    assert (curves.of, curves.over, curves.kind) == ("net", "batch", "train")
    assert [curve.name for curve in curves.curves] == ["right eager", "left eager"]
    assert curves.curves[1].speeds[4].estimate == pytest.approx(100, rel=0.02)
    (pair,) = curves.pairs
    (crossing,) = pair.crossings
    # Ratios 1.25 at 32 and 0.5 at 256: the logarithm is 0 after 0.223 of 0.916 parts of the way.
    share = np.log(1.25) / np.log(1.25 / 0.5)
    assert crossing.at == pytest.approx(32 * 8**share, rel=0.03)
    assert 32 < crossing.low < crossing.at < crossing.high < 256
    ahead = pair.a if crossing.rising else pair.b
    assert ahead == "right eager" and pair.leader is None and curves.leader is None


def test_who_is_ahead_everywhere_leads_and_no_lines_cross(tmp_path: Path) -> None:
    speeds = {**CROSSING, "third": (1e4, 1e4, 1e4)}
    curves = curves_of(tmp_path, speeds)
    assert curves.leader == "third eager"
    assert sum(bool(pair.crossings) for pair in curves.pairs) == 1


def test_what_the_intervals_do_not_decide_is_neither(tmp_path: Path) -> None:
    curves = curves_of(tmp_path, {"left": (100, 100, 100), "right": (99, 100, 300)}, noise=0.02)
    (pair,) = curves.pairs
    assert pair.crossings == [] and pair.leader is None
    assert pair.inconclusive == [4, 32]


def test_one_launch_decides_nothing(tmp_path: Path) -> None:
    (pair,) = curves_of(tmp_path, CROSSING, launches=1).pairs
    assert pair.crossings == [] and pair.inconclusive == [*BATCHES]


def test_a_cell_that_failed_at_a_value_has_a_gap_there(tmp_path: Path) -> None:
    curves = curves_of(tmp_path, {**CROSSING, "right": (50.0, 0.0, 2000.0)})
    by_name = {curve.name: curve for curve in curves.curves}
    assert [*by_name["right eager"].speeds] == [4, 256]
    (pair,) = curves.pairs
    assert [*pair.ahead] == [4, 256] and len(pair.crossings) == 1


def test_curves_with_a_single_value_in_common_are_no_pair(tmp_path: Path) -> None:
    assert curves_of(tmp_path, {**CROSSING, "right": (50.0, 0.0, 0.0)}).pairs == ()


def test_a_run_that_is_no_sweep_has_no_curves(tmp_path: Path) -> None:
    record = swept(tmp_path, CROSSING)
    del record.manifest["sweep"]
    assert sweep_curves(record) == []
