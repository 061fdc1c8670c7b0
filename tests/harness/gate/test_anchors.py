"""By what cells are held against a baseline: the calibration, and the other frameworks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.gate import baseline
from harness.results.launches import Logs
from harness.results.metrics import MEMORY, THROUGHPUT
from tests.harness.gate.made import cell

lawful = settings(deadline=None, derandomize=True, max_examples=25)

A, B, C, D = (cell(name) for name in ("aa", "bb", "cc", "dd"))


def kept(logs: Mapping[str, Any], metric: str = "throughput") -> baseline.Baseline:
    """A baseline that has nothing but logarithms."""
    cells = {one: {"logs": {metric: list(values)}} for one, values in logs.items()}
    return baseline.Baseline("old", {"cells": cells}, dict.fromkeys(logs))  # type: ignore[arg-type]


def change(old: Mapping[str, Any], new: Mapping[str, Any], alike: bool, name: str = A) -> float:
    now = {one: np.asarray(values, dtype=float) for one, values in new.items()}
    sides = kept(old).against_control(THROUGHPUT, name, now, alike)
    assert sides is not None
    return float(np.nanmean(sides[1]) - np.nanmean(sides[0]))


def flat(*levels: float) -> dict[str, list[float]]:
    return {one: [level] * 3 for one, level in zip((A, B, C, D), levels, strict=False)}


def test_on_a_machine_alike_alone_the_calibration_is_the_anchor() -> None:
    assert change(flat(1.0), flat(0.9), alike=True) == pytest.approx(-0.1)


def test_on_another_machine_other_frameworks_are_the_anchors() -> None:
    assert change(flat(1, 5, 7, 2), flat(0.4, 4.5, 6.4, 1.4), False) == pytest.approx(0.0)
    assert change(flat(1, 5), flat(0.4, 4.5), False) == pytest.approx(-0.1)


def test_on_another_machine_without_another_framework_there_is_nothing() -> None:
    logs = {A: np.ones(3), cell("aa", "graph"): np.ones(3)}
    old = kept(logs)
    assert old.against_control(THROUGHPUT, A, logs, alike=False) is None
    assert old.against_control(THROUGHPUT, A, logs, alike=True) is not None


@pytest.mark.parametrize("place", range(3))
def test_one_anchor_that_changed_changes_nothing(place: int) -> None:
    # Whichever it is, the fastest, the slowest or the one between them.
    new = flat(1, 3, 5, 7)
    new[(B, C, D)[place]] = [x + 0.4 for x in new[(B, C, D)[place]]]
    assert change(flat(1, 3, 5, 7), new, alike=False) == pytest.approx(0.0)
    assert change(flat(1, 3, 5, 7), new, alike=True) == pytest.approx(0.0)


def test_who_got_faster_makes_nobody_slower() -> None:
    # Two anchors, of which one moved: the other one is asked.
    for moved in (0.3, -0.3):
        old, new = flat(1, 2), flat(1, 2 + moved)
        assert change(old, new, alike=True) == pytest.approx(0.0)
        assert change(old, new, alike=True, name=B) == pytest.approx(moved)


def test_a_machine_that_is_slower_for_many_threads_only_makes_nobody_slower() -> None:
    assert change(flat(1, 2, 3), flat(0.8, 1.8, 2.8), alike=True) == pytest.approx(0.0)
    assert change(flat(1, 2, 3), flat(0.7, 1.8, 2.8), alike=True) == pytest.approx(-0.1)


@lawful
@given(st.lists(st.floats(-3, 3), min_size=4, max_size=4), st.floats(-2, 2), st.floats(-1, 1))
def test_another_machine_s_speed_is_in_no_change(
    levels: list[float], speed: float, own: float
) -> None:
    new = {one: [x + speed for x in values] for one, values in flat(*levels).items()}
    new[A] = [x + own for x in new[A]]
    assert change(flat(*levels), new, alike=False) == pytest.approx(own)


def test_a_launch_without_a_cell_is_no_launch_of_it() -> None:
    old, new = flat(1, 2, 3), flat(0.9, 2, 3)
    old[B][0], new[C][1], new[A][2] = math.nan, math.nan, math.nan
    now = {one: np.asarray(values) for one, values in new.items()}
    sides = kept(old).against_control(THROUGHPUT, A, now, alike=False)
    assert sides is not None
    assert [np.isfinite(side).tolist() for side in sides] == [[True] * 3, [True, True, False]]
    assert np.nanmean(sides[1]) - np.nanmean(sides[0]) == pytest.approx(-0.1)


def test_a_launch_without_any_anchor_is_not_known() -> None:
    now = {A: np.ones(3), B: np.asarray([1.0, math.nan, 1.0])}
    sides = kept(flat(1, 1)).against_control(THROUGHPUT, A, now, alike=False)
    assert sides is not None and np.isnan(sides[1]).tolist() == [False, True, False]


@pytest.mark.parametrize("alike", [True, False])
@pytest.mark.parametrize("after", [np.empty(0), np.full(3, math.nan)])
def test_what_was_not_measured_now_is_not_known(alike: bool, after: Logs) -> None:
    now = {A: after, B: np.ones(3)}
    sides = kept(flat(1, 1)).against_control(THROUGHPUT, A, now, alike)
    assert sides is not None and not np.isfinite(sides[1]).any()


def test_what_was_hardly_measured_then_is_not_compared() -> None:
    now = {A: np.ones(3), B: np.ones(3)}
    for values in ([], [1.0], [1.0, None, None], [None] * 3):
        assert kept({A: values, B: [1] * 3}).against_control(THROUGHPUT, A, now, True) is None
    assert kept({B: [1] * 3}).against_control(THROUGHPUT, A, now, True) is None


def test_bytes_are_compared_as_they_are_on_a_machine_alike_alone() -> None:
    old = kept({A: [-1.0, -1.0], B: [-2.0, -2.0]}, "memory")
    now = {A: np.asarray([-1.2, -1.2, -1.2]), B: np.asarray([-3.0] * 3)}
    sides = old.against_control(MEMORY, A, now, alike=True)
    assert sides is not None
    assert sides[0].tolist() == [-1.0, -1.0] and sides[1].tolist() == [-1.2] * 3
    assert old.against_control(MEMORY, A, now, alike=False) is None
