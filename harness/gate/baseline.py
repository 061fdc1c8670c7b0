"""Baselines: what a run measured, as a small file that a person can review, and its machine.

Speeds are stored relative to the calibration, a fixed work of our own in the same rounds;
so any two cells' ratio can be taken from them, and a machine that is slow today is slow for all.
"""

from __future__ import annotations

import json
import math
import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from frameworks.contract import PRECISIONS
from harness.machine import devices
from harness.results import aggregates, classification, identity, serialise, store, tables
from harness.results.launches import Cell, Logs, Measures, group
from harness.results.metric import Metric
from harness.results.metrics import IN_GATE, RENAMED
from harness.stats import intervals
from workloads import cost
from workloads.reading import SpecError, text_of

SCHEMA, BEFORE = 3, 2
"""What is written, and what is read as well: some metrics had other names (`metrics.RENAMED`)."""

FOLDER = "baselines"
COPY = "baseline.json"
"""A check's own copy, in its run's folder: the verdict can be found again from there alone."""

LEAST_LAUNCHES = 3
DIGITS = 5
FAR = 100.0
"""No logarithm of anything measured is as large."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NONE: Logs = np.empty(0)
_SAME = (
    ("spec", "another spec"),
    ("data", "other data"),
    ("steps", "other --steps"),
    ("deterministic", "other --deterministic"),
    ("kept_variables", "other --keep-env"),
    ("flop", "other operation counts"),
)
"""What has to be the same for anything to be compared: the fields of a computation, and the operations of
a step, which differ where the version that saved the baseline read another thing into the same spec."""
_WRONG = (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError)


@dataclass(frozen=True)
class Baseline:
    """A baseline, read back. `table` is the file's table."""

    name: str
    table: Mapping[str, Any]
    cells: Mapping[str, Cell]

    def against_control(
        self, metric: Metric, cell: str, current: Mapping[str, Logs], alike: bool
    ) -> tuple[Logs, Logs] | None:
        """Return a metric's logarithms by launch, stored and `current`, against the same control.

        Of speeds there are two: the calibration, on a machine that is `alike`; and by how much the cells
        of other frameworks on the same workload and device are faster than they were, the middle one.
        The smaller change of the two is used: others may have become faster, and a machine that is slower
        for many threads is not for the calibration's one.

        None where there is nothing to go by; NaN for `current` where that was not measured.
        """
        stored = {cell_id: self._series(metric, cell_id) for cell_id in self.cells}
        before, after = stored.get(cell, _NONE), current.get(cell, _NONE)
        rivals = [
            rival
            for rival in stored
            if metric.rule.kind and rival in current and _rivals(rival, cell)
        ]
        if np.isfinite(before).sum() < 2 or not (alike or rivals):
            return None
        sides = [(before, after)] if alike else []
        complete = [
            rival
            for rival in rivals
            if len(stored[rival]) == len(before) and len(current[rival]) == len(after)
        ]
        if complete:
            levels = {rival: intervals.pseudomedian(stored[rival]) for rival in complete}
            sides.append((before - _faster(stored, levels), after - _faster(current, levels)))
        measured = [side for side in sides if np.isfinite(_change(side))]
        return min(measured, key=_change) if measured else (before, np.full(1, np.nan))

    def value(self, metric: Metric, cell: str) -> float | None:
        """The figure itself, in the metric's unit."""
        return self.table["cells"][cell]["values"].get(metric.name)

    def floor(self, metric: Metric) -> float:
        """The A/A noise floor, as a logarithm."""
        return float(self.table["floors"].get(metric.name, 0.0))

    def unlike(self, record: store.Record) -> list[str]:
        """In words, what of the run's machine is not the baseline's."""
        stored, current = self.table["machine"], record.manifest.get("machine") or {}
        differences = identity.unlike(stored, current)
        threads = (record.manifest.get("options") or {}).get("threads")
        if threads != self.table["threads"]:
            differences.append(f"threads: {self.table['threads']}, then {threads}")
        return differences

    def incomparable(self, cell: str, record: store.Record) -> str | None:
        """Say why nothing of a cell can be compared; None where it can."""
        workload = tables.split(cell)["workload"]
        before, after = self.table["workloads"].get(workload), _workloads(record).get(workload)
        if before is None or after is None:
            return "its workload is not in both"
        for key, what in _SAME:
            if before[key] != after[key]:
                both = " then ".join(str(side[key] or "none")[:40] for side in (before, after))
                return f"{what}: {both}; check it as it was measured, or save a new baseline"
        return None

    def _series(self, metric: Metric, cell: str) -> Logs:
        return np.asarray(self.table["cells"][cell]["logs"].get(metric.name, []), dtype=float)


