"""A sweep is read back from a manifest, a damaged or a later one too."""

from __future__ import annotations

from typing import Any

import pytest

from harness.results import sweep
from harness.results.sweep import Point, Sweep

POINTS = [
    {"workload": f"net threads {value}", "of": "net", "value": value, "as_declared": True}
    for value in (1, 2)
]


def manifest(over: Any = "threads", points: Any = POINTS, **more: Any) -> dict[str, Any]:
    return {"options": {"threads": 2}, "sweep": {"over": over, "points": points, **more}}


def test_what_is_written_is_read_back() -> None:
    written = Sweep("batch", [Point("batch", "net batch 4", "net", 4, False)])
    assert Sweep.read({"sweep": written.table()}) == written
    assert written.by_workload() == {"net": {"net batch 4": 4}}


def test_a_run_that_is_none_has_no_points_and_its_own_threads() -> None:
    assert Sweep.read({}) is None and sweep.point_of({}, "net") is None
    assert (
        sweep.threads({"options": {"threads": 2}}, "net") == 2 and sweep.threads({}, "net") is None
    )


@pytest.mark.parametrize(
    ("damaged", "points"),
    [
        (manifest(over="colour"), None),
        (manifest(over=None), None),
        ({"sweep": None}, None),
        (manifest(points=None), 0),
        (manifest(points=[None, {}, {**POINTS[0], "of": None}, POINTS[1]]), 1),
        (manifest(points=[{**POINTS[0], "later": 1}], later=2), 1),
    ],
)
def test_what_is_damaged_or_of_a_later_version_is_left_out(
    damaged: dict[str, Any], points: int | None
) -> None:
    read = Sweep.read(damaged)
    assert points is None if read is None else len(read.points) == points


def test_limits_are_those_of_as_many_threads() -> None:
    events = [
        {"event": "limits", "cell": f"net threads {value}/a/eager/cpu/float32"} for value in (1, 2)
    ]
    events.append({"event": "slice", "cell": "net threads 1/a/eager/cpu/float32"})
    assert sweep.threads(manifest(), "net threads 1") == 1
    assert sweep.limits_of(manifest(), events, "net threads 1") == events[:1]
    assert sweep.limits_of(manifest(), events, "net threads 2") == events[1:2]
    assert sweep.limits_of({}, events, "net threads 2") == events[:2]  # no sweep: all alike
