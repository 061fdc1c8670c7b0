"""From a run's journal to its two tables: a row a timed slice, a row a cell. Pure functions.

Seconds, bytes, samples a second. What a cell did not come to is missing (NaN or None), never 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from sys import intern
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.machine import alone
from harness.results import aggregates, pairwise, to_target
from harness.results.metric import EventField
from harness.results.metrics import METRICS
from harness.verdicts import (
    EQUIVALENT,
    NOT_CHECKED,
    NOT_EQUIVALENT,
    UNDECIDED,
    by_cell,
    parity_verdict,
    undecided_reason,
)

Event = Mapping[str, Any]

OK, FAILED, INTERRUPTED, RUNNING = "ok", "failed", "interrupted", "running"
UNAVAILABLE, SKIPPED, NOT_RUN = "unavailable", "skipped", "not run"

FINISHED = (OK, UNDECIDED)
"""The statuses of cells that came to their end: their figures are shown."""

SLICES = {"slice": False, "twin-slice": True}
"""The events that are timed slices, and whether they are a replicate's."""

WARM_UP = 0
"""The round that is in the journal and the samples, and in no figure."""

IDENTITY = ("workload", "framework", "mode", "device", "dtype")
"""The parts of a cell's id. `dtype` is the arithmetic; `precision` is the metric."""

NAMES = ("cell", *IDENTITY, "kind")
"""What of a slice are names, which many share: categories in its table."""

SAMPLE_COLUMNS = (
    *NAMES,
    "turn",
    "launch",
    "round",
    "twin",
    "steps",
    "samples",
    "seconds",
    "cpu_seconds",
    "joules",
    "samples_per_s",
    "noise",
    "time",
)

LABELS = ("cell", *IDENTITY, "status", "reason", "reference", "parity", "parity_worst")
"""The columns of the summary that are no metrics: what a cell is, and how it came through."""

COLUMNS = (*LABELS, *(metric.column for metric in METRICS))

_MEASURED = {
    "turn": 0,
    "launch": 1,
    "round": None,
    "steps": None,
    "samples": None,
    "seconds": None,
    "cpu_seconds": None,
    "joules": None,
    "time": None,
}
"""What the journal has of a slice in numbers, and what they are where it does not."""

_TIMED = (
    "cell",
    "workload",
    "framework",
    "device",
    "dtype",
    "kind",
    "turn",
    "launch",
    "round",
    "samples",
    "seconds",
    "cpu_seconds",
    "joules",
    "samples_per_s",
    "noise",
)
"""What figures need of a slice."""


def slices(*blocks: Mapping[str, NDArray]) -> pd.DataFrame:
    """Return slices, those of replicates too, a row each, from their `columns`, block by block.

    `samples_per_s` is missing where the time is none. Names are categories: a million are cut and
    grouped quickly.
    """
    joined = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    seconds = joined["seconds"]
    rate = np.divide(
        joined["samples"], seconds, out=np.full(len(seconds), np.nan), where=seconds > 0
    )
    cell, kind = (pd.Categorical(joined[name]) for name in ("cell", "kind"))
    parts = [split(name) for name in cell.categories]
    names = {part: _renamed(cell, [identity[part] for identity in parts]) for part in IDENTITY}
    table = joined | names | {"cell": cell, "kind": kind, "samples_per_s": rate}
    table["noise"] = pd.Series(joined["noise"], dtype=object)
    return pd.DataFrame(table, columns=list(SAMPLE_COLUMNS))


def columns(events: Sequence[Event]) -> dict[str, NDArray]:
    """Return the journal's slice events by column: as objects, a million take a gigabyte."""
    texts = {
        # One text in memory, not many.
        "cell": [intern(str(event.get("cell", ""))) for event in events],
        "kind": [intern(str(event.get("kind", ""))) for event in events],
        "noise": [
            "; ".join(map(str, noise)) if isinstance(noise := event.get("noise"), list) else ""
            for event in events
        ],
    }
    numbers = {
        name: [event.get(name, usual) for event in events] for name, usual in _MEASURED.items()
    }
    twin = [SLICES.get(event.get("event", ""), bool(event.get("twin"))) for event in events]
    return {
        **{name: np.array(column, object) for name, column in texts.items()},
        **{name: _floats(column, _MEASURED[name]) for name, column in numbers.items()},
        "twin": np.array(twin, bool),
    }


def _renamed(column: pd.Categorical, names: Sequence[str]) -> pd.Categorical:
    """The column with another name for each of its categories; some may share one."""
    place, few = pd.factorize(np.array(names, object))
    return pd.Categorical.from_codes(place[column.codes], pd.Index(few))