def named(name: str) -> str:
    """Return the name of a baseline, which is its file's. Raises StoreError where it is none."""
    if not _NAME.fullmatch(name):
        raise store.StoreError(
            f"a baseline cannot be named {name!r:.40}: take letters, digits, and within . _ -"
        )
    return name


def of(record: store.Record, name: str | None = None) -> dict[str, Any]:
    """Return a run as a baseline's table, under `name` or the run's own.

    Raises StoreError where it does not do for one.
    """
    measures, manifest = Measures(record), record.manifest
    cells = {cell_id: cell for cell_id, cell in measures.cells.items() if cell.status == tables.OK}
    run = str(manifest.get("run", record.folder.name))
    if manifest.get("sweep"):
        raise store.StoreError(
            f"{run} cannot be a baseline: it is a sweep, whose workloads are in no file a check could"
            " read; run the workload itself, or write one file for each of its points"
        )
    if not cells:
        raise store.StoreError(f"{run} cannot be a baseline: no cell succeeded")
    for cell_id in cells:
        if (launches := _clean_launches(measures, cell_id)) < LEAST_LAUNCHES:
            raise store.StoreError(
                f"{run} cannot be a baseline: {cell_id} has {launches} clean launches, at least"
                f" {LEAST_LAUNCHES} are needed; run it for longer, or on a quiet machine"
            )
    return {
        "schema": SCHEMA,
        "name": run if name is None else named(name),
        "run": run,
        **{key: manifest.get(key) for key in ("started", "samestep", "git_commit", "command")},
        "threads": (manifest.get("options") or {}).get("threads"),
        "asked": _options_to_repeat(manifest),
        "machine": manifest.get("machine") or {},
        "fingerprint": identity.fingerprint(manifest.get("machine") or {}),
        "workloads": _workloads(record),
        "versions": {
            str(event.get("framework")): event.get("version")
            for event in record.every("framework-ready")
        },
        "floors": {
            metric.name: round(max(measures.floor(metric, cell_id) for cell_id in cells), DIGITS)
            for metric in IN_GATE
        },
        "cells": {cell_id: _cell(cell_id, cell, measures) for cell_id, cell in cells.items()},
    }


def _clean_launches(measures: Measures, cell: str) -> int:
    """In how many launches every speed of a cell is known, by uncontaminated slices."""
    counts = [
        np.isfinite(measures.against_calibration(metric, cell)).sum()
        for metric in IN_GATE
        if metric.rule.kind and measures.value(metric, cell) is not None
    ]
    return int(min(counts, default=0))


def save(folder: Path, table: Mapping[str, Any]) -> Path:
    """Write a baseline into `folder`, in place of one of that name; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{table['name']}.json"
    store.write(path, _text(table))
    return path


def _text(table: Mapping[str, Any]) -> str:
    """Write the table as JSON, a line for each list of numbers: it is read in reviews."""
    text = json.dumps(serialise.strict(table), indent=1, allow_nan=False)
    return re.sub(r"\[\n\s+([^\[\]{}]*?)\n\s+\]", _one_line, text) + "\n"


def _one_line(match: re.Match[str]) -> str:
    return "[" + re.sub(r"\n\s+", " ", match[1]) + "]"  # a text within has no line's end of its own


def attachment(table: Mapping[str, Any]) -> dict[str, str]:
    """The copy of a baseline in the folder of the run that is compared with it: its name and text."""
    return {COPY: _text(table)}


def read(path: Path) -> Baseline:
    """Read a baseline. Raises StoreError where it is missing, broken or of another schema."""
    try:
        table = json.loads(text_of(path))
        if table["schema"] == BEFORE:
            table = _renamed(table)
        elif table["schema"] != SCHEMA:
            raise store.StoreError(
                f"{path}: schema {table['schema']!r:.20}, this samestep reads {SCHEMA}: save a new one"
            )
        return _checked(table)
    except SpecError as error:
        raise store.StoreError(str(error)) from error
    except OSError as error:
        raise store.StoreError(f"{path}: cannot be read ({error.strerror})") from error
    except _WRONG as error:
        why = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise store.StoreError(
            f"{path}: not a valid baseline ({why:.100}): save a new one"
        ) from error


def _renamed(value: Any) -> Any:
    """Return a table of schema BEFORE with its metrics' names of today."""
    if not isinstance(value, dict):
        return value
    return {RENAMED.get(key, key): _renamed(inner) for key, inner in value.items()}


def _rivals(a: str, b: str) -> bool:
    """Whether two cells are of different frameworks and may be compared."""
    frameworks = {tables.split(cell)["framework"] for cell in (a, b)}
    return len(frameworks) == 2 and group(a) == group(b)


