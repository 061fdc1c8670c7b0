"""Baselines: what a run measured, as a small file that a person can review, and its machine.

Speeds are kept as what they were against the calibration, a fixed work of our own in the same rounds;
so any two cells' ratio can be taken from them, and a machine that is slow today is slow for all.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness import figures, machine, metrics, store, summaries
from harness.gate.finding import FIRST_STEP, METRICS, Metric
from harness.gate.measures import Cell, Logs, Measures
from workloads import cost

SCHEMA = 1
FOLDER = "baselines"
COPY = "baseline.json"
"""A check's own copy, in its run's folder: the verdict can be found again from there alone."""

LEAST_LAUNCHES = 3
DIGITS = 5
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Baseline:
    """A baseline, read back. `told` is the file's table."""

    name: str
    told: Mapping[str, Any]
    cells: Mapping[str, Cell]

    def anchored(
        self, metric: Metric, cell: str, now: Mapping[str, Logs], alike: bool
    ) -> tuple[Logs, Logs] | None:
        """Return a metric's logarithms by launch, of then and of `now`, against the same anchors.

        For speeds the anchors are the cells of other frameworks on the same workload and device, and on
        a machine that is `alike` the calibration. None where there is nothing to go by.
        """
        then = {one: self._series(metric, one) for one in self.cells}
        if not (len(then.get(cell, ())) and len(now.get(cell, ()))):
            return None
        if metric.kind is None:
            return (then[cell], now[cell]) if alike else None
        own = summaries.split(cell)
        others = [
            one for one in then
            if (parts := summaries.split(one))["framework"] != own["framework"]
            and all(parts[key] == own[key] for key in ("workload", "device", "dtype"))
            and len(then[one]) == len(then[cell]) and len(now.get(one, ())) == len(now[cell])
        ]  # fmt: skip
        if not others and not alike:
            return None
        return _anchored(then, cell, others, alike), _anchored(now, cell, others, alike)

    def value(self, metric: Metric, cell: str) -> float | None:
        """The figure itself, in the metric's unit."""
        return self.told["cells"][cell]["values"].get(metric.name)

    def floor(self, metric: Metric) -> float:
        """By how much identical cells came out apart, as a logarithm."""
        return float(self.told["floors"].get(metric.name, 0.0))

    def unlike(self, record: store.Record) -> list[str]:
        """In words, what of the run's machine is not the baseline's."""
        ours, theirs = self.told["machine"], record.manifest.get("machine") or {}
        found = machine.unlike(ours, theirs)
        threads = (record.manifest.get("options") or {}).get("threads")
        if threads != self.told["threads"]:
            found.append(f"threads: {self.told['threads']}, then {threads}")
        if not (machine.fingerprint(ours) and machine.fingerprint(theirs)) and not found:
            found.append("processor: of no known name")
        return found

    def incomparable(self, cell: str, record: store.Record) -> str | None:
        """Say why nothing of a cell can be compared; None where it can."""
        workload = summaries.split(cell)["workload"]
        then, now = self.told["workloads"].get(workload), _workloads(record).get(workload)
        if then is None or now is None:
            return "its workload is not in both"
        for key, what in (
            ("spec", "another spec"),
            ("data", "other data"),
            ("flop", "other operation counts"),
        ):
            if then[key] != now[key]:
                return f"{what}: {str(then[key])[:12]}, then {str(now[key])[:12]}; save the baseline anew"
        return None

    def _series(self, metric: Metric, cell: str) -> Logs:
        return np.asarray(self.told["cells"][cell]["logs"].get(metric.name, []), dtype=float)


def of(record: store.Record, name: str) -> dict[str, Any]:
    """Return a run as a baseline's table. Raises StoreError where it does not do for one."""
    if not _NAME.fullmatch(name):
        raise store.StoreError(f'a baseline cannot be named "{name}": letters, digits, . _ and -')
    now, manifest = Measures(record), record.manifest
    cells = {one: cell for one, cell in now.cells.items() if cell.status == summaries.OK}
    few = [one for one in cells if now.launches(one) < LEAST_LAUNCHES]
    run = str(manifest.get("run", record.folder.name))
    if not cells or few:
        why = f"{few[0]} was launched {now.launches(few[0])} times" if few else "no cell is well"
        raise store.StoreError(
            f"{run} is no baseline: {why}; it takes {LEAST_LAUNCHES} launches of every cell"
        )
    return {
        "schema": SCHEMA,
        "name": name,
        "run": run,
        **{key: manifest.get(key) for key in ("started", "samestep", "git_commit", "command")},
        "threads": (manifest.get("options") or {}).get("threads"),
        "asked": _asked(manifest),
        "machine": manifest.get("machine") or {},
        "fingerprint": machine.fingerprint(manifest.get("machine") or {}),
        "workloads": _workloads(record),
        "versions": {
            str(one.get("framework")): one.get("version") for one in record.every("framework-ready")
        },
        "floors": {
            metric.name: round(max(now.floor(metric, one) for one in cells), DIGITS)
            for metric in METRICS if metric.kind or metric is FIRST_STEP
        },
        "cells": {one: _cell(one, cell, now) for one, cell in cells.items()},
    }  # fmt: skip


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


