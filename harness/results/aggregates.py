"""What the timed part says of each cell: speed, rank, latency, cores, energy, MFU of the measured peak.

Pure functions from the journal's events and the table of slices. What is unknown is missing (None or
NaN), never 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from frameworks.kernels import DISPATCH
from harness.results import pairwise, sweep
from harness.results.metric import Median, Speed
from harness.results.metrics import METRICS
from harness.results.pairwise import GROUP
from workloads import cost
from workloads.reading import SpecError
from workloads.spec import Workload, from_dict

Event = Mapping[str, Any]

FLOAT32_LIMIT = "float32 product"
"""The kernel whose rate is the limit of float32 arithmetic on the CPU."""

ALLOWANCE = 1.05
"""A cell that keeps more than this many times its threads busy was not held to them."""

UNTIMED = {
    "launches": 0,
    "contaminated": 0,
    **{
        metric.column: 0
        for metric in METRICS
        if isinstance(metric.source, Speed) and metric.source.part == "slices"
    },
}
"""The figures of a cell without slices; its others are missing."""


def timed(slices: pd.DataFrame, counted: pd.DataFrame, level: float) -> dict[Any, dict[Any, Any]]:
    """Return the figures of every cell's slices, by cell; intervals are of `level`.

    `counted` are those of them that count (`pairwise.counted`).

    A speed is samples a second: the mean over launches of each one's pseudomedian, with Student's
    interval over launches.
    """
    columns = {
        "launches": _by_cell(slices["launch"], slices).nunique(),
        "contaminated": _by_cell(slices["noise"] != "", slices).sum(),
    }
    speeds = pairwise.speeds(counted, level)
    for metric in METRICS:
        match metric.source:
            case Median(kind, over, under):
                of_kind = counted[counted["kind"] == kind]
                columns[metric.column] = _by_cell(of_kind[over] / of_kind[under], of_kind).median()
            case Speed(kind, "slices"):
                columns[metric.column] = _by_cell(counted["kind"] == kind, counted).sum()
            case Speed(kind, part):
                values = {
                    cell: getattr(speed, part)
                    for (cell, timed_kind), speed in speeds.items()
                    if timed_kind == kind
                }
                columns[metric.column] = pd.Series(values, dtype=float)
    return pd.DataFrame(columns).fillna(UNTIMED).to_dict("index")


def _by_cell(values: pd.Series, table: pd.DataFrame) -> Any:
    return values.groupby(table["cell"], observed=True)


def from_events(events: Iterable[Event]) -> dict[str, Any]:
    """Return what a cell's events have beside its slices: whether it was steady, its latencies."""
    warmed = [
        event.get("steady_from") is not None for event in events if event["event"] == "warmed"
    ]
    figures: dict[str, Any] = {"steady": all(warmed) if warmed else None}
    latencies = sorted(
        (event for event in events if event["event"] == "latency"),
        key=lambda event: event.get("batch", 0),
    )
    for prefix, places in (("latency1", latencies[:1]), ("latency", latencies[-1:])):
        for event in places:
            for word in ("p50", "p90", "p99"):
                seconds = event.get(word)
                figures[f"{prefix}_{word}_ms"] = None if seconds is None else 1e3 * seconds
    return figures


def floor_bytes(spec: Mapping[str, Any] | None) -> int | None:
    """Return the least memory of a training step of a workload as the manifest holds it."""
    workload = workload_of(spec)
    return None if workload is None else cost.training_bytes(workload)


def workload_of(spec: Mapping[str, Any] | None) -> Workload | None:
    """Return the workload that a manifest holds, or None where this version cannot read it."""
    try:
        return from_dict(dict(spec), "the manifest's workload") if spec else None
    except SpecError:
        return None


def limits(events: Iterable[Event]) -> dict[str, float]:
    """Return each device's limits by `kernel`: the best rate that any framework came to there."""
    best: dict[str, float] = {}
    for _, device, word, rate in _rates(events):
        if word != DISPATCH:  # that is a framework's own, and no machine's
            name = kernel(word, device)
            best[name] = max(best.get(name, 0.0), rate)
    return best


def launches(events: Iterable[Event]) -> dict[tuple[str, str], float]:
    """Return each framework's dispatch rate, by it and the device, in tiny operations a second."""
    best: dict[tuple[str, str], float] = {}
    for framework, device, word, rate in _rates(events):
        if word == DISPATCH:
            best[framework, device] = max(best.get((framework, device), 0.0), rate)
    return best


def _rates(events: Iterable[Event]) -> Iterator[tuple[str, str, str, float]]:
    """Yield framework, device, kernel and rate of all that was measured of limits."""
    for event in events:
        if event["event"] == "limits":
            *_, framework, _, device, _ = f"///{event.get('cell')}".rsplit("/", 4)
            for word, rate in (event.get("rates") or {}).items():
                yield framework, device, str(word), rate or 0.0


def kernel(name: str, device: str) -> str:
    """Return a kernel's name among the limits: the CPU's as they are, others' "on" their device."""
    return name if device == "cpu" else f"{name} on {device}"


def complete(
    table: pd.DataFrame, pairs: pd.DataFrame, events: Sequence[Event], manifest: Mapping[str, Any]
) -> pd.DataFrame:
    """Return the summary with what only all cells together give: ranks, and what limits each cell."""
    table = table.copy()
    rated = table[
        (table["status"] == "ok") & ~table["reference"] & table["train_samples_per_s"].notna()
    ]
    trained = pairs[pairs["kind"] == "train"]
    for key, group in rated.groupby(list(GROUP), sort=False):
        group_pairs = trained[(trained[list(GROUP)] == list(key)).all(axis=1)]
        if group_pairs["launches"].max() >= 2:  # without an interval nothing is ranked
            ranges = pairwise.ranks(group_pairs, list(group["cell"]))
            best, worst = zip(*group["cell"].map(ranges), strict=True)
            table.loc[group.index, ["rank", "rank_worst"]] = np.transpose([best, worst])
    return _limited(table, events, manifest)


def _limited(
    table: pd.DataFrame, events: Sequence[Event], manifest: Mapping[str, Any]
) -> pd.DataFrame:
    """Fill in each cell's share of its limit, and `step_operations`.

    That is how many tiny operations its framework dispatches in the time of a training step.
    """
    specs = manifest.get("workloads") or {}
    workloads = {name: workload_of(spec) for name, spec in specs.items()}
    works = {name: workload for name, workload in workloads.items() if workload is not None}
    speed = table["train_samples_per_s"].astype(float)
    rate = table["workload"].map({k: cost.training_flop(w) for k, w in works.items()}) * speed
    # A cell's limit is that of its own arithmetic, on its own device, with as many threads.
    timed = [event for event in events if event["event"] == "limits"]
    alike = {name: sweep.limits_of(manifest, timed, name) for name in table["workload"].unique()}
    best = {name: limits(measured) for name, measured in alike.items()}
    started = {name: launches(measured) for name, measured in alike.items()}
    cells = table.to_dict("records")
    most = [
        best[cell["workload"]].get(kernel(f"{cell['dtype']} product", cell["device"])) or np.nan
        for cell in cells
    ]
    table["limit_share"] = (rate / np.asarray(most, float)).astype(float)
    rates = [
        started[cell["workload"]].get((cell["framework"], cell["device"]), np.nan) for cell in cells
    ]
    dispatched = np.asarray(rates, float)
    batch = table["workload"].map({name: workload.data.batch for name, workload in works.items()})
    table["step_operations"] = (dispatched * batch / speed).astype(float)
    return table
