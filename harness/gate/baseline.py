"""Baselines: what a run measured, as a small file that a person can review, and its machine.

Speeds are kept as what they were against the calibration, a fixed work of our own in the same rounds;
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
from harness.results import aggregates, classification, identity, store, tables
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
    ("flop", "other operation counts"),
)
"""What has to be the same for anything to be compared: the fields of a computation, and the operations of
a step, which differ where the version that saved the baseline read another thing into the same spec."""
_WRONG = (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError)


@dataclass(frozen=True)
class Baseline:
    """A baseline, read back. `told` is the file's table."""

    name: str
    told: Mapping[str, Any]
    cells: Mapping[str, Cell]

    def anchored(
        self, metric: Metric, cell: str, now: Mapping[str, Logs], alike: bool
    ) -> tuple[Logs, Logs] | None:
        """Return a metric's logarithms by launch, of then and of `now`, against the same anchor.

        Of speeds there are two: the calibration, on a machine that is `alike`; and by how much the cells
        of other frameworks on the same workload and device are faster than they were, the middle one.
        Taken is the one that tells of less: others may have become faster, and a machine that is slower
        for many threads is not for the calibration's one.

        None where there is nothing to go by; NaN for `now` where that was not measured.
        """
        then = {one: self._series(metric, one) for one in self.cells}
        before, after = then.get(cell, _NONE), now.get(cell, _NONE)
        others = [one for one in then if metric.rule.kind and one in now and _rivals(one, cell)]
        if np.isfinite(before).sum() < 2 or not (alike or others):
            return None
        sides = [(before, after)] if alike else []
        whole = [
            one for one in others if len(then[one]) == len(before) and len(now[one]) == len(after)
        ]
        if whole:
            levels = {one: intervals.pseudomedian(then[one]) for one in whole}
            sides.append((before - _faster(then, levels), after - _faster(now, levels)))
        told = [side for side in sides if np.isfinite(_change(side))]
        return min(told, key=_change) if told else (before, np.full(1, np.nan))

    def value(self, metric: Metric, cell: str) -> float | None:
        """The figure itself, in the metric's unit."""
        return self.told["cells"][cell]["values"].get(metric.name)

    def floor(self, metric: Metric) -> float:
        """By how much identical cells came out apart, as a logarithm."""
        return float(self.told["floors"].get(metric.name, 0.0))

    def unlike(self, record: store.Record) -> list[str]:
        """In words, what of the run's machine is not the baseline's."""
        ours, theirs = self.told["machine"], record.manifest.get("machine") or {}
        found = identity.unlike(ours, theirs)
        threads = (record.manifest.get("options") or {}).get("threads")
        if threads != self.told["threads"]:
            found.append(f"threads: {self.told['threads']}, then {threads}")
        return found

    def incomparable(self, cell: str, record: store.Record) -> str | None:
        """Say why nothing of a cell can be compared; None where it can."""
        workload = tables.split(cell)["workload"]
        then, now = self.told["workloads"].get(workload), _workloads(record).get(workload)
        if then is None or now is None:
            return "its workload is not in both"
        for key, what in _SAME:
            if then[key] != now[key]:
                both = " then ".join(str(one[key] or "none")[:12] for one in (then, now))
                return f"{what}: {both}; check it as it was measured, or save the baseline anew"
        return None

    def _series(self, metric: Metric, cell: str) -> Logs:
        return np.asarray(self.told["cells"][cell]["logs"].get(metric.name, []), dtype=float)


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
    now, manifest = Measures(record), record.manifest
    cells = {one: cell for one, cell in now.cells.items() if cell.status == tables.OK}
    run = str(manifest.get("run", record.folder.name))
    if not cells:
        raise store.StoreError(f"{run} is no baseline: no cell is ok")
    for one in cells:
        if (known := _known(now, one)) < LEAST_LAUNCHES:
            raise store.StoreError(
                f"{run} is no baseline: {known} launches of {one} are timed and undisturbed, it takes"
                f" {LEAST_LAUNCHES}; run it for longer, or on a quiet machine"
            )
    return {
        "schema": SCHEMA,
        "name": run if name is None else named(name),
        "run": run,
        **{key: manifest.get(key) for key in ("started", "samestep", "git_commit", "command")},
        "threads": (manifest.get("options") or {}).get("threads"),
        "asked": _asked(manifest),
        "machine": manifest.get("machine") or {},
        "fingerprint": identity.fingerprint(manifest.get("machine") or {}),
        "workloads": _workloads(record),
        "versions": {
            str(one.get("framework")): one.get("version") for one in record.every("framework-ready")
        },
        "floors": {
            metric.name: round(max(now.floor(metric, one) for one in cells), DIGITS)
            for metric in IN_GATE
        },
        "cells": {one: _cell(one, cell, now) for one, cell in cells.items()},
    }