def _one_line(found: re.Match[str]) -> str:
    return f"[{' '.join(found[1].split())}]"


def keep(run: Path, table: Mapping[str, Any]) -> None:
    """Copy a baseline into the folder of the run that is held against it."""
    store.write(run / COPY, _text(table))


def read(path: Path) -> Baseline:
    """Read a baseline. Raises StoreError where it is missing, broken or of another schema."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        if told["schema"] != SCHEMA:
            raise store.StoreError(
                f"{path}: is of schema {told['schema']}, this samestep reads {SCHEMA}: save it anew"
            )
        cells = {one: _read_cell(cell) for one, cell in told["cells"].items()}
        return Baseline(str(told["name"]), told, cells)
    except OSError as error:
        raise store.StoreError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise store.StoreError(f"{path}: is no baseline ({error!r})") from error


def _anchored(side: Mapping[str, Logs], cell: str, others: Sequence[str], alike: bool) -> Logs:
    """Return a cell's logarithms less the median of its anchors', launch by launch."""
    anchors = [side[one] for one in others]
    anchors += [np.zeros(len(side[cell]))] if alike else []  # the calibration's own
    known = np.ma.masked_invalid(np.asarray(anchors, dtype=float))
    return np.asarray(side[cell] - np.ma.median(known, axis=0).filled(np.nan), dtype=float)


def _cell(name: str, cell: Cell, now: Measures) -> dict[str, Any]:
    logs = {metric.name: now.against_calibration(metric, name) for metric in METRICS}
    values = {metric.name: now.value(metric, name) for metric in METRICS}
    return {
        "proof": cell.proof,
        "values": {
            key: float(f"{value:.6g}") for key, value in values.items() if value is not None
        },
        "logs": {
            key: np.round(found, DIGITS).tolist() for key, found in logs.items() if len(found)
        },
        "accuracy": cell.accuracy,
        "right": {
            str(seed): [right.size, metrics.pack(right)] for seed, right in cell.right.items()
        },
    }


def _read_cell(told: Mapping[str, Any]) -> Cell:
    right = {
        int(seed): metrics.unpack(text, count) for seed, (count, text) in told["right"].items()
    }
    return Cell(summaries.OK, "", str(told["proof"]), right)


def _asked(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What of the run's options a check has to repeat."""
    options, specs = manifest.get("options") or {}, manifest.get("workloads") or {}
    data = [spec.get("data") or {} for spec in specs.values()]
    shared = {key: {one.get(key) for one in data} for key in ("epochs", "seed")}
    return {
        **{key: options.get(key) for key in ("data", "steps")},
        **{key: values.pop() if len(values) == 1 else None for key, values in shared.items()},
    }


def _workloads(record: store.Record) -> dict[str, dict[str, Any]]:
    """By name: hashes of the spec and of the data, and the operations of a training step."""
    data = {str(one.get("workload")): one.get("sha256") for one in record.every("dataset")}
    found = {}
    for name, spec in (record.manifest.get("workloads") or {}).items():
        workload = figures.workload_of(spec)
        found[name] = {
            "spec": _hash({**spec, "title": None}),
            "data": _hash(data.get(name)),
            "flop": None if workload is None else cost.training_flop(workload),
        }
    return found


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def names(folder: Path) -> Sequence[str]:
    """The baselines in `folder`, by name."""
    return sorted(path.stem for path in folder.glob("*.json"))


def path(results: Path, name: str) -> Path:
    """Return where the baseline of that name lies. Raises StoreError where there is none."""
    folder = results / FOLDER
    if name not in names(folder):
        kept = ", ".join(names(folder)) or "none"
        raise store.StoreError(f'no baseline "{name}" in {folder}; there are: {kept}')
    return folder / f"{name}.json"
