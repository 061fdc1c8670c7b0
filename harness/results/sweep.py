"""A sweep, as a run's manifest holds it: a workload at several values, each with a name of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

Axis = Literal["batch", "width", "threads"]

AXES: dict[Axis, str] = {"batch": "batch size", "width": "width", "threads": "threads"}
"""What a sweep may be over: its option, and what a title calls it."""


@dataclass(frozen=True)
class Point:
    """The workload named `workload` in the run: the workload `of` at `value`.

    `over` is the sweep's; `as_declared`: that is the value in the workload's own file; of threads, every
    value is.
    """

    over: Axis
    workload: str
    of: str
    value: float
    as_declared: bool


_KEYS = tuple(field.name for field in fields(Point) if field.name != "over")


@dataclass(frozen=True)
class Sweep:
    """What a run swept over, and its points, by workload and then by value."""

    over: Axis
    points: Sequence[Point]

    @classmethod
    def read(cls, manifest: Mapping[str, Any]) -> Sweep | None:
        """Return the sweep of a run; None where it was none, or this version does not know its axis."""
        table = manifest.get("sweep")
        if not isinstance(table, Mapping) or table.get("over") not in AXES:
            return None
        tables = [
            {key: point.get(key) for key in _KEYS} for point in table.get("points") or () if point
        ]
        return cls(
            table["over"],
            [
                Point(table["over"], **table_of_point)
                for table_of_point in tables
                if None not in table_of_point.values()
            ],
        )

    def table(self) -> dict[str, Any]:
        """Return what the manifest holds."""
        return {
            "over": self.over,
            "points": [{key: getattr(point, key) for key in _KEYS} for point in self.points],
        }

    def by_workload(self) -> dict[str, dict[str, float]]:
        """Return by each workload that was swept the values of its points, by their names in the run."""
        lines: dict[str, dict[str, float]] = {}
        for point in self.points:
            lines.setdefault(point.of, {})[point.workload] = point.value
        return lines


def point_of(manifest: Mapping[str, Any], workload: str) -> Point | None:
    """Return which point of a sweep a workload is; None where it is none."""
    sweep = Sweep.read(manifest)
    points = sweep.points if sweep else ()
    return next((point for point in points if point.workload == workload), None)


def threads(manifest: Mapping[str, Any], workload: str) -> Any:
    """Return how many threads the workers of a workload were held to; None where that is unknown."""
    sweep, point = Sweep.read(manifest), point_of(manifest, workload)
    if sweep and point and sweep.over == "threads":
        return int(point.value)
    return (manifest.get("options") or {}).get("threads")


def limits_of(
    manifest: Mapping[str, Any], events: Iterable[Mapping[str, Any]], workload: str
) -> list[Mapping[str, Any]]:
    """Return the `limits` events whose workers had as many threads as those of a workload."""
    same = threads(manifest, workload)
    return [
        event
        for event in events
        if event["event"] == "limits"
        and threads(manifest, str(event.get("cell")).rsplit("/", 4)[0]) == same
    ]