def _floats(column: list[Any], usual: float | None = None) -> NDArray[np.float64]:
    """A column of numbers; what is none is `usual`, or missing."""
    try:
        numbers = np.array(column, float)
    except (TypeError, ValueError):
        series = pd.to_numeric(pd.Series(column, dtype=object), errors="coerce")
        numbers = series.to_numpy(float)
    return numbers if usual is None else np.where(np.isnan(numbers), usual, numbers)


def counted(table: pd.DataFrame, replicates: bool) -> pd.DataFrame:
    """The slices of the table of all that figures rest on: those of replicates, or of all others."""
    return pairwise.counted(_measured(table, replicates))


def pairs(
    manifest: Mapping[str, Any],
    events: Sequence[Event],
    table: pd.DataFrame,
    counted_slices: pd.DataFrame,
) -> pd.DataFrame:
    """Every pair of cells that may be compared, by `pairwise.pairs`.

    Left out are cells that failed, cells that were not found equivalent, and the reference; of a unit
    that was not alone on its node, all.

    `table` has the run's slices, `counted_slices` those that are `counted`.
    """
    replicates = counted(table, replicates=True)
    if not_alone(manifest, events, table):
        counted_slices = counted_slices.iloc[:0]
    excluded = {str(event.get("cell")) for event in events if event["event"] == "cell-failed"}
    excluded |= {
        cell for cell, checks in by_cell(events).items() if parity_verdict(checks) != EQUIVALENT
    }
    references = reference_names(events)
    counted_slices, replicates = (
        table[~table["cell"].isin(excluded) & ~table["framework"].isin(references)]
        for table in (counted_slices, replicates)
    )
    return pairwise.pairs(counted_slices, replicates, level(manifest))


def not_alone(
    manifest: Mapping[str, Any], events: Iterable[Event], table: pd.DataFrame
) -> tuple[str, ...]:
    """Why a matrix's unit was not alone on its node (`alone.why_not`); empty of any other run."""
    if not manifest.get("unit"):
        return ()
    rates = [event.get("rate") for event in events if event["event"] == "calibration"]
    noise = table.loc[~table["twin"], "noise"]
    jobs = neighbours(events) or []
    return tuple(alone.why_not(jobs, list(noise), [rate for rate in map(number, rates) if rate]))


def neighbours(events: Iterable[Event]) -> list[str] | None:
    """The other jobs that were on a unit's node, before or after; None where no engine could say."""
    looks = [event for event in events if event["event"] == "neighbours"]
    return sorted({str(job) for look in looks for job in look["jobs"]}) if looks else None


def level(manifest: Mapping[str, Any]) -> float:
    """The level of a run's intervals; a manifest without it is of a run that stopped by its verdicts."""
    options = manifest.get("options") or {}
    stored = number(options.get("level"))
    return pairwise.level(bool(options.get("open_ended"))) if stored is None else stored


def summary(
    manifest: Mapping[str, Any],
    events: Sequence[Event],
    table: pd.DataFrame,
    counted_slices: pd.DataFrame,
    pairs: pd.DataFrame,
    running: bool = False,
) -> pd.DataFrame:
    """Every cell as a row: those of the plan in its order, then any other of the journal.

    `table` has the run's slices, `counted_slices` those that are `counted`, `pairs` its comparisons;
    `running`: the run goes on.
    """
    of_cell: dict[str, list[Event]] = {str(cell): [] for cell in manifest.get("cells") or ()}
    for event in events:
        if event.get("cell") is not None:
            of_cell.setdefault(str(event["cell"]), []).append(event)
    for cell in table["cell"].unique():
        of_cell.setdefault(str(cell), [])
    timed = aggregates.timed(_measured(table), counted_slices, level(manifest))
    references = reference_names(events)
    rows = [
        _row(cell, cell_events, manifest, events, timed.get(cell), references, running)
        for cell, cell_events in of_cell.items()
    ]
    cells = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"reference": bool})
    cells = aggregates.complete(cells, pairs, events, manifest)
    integers = [metric.column for metric in METRICS if metric.type == "integer"]
    return cells.astype(dict.fromkeys(integers, "Int64"))


def _measured(table: pd.DataFrame, replicates: bool = False) -> pd.DataFrame:
    """The slices of a table that are no warm-up: those of replicates, or of all others."""
    return table.loc[(table["round"] != WARM_UP) & (table["twin"] == replicates), list(_TIMED)]


def split(cell: str) -> dict[str, str]:
    """The parts of a cell's id, by name."""
    parts = cell.rsplit("/", len(IDENTITY) - 1)
    return dict(zip(IDENTITY, parts + [""] * (len(IDENTITY) - len(parts)), strict=True))


def synthetic(manifest: Mapping[str, Any]) -> bool:
    """Whether the run's data was made up, so that accuracy has no meaning."""
    return (manifest.get("options") or {}).get("data") == "synthetic"


