"""What the merge needs of one unit's run: taken once, on its node, and kept in `done.json`.

Ten thousand units are then merged from small files, and no journal is read again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from harness.results import identity, tables
from harness.results.store import Record
from harness.results.tables import INTERRUPTED, NOT_RUN, RUNNING, SKIPPED, UNAVAILABLE

SCHEMA = 1

_CELL = (
    "cell",
    "status",
    "reason",
    "reference",
    "parity",
    "accuracy",
    "peak_memory_bytes",
)
KINDS = ("train", "predict")
"""The kinds of slices whose ratios are merged."""

PAIR = ("a", "b", "log_ratio", "launches", "variance", "floor")
"""What a block holds of a pair of cells: a's speed over b's."""


def of(record: Record) -> dict[str, Any]:
    """Return the block of a run."""
    machine = record.manifest.get("machine") or {}
    rates = [float(event.get("rate") or math.nan) for event in record.every("calibration")]
    return {
        "schema": SCHEMA,
        "run": record.manifest.get("run"),
        "started": record.manifest.get("started"),
        "samestep": record.manifest.get("samestep"),
        "sources": record.manifest.get("sources_sha256"),
        "synthetic": tables.synthetic(record.manifest),
        "quick": bool((record.manifest.get("options") or {}).get("quick")),
        "machine": machine.get("cpu"),
        "fingerprint": identity.fingerprint(machine),
        "computation": {
            name: identity.computation(record, name).ground
            for name in record.manifest.get("workloads") or {}
        },
        "kernel_rate": float(np.nanmedian(rates)) if rates else None,
        "not_alone": list(record.not_alone),
        "contaminated": len(record.contaminated) / max(1, len(record.slices)),
        "versions": {
            str(event.get("framework")): event.get("version")
            for event in record.every("framework-ready")
        },
        "cells": [
            {key: None if _missing(row[key]) else row[key] for key in _CELL}
            for row in record.cells.to_dict("records")
        ],
        "pairs": _pairs(record),
    }


def incomplete(record: Record) -> str | None:
    """Why a run is no result, so that its unit has to be run again; None where it is one.

    A cell that failed is a result. A run that was cut short is none, nor one in which no cell began.
    """
    if record.end is None or record.end.get("status") in (INTERRUPTED, RUNNING):
        return "the run was cut short"
    cells = record.cells
    begun = ~cells["status"].isin([NOT_RUN, SKIPPED, UNAVAILABLE, INTERRUPTED])
    if begun.any():
        return None
    reasons = [str(reason) for reason in cells["reason"].unique() if reason]
    return "; ".join(reasons[:2]) or "no cell began"


def _pairs(record: Record) -> dict[str, list[list[float | None]]]:
    """Every compared pair, by kind of slices, as PAIR; cells by their places in the block.

    The variance is a launch's, from the standard error of the run's own ratio.
    """
    place = {str(cell): number for number, cell in enumerate(record.cells["cell"])}
    rows: dict[str, list[list[float | None]]] = {kind: [] for kind in KINDS}
    for pair in record.pairs[record.pairs["kind"].isin(KINDS)].to_dict("records"):
        if not (pair["ratio"] > 0 and math.isfinite(pair["ratio"])):
            continue
        launches, error = int(pair["launches"]), float(pair["error"])
        variance = error**2 * launches if math.isfinite(error) else None
        cells = place[str(pair["a"])], place[str(pair["b"])]
        figures = math.log(pair["ratio"]), launches, variance, float(pair["floor"])
        rows[str(pair["kind"])].append([*cells, *figures])
    return rows


def _missing(value: Any) -> bool:
    return value is None or (not isinstance(value, str | Mapping) and bool(pd.isna(value)))