def _faster(side: Mapping[str, Logs], levels: Mapping[str, float]) -> Logs:
    """Return by how much cells are above their levels, launch by launch: the middle one's distance.

    Not the middle cell's logarithm: that would be the same cell always, and all would hang on it.
    """
    distances = np.ma.masked_invalid([side[cell] - level for cell, level in levels.items()])
    return np.asarray(np.ma.median(distances, axis=0).filled(np.nan), dtype=float)


def _change(sides: tuple[Logs, Logs]) -> float:
    before, after = map(intervals.pseudomedian, sides)
    return abs(after - before)


def _cell(name: str, cell: Cell, measures: Measures) -> dict[str, Any]:
    logs = {metric.name: measures.against_calibration(metric, name) for metric in IN_GATE}
    values = {metric.name: measures.value(metric, name) for metric in IN_GATE}
    return {
        "parity": cell.parity,
        "values": {
            key: float(f"{value:.6g}") for key, value in values.items() if value is not None
        },
        "logs": {
            key: np.round(values, DIGITS).tolist() for key, values in logs.items() if len(values)
        },
        "accuracy": cell.accuracy,
        "right": {
            str(seed): [correct.size, classification.pack(correct)]
            for seed, correct in cell.correct.items()
        },
    }


def _checked(table: Mapping[str, Any]) -> Baseline:
    """Return what a file holds as a baseline. Raises one of _WRONG where a check could not use it."""
    identity.fingerprint(table["machine"])  # it reads all that is compared
    options = [table["asked"][key] for key in ("epochs", "steps", "seed")]
    sizes = [table["machine"].get(key) for key in ("memory_total", "memory_limit")]
    for value in (table["threads"], *(n for n in (*options, *sizes) if n is not None)):
        if operator.index(value) < 0:
            raise ValueError(f"{value} is below 0")
    if not (table["threads"] and table["cells"]):
        raise ValueError("without threads or cells")
    if table["asked"]["data"] not in ("real", "synthetic"):
        raise ValueError("its data is neither real nor synthetic")
    _ = table["asked"]["deterministic"]
    for key, value in table["floors"].items():
        _number(key, value, most=FAR)
    for workload in table["workloads"].values():
        workload.setdefault("kept_variables", "")  # a file of before has none
        _ = [workload[key] for key, _ in _SAME]
    _ = table["started"], table["run"], table["versions"].items()
    return Baseline(
        str(table["name"]),
        table,
        {str(cell_id): _read_cell(cell_id, cell) for cell_id, cell in table["cells"].items()},
    )


def _read_cell(name: str, table: Mapping[str, Any]) -> Cell:
    parts = tables.split(name)
    valid = devices.NAME.fullmatch(parts["device"]) and parts["dtype"] in PRECISIONS
    if not (valid and all(parts.values())):
        raise ValueError(f"{name!r:.40} names no cell")
    for key, value in table["values"].items():
        _number(key, value)
    for key, logs in table["logs"].items():
        for value in logs:
            _number(key, 0 if value is None else value, most=FAR)
    correct = {
        int(seed): classification.unpack(text, count)
        for seed, (count, text) in table["right"].items()
    }
    return Cell(tables.OK, "", str(table["parity"]), correct)


def _number(what: str, value: Any, most: float = math.inf) -> None:
    if not (math.isfinite(value) and abs(value) <= most):
        raise ValueError(f"{what!r:.40} = {value:g} is out of range")


def _options_to_repeat(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What of the run's options a check has to repeat."""
    options, specs = manifest.get("options") or {}, manifest.get("workloads") or {}
    data = [spec.get("data") or {} for spec in specs.values()]
    shared = {key: {section.get(key) for section in data} for key in ("epochs", "seed")}
    repeated = {key: values.pop() if len(values) == 1 else None for key, values in shared.items()}
    repeated |= {key: options.get(key) for key in ("data", "steps")}
    repeated["deterministic"] = bool(options.get("deterministic"))
    return repeated | ({"epochs": None} if repeated["steps"] else {})  # they exclude each other


def _workloads(record: store.Record) -> dict[str, dict[str, Any]]:
    """By name: what was computed, and the operations of a step."""
    workloads = {}
    for name, spec in (record.manifest.get("workloads") or {}).items():
        workload = aggregates.workload_of(spec)
        flop = None if workload is None else cost.training_flop(workload)
        workloads[name] = {**asdict(identity.computation(record, name)), "flop": flop}
    return workloads


def names(folder: Path) -> Sequence[str]:
    """The baselines in `folder`, by name."""
    return sorted(path.stem for path in folder.glob("*.json"))


def path(results: Path, name: str) -> Path:
    """Return where the baseline of that name lies. Raises StoreError where there is none."""
    folder = results / FOLDER
    if name not in names(folder):
        available = ", ".join(names(folder)) or "none"
        raise store.StoreError(f"no baseline {name!r:.40} in {folder}; there are: {available}")
    return folder / f"{name}.json"