def _known(now: Measures, cell: str) -> int:
    """In how many launches every speed of a cell is known, by undisturbed slices."""
    counts = [
        np.isfinite(now.against_calibration(metric, cell)).sum()
        for metric in IN_GATE
        if metric.rule.kind and now.value(metric, cell) is not None
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
    text = json.dumps(store.strict(table), indent=1, allow_nan=False)
    return re.sub(r"\[\n\s+([^\[\]{}]*?)\n\s+\]", _one_line, text) + "\n"


def _one_line(match: re.Match[str]) -> str:
    return "[" + re.sub(r"\n\s+", " ", match[1]) + "]"  # a text within has no line's end of its own


def attachment(table: Mapping[str, Any]) -> dict[str, str]:
    """The copy of a baseline in the folder of the run that is compared with it: its name and text."""
    return {COPY: _text(table)}


def read(path: Path) -> Baseline:
    """Read a baseline. Raises StoreError where it is missing, broken or of another schema."""
    try:
        told = json.loads(text_of(path))
        if told["schema"] == BEFORE:
            told = _renamed(told)
        elif told["schema"] != SCHEMA:
            raise store.StoreError(
                f"{path}: is of schema {told['schema']!r:.20}, this samestep reads {SCHEMA}: save it anew"
            )
        return _checked(told)
    except SpecError as error:
        raise store.StoreError(str(error)) from error
    except OSError as error:
        raise store.StoreError(f"{path}: cannot be read ({error.strerror})") from error
    except _WRONG as error:
        why = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise store.StoreError(f"{path}: is no baseline ({why:.100}): save it anew") from error


def _renamed(value: Any) -> Any:
    """Return a table of schema BEFORE with its metrics' names of today."""
    if not isinstance(value, dict):
        return value
    return {RENAMED.get(key, key): _renamed(one) for key, one in value.items()}


def _rivals(one: str, other: str) -> bool:
    """Whether two cells are of different frameworks and may be compared."""
    frameworks = {tables.split(cell)["framework"] for cell in (one, other)}
    return len(frameworks) == 2 and group(one) == group(other)


def _faster(side: Mapping[str, Logs], levels: Mapping[str, float]) -> Logs:
    """Return by how much cells are above their levels, launch by launch: the middle one's distance.

    Not the middle cell's logarithm: that would be the same cell always, and all would hang on it.
    """
    distances = np.ma.masked_invalid([side[cell] - level for cell, level in levels.items()])
    return np.asarray(np.ma.median(distances, axis=0).filled(np.nan), dtype=float)


def _change(sides: tuple[Logs, Logs]) -> float:
    before, after = map(intervals.pseudomedian, sides)
    return abs(after - before)


def _cell(name: str, cell: Cell, now: Measures) -> dict[str, Any]:
    logs = {metric.name: now.against_calibration(metric, name) for metric in IN_GATE}
    values = {metric.name: now.value(metric, name) for metric in IN_GATE}
    return {
        "parity": cell.parity,
        "values": {
            key: float(f"{value:.6g}") for key, value in values.items() if value is not None
        },
        "logs": {
            key: np.round(found, DIGITS).tolist() for key, found in logs.items() if len(found)
        },
        "accuracy": cell.accuracy,
        "right": {
            str(seed): [right.size, classification.pack(right)]
            for seed, right in cell.right.items()
        },
    }


def _checked(told: Mapping[str, Any]) -> Baseline:
    """Return what a file holds as a baseline. Raises one of _WRONG where a check could not use it."""
    identity.fingerprint(told["machine"])  # it reads all that is compared
    asked = [told["asked"][key] for key in ("epochs", "steps", "seed")]
    for value in (told["threads"], *(one for one in asked if one is not None)):
        if operator.index(value) < 0:
            raise ValueError(f"{value} is below 0")
    if not (told["threads"] and told["cells"]):
        raise ValueError("without threads or cells")
    if told["asked"]["data"] not in ("real", "synthetic"):
        raise ValueError("its data is neither real nor synthetic")
    _ = told["asked"]["deterministic"]
    for key, value in told["floors"].items():
        _number(key, value, most=FAR)
    for one in told["workloads"].values():
        _ = [one[key] for key, _ in _SAME]
    _ = told["started"], told["run"], told["versions"].items()
    return Baseline(
        str(told["name"]),
        told,
        {str(one): _read_cell(one, cell) for one, cell in told["cells"].items()},
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
    right = {
        int(seed): classification.unpack(text, count)
        for seed, (count, text) in table["right"].items()
    }
    return Cell(tables.OK, "", str(table["parity"]), right)


def _number(what: str, value: Any, most: float = math.inf) -> None:
    if not (math.isfinite(value) and abs(value) <= most):
        raise ValueError(f"{what!r:.40} is {value:g}, which nothing measured is")


def _asked(manifest: Mapping[str, Any]) -> dict[str, Any]:
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
    found = {}
    for name, spec in (record.manifest.get("workloads") or {}).items():
        workload = aggregates.workload_of(spec)
        flop = None if workload is None else cost.training_flop(workload)
        found[name] = {**asdict(identity.computation(record, name)), "flop": flop}
    return found


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
