"""Runs' summaries as one JSON document, the same for `run --json` and `report --format json`."""

from __future__ import annotations

import json
from collections.abc import Sequence

from harness.results import store

SCHEMA = 2
"""Raised when a reader of the last schema would misread the document (schema/report.schema.json)."""


def render(records: Sequence[store.Record]) -> str:
    """Return the runs, each with its name and a row a cell: the columns of `summary.csv`."""
    runs = [
        {
            "run": record.manifest.get("run") or record.folder.name,
            "kept_variables": (record.manifest.get("options") or {}).get("kept_variables") or {},
            "not_alone": list(record.not_alone),
            "cells": json.loads(
                store.summary(record).to_json(orient="records", double_precision=15)
            ),
        }
        for record in records
    ]
    return json.dumps({"schema": SCHEMA, "runs": runs}, indent=2, allow_nan=False) + "\n"