def number(value: Any) -> float | None:
    """The value as a finite float, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        return None
    return float(value) if math.isfinite(value) else None


def reference_names(events: Iterable[Event]) -> set[str]:
    """The names of the frameworks that are the reference and are never ranked."""
    ready = (event for event in events if event["event"] == "framework-ready")
    return {str(event.get("framework")) for event in ready if event.get("reference")}


def refused(events: Iterable[Event]) -> dict[str, str]:
    """The workloads that were refused before any of their cells began, each with the reason."""
    return {
        str(event.get("workload")): str(event.get("reason") or "no reason given")
        for event in events
        if event["event"] == "workload-refused"
    }


def _row(
    cell: str,
    cell_events: Sequence[Event],
    manifest: Mapping[str, Any],
    events: Sequence[Event],
    timed: Mapping[Any, Any] | None,
    references: set[str],
    running: bool,
) -> dict[str, Any]:
    last = {event["event"]: event for event in cell_events}
    parts, specs = split(cell), manifest.get("workloads") or {}
    checks = [event for event in cell_events if event["event"] == "parity"]
    status, reason = _status(parts, last, events, timed is not None, checks, running)
    row = {
        "cell": cell,
        **parts,
        "status": status,
        "reason": " ".join(reason.split()),
        "reference": parts["framework"] in references,
        **_parity(checks),
        **(aggregates.UNTIMED if timed is None or status == NOT_EQUIVALENT else timed),
        **aggregates.from_events(cell_events),
        **_from_events(last, synthetic(manifest)),
        "memory_floor_bytes": aggregates.floor_bytes(specs.get(parts["workload"])),
    }
    target = number((specs.get(parts["workload"]) or {}).get("target_accuracy"))
    row |= to_target.figures(cell_events, target)
    comparable = target and row["accuracy"] is not None
    return row | {"reached_target": row["accuracy"] >= target if comparable else None}


def _from_events(last: Mapping[str, Event], synthetic: bool) -> dict[str, float | None]:
    """The metrics that the last event of a kind has; without scores on synthetic data."""
    return {
        metric.column: None
        if synthetic and metric.quality
        else number(metric.source.read(last.get(metric.source.kind, {})))
        for metric in METRICS
        if isinstance(metric.source, EventField)
    }


def _status(
    parts: Mapping[str, str],
    last: Mapping[str, Event],
    events: Iterable[Event],
    timed: bool,
    checks: Sequence[Event],
    running: bool,
) -> tuple[str, str]:
    """A cell's status and, where that is not ok, the reason; `checks` are its parity events."""
    if (failed := last.get("cell-failed")) is not None:
        reason = str(failed.get("reason") or "no reason given")
        phase = failed.get("phase")
        return str(failed.get("status") or FAILED), f"in {phase}: {reason}" if phase else reason
    if "cell-done" in last:
        return _done(checks)
    if (last or timed) and running:
        return RUNNING, "the run goes on, and the cell is not done yet"
    if last or timed:
        return INTERRUPTED, "the journal ends before the cell was done"
    for kind, key, status in (
        ("framework-unavailable", "framework", UNAVAILABLE),
        ("workload-skipped", "workload", SKIPPED),
        ("workload-refused", "workload", NOT_RUN),
    ):
        for event in events:
            same_device = event.get("device") in (None, parts["device"])
            if event["event"] == kind and event.get(key) == parts[key] and same_device:
                return status, str(event.get("reason") or "no reason given")
    if running:
        return NOT_RUN, "the run goes on, and has not come to the cell yet"
    return NOT_RUN, "the run ended before the cell began"


def _done(checks: Sequence[Event]) -> tuple[str, str]:
    """The status of a cell that came to its end, and the reason: what its parity events allow."""
    verdict = parity_verdict(checks)
    if verdict in (EQUIVALENT, NOT_CHECKED):
        return OK, ""
    if verdict == NOT_EQUIVALENT:  # it should have failed, and must not be ranked
        return NOT_EQUIVALENT, str(nearest_bound(checks).get("sentence"))
    return UNDECIDED, undecided_reason(checks)


def _parity(checks: Sequence[Event]) -> dict[str, Any]:
    """The verdict of a cell's parity events, and which tensor came nearest its bound."""
    nearest = nearest_bound(checks) if checks else {}
    return {
        "parity": parity_verdict(checks),
        "parity_share": number(nearest.get("worst_share")),
        "parity_worst": str(nearest["worst_tensor"]) if "worst_tensor" in nearest else None,
    }


def nearest_bound(checks: Sequence[Event]) -> Event:
    """The event of some parity events with the largest error over its bound; null is not finite."""

    def share(event: Event) -> float:
        value = number(event.get("worst_share"))
        return np.inf if value is None else value

    return max(checks, key=share)
